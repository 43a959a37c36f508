"""The one unit registry: quantities come in as text with a unit and leave as plain numbers in the bank's unit.

Everything inside corebank is in mm, keV, s, kV, mA and wt%; units are parsed here, at the edges, and nowhere else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache

import pint

from corebank.errors import UnitError, Where

# "wt%" is how the field writes a mass fraction in percent; pint's grammar has no "%" inside a name.
_SPELLINGS = {"wt%": "weight_percent", "wt.%": "weight_percent", "wt %": "weight_percent", "µ": "u", "μ": "u"}

# A number, then a unit: pint would also work out "9**9**9", which never ends, and read "nan mm".
_QUANTITY = re.compile(r"(?P<number>[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?)\s*(?P<unit>.*)", re.DOTALL)
_UNIT = re.compile(r"[^\W\d]\w*([ */·]+[^\W\d]\w*|(\*\*|\^)-?\d)*")

_FORMULA = re.compile(r"([A-Z][a-z]?([1-9]\d{0,2})?)+")
_ATOMS = re.compile(r"([A-Z][a-z]?)(\d*)")

_SHARES = {"weight_percent", "ppm", "ppb", "permille"}

_COLUMN = re.compile(r"^(?P<name>.*\S)\s*\[(?P<unit>[^\[\]]+)\]$")


@lru_cache(maxsize=1)
def registry() -> pint.UnitRegistry[float]:
    """The registry, made once: pint's own units plus ``weight_percent`` and the mass fractions built on it."""
    units: pint.UnitRegistry[float] = pint.UnitRegistry(autoconvert_offset_to_baseunit=True)
    units.define("weight_percent = 0.01 = wt_percent")
    units.define("ppb = 1e-9")
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


def is_share(unit: str) -> bool:
    """True for a unit of mass fraction (``wt%``, ``mg/g``, ``ppm``); a bare ``%`` may be a share of anything."""
    parsed = _unit(unit)
    if parsed is None or not parsed.dimensionless:
        return False
    if unit.replace(" ", "") == "g/g":
        return True  # to pint it is a plain number
    names = dict(registry().Quantity(1.0, parsed).unit_items())
    return bool(names) and all(
        name in _SHARES or registry().get_dimensionality(name) == {"[mass]": 1.0} for name in names
    )


def conversion(unit: str, wanted: str, where: Where, *, of: str = "", to: str = "") -> float:
    """What a value in `unit` is multiplied with to be in `wanted`, and to be of another compound.

    Parameters
    ----------
    unit, wanted
        Units of one dimension; shares of mass where compounds are given.
    of, to
        Chemical formulas that share one element besides oxygen, carbon and hydrogen, as in ``of="Fe2O3", to="Fe"``: the
        mass of `to` that holds as much of it as a unit mass of `of`. The same compound where `of` is empty.

    Raises `UnitError` when the units do not convert, or one of the compounds cannot be had from the other.
    """
    if not of:
        return factor(unit, wanted, where)
    for said in (unit, wanted):
        if not is_share(said):
            raise UnitError(where, f"{said} is no share of mass", "Only wt%, mg/g, ppm and the like go by formula")
    have, make = _formula(of, where), _formula(to, where)
    shared = have.keys() & make.keys() - {"O", "C", "H"}
    if len(shared) != 1:
        raise UnitError(
            where,
            f"{to} does not follow from {of}: they share no single metal",
            "Convert an oxide or a carbonate and its element, as in Fe2O3 and Fe, or CaCO3 and Ca",
        )
    element = shared.pop()
    return factor(unit, wanted, where) * (_mass(make) / make[element]) / (_mass(have) / have[element])


def _formula(text: str, where: Where) -> dict[str, int]:
    """Atoms of each element in a plain formula such as ``CaCO3``."""
    from xraylib import SymbolToAtomicNumber

    atoms: dict[str, int] = {}
    for symbol, count in _ATOMS.findall(text) if _FORMULA.fullmatch(text) else ():
        try:
            SymbolToAtomicNumber(symbol)
        except ValueError:
            break
        atoms[symbol] = atoms.get(symbol, 0) + int(count or 1)
    else:
        if atoms:
            return atoms
    raise UnitError(
        where,
        f"{text!r} is no chemical formula",
        "Only compounds convert, such as Fe2O3, CaO, CaCO3; TOC and LOI do not",
    )


def _mass(atoms: Mapping[str, int]) -> float:
    """Molar mass [g/mol], by the atomic weights of xraylib (those of the NIST tables)."""
    from xraylib import AtomicWeight, SymbolToAtomicNumber

    return sum(count * float(AtomicWeight(SymbolToAtomicNumber(symbol))) for symbol, count in atoms.items())


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
