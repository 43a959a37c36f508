"""Laboratory tables in a draft: units from headers only, depths in one of three ways, and nothing taken in silence."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank.contribution import draft, metadata
from corebank.contribution.draft import tables
from corebank.readers.files import Entry
from tests.contribution.test_draft import NAMES, filled
from tests.scanner import spectra, write_itrax


@pytest.mark.parametrize(
    ("name", "stem", "unit"),
    [
        ("TOC_pct", "TOC", "wt%"),
        ("TOC [wt%]", "TOC", "wt%"),
        ("%TOC", "TOC", "wt%"),
        ("CaCO3 %", "CaCO3", "wt%"),
        ("Sr (mg/kg)", "Sr", "mg/kg"),
        ("Sr_ppm", "Sr", "ppm"),
        ("depth_top_cm", "depth_top", "cm"),
        ("Depth (mbsf)", "Depth", "m"),
        ("Age (ka)", "Age", ""),
        ("TOC", "TOC", ""),
    ],
)
def test_a_column_name_is_taken_apart_and_only_units_of_shares_and_depths_count(
    name: str, stem: str, unit: str
) -> None:
    found = tables.column(name)
    assert (found.stem, found.unit) == (stem, unit)


def laboratory(tmp_path: Path, text: str) -> str:
    """The draft's last block for a folder with one core C of sections S1 and S2, 200 mm together, and a table."""
    folder = tmp_path / "cruise"
    for number, name in enumerate(("C_S1", "C_S2")):
        write_itrax(folder / name, spectra(10, seed=number), step=10.0)
    (folder / "lab.csv").write_text(text, encoding="utf-8")
    (tmp_path / "contribution.toml").write_text(filled(draft.text(folder)), encoding="utf-8")
    metadata.read(tmp_path / "contribution.toml")
    return draft.text(folder).split("\n\n")[-1]


def test_a_depth_without_a_unit_gets_the_one_that_fits_the_core(tmp_path: Path) -> None:
    block = tomllib.loads(laboratory(tmp_path, "depth,TOC_pct,Age\n2,0.5,1\n18,0.7,2\n"))["measurements"][0]
    assert (block["depth"], block["columns"]) == ("depth [cm]", {"TOC": "TOC_pct [wt%]"})


def test_a_table_that_leaves_units_or_depths_open_is_written_as_comments(tmp_path: Path) -> None:
    block = laboratory(tmp_path, "depth_cm,TOC,CaCO3\n2,0.5,30\n")
    assert tomllib.loads(block) == {}
    assert "# lab.csv is not taken as it stands: no column of values has a unit in its header" in block
    assert "without a unit in their names, so not taken: TOC, CaCO3" in block
    far = laboratory(tmp_path / "far", "depth,TOC_pct\n90000,0.5\n")
    assert tomllib.loads(far) == {}
    assert "in none do they fit the cores" in far
    none = laboratory(tmp_path / "none", "sample,TOC_pct\nA,0.5\n")
    assert none.strip() == "# lab.csv is not listed here: no column is named as a depth"


def test_positions_in_named_sections_come_before_composite_depths_and_strangers_are_pointed_out(tmp_path: Path) -> None:
    text = "section,composite_depth_cm,position_mm,TOC_pct,TOC_pct error\nC-S1,1,10,0.5,0.1\nD1,1,10,0.5,0.1\n"
    drafted = laboratory(tmp_path, text)
    block = tomllib.loads(drafted)["measurements"][0]
    assert (block["section"], block["position"], "depth" in block) == ("section", "position_mm [mm]", False)
    assert "# look: lab.csv also names section D1, of which no spectra are here" in drafted
    words_ = metadata.read(tmp_path / "contribution.toml")
    assert [part.name for part in words_.sections] == ["C-S1", "S2"]


def test_both_ends_of_a_position_become_its_middle_and_its_thickness(tmp_path: Path) -> None:
    text = "section,position_min_mm,position_max_mm,TOC_pct\nS1,10,14,0.5\nS2,20,24,0.5\n"
    block = tomllib.loads(laboratory(tmp_path, text))["measurements"][0]
    assert (block["position"], block["thickness"], block["shift"]) == ("position_min_mm [mm]", "4 mm", "2 mm")


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["core", "section", "depth", "top", "bottom", "position_min", "position_max", "TOC", "TOC sd"])
        | NAMES.filter(lambda name: not set(name) & set("\",'")),
        st.sampled_from(["", "_cm", " [mm]", "_pct", " (wt%)", " [ppm]", "%", " [ka]"]),
    ).map("".join),
    min_size=1,
    max_size=7,
)


@settings(deadline=None, max_examples=40)
@given(HEADERS, st.integers(0, 3))
def test_whatever_a_table_is_called_inside_its_block_is_one_that_is_accepted(
    tmp_path_factory: pytest.TempPathFactory, header: list[str], words_first: int
) -> None:
    row = ",".join(["S1"] * words_first + [str(3 * number + 1) for number in range(len(header))])
    cells = row.split(",")[: len(header)]
    laboratory(tmp_path_factory.mktemp("table"), ",".join(header) + "\n" + ",".join(cells) + "\n")


def test_a_table_that_cannot_be_read_is_told_not_raised(tmp_path: Path) -> None:
    (tmp_path / "lab.xlsx").write_bytes(b"PK\x03\x04 cut short")
    assert tables.read(Entry("lab.xlsx", tmp_path / "lab.xlsx")).problem
