"""Tables of laboratory values -> one long table of measurements, each with its core, depth interval, unit and method.

A table gives depths in one of three ways: composite ``top`` and ``bottom``; composite ``depth`` of the sample's middle
with a ``thickness``; or ``section`` and ``position`` of the middle inside it. A cell that holds no number is no
measurement and is counted by what it says ("b.d.l.", "#REF!", empty), never turned into one.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from corebank import units
from corebank.contribution.metadata import Laboratory, Metadata, Section
from corebank.errors import ContributionError
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
        "depth_top": pa.Column(float, pa.Check.between(-1_000, 2_000_000), description="a core is at most 2 km long"),
        "depth_bottom": pa.Column(float),
        "value": pa.Column(float, pa.Check(lambda values: np.isfinite(values), name="finite")),
        "uncertainty": pa.Column(float, pa.Check.ge(0), nullable=True),
    }
    below = pa.Check(
        lambda table: table["depth_bottom"] >= table["depth_top"], name="depth_bottom is not above depth_top"
    )
    share = pa.Check(
        lambda table: (table["unit"] != "wt%") | table["value"].between(-10, 110),
        name="a value in wt% lies within -10 and 110",
    )
    return pa.DataFrameSchema({**named, **text, **numbers}, checks=[below, share], strict=True)


def empty() -> pd.DataFrame:
    """A measurements table without rows."""
    return pd.DataFrame({name: pd.Series(dtype=float if name in NUMBERS else object) for name in COLUMNS})


def measurements(metadata: Metadata, files: Mapping[str, File]) -> tuple[pd.DataFrame, dict[str, Counter[str]]]:
    """Read every table of laboratory values that `metadata` names.

    Returns
    -------
    table
        The measurements of all files, columns as in `COLUMNS`, in the order of the files.
    no_numbers
        Per ``file: column``, how often a cell held which text instead of a number.

    Raises `ContributionError` when a file, column, core or section is not there, or a value breaks the schema.
    """
    parts, no_numbers = [], {}
    for laboratory in metadata.measurements:
        if laboratory.file not in files:
            raise ContributionError(
                laboratory.file,
                "is named under [[measurements]] and not in the folder",
                "Copy it there, or correct its name",
            )
        table, texts = _read(laboratory, files[laboratory.file], metadata)
        parts.append(table)
        no_numbers.update(texts)
    return pd.concat(parts, ignore_index=True) if parts else empty(), no_numbers


def _read(laboratory: Laboratory, file: File, metadata: Metadata) -> tuple[pd.DataFrame, dict[str, Counter[str]]]:
    try:
        raw = pd.read_csv(io.BytesIO(file.content), dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, UnicodeDecodeError) as error:
        raise ContributionError(
            file.name, f"is not a readable CSV table ({error})", "Save it as CSV in UTF-8, one header line on top"
        ) from error
    if not isinstance(
        raw.index, pd.RangeIndex
    ):  # pandas takes a surplus first cell for a row's name, and shifts the rest
        raise ContributionError(
            file.name,
            "has lines of more cells than its header line",
            "Take out the surplus commas, or name the columns",
        )
    raw = raw.fillna("")  # cells of lines that end early
    wanted = [
        laboratory.core,
        laboratory.section,
        *(pair[0] for pair in (laboratory.position, laboratory.depth, laboratory.top, laboratory.bottom) if pair),
    ]
    if missing := [
        name for name in [*filter(None, wanted), *(name for name, _ in laboratory.columns.values())] if name not in raw
    ]:
        raise ContributionError(
            file.name,
            f"has no column {', '.join(map(repr, missing))}; it has {', '.join(map(repr, raw.columns))}",
            "Correct [[measurements]] in contribution.toml",
        )
    core, section, top, bottom = _where(laboratory, raw, metadata, file.name)
    parts, no_numbers = [], {}
    for proxy, (name, unit) in laboratory.columns.items():
        value = pd.to_numeric(raw[name], errors="coerce").to_numpy(np.float64)
        is_number = np.isfinite(value)
        if texts := Counter(raw[name][~is_number].str.strip().replace("", "empty")):
            no_numbers[f"{file.name}: {name}"] = texts
        parts.append(
            pd.DataFrame(
                {
                    "core": core,
                    "section": section,
                    "depth_top": top,
                    "depth_bottom": bottom,
                    "proxy": proxy,
                    "value": value,
                    "unit": unit,
                    "uncertainty": np.nan,
                    "method": laboratory.method,
                    "laboratory": laboratory.laboratory,
                    "source": file.name,
                }
            )[is_number]
        )
    return _checked(pd.concat(parts, ignore_index=True), file.name), no_numbers


def _where(
    laboratory: Laboratory, raw: pd.DataFrame, metadata: Metadata, file: str
) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    """Core, section and composite interval [mm] of each row."""
    half = laboratory.thickness / 2
    if laboratory.section and laboratory.position:
        by_name: dict[str, Section] = {part.name: part for part in metadata.sections}
        names = raw[laboratory.section].str.strip()
        if strange := sorted(set(names) - set(by_name)):
            raise ContributionError(
                file,
                f"names sections that contribution.toml does not: {', '.join(strange)}",
                f"Known are {', '.join(by_name)}",
            )
        place = _numbers(raw, laboratory.position, file)
        top = (
            np.array([by_name[name].top for name in names])
            + np.array([by_name[name].stretch for name in names]) * place
        )
        return [by_name[name].core for name in names], names.tolist(), top - half, top + half
    if laboratory.core:
        core = raw[laboratory.core].str.strip().tolist()
    elif len(metadata.cores) == 1:
        core = [metadata.cores[0].name] * len(raw)
    else:
        raise ContributionError(
            file,
            f"does not say to which of {len(metadata.cores)} cores a row belongs",
            'Name the column under [[measurements]], as in core = "core"',
        )
    if strange := sorted(set(core) - {core.name for core in metadata.cores}):
        raise ContributionError(
            file,
            f"names cores that contribution.toml does not: {', '.join(strange)}",
            f"Known are {', '.join(core.name for core in metadata.cores)}",
        )
    section = [""] * len(raw)
    if laboratory.depth:
        middle = _numbers(raw, laboratory.depth, file)
        return core, section, middle - half, middle + half
    assert laboratory.top is not None  # metadata allows no fourth way
    assert laboratory.bottom is not None
    return core, section, _numbers(raw, laboratory.top, file), _numbers(raw, laboratory.bottom, file)


def _numbers(raw: pd.DataFrame, column: tuple[str, str], file: str) -> np.ndarray:
    """A column of depths in millimetres; every row must have one."""
    name, unit = column
    values = pd.to_numeric(raw[name], errors="coerce").to_numpy(np.float64)
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise ContributionError(
            f"{file}, line {row + 2}, column {name}",
            f"holds {raw[name].iloc[row]!r}, which is no depth",
            "Give the depth of that sample, or take its line out",
        )
    return values * units.factor(unit, "mm", file)


def _checked(table: pd.DataFrame, file: str) -> pd.DataFrame:
    from pandera.errors import SchemaErrors

    try:
        return model().validate(table, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases.drop_duplicates(["column", "check"]).head(6)
        found = "; ".join(
            f"{case.column}: {case.check} fails, for example row {case.index}: {case.failure_case}"
            for case in cases.itertuples()
        )
        raise ContributionError(file, found, "Correct these cells, or the units in contribution.toml") from error
