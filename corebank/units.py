"""The one unit registry: quantities come in as text with a unit and leave as plain numbers in the bank's unit.

Everything inside corebank is in mm, keV, s, kV, mA and wt%; units are parsed here, at the edges, and nowhere else.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

import pint

from corebank.errors import UnitError, Where

# "wt%" is how the field writes a mass fraction in percent; pint's grammar has no "%" inside a name.
_SPELLINGS = {"wt%": "weight_percent", "wt.%": "weight_percent", "wt %": "weight_percent", "µ": "u", "μ": "u"}

# A number, then a unit: pint would also work out "9**9**9", which never ends, and read "nan mm".
_QUANTITY = re.compile(r"(?P<number>[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?)\s*(?P<unit>.*)", re.DOTALL)
_UNIT = re.compile(r"[^\W\d]\w*([ */·]+[^\W\d]\w*|(\*\*|\^)-?\d)*")

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
    match = _QUANTITY.fullmatch(text.strip())
    said = _unit(match["unit"]) if match else None
    if match and not match["unit"]:
        raise UnitError(where, f"{text!r} has no unit", f'Write the unit too, as in "{text} {unit}"')
    if not match or said is None or not math.isfinite(number := float(match["number"])):
        raise UnitError(where, f"{text!r} is not a quantity", f'Write a number and a unit, as in "1.5 {unit}"')
    try:
        value = float(registry().Quantity(number, said).to(_spell(unit)).magnitude)
    except (pint.PintError, OverflowError) as error:
        raise UnitError(
            where, f"{text!r} cannot be given in {unit} ({error})", f"Give a unit that converts to {unit}"
        ) from error
    if not math.isfinite(value):
        raise UnitError(where, f"{text!r} is not a quantity", f'Write a number and a unit, as in "1.5 {unit}"')
    return value


def factor(unit: str, to: str, where: Where) -> float:
    """What a number in `unit` is multiplied with to be in `to`; raises `UnitError` as `quantity` does."""
    return quantity(f"1 {unit}", to, where)


def column(text: str, where: Where) -> tuple[str, str]:
    """Split ``"TOC_pct [wt%]"`` into column name and unit; raises `UnitError` without a known unit in brackets."""
    match = _COLUMN.match(text)
    if not match:
        raise UnitError(where, f"{text!r} names no unit", f'Write the unit in brackets, as in "{text} [wt%]"')
    unit = match["unit"].strip()
    if _unit(unit) is None:
        raise UnitError(where, f"unit {unit!r} of {text!r} is unknown", "Use a unit such as wt%, mg/g, ppm, cm or mm")
    return match["name"].strip(), unit


def _unit(text: str) -> pint.Unit | None:
    """The unit that `text` names, or None."""
    spelled = _spell(text)
    if spelled != "%" and not _UNIT.fullmatch(spelled):
        return None
    try:
        return registry().Unit(spelled)
    except (pint.PintError, ValueError, TypeError, AttributeError, AssertionError, KeyError, OverflowError):
        return None


def _spell(text: str) -> str:
    for said, meant in _SPELLINGS.items():
        text = text.replace(said, meant)
    return text
