"""Single spectra -> runs: read block by block, parted by machine setting, in order of position.

Counts go to scratch as they are read (`corebank.readers.spool`); the columns stay in memory, a few hundred bytes a
spectrum. One damaged file does not hide the others: every one is told of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
from corebank.readers.blocks import Parsed, Part, Setting, known
from corebank.readers.spectrum import Spectrum
from corebank.readers.spool import Spool

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
            setting = known(part.setting, series)
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
