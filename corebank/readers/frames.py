"""Tables that people keep (CSV, xlsx, Parquet) -> a frame of text cells, as they were written, that can be named.

A cell is named as the person who will mend it sees it: ``lab.csv, line 14, column TOC`` or ``lab.xlsx, sheet Oxides,
cell D14``. Nothing is turned into a number here; `numbers` does it for columns that are known to hold some.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from corebank.errors import ReadError
from corebank.readers import sheets
from corebank.readers.files import File

if TYPE_CHECKING:
    import pandas as pd

DELIMITERS = ("\t", ";", "|", ",")
"""What separates cells; the first in this order wins where several would divide all lines alike, because a decimal
comma divides "1,5;2,5" as evenly as the semicolon does, and nobody writes tabs inside cells."""

SNIFFED_LINES = 50
"""Lines from which the delimiter is told."""

MAX_CELL_CHARACTERS = 2**24
"""A longer cell of a CSV table is refused: an unclosed quote swallows the rest of a file into one cell."""

_POINT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?", re.ASCII)
_COMMA = re.compile(r"[-+]?(\d+,\d*|,\d+)([eE][-+]?\d{1,3})?", re.ASCII)
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+")


def frame(file: File, sheet: str = "") -> pd.DataFrame:
    """Read a table; the format is told by its bytes.

    Parameters
    ----------
    file
        CSV with any of `DELIMITERS` (UTF-8, UTF-16 with its mark, or Windows Latin), xlsx, or Parquet.
    sheet
        The sheet of an xlsx workbook; may stay empty where only one holds anything.

    Returns
    -------
    DataFrame
        One row per line below the header that is not blank, all cells str, exactly as written ("" for an empty one).
        The index counts lines of the file, rows of the sheet, or rows of the Parquet table, from 1 and with the header,
        as `cell` wants it. Columns are named by the first line that is not blank, runs of blanks as one blank; a column
        without a name is ``column 3``, and the second of one name ``Error (2)``. ``attrs`` say how to name a cell, and
        whether commas may be decimal signs.

    Notes
    -----
    A formula is the value that the spreadsheet stored beside it, and the formula's text where it stored none. A cell
    shown as a percentage reads as one ("5.2%"), not as the fraction behind it. A ``/* ... */`` block on top, as
    PANGAEA writes it, is skipped.

    Raises `ReadError` when the file is none of these, has no such sheet, or has lines longer than its header.
    """
    head = file.content[:8]
    if head.startswith(b"PAR1"):
        return sheets.parquet(file, sheet)
    if head.startswith(b"PK\x03\x04"):
        name, rows, letters = sheets.xlsx(file, sheet)
        return _framed(rows, {"file": file.name, "sheet": name, "letters": letters, "comma": True})
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise ReadError(file.name, "is a workbook in the old Excel format", "Save it as xlsx or CSV")
    if sheet:
        raise ReadError(file.name, f"is no workbook and has no sheet {sheet!r}", "Take the sheet out, or name the xlsx")
    lines, delimiter = _csv(file)
    return _framed(lines, {"file": file.name, "sheet": "", "letters": (), "comma": delimiter != ","})


def cell(table: pd.DataFrame, row: int, column: str) -> str:
    """How to name one cell of a table that `frame` made; `row` is its index label."""
    place, sheet = table.attrs["file"], table.attrs["sheet"]
    if letters := table.attrs["letters"]:
        return f"{place}, sheet {sheet}, cell {letters[list(table.columns).index(column)]}{row}"
    return f"{place}, {'row' if sheet else 'line'} {row}, column {column}"


def numbers(table: pd.DataFrame, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """The numbers in some columns of a table that `frame` made.

    Returns
    -------
    dict
        Column -> (row,) float64; NaN where a cell is no finite number. A comma is a decimal sign only where it does
        not separate cells and no other of these cells has a decimal point.

    Raises `ReadError` when every comma could just as well separate thousands, as in "1,234".
    """
    texts = {name: [text.strip() for text in table[name]] for name in columns}
    comma = table.attrs["comma"] and _decimal_comma(table, texts)
    return {name: np.array([_number(text, comma) for text in cells], dtype=np.float64) for name, cells in texts.items()}


def _number(text: str, comma: bool) -> float:
    if _POINT.fullmatch(text):
        value = float(text)
    elif comma and _COMMA.fullmatch(text):
        value = float(text.replace(",", "."))
    else:
        return float("nan")
    return value if np.isfinite(value) else float("nan")


def _decimal_comma(table: pd.DataFrame, texts: dict[str, list[str]]) -> bool:
    with_comma = [(name, row) for name, cells in texts.items() for row, text in enumerate(cells) if "," in text]
    with_comma = [(name, row) for name, row in with_comma if _COMMA.fullmatch(texts[name][row])]
    if not with_comma or any("." in text and _POINT.fullmatch(text) for cells in texts.values() for text in cells):
        return False
    if all(_THOUSANDS.fullmatch(texts[name][row]) for name, row in with_comma):
        name, row = with_comma[0]
        raise ReadError(
            cell(table, table.index[row], name),
            f"holds {texts[name][row]!r}, and no cell tells whether its comma is a decimal sign or separates thousands",
            "Save the table with decimal points and without separators of thousands",
        )
    return True


def _csv(file: File) -> tuple[Iterator[tuple[int, list[str]]], str]:
    """The lines of a CSV table that are not blank, numbered from 1, and what separates their cells."""
    text, skipped = _text(file), 0
    if text.startswith("/*") and (end := text.find("*/")) >= 0:
        skipped = text[:end].count("\n") + 1
        text = text[end + 2 :].partition("\n")[2]
    delimiter = _delimiter(text)
    return ((skipped + line, cells) for line, cells in _lines(text, delimiter, file.name)), delimiter


def _text(file: File) -> str:
    # cp1252 is what Windows calls Latin-1 (it has the permille sign); a few bytes are missing there, none in Latin-1.
    marked = file.content.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp1252", "latin-1"):
        try:
            text = file.content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if re.search(r"[\x00-\x08\x0e-\x1f]", text):
            break
        return text
    raise ReadError(file.name, "is not a table of text", "Save it as CSV in UTF-8, or as xlsx")


def _delimiter(text: str) -> str:
    def evenness(delimiter: str) -> float:
        try:
            lines = [cells for _, cells in zip(range(SNIFFED_LINES), _lines(text, delimiter, ""), strict=False)]
        except ReadError:
            return 0.0
        widths = [len(cells) for _, cells in lines]
        if not widths or widths[0] < 2:
            return 0.0
        return sum(width == widths[0] for width in widths) / len(widths)

    best = max(DELIMITERS, key=evenness)  # the first of equals
    return best if evenness(best) else ","


def _lines(text: str, delimiter: str, name: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    reader, begin = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), 1
    try:
        for cells in reader:
            if any(text.strip() for text in cells):
                yield begin, cells
            begin = reader.line_num + 1  # a quoted cell may hold line ends: its row is named by its first line
    except csv.Error as error:
        raise ReadError(
            f"{name}, line {begin}", f"is not a readable CSV table ({error})", "Save it as CSV in UTF-8"
        ) from error


def _framed(rows: Iterable[tuple[int, list[str]]], where: Mapping[Hashable | None, Any]) -> pd.DataFrame:
    import pandas as pd

    numbered = iter(rows)
    head = next(numbered, None)
    if head is None:
        raise ReadError(
            str(where["file"]), "is not a readable CSV table: it holds nothing", "Save it as CSV in UTF-8, or as xlsx"
        )
    names = [" ".join(name.split()) for name in head[1]]
    index, cells = [], []
    for number, row in numbered:
        if len(row) > len(names) and any(text.strip() for text in row[len(names) :]):
            raise ReadError(
                f"{where['file']}, line {number}",
                f"has lines of more cells than its header line ({len(row)}, not {len(names)})",
                "Take out the surplus delimiters, or name the columns",
            )
        index.append(number)
        cells.append((row + [""] * (len(names) - len(row)))[: len(names)])
    table = pd.DataFrame(cells, columns=_unique(names), index=pd.Index(index, dtype="int64"), dtype=object)
    table.attrs = where
    return table


def _unique(names: Sequence[str]) -> list[str]:
    """Names for all columns, no two alike. Not "Error.1", as pandas would: a number, "5.1", must not come of "5"."""
    taken: dict[str, int] = {}
    found = []
    for number, given in enumerate(names, 1):
        name = given or f"column {number}"
        taken[name] = taken.get(name, 0) + 1
        found.append(name if taken[name] == 1 else f"{name} ({taken[name]})")
    return found


__all__ = ["DELIMITERS", "cell", "frame", "numbers"]
