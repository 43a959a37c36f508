"""Tables of laboratory values: nothing turned into a number that was none, and everything odd named by its cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank.contribution import laboratory
from corebank.contribution.laboratory_cells import says_nothing
from corebank.contribution.metadata import Core, Laboratory, Metadata, Scanner
from corebank.readers.files import File
from tests.contribution.tables import EXPEDITION, SECTIONS, of_kind, table


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.floats(0, 1e4), st.floats(-10, 110)), min_size=1, max_size=5, unique_by=lambda row: row[0])
)
def test_numbers_come_through_as_they_are_written(rows: list[tuple[float, float]]) -> None:
    found, findings = table(
        "d,toc\n" + "".join(f"{depth!r},{value!r}\n" for depth, value in rows),
        cores="A",
        depth=("d", "mm"),
        thickness=2.0,
    )
    assert found["value"].tolist() == [value for _, value in rows]
    np.testing.assert_array_equal(found["depth_top"], [depth - 1 for depth, _ in rows])
    np.testing.assert_array_equal(found["depth_bottom"], [depth + 1 for depth, _ in rows])
    assert {finding.kind for finding in findings} <= {"negative", "repeated-depth"}


SAYS_NOTHING = [
    "b.d.l.",
    "BDL",
    "<LOD",
    "< 0.05",
    "<0,05",
    ">100",
    "ND",
    "n.d.",
    "N/A",
    "n.a.",
    "",
    "-",
    "–",
    "-999.00",
    "(nd)",
]
BROKEN = ["#REF!", "#DIV/0!", "#N/A", "=A2*2", "inf", "1.2.3", "see note", "1 000", "12 wt%"]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from([*SAYS_NOTHING, *BROKEN, "1.5", "0", "-0.2", "111"]), min_size=1, max_size=8))
def test_every_cell_is_a_value_or_named_in_exactly_one_finding(cells: list[str]) -> None:
    found, findings = table(
        "d,toc\n" + "".join(f'{row},"{cell}"\n' for row, cell in enumerate(cells)), cores="A", depth=("d", "cm")
    )
    named = [item for finding in findings if finding.kind != "negative" for item in finding.items]
    values = [row for row, cell in enumerate(cells) if cell in ("1.5", "0", "-0.2")]
    assert found["value"].tolist() == [float(cells[row]) for row in values]
    others = [row for row in range(len(cells)) if row not in values]
    assert sorted(named) == sorted(f"lab.csv, line {row + 2}, column toc" for row in others)


@pytest.mark.parametrize("text", SAYS_NOTHING)
def test_what_laboratories_write_for_no_number_is_known(text: str) -> None:
    assert says_nothing(text)


@pytest.mark.parametrize("text", [*BROKEN, "<", "none of it", "x", "-99"])
def test_other_texts_are_not_taken_for_it(text: str) -> None:
    assert not says_nothing(text)


def test_a_cell_that_holds_no_number_is_counted_by_what_it_says_and_named() -> None:
    content = "\ufeffd,toc,zr\n1,b.d.l.,5\n2,#REF!,6\n3,,7\n4,b.d.l.,inf\n5,0.2,8\n6\n"
    found, findings = table(content, cores="A", depth=("d", "mm"), columns={"TOC": ("toc", "wt%"), "Zr": ("zr", "ppm")})
    assert found[["proxy", "value"]].to_numpy().tolist() == [
        ["TOC", 0.2],
        ["Zr", 5.0],
        ["Zr", 6.0],
        ["Zr", 7.0],
        ["Zr", 8.0],
    ]
    told = [(finding.kind, finding.where, finding.found, finding.items) for finding in findings]
    in_toc = tuple(f"lab.csv, line {line}, column toc" for line in (2, 4, 5, 7))
    without = "no number in 4 cells: b.d.l. (2), empty (2)"
    broken = "1 cell with what is neither a number nor known to mean none: "
    assert told == [
        ("no-number", "lab.csv, column toc", without, in_toc),
        ("broken-cell", "lab.csv, line 3, column toc", broken + "#REF! (1)", ("lab.csv, line 3, column toc",)),
        (
            "no-number",
            "lab.csv, line 7, column zr",
            "no number in 1 cell: empty (1)",
            ("lab.csv, line 7, column zr",),
        ),
        ("broken-cell", "lab.csv, line 5, column zr", broken + "inf (1)", ("lab.csv, line 5, column zr",)),
    ]


def test_a_line_of_units_and_a_remark_are_no_samples() -> None:
    found, findings = table("d,toc,zr\ncm,wt%,ppm\n,wt%,ppm\n1,2,\n", cores="A", depth=("d", "cm"))
    assert found["value"].tolist() == [2.0]
    assert [(finding.kind, finding.items) for finding in findings] == [
        ("broken-cell", ("lab.csv, line 2, column toc",))  # this one names a depth, so a value may have been meant
    ]


def test_a_table_without_a_single_number_holds_no_measurement() -> None:
    found, findings = table("d,toc\n1,b.d.l.\n", cores="A", depth=("d", "mm"))
    assert found.empty
    assert list(found.columns) == list(laboratory.COLUMNS)
    assert [finding.kind for finding in findings] == ["no-number"]
    assert table("d,toc\n", cores="A", depth=("d", "mm"))[0].empty


def test_a_negative_share_is_kept_as_the_laboratory_gave_it_and_flagged() -> None:
    found, findings = table("d,toc\n1,-4.6\n2,1\n", cores="A", depth=("d", "mm"))
    assert found["value"].tolist() == [-4.6, 1.0]
    one = of_kind(findings, "negative")
    assert (one.severity, one.items) == ("flagged", ("lab.csv, line 2, column toc",))
    assert "-4.6 wt%" in one.found


def test_a_negative_isotope_ratio_is_as_it_should_be() -> None:
    found, findings = table("d,toc\n1,-29\n", cores="A", depth=("d", "mm"), columns={"d13C": ("toc", "dimensionless")})
    assert found["value"].tolist() == [-29.0]
    assert findings == []


def test_several_values_of_one_depth_are_all_kept_and_named() -> None:
    found, findings = table("d,toc\n1,2\n3,2\n1,2.5\n", cores="A", depth=("d", "cm"))
    assert found["value"].tolist() == [2.0, 2.0, 2.5]
    one = of_kind(findings, "repeated-depth")
    assert one.items == ("lab.csv, line 2, column toc", "lab.csv, line 4, column toc")
    assert one.found == "several values of TOC, such as 0.5 to 1.5 cm of core A"


def test_a_cell_shown_as_a_percentage_is_one_where_the_unit_is_percent() -> None:
    content = "d,toc\n1,5.2%\n2,3 %\n"
    assert table(content, cores="A", depth=("d", "cm"))[0]["value"].tolist() == [5.2, 3.0]
    found, findings = table(content, cores="A", depth=("d", "cm"), columns={"Zr": ("toc", "ppm")})
    assert found.empty
    assert of_kind(findings, "broken-cell").items == ("lab.csv, line 2, column toc", "lab.csv, line 3, column toc")


def test_decimal_commas_are_read_where_semicolons_separate_cells() -> None:
    found, findings = table("d;toc\n33,5;1,5\n", cores="A", depth=("d", "cm"))
    assert found[["depth_top", "value"]].to_numpy().tolist() == [[330.0, 1.5]]
    assert findings == []


def test_everything_wrong_with_all_tables_is_said_at_once() -> None:
    content = "c,d,toc\nAA,1,1\nA,?,2\nA,3,300\nA,4,#REF!\nA,5,1\n"
    found, findings = table(content, cores="A", core="c", depth=("d", "cm"))
    assert found["value"].tolist() == [1.0]
    assert {finding.kind for finding in findings} == {"unknown-name", "no-depth", "out-of-range", "broken-cell"}
    assert of_kind(findings, "unknown-name").fix.startswith("Write 'A' if that is meant")


def test_a_table_that_is_not_in_the_folder_is_named() -> None:
    words = Metadata(
        expedition=EXPEDITION,
        scanner=Scanner(),
        cores=(Core(name="A"),),
        sections=SECTIONS,
        measurements=(Laboratory(file="gone.csv", columns={"TOC": ("toc", "wt%")}, depth=("d", "mm")),),
    )
    found, findings = laboratory.measurements(words, {})
    assert found.empty
    assert (findings[0].kind, findings[0].where) == ("table", "gone.csv")
    assert "is named under [[measurements]] and not in the folder" in findings[0].found


@pytest.mark.real
def test_the_values_of_a_real_core_come_in_with_what_they_lack(data: Path) -> None:
    name = "calibration_samples/CD166_19_benchtop.csv"
    one = Laboratory(file=name, columns={"Cu": ("Cu", "ppm"), "Ca": ("Ca", "wt%")}, depth=("column 1", "cm"))
    words = Metadata(
        expedition=EXPEDITION, scanner=Scanner(), cores=(Core(name="A"),), sections=SECTIONS, measurements=(one,)
    )
    content = (data / "itrax-cd166" / name).read_bytes()
    found, findings = laboratory.measurements(words, {name: File(name, content)})
    assert found["proxy"].value_counts().to_dict() == {"Ca": 57, "Cu": 46}
    assert found.iloc[0][["depth_top", "depth_bottom"]].tolist() == [330.0, 340.0]
    assert [(finding.kind, finding.found) for finding in findings] == [
        ("no-number", "no number in 11 cells: ND (10), <0.0001 (1)")
    ]
