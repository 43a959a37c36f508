"""Headers of tables of spectra: which columns are channels and at what energies, and what the other columns say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from corebank.readers.spectrum import NAN

FEWEST = 64
"""Channels that a table must have to be taken for spectra; laboratory tables have fewer columns named by numbers."""

_NAME = re.compile(
    r"(?:(?:channel|chan|ch|energy|bin|c|e|x|v)[\s_.#-]*|(?P<sign>[+-])?)(?P<value>\d{1,9}(?:[.,]\d{1,9})?)"
    r"[\s_]*[\[(]?(?P<unit>kev|ev)?[\])]?",
    re.IGNORECASE,
)
_AXIS_NAMES = re.compile(r"(?:channels?|chan|ch|energy|energies)[\s_#.]*[\[(]?(kev|ev)?[\])]?|(kev|ev)", re.IGNORECASE)

_WIDTH = (0.0005, 1.0)
"""Narrowest and widest detector channel [keV]: real ones have 2 to 50 eV, tests and binned tables more."""

FIELDS: Mapping[str, tuple[str, ...]] = {
    "core": ("core", "core_id", "core_name"),
    "section": ("section", "section_id", "section_name"),
    "position": ("section_depth", "section_position", "position", "depth"),
    "depth": ("composite_depth",),
    "live_time": ("live_time", "livetime"),
    "real_time": ("real_time", "realtime"),
    "tube_voltage": ("tube_voltage", "voltage"),
    "tube_current": ("tube_current", "current"),
    "total": ("cps", "total_cps", "totalcps"),
    "gain": ("gain", "energy_gain"),
    "offset": ("offset", "energy_offset"),
    "anode": ("anode", "tube_anode"),
    "filter": ("filter",),
    "detector": ("detector", "detector_id"),
    "replicate": ("replicate", "rep"),
    "day": ("date", "day"),
    "clock": ("time", "clock"),
    "file": ("filename", "file", "file_name", "spectrum", "source"),
}
"""What a spectrum has -> the names that columns may have for it, the first of them that is there; a unit may follow.

``composite_depth_mm``, ``section_depth_mm``, ``cps`` and ``filename`` are the columns of the corpus behind MAX (arXiv
2410.12330). A bare ``depth`` is the position below the top that ``contribution.toml`` gives."""

UNITS: Mapping[str, Mapping[str, float]] = {
    "position": {"mm": 1.0, "cm": 10.0, "m": 1000.0},
    "depth": {"mm": 1.0, "cm": 10.0, "m": 1000.0},
    "live_time": {"": 1.0, "s": 1.0, "sec": 1.0, "ms": 1e-3},
    "real_time": {"": 1.0, "s": 1.0, "sec": 1.0, "ms": 1e-3},
    "tube_voltage": {"": 1.0, "kv": 1.0},
    "tube_current": {"ma": 1.0, "ua": 1e-3},
    "gain": {"kev": 1.0, "ev": 1e-3},
    "offset": {"kev": 1.0, "ev": 1e-3},
}
"""What a spectrum has -> unit -> factor to the bank's unit; "" where no unit can mean only one thing."""


class Axis(NamedTuple):
    """Where the channels stand and what energies [keV] they have; NaN where the headers count channels."""

    first: int
    """Place of the first channel."""
    channels: int
    gain: float
    offset: float


class Column(NamedTuple):
    """A column that says something of each spectrum."""

    name: str
    unit: str
    """As in `UNITS`."""


def axis(names: Sequence[str]) -> Axis | None:
    """The channels among the names of columns; None where there are none.

    They are the one stretch of at least `FEWEST` neighbours that count channels from 0 or 1, or rise evenly in keV or
    eV. Numbers without a unit that are 1 apart are channels, closer ones keV and wider ones eV, for a detector's
    channels are 2 to 50 eV wide.
    """
    stretches: list[list[int]] = [[]]
    for place, name in enumerate(names):
        if _NAME.fullmatch(name.strip()):
            stretches[-1].append(place)
        elif stretches[-1]:
            stretches.append([])
    long = [stretch for stretch in stretches if len(stretch) >= FEWEST]
    if len(long) != 1:
        return None
    (places,) = long
    energies = ladder([names[place] for place in places])
    return None if energies is None else Axis(places[0], len(places), *energies)


def ladder(names: Sequence[str], unit: str = "") -> tuple[float, float] | None:
    """Gain and offset [keV] of numbers that rise evenly, NaN for channels counted from 0 or 1; None for others."""
    found = [_NAME.fullmatch(name.strip()) for name in names]
    if len(found) < 2 or not all(found):
        return None
    texts = [(match["sign"] or "") + match["value"].replace(",", ".") for match in found if match]
    units = {(match["unit"] or unit).lower() for match in found if match}
    values = np.array(texts, dtype=np.float64)
    even = np.linspace(values[0], values[-1], len(values))
    step = float(even[1] - even[0])
    rounding = 10.0 ** -max(len(text.partition(".")[2]) for text in texts)  # as much as each name may be off
    if len(units) != 1 or step <= 0 or np.abs(values - even).max() > min(1.01 * rounding, 0.45 * step):
        return None
    (unit,) = units
    if not unit and rounding == 1.0 and step == 1.0:
        return (NAN, NAN) if values[0] in (0, 1) else None
    factor = 1e-3 if unit == "ev" or (not unit and step >= 2) else 1.0
    return (step * factor, float(values[0]) * factor) if _WIDTH[0] <= step * factor <= _WIDTH[1] else None


def axis_unit(name: str) -> str | None:
    """Unit of a first column that lists channels ("") or energies (``keV``, ``eV``, or "" as well); None for others."""
    found = _AXIS_NAMES.fullmatch(name.strip())
    return None if not found else found[1] or found[2] or ""


def columns(names: Sequence[str]) -> dict[str, Column]:
    """Which of `names` says what: a key of `FIELDS` -> the column."""
    bare: dict[str, Column] = {}
    for name in names:
        words = re.sub(r"[^a-z0-9]+", "_", name.lower().replace("µ", "u")).strip("_")
        stem, _, last = words.rpartition("_")
        unit = last if stem and any(last in known for known in UNITS.values()) else ""
        bare.setdefault(stem if unit else words, Column(name, unit))
    found = {field: next((bare[one] for one in known if one in bare), None) for field, known in FIELDS.items()}
    return {field: column for field, column in found.items() if column is not None}
