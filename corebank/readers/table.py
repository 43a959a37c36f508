"""Tables of spectra: one spectrum per row or per column, as CSV, xlsx or Parquet.

Rows: at least `corebank.readers.table_headers.FEWEST` columns are named by channel or energy, the others say where and
how each spectrum was measured; the corpora published with MAX (arXiv 2410.12330) are such tables, and their file names
hold the machine settings. Columns: the first lists channels or energies under that name, each other one is a spectrum.

A text cut in the middle of a line is refused. One cut between two lines shows only where spectra are columns: too few
channels for a detector, unless a power of two of them is left. A row is whole or not there.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corebank.errors import ReadError
from corebank.readers import avaatech_names, frames
from corebank.readers.counts import FIX_COPY, exact, is_detector_size, number, require_line_end, total
from corebank.readers.files import File
from corebank.readers.spectrum import NAN, Spectrum
from corebank.readers.table_headers import FEWEST, UNITS, Axis, Column, axis, axis_unit, columns, ladder

if TYPE_CHECKING:
    import pandas as pd

_HEAD = 8192
_BINARY = (b"PK\x03\x04", b"PAR1")
_WHOLE = re.compile(r"\d{1,10}(?:\.0*)?")


def is_spectrum(head: bytes) -> bool:
    """True for the first 8192 bytes of a text table of spectra.

    xlsx and Parquet do not tell what they hold in so few bytes, so they are never taken for spectra here: see
    `is_workbook` and `holds_spectra`.
    """
    if is_workbook(head) or b"\0" in head:
        return False
    lines = head.removeprefix(b"\xef\xbb\xbf").decode("latin-1").splitlines(keepends=True)
    lines = [line for line in lines if line.strip()]
    return any(_in_rows(lines, mark) or _in_columns(lines, mark, len(head)) for mark in frames.DELIMITERS)


def is_workbook(head: bytes) -> bool:
    """True for the first bytes of an xlsx or a Parquet file, whose columns only the whole file tells."""
    return head.startswith(_BINARY)


def holds_spectra(file: File) -> bool:
    """True for a table of spectra, whatever it is written in; reads an xlsx or Parquet file to tell."""
    if not is_workbook(file.content):
        return is_spectrum(file.content[:_HEAD])
    try:
        table = frames.frame(file)
    except ReadError:
        return False
    return axis(_names(table)) is not None or _axis_in_first_column(table) is not None


def parse(file: File) -> list[Spectrum]:
    """Read a table of spectra.

    Returns
    -------
    list of Spectrum
        In the order of the table. ``source`` is ``table.csv!core/filename``, or the row's number where it has no file
        name; ``sha256`` is that of the row's (column's) cells alone, so a row added to the table leaves the others what
        they are. ``total`` is
        what ``cps`` says by `corebank.readers.counts.total`. Columns are understood by
        `corebank.readers.table_headers.FIELDS`; the rest is kept in ``header`` as text. What the columns leave open, an
        Avaatech file name tells (`corebank.readers.avaatech_names`).

    Raises `ReadError` when the file is no such table, was cut short, holds something that is no count, or gives a depth
    without a unit.
    """
    if not is_workbook(file.content):
        require_line_end(file.content, file.name)
    table = frames.frame(file)
    found = axis(_names(table))
    spectra = _by_row(file, table, found) if found else _by_column(file, table)
    if not spectra:
        raise ReadError(file.name, "is a table of spectra without a single one", FIX_COPY)
    return spectra


def _by_row(file: File, table: pd.DataFrame, found: Axis) -> list[Spectrum]:
    names, last = _names(table), found.first + found.channels
    others = [*range(found.first), *range(last, len(names))]
    known = columns([names[place] for place in others])
    _refuse_unknown_units(known, file.name)
    spectra, met = [], set[str]()
    for number_, cells in zip(table.index, table.to_numpy(dtype=object), strict=True):
        row = _Row({names[place]: cells[place] for place in others}, known, f"{file.name}, row {number_}")
        title = "/".join(filter(None, (row.text("core"), row.text("file", str(number_)))))
        title = f"{title} ({number_})" if title in met else title
        met.add(title)
        counts = exact([text.strip().encode() for text in cells[found.first : last]], row.where)
        spectra.append(row.spectrum(counts, found, source=f"{file.name}!{title}", sha256=_hash(list(cells))))
    return spectra


def _by_column(file: File, table: pd.DataFrame) -> list[Spectrum]:
    found = _axis_in_first_column(table)
    if found is None:
        raise ReadError(
            file.name,
            f"no {FEWEST} columns or lines are named by channels from 0 or 1 up, or by even energies",
            "Name the columns by channel or by energy in keV",
        )
    if not is_workbook(file.content) and not is_detector_size(len(table)):
        raise ReadError(file.name, f"{len(table)} channels, which no detector has", FIX_COPY)
    spectra = []
    for name in _names(table)[1:]:
        cells = [text.strip() for text in table[name]]
        row = _Row({"filename": name}, columns(["filename"]), f"{file.name}, column {name}")
        counts = exact([text.encode() for text in cells], row.where)
        spectra.append(row.spectrum(counts, found, source=f"{file.name}!{name}", sha256=_hash([name, *cells])))
    return spectra


@dataclass(frozen=True, slots=True)
class _Row:
    """What a table says of one spectrum, beside its counts."""

    header: Mapping[str, str]
    known: Mapping[str, Column]
    where: str

    def text(self, field: str, otherwise: str = "") -> str:
        return (self.header[self.known[field].name].strip() if field in self.known else "") or otherwise

    def value(self, field: str, otherwise: float = NAN) -> float:
        """A setting in the bank's unit; `otherwise` where there is no such column or the cell is empty."""
        if not self.text(field):
            return otherwise
        name, unit = self.known[field]
        return number(self.text(field), self.where, f"column {name}") * UNITS[field][unit]

    def spectrum(self, counts: np.ndarray, found: Axis, *, source: str, sha256: str) -> Spectrum:
        """The columns come first; an Avaatech file name tells what they leave open."""
        name = avaatech_names.parse(self.text("file"))
        live, real = self.value("live_time", name.live_time), self.value("real_time")
        return Spectrum(
            source=source,
            sha256=sha256,
            counts=counts,
            position=self.value("position", name.position),
            depth=self.value("depth"),
            live_time=live,
            real_time=real,
            tube_voltage=self.value("tube_voltage", name.tube_voltage),
            tube_current=self.value("tube_current", name.tube_current),
            gain=self.value("gain", found.gain),
            offset=self.value("offset", found.offset),
            total=total(self.text("total"), counts, live, real, self.where, "column cps"),
            day=self.text("day", name.day),
            clock=self.text("clock", name.clock),
            anode=self.text("anode"),
            filter=self.text("filter", name.filter),
            detector=self.text("detector"),
            core=self.text("core", name.core),
            section=self.text("section", name.section),
            replicate=avaatech_names.replicate(self.text("replicate")) or name.replicate,
            header={**self.header, **name.header},
        )


def _refuse_unknown_units(known: Mapping[str, Column], where: str) -> None:
    for field, units in UNITS.items():
        if field in known and known[field].unit not in units:
            name = known[field].name
            raise ReadError(
                f"{where}, column {name}",
                "has no unit that can be told",
                "Put one behind the name: " + " or ".join(f"{name}_{unit}" for unit in units if unit),
            )


def _names(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in table.columns]


def _axis_in_first_column(table: pd.DataFrame) -> Axis | None:
    names = _names(table)
    unit = axis_unit(names[0]) if len(names) > 1 else None
    if unit is None or len(table) < FEWEST:
        return None
    energies = ladder([str(text) for text in table[names[0]]], unit)
    return None if energies is None else Axis(0, len(table), *energies)


def _in_rows(lines: Sequence[str], mark: str) -> bool:
    """True when the first line names channels; it may be cut, and then its last name is not whole."""
    if not lines:
        return False
    names = _cells(lines[0], mark)
    return axis(names if lines[0].endswith(("\n", "\r")) else names[:-1]) is not None


def _in_columns(lines: Sequence[str], mark: str, size: int) -> bool:
    """True when the first cells of whole lines count channels or energies and all others are whole numbers."""
    rows = [_cells(line, mark) for line in lines if line.endswith(("\n", "\r"))]
    unit = axis_unit(rows[0][0]) if rows and len(rows[0]) > 1 else None
    if unit is None or len(rows) < 3 or (size < _HEAD and len(rows) <= FEWEST):
        return False
    return ladder([row[0] for row in rows[1:]], unit) is not None and all(
        len(row) == len(rows[0]) and all(_WHOLE.fullmatch(text.strip()) for text in row[1:]) for row in rows[1:]
    )


def _cells(line: str, mark: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r\n")], delimiter=mark), [""])
    except csv.Error:
        return [""]


def _hash(cells: Sequence[str]) -> str:
    return hashlib.sha256("\x1f".join(cells).encode("utf-8", "surrogatepass")).hexdigest()
