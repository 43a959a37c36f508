"""Single spectra -> runs: read block by block, parted by machine setting, in order of position.

Counts go to scratch as they are read (`corebank.readers.spool`); the columns stay in memory, a few hundred bytes a
spectrum. One damaged file does not hide the others: every one is told of.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import not_
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr

from corebank import schema
from corebank.errors import ReadError, UnsafeFileError
from corebank.readers import avaatech, emsa, itrax
from corebank.readers import table as tables
from corebank.readers.files import Entry, whole
from corebank.readers.spectrum import Spectrum
from corebank.readers.spool import BLOCK, Spool

FORMATS: dict[str, Any] = {"itrax": itrax, "avaatech": avaatech, "emsa": emsa, "table": tables}
"""Kind -> the module that knows it, in the order in which they are asked; docs/how-to/add-a-scanner.md adds one."""

_LIKE_THE_REST = 0.05
"""A spectrum whose channels hold what all others hold together, within this share, is their sum, whatever its name."""


class Note(NamedTuple):
    """Something to tell of a scan: a kind of `corebank.contribution.findings`, where, what, and what is concerned."""

    kind: str
    where: str
    found: str
    items: tuple[str, ...] = ()
    fix: str = ""
    """What to do, where it is more exact than what the kind says."""


def unreadable(error: ReadError) -> Note:
    """What is to be told of a file that cannot be read."""
    where = str(error.where)
    kind = "unsafe" if isinstance(error, UnsafeFileError) else "unreadable"
    return Note(kind, where, error.found, (where,), error.fix)


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


@dataclass(slots=True, eq=False)
class Series:
    """The spectra of one setting, in the order in which they were read."""

    setting: Setting
    counts: Spool
    columns: dict[str, list[Any]] = field(default_factory=dict)
    total: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Sum of all of them, (channel,) [count]."""
    first: Spectrum | None = None

    def append(self, part: Part, rows: np.ndarray) -> None:
        """Add the spectra of `part` that `rows` (spectrum,) bool marks."""
        counts = part.counts if rows.all() else part.counts[rows]
        added = counts.sum(axis=0, dtype=np.int64)
        self.total = self.total + added if self.total.size else added
        self.counts.append(counts)
        for name, values in part.columns.items():
            self.columns.setdefault(name, []).extend(compress(values, rows))

    @property
    def table(self) -> pd.DataFrame:
        """One row per spectrum; every field of `Spectrum` but counts and header."""
        return pd.DataFrame(self.columns)


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
        parts.setdefault(_known(setting, parts), []).append(one)
    return Parsed([_columns(setting, spectra) for setting, spectra in parts.items()], errors)


def gathered(parsed: Iterable[Parsed], where: str, notes: list[Note], set_aside: dict[str, str]) -> list[Series]:
    """Join the parts of a scan's blocks by machine setting, the largest series first.

    Damaged files and copies go into `notes`, files that are no scan point into `set_aside`.
    """
    series: dict[Setting, Series] = {}
    met: dict[str, str] = {}
    copies = list[str]()
    for block in parsed:
        for error in block.errors:
            notes.append(unreadable(error))
            set_aside[str(error.where)] = "damaged"
        for part in block.parts:
            sources, hashes = part.columns["source"], part.columns["source_sha256"]
            fresh = [met.setdefault(sha, name) == name for sha, name in zip(hashes, sources, strict=True)]
            for name, sha in zip(compress(sources, map(not_, fresh)), compress(hashes, map(not_, fresh)), strict=True):
                set_aside[name] = f"the same bytes as {met[sha]}"
                copies.append(name)
            setting = _known(part.setting, series)
            if setting not in series:
                series[setting] = Series(setting, Spool(setting.channels), first=part.first)
            series[setting].append(part, np.array(fresh, dtype=bool))
    if copies:
        notes.append(Note("copies", where, f"{len(copies)} files hold the same bytes as others", tuple(copies)))
    return sorted((one for one in series.values() if one.counts.rows), key=lambda one: -one.counts.rows)


def dataset(series: Series, scanner: str, more: Mapping[str, object], set_aside: dict[str, str]) -> xr.Dataset:
    """A series as one run in order of position; `more` gives the columns that files beside the spectra tell.

    Besides the columns of `corebank.schema.SPECTRUM` that a file can know, ``file_core``, ``file_section``,
    ``file_depth`` and ``replicate`` hold what each file says of its place.
    """
    table, counts = series.table, series.counts.array()
    row = _sum_among(table, counts, series.total)
    stay = np.arange(len(table)) if row is None else np.delete(np.arange(len(table)), row)
    if row is not None:
        set_aside[str(table["source"][row])] = "sum spectrum: its counts are those of the whole scan together"
    ever = np.flatnonzero(series.total)
    names = ("live_time", "real_time", "tube_voltage", "tube_current", "source", "source_sha256")
    columns = {"section_position": table["position"], **{name: table[name] for name in names}, **more}
    run = xr.Dataset(
        {
            "counts": (schema.COUNTS.dims, counts, schema.attributes(schema.COUNTS)),
            **schema.spectrum_columns(columns),
            "file_core": ("spectrum", table["core"].to_numpy(object)),
            "file_section": ("spectrum", table["section"].to_numpy(object)),
            "file_depth": ("spectrum", table["depth"].to_numpy(np.float64)),
            "replicate": ("spectrum", table["replicate"].to_numpy(np.int64)),
        },
        attrs={
            "scanner": scanner,
            "model": "",
            "head": series.setting.detector,
            "anode": series.setting.anode,
            "filter": series.setting.filter,
            "tube_voltage": _median(table["tube_voltage"]),
            "tube_current": _median(table["tube_current"]),
            "channels": series.setting.channels,
            "first_channel": int(ever[0]) if ever.size else 0,
            "last_channel": int(ever[-1]) if ever.size else series.setting.channels - 1,
        },
    )
    order = stay[np.argsort(run["section_position"].values[stay], kind="stable")]
    return run if np.array_equal(order, np.arange(len(table))) else run.isel(spectrum=order)


def changed(table: pd.DataFrame) -> Note | None:
    """What is to be said of spectra whose channels no longer add up to the total that their file carries, if any.

    In the 2020 set-up of an Itrax 4 to 31 events a spectrum (of 400,000) lie above the last channel, so a run's deficit
    is Poisson distributed about its median; in the 2008 set-up it is a tenth of all events, and tells nothing. Where a
    run's deficits are small, one below zero or eight standard deviations above the median was changed.
    """
    sums, totals = table["sum"].to_numpy(np.float64), table["total"].to_numpy(np.float64)
    deficit = totals - sums
    known = np.isfinite(deficit)
    if not known.any() or np.nanmedian(deficit) > _SMALL_DEFICIT * np.nanmedian(totals):
        return None
    middle = max(float(np.nanmedian(deficit)), 0.0)
    wrong = np.flatnonzero(known & ((deficit < 0) | (deficit > middle + 8 * np.sqrt(middle))))
    if not wrong.size:
        return None
    row, sources = int(wrong[0]), table["source"].to_numpy(object)
    more = f", and so in {wrong.size - 1} other files" if wrong.size > 1 else ""
    return Note(
        "counts-changed",
        str(sources[row]),
        f"the channels add up to {sums[row]:.0f}, the file's own total is {totals[row]:.0f} "
        f"(the rest of the scan: {middle:.0f} less){more}",
        tuple(str(sources[one]) for one in wrong),
    )


_SMALL_DEFICIT = 1e-3
"""Share of the events above the last channel up to which a file's own total is a check of its counts."""


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


def _known(setting: Setting, settings: Iterable[Setting]) -> Setting:
    """The one of `settings` that is the same, or `setting` itself."""
    return next((known for known in settings if _same(known, setting)), setting)


def _same(one: Setting, other: Setting) -> bool:
    """Equal, two unknown voltages included; a tube's read-back of 29.8 and 30.1 kV is one setting."""
    close = abs(one.tube_voltage - other.tube_voltage) < 0.5 or not (
        np.isfinite(one.tube_voltage) or np.isfinite(other.tube_voltage)
    )
    return close and one._replace(tube_voltage=0.0) == other._replace(tube_voltage=0.0)


def _sum_among(table: pd.DataFrame, counts: da.Array, total: np.ndarray) -> int | None:
    """Row of a sum spectrum that goes by another name, or None; in a scan of a few points none can be told."""
    sums = table["sum"].to_numpy(np.float64)
    row = int(np.argmax(sums))
    if len(sums) < 8 or sums[row] < (1 - _LIKE_THE_REST) * (sums.sum() - sums[row]):
        return None
    largest = np.asarray(counts[row].compute(scheduler="threads"), dtype=np.int64)
    rest = total - largest
    return row if np.abs(largest - rest).sum() <= _LIKE_THE_REST * rest.sum() else None


def _median(values: pd.Series) -> float:
    known = values.to_numpy(np.float64)[np.isfinite(values.to_numpy(np.float64))]
    return float(np.median(known)) if known.size else float("nan")
