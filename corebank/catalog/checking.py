"""Open everything that a federation lists, and tell what could not be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from corebank import bank as banks
from corebank.bank.records import Level
from corebank.catalog.drivers import Catalog, DataSource, MeasurementsSource, SpectraSource
from corebank.catalog.entries import LEVELS
from corebank.catalog.members import Member
from corebank.catalog.opening import leaves, members, open_catalog
from corebank.errors import CorebankError


@dataclass(frozen=True, slots=True)
class Checked:
    """One thing that was opened."""

    site: str
    entry: str
    """Name of the entry; empty where the member itself was looked at."""
    run: str
    level: str
    holds: str
    """What it holds, in words; empty when it could not be read."""
    problem: str
    """What is the matter; empty when nothing is."""

    @property
    def failed(self) -> bool:
        """True when it could not be read."""
        return not self.holds


def check(catalog: str | Path | Catalog) -> Iterator[Checked]:
    """Open every entry of every member, and read the first spectrum of each run at each level, and every measurement.

    Yields first how each member stands, then one line per run and level or table of measurements, as they are read. A
    member whose catalog changed is told of and does not fail. Raises `CatalogError` when `catalog` itself cannot be
    read.
    """
    opened = open_catalog(catalog)
    for member in members(opened):
        yield _told(member)
    for source in leaves(opened, []):  # who is away was told above
        yield from _opened(source)


def _told(member: Member) -> Checked:
    holds = "" if member.state in ("offline", "refused") else f"{member.entries} entries"
    return Checked(member.site, "", "", "", holds, member.problem)


def _opened(source: DataSource) -> Iterator[Checked]:
    site, entry = str(source.metadata.get("site", "")), str(source.name)
    if isinstance(source, MeasurementsSource):
        try:
            yield Checked(site, entry, "", "", f"{len(source.read())} values", "")
        except Exception as error:  # whatever it is, it belongs in the report, and the next entry is read
            yield Checked(site, entry, "", "", "", _said(error))
    elif isinstance(source, SpectraSource):
        try:
            bank = banks.open_bank(source.bank, source.at)
            runs = bank.runs(source.expedition)
        except Exception as error:
            yield Checked(site, entry, "", "", "", _said(error))
            return
        for run, count in runs.items():
            for level in LEVELS:
                yield _first(bank, site, entry, source.expedition, run, count, level)
    else:
        yield Checked(site, entry, "", "", "", "is no entry of corebank's")


def _first(bank: banks.Bank, site: str, entry: str, expedition: str, run: str, count: int, level: Level) -> Checked:
    """Read the first spectrum of a run."""
    try:
        bank.run(expedition, run, level).isel(spectrum=slice(0, 1)).load()
    except Exception as error:
        return Checked(site, entry, run, level, "", _said(error))
    return Checked(site, entry, run, level, f"{count} spectra", "")


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, CorebankError) else f"{type(error).__name__}: {' '.join(str(error).split())}"
