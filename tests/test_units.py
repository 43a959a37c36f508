"""Quantities: numbers with units in, plain numbers in the bank's units out, and nothing guessed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import units
from corebank.errors import UnitError

LENGTHS = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "inch": 25.4}


@settings(deadline=None)
@given(st.floats(-1e9, 1e9), st.sampled_from(sorted(LENGTHS)), st.sampled_from(["", " ", "  "]))
def test_a_length_is_its_number_of_millimetres(number: float, unit: str, gap: str) -> None:
    assert units.quantity(f"{number}{gap}{unit}", "mm", "top") == pytest.approx(
        number * LENGTHS[unit], rel=1e-9, abs=1e-12
    )


@settings(deadline=None, max_examples=500)
@given(
    st.text(max_size=20) | st.text("0123456789.eE+-*/() mckgVs%wtµ", max_size=20), st.sampled_from(["mm", "wt%", "keV"])
)
def test_any_text_is_a_finite_number_or_a_unit_error(text: str, unit: str) -> None:
    try:
        assert math.isfinite(units.quantity(text, unit, "top"))
    except UnitError as error:
        assert str(error).startswith("top: ")  # noqa: PT017 - some texts are quantities


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("33.4 cm", "mm", 334.0),
        ("-31.5 mm", "mm", -31.5),
        ("1.5e1 mm", "mm", 15.0),
        ("20 eV", "keV", 0.02),
        ("1.2 km", "m", 1200.0),
        ("5 wt%", "wt%", 5.0),
        ("5wt.%", "wt%", 5.0),
        ("5 wt %", "wt%", 5.0),
        ("50 mg/g", "wt%", 5.0),
        ("50000 ppm", "wt%", 5.0),
        ("0.05 g/g", "wt%", 5.0),
        ("150 µA", "mA", 0.15),
    ],
)
def test_quantities_as_the_field_writes_them(text: str, unit: str, expected: float) -> None:
    assert units.quantity(text, unit, "here") == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("33.4", r"top: '33\.4' has no unit\. Write the unit too, as in \"33\.4 mm\"\."),
        ("33.4 fathomz", "'33.4 fathomz' is not a quantity"),
        ("33.4 s", "'33.4 s' cannot be given in mm .* Give a unit that converts to mm"),
        ("5 wt%", "cannot be given in mm"),
        ("deep", "'deep' is not a quantity"),
        ("cm", "'cm' is not a quantity"),
        ("nan mm", "'nan mm' is not a quantity"),
        ("1e999 mm", "'1e999 mm' is not a quantity"),
        ("9**9**9**9 mm", "is not a quantity"),
        ("33,4 cm", "'33,4 cm' is not a quantity"),
        ("", "'' is not a quantity"),
    ],
)
def test_what_is_no_length_is_refused_with_what_to_write(text: str, found: str) -> None:
    with pytest.raises(UnitError, match=found):
        units.quantity(text, "mm", "top")


def test_a_factor_converts_a_whole_column() -> None:
    assert units.factor("cm", "mm", "lab.csv") == 10.0
    assert units.factor("ppm", "wt%", "lab.csv") == pytest.approx(1e-4)
    with pytest.raises(UnitError, match=r"lab\.csv: '1 wt%' cannot be given in mm"):
        units.factor("wt%", "mm", "lab.csv")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TOC_pct [wt%]", ("TOC_pct", "wt%")),
        ("depth (top) [cm]", ("depth (top)", "cm")),
        ("Sr[ppm]", ("Sr", "ppm")),
        ("a [b] [ mg/g ]", ("a [b]", "mg/g")),
    ],
)
def test_a_column_names_its_unit_in_brackets(text: str, expected: tuple[str, str]) -> None:
    assert units.column(text, "columns") == expected


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("TOC_pct", "'TOC_pct' names no unit. Write the unit in brackets"),
        ("TOC []", "names no unit"),
        ("[wt%]", "names no unit"),
        ("TOC [percentage of it]", "unit 'percentage of it' of .* is unknown"),
    ],
)
def test_a_column_without_a_known_unit_is_refused(text: str, found: str) -> None:
    with pytest.raises(UnitError, match=found):
        units.column(text, "columns")


@settings(deadline=None)
@given(st.text(max_size=12) | st.text("0123456789*/+-() wt%[", max_size=12))
def test_any_text_in_brackets_is_a_unit_or_a_unit_error(text: str) -> None:
    try:
        units.column(f"TOC [{text}]", "columns")
    except UnitError as error:
        assert "Write the unit" in str(error) or "Use a unit" in str(error)  # noqa: PT017 - some texts are units


SHARES = {
    "wt%": 1.0,
    "mg/g": 0.1,
    "g/kg": 0.1,
    "ppm": 1e-4,
    "ug/g": 1e-4,
    "µg/g": 1e-4,
    "mg/kg": 1e-4,
    "ppb": 1e-7,
    "g/g": 100.0,
}


@settings(deadline=None)
@given(st.floats(0, 1e6), st.sampled_from(sorted(SHARES)), st.sampled_from(sorted(SHARES)))
def test_a_share_of_mass_is_the_same_in_every_unit(number: float, unit: str, wanted: str) -> None:
    assert units.is_share(unit)
    converted = number * units.conversion(unit, wanted, "lab.csv")
    assert converted == pytest.approx(number * SHARES[unit] / SHARES[wanted], rel=1e-12)


@pytest.mark.parametrize("unit", ["%", "cm", "mg/L", "mol/kg", "dimensionless", "wt%/cm", "mm/m", "parsecs/", ""])
def test_what_may_be_a_share_of_something_else_is_no_share_of_mass(unit: str) -> None:
    assert not units.is_share(unit)


# Molar masses worked out by hand from the abridged standard atomic weights of IUPAC (2021).
IN_COMPOUND = {
    ("Fe2O3", "Fe"): 2 * 55.845 / (2 * 55.845 + 3 * 15.999),
    ("CaO", "Ca"): 40.078 / (40.078 + 15.999),
    ("CaCO3", "Ca"): 40.078 / (40.078 + 12.011 + 3 * 15.999),
    ("P2O5", "P"): 2 * 30.974 / (2 * 30.974 + 5 * 15.999),
    ("SiO2", "Si"): 28.085 / (28.085 + 2 * 15.999),
    ("CaO", "CaCO3"): (40.078 + 12.011 + 3 * 15.999) / (40.078 + 15.999),
}


@pytest.mark.parametrize(("compounds", "expected"), IN_COMPOUND.items(), ids=map(str, IN_COMPOUND))
def test_an_element_is_its_share_of_a_compound_and_back(compounds: tuple[str, str], expected: float) -> None:
    of, to = compounds
    there = units.conversion("wt%", "wt%", "lab.csv", of=of, to=to)
    assert there == pytest.approx(expected, rel=1e-3)
    assert units.conversion("wt%", "wt%", "lab.csv", of=to, to=of) * there == pytest.approx(1.0, rel=1e-12)
    assert units.conversion("ppm", "wt%", "lab.csv", of=of, to=to) == pytest.approx(there * 1e-4, rel=1e-12)


@pytest.mark.parametrize(
    ("unit", "of", "to", "found"),
    [
        ("wt%", "TOC", "C", "'TOC' is no chemical formula. Only compounds convert, .* TOC and LOI do not"),
        ("wt%", "LOI", "Ca", "'LOI' is no chemical formula"),
        ("wt%", "Fe2O3", "Al", "Al does not follow from Fe2O3"),
        ("wt%", "CaCO3", "MgCO3", "MgCO3 does not follow from CaCO3"),
        ("wt%", "CaCO3", "CO2", "CO2 does not follow from CaCO3"),
        ("wt%", "Fe0", "Fe", "'Fe0' is no chemical formula"),
        ("mg/L", "CaO", "Ca", "mg/L is no share of mass"),
    ],
)
def test_what_does_not_follow_by_stoichiometry_is_refused(unit: str, of: str, to: str, found: str) -> None:
    with pytest.raises(UnitError, match=found):
        units.conversion(unit, "wt%", "lab.csv", of=of, to=to)
