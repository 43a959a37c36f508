"""What the cells of a laboratory's table say: a number, "nothing was found", or that something is broken.

Cells that say why there is no value (``b.d.l.``, ``<0.05``, ``ND``) are counted by what they say. Every other text
where a number was meant is broken: ``#REF!`` of a spreadsheet, and words that nobody here knows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from corebank import units
from corebank.contribution.findings import Finding, finding
from corebank.readers import frames

MARKERS = frozenset(
    {
        *("", "-", "--", "–", "—", "/", "*", "none", "null", "nan", "missing", "empty"),
        *("na", "n/a", "not analysed", "not analyzed", "not available", "not applicable", "not measured", "nm"),
        *("nd", "not detected", "not determined", "no data", "ns", "no sample"),
        *("bd", "bdl", "bld", "below detection", "below detection limit", "below limit", "dl", "lod", "loq", "lld"),
        *("tr", "trace", "traces"),
    }
)
"""Texts for no number, without their dots and in small letters, as archives of the field use them."""

FILLERS = frozenset({"-999", "-9999", "-99999"})
"""Numbers that stand for no number in data archives; no laboratory measures them."""

LOWEST, HIGHEST = -10.0, 110.0
"""A mass fraction within these [wt%] can be noise around nothing or a closed sum that is a little off; the lowest
CaCO3 met in an archive is -4.6 wt%."""

SHOWN = 4
"""Different texts that a sentence names; all cells are among the finding's items."""


def says_nothing(text: str) -> bool:
    """True for a cell that says that there is no number, and why."""
    plain = text.strip().lower()
    if re.match(r"[<>≤≥]\s*(\d|[.,]\d|lod|loq|dl|d\.l|lld|detection|limit)", plain):
        return True  # beyond what the method can tell, which is no value either
    return plain.replace(".", "").strip("()[] ") in MARKERS or re.sub(r"[.,]0+$", "", plain) in FILLERS


def in_column(table: pd.DataFrame, column: str) -> str:
    """How to name a column of a table that `corebank.readers.frames.frame` made."""
    sheet = f", sheet {table.attrs['sheet']}" if table.attrs["letters"] else ""
    return f"{table.attrs['file']}{sheet}, column {column}"


def told(kind: str, table: pd.DataFrame, column: str, rows: Sequence[int], found: str, *, fix: str = "") -> Finding:
    """A finding about cells of one column; `rows` are index labels of the table."""
    cells = tuple(frames.cell(table, row, column) for row in rows)
    where = cells[0] if len(cells) == 1 else in_column(table, column)
    return finding(kind, where, found, fix=fix, items=cells)


def without_number(table: pd.DataFrame, column: str, rows: np.ndarray) -> list[Finding]:
    """Findings on the cells of a column that hold no number; `rows` are their positions."""
    cells = [(int(table.index[row]), str(table[column].iloc[row]).strip()) for row in rows]
    nothing = [(row, text) for row, text in cells if says_nothing(text)]
    broken = [(row, text) for row, text in cells if not says_nothing(text)]
    found = []
    if nothing:
        say = f"no number in {_cells(len(nothing))}: {_counted([text for _, text in nothing])}"
        found.append(told("no-number", table, column, [row for row, _ in nothing], say))
    if broken:
        say = f"{_cells(len(broken))} with what is neither a number nor known to mean none: " + _counted(
            [text for _, text in broken]
        )
        found.append(told("broken-cell", table, column, [row for row, _ in broken], say))
    return found


def believable(
    table: pd.DataFrame, column: str, unit: str, values: np.ndarray, proxy: str
) -> tuple[np.ndarray, list[Finding]]:
    """Which of `values` can be, and findings on those that cannot and on negative shares; NaN can be."""
    if not units.is_share(unit):
        return np.ones(len(values), dtype=bool), []
    share = values * units.factor(unit, "wt%", in_column(table, column))
    beyond = (share < LOWEST) | (share > HIGHEST)
    below = (share < 0) & ~beyond
    found = []
    if beyond.any():
        say = f"{_values(beyond)} of {proxy} outside {LOWEST:g} to {HIGHEST:g} wt%: {_listed(values[beyond], unit)}"
        found.append(told("out-of-range", table, column, list(table.index[beyond]), say))
    if below.any():
        say = f"{_values(below)} of {proxy} below nothing: {_listed(values[below], unit)}"
        found.append(told("negative", table, column, list(table.index[below]), say))
    return ~beyond, found


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _values(which: np.ndarray) -> str:
    return "1 value" if which.sum() == 1 else f"{which.sum()} values"


def _counted(texts: Sequence[str]) -> str:
    counts = Counter(text[:40] or "empty" for text in texts).most_common()
    more = f" and {len(counts) - SHOWN} other texts" if len(counts) > SHOWN else ""
    return ", ".join(f"{text} ({count})" for text, count in counts[:SHOWN]) + more


def _listed(values: np.ndarray, unit: str) -> str:
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(f"{value:g} {unit}" for value in values[:SHOWN]) + more
