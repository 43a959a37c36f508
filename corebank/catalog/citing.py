"""How to cite data: one citation per expedition, with its DOI, its licence, and the snapshot or release that was read.

Made from what travels with the data themselves: the attributes of a selection, or the lineage of a model. Where the
bank can be reached, title, steward and release are asked of it, as it was at that snapshot.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import xarray as xr

from corebank import __version__
from corebank import bank as banks
from corebank.bank import repository
from corebank.catalog import fetching
from corebank.errors import CorebankError

_ESCAPED = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", **{sign: f"\\{sign}" for sign in "&%$#_"}}
"""What BibTeX would take for its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """How one expedition is cited; what is not known is empty."""

    entry: str
    """``site/expedition``."""
    citation: str = ""
    """As its contributor asks to be cited."""
    doi: str = ""
    title: str = ""
    steward: str = ""
    licence: str = ""
    bank: str = ""
    """Address of the bank."""
    snapshot: str = ""
    release: str = ""
    """Release that this snapshot is."""

    def __str__(self) -> str:
        words = self.citation or ". ".join(filter(None, (self.steward, self.title))) or "no citation is known"
        parts = [
            words.rstrip("."),
            f"doi:{self.doi}" if self.doi and self.doi not in words else "",
            f"Licence {self.licence or 'unknown'}",
            f"{self._version} of {self.bank}" if self.bank else self._version,
        ]
        return f"{self.entry}: {'. '.join(filter(None, parts))}."

    @property
    def _version(self) -> str:
        release = f"release {self.release}, " if self.release else ""
        return f"{release}snapshot {self.snapshot}" if self.snapshot else "snapshot unknown"

    def bibtex(self) -> str:
        """As a BibTeX entry; fields that are not known are left out."""
        year = re.search(r"\((\d{4})\)", self.citation)
        fields = {
            "title": self.title or self.entry,
            "author": self.steward,
            "year": year[1] if year else "",
            "doi": self.doi,
            "howpublished": self.bank,
            "version": self._version,
            "note": ". ".join(filter(None, (f"Cite as: {self.citation}" if self.citation else "", self.licence))),
        }
        return _bibtex("misc", re.sub(r"[^a-z0-9-]+", "-", self.entry.lower()), fields)


def citations(origin: xr.Dataset | Mapping[str, Any]) -> tuple[Citation, ...]:
    """The citations of a selection, or of what a model was trained on.

    Parameters
    ----------
    origin
        What `corebank.catalog.select` returned, or the lineage of a bundle: ``snapshots`` and ``bank_urls`` by site,
        ``licences``, ``citations`` and, where there are some, ``dois`` by ``site/expedition``.
    """
    attributes = dict(origin.attrs) if isinstance(origin, xr.Dataset) else dict(origin)
    said: dict[str, dict[str, str]] = {}
    for key in ("snapshots", "bank_urls", "licences", "citations", "dois"):
        value = attributes.get(key, {})
        said[key] = dict(json.loads(value) if isinstance(value, str) else value)
    found = []
    opened: dict[tuple[str, str], tuple[banks.Bank, str] | None] = {}
    for entry in sorted({*said["licences"], *said["citations"]}):
        site, _, expedition = entry.partition("/")
        bank, snapshot = said["bank_urls"].get(site, ""), said["snapshots"].get(site, "")
        if (bank, snapshot) not in opened:  # a bank that is away is waited for once
            opened[bank, snapshot] = _opened(bank, snapshot)
        about, release = _said(opened[bank, snapshot], expedition)
        found.append(
            Citation(
                entry=entry,
                citation=said["citations"].get(entry, ""),
                doi=said["dois"].get(entry, "") or str(about.get("doi", "")),
                title=str(about.get("title", "")),
                steward=str(about.get("steward", "")),
                licence=said["licences"].get(entry, ""),
                bank=bank,
                snapshot=snapshot,
                release=release,
            )
        )
    return tuple(found)


def software() -> str:
    """How corebank itself is cited, in words."""
    return f"corebank: version {__version__}."


def bibtex(found: Sequence[Citation]) -> str:
    """Citations and corebank itself as a BibTeX file."""
    own = _bibtex("software", "corebank", {"title": "corebank", "version": __version__})
    return "\n".join([*(one.bibtex() for one in found), own])


def document(found: Sequence[Citation]) -> dict[str, Any]:
    """Citations and corebank itself as plain values."""
    return {"data": [asdict(one) for one in found], "software": {"name": "corebank", "version": __version__}}


def _opened(bank: str, snapshot: str) -> tuple[banks.Bank, str] | None:
    """A bank at a snapshot and the release that it is; None where it is away, or takes too long."""
    if not bank or not snapshot:
        return None

    def look() -> tuple[banks.Bank, str]:
        releases = repository.open_repository(repository.resolved(bank)).releases()
        release = next((name for name, tagged in sorted(releases.items()) if tagged == snapshot), "")
        return banks.open_bank(bank, snapshot), release

    try:
        return fetching.within(fetching.timeout(), look)
    except (CorebankError, OSError, TimeoutError):
        return None


def _said(opened: tuple[banks.Bank, str] | None, expedition: str) -> tuple[Mapping[str, Any], str]:
    """What a bank says of an expedition, and the release; nothing where it is away."""
    if opened is None:
        return {}, ""
    bank, release = opened
    try:
        return bank.attributes(expedition), release
    except (CorebankError, OSError):
        return {}, ""


def _bibtex(kind: str, key: str, fields: Mapping[str, str]) -> str:
    plain = ("doi", "year", "howpublished")
    lines = [
        f"  {name} = {{{value if name in plain else ''.join(_ESCAPED.get(sign, sign) for sign in value)}}},"
        for name, value in fields.items()
        if value
    ]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"]) + "\n"
