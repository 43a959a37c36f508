"""The tables of a virtual folder, opened for changes cell by cell: an Itrax result table, the laboratory's CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

import numpy as np

from corebank.virtual.defects.folder import LABORATORY, Folder, Part

RESULTS, SETTINGS, DOCUMENT = "Results.txt", "Results_ settings.dfl", "document.txt"
"""Files that an Itrax leaves beside the spectra of a section."""


class ResultTable:
    """A result table: two lines of words, the titles, one row per spectrum."""

    def __init__(self, folder: Folder, part: Part) -> None:
        self.folder, self.name = folder, f"{part.folder}/{RESULTS}"
        content = folder.read([self.name])[self.name]
        self.newline = "\r\n" if b"\r\n" in content else "\n"
        lines = content.decode("latin-1").split(self.newline)
        self.words, self.titles = lines[:2], lines[2].split("\t")
        self.rows = [line.split("\t") for line in lines[3:]]

    def row(self, name: str) -> list[str]:
        """The row of a spectrum file."""
        stem = PurePosixPath(name).stem
        return next(row for row in self.rows if row[0].endswith(f"\\{stem}.spe"))

    def set(self, names: Sequence[str], column: str, change: Callable[[str], str]) -> None:
        """Change a column in the rows of these spectra."""
        at = self.titles.index(column)
        for name in names:
            row = self.row(name)
            row[at] = change(row[at])

    def bytes(self) -> bytes:
        """The table as the scanner's program writes it."""
        lines = [*self.words, "\t".join(self.titles), *("\t".join(row) for row in self.rows)]
        return self.newline.join(lines).encode("latin-1")

    def save(self, name: str = "") -> None:
        """Write the table back, or under another name."""
        self.folder.write({name or self.name: self.bytes()})


class Sheet:
    """The laboratory's table: cells as text, named as a message names them."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        text = folder.read([LABORATORY])[LABORATORY].decode("utf-8")
        self.titles, *self.rows = [line.split(",") for line in text.splitlines()]

    @property
    def proxies(self) -> list[str]:
        """Columns that hold values."""
        return [title for title in self.titles if title.endswith("_pct")]

    def take(self, rng: np.random.Generator, count: int = 1) -> list[int]:
        """Rows at random that no defect has taken."""
        lines = [f"{LABORATORY}, line {row + 2}" for row in range(len(self.rows))]
        return [lines.index(line) for line in self.folder.claim(rng, lines, count)]

    def get(self, row: int, column: str) -> str:
        """Text of a cell; rows count from 0 below the titles."""
        return self.rows[row][self.titles.index(column)]

    def put(self, row: int, column: str, text: str) -> str:
        """Set a cell, and return its name."""
        self.rows[row][self.titles.index(column)] = text
        return self.cell(row, column)

    def cell(self, row: int, column: str) -> str:
        """Name of a cell, by the line that an editor shows."""
        return f"{LABORATORY}, line {row + 2}, column {column}"

    def save(self) -> None:
        """Write the table back."""
        text = "".join(",".join(row) + "\n" for row in [self.titles, *self.rows])
        self.folder.write({LABORATORY: text.encode("utf-8")})
