"""Tables of laboratory values -> one long table of measurements, each with its core, depth interval, unit and method.

A cell that holds no number is no measurement, and never turned into one. Everything odd about a table is a finding that
names its cells, and all findings of all tables come at once: a contributor mends a spreadsheet in one go.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from corebank import units
from corebank.contribution import laboratory_depths
from corebank.contribution.declared import Laboratory
from corebank.contribution.findings import Finding, finding
from corebank.contribution.laboratory_cells import (
    HIGHEST,
    LOWEST,
    believable,
    in_column,
    without_number,
)
from corebank.contribution.laboratory_match import match
from corebank.contribution.metadata import Metadata
from corebank.errors import ContributionError, CorebankError
from corebank.readers import frames
from corebank.readers.files import File

if TYPE_CHECKING:
    import pandera.pandas as pa

COLUMNS = {
    "core": "core name, as given",
    "section": "section name where the sample was taken by position in a section, else empty",
    "depth_top": "composite depth of the sample's upper end [mm]",
    "depth_bottom": "composite depth of the sample's lower end [mm]",
    "proxy": "what was measured: CaCO3, TOC, Fe2O3 ...",
    "value": "the number, in `unit`",
    "unit": "unit of the value, as given",
    "uncertainty": "one standard deviation, in `unit`; NaN where unknown",
    "method": "how it was measured, as given",
    "laboratory": "where it was measured, as given",
    "source": "file inside the contributed folder",
}
"""The measurements table, column by column."""

NUMBERS = ("depth_top", "depth_bottom", "value", "uncertainty")
"""Its columns of numbers, float64; the others are text."""


@lru_cache(maxsize=1)
def model() -> pa.DataFrameSchema:
    """The pandera schema of the measurements table; made on first use, since pandera takes a second to import."""
    import pandera.pandas as pa

    text = {name: pa.Column(str, nullable=False) for name in ("section", "method", "laboratory", "source")}
    named = {name: pa.Column(str, pa.Check.str_length(min_value=1)) for name in ("core", "proxy", "unit")}
    numbers = {
        "depth_top": pa.Column(float, pa.Check.between(laboratory_depths.SHALLOWEST, laboratory_depths.DEEPEST)),
        "depth_bottom": pa.Column(float),
        "value": pa.Column(float, pa.Check(lambda values: np.isfinite(values), name="finite")),
        "uncertainty": pa.Column(float, pa.Check.ge(0), nullable=True),
    }
    below = pa.Check(
        lambda table: table["depth_bottom"] >= table["depth_top"], name="depth_bottom is not above depth_top"
    )
    share = pa.Check(_shares_can_be, name=f"a share of mass lies within {LOWEST:g} and {HIGHEST:g} wt%")
    return pa.DataFrameSchema({**named, **text, **numbers}, checks=[below, share], strict=True)


def empty() -> pd.DataFrame:
    """A measurements table without rows."""
    return pd.DataFrame({name: pd.Series(dtype=float if name in NUMBERS else object) for name in COLUMNS})


def measurements(metadata: Metadata, files: Mapping[str, File]) -> tuple[pd.DataFrame, list[Finding]]:
    """Read every table of laboratory values that `metadata` names.

    Returns
    -------
    table
        The measurements that can be used, columns as in `COLUMNS`, in the order of the tables and their columns.
    findings
        Of the kinds ``table``, ``unknown-name``, ``no-depth``, ``out-of-range``, ``no-number``, ``broken-cell``,
        ``negative``, ``repeated-depth`` and ``converted``; `items` are the cells concerned. Where one of the refused
        kinds is among them the table is not whole.

    Raises nothing of its own: a table that cannot be read as declared is a finding too.
    """
    parts, findings = [], list[Finding]()
    for laboratory in metadata.measurements:
        try:
            if laboratory.file not in files:
                raise ContributionError(
                    laboratory.file,
                    "is named under [[measurements]] and not in the folder",
                    "Copy it there, or correct its name",
                )
            part, found = _read(laboratory, files[laboratory.file], metadata)
        except CorebankError as error:
            findings.append(finding("table", str(error.where), error.found, fix=error.fix))
        else:
            parts.append(part)
            findings += found
    table = pd.concat(parts, ignore_index=True) if parts else empty()
    if table.empty:
        return empty(), findings
    return model().validate(table[list(COLUMNS)]), findings + _repeated(table)


def _read(laboratory: Laboratory, file: File, metadata: Metadata) -> tuple[pd.DataFrame, list[Finding]]:
    """One table: its usable measurements, with the cell that each came from as one more column."""
    table = frames.frame(file, laboratory.sheet)
    deviations = {name for name, _ in laboratory.uncertainty.values()}
    _require(table, [*laboratory_depths.columns(laboratory), *_values_of(laboratory), *deviations])
    table, findings = _left_out(laboratory, table)
    plain, lower = laboratory_depths.split_intervals(laboratory, table)
    for name, unit in [*laboratory.columns.values(), *laboratory.uncertainty.values()]:
        if unit in ("%", "wt%"):  # a cell shown as "5.2%" says its unit once more
            plain[name] = plain[name].str.replace(r"\s*%\s*$", "", regex=True)
    depths = [pair[0] for pair in (laboratory.position, laboratory.depth, laboratory.top, laboratory.bottom) if pair]
    numbers = frames.numbers(plain, [*depths, *lower.values(), *_values_of(laboratory), *deviations])
    has_value = np.any([np.isfinite(numbers[name]) for name in _values_of(laboratory)], axis=0).reshape(len(table))
    places, found = laboratory_depths.places(laboratory, plain, metadata, numbers, lower, has_value)
    findings += found
    parts = []
    for proxy, (name, unit) in laboratory.columns.items():
        value = numbers[name]
        is_number = np.isfinite(value)
        # A row without depth and value is a line of units or a remark, unless a spreadsheet's error stands in it.
        remark = places.stray & ~has_value & ~table[name].str.startswith("#").to_numpy(bool)
        findings += without_number(table, name, np.flatnonzero(~is_number & ~remark))
        can_be, found = believable(table, name, unit, value, proxy)
        findings += found
        deviation, found = _deviation(laboratory, table, numbers, proxy, unit)
        findings += found
        part = pd.DataFrame(
            {
                "core": places.core,
                "section": places.section,
                "depth_top": places.top,
                "depth_bottom": places.bottom,
                "proxy": proxy,
                "value": value,
                "unit": unit,
                "uncertainty": deviation,
                "method": laboratory.method,
                "laboratory": laboratory.laboratory,
                "source": file.name,
                "cell": [frames.cell(table, row, name) for row in table.index],
            }
        )
        parts.append(part[is_number & can_be & places.placed])
    return _converted(laboratory, pd.concat(parts, ignore_index=True), findings), findings


def _left_out(laboratory: Laboratory, table: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    """The table without the rows that contribution.toml says are no samples, and what was left out."""
    if not laboratory.leave_out:
        return table, []
    texts = table[laboratory_depths.columns(laboratory)].apply(lambda cells: cells.str.strip())
    out = texts.isin(laboratory.leave_out).any(axis=1)
    missing = [text for text in laboratory.leave_out if not (texts == text).any(axis=None)]
    say = f"{out.sum()} rows with {', '.join(laboratory.leave_out)} are left out as contribution.toml says"
    say += f"; none with {', '.join(missing)}" if missing else ""
    return table[~out], [finding("stays-out", table.attrs["file"], say)]


def _values_of(laboratory: Laboratory) -> list[str]:
    return [name for name, _ in laboratory.columns.values()]


def _require(table: pd.DataFrame, wanted: list[str]) -> None:
    """Raise `ContributionError` when the table lacks a column that contribution.toml names."""
    if missing := [name for name in dict.fromkeys(wanted) if name not in table]:
        raise ContributionError(
            table.attrs["file"],
            f"has no column {', '.join(map(repr, missing))}; it has {', '.join(map(repr, table.columns))}",
            "Correct [[measurements]] in contribution.toml",
        )


def _deviation(
    laboratory: Laboratory, table: pd.DataFrame, numbers: Mapping[str, np.ndarray], proxy: str, unit: str
) -> tuple[np.ndarray, list[Finding]]:
    """The standard deviation of each value in the value's unit, NaN where there is none, and findings on its cells."""
    if proxy not in laboratory.uncertainty:
        return np.full(len(table), np.nan), []
    name, own = laboratory.uncertainty[proxy]
    deviation = numbers[name] * units.factor(own, unit, in_column(table, name))
    findings = without_number(table, name, np.flatnonzero(~np.isfinite(deviation)))
    if (wrong := deviation < 0).any():
        cells = tuple(frames.cell(table, row, name) for row in table.index[wrong])
        findings.append(finding("out-of-range", cells[0], "a standard deviation below nothing", items=cells))
    return np.where(wrong, np.nan, deviation), findings


def _converted(laboratory: Laboratory, table: pd.DataFrame, findings: list[Finding]) -> pd.DataFrame:
    """Other units and compounds, as contribution.toml asks; a value made from another proxy stands beside it."""
    for proxy, (unit, origin) in laboratory.convert.items():
        old = laboratory.columns[origin or proxy][1]
        factor = units.conversion(old, unit, laboratory.file, of=origin, to=proxy)
        rows = table["proxy"] == (origin or proxy)
        made = table[rows].assign(
            proxy=proxy, unit=unit, value=table["value"] * factor, uncertainty=table["uncertainty"] * factor
        )
        if origin:
            made["method"] = f"{laboratory.method}; from {origin} by stoichiometry".removeprefix("; ")
        # A value can be as it stands and still not be what it is converted to: 50 wt% of Ca are 125 wt% of CaCO3.
        impossible = ~_shares_can_be(made).to_numpy(bool)
        if impossible.any():
            cells = tuple(made["cell"][impossible])
            worst = made["value"][impossible].iloc[0]
            beyond = f"{proxy} from {origin}" if origin else proxy
            beyond += f" would be {worst:.4g} {unit}, outside {LOWEST:g} to {HIGHEST:g} wt%"
            fix = f"Correct the cells, or take {proxy} out of convert"
            where = cells[0] if len(cells) == 1 else f"{laboratory.file}, convert.{proxy}"
            findings.append(finding("out-of-range", where, beyond, fix=fix, items=cells))
            made = made[~impossible]
        table = pd.concat([table if origin else table[~rows], made], ignore_index=True)
        say = f"{proxy} [{unit}] is {origin or proxy} [{old}] times {factor:.6g} in {len(made)} rows"
        findings.append(finding("converted", f"{laboratory.file}, convert.{proxy}", say, items=tuple(made["cell"])))
    if laboratory.shift:
        say = f"every depth moved by {laboratory.shift:g} mm"
        findings.append(finding("converted", f"{laboratory.file}, shift", say))
    return table


def _repeated(table: pd.DataFrame) -> list[Finding]:
    """A finding per file and proxy in which one depth has several values by one method of one laboratory."""
    same = ["source", "proxy", "method", "laboratory", "core", "section", "depth_top", "depth_bottom"]
    again = table[table.duplicated(same, keep=False)]
    findings = []
    for (source, proxy), rows in again.groupby(["source", "proxy"], sort=False):
        places = rows.drop_duplicates(same)
        first = places.iloc[0]
        say = (
            f"{len(places)} depths have several values of {proxy}" if len(places) > 1 else f"several values of {proxy}"
        )
        say += f", such as {first.depth_top / 10:g} to {first.depth_bottom / 10:g} cm of core {first.core}"
        findings.append(finding("repeated-depth", str(source), say, items=tuple(rows["cell"])))
    return findings


def _shares_can_be(table: pd.DataFrame) -> pd.Series[bool]:
    """For each row, whether its value can be; values that are no shares of mass can."""
    percent = {
        unit: units.factor(unit, "wt%", "unit") if units.is_share(unit) else np.nan for unit in set(table["unit"])
    }
    share = table["value"] * table["unit"].map(percent).astype(float)
    return share.isna() | share.between(LOWEST, HIGHEST)


__all__ = ["COLUMNS", "NUMBERS", "empty", "match", "measurements", "model"]
