"""bAxil batch tables: the peak areas that Avaatech's software fits to its spectra, as CSV.

Header cells are quoted and padded (``" Fe-Ka cps" ,``), elements are padded to two characters (``P -Ka``), and areas
below nothing are normal: 2 to 8 % of the cells at 10 kV are negative, for a fit is as likely to fall short of an absent
line as to exceed it. Layout after tables of 107, 137 and 62 columns (10, 30 and 50 kV). Such a table is a companion of
the spectra that it names, not data to be counted again.
"""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pandas as pd

from corebank.errors import ReadError
from corebank.readers.counts import FIX_COPY, number, require_line_end
from corebank.readers.files import File

TEXTS = ("Spectrum", "Sample", "User", "Excitation")
"""Columns of words; all others hold numbers."""

_LINE = re.compile(r"([A-Z][a-z]?)\s*-\s*([KLM][a-z]?\d?)\s+(Chi2|Area|AreaStd|cps|cpsStd)")
_ENDING = re.compile(r"\.(?:spe|axml)\s*$", re.IGNORECASE)


def is_table(head: bytes) -> bool:
    """True for the first bytes of a bAxil table: a header line with ``Spectrum`` and ``Fe-Ka cps`` or the like."""
    line = head.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1)[0].rstrip(b"\r")
    try:
        names = _header(next(csv.reader([line.decode("latin-1")], skipinitialspace=True), []))
    except csv.Error:
        return False
    return names[:1] == ["Spectrum"] and any(_LINE.fullmatch(name) for name in names)


def read(file: File) -> pd.DataFrame:
    """Read a bAxil table.

    Returns
    -------
    DataFrame
        One row per spectrum, in the order of the file; the index is the name of the spectrum's file without ending
        and blanks, as `File.stem` is for that file. Columns are named as in the file, blanks tidied (``P-Ka cps``).
        `TEXTS` are str; the rest is float64: live and real time [s], ``Chi2``, ``Area`` and ``AreaStd`` [count],
        ``cps`` and ``cpsStd`` [count/s], NaN where a cell is empty.

    Raises `ReadError` when the file is no such table, was cut short, or has a cell of numbers that holds none.
    """
    if not is_table(file.content):
        raise ReadError(file.name, "no bAxil header: Spectrum, then lines such as Fe-Ka cps", "Export it from bAxil")
    require_line_end(file.content, file.name)
    text = file.content.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), skipinitialspace=True))
    except csv.Error as error:
        raise ReadError(file.name, f"is not a readable CSV table ({error})", FIX_COPY) from error
    lines = [(line, [cell.strip() for cell in row]) for line, row in enumerate(rows, 1) if any(map(str.strip, row))]
    names = _header(lines[0][1])
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ReadError(file.name, f"two columns are called {min(repeated)!r}", FIX_COPY)
    for line, row in lines[1:]:
        if len(row) != len(names) and row[len(names) :] != [""]:
            raise ReadError(f"{file.name}, line {line}", f"{len(row)} cells under {len(names)} columns", FIX_COPY)
    values: dict[str, object] = {}
    for place, name in enumerate(names):
        cells = [row[place] for _, row in lines[1:]]
        values[name] = (
            np.array(cells, dtype=object)
            if name in TEXTS
            else np.array(
                [
                    number(cell, f"{file.name}, line {line}", f"column {name}")
                    for cell, (line, _) in zip(cells, lines[1:], strict=True)
                ],
                dtype=np.float64,
            )
        )
    stems = [_ENDING.sub("", row[0]).strip() for _, row in lines[1:]]
    return pd.DataFrame(values, index=pd.Index(stems, name="spectrum", dtype=object))


def _header(cells: list[str]) -> list[str]:
    """Names of the columns with their blanks tidied; a last one without a name comes from a comma at the end."""
    names = [" ".join(cell.split()) for cell in cells]
    if names and not names[-1]:
        names.pop()
    found = [_LINE.fullmatch(name) for name in names]
    return [f"{one[1]}-{one[2]} {one[3]}" if one else name for one, name in zip(found, names, strict=True)]
