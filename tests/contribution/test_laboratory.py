"""Tables of laboratory values: three ways to say where, and nothing turned into a number that was none."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank.contribution import laboratory
from corebank.contribution.metadata import Core, Expedition, Laboratory, Metadata, Scanner, Section
from corebank.errors import ContributionError, UnitError
from corebank.readers.files import File

EXPEDITION = Expedition(name="c", title="c", site="lab", steward="me", licence="CC0-1.0")
SECTIONS = (
    Section(core="A", folder="S1", name="S1", top=100.0, run="s1"),
    Section(core="B", folder="S2", name="S2", top=1000.0, stretch=1.5, run="s2"),
)


def table(
    content: str, *, cores: str = "AB", columns: dict[str, tuple[str, str]] | None = None, **where: object
) -> tuple[pd.DataFrame, dict[str, Counter[str]]]:
    one = Laboratory(file="lab.csv", columns=columns or {"TOC": ("toc", "wt%")}, method="CHN", **where)  # type: ignore[arg-type] - the tests' own words
    words = Metadata(
        expedition=EXPEDITION,
        scanner=Scanner(),
        cores=tuple(Core(name=name) for name in cores),
        sections=SECTIONS,
        measurements=(one,),
    )
    return laboratory.measurements(words, {"lab.csv": File("lab.csv", content.encode())})


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(-10, 110)), min_size=1, max_size=5))
def test_numbers_come_through_as_they_are_written(rows: list[tuple[float, float]]) -> None:
    found, texts = table(
        "d,toc\n" + "".join(f"{depth!r},{value!r}\n" for depth, value in rows),
        cores="A",
        depth=("d", "mm"),
        thickness=2.0,
    )
    assert found["value"].tolist() == [value for _, value in rows]
    np.testing.assert_array_equal(found["depth_top"], [depth - 1 for depth, _ in rows])
    np.testing.assert_array_equal(found["depth_bottom"], [depth + 1 for depth, _ in rows])
    assert texts == {}


def test_a_middle_with_a_thickness_gives_an_interval() -> None:
    found, _ = table("d,toc\n33.5,1.5\n", cores="A", depth=("d", "cm"), thickness=10.0)
    assert found.iloc[0].to_dict() == {
        "core": "A",
        "section": "",
        "depth_top": 330.0,
        "depth_bottom": 340.0,
        "proxy": "TOC",
        "value": 1.5,
        "unit": "wt%",
        "uncertainty": pytest.approx(float("nan"), nan_ok=True),
        "method": "CHN",
        "laboratory": "",
        "source": "lab.csv",
    }


def test_top_and_bottom_stand_as_they_are() -> None:
    found, _ = table("c,a,b,toc\nB,33,34,1.5\n", core="c", top=("a", "cm"), bottom=("b", "cm"))
    assert found[["core", "depth_top", "depth_bottom"]].values.tolist() == [["B", 330.0, 340.0]]


def test_a_position_in_a_section_becomes_composite_depth_by_its_top_and_stretch() -> None:
    found, _ = table("s,p,toc\nS1,1,1.5\n S2 ,2,2.5\n", section="s", position=("p", "cm"), thickness=4.0)
    assert found[["core", "section", "depth_top", "depth_bottom"]].values.tolist() == [
        ["A", "S1", 108.0, 112.0],
        ["B", "S2", 1028.0, 1032.0],
    ]


def test_a_cell_that_holds_no_number_is_counted_by_what_it_says() -> None:
    content = "\ufeffd,toc,zr\n1,b.d.l.,5\n2,#REF!,6\n3,,7\n4,b.d.l.,inf\n5,0.2,8\n6\n"
    found, texts = table(content, cores="A", depth=("d", "mm"), columns={"TOC": ("toc", "wt%"), "Zr": ("zr", "ppm")})
    assert found[["proxy", "value"]].values.tolist() == [
        ["TOC", 0.2],
        ["Zr", 5.0],
        ["Zr", 6.0],
        ["Zr", 7.0],
        ["Zr", 8.0],
    ]
    assert texts == {
        "lab.csv: toc": Counter({"b.d.l.": 2, "empty": 2, "#REF!": 1}),
        "lab.csv: zr": Counter({"inf": 1, "empty": 1}),
    }


def test_a_table_without_a_single_number_holds_no_measurement() -> None:
    found, _ = table("d,toc\n1,b.d.l.\n", cores="A", depth=("d", "mm"))
    assert found.empty
    assert list(found.columns) == list(laboratory.COLUMNS)


def test_a_negative_share_is_kept_as_the_laboratory_gave_it() -> None:
    found, _ = table("d,toc\n1,-4.6\n", cores="A", depth=("d", "mm"))
    assert found["value"].tolist() == [-4.6]


REFUSED = {
    "300 wt%": (
        "d,toc\n1,300\n",
        {"depth": ("d", "mm")},
        r"a value in wt% lies within -10 and 110.*Correct these cells, or the units",
    ),
    "bottom above top": (
        "a,b,toc\n34,33,1\n",
        {"top": ("a", "cm"), "bottom": ("b", "cm")},
        "depth_bottom is not above depth_top",
    ),
    "3 km": ("d,toc\n3000,1\n", {"depth": ("d", "m")}, r"depth_top: .* fails"),
    "no depth": ("d,toc\n1,1\n?,2\n", {"depth": ("d", "mm")}, r", line 3, column d: holds '\?', which is no depth"),
    "line ends early": ("toc,d\n1\n", {"depth": ("d", "mm")}, "holds '', which is no depth"),
    "no column": (
        "d,TOC\n1,1\n",
        {"depth": ("d", "mm")},
        r"has no column 'toc'; it has 'd', 'TOC'\. Correct \[\[measurements\]\]",
    ),
    "no depth column": ("depth,toc\n1,1\n", {"depth": ("d", "mm")}, "has no column 'd'"),
    "unknown core": (
        "c,d,toc\nZ,1,1\n",
        {"core": "c", "depth": ("d", "mm")},
        r"names cores that contribution\.toml does not: Z\. Known are A",
    ),
    "unknown section": (
        "s,p,toc\nS9,1,1\n",
        {"section": "s", "position": ("p", "mm")},
        r"names sections that contribution\.toml does not: S9\. Known are S1, S2",
    ),
    "no section": ("p,toc,s\n1,1\n", {"section": "s", "position": ("p", "mm")}, "names sections that"),
    "surplus cells": ("d,toc\n1,2,3\n4,5,6\n", {"depth": ("d", "mm")}, "has lines of more cells than its header line"),
    "surplus cells in one line": ("d,toc\n1,2\n4,5,6\n", {"depth": ("d", "mm")}, "is not a readable CSV table"),
    "nothing": ("", {"depth": ("d", "mm")}, r"is not a readable CSV table .*Save it as CSV in UTF-8"),
}


@pytest.mark.parametrize(("content", "where", "found"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_placed_or_believed_is_refused(content: str, where: dict[str, object], found: str) -> None:
    with pytest.raises(ContributionError, match=rf"^lab\.csv.*{found}"):
        table(content, cores="A", **where)


def test_rows_of_several_cores_must_say_which() -> None:
    with pytest.raises(ContributionError, match=r"does not say to which of 2 cores a row belongs\. Name the column"):
        table("d,toc\n1,1\n", depth=("d", "mm"))


def test_a_depth_in_a_unit_that_is_no_length_is_refused() -> None:
    with pytest.raises(UnitError, match=r"lab\.csv: '1 wt%' cannot be given in mm"):
        table("d,toc\n1,1\n", cores="A", depth=("d", "wt%"))


def test_a_table_that_is_not_in_the_folder_is_named(tmp_path: Path) -> None:
    words = Metadata(
        expedition=EXPEDITION,
        scanner=Scanner(),
        cores=(Core(name="A"),),
        sections=SECTIONS,
        measurements=(Laboratory(file="gone.csv", columns={"TOC": ("toc", "wt%")}, depth=("d", "mm")),),
    )
    with pytest.raises(
        ContributionError, match=r"gone\.csv: is named under \[\[measurements\]\] and not in the folder"
    ):
        laboratory.measurements(words, {})
