"""What lies beside Itrax spectra: which evaluation calibrates them, and which of its words are taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from corebank import readers
from corebank.errors import ReadError
from corebank.readers import itrax_tables
from corebank.readers.files import File
from tests.scanner import document, itrax_spe, results_table, settings_dfl, spectra

Row = tuple[str, float, object, object, object]


def rows(count: int, gain: object = 0.02, offset: object = 0.0, valid: object = 1) -> list[Row]:
    return [(f"L{row:06d}", float(row), valid, gain, offset) for row in range(count)]


def scan(folder: Path, count: int = 4, comments: str = "in position", **beside: bytes) -> xr.Dataset:
    """A section of `count` spectra with files `beside` them, `__` in their names for the dot."""
    for row, counts in enumerate(spectra(count)):
        (folder / f"L{row:06d}.spe").write_bytes(itrax_spe(counts, position=row, comments=comments))
    for name, content in beside.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return readers.read_scan(readers.scans(folder)[0][0])


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_each_spectrum_takes_the_gain_of_its_own_row(tmp_path: Path, newline: str) -> None:
    table = [(f"L{row:06d}", row, 1, 0.02 + row / 1000, -0.01 * row) for row in (2, 0, 3, 1)]
    run = scan(tmp_path, Results__txt=results_table(table, newline))
    np.testing.assert_allclose(run["energy_gain"].values, [0.020, 0.021, 0.022, 0.023], rtol=1e-12)
    np.testing.assert_allclose(run["energy_offset"].values, [0, -0.01, -0.02, -0.03], rtol=1e-12)
    assert set(run["energy_source"].values) == {"Results.txt"}


def test_the_re_evaluation_wins_over_the_first_one(tmp_path: Path) -> None:
    run = scan(
        tmp_path,
        result__txt=results_table(rows(4, 0.01)),
        Results__txt=results_table(rows(4, 0.02)),
        Results1__txt=results_table(rows(4, 0.03)),
    )
    assert set(run["energy_gain"].values) == {0.02}
    assert set(run["energy_source"].values) == {"Results.txt"}


def test_the_fullest_table_wins_over_an_aborted_re_evaluation(tmp_path: Path) -> None:
    """ARD1B/2013 is one: 326 rows, of which 16 are filled."""
    aborted = [*rows(1, 0.02), *[("", 0.0, "", "", "") for _ in range(3)]]
    run = scan(tmp_path, result__txt=results_table(rows(4, 0.01)), Results__txt=results_table(aborted))
    assert set(run["energy_source"].values) == {"result.txt"}


def test_rows_without_a_file_and_blank_rows_are_dropped(tmp_path: Path) -> None:
    table = itrax_tables.results(File("Results.txt", results_table([*rows(2), ("", 9.0, 1, 0.5, 0.5)]) + b"\n\n"))
    assert list(table.index) == ["L000000", "L000001"]


def test_spectra_that_the_table_leaves_out_get_the_median_and_say_so(tmp_path: Path) -> None:
    table = [("L000000", 0, 1, 0.018, 0), ("L000001", 1, 1, 0.019, 0), ("L000002", 2, 1, 0.030, 0)]
    run = scan(tmp_path, Results__txt=results_table(table))
    assert run["energy_gain"].values[3] == 0.019
    assert list(run["energy_source"].values[2:]) == ["Results.txt", "median of Results.txt"]
    assert not run["flags"].values.any(), "a row that the table lacks is not invalid"


def test_without_a_table_the_settings_file_calibrates(tmp_path: Path) -> None:
    run = scan(tmp_path, fit__dfl=settings_dfl(0.0123, -0.0099))
    assert set(run["energy_gain"].values) == {0.0123}
    assert set(run["energy_offset"].values) == {-0.0099}
    assert set(run["energy_source"].values) == {"fit.dfl"}


@pytest.mark.parametrize("empty", [rows(4, "", ""), rows(4, 0.02, "")], ids=["no gains", "no offsets"])
def test_a_table_that_calibrates_nothing_leaves_it_to_the_settings_file(tmp_path: Path, empty: list[Row]) -> None:
    run = scan(tmp_path, Results__txt=results_table(empty), fit__dfl=settings_dfl(0.0123))
    assert set(run["energy_source"].values) == {"fit.dfl"}


def test_without_either_there_is_no_calibration(tmp_path: Path) -> None:
    run = scan(tmp_path)
    assert np.isnan(run["energy_gain"].values).all()


def test_validity_comes_from_the_table_not_from_the_comments(tmp_path: Path) -> None:
    """323 of 352 valid Ardley points say "not in position" in the file."""
    table = [(*row[:2], int(row[0] != "L000002"), *row[3:]) for row in rows(4)]
    assert list(scan(tmp_path, comments="not in position", Results__txt=results_table(table))["flags"].values) == [
        0,
        0,
        8,
        0,
    ]


def test_a_table_without_a_needed_column_or_without_a_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"Results\.txt: the result table has no column E-gain, E-offset\. Export it"):
        scan(tmp_path, Results__txt=results_table(rows(4)).replace(b"E-gain", b"gain").replace(b"E-offset", b"offset"))
    with pytest.raises(ReadError, match=r"Results\.txt: the result table has no header line"):
        itrax_tables.results(File("Results.txt", b"C:\\Data\npeakarea\n"))


@pytest.mark.parametrize(("day", "expected"), [((2008, 6, 5), "2008-06-05"), ((2008, 5, 6), "2008-05-06")])
def test_an_ambiguous_date_is_resolved_by_the_record_beside_the_spectra(
    tmp_path: Path, day: tuple[int, int, int], expected: str
) -> None:
    (tmp_path / "L000000.spe").write_bytes(itrax_spe(spectra(1)[0], date="05/06/2008", time="01:34"))
    assert np.isnat(readers.read_scan(readers.scans(tmp_path)[0][0])["scanned_at"].values[0])
    (tmp_path / "document.txt").write_bytes(document(*day))
    run = readers.read_scan(readers.scans(tmp_path)[0][0])
    assert str(run["scanned_at"].values[0]) == f"{expected}T01:34:00"


def test_the_record_keeps_the_first_of_two_values_of_one_key() -> None:
    fields = itrax_tables.document(File("document.txt", document(2020, 9, 18)))
    assert fields["Step size"][:2] == ["1000", "microns"]
    assert (fields["Year"], fields["Month"], fields["Day"]) == (["2020"], ["09"], ["18"])
