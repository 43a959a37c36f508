"""One section's folder is enough for prediction: its words and its laboratory values are found above it."""

from __future__ import annotations

from pathlib import Path

from corebank import contribution, predict
from tests.conftest import GRID
from tests.scanner import write_expedition


def test_a_sections_folder_reads_with_the_words_that_lie_above_it(tmp_path: Path) -> None:
    write_expedition(tmp_path / "cruise", core="C/1", sections=("S1", "S2"), count=4)
    whole = contribution.spectra(tmp_path / "cruise", GRID)
    part = contribution.spectra(tmp_path / "cruise" / "S2", GRID)
    second = whole.isel(spectrum=whole["section"].values == "S2")
    assert set(part["core"].values) == {"C/1"}
    assert part["depth"].values.tolist() == second["depth"].values.tolist()
    assert part["source_sha256"].values.tolist() == second["source_sha256"].values.tolist()


def test_a_folder_that_the_words_above_do_not_list_reads_without_them(tmp_path: Path) -> None:
    write_expedition(tmp_path / "cruise", sections=("S1",), count=4)
    (tmp_path / "cruise" / "S1").rename(tmp_path / "cruise" / "elsewhere")
    assert set(contribution.spectra(tmp_path / "cruise" / "elsewhere", GRID)["core"].values) == {"elsewhere"}


def test_laboratory_values_are_found_from_the_folder_and_from_a_section_of_it(tmp_path: Path) -> None:
    write_expedition(tmp_path / "cruise", sections=("S1", "S2"))
    whole, part = contribution.measurements(tmp_path / "cruise"), contribution.measurements(tmp_path / "cruise" / "S2")
    assert whole["proxy"].tolist() == ["TOC", "CaCO3", "CaCO3"]
    assert part.equals(whole)
    drawn = predict.laboratory(str(tmp_path / "cruise" / "S2"))
    assert drawn is not None
    assert drawn.equals(whole)


def test_a_folder_of_nothing_but_spectra_has_no_laboratory_values(tmp_path: Path) -> None:
    write_expedition(tmp_path / "cruise", laboratory=None)
    (tmp_path / "cruise" / "contribution.toml").unlink()
    assert contribution.measurements(tmp_path / "cruise").empty
