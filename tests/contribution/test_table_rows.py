"""A table of spectra holds many cores: each section takes its rows, and what no section takes is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from corebank import contribution
from tests.scanner import CHANNELS, EXPEDITION, spectra

WORDS = """
[[core.section]]
folder = "corpus.csv"
files = "{core}/*"
name = "whole"
top = "0 mm"
run = "{run}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four spectra of core A and three of core B, one row each."""
    names = ["core", "section_depth_mm", "live_time_s", *map(str, range(CHANNELS))]
    rows = [
        [core, str(10 * row), "10", *map(str, counts)]
        for core, count in (("A", 4), ("B", 3))
        for row, counts in enumerate(spectra(count, seed=count))
    ]
    (tmp_path / "corpus.csv").write_text("".join(",".join(row) + "\n" for row in [names, *rows]))
    words = EXPEDITION.format(name="corpus", site="lab", core="A").replace('kind = "itrax"', 'kind = "table"')
    words = words.replace('head = "head-1"', 'calibration = { gain = "100 eV", offset = "0 eV" }')
    (tmp_path / "contribution.toml").write_text(words + WORDS.format(core="A", run="a"))
    return tmp_path


def test_rows_that_no_section_takes_are_told_one_by_one(folder: Path) -> None:
    report, found = contribution.check(folder)
    assert found is not None
    np.testing.assert_array_equal(found.runs["a"]["counts"].values, spectra(4, seed=4))
    (left,) = [one for one in report.findings if one.kind == "unlisted"]
    assert (left.where, left.found, len(left.items)) == (
        "corpus.csv",
        "3 spectra of the table that no [[core.section]] takes",
        3,
    )
    assert all(item.startswith("corpus.csv!B/") for item in left.items)


def test_two_cores_of_one_table_are_two_runs_and_nothing_is_left(folder: Path) -> None:
    path = folder / "contribution.toml"
    path.write_text(path.read_text() + '\n[[core]]\nname = "B"\n' + WORDS.format(core="B", run="b"))
    report, found = contribution.check(folder)
    assert found is not None
    assert dict(report.runs) == {"a": 4, "b": 3}
    assert [one for one in report.findings if one.kind == "unlisted"] == []
    np.testing.assert_array_equal(found.runs["b"]["counts"].values, spectra(3, seed=3))


def test_a_pattern_that_takes_no_row_is_refused(folder: Path) -> None:
    path = folder / "contribution.toml"
    path.write_text(path.read_text().replace('files = "A/*"', 'files = "C/*"'))
    report, found = contribution.check(folder)
    assert found is None
    (refused,) = [one for one in report.findings if one.severity == "refused"]
    assert (refused.kind, refused.where) == ("no-spectra", "corpus.csv")
    assert "that match 'C/*'" in refused.found
