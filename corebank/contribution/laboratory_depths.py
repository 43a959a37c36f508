"""Where the samples of a laboratory's table come from: core, section and composite depth of each row.

A table says it in one of three ways: composite ``top`` and ``bottom``; composite ``depth`` of the sample's middle with
a ``thickness``; or ``section`` and ``position`` of the middle inside it. A middle may also be written as an interval in
one cell, "33-34", which then is the sample's own. ``shift`` and ``tolerance`` are applied here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from corebank import units
from corebank.contribution.declared import Laboratory
from corebank.contribution.findings import Finding
from corebank.contribution.laboratory_cells import told
from corebank.contribution.metadata import Metadata, Section
from corebank.errors import ContributionError

SHALLOWEST, DEEPEST = -1_000.0, 2_000_000.0
"""Composite depths beyond these [mm] are a slip of unit: the deepest hole of ocean drilling is 2 km into the seabed."""

_INTERVAL = re.compile(r"\s*(?P<top>\d+([.,]\d+)?)\s*[-–—]\s*(?P<bottom>\d+([.,]\d+)?)\s*")


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Core, section and composite depth interval [mm] of each row; `placed` is False where one of them is missing."""

    core: list[str]
    section: list[str]
    top: np.ndarray
    bottom: np.ndarray
    placed: np.ndarray
    stray: np.ndarray
    """True for rows without any depth: a line of units or a remark, when it has no value either."""


def columns(laboratory: Laboratory) -> list[str]:
    """The columns that say where: those of names, then those of depths."""
    given = (laboratory.position, laboratory.depth, laboratory.top, laboratory.bottom)
    return [*filter(None, (laboratory.core, laboratory.section)), *(pair[0] for pair in given if pair)]


def split_intervals(laboratory: Laboratory, table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Give the cells that hold an interval, "33-34", two columns.

    Returns the table with the upper ends in the depth's own column and the lower ends in a new one, and the name of
    that column by the depth's; a cell that holds one number is both ends.
    """
    pair = laboratory.position or laboratory.depth
    if not pair or not any(map(_INTERVAL.fullmatch, table[pair[0]])):
        return table, {}
    ends = [_INTERVAL.fullmatch(text) for text in table[pair[0]]]
    lower = f"{pair[0]} to"
    while lower in table:
        lower += " "
    upper_ends = [end["top"] if end else text for end, text in zip(ends, table[pair[0]], strict=True)]
    lower_ends = [end["bottom"] if end else text for end, text in zip(ends, table[pair[0]], strict=True)]
    return table.assign(**{pair[0]: upper_ends, lower: lower_ends}), {pair[0]: lower}


def places(
    laboratory: Laboratory,
    table: pd.DataFrame,
    words: Metadata,
    found: Mapping[str, np.ndarray],
    lower: Mapping[str, str],
    has_value: np.ndarray,
) -> tuple[Places, list[Finding]]:
    """Core, section and depth of each row, and findings on rows that have a value and no place.

    Parameters
    ----------
    laboratory, words
        What ``contribution.toml`` says of the table, and of cores and sections.
    table
        As `corebank.readers.frames.frame` returns it, for the names and for naming cells.
    found
        Column of depths -> (row,) numbers; NaN where the cell holds none.
    lower
        As `split_intervals` returns it.
    has_value
        (row,) whether the row holds a number of any proxy.
    """
    names, core, section, findings = _named(laboratory, table, words, has_value)
    top, bottom, cells = _interval(laboratory, table, found, lower)
    findings += _without_depth(table, cells, found, has_value)
    if laboratory.position:
        zero = np.array([part.top if part else np.nan for part in names], dtype=np.float64)
        stretch = np.array([part.stretch if part else np.nan for part in names], dtype=np.float64)
        middle, half = zero + stretch * (top + bottom) / 2, (bottom - top) / 2
        top, bottom = middle - half, middle + half
    # Both are the contributor's own words; the file and contribution.toml are kept, so what they were can be seen.
    top = top + laboratory.shift - laboratory.tolerance
    bottom = bottom + laboratory.shift + laboratory.tolerance
    known = np.array([bool(name) for name in core], dtype=bool) & np.isfinite(top) & np.isfinite(bottom)
    findings += _impossible(table, cells, known & has_value, top, bottom)
    possible = (top >= SHALLOWEST) & (bottom <= DEEPEST) & (bottom >= top)
    stray = np.array([not any(str(table[name].iloc[row]).strip() for name in cells) for row in range(len(table))], bool)
    return Places(core, section, top, bottom, known & possible, stray), findings


def _interval(
    laboratory: Laboratory, table: pd.DataFrame, found: Mapping[str, np.ndarray], lower: Mapping[str, str]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Upper and lower end [mm] as the table gives them, and the columns that they stand in."""

    def length(column: str, unit: str) -> np.ndarray:
        return found[column] * units.factor(unit, "mm", table.attrs["file"])

    if laboratory.top and laboratory.bottom:
        return length(*laboratory.top), length(*laboratory.bottom), [laboratory.top[0], laboratory.bottom[0]]
    pair = laboratory.position or laboratory.depth
    assert pair is not None  # a contribution.toml without any depth is refused
    name, unit = pair
    top, bottom = length(name, unit), length(lower.get(name, name), unit)
    half = np.where(bottom == top, laboratory.thickness / 2, 0.0)
    return top - half, bottom + half, [name]


def _named(
    laboratory: Laboratory, table: pd.DataFrame, words: Metadata, has_value: np.ndarray
) -> tuple[list[Section | None], list[str], list[str], list[Finding]]:
    """Section (where the table gives positions), core and section name of each row; empty where it is unknown."""
    rows, findings = len(table), list[Finding]()
    cores = [core.name for core in words.cores]
    if laboratory.core:
        core = _known(table, laboratory.core, cores, "core", has_value, findings)
    elif len(cores) == 1 or laboratory.section:
        core = [cores[0] if len(cores) == 1 else ""] * rows
    else:
        raise ContributionError(
            table.attrs["file"],
            f"does not say to which of {len(cores)} cores a row belongs",
            'Name the column under [[measurements]], as in core = "core"',
        )
    if not laboratory.section:
        return [None] * rows, core, [""] * rows, findings
    known = list(dict.fromkeys(part.name for part in words.sections))
    section = _known(table, laboratory.section, known, "section", has_value, findings)
    parts = [_part(words, *said, table.attrs["file"]) for said in zip(core, section, strict=True)]
    return parts, [part.core if part else "" for part in parts], section, findings


def _part(words: Metadata, core: str, name: str, file: str) -> Section | None:
    """The section of a name; runs of one section share their zero and stretch."""
    parts = [part for part in words.sections if part.name == name and core in ("", part.core)]
    if len({(part.core, part.top, part.stretch) for part in parts}) > 1:
        inside = sorted({part.core for part in parts})
        raise ContributionError(
            file,
            f"names section {name}, which stands in contribution.toml {len(parts)} times "
            f"(core {', '.join(inside)}) with different tops",
            'Name the column of cores too, as in core = "core", or give the sections names of their own',
        )
    return parts[0] if parts else None


def _known(
    table: pd.DataFrame,
    column: str,
    known: Sequence[str],
    what: str,
    has_value: np.ndarray,
    findings: list[Finding],
) -> list[str]:
    """The names in a column, empty where contribution.toml does not have them; each strange one is a finding."""
    names = [str(text).strip() for text in table[column]]
    for strange in dict.fromkeys(name for name in names if name not in known):
        rows = [
            row for row, name, value in zip(table.index, names, has_value, strict=True) if name == strange and value
        ]
        if not rows:
            continue
        plain = {name.lower(): name for name in known}
        near = [plain[name] for name in difflib.get_close_matches(strange.lower(), plain, n=1)]
        say = f"{len(rows)} rows with values " if len(rows) > 1 else "a row with values "
        say += f"of {what} {strange!r}, which contribution.toml does not list; it lists {', '.join(known)}"
        fix = f"Write {near[0]!r} if that is meant, or list the {what} in contribution.toml" if near else ""
        fix = fix or f"List the {what} in contribution.toml, or for rows that are no samples w{_without([strange])[1:]}"
        findings.append(told("unknown-name", table, column, rows, say, fix=fix))
    return [name if name in known else "" for name in names]


def _without_depth(
    table: pd.DataFrame, cells: Sequence[str], numbers: Mapping[str, np.ndarray], has_value: np.ndarray
) -> list[Finding]:
    """A finding per column of depths in which rows with values have none."""
    findings = []
    for column in cells:
        missing = has_value & ~np.isfinite(numbers[column])
        if missing.any():
            texts = list(dict.fromkeys(str(text).strip() for text in table[column][missing]))
            say = f"{', '.join(map(repr, texts[:4]))} where the depth of a sample was meant"
            fix = _without(text for text in texts if text)
            findings.append(told("no-depth", table, column, [int(row) for row in table.index[missing]], say, fix=fix))
    return findings


def _without(texts: Iterable[str]) -> str:
    """How to leave out rows that are no samples."""
    listed = ", ".join(f'"{text}"' for text in texts)
    return (
        f"Write leave_out = [{listed}] in [[measurements]] if these are no samples, or give their depths"
        if listed
        else ""
    )


def _impossible(
    table: pd.DataFrame, cells: Sequence[str], wanted: np.ndarray, top: np.ndarray, bottom: np.ndarray
) -> list[Finding]:
    """Findings on depths that no core has, and on samples that end above their beginning."""
    findings = []
    beyond = wanted & ((top < SHALLOWEST) | (bottom > DEEPEST))
    upside_down = wanted & ~beyond & (bottom < top)
    for which, say in (
        (beyond, f"no depth of a core: it must lie within {SHALLOWEST / 1000:g} m and {DEEPEST / 1000:g} m"),
        (upside_down, "the sample's end lies above its beginning"),
    ):
        if which.any():
            first = int(np.flatnonzero(which)[0])
            example = f"{top[first] / 10:g} to {bottom[first] / 10:g} cm of composite depth"
            rows = [int(row) for row in table.index[which]]
            findings.append(told("out-of-range", table, cells[-1], rows, f"{example}: {say}"))
    return findings
