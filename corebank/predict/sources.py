"""Spectra, and the laboratory values that lie with them, from wherever a user has them.

A folder of scanner files; ``BANK::expedition`` or ``BANK::expedition/run``; ``CATALOG.yaml``, all of it, or
``CATALOG.yaml::site``, ``::site/expedition``, ``::site/expedition/run``; a table of spectra, .csv or .parquet.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import xarray as xr

from corebank.errors import PredictError
from corebank.predict.tables import from_table, no_doubles
from corebank.schema import EnergyGrid

TABLES = (".csv", ".parquet")
"""Endings of tables of spectra."""

CATALOGS = (".yaml", ".yml")
"""Endings of catalogs, of a bank or of a federation."""


class Source(NamedTuple):
    """Where spectra come from."""

    spectra: xr.Dataset
    """At intensity level; lazy where they come from banks or scanner files."""

    laboratory: Callable[[], pd.DataFrame | None]
    """Reads the laboratory values that lie with them; None without any."""


def load(source: str, grid: EnergyGrid, toml: Path | None = None) -> xr.Dataset:
    """The spectra of `source`, see `opened`."""
    return opened(source, grid, toml).spectra


def opened(source: str, grid: EnergyGrid, toml: Path | None = None) -> Source:
    """Open `source`, whichever kind it is.

    Parameters
    ----------
    source
        See the top of this module. A local folder named with ``::`` is a bank, a file a catalog.
    grid
        Energy grid that scanner files are brought to; tables and banks keep theirs.
    toml
        The contribution.toml of a folder of scanner files, where it lies elsewhere; the folder must then pass
        `corebank.contribution.check`. Without it the folder need not have one.

    Raises `PredictError` when `source` is none of these, and what readers, bank, catalog or table raise.
    """
    place, entry, name = source.partition("::")
    path = Path(place)
    if toml is not None and (entry or not path.is_dir()):
        raise PredictError(source, "is no folder of scanner files", "Leave --toml out, or name the folder it describes")
    if toml is not None:
        return _contributed(path, toml, grid)
    if path.suffix in CATALOGS:
        return _selected(place, name)
    if entry:
        from corebank.bank import open_bank

        expedition, _, run = name.partition("/")
        return Source(open_bank(place).spectra(expedition, run), lambda: laboratory(source))
    if path.is_dir():
        from corebank.contribution import spectra

        if (path / "catalog.yaml").is_file():
            raise PredictError(
                source,
                "a bank, which holds several expeditions",
                f"Name one: {source}::EXPEDITION; or all: {path / 'catalog.yaml'}",
            )
        return Source(spectra(path, grid), lambda: laboratory(source))
    if not path.is_file() or path.suffix not in TABLES:
        raise PredictError(
            source,
            "neither a folder, nor a .csv or .parquet table, nor BANK::expedition, nor a catalog",
            "Name one of these",
        )
    return Source(from_table(_read(path), where=source), lambda: None)


def laboratory(source: str) -> pd.DataFrame | None:
    """Laboratory values that lie with what `load` reads, in the bank or beside the folder; None without any."""
    place, entry, name = source.partition("::")
    if Path(place).suffix in CATALOGS:
        return _selected(place, name).laboratory()
    if entry:
        from corebank.bank import open_bank

        bank, expedition = open_bank(place), name.partition("/")[0]
        return bank.measurements(expedition) if bank.attributes(expedition).get("measurements") else None
    if Path(source).is_dir():
        from corebank.contribution import measurements

        return measurements(Path(source))
    return None


def _contributed(folder: Path, toml: Path, grid: EnergyGrid) -> Source:
    from corebank import calibrate
    from corebank.contribution import checked, with_provenance

    contribution = checked(folder, toml)
    said = contribution.metadata.expedition
    runs = [
        with_provenance(calibrate.intensity(run, grid, name), said.site, said.name, name)
        for name, run in contribution.runs.items()
    ]
    whole = xr.concat(runs, dim="spectrum", combine_attrs="override", join="exact", coords="minimal", compat="override")
    whole = whole.drop_attrs(deep=False).assign_attrs(grid=grid.to_json())
    return Source(whole, lambda: contribution.measurements)


def _selected(catalog: str, name: str) -> Source:
    """What `corebank.catalog.select` finds: data whose licence or embargo forbids their use are left out, and said."""
    from corebank.catalog import measurements, select

    site, expedition, run = (part or None for part in (*name.split("/", 2), "", "")[:3])
    asked: dict[str, Any] = {"sites": site and [site], "expeditions": expedition and [expedition]}

    def values() -> pd.DataFrame | None:
        table = measurements(catalog, **asked)
        return None if table.empty else table

    return Source(select(catalog, **asked, runs=run and [run]), values)


def _read(path: Path) -> pd.DataFrame:
    """A table of spectra; the unit of its rates, where the file says it, becomes ``attrs["units"]``."""
    try:
        return _csv(path) if path.suffix == ".csv" else _parquet(path)
    except (ValueError, csv.Error, pd.errors.ParserError) as error:  # of the wrong encoding, empty, ragged, no Parquet
        if isinstance(error, PredictError):
            raise
        found = f"cannot be read as {path.suffix} ({str(error).splitlines()[0]})"
        raise PredictError(path, found, "Save it again, CSV as UTF-8 with commas") from error


def _csv(path: Path) -> pd.DataFrame:
    with path.open(encoding="utf-8-sig", newline="") as file:  # pandas would rename a second column of one name
        no_doubles(next(csv.reader(file), []), str(path))
    return pd.read_csv(path, dtype={"core": str, "section": str}, encoding="utf-8-sig")


def _parquet(path: Path) -> pd.DataFrame:
    import pyarrow.parquet as pq

    table = pd.read_parquet(path)
    said = {(field.metadata or {}).get(b"units", b"").decode() for field in pq.read_schema(path) if _is_bin(field)}
    if units := " and ".join(sorted(said - {""})):
        table.attrs["units"] = units
    return table


def _is_bin(field: Any) -> bool:
    return str(field.name).replace(".", "", 1).isdigit()
