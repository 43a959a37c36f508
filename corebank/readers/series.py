"""Single spectra -> one run: arrays in order of position, with the calibration and validity that lie beside them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
import xarray as xr

from corebank import schema
from corebank.errors import ReadError
from corebank.readers import avaatech, dates, itrax, itrax_tables
from corebank.readers.files import File
from corebank.schema import Flag

_COMPLETE_SUM = 0.999
"""In the 2020 set-up all but 5e-5 of ``events_in_run`` lie inside the channels; where a run is like that, every
spectrum must be. In the 2008 set-up a fifth of the events lies above the last channel, and the total tells nothing."""


def from_itrax(spectra: Sequence[File], companions: Sequence[File]) -> xr.Dataset:
    """One Itrax run; see `corebank.readers.read_scan`."""
    read = [itrax.parse(file) for file in spectra]
    _refuse_mixed([(one.file.name, one.counts.size, one.header.get("Tube anode", "")) for one in read])
    _refuse_changed_counts(read)
    record = next((itrax_tables.document(file) for file in companions if itrax_tables.is_document(file)), {})
    stems = [one.file.stem for one in read]
    gain, offset, energy_source, table = _calibration(stems, companions)
    position = np.array([one.number("Position") for one in read])
    if table is not None:
        valid = table["valid"].reindex(stems).to_numpy(dtype=object) != False  # noqa: E712 - NaN: a row the table lacks is not invalid
    else:
        valid = np.array([one.header.get("comments", "") != "not in position" for one in read])
    columns = {
        "section_position": position,
        "energy_gain": gain,
        "energy_offset": offset,
        "energy_source": energy_source,
        "live_time": [one.number("livetime") for one in read],
        "real_time": [one.number("runtime") for one in read],
        "tube_voltage": [one.number("Tube voltage") for one in read],
        "tube_current": [one.number("Tube current") for one in read],
        "scanned_at": dates.parse(
            [one.header.get("Date", "") for one in read], [one.header.get("Time", "") for one in read], _day_of(record)
        ),
        "flags": np.where(valid, 0, int(Flag.NOT_IN_POSITION)),
    }
    return _run(
        "itrax",
        [one.file for one in read],
        [one.counts for one in read],
        columns,
        anode=read[0].header.get("Tube anode", ""),
    )


def from_avaatech(spectra: Sequence[File]) -> xr.Dataset:
    """One Avaatech run; see `corebank.readers.read_scan`. The files name neither anode nor calibration."""
    read = [avaatech.parse(file) for file in spectra]
    _refuse_mixed([(one.file.name, one.counts.size, f"{one.number('ACC_VOLT'):g} kV {one.filter}") for one in read])
    current = np.array([one.number("TUBE_CUR") for one in read])
    day, clock = zip(*[(one.header.get("DATE_MEA", "") + " ").split(" ", 1) for one in read], strict=True)
    columns = {
        "section_position": [one.position for one in read],
        "energy_gain": np.full(len(read), np.nan),
        "energy_offset": np.full(len(read), np.nan),
        "energy_source": [""] * len(read),
        "live_time": [one.number("MEAS_TIM", 0) for one in read],
        "real_time": [one.number("MEAS_TIM", 1) for one in read],
        "tube_voltage": [one.number("ACC_VOLT") for one in read],
        "tube_current": current,
        "scanned_at": dates.parse(day, clock),
        "flags": np.zeros(len(read)),
    }
    return _run(
        "avaatech", [one.file for one in read], [one.counts for one in read], columns, anode="", filter_=read[0].filter
    )


def _run(
    scanner: str,
    found: Sequence[File],
    counts: Sequence[np.ndarray],
    columns: dict[str, object],
    *,
    anode: str,
    filter_: str = "",
) -> xr.Dataset:
    stacked = np.stack(counts)
    ever = np.flatnonzero(stacked.any(axis=0))
    columns = {**columns, "source": [file.name for file in found], "source_sha256": [file.sha256 for file in found]}
    run = xr.Dataset(
        {"counts": (schema.COUNTS.dims, stacked, schema.attributes(schema.COUNTS)), **schema.spectrum_columns(columns)},
        attrs={
            "scanner": scanner,
            "model": "",
            "head": "",
            "anode": anode,
            "filter": filter_,
            "tube_voltage": float(np.nanmedian(run_column))
            if np.isfinite(run_column := _floats(columns["tube_voltage"])).any()
            else float("nan"),
            "tube_current": float(np.nanmedian(run_column))
            if np.isfinite(run_column := _floats(columns["tube_current"])).any()
            else float("nan"),
            "channels": int(stacked.shape[1]),
            "first_channel": int(ever[0]) if ever.size else 0,
            "last_channel": int(ever[-1]) if ever.size else stacked.shape[1] - 1,
        },
    )
    for name in ("section_position", "live_time"):
        if not np.isfinite(run[name].values).all():
            row = int(np.argmin(np.isfinite(run[name].values)))
            raise ReadError(
                found[row].name,
                f"the header gives no {name.replace('_', ' ')}",
                "Copy it from the scanner again, or take it out of the folder",
            )
    return run.isel(spectrum=np.argsort(run["section_position"].values, kind="stable"))


def _calibration(
    stems: list[str], companions: Sequence[File]
) -> tuple[np.ndarray, np.ndarray, list[str], pd.DataFrame | None]:
    """Gain and offset per spectrum, where they came from, and the result table they were taken from, if any.

    The table that calibrates the most spectra wins, then ``Results`` over ``result`` (the re-evaluation over the first
    one, as the scanner's program names them), then the settings file. Spectra that a table leaves out get the run's
    median.
    """
    gain = np.full(len(stems), np.nan)
    offset, source = gain.copy(), [""] * len(stems)
    tables = [(file, itrax_tables.results(file).reindex(stems)) for file in companions if itrax_tables.is_results(file)]
    filled = [(file, table, np.isfinite(table[["gain", "offset"]].to_numpy()).all(axis=1)) for file, table in tables]
    if filled := [(file, table, known) for file, table, known in filled if known.any()]:
        file, table, known = max(
            filled, key=lambda one: (one[2].sum(), one[0].stem.startswith("Results"), -len(one[0].stem))
        )
        gain = np.where(known, table["gain"], np.median(table["gain"][known]))
        offset = np.where(known, table["offset"], np.median(table["offset"][known]))
        return gain, offset, [file.name if row else f"median of {file.name}" for row in known], table
    for file in companions:
        pair = itrax_tables.settings(file)
        if pair is not None:
            return np.full(len(stems), pair[0]), np.full(len(stems), pair[1]), [file.name] * len(stems), None
    return gain, offset, source, None


def _day_of(record: dict[str, list[str]]) -> date | None:
    try:
        return date(*(int(record[key][0]) for key in ("Year", "Month", "Day")))
    except (KeyError, ValueError, IndexError):
        return None


def _refuse_mixed(seen: Sequence[tuple[str, int, str]]) -> None:
    """One run has one number of channels and one tube setting; a folder that mixes them is two runs."""
    first = seen[0]
    for name, channels, setting in seen[1:]:
        if (channels, setting) != first[1:]:
            raise ReadError(
                name,
                f"{channels} channels, {setting or 'no setting'}, "
                f"while {first[0]} has {first[1]}, {first[2] or 'no setting'}",
                "Put the two machine settings into two folders; each is a run of its own",
            )


def _refuse_changed_counts(read: Sequence[itrax.Spectrum]) -> None:
    sums = np.array([one.counts.sum(dtype=np.int64) for one in read], dtype=np.float64)
    events = np.array([one.number("events_in_run") for one in read])
    share = np.divide(sums, events, out=np.full(len(read), np.nan), where=events > 0)
    if np.isfinite(share).any() and np.nanmedian(share) >= _COMPLETE_SUM and np.nanmin(share) < _COMPLETE_SUM:
        row = int(np.nanargmin(share))
        raise ReadError(
            read[row].file.name,
            f"the channels add up to {sums[row]:.0f} of events_in_run = {events[row]:.0f}, "
            "the rest of the run to all of them",
            "A count was changed; copy the file from the scanner again",
        )


def _floats(values: object) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)
