"""The one unit registry: quantities come in as text with a unit and leave as plain numbers in the bank's unit.

Everything inside corebank is in mm, keV, s, kV, mA and wt%; units are parsed here, at the edges, and nowhere else.
"""

from __future__ import annotations

import re
from functools import lru_cache

import pint

from corebank.errors import UnitError, Where

# "wt%" is how the field writes a mass fraction in percent; pint's grammar has no "%" inside a name.
_SPELLINGS = {"wt%": "weight_percent", "wt.%": "weight_percent", "wt %": "weight_percent", "µ": "u", "μ": "u"}

_COLUMN = re.compile(r"^(?P<name>.*\S)\s*\[(?P<unit>[^\[\]]+)\]$")


@lru_cache(maxsize=1)
def registry() -> pint.UnitRegistry[float]:
    """The registry, made once: pint's own units plus ``weight_percent`` and the mass fractions built on it."""
    units: pint.UnitRegistry[float] = pint.UnitRegistry(autoconvert_offset_to_baseunit=True)
    units.define("weight_percent = 0.01 = wt_percent")
    return units


def quantity(text: str, unit: str, where: Where) -> float:
    """The number that `text` (such as ``"33.4 cm"``) is in `unit` (such as ``"mm"``).

    Raises `UnitError` when `text` has no unit, an unknown one, or one of another dimension.
    """
    try:
        value = registry().Quantity(_spell(text))
    except (pint.PintError, ValueError, TypeError, SyntaxError, AttributeError, AssertionError) as error:
        raise UnitError(where, f"{text!r} is not a quantity ({error})", f'Write a number and a unit, as in "1.5 {unit}"') from error
    if value.dimensionless and value.units == registry().dimensionless and unit not in ("", "dimensionless"):
        raise UnitError(where, f"{text!r} has no unit", f'Write the unit too, as in "{text} {unit}"')
    try:
        return float(value.to(_spell(unit)).magnitude)
    except pint.PintError as error:
        raise UnitError(where, f"{text!r} cannot be given in {unit} ({error})", f"Give a unit that converts to {unit}") from error


def factor(unit: str, to: str, where: Where) -> float:
    """What a number in `unit` is multiplied with to be in `to`; raises `UnitError` as `quantity` does."""
    return quantity(f"1 {unit}", to, where)


def column(text: str, where: Where) -> tuple[str, str]:
    """Split ``"TOC_pct [wt%]"`` into column name and unit; raises `UnitError` without a known unit in brackets."""
    match = _COLUMN.match(text)
    if not match:
        raise UnitError(where, f"{text!r} names no unit", f'Write the unit in brackets, as in "{text} [wt%]"')
    unit = match["unit"].strip()
    try:
        registry().Unit(_spell(unit))
    except (pint.PintError, ValueError, TypeError, SyntaxError, AttributeError) as error:
        raise UnitError(where, f"unit {unit!r} of {text!r} is unknown", "Use a unit such as wt%, mg/g, ppm, cm or mm") from error
    return match["name"].strip(), unit


def _spell(text: str) -> str:
    for said, meant in _SPELLINGS.items():
        text = text.replace(said, meant)
    return text
