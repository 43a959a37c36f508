"""``federation.yaml``: the catalog of the members' catalogs, and how a lab's entry comes into it.

An entry says where the member's catalog lies, and what was true when it joined: the hash of that file, its steward,
its licence. The hash is of the bytes, so ``sha256sum catalog.yaml`` gives it; every contribution changes it, which is
news and no fault. What it cannot tell, the states of members say in words: another site, other terms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from corebank.bank import listing
from corebank.catalog import plain
from corebank.catalog.fetching import check, scheme
from corebank.catalog.members import Member, MemberCatalog, together
from corebank.contribution.toml import is_slug
from corebank.errors import CatalogError, EntryError, OfflineError

_OPENING = "# One entry per site; each names the catalog that its bank wrote. See: corebank catalog join\n"

_MEMBER = ("corebank_member", "yaml_file_cat")


def write_federation(path: Path, members: Mapping[str, str | Path], *, title: str = "") -> None:
    """Write a catalog of catalogs: site -> its ``catalog.yaml``, which must lie below the folder of `path`.

    Paths are written relative to the file, so that the whole folder can be moved. Raises `CatalogError` for a member
    that lies elsewhere.
    """
    entries: dict[str, Any] = {}
    for site, member in members.items():
        if not Path(member).resolve().is_relative_to(path.parent.resolve()):
            raise CatalogError(
                member, f"lies outside the folder of {path}", "Keep member catalogs below the federation's folder"
            )
        stands = MemberCatalog(str(Path(member).absolute()), site).member
        entries[site] = _entry(path, site, stands)
    _write(path, {"metadata": {"version": 1, **({"title": title} if title else {})}, "sources": entries}, _OPENING)


def join(path: Path, site: str, address: str, *, steward: str = "", licence: str = "", offline: bool = False) -> Member:
    """Write a member into a federation's file, which is made when there is none.

    Parameters
    ----------
    path
        The ``federation.yaml``.
    site
        Name of the lab, as in its bank.
    address
        Its ``catalog.yaml``, or the bank beside which that lies: a path, ``http(s)://`` or ``s3://``.
    steward
        Who answers for it; by default whom its catalog names.
    licence
        SPDX identifiers under which it joins, with commas; by default those that its catalog names.
    offline
        Take it in though it does not answer; its hash is noted by `refresh` when it does.

    Returns how it stands. A site that is in already, at the same address, is written anew with what is true now.
    Raises `CatalogError` when the name is none, or taken; `OfflineError` when it does not answer; `EntryError` when its
    catalog is of another site, or holds what corebank does not open.
    """
    if not is_slug(site):
        raise CatalogError(site, "is no name for a site", "Use small letters, digits and hyphens")
    address = _catalog_of(address)
    check(address)
    document: dict[str, Any] = {"metadata": {"version": 1}, "sources": {}}
    opening = _OPENING
    if path.exists():
        document, opening = _read(path)
    written = _written(path, address)
    if (there := document["sources"].get(site)) is not None and _place(there) != written:
        raise CatalogError(
            f"{path}, {site}", f"is a member already, at {_place(there)}", "Choose another name, or take that one out"
        )
    member = MemberCatalog(address, site).member
    if member.state == "offline" and not offline:
        raise OfflineError(address, member.problem, "Check the address; with --offline it joins all the same")
    if member.state == "refused":
        raise EntryError(address, member.problem, "Have its owner write it again with corebank")
    found = {one for one in member.licence.split(", ") if one}
    if licence and (other := ", ".join(sorted(found - {one.strip() for one in licence.split(",")}))):
        raise EntryError(address, f"is under {other}, not {licence}", "Name them all, or leave --licence out")
    member = replace(member, steward=steward or member.steward, licence=licence or member.licence)
    document["sources"][site] = _entry(path, site, member)
    _write(path, document, opening)
    return replace(member, sha256=member.found)


def refresh(path: Path) -> list[tuple[Member, Member]]:
    """Note the hash that each member's catalog has today; returns how each stood, and stands now, in the file's order.

    A member that does not answer, or is refused, keeps what was noted. Steward and licence stay as they joined, unless
    none was noted. Raises `CatalogError` when `path` is no federation.
    """
    document, opening = _read(path)
    catalogs = {
        site: MemberCatalog(**{**entry.get("args", {}), "path": _resolved(path, _place(entry)), "site": site})
        for site, entry in document["sources"].items()
        if isinstance(entry, dict) and entry.get("driver") in _MEMBER
    }
    together(catalogs.values())
    told: list[tuple[Member, Member]] = []
    for site, catalog in catalogs.items():
        before = now = catalog.member
        if before.state in ("ok", "changed"):
            now = replace(before, state="ok", sha256=before.found, problem="")
            document["sources"][site] = {**document["sources"][site], **_entry(path, site, now)}
        told.append((before, now))
    _write(path, document, opening)
    return told


def _entry(path: Path, site: str, member: Member) -> dict[str, Any]:
    args = {"path": _written(path, member.url), "site": site, "sha256": member.found or member.sha256}
    args |= {"steward": member.steward, "licence": member.licence}
    return {"driver": "corebank_member", "args": {key: value for key, value in args.items() if value}}


def _catalog_of(address: str) -> str:
    """The catalog file of an address that may be a bank's."""
    if not scheme(address):
        address = str(Path(address).absolute())
        return f"{address}/{listing.FILE_NAME}" if Path(address).is_dir() else address
    plain_address = address.partition("?")[0]
    return address if plain_address.endswith((".yaml", ".yml")) else f"{address.rstrip('/')}/{listing.FILE_NAME}"


def _written(path: Path, address: str) -> str:
    """An address as it stands in the file: what lies below the file's folder relative to it, the rest as it is."""
    if scheme(address):
        return address
    try:
        inside = Path(address).resolve().relative_to(path.parent.resolve())
    except ValueError:
        return str(Path(address).absolute())
    return f"{listing.HERE}/{inside.as_posix()}"


def _resolved(path: Path, written: str) -> str:
    written = written.replace(listing.HERE, str(path.parent.absolute()))
    return written if scheme(written) else str(path.parent.absolute() / written)


def _place(entry: Any) -> str:
    args = entry.get("args") if isinstance(entry, dict) else None
    return str(args.get("path", "")) if isinstance(args, dict) else ""


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """A federation's file, and the comment that it opens with."""
    if not path.is_file():
        raise CatalogError(path, "there is no such file", "Give the path of a federation.yaml on this disk")
    text = path.read_text(encoding="utf-8")
    document = plain.load(text, str(path))
    if not isinstance(document, dict) or not isinstance(document.get("sources"), dict):
        raise CatalogError(path, "is no catalog: it has no sources", "Give the path of a federation.yaml")
    lines = text.splitlines(keepends=True)
    end = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return document, "".join(lines[:end])


def _write(path: Path, document: Mapping[str, Any], opening: str) -> None:
    listing.write(path, opening + yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=200))
