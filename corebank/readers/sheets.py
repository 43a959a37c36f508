"""Workbooks and Parquet files -> rows of text cells, without trusting what the file says of its own size."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from corebank.errors import ReadError, UnsafeFileError
from corebank.readers.files import MAX_MEMBER_BYTES, MAX_RATIO, File

if TYPE_CHECKING:
    import pandas as pd

MAX_CELLS = 40_000_000
"""More cells than this are refused: 20,000 spectra of 2,048 channels, or far more than any laboratory's workbook."""

MAX_ROWS = 1_048_576
"""Rows of a sheet, by the format; a row that claims a higher number would be counted up to for hours."""

Rows = list[tuple[int, list[str]]]


def xlsx(file: File, sheet: str = "") -> tuple[str, Rows, tuple[str, ...]]:
    """The rows of one sheet that are not blank.

    Returns
    -------
    name
        The sheet's name.
    rows
        Row number as the spreadsheet counts it, and the text of its cells.
    letters
        The column's letter for each cell of a row, as the spreadsheet names it.

    Raises `ReadError` when the workbook is damaged, `sheet` is not in it, or several hold something and none is named;
    `UnsafeFileError` when it would unpack to far more than it holds.
    """
    from openpyxl.utils import get_column_letter

    _refuse_unsafe(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of drop-down lists and other ornaments that openpyxl leaves out
            name, rows = _sheet(file, sheet)
    except ReadError:
        raise
    except Exception as error:  # openpyxl lets through whatever zipfile, its XML parser and its own objects raise
        raise ReadError(
            file.name, f"is not a readable xlsx workbook ({error})", "Open it in a spreadsheet and save it again"
        ) from error
    width = max((len(cells) for _, cells in rows), default=0)
    return name, rows, tuple(get_column_letter(number) for number in range(1, width + 1))


def parquet(file: File, sheet: str = "") -> pd.DataFrame:
    """A Parquet file as `corebank.readers.frames.frame` returns a table; raises `ReadError` when it is damaged."""
    import pandas as pd

    if sheet:
        raise ReadError(file.name, f"is no workbook and has no sheet {sheet!r}", "Take the sheet out, or name the xlsx")
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ReadError(
            file.name,
            "is a Parquet file, and pyarrow is not installed",
            'Run pip install "corebank[tables]", or save the table as CSV',
        ) from error
    try:
        source = pq.ParquetFile(io.BytesIO(file.content))
        if source.metadata.num_rows * source.metadata.num_columns > MAX_CELLS:
            raise ReadError(file.name, f"holds more than {MAX_CELLS} cells", "Divide the table into several")
        columns = source.read().to_pydict()
    except ReadError:
        raise
    except Exception as error:  # what pyarrow lets through differs from version to version
        raise ReadError(file.name, f"is not a readable Parquet file ({error})", "Copy or write it again") from error
    table = pd.DataFrame({name: [_text(value) for value in values] for name, values in columns.items()}, dtype=object)
    table.index = pd.RangeIndex(1, len(table) + 1)
    table.attrs = {"file": file.name, "sheet": "parquet", "letters": (), "comma": False}
    return table


def _sheet(file: File, wanted: str) -> tuple[str, Rows]:
    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(file.content), read_only=True, data_only=True)
    known = ", ".join(repr(name) for name in book.sheetnames)
    if wanted and wanted not in book.sheetnames:
        raise ReadError(file.name, f"has no sheet {wanted!r}; it has {known}", "Correct sheet under [[measurements]]")
    sheets = [page for page in book.worksheets if not wanted or page.title == wanted]
    full = [page for page in sheets if next(_rows(page, file.name), None) is not None]
    if len(full) > 1:
        raise ReadError(file.name, f"has several sheets: {known}", f'Name one, as in sheet = "{full[0].title}"')
    if not full:
        raise ReadError(file.name, "holds nothing", "Save the sheet with the values in it")
    rows = list(_rows(full[0], file.name))
    if _has_formulas(file):
        _tell_unsaved(file, full[0].title, rows)
    return full[0].title, rows


def _rows(page: Any, name: str) -> Iterator[tuple[int, list[str]]]:
    page.reset_dimensions()  # what a sheet says of its size is often wrong, and can claim a million empty rows
    read = 0
    for number, row in enumerate(page.iter_rows(), 1):
        if number > MAX_ROWS:
            raise ReadError(name, f"has a row beyond {MAX_ROWS}", "Open it in a spreadsheet and save it again")
        cells = [_shown(one) for one in row]
        while cells and not cells[-1].strip():
            cells.pop()
        read += len(cells)
        if read > MAX_CELLS:
            raise ReadError(name, f"holds more than {MAX_CELLS} cells", "Divide the sheet into several files")
        if cells:
            yield number, cells


def _shown(cell: Any) -> str:
    value = cell.value
    percent = isinstance(value, int | float) and not isinstance(value, bool) and str(cell.number_format).endswith("%")
    return f"{_text(round(value * 100, 12))}%" if percent else _text(value)


def _text(value: object) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))  # a spreadsheet shows 5, whatever it stores
    return str(value) if not isinstance(value, timedelta) else f"{value.total_seconds()} s"


def _has_formulas(file: File) -> bool:
    with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
        pages = [name for name in archive.namelist() if name.startswith("xl/worksheets/") and name.endswith(".xml")]
        return any(b"<f>" in text or b"<f " in text for text in map(archive.read, pages))


def _tell_unsaved(file: File, sheet: str, rows: Rows) -> None:
    """Put a formula's text where no value is stored beside it: an empty cell would be a value that was never given."""
    import openpyxl

    page = openpyxl.load_workbook(io.BytesIO(file.content), read_only=True, data_only=False)[sheet]
    known = dict(rows)
    for number, row in enumerate(page.iter_rows(), 1):
        for place, cell in enumerate(row):
            cells = known.get(number, [])
            if cell.data_type == "f" and (place >= len(cells) or not cells[place]):
                cells += [""] * (place + 1 - len(cells))
                cells[place] = str(cell.value)
                known[number] = cells
    rows[:] = sorted(known.items())


def _refuse_unsafe(file: File) -> None:
    """Refuse a workbook that unpacks to far more than it holds, or whose XML declares entities, as none needs to."""
    try:
        with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
            members = archive.infolist()
            unpacked = sum(member.file_size for member in members)
            largest = max((member.file_size for member in members), default=0)
            if largest > MAX_MEMBER_BYTES or unpacked > MAX_RATIO * len(file.content) + MAX_MEMBER_BYTES:
                raise UnsafeFileError(
                    file.name, f"would unpack to {unpacked / 2**20:.0f} MB", "Save the table as CSV instead"
                )
            if not any(member.filename.startswith("xl/") for member in members):
                raise ReadError(file.name, "is a zip, but no xlsx workbook", "Save the table as xlsx or CSV")
            for member in members:
                with archive.open(member) as part:
                    if member.filename.endswith((".xml", ".rels")) and b"<!DOCTYPE" in part.read(4096):
                        raise UnsafeFileError(
                            file.name, f"{member.filename} declares entities", "Save it again in a spreadsheet"
                        )
    except ReadError:
        raise
    except Exception as error:  # zipfile raises a dozen kinds for damaged archives
        raise ReadError(
            file.name, f"is not a whole xlsx workbook ({error})", "Copy it again; it was cut short or is encrypted"
        ) from error
