"""Laboratory tables: which columns name the sample, its depth and its values, as guessed from the header.

Units are taken from the header and never guessed from values: a column without one is listed, not taken. Of a depth
without a unit, the core's length tells what it can be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from corebank import units
from corebank.contribution.draft import names
from corebank.errors import ReadError, UnitError
from corebank.readers import frames
from corebank.readers.files import Entry

MASS = {
    "wt%": "wt%", "wt.%": "wt%", "wt %": "wt%", "wt. %": "wt%", "mass%": "wt%", "mass %": "wt%", "weight%": "wt%",
    "%": "wt%", "pct": "wt%", "percent": "wt%", "wt": "wt%", "wtpct": "wt%", "wt_pct": "wt%", "wt_percent": "wt%",
    "ppm": "ppm", "ppb": "ppb", "mg/kg": "mg/kg", "mg_kg": "mg/kg", "mg kg-1": "mg/kg", "ug/g": "ug/g",
    "ug_g": "ug/g", "µg/g": "ug/g", "mg/g": "mg/g", "mg_g": "mg/g", "g/kg": "g/kg", "g_kg": "g/kg",
}  # fmt: skip
"""How tables write a share of mass -> the unit."""

LENGTH = {"mm": "mm", "cm": "cm", "m": "m", "mbsf": "m", "mcd": "m", "mblf": "m", "cmbsf": "cm", "cmblf": "cm"}
"""How tables write a depth -> the unit; the scales of ocean and lake drilling count metres below the floor."""

_BRACKETS = re.compile(r"(?P<stem>.*?)\s*[\[(]\s*(?P<unit>[^\[\]()]+?)\s*[\])]\s*")
_BEHIND = re.compile(
    r"(?P<stem>.*[^\s_.,-])[\s_.,-]+(?P<unit>" + "|".join(re.escape(unit) for unit in [*MASS, *LENGTH]) + ")",
    re.IGNORECASE,
)
_PERCENT = re.compile(r"(?P<stem>.*[^\s_%])%|%\s*(?P<rest>.+)")
_DEPTH_WORDS = {"depth", "position", "top", "bottom", "bot", "base", "mcd", "mbsf", "mblf", "composite"}
_UPPER, _LOWER = {"top", "upper", "min", "from", "start"}, {"bottom", "bot", "base", "lower", "max", "to", "end"}
_COMPOSITE = {"composite", "comp", "mcd", "mbsf", "mblf", "strat", "master", "core"}
_INSIDE = {"section", "position", "itrax", "scanner"}
_DEVIATION = re.compile(r"(?P<stem>.+?)[\s_.-]*(?:error|err|sd|std|stdev|sigma|uncertainty)", re.IGNORECASE)
_SLACK = 1.2
"""A table may reach so much deeper than the scans, by share, before its unit of depth is thought to be another."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name in the table, a unit ("" where the header has none), and words of its name, in small."""

    name: str
    stem: str
    unit: str
    words: frozenset[str]


@dataclass(slots=True)
class Laboratory:
    """One table, as far as its header tells."""

    file: str
    core: str = ""
    section: str = ""
    cores: list[str] = field(default_factory=list)
    """Names in the core column, in order."""
    sections: list[str] = field(default_factory=list)
    depths: list[tuple[str, Column]] = field(default_factory=list)
    """Key in contribution.toml (``top``, ``position`` ...) and the column."""
    thickness: float = float("nan")
    """[mm], where the columns tell it and the key cannot."""
    deepest: float = float("nan")
    """Largest number in a column of depth."""
    values: dict[str, Column] = field(default_factory=dict)
    deviations: dict[str, Column] = field(default_factory=dict)
    unitless: list[str] = field(default_factory=list)
    """Columns of numbers without a unit."""
    problem: str = ""


def read(entry: Entry) -> Laboratory:
    """Look at one table; what cannot be made out is said in ``problem``, and nothing is raised."""
    out = Laboratory(entry.name)
    try:
        table = frames.frame(entry.load())
        numeric = {name: numbers for name in table.columns if np.isfinite(numbers := _numbers(table, name)).any()}
    except ReadError as error:
        out.problem = f"{error.found}. {error.fix}"
        return out
    known = [column(str(name)) for name in table.columns]
    for one in known:
        if one.name not in numeric and one.words & {"core"} and not out.core:
            out.core, out.cores = one.name, _texts(table, one.name)
        elif "section" in one.words and not one.unit and not one.words & _DEPTH_WORDS and not out.section:
            out.section, out.sections = one.name, _texts(table, one.name)
    depths = [one for one in known if one.name in numeric and _is_depth(one)]
    _depths(out, depths, numeric)
    for one in known:
        if one.name in numeric and one not in depths and one.name not in (out.core, out.section):
            _value(out, one)
    if not out.depths:
        out.problem = "no column is named as a depth"
    elif not out.values:
        out.problem = "no column of values has a unit in its header"
    return out


def column(name: str) -> Column:
    """A column's name taken apart: ``TOC_pct``, ``TOC [wt%]``, ``%TOC`` are all TOC in wt%."""
    stem, unit = name, ""
    if found := _BRACKETS.fullmatch(name):
        stem, unit = found["stem"], MASS.get(found["unit"].lower(), LENGTH.get(found["unit"].lower(), found["unit"]))
    elif found := _BEHIND.fullmatch(name):
        stem, unit = found["stem"], MASS.get(found["unit"].lower(), LENGTH.get(found["unit"].lower(), ""))
    elif found := _PERCENT.fullmatch(name):
        stem, unit = found["stem"] or found["rest"], "wt%"
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)
    return Column(name, stem.strip(" _.-"), unit if _known(unit) else "", frozenset(word.lower() for word in words))


def depth_unit(found: Laboratory, deepest: float) -> str:
    """The largest unit in which the table does not reach below `deepest` [mm]; "" where none is small enough."""
    for unit in ("m", "cm", "mm"):
        if found.deepest * units.factor(unit, "mm", found.file) <= deepest * _SLACK:
            return unit
    return ""


def unknown(said: Sequence[str], known: Sequence[str]) -> list[str]:
    """The names of a table that no part of the contribution has, in order."""
    return [name for name in said if not any(names.same(name, one) for one in known)]


def _depths(out: Laboratory, found: Sequence[Column], numeric: Mapping[str, np.ndarray]) -> None:
    """Choose one of the three ways to say where a sample is; positions in sections first, where sections are named."""
    uppers, lowers = [one for one in found if one.words & _UPPER], [one for one in found if one.words & _LOWER]
    middles = [one for one in found if not one.words & (_UPPER | _LOWER)]
    inside = [one for one in middles if one.words & _INSIDE and not one.words & _COMPOSITE]
    composite = [one for one in middles if one.words & _COMPOSITE] or [one for one in middles if one not in inside]
    pairs = [(a, b) for a in uppers for b in lowers if a.words - _UPPER == b.words - _LOWER]
    if out.section and inside:
        out.depths = [("position", max(inside, key=lambda one: len(one.words & {"position"})))]
    elif out.section and (within := [pair for pair in pairs if pair[0].words & _INSIDE]):
        upper, lower = max(within, key=lambda pair: len(pair[0].words & {"position"}))
        apart = numeric[lower.name] - numeric[upper.name]
        apart = apart[np.isfinite(apart)]
        if apart.size and upper.unit and np.ptp(apart) == 0 and apart[0] > 0:
            out.depths = [("position", upper)]
            out.thickness = float(apart[0]) * units.factor(upper.unit, "mm", out.file)
    if not out.depths and (whole := [pair for pair in pairs if not pair[0].words & _INSIDE]):
        upper, lower = max(whole, key=lambda pair: len(pair[0].words & _COMPOSITE))
        out.depths = [("top", upper), ("bottom", lower)]
    if not out.depths and composite:
        out.depths = [("depth", composite[0])]
    if out.depths:
        out.deepest = max(float(np.nanmax(numeric[one.name])) for _, one in out.depths)


def _value(out: Laboratory, one: Column) -> None:
    if found := _DEVIATION.fullmatch(one.stem):
        proxy = found["stem"].strip(" _.-")
        if one.unit and proxy in out.values:
            out.deviations[proxy] = one
    elif not one.unit or one.unit in LENGTH.values():
        out.unitless.append(one.name)
    else:
        name = next(text for text in _spellings(one) if text not in out.values)
        out.values[name] = one


def _spellings(one: Column) -> list[str]:
    return [one.stem or one.name, one.name, f"{one.name} again"]


def _is_depth(one: Column) -> bool:
    return bool(one.words & _DEPTH_WORDS) and (not one.unit or one.unit in LENGTH.values())


def _numbers(table: pd.DataFrame, name: str) -> np.ndarray:
    return frames.numbers(table, [name])[name]


def _texts(table: pd.DataFrame, name: str) -> list[str]:
    return list(dict.fromkeys(text.strip() for text in table[name] if text.strip()))


def _known(unit: str) -> bool:
    """True for a share of mass or a length: other columns (ages, colours, isotopes) are no values that a bank holds."""
    try:
        return bool(unit) and (unit in LENGTH.values() or units.factor(unit, "wt%", unit) > 0)
    except UnitError:
        return False
