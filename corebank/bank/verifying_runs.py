"""Whether one run of a bank holds what was written into it.

Columns are read whole, counts and intensities a block of rows at a time, each chunk once. Where a block cannot be read,
its chunks are tried one by one, so that a fault names the chunk and its rows.

All intensities are made again from counts and calibration (`corebank.calibrate.intensity`) and compared. On the machine
that wrote them they are the same bits; between processors and versions of numpy `TOLERANCE` is allowed. A run that
another version of the calibration made is read and not compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from corebank import calibrate, schema
from corebank.bank import chunks, layout
from corebank.bank.damage import Fault, told
from corebank.bank.records import EVALUATIONS
from corebank.errors import CorebankError
from corebank.schema import EnergyGrid

TOLERANCE = 1e-6
"""Relative difference between stored and made intensities that is no fault: eight steps of a float32."""

_ROWS = 1024
"""Spectra read at once: 8 MB of counts and as much of intensities for 2,048 channels, in each thread."""

_FLAGS = int(np.bitwise_or.reduce([int(flag) for flag in schema.Flag]))

_SHA256 = r"[0-9a-f]{64}"


class Task(NamedTuple):
    """One run to check."""

    store: Any
    group: str
    rows: int | None
    """Number of its spectra as the expedition tells it; None where that cannot be known."""
    grid: EnergyGrid
    cores: frozenset[str] | None
    """Names of the expedition's cores; None where they cannot be known."""
    contributions: frozenset[str]


@dataclass(slots=True)
class RunCheck:
    """What a check of one run found."""

    faults: list[Fault] = field(default_factory=list)
    spectra: int = 0
    chunks: int = 0
    old: bool = False
    """True where the run holds no digests of its counts."""
    other_calibration: bool = False
    hashes: frozenset[str] = frozenset()
    """``source_sha256`` of its spectra."""
    repeats: pd.Series[Any] = field(default_factory=lambda: pd.Series(dtype=object))
    """``replicate_of`` of those spectra that repeat another, by row."""


def check(task: Task) -> RunCheck:
    """Read all of a run and compare it with what it says of itself; a fault does not stop the rest."""
    done, group = RunCheck(), task.group
    try:
        about = layout.attributes(task.store, group)
    except Exception as error:  # BankError, or what zarr raises over a damaged document
        done.faults.append(Fault(group, "", None, None, told(error)))
        about = None
    arrays = dict(_arrays(task, done))
    columns = {
        name: values
        for name in (*schema.SPECTRUM, layout.COUNTS_DIGEST)
        if name in arrays and (values := _column(arrays[name], name, task, done)) is not None
    }
    energy, centres = _column(arrays["energy"], "energy", task, done) if "energy" in arrays else None, task.grid.centres
    if energy is not None and (energy.shape != centres.shape or not np.allclose(energy, centres, rtol=1e-12)):
        done.faults.append(Fault(group, "energy", None, None, "is not the bank's energy grid"))
    done.faults += [Fault(group, name, None, rows, found) for name, rows, found in _odd(columns, task)]
    if "source_sha256" in columns:
        done.hashes = frozenset(columns["source_sha256"])
    if "replicate_of" in columns:
        repeats = pd.Series(columns["replicate_of"], dtype=object)
        done.repeats = repeats[repeats != ""]
    if "counts" in arrays:
        done.spectra = arrays["counts"].shape[0]
        _spectra(task, arrays, columns, about, done)
    try:
        for name, table in layout.read_evaluations(task.store, f"{group}/{EVALUATIONS}").items():
            if len(table) != done.spectra:
                found = f"evaluation {name} has {len(table)} rows for {done.spectra} spectra"
                done.faults.append(Fault(group, EVALUATIONS, None, None, found))
    except Exception as error:  # damaged bytes make a codec raise anything
        done.faults.append(Fault(f"{group}/{EVALUATIONS}", "values", None, None, told(error)))
    return done


def _arrays(task: Task, done: RunCheck) -> Iterator[tuple[str, Any]]:
    """The arrays of a run that have the shape and type that they must have; a fault for every other."""
    group = task.group
    wanted = {"counts": schema.COUNTS, "intensity": schema.INTENSITY, **schema.SPECTRUM, "energy": None}
    try:
        there = chunks.arrays(task.store, group)
    except CorebankError as error:
        done.faults.append(Fault(group, "", None, None, told(error)))
        there = [*wanted, layout.COUNTS_DIGEST]  # each is tried by its name
    done.old = layout.COUNTS_DIGEST not in there
    wanted |= {} if done.old else {layout.COUNTS_DIGEST: schema.Variable(("spectrum",), "uint64", "", "")}
    for name in sorted(set(there) - wanted.keys()):
        done.faults.append(Fault(group, name, None, None, "no array has this name"))
    store = task.store if done.old else chunks.strict(task.store)
    for name, variable in wanted.items():
        try:
            found = chunks.array(store, f"{group}/{name}")
        except Exception as error:  # a damaged document makes zarr raise anything
            done.faults.append(Fault(group, name, None, None, told(error)))
            continue
        done.chunks += chunks.stored(found)
        if variable is None:
            yield name, found
            continue
        kind = "int64" if variable.dtype.startswith("datetime64") else variable.dtype  # times are stored as seconds
        wrong = []
        if kind != "str" and found.dtype != np.dtype(kind):
            wrong.append(f"its type is {found.dtype}, should be {kind}")
        if kind == "str" and found.dtype.kind not in "OT":
            wrong.append(f"its type is {found.dtype}, should be text")
        if found.ndim != len(variable.dims):
            wrong.append(f"it has {found.ndim} dimensions, should have {len(variable.dims)}")
        elif task.rows is not None and found.shape[0] != task.rows:
            wrong.append(f"it has {found.shape[0]} rows, the expedition tells of {task.rows}")
        if variable.units and found.attrs.get("units") != variable.units:
            wrong.append(f"its unit is {found.attrs.get('units')!r}, should be {variable.units!r}")
        done.faults += [Fault(group, name, None, None, what) for what in wrong]
        if not wrong:
            yield name, found


def _column(one: Any, name: str, task: Task, done: RunCheck) -> np.ndarray[Any, Any] | None:
    """A whole column, or None and a fault for each of its chunks that cannot be read."""
    try:
        return chunks.read(one, 0, one.shape[0])
    except Exception:  # which chunks they are is found one by one
        done.faults += [
            Fault(task.group, name, place, rows, told(error))
            for place, rows, error in chunks.damaged(one, 0, one.shape[0])
        ]
        return None


def _odd(columns: dict[str, np.ndarray[Any, Any]], task: Task) -> Iterator[tuple[str, tuple[int, int], str]]:
    """Column, first and last row, and what is wrong, for values that no bank can hold."""
    text = {
        name: pd.Series(columns[name], dtype=object)
        for name in ("core", "source_sha256", "replicate_of", "contribution")
        if name in columns
    }
    number = {name: values for name, values in columns.items() if name not in text}
    wrong: dict[str, tuple[Any, str]] = {}
    if "source_sha256" in text:
        wrong["source_sha256"] = ~text["source_sha256"].str.fullmatch(_SHA256), "is no SHA-256"
    if "replicate_of" in text:
        wrong["replicate_of"] = ~text["replicate_of"].str.fullmatch(f"({_SHA256})?"), "is neither empty nor a SHA-256"
    if "contribution" in text:
        lost = ~text["contribution"].isin(task.contributions)
        wrong["contribution"] = lost, "names a contribution that the bank does not hold"
    if "core" in text and task.cores is not None:
        wrong["core"] = ~text["core"].isin(task.cores), "names a core that the expedition does not list"
    if "flags" in number:
        wrong["flags"] = number["flags"] & ~np.uint32(_FLAGS) != 0, "has bits that mean nothing"
    for name, (low, high) in (
        ("energy_gain", calibrate.GAIN_RANGE),
        ("energy_offset", calibrate.OFFSET_RANGE),
        ("live_time", (np.finfo(float).tiny, np.inf)),
    ):
        if name in number:
            wrong[name] = ~((number[name] >= low) & (number[name] <= high)), f"is not within {low:g} to {high:g}"
    for name, (rows, found) in wrong.items():
        at = np.flatnonzero(np.asarray(rows))
        if at.size:
            yield name, (int(at[0]), int(at[-1])), f"{found}, in {at.size} rows, such as {columns[name][at[0]]!s:.80}"


def _spectra(
    task: Task,
    arrays: dict[str, Any],
    columns: dict[str, np.ndarray[Any, Any]],
    about: dict[str, Any] | None,
    done: RunCheck,
) -> None:
    """Read counts and intensities block by block; compare counts with their digests, intensities with the counts."""
    needed = ("energy_gain", "energy_offset", "live_time", "tube_voltage", "source", "energy_source")
    comparable = about is not None and "intensity" in arrays and all(name in columns for name in needed)
    if about is not None and about.get("calibration_version") != calibrate.CALIBRATION_VERSION:
        done.other_calibration, comparable = True, False
    axis = xr.Dataset({name: ("spectrum", columns[name]) for name in needed if name in columns}, attrs=about or {})
    for start, stop in chunks.blocks(arrays["counts"], _ROWS):
        counts = _block(arrays["counts"], "counts", start, stop, task, done)
        stored = _block(arrays["intensity"], "intensity", start, stop, task, done) if "intensity" in arrays else None
        if counts is None:
            continue
        if (said := columns.get(layout.COUNTS_DIGEST)) is not None:
            differs = layout.digests(counts) != said[start:stop]
            found = "the counts of {} spectra are not what was written"
            done.faults += _by_chunk(task, arrays["counts"], "counts", differs, start, found)
        if stored is None or not comparable:
            continue
        rows = axis.isel(spectrum=slice(start, stop)).assign(counts=(schema.COUNTS.dims, counts))
        try:
            made = calibrate.intensity(rows, task.grid, task.group)["intensity"].values
        except (CorebankError, KeyError, TypeError) as error:  # a column or an attribute is damaged: told above
            done.faults.append(Fault(task.group, "intensity", None, (start, stop - 1), f"cannot be compared: {error}"))
            continue
        if not np.array_equal(stored, made, equal_nan=True):
            same = np.isclose(stored, made, rtol=TOLERANCE, atol=0, equal_nan=True).all(axis=1)
            found = "the intensities of {} spectra are not what counts and calibration give"
            done.faults += _by_chunk(task, arrays["intensity"], "intensity", ~same, start, found)


def _block(one: Any, name: str, start: int, stop: int, task: Task, done: RunCheck) -> np.ndarray[Any, Any] | None:
    """Rows of counts or intensities, or None and a fault for each of their chunks that cannot be read."""
    try:
        return chunks.read(one, start, stop)
    except Exception:  # which chunks they are is found one by one
        done.faults += [
            Fault(task.group, name, place, rows, told(error)) for place, rows, error in chunks.damaged(one, start, stop)
        ]
        return None


def _by_chunk(task: Task, one: Any, name: str, wrong: np.ndarray[Any, Any], start: int, found: str) -> Iterator[Fault]:
    """One fault for each chunk that holds a row that is `wrong`, counted from row `start`."""
    at = start + np.flatnonzero(wrong)
    for number in np.unique(at // one.chunks[0]):
        rows = at[at // one.chunks[0] == number]
        place = (int(number), *(0,) * (one.ndim - 1))
        yield Fault(task.group, name, place, (int(rows[0]), int(rows[-1])), found.format(rows.size))
