"""Where samples come from: the ways to say it, and what happens to a sample that cannot be placed."""

from __future__ import annotations

import pytest

from corebank.contribution.metadata import Section
from tests.contribution.tables import SECTIONS, of_kind, table


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
    assert found[["core", "depth_top", "depth_bottom"]].to_numpy().tolist() == [["B", 330.0, 340.0]]


@pytest.mark.parametrize("text", ["33-34", "33 – 34", "33.0-34.0"])
def test_an_interval_in_one_cell_is_the_samples_own(text: str) -> None:
    found, _ = table(f"d,toc\n{text},1.5\n40.5,2\n", cores="A", depth=("d", "cm"), thickness=2.0)
    assert found[["depth_top", "depth_bottom"]].to_numpy().tolist() == [[330.0, 340.0], [404.0, 406.0]]


def test_a_position_in_a_section_becomes_composite_depth_by_its_top_and_stretch() -> None:
    found, _ = table("s,p,toc\nS1,1,1.5\n S2 ,2,2.5\n", section="s", position=("p", "cm"), thickness=4.0)
    assert found[["core", "section", "depth_top", "depth_bottom"]].to_numpy().tolist() == [
        ["A", "S1", 108.0, 112.0],
        ["B", "S2", 1028.0, 1032.0],
    ]


def test_sections_of_one_name_in_two_cores_are_told_apart_by_the_core() -> None:
    twice = (SECTIONS[0], Section(core="B", folder="B1", name="S1", top=500.0, run="b1"))
    content = "c,s,p,toc\nA,S1,1,1.5\nB,S1,1,2.5\n"
    found, _ = table(content, sections=twice, core="c", section="s", position=("p", "cm"), thickness=2.0)
    assert found[["core", "depth_top"]].to_numpy().tolist() == [["A", 109.0], ["B", 509.0]]
    _, findings = table(content, sections=twice, section="s", position=("p", "cm"))
    assert "section S1, which stands in contribution.toml 2 times (core A, B)" in of_kind(findings, "table").found


REFUSED = {
    "300 wt%": ("d,toc\n1,300\n", {"depth": ("d", "mm")}, "out-of-range", "lab.csv, line 2, column toc", "300 wt%"),
    "3 km": (
        "d,toc\n3000,1\n",
        {"depth": ("d", "m")},
        "out-of-range",
        "lab.csv, line 2, column d",
        "no depth of a core",
    ),
    "upside down": (
        "a,b,toc\n34,33,1\n",
        {"top": ("a", "cm"), "bottom": ("b", "cm")},
        "out-of-range",
        "lab.csv, line 2, column b",
        "34 to 33 cm of composite depth: the sample's end lies above its beginning",
    ),
    "no depth": ("d,toc\n1,1\n?,2\n", {"depth": ("d", "mm")}, "no-depth", "lab.csv, line 3, column d", "'?'"),
    "empty depth": ("d,toc\n1,1\n,2\n", {"depth": ("d", "mm")}, "no-depth", "lab.csv, line 3, column d", "''"),
    "comma in a comma table": (
        'd,toc\n"1,5",1\n',
        {"depth": ("d", "mm")},
        "no-depth",
        "lab.csv, line 2, column d",
        "'1,5'",
    ),
    "line ends early": ("toc,d\n1\n", {"depth": ("d", "mm")}, "no-depth", "lab.csv, line 2, column d", "''"),
    "no column": ("d,TOC\n1,1\n", {"depth": ("d", "mm")}, "table", "lab.csv", "has no column 'toc'; it has 'd', 'TOC'"),
    "no depth column": ("depth,toc\n1,1\n", {"depth": ("d", "mm")}, "table", "lab.csv", "has no column 'd'"),
    "unknown core": (
        "c,d,toc\nZ,1,1\n",
        {"core": "c", "depth": ("d", "mm")},
        "unknown-name",
        "lab.csv, line 2, column c",
        "core 'Z', which contribution.toml does not list; it lists A",
    ),
    "unknown section": (
        "s,p,toc\nS9,1,1\n",
        {"section": "s", "position": ("p", "mm")},
        "unknown-name",
        "lab.csv, line 2, column s",
        "section 'S9', which contribution.toml does not list; it lists S1, S2",
    ),
    "no section": (
        "p,toc,s\n1,1\n",
        {"section": "s", "position": ("p", "mm")},
        "unknown-name",
        "lab.csv, line 2, column s",
        "section ''",
    ),
    "no length": ("d,toc\n1,1\n", {"depth": ("d", "wt%")}, "table", "lab.csv", "'1 wt%' cannot be given in mm"),
    "surplus cells": ("d,toc\n1,2,3\n", {"depth": ("d", "mm")}, "table", "lab.csv, line 2", "lines of more cells"),
    "nothing": ("", {"depth": ("d", "mm")}, "table", "lab.csv", "is not a readable CSV table"),
}


@pytest.mark.parametrize(("content", "said", "kind", "where", "found"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_placed_or_believed_is_refused_by_its_cell(
    content: str, said: dict[str, object], kind: str, where: str, found: str
) -> None:
    values, findings = table(content, cores="A", **said)
    one = of_kind(findings, kind)
    assert (one.severity, one.where) == ("refused", where)
    assert found in one.found
    assert len(values) == content.count("1,1\n") * (kind == "no-depth")  # the good line of that table


def test_rows_of_several_cores_must_say_which() -> None:
    _, findings = table("d,toc\n1,1\n", depth=("d", "mm"))
    one = of_kind(findings, "table")
    assert one.found == "does not say to which of 2 cores a row belongs"
    assert one.fix.startswith("Name the column")
