"""``[[measurements]]`` of a ``contribution.toml``: what a contributor says of one table of laboratory values.

``convert`` asks for other units or compounds, nothing is converted unasked: ``convert = { Sr = "wt%" }`` gives Sr in
another unit, ``convert = { CaCO3 = "wt% from Ca" }`` adds CaCO3, made from the Ca of the table by stoichiometry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from corebank import units
from corebank.contribution.toml import Table
from corebank.errors import UnitError


@dataclass(frozen=True, slots=True, kw_only=True)
class Laboratory:
    """One table of laboratory values; `corebank.contribution.laboratory_depths` has the three ways to give depths."""

    file: str
    columns: Mapping[str, tuple[str, str]]
    """Proxy -> (column, unit)."""
    core: str = ""
    """Column that names the core; empty where the contribution has one core."""
    section: str = ""
    """Column that names the section, for positions inside sections."""
    position: tuple[str, str] | None = None
    depth: tuple[str, str] | None = None
    top: tuple[str, str] | None = None
    bottom: tuple[str, str] | None = None
    thickness: float = 10.0
    """Thickness of a sample [mm] where only its middle is given; 1 cm slices are the field's habit."""
    method: str = ""
    laboratory: str = ""
    sheet: str = ""
    """Sheet of a workbook; empty where only one sheet holds anything."""
    uncertainty: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Proxy -> (column, unit) of one standard deviation."""
    shift: float = 0.0
    """Added to every depth of the table [mm]."""
    tolerance: float = 0.0
    """How far beyond its interval, up and down, a sample still speaks for the sediment [mm]."""
    convert: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Proxy -> (unit to give it in, proxy to make it from or empty)."""
    leave_out: tuple[str, ...] = ()
    """Rows in whose core, section or depth one of these texts stands are no samples: blanks, reference materials."""


def read(entry: Table) -> Laboratory:
    """Take one ``[[measurements]]`` apart; every problem is said to `entry`."""
    columns_table, thickness = entry.child("columns"), entry.quantity("thickness", "mm")
    columns = {proxy: pair for proxy in columns_table.raw if (pair := columns_table.column(proxy))}
    laboratory = Laboratory(
        file=entry.text("file", needed=True, exact=True),
        columns=columns,
        core=entry.text("core"),
        section=entry.text("section"),
        position=entry.column("position"),
        depth=entry.column("depth"),
        top=entry.column("top"),
        bottom=entry.column("bottom"),
        thickness=10.0 if thickness is None else thickness,
        method=entry.text("method"),
        laboratory=entry.text("laboratory"),
        sheet=entry.text("sheet"),
        uncertainty=_uncertainty(entry.child("uncertainty"), columns),
        shift=entry.quantity("shift", "mm") or 0.0,
        tolerance=_not_negative(entry, "tolerance"),
        convert=_convert(entry.child("convert"), columns),
        leave_out=entry.texts("leave_out"),
    )
    if PurePosixPath(laboratory.file).is_absolute() or ".." in PurePosixPath(laboratory.file).parts:
        entry.say("file", f"is {laboratory.file!r}, should be a file inside the folder")
    given = {name for name in ("section", "position", "depth", "top", "bottom") if getattr(laboratory, name)}
    if given not in ({"top", "bottom"}, {"depth"}, {"section", "position"}):
        entry.say("", "give depths in one way: top and bottom, or depth, or section and position")
    if not columns_table.raw:
        entry.say("columns", 'is missing; write columns = { TOC = "name of the column [wt%]" }')
    entry.done()
    return laboratory


def _uncertainty(entry: Table, columns: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Proxy -> column and unit of its standard deviation."""
    for proxy in sorted(entry.raw.keys() - columns):
        entry.say(proxy, f"is no proxy of columns; those are {', '.join(columns)}")
    return {proxy: pair for proxy in entry.raw if (pair := entry.column(proxy)) and proxy in columns}


def _not_negative(entry: Table, key: str) -> float:
    value = entry.quantity(key, "mm") or 0.0
    if value < 0:
        entry.say(key, f"is {value:g} mm, should be nothing or more")
    return value


def _convert(entry: Table, columns: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """What ``convert = { Sr = "wt%", CaCO3 = "wt% from Ca" }`` asks for, where it can be done."""
    wanted = {}
    for proxy in entry.raw:
        unit, _, origin = (part.strip() for part in entry.text(proxy).partition(" from "))
        if origin and proxy in columns:
            entry.say(proxy, "is a proxy of columns already; it cannot be made from another one too")
        elif (origin or proxy) not in columns:
            entry.say(proxy, f"{origin or proxy} is no proxy of columns; those are {', '.join(columns)}")
        else:
            try:
                units.conversion(columns[origin or proxy][1], unit, entry.name, of=origin, to=proxy)
            except UnitError as error:
                entry.say(proxy, f"{error.found}. {error.fix}")
            else:
                wanted[proxy] = (unit, origin)
    return wanted
