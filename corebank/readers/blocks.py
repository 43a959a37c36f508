"""Files -> spectra, a block at a time: what one worker does.

A worker may be a process that lives for one folder, so nothing here needs more than numpy: what imports pandas and
xarray comes after (`corebank.readers.series`), in the program itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from corebank.errors import ReadError
from corebank.readers import avaatech, emsa, itrax
from corebank.readers import table as tables
from corebank.readers.files import Entry, whole
from corebank.readers.spectrum import Spectrum

BLOCK = 256
"""Spectra per block: those of one chunk in a bank."""

FORMATS: dict[str, Any] = {"itrax": itrax, "avaatech": avaatech, "emsa": emsa, "table": tables}
"""Kind -> the module that knows it, in the order in which they are asked; docs/how-to/add-a-scanner.md adds one."""


class Block(NamedTuple):
    """Files that one worker reads: of one format, and no more than go into one chunk of a bank."""

    kind: str
    entries: tuple[Entry, ...]


class Setting(NamedTuple):
    """What makes spectra one run: they differ in nothing of this."""

    channels: int
    tube_voltage: float
    filter: str
    detector: str
    anode: str

    def __str__(self) -> str:
        words = [
            f"{self.channels} channels",
            f"{self.tube_voltage:g} kV" if np.isfinite(self.tube_voltage) else "",
            f"filter {self.filter}" if self.filter else "",
            f"detector {self.detector}" if self.detector else "",
            f"anode {self.anode}" if self.anode else "",
        ]
        return ", ".join(filter(None, words))


class Part(NamedTuple):
    """The spectra of one block that share a setting."""

    setting: Setting
    counts: np.ndarray
    """(spectrum, channel) uint32 [count]"""
    columns: dict[str, list[Any]]
    """Column -> its value for each spectrum."""
    first: Spectrum
    """One of them, with its header."""


class Parsed(NamedTuple):
    """What a worker makes of a block."""

    parts: list[Part]
    errors: list[ReadError]


def blocks(kind: str, entries: Sequence[Entry]) -> list[Block]:
    """The files of a scan in pieces for `parse`, those with usual names first."""
    ordered = _usual_names_first(entries)
    return [Block(kind, tuple(ordered[start : start + BLOCK])) for start in range(0, len(ordered), BLOCK)]


def parse(block: Block) -> Parsed:
    """Work for one worker: the spectra of a block of files by machine setting, and the files that cannot be read."""
    parts: dict[Setting, list[Spectrum]] = {}
    errors: list[ReadError] = []
    for one in _parsed(block):
        if isinstance(one, ReadError):
            errors.append(one)
            continue
        setting = Setting(one.counts.size, one.tube_voltage, one.filter, one.detector, one.anode)
        parts.setdefault(known(setting, parts), []).append(one)
    return Parsed([_columns(setting, spectra) for setting, spectra in parts.items()], errors)


def known(setting: Setting, settings: Iterable[Setting]) -> Setting:
    """The one of `settings` that is the same, or `setting` itself."""
    return next((known for known in settings if _same(known, setting)), setting)


def _same(one: Setting, other: Setting) -> bool:
    """Equal, two unknown voltages included; a tube's read-back of 29.8 and 30.1 kV is one setting."""
    close = abs(one.tube_voltage - other.tube_voltage) < 0.5 or not (
        np.isfinite(one.tube_voltage) or np.isfinite(other.tube_voltage)
    )
    return close and one._replace(tube_voltage=0.0) == other._replace(tube_voltage=0.0)


def _parsed(block: Block) -> Iterator[Spectrum | ReadError]:
    for file in whole(block.entries):
        if isinstance(file, ReadError):
            yield file
            continue
        try:
            yield from FORMATS[block.kind].parse(file)
        except ReadError as error:
            yield error


def _usual_names_first(entries: Sequence[Entry]) -> list[Entry]:
    """Names like most others (``L#.spe``) before odd ones (``Copy of L#.spe``): the usual one of two copies is kept."""
    patterns = [re.sub(r"\d+", "#", entry.name) for entry in entries]
    count = Counter(patterns)
    return [entry for _, entry in sorted(zip(patterns, entries, strict=True), key=lambda pair: -count[pair[0]])]


def _columns(setting: Setting, spectra: Sequence[Spectrum]) -> Part:
    """Spectra of one setting as arrays: what goes from a worker to the program, headers left behind."""
    counts = np.stack([one.counts for one in spectra])
    columns: dict[str, list[Any]] = {name: [getattr(one, name) for one in spectra] for name in _KEPT}
    columns["source_sha256"] = [one.sha256 for one in spectra]
    columns["sum"] = counts.sum(axis=1, dtype=np.int64).tolist()
    return Part(setting, counts, columns, spectra[0])


_KEPT = (
    "source", "position", "depth", "live_time", "real_time", "tube_voltage", "tube_current", "gain", "offset", "total",
    "day", "clock", "core", "section", "replicate", "in_position",
)  # fmt: skip
