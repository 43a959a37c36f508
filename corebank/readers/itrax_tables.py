"""The files beside Itrax spectra: result table (``Results.txt``), settings (``.dfl``) and ``document.txt``.

Of the result table corebank takes what the spectra lack: energy calibration, position and validity of each. Peak areas
are somebody's evaluation and are kept as such. Several evaluations of the same spectra lie side by side in real
folders; which one calibrates is recorded in ``energy_source`` (`corebank.readers.evaluations`).
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from corebank.errors import ReadError
from corebank.readers.files import File

_GAIN_LINES = ("kev/channel 2", "kev/channel")  # "2" is the set of the tube selector met in all real files
_OFFSET_LINES = ("energy offset 2", "energy offset")


_COLUMNS = {"position (mm)": "position", "validity": "valid", "E-gain": "gain", "E-offset": "offset"}
"""What corebank uses of a result table, by the names that the evaluation program gives."""


def is_results(file: File) -> bool:
    """True for a result table: ``peakarea`` on the second line, whatever the line ends."""
    lines = re.split(rb"[\r\n]+", file.content[:65536], maxsplit=2)
    return len(lines) > 2 and lines[1].strip().lower() == b"peakarea"


def results(file: File) -> pd.DataFrame:
    """Read a result table.

    Returns
    -------
    DataFrame
        One row per spectrum, indexed by the spectrum's file stem (``L000000``): ``position`` [mm], ``valid`` (bool),
        ``gain`` [keV/channel] and ``offset`` [keV] (NaN where the fit left them empty), then every other column of the
        table under its own name, float64. Rows without a file name, as aborted evaluations have, are dropped.

    Raises `ReadError` when one of the columns is missing.
    """
    rows = [line.split("\t") for line in file.content.decode("latin-1").splitlines()[2:]]
    if not rows:
        raise ReadError(file.name, "the result table has no header line", "Copy it again; it was cut short")
    names = [name.strip() for name in rows[0]]
    if missing := [name for name in ("filename", *_COLUMNS) if name not in names]:
        raise ReadError(
            file.name,
            f"the result table has no column {', '.join(missing)}",
            "Export it from the scanner's evaluation program again",
        )
    key, last = names.index("filename"), max(names.index(name) for name in ("filename", *_COLUMNS))
    wide = [row for row in rows[1:] if len(row) > last and row[key].strip()]
    table = pd.DataFrame(
        {
            _COLUMNS.get(name, name): _numbers([row[at] if len(row) > at else "" for row in wide])
            for at, name in enumerate(names)
            if name and at != key and names.index(name) == at
        },
        index=pd.Index(
            [PurePosixPath(row[key].strip().replace("\\", "/")).stem for row in wide], name="stem", dtype=object
        ),
    )
    first = [*_COLUMNS.values()]
    table = table[[*first, *(name for name in table if name not in first)]].assign(valid=table["valid"] == 1)
    return table[~table.index.duplicated()]


def _numbers(cells: list[str]) -> np.ndarray:
    """A column of the table, float64; NaN where a cell holds no number."""
    if not "".join(cells).translate(_OF_NUMBERS):  # float() takes more than files write: underscores, "infinity"
        try:
            return np.array([float(cell) for cell in cells])
        except ValueError:  # an empty cell, most often
            pass
    return np.asarray(pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce").to_numpy(np.float64))


_OF_NUMBERS = str.maketrans("", "", "0123456789+-.eE ")


def settings(file: File) -> tuple[float, float] | None:
    """Gain [keV/channel] and offset [keV] of a ``.dfl`` settings file, or None when it names none."""
    found: dict[str, float] = {}
    for line in re.split(r"[\r\n]+", file.content.decode("latin-1")):
        key, equals, value = line.partition("=")
        try:
            if equals:
                found.setdefault(key.strip().lower(), float(value))
        except ValueError:
            continue  # most lines of the file are switches: Fe = TRUE
    gain = next((found[key] for key in _GAIN_LINES if key in found), None)
    offset = next((found[key] for key in _OFFSET_LINES if key in found), None)
    return None if gain is None or offset is None else (gain, offset)


def document(file: File) -> dict[str, list[str]]:
    """Read ``document.txt``: the first value line or the values after each key, first occurrence of a key kept.

    ``Step size`` stands twice (the second is the optical one), and two lines pairs are a header line over a value line:
    the paths and names, and Year, Month, Day, Time.
    """
    lines = [[cell.strip() for cell in line.split("\t")] for line in file.content.decode("latin-1").splitlines()]
    fields: dict[str, list[str]] = {}
    for number, cells in enumerate(lines):
        if cells[0] == "Year" and number + 1 < len(lines):
            fields.update({key: [value] for key, value in zip(cells, lines[number + 1], strict=False) if key})
        elif cells[0]:
            fields.setdefault(cells[0], cells[1:])
    return fields


def is_document(file: File) -> bool:
    """True for an Itrax ``document.txt``, in its old and its new variant."""
    return file.content[:64].startswith((b"Base path:\t", b"Station no:\t"))
