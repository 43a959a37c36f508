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
    return read_in(folder).runs[0]


def read_in(folder: Path) -> readers.Reading:
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


def test_every_evaluation_is_kept_and_it_is_said_which_one_calibrates(tmp_path: Path) -> None:
    (tmp_path / "2013").mkdir()
    (tmp_path / "2013" / "Results.txt").write_bytes(results_table(rows(4, 0.03)))
    run = scan(tmp_path, result__txt=results_table(rows(4, 0.01)))
    found = read_in(tmp_path)
    assert set(run["energy_gain"].values) == {0.01}, "an evaluation beside the spectra comes before one below"
    (tables,) = found.evaluations
    assert [(one.name, one.calibrates) for one in tables] == [("2013/Results.txt", False), ("result.txt", True)]
    assert tables[0].table["Fe"].tolist() == [84898.0] * 4
    assert [(note.kind, note.found) for note in found.notes] == [
        ("evaluations", "2 evaluations of these spectra; result.txt calibrates")
    ]
    other = readers.read_scan(readers.scans(tmp_path)[0][0], evaluation="2013/Results.txt").runs[0]
    assert set(other["energy_gain"].values) == {0.03}
    with pytest.raises(ReadError, match=r"no evaluation 'x' .*There are: 2013/Results\.txt, result\.txt"):
        readers.read_scan(readers.scans(tmp_path)[0][0], evaluation="x")


def test_an_evaluation_of_other_spectra_calibrates_nothing(tmp_path: Path) -> None:
    table = [(f"M{row:06d}", float(row), 1, 0.02, 0.0) for row in range(4)]
    assert np.isnan(scan(tmp_path, Results__txt=results_table(table))["energy_gain"].values).all()


def test_a_radiograph_run_is_skipped_aloud(tmp_path: Path) -> None:
    (tmp_path / "S1").mkdir()
    (tmp_path / "S1" / "L000000.spe").write_bytes(itrax_spe(spectra(1)[0]))
    (tmp_path / "S1_RAD").mkdir()
    (tmp_path / "S1_RAD" / "document.txt").write_bytes(document() + b"XRF\tOFF\t\t\r\n")
    found = readers.survey(tmp_path)
    assert [(note.kind, note.where) for note in found.notes] == [("radiograph", "S1_RAD")]
    assert found.set_aside == {"S1_RAD/document.txt": "record of a radiograph run, which has no spectra"}


def test_rates_in_thousands_under_a_wrong_unit_are_noticed(tmp_path: Path) -> None:
    """The files of 2008 say input_count_rate 12.3 cps and mean thousands."""
    content = itrax_spe(spectra(1)[0]).replace(b"livetime\t", b"input_count_rate\t1.9\tcps\t\rlivetime\t")
    (tmp_path / "L000000.spe").write_bytes(content)
    assert [note.kind for note in read_in(tmp_path).notes] == ["rates"]


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


def test_a_table_without_a_needed_column_or_without_a_header_is_set_aside(tmp_path: Path) -> None:
    bad = results_table(rows(4)).replace(b"E-gain", b"gain").replace(b"E-offset", b"offset")
    with pytest.raises(ReadError, match=r"Results\.txt: the result table has no column E-gain, E-offset\. Export it"):
        itrax_tables.results(File("Results.txt", bad))
    assert np.isnan(scan(tmp_path, Results__txt=bad)["energy_gain"].values).all(), "the spectra are read without it"
    assert read_in(tmp_path).set_aside == {"Results.txt": "the result table has no column E-gain, E-offset"}
    with pytest.raises(ReadError, match=r"Results\.txt: the result table has no header line"):
        itrax_tables.results(File("Results.txt", b"C:\\Data\npeakarea\n"))


@pytest.mark.parametrize(("day", "expected"), [((2008, 6, 5), "2008-06-05"), ((2008, 5, 6), "2008-05-06")])
def test_an_ambiguous_date_is_resolved_by_the_record_beside_the_spectra(
    tmp_path: Path, day: tuple[int, int, int], expected: str
) -> None:
    (tmp_path / "L000000.spe").write_bytes(itrax_spe(spectra(1)[0], date="05/06/2008", time="01:34"))
    assert np.isnat(read_in(tmp_path).runs[0]["scanned_at"].values[0])
    assert [(note.kind, note.found) for note in read_in(tmp_path).notes] == [
        ("date", "the date '05/06/2008' may be in two months")
    ]
    (tmp_path / "document.txt").write_bytes(document(*day))
    assert str(read_in(tmp_path).runs[0]["scanned_at"].values[0]) == f"{expected}T01:34:00"
    assert read_in(tmp_path).notes == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [("day-first", "2008-06-05T01:34:00"), ("month-first", "2008-05-06T01:34:00"), ("unknown", "NaT")],
)
def test_an_ambiguous_date_is_what_a_person_says_it_is(tmp_path: Path, said: str, expected: str) -> None:
    (tmp_path / "L000000.spe").write_bytes(itrax_spe(spectra(1)[0], date="05/06/2008", time="01:34"))
    found = readers.read_scan(readers.scans(tmp_path)[0][0], dates=said)
    assert str(found.runs[0]["scanned_at"].values[0]) == expected
    assert found.notes == []


def test_the_record_keeps_the_first_of_two_values_of_one_key() -> None:
    fields = itrax_tables.document(File("document.txt", document(2020, 9, 18)))
    assert fields["Step size"][:2] == ["1000", "microns"]
    assert (fields["Year"], fields["Month"], fields["Day"]) == (["2020"], ["09"], ["18"])
