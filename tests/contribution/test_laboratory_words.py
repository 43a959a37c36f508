"""What a contributor may ask for in [[measurements]]: shifts, other units and compounds, rows left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from corebank.contribution import metadata
from corebank.errors import ContributionError
from tests.contribution.tables import of_kind, table


def test_shift_and_tolerance_move_and_widen_every_interval() -> None:
    found, findings = table("d,toc\n33.5,1.5\n", cores="A", depth=("d", "cm"), shift=5.0, tolerance=2.0)
    assert found[["depth_top", "depth_bottom"]].to_numpy().tolist() == [[333.0, 347.0]]
    assert of_kind(findings, "converted").found == "every depth moved by 5 mm"


def test_a_standard_deviation_comes_in_the_unit_of_its_value() -> None:
    found, _ = table(
        "d,toc,sd\n1,2,500\n2,3,n.d.\n", cores="A", depth=("d", "cm"), uncertainty={"TOC": ("sd", "mg/kg")}
    )
    np.testing.assert_allclose(found["uncertainty"], [0.05, np.nan], rtol=1e-12)


def test_blanks_and_reference_materials_are_left_out_on_request() -> None:
    content = "d,toc\n1,2\nBLANK,0.1\nMESS-4,3\n"
    one = of_kind(table(content, cores="A", depth=("d", "cm"))[1], "no-depth")
    assert one.items == ("lab.csv, line 3, column d", "lab.csv, line 4, column d")
    assert one.fix.startswith('Write leave_out = ["BLANK", "MESS-4"] in [[measurements]] if these are no samples')
    found, findings = table(content, cores="A", depth=("d", "cm"), leave_out=("BLANK", "MESS-4", "IAEA"))
    assert found["value"].tolist() == [2.0]
    said = "2 rows with BLANK, MESS-4, IAEA are left out as contribution.toml says; none with IAEA"
    assert [(finding.kind, finding.found) for finding in findings] == [("stays-out", said)]


def test_another_compound_stands_beside_the_one_it_was_made_from() -> None:
    found, findings = table(
        "d,ca,sd\n1,100000,1000\n",
        cores="A",
        depth=("d", "cm"),
        columns={"Ca": ("ca", "ppm")},
        uncertainty={"Ca": ("sd", "ppm")},
        convert={"CaCO3": ("wt%", "Ca"), "Ca": ("wt%", "")},
    )
    assert found["proxy"].tolist() == ["CaCO3", "Ca"]
    np.testing.assert_allclose(found["value"], [24.9726, 10.0], rtol=1e-5)
    np.testing.assert_allclose(found["uncertainty"], [0.249726, 0.1], rtol=1e-5)
    assert found["unit"].tolist() == ["wt%", "wt%"]
    assert found["method"].tolist() == ["CHN; from Ca by stoichiometry", "CHN"]
    assert [finding.items for finding in findings] == [("lab.csv, line 2, column ca",)] * 2
    assert "Ca [ppm] times 0.000249726" in findings[0].found


def test_a_value_that_cannot_be_what_it_is_converted_to_is_refused() -> None:
    found, findings = table(
        "d,ca\n1,56\n2,30\n",
        cores="A",
        depth=("d", "cm"),
        columns={"Ca": ("ca", "wt%")},
        convert={"CaCO3": ("wt%", "Ca")},
    )
    assert found["proxy"].tolist() == ["Ca", "Ca", "CaCO3"]
    one = of_kind(findings, "out-of-range")
    assert one.where == "lab.csv, line 2, column ca"
    assert one.found == "CaCO3 from Ca would be 139.8 wt%, outside -10 to 110 wt%"


TOML = """\
[expedition]
name = "c"
title = "c"
site = "lab"
steward = "me"
licence = "CC0-1.0"
[[core]]
name = "A"
[[core.section]]
folder = "S1"
name = "S1"
top = "0 mm"
[[measurements]]
file = "lab.xlsx"
depth = "d [cm]"
columns = { Ca = "ca [ppm]", Fe2O3 = "fe [wt%]" }
"""


def test_what_a_table_needs_is_said_in_contribution_toml(tmp_path: Path) -> None:
    more = """\
sheet = "Oxides"
shift = "5 mm"
tolerance = "0.2 cm"
uncertainty = { Ca = "ca_sd [ppm]" }
convert = { CaCO3 = "wt% from Ca", Fe2O3 = "mg/g" }
leave_out = ["BLANK"]
"""
    (tmp_path / "contribution.toml").write_text(TOML + more)
    one = metadata.read(tmp_path / "contribution.toml").measurements[0]
    assert (one.sheet, one.shift, one.tolerance, one.leave_out) == ("Oxides", 5.0, 2.0, ("BLANK",))
    assert one.uncertainty == {"Ca": ("ca_sd", "ppm")}
    assert one.convert == {"CaCO3": ("wt%", "Ca"), "Fe2O3": ("mg/g", "")}


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ('tolerance = "-1 mm"', r"measurements\[1\]\.tolerance: is -1 mm, should be nothing or more"),
        ('uncertainty = { TOC = "sd [wt%]" }', r"uncertainty\.TOC: is no proxy of columns; those are Ca, Fe2O3"),
        ('convert = { CaCO3 = "wt% from Sr" }', r"convert\.CaCO3: Sr is no proxy of columns; those are Ca, Fe2O3"),
        ('convert = { Sr = "wt%" }', r"convert\.Sr: Sr is no proxy of columns"),
        ('convert = { Ca = "cm" }', r"convert\.Ca: '1 ppm' cannot be given in cm"),
        ('convert = { Ca = "wt% from Fe2O3" }', r"convert\.Ca: is a proxy of columns already"),
        ('convert = { TOC = "wt% from Ca" }', r"convert\.TOC: 'TOC' is no chemical formula.*TOC and LOI do not"),
        ('convert = { MgO = "wt% from Ca" }', r"convert\.MgO: MgO does not follow from Ca"),
    ],
)
def test_what_cannot_be_done_to_a_table_is_said_by_its_key(tmp_path: Path, more: str, found: str) -> None:
    (tmp_path / "contribution.toml").write_text(TOML + more + "\n")
    with pytest.raises(ContributionError, match=found):
        metadata.read(tmp_path / "contribution.toml")
