"""What the machine says of itself, completed by contribution.toml and checked: what it cannot be, what changed.

Limits are those of the scanners in use, with room: Cox Itrax (tubes to 60 kV, 55 mA), Avaatech (50 kV, 2 mA).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from corebank import schema
from corebank.contribution.findings import Finding, finding
from corebank.contribution.metadata import Scanner, Section
from corebank.contribution.toml import slugged
from corebank.readers import Reading

PLAUSIBLE = {
    "tube_voltage": (4.0, 100.0, "kV"),
    "tube_current": (0.001, 100.0, "mA"),
    "live_time": (0.05, 3600.0, "s"),
    "real_time": (0.05, 7200.0, "s"),
}
"""Lowest and highest value, with some room, that any core scanner is run with."""

CHANGE = {"tube current": 0.1, "measuring time": 0.25}
"""Share by which a spectrum's current, or its live and its clock time both, may differ from the run's median: scanners
hold the current within a few per cent, and one of the times is always preset."""


def completed(name: str, run: xr.Dataset, scanner: Scanner, section: Section) -> tuple[xr.Dataset, list[Finding]]:
    """`run` with what contribution.toml adds where the files are silent, and what is to be said of the result."""
    found: list[Finding] = []
    size, sources = run.sizes["spectrum"], run["source"].values
    for column in ("live_time", "tube_voltage", "tube_current"):
        said = getattr(scanner, column)
        if said is not None:
            values = run[column].values
            run = run.assign(schema.spectrum_columns({column: np.where(np.isfinite(values), values, said)}))
    for key in ("tube_voltage", "tube_current"):
        known = run[key].values[np.isfinite(run[key].values)]
        run.attrs[key] = float(np.median(known)) if known.size else float("nan")
    if scanner.anode and run.attrs["anode"] and scanner.anode != run.attrs["anode"]:
        found.append(
            finding(
                "contradiction",
                section.folder,
                f"the files say anode {run.attrs['anode']}, [scanner] says {scanner.anode}",
                fix="Correct the anode in contribution.toml",
            )
        )
    run = run.assign_attrs(
        {key: getattr(scanner, key) for key in ("model", "head", "anode", "filter") if getattr(scanner, key)}
    )
    run, place = _positions(run, section)
    found += place
    live = run["live_time"].values
    if not (live > 0).all():
        rows = np.flatnonzero(~(live > 0))
        what = f"live time {live[rows[0]]:g} s" if np.isfinite(live[rows[0]]) else "no live time"
        found.append(
            finding("live-time", name, f"{rows.size} of {size} spectra have {what}", items=_named(sources, rows))
        )
    return run, found + _implausible(name, run) + _changed(name, run) + _core_names(run, section)


def between(section: Section, names: Sequence[str], reading: Reading) -> list[Finding]:
    """What is to be said of several settings in one folder: meant, where they cover the same places, or a change."""
    found = []
    for name, setting, run in list(zip(names, reading.settings, reading.runs, strict=True))[1:]:
        first, place = reading.runs[0]["section_position"].values, run["section_position"].values
        same = np.isfinite(place).all() and np.isin(np.round(place, 1), np.round(first, 1)).mean() > 0.5
        parallel = same or run.attrs["head"] != reading.runs[0].attrs["head"]
        found.append(
            finding(
                "separate-settings" if parallel else "setting-change",
                section.folder if parallel else name,
                f"{run.sizes['spectrum']} spectra with {setting}; the others have {reading.settings[0]}",
                items=tuple(str(source) for source in run["source"].values),
            )
        )
    return found


def _positions(run: xr.Dataset, section: Section) -> tuple[xr.Dataset, list[Finding]]:
    """Positions where the files give none: in steps, in order of the files' names, or from the composite depth."""
    position, in_file = run["section_position"].values, run["file_depth"].values
    unknown = ~np.isfinite(position)
    if section.step is not None and position.size > 1 and np.ptp(position) == 0:
        unknown[:] = True  # some instruments write 0 for a place that they do not know
    if not unknown.any():
        return run, []
    if np.isfinite(in_file[unknown]).all():
        position = np.where(unknown, (in_file - section.top) / section.stretch, position)
    elif unknown.all() and section.step is not None:
        position = section.step * np.arange(position.size)
    else:
        rows = np.flatnonzero(unknown)
        what = f"{rows.size} of {unknown.size} spectra have no position"
        return run, [finding("no-position", section.folder, what, items=_named(run["source"].values, rows))]
    placed = run.assign(schema.spectrum_columns({"section_position": position}))
    return placed.isel(spectrum=np.argsort(position, kind="stable")), []


def _implausible(name: str, run: xr.Dataset) -> list[Finding]:
    found, sources = [], run["source"].values
    for column, (low, high, unit) in PLAUSIBLE.items():
        values = run[column].values
        rows = np.flatnonzero((values < low) | (values > high))
        if rows.size and not (column == "live_time" and (values[rows] <= 0).all()):
            what = f"{column.replace('_', ' ')} {values[rows[0]]:g} {unit} in {rows.size} of {values.size} spectra"
            found.append(finding("implausible", name, what, items=_named(sources, rows)))
    live, real = run["live_time"].values, run["real_time"].values
    rows = np.flatnonzero(live > 1.001 * real)
    if rows.size:
        what = f"live time {live[rows[0]]:g} s is longer than the clock's {real[rows[0]]:g} s in {rows.size} spectra"
        found.append(finding("implausible", name, what, items=_named(sources, rows)))
    return found


def _changed(name: str, run: xr.Dataset) -> list[Finding]:
    found, sources = [], run["source"].values
    current = _departure(run["tube_current"].values)
    time = np.minimum(_departure(run["live_time"].values), _departure(run["real_time"].values))
    for what, share in (("tube current", current), ("measuring time", time)):
        rows = np.flatnonzero(share > CHANGE[what])
        if rows.size:
            text = f"{what} differs from the rest of the scan in {rows.size} of {share.size} spectra"
            found.append(finding("setting-change", name, text, items=_named(sources, rows)))
    return found


def _departure(values: np.ndarray) -> np.ndarray:
    """How far each value lies from their median, as a share of it; 0 where unknown."""
    middle = np.nanmedian(values) if np.isfinite(values).any() else np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.nan_to_num(np.abs(values / middle - 1), nan=0.0, posinf=np.inf))


def _core_names(run: xr.Dataset, section: Section) -> list[Finding]:
    names = sorted({str(name) for name in run["file_core"].values if name} - {section.core})
    wrong = [name for name in names if slugged(name) != slugged(section.core)]
    if not wrong or section.names:
        return []
    rows = np.flatnonzero(np.isin(run["file_core"].values.astype(str), wrong))
    what = f"{rows.size} files say core {', '.join(wrong)}, contribution.toml says {section.core}"
    return [finding("core-name", section.folder, what, items=_named(run["source"].values, rows))]


def _named(sources: np.ndarray, rows: np.ndarray) -> tuple[str, ...]:
    return tuple(str(sources[row]) for row in rows)
