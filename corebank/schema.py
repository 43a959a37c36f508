"""What every variable and table of a bank is called, measured in, and means.

One table per thing: validation, the reference page and the tests all read them. `SPECTRUM` describes the columns that
each spectrum carries, `RUN` the arrays of a run, `RUN_ATTRIBUTES` its machine settings; `Measurements` is the pandera
model of laboratory values. Layout: a run is an `xarray.Dataset` over ``spectrum`` and ``channel`` (detector channels,
counts exactly as measured) or over ``spectrum`` and ``energy`` (the bank's common grid).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import IntFlag
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from corebank.errors import SchemaError


class Variable(NamedTuple):
    """One array of a run: its dimensions, numpy dtype kind, unit ("" where it has none) and meaning."""

    dims: tuple[str, ...]
    dtype: str
    units: str
    about: str


COUNTS = Variable(("spectrum", "channel"), "uint32", "count", "exactly what the detector file holds, never altered")
INTENSITY = Variable(
    ("spectrum", "energy"),
    "float32",
    "count/s",
    "counts rebinned onto the common energy grid, counts conserved, per second of live time; NaN where not measured",
)

SPECTRUM: dict[str, Variable] = {
    "core": Variable(("spectrum",), "str", "", "core name, as given"),
    "section": Variable(("spectrum",), "str", "", "section name, as given"),
    "section_position": Variable(("spectrum",), "float64", "mm", "position inside the section, from its top"),
    "depth": Variable(("spectrum",), "float64", "mm", "composite depth below the core top"),
    "energy_gain": Variable(("spectrum",), "float64", "keV", "energy width of a detector channel"),
    "energy_offset": Variable(("spectrum",), "float64", "keV", "energy at the centre of the first channel"),
    "energy_source": Variable(("spectrum",), "str", "", "where gain and offset came from"),
    "live_time": Variable(("spectrum",), "float64", "s", "time in which the detector could count"),
    "real_time": Variable(("spectrum",), "float64", "s", "time by the clock; NaN where the file does not say"),
    "tube_voltage": Variable(("spectrum",), "float64", "kV", "X-ray tube voltage"),
    "tube_current": Variable(("spectrum",), "float64", "mA", "X-ray tube current"),
    "scanned_at": Variable(("spectrum",), "datetime64[s]", "", "clock of the scanner; NaT where the date is ambiguous"),
    "source": Variable(("spectrum",), "str", "", "file inside the contributed folder; ! separates an archive's member"),
    "source_sha256": Variable(("spectrum",), "str", "", "hash of the bytes the spectrum was read from"),
    "flags": Variable(("spectrum",), "uint32", "", "quality bits, see corebank.schema.Flag"),
    "replicate_of": Variable(("spectrum",), "str", "", "source_sha256 of the spectrum this one repeats, or empty"),
    "contribution": Variable(("spectrum",), "str", "", "identifier of the contribution it came in"),
}
"""What each spectrum of a bank carries, whatever the level it is read at."""

PROVENANCE: dict[str, str] = {
    "site": "lab that owns the bank",
    "expedition": "expedition the run belongs to",
    "run": "run inside the expedition",
    "scanner": "kind of scanner",
    "head": "measuring head or detector unit",
    "anode": "element symbol of the tube's anode",
    "filter": "primary filter",
}
"""String columns that a spectrum gains when runs of several machines are read together; empty means unknown."""

RUN_ATTRIBUTES: dict[str, str] = {
    "scanner": "kind of scanner: itrax, avaatech, ...",
    "model": "maker's model name, as given",
    "head": "measuring head or detector unit, as given",
    "anode": "element symbol of the X-ray tube's anode",
    "filter": "primary filter, as given; 'none' where there is none",
    "tube_voltage": "nominal X-ray tube voltage [kV]",
    "tube_current": "nominal X-ray tube current [mA]",
    "channels": "number of detector channels",
    "first_channel": "0-based index of the first channel that counted in any spectrum of the run",
    "last_channel": "0-based index of the last channel that counted in any spectrum of the run",
}
"""Machine settings that a run carries as attributes; an empty string or NaN means unknown."""


class Flag(IntFlag):
    """What was found about a spectrum. Bits add up; a bank stores them, so a value never changes its meaning."""

    EMPTY = 1
    """No counts at all."""
    LOW_COUNTS = 2
    """Few counts in total; `corebank.quality.THRESHOLDS` says how few, as for all that rest on counts."""
    HIGH_DEAD_TIME = 4
    """The detector was blind for most of the clock time."""
    NOT_IN_POSITION = 8
    """The scanner, or the result table's ``validity``, says that the detector did not reach its place."""
    SATURATED = 16
    """Channels stand at the end of their counter."""
    AIR_GAP = 32
    """More argon of the air than in the rest of the run."""
    GAIN_JUMP = 64
    """Its lines lie wider or closer than those of the run."""
    LINE_SHIFT = 128
    """Its lines lie shifted against those of the run."""
    DUPLICATE = 256
    """The same counts stand at another position of the run."""
    NEAR_DUPLICATE = 512
    """More alike to another spectrum of the run than counting noise allows."""
    OUTLIER = 1024
    """Unlike its neighbours above and below."""
    WRONG_ANODE = 2048
    """The tube's scattered lines are those of another anode than declared."""
    OUTSIDE_SECTION = 4096
    """Beyond the end of the section that contribution.toml gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyGrid:
    """The common energy axis of a bank: ``bins`` bins of ``step`` keV, the first one centred on ``start`` keV.

    The default, 2048 bins of 20 eV from 0 keV, is the channel axis of the published baseline (MAX, arXiv 2410.12330).
    """

    start: float = 0.0
    step: float = 0.02
    bins: int = 2048

    def __post_init__(self) -> None:
        if not (self.step > 0 and self.bins > 0 and np.isfinite([self.start, self.step]).all()):
            raise SchemaError(
                "energy grid",
                f"start {self.start} keV, step {self.step} keV, {self.bins} bins",
                "Give a positive step and at least one bin",
            )

    @property
    def centres(self) -> np.ndarray:
        """Bin centres, (bins,) float64 [keV]."""
        return self.start + self.step * np.arange(self.bins)

    @property
    def edges(self) -> np.ndarray:
        """Bin edges, (bins + 1,) float64 [keV]."""
        return self.start + self.step * (np.arange(self.bins + 1) - 0.5)

    def to_json(self) -> str:
        """One line of JSON, as banks and bundles store it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> EnergyGrid:
        """The grid that `to_json` wrote."""
        return cls(**json.loads(text))


def run_problems(run: xr.Dataset) -> list[str]:
    """Every way in which `run` breaks the schema, as sentences; reads no array."""
    level = COUNTS if "counts" in run else INTENSITY
    wanted: dict[str, Variable] = {"counts" if level is COUNTS else "intensity": level, **SPECTRUM}
    found = []
    for name, want in wanted.items():
        if name not in run:
            found.append(f"{name} is missing")
            continue
        have = run[name]
        if have.dims != want.dims:
            found.append(f"{name}: dimensions are {have.dims}, should be {want.dims}")
        if not _same_kind(have.dtype, want.dtype):
            found.append(f"{name}: dtype is {have.dtype}, should be {want.dtype}")
        if want.units and have.attrs.get("units") != want.units:
            found.append(f"{name}: units is {have.attrs.get('units')!r}, should be {want.units!r}")
    found += [
        f"attribute {name} is missing ({about})" for name, about in RUN_ATTRIBUTES.items() if name not in run.attrs
    ]
    return found


def validate_run(run: xr.Dataset, where: str) -> xr.Dataset:
    """Return `run` unchanged, or raise `SchemaError` that lists every problem."""
    if found := run_problems(run):
        raise SchemaError(where, "; ".join(found), "Mend the reader or the table it came from")
    return run


def spectrum_columns(columns: Mapping[str, Any]) -> dict[str, tuple[tuple[str, ...], Any, dict[str, str]]]:
    """Turn plain arrays into Dataset variables with the schema's dimensions, dtypes, units and meanings."""
    return {
        name: (
            SPECTRUM[name].dims,
            np.asarray(values, dtype=object if SPECTRUM[name].dtype == "str" else SPECTRUM[name].dtype),
            attributes(SPECTRUM[name]),
        )
        for name, values in columns.items()
    }


def attributes(variable: Variable) -> dict[str, str]:
    """The xarray attributes of a variable: its unit (where it has one) and its meaning."""
    return {**({"units": variable.units} if variable.units else {}), "long_name": variable.about}


def _same_kind(have: np.dtype[Any], want: str) -> bool:
    if want == "str":
        return have.kind in "OUT"
    if want.startswith("datetime64"):
        return have.kind == "M"
    return have == np.dtype(want)
