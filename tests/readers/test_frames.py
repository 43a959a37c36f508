"""Tables as people keep them: every cell as it was written, each with a name, whatever the file looks like."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank.errors import ReadError, UnsafeFileError
from corebank.readers import frames
from corebank.readers.files import File

WRITTEN = st.text(st.characters(min_codepoint=32, max_codepoint=0x17F, exclude_characters="\x7f"), max_size=8)


def read(content: str | bytes, sheet: str = "", name: str = "lab.csv") -> pd.DataFrame:
    return frames.frame(File(name, content.encode() if isinstance(content, str) else content), sheet)


def workbook(sheets: dict[str, list[list[object]]], formats: dict[str, str] | None = None) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        page = book.create_sheet(name)
        for row in rows:
            page.append(row)
        for cell, shown in (formats or {}).items():
            page[cell].number_format = shown
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(WRITTEN, min_size=3, max_size=3).filter(lambda row: any(map(str.strip, row))), max_size=6),
    st.sampled_from(frames.DELIMITERS),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_every_cell_comes_back_as_it_was_written(
    rows: list[list[str]], delimiter: str, newline: str, encoding: str
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=newline, quoting=csv.QUOTE_ALL)
    writer.writerows([["depth", "a", "b"], *rows])
    table = read(text.getvalue().encode(encoding))
    assert list(table.columns) == ["depth", "a", "b"]
    assert table.to_numpy().tolist() == rows
    assert list(table.index) == list(range(2, 2 + len(rows)))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-1e6, 1e6).map(lambda value: round(value, 4)), min_size=1, max_size=6), st.data())
def test_a_decimal_comma_and_a_decimal_point_are_the_same_number(values: list[float], data: st.DataObject) -> None:
    delimiter = data.draw(st.sampled_from(["\t", ";", "|"]))
    # A first row of halves tells what the comma is, as one cell of any real column does.
    lines = ["d" + delimiter + "v", *(f"0.5{delimiter}{value:.4f}" for value in values)]
    with_point, with_comma = read("\n".join(lines)), read("\n".join(lines).replace(".", ","))
    expected = np.array(values)
    np.testing.assert_allclose(frames.numbers(with_point, ["d", "v"])["v"], expected, rtol=1e-12)
    np.testing.assert_allclose(frames.numbers(with_comma, ["d", "v"])["v"], expected, rtol=1e-12)


@settings(deadline=None, max_examples=40)
@given(
    st.binary(max_size=60) | st.binary(max_size=40).map(lambda tail: b"PK\x03\x04" + tail) | st.text().map(str.encode)
)
def test_any_bytes_are_a_table_or_a_read_error(content: bytes) -> None:
    try:
        table = read(content)
    except ReadError as error:
        assert str(error).startswith("lab.csv")  # noqa: PT017 - some bytes are tables
    else:
        assert all(isinstance(text, str) for text in table.to_numpy().ravel())


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2000), st.integers(0, 255), st.booleans())
def test_a_damaged_workbook_is_read_or_a_read_error(place: int, value: int, cut: bool) -> None:
    whole = workbook({"Oxides": [["d", "v"], [1, 2.5]]})
    place = place * len(whole) // 2001
    content = whole[:place] if cut else whole[:place] + bytes([value]) + whole[place + 1 :]
    try:
        read(content, name="lab.xlsx")
    except ReadError as error:
        assert str(error).startswith("lab.")  # noqa: PT017 - a changed byte in the padding is no damage


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("d,toc\n1,2\n", ["d", "toc"]),
        ("d;toc\n1,5;2,5\n", ["d", "toc"]),
        ("CaCO3, wt%;TOC, wt%\n12,5;3,5\n", ["CaCO3, wt%", "TOC, wt%"]),
        ("depth, cm\ttoc\n1\t2\n", ["depth, cm", "toc"]),
        ("d,note (a;b)\n1,x\n", ["d", "note (a;b)"]),
        ("toc\n1\n", ["toc"]),
        ('" Fe-Ka cps" ,"Ca\n(mg/L)", K\n1,2,3\n', ["Fe-Ka cps", "Ca (mg/L)", "K"]),
        ("Error,Error,,5,5\n1,2,3,4,5\n", ["Error", "Error (2)", "column 3", "5", "5 (2)"]),
        ("\n\n  \nd,toc\n1,2\n", ["d", "toc"]),
        ("/* DATA DESCRIPTION:\nCitation:\tX\n*/\nd\ttoc\n1\t2\n", ["d", "toc"]),
        ("d,toc,,\n1,2,,\n", ["d", "toc", "column 3", "column 4"]),
    ],
)
def test_columns_are_told_whatever_separates_them(text: str, columns: list[str]) -> None:
    assert list(read(text).columns) == columns


def test_a_cell_is_named_by_the_line_on_which_its_row_begins() -> None:
    table = read('/* of an archive\n*/\nd,note,toc\n\n1,"two\nlines",3\n2,x,4\n')
    assert [frames.cell(table, row, "toc") for row in table.index] == [
        "lab.csv, line 5, column toc",
        "lab.csv, line 7, column toc",
    ]


def test_lines_that_end_early_have_empty_cells_and_blank_surplus_is_none() -> None:
    assert read("a,b,c\n1\n2,3,4,,\n").to_numpy().tolist() == [["1", "", ""], ["2", "3", "4"]]


def test_windows_letters_are_read() -> None:
    assert list(read("d13C (‰),µg\n1,2\n".encode("cp1252")).columns) == ["d13C (‰)", "µg"]


NOT_READ = {
    "nothing": (b"", "", "holds nothing"),
    "only blanks": (b"\n \n", "", "holds nothing"),
    "surplus cells": (
        b"a,b\n1,2\n1,2,3\n",
        "",
        r"^lab\.csv, line 3: has lines of more cells than its header line \(3, not 2\)",
    ),
    "binary": (b"a,b\n1,\x00\n", "", "is not a table of text"),
    "old Excel": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "", "old Excel format.*Save it as xlsx or CSV"),
    "sheet of a CSV": (b"a,b\n1,2\n", "Oxides", "is no workbook and has no sheet 'Oxides'"),
    "sheet of a Parquet": (b"PAR1", "Oxides", "is no workbook and has no sheet 'Oxides'"),
    "no Parquet": (b"PAR1" + bytes(20), "", "is not a readable Parquet file"),
    "another zip": (b"PK\x03\x04" + bytes(20), "", "is not a whole xlsx workbook"),
    "open quote": (b'a,b\n1,"2\n' + b"x" * (2**24 + 10), "", r"line 2: is not a readable CSV table"),
}


@pytest.mark.parametrize(("content", "sheet", "found"), NOT_READ.values(), ids=NOT_READ.keys())
def test_what_is_no_table_is_refused_with_what_to_do(content: bytes, sheet: str, found: str) -> None:
    with pytest.raises(ReadError, match=found):
        read(content, sheet)


def test_a_sheet_gives_its_cells_as_a_spreadsheet_shows_them() -> None:
    rows: list[list[object]] = [
        [],
        ["d", "TOC", "n", "when", "ok"],
        [33.5, 0.052, 5.0, pd.Timestamp("2024-12-04"), True],
    ]
    table = read(workbook({"Oxides": rows, "Empty": []}, {"B3": "0.0%"}), name="lab.xlsx")
    assert table.to_numpy().tolist() == [["33.5", "5.2%", "5", "2024-12-04T00:00:00", "TRUE"]]
    assert frames.cell(table, table.index[0], "TOC") == "lab.xlsx, sheet Oxides, cell B3"


def test_one_of_several_sheets_must_be_named_and_must_be_there() -> None:
    content = workbook({"Oxides": [["d"], [1]], "CNS": [["e"], [2]]})
    with pytest.raises(ReadError, match=r"has several sheets: 'Oxides', 'CNS'\. Name one, as in sheet = \"Oxides\""):
        read(content)
    with pytest.raises(ReadError, match=r"has no sheet 'oxides'; it has 'Oxides', 'CNS'"):
        read(content, "oxides")
    assert list(read(content, "CNS").columns) == ["e"]


def test_a_formula_without_a_stored_value_shows_itself() -> None:
    table = read(workbook({"S": [["d", "toc"], [1, "=A2*2"], ["=A2", 3]]}))
    assert table.to_numpy().tolist() == [["1", "=A2*2"], ["=A2", "3"]]


def rebuilt(content: bytes, changed: dict[str, bytes]) -> bytes:
    """A workbook with some members replaced or added."""
    found = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(found, "w", zipfile.ZIP_DEFLATED) as new:
        for name in {**dict.fromkeys(old.namelist()), **changed}:
            new.writestr(name, changed.get(name) if name in changed else old.read(name))
    return found.getvalue()


def test_the_value_stored_beside_a_formula_counts() -> None:
    content = workbook({"S": [["d", "toc"], [1, 7]]})
    page = zipfile.ZipFile(io.BytesIO(content)).read("xl/worksheets/sheet1.xml")
    assert b"<v>7</v>" in page
    with_formula = rebuilt(content, {"xl/worksheets/sheet1.xml": page.replace(b"<v>7</v>", b"<f>A2*7</f><v>7</v>")})
    assert read(with_formula).to_numpy().tolist() == [["1", "7"]]


def test_a_workbook_that_unpacks_to_far_more_than_it_holds_is_refused() -> None:
    bomb = rebuilt(workbook({"S": [["d"], [1]]}), {"xl/more.bin": bytes(300 * 2**20)})
    with pytest.raises(UnsafeFileError, match="would unpack to 300 MB"):
        read(bomb)


def test_a_workbook_that_declares_entities_is_refused() -> None:
    page = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb">]><worksheet/>'
    with pytest.raises(UnsafeFileError, match="declares entities"):
        read(rebuilt(workbook({"S": [["d"], [1]]}), {"xl/worksheets/sheet1.xml": page}))


def test_a_row_number_beyond_the_format_is_refused_and_not_counted_up_to() -> None:
    content = workbook({"S": [["d"], [1]]})
    page = zipfile.ZipFile(io.BytesIO(content)).read("xl/worksheets/sheet1.xml")
    far = page.replace(b'<row r="2"', b'<row r="99999999999"').replace(b'r="A2"', b"")
    assert far != page
    with pytest.raises(ReadError, match=r"beyond 1048576|is not a readable xlsx"):
        read(rebuilt(content, {"xl/worksheets/sheet1.xml": far}))


def test_a_parquet_file_is_a_table_too(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    pd.DataFrame({"core": ["A", None], "toc": [1.5, np.nan], "n": [3, 4]}).to_parquet(tmp_path / "lab.parquet")
    table = read((tmp_path / "lab.parquet").read_bytes(), name="lab.parquet")
    assert table.to_numpy().tolist() == [["A", "1.5", "3"], ["", "", "4"]]
    assert frames.cell(table, table.index[1], "toc") == "lab.parquet, row 2, column toc"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("d;v\n1;1,5\n2;3\n", [1.5, 3.0]),
        ("d;v\n1;1.5\n2;3,5\n", [1.5, np.nan]),
        ("d;v\n1,5;1,234\n2,5;3,456\n", [1.234, 3.456]),
        ("d;v\n1;0,234\n2;3,456\n", [0.234, 3.456]),
        ('d,v\n1,"1,5"\n2,3\n', [np.nan, 3.0]),
        ("d,v\n1, 1e-3 \n2,+.5\n", [0.001, 0.5]),
        ("d,v\n1,1e999\n2,0x10\n", [np.nan, np.nan]),
        ("d,v\n1,1_000\n2,١\n", [np.nan, np.nan]),
    ],
)
def test_a_comma_is_a_decimal_sign_only_where_nothing_speaks_against_it(text: str, expected: list[float]) -> None:
    np.testing.assert_array_equal(frames.numbers(read(text), ["d", "v"])["v"], expected)


def test_a_comma_that_may_separate_thousands_is_asked_about() -> None:
    with pytest.raises(ReadError, match=r"^lab\.csv, line 2, column v: holds '1,234', and no cell tells"):
        frames.numbers(read("d\tv\n1\t1,234\n2\t987\n"), ["d", "v"])


@pytest.mark.real
def test_the_spreadsheets_of_a_real_core_are_read(data: Path) -> None:
    folder = data / "itrax-cd166" / "calibration_samples"
    found = read((folder / "CD166_hh.xls.xlsx").read_bytes(), name="hh.xlsx")
    tidy = read((folder / "hhxrf_tidy.csv").read_bytes(), name="tidy.csv")
    assert len(found) == len(tidy) == 60
    assert set(found["SAMPLE"]) == set(tidy["SampleID"])
    order = [list(found["SAMPLE"]).index(name) for name in tidy["SampleID"]]
    # The tidy table is the same readings after the authors' calibration: one line, and the same cells without a value.
    raw, calibrated = frames.numbers(found, ["Ca", "Mg"]), frames.numbers(tidy, ["Ca", "Mg"])
    assert np.corrcoef(raw["Ca"][order], calibrated["Ca"])[0, 1] > 0.98
    np.testing.assert_array_equal(np.isnan(raw["Mg"][order]), np.isnan(calibrated["Mg"]))
    assert set(found["Mg"][np.isnan(raw["Mg"])]) == {"<LOD"}
