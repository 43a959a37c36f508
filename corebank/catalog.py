"""Intake entries of banks, catalogs of catalogs, and selections over all of them. The only importer of intake.

``intake.open_catalog("catalog/federation.yaml")`` lists the sites; ``cat["site"]["expedition"].to_dask()`` opens an
expedition lazily on the common energy grid; ``cat["site"]["expedition-measurements"].read()`` is its table of
laboratory values. `select` and `measurements` read over every member at once.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import intake
import numpy as np
import pandas as pd
import xarray as xr
import yaml
from intake.catalog import Catalog
from intake.source.base import DataSource, Schema

from corebank import bank as banks
from corebank.bank import listing
from corebank.bank.records import Level
from corebank.errors import CatalogError, CorebankError

# Intake 2.0.9 says this of every text parameter that is no shell command, which is all of ours.
warnings.filterwarnings("ignore", message="Shell command not executed", category=UserWarning, module="intake")


class SpectraSource(DataSource):  # type: ignore[misc]  # intake ships no types
    """Intake driver ``corebank_spectra``: the spectra of an expedition, or of one of its runs.

    Parameters (of the catalog entry): ``run`` (empty: all), ``level`` (``intensity`` or ``counts``), ``at`` (snapshot,
    release or branch). A wrong value raises.
    """

    name = "corebank_spectra"
    container = "xarray"
    version = "1"
    partition_access = False

    def __init__(
        self,
        bank: str,
        expedition: str,
        run: str = "",
        level: Level = "intensity",
        at: str = "main",
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(metadata=dict(metadata or {}))
        self.bank, self.expedition, self.run, self.level, self.at = bank, expedition, run, level, at

    def _get_schema(self) -> Schema:
        spectra = self.to_dask()
        return Schema(dtype=None, shape=dict(spectra.sizes), npartitions=1, extra_metadata=dict(spectra.attrs))

    def to_dask(self) -> xr.Dataset:
        """The spectra, lazy; see `corebank.bank.Bank.spectra`."""
        return banks.open_bank(self.bank, self.at).spectra(self.expedition, self.run, self.level)

    def read(self) -> xr.Dataset:
        """The spectra, in memory."""
        return self.to_dask().load()


class MeasurementsSource(DataSource):  # type: ignore[misc]  # intake ships no types
    """Intake driver ``corebank_measurements``: the laboratory values of an expedition, as a pandas DataFrame."""

    name = "corebank_measurements"
    container = "dataframe"
    version = "1"
    partition_access = False

    def __init__(self, bank: str, expedition: str, at: str = "main", metadata: Mapping[str, Any] | None = None) -> None:
        super().__init__(metadata=dict(metadata or {}))
        self.bank, self.expedition, self.at = bank, expedition, at

    def _get_schema(self) -> Schema:
        table = self.read()
        return Schema(dtype=table.dtypes.astype(str).to_dict(), shape=table.shape, npartitions=1, extra_metadata={})

    def read(self) -> pd.DataFrame:
        """The measurements; see `corebank.bank.Bank.measurements`."""
        return banks.open_bank(self.bank, self.at).measurements(self.expedition)


def open_catalog(catalog: str | Path | Catalog) -> Catalog:
    """Open a catalog by path, or return an opened one; raises `CatalogError` when it is not there or not readable."""
    if isinstance(catalog, Catalog):
        return catalog
    if not Path(catalog).is_file():
        raise CatalogError(
            catalog, "there is no such catalog file", "Give the path of a federation.yaml or of a bank's catalog.yaml"
        )
    try:
        opened = intake.open_catalog(str(Path(catalog).absolute()))
        list(opened)
    except Exception as error:  # intake lets whatever its YAML reader raised through
        raise CatalogError(
            catalog, f"cannot be read as an Intake catalog ({error})", "Write it again with corebank"
        ) from error
    return opened


def sources(catalog: str | Path | Catalog) -> Iterator[tuple[str, str, SpectraSource]]:
    """Every spectra entry below a catalog as (site, expedition, source), however deep its catalogs are nested."""
    for source in _leaves(open_catalog(catalog)):
        if isinstance(source, SpectraSource):
            yield str(source.metadata.get("site", "")), source.expedition, source


def select(
    catalog: str | Path | Catalog,
    *,
    sites: Sequence[str] | None = None,
    expeditions: Sequence[str] | None = None,
    cores: Sequence[str] | None = None,
    exclude_cores: Sequence[str] = (),
    exclude_sections: Sequence[str] = (),
) -> xr.Dataset:
    """Spectra of a whole federation on the common energy grid, lazy, with where each came from.

    Parameters
    ----------
    catalog
        A federation or a single bank's catalog.
    sites, expeditions, cores
        Names to keep; None keeps all.
    exclude_cores, exclude_sections
        Cores, and sections written ``core/section``, to leave out.

    Returns
    -------
    Dataset
        ``intensity`` (spectrum, energy) [count/s], the columns of `corebank.schema.SPECTRUM` and `PROVENANCE`.
        Attributes, as JSON: ``snapshots`` and ``bank_urls`` by site, ``licences`` and ``citations`` by
        ``site/expedition``; ``grid``.

    Raises `CatalogError` when nothing is left, a name is not there, or members are on different energy grids.
    """
    parts, about = [], {"snapshots": {}, "bank_urls": {}, "licences": {}, "citations": {}}  # type: tuple[list[xr.Dataset], dict[str, dict[str, str]]]
    seen: dict[str, set[str]] = {"sites": set(), "expeditions": set(), "cores": set(), "sections": set()}
    for site, expedition, source in sources(catalog):
        seen["sites"].add(site)
        seen["expeditions"].add(expedition)
        if (sites is not None and site not in sites) or (expeditions is not None and expedition not in expeditions):
            continue
        spectra = source.to_dask()
        core, section = spectra["core"].values.astype(str), spectra["section"].values.astype(str)
        names = np.char.add(np.char.add(core, "/"), section)
        seen["cores"].update(core)
        seen["sections"].update(names)
        keep = ~np.isin(core, list(exclude_cores)) & ~np.isin(names, list(exclude_sections))
        if cores is not None:
            keep &= np.isin(core, list(cores))
        if not keep.any():
            continue
        parts.append(spectra if keep.all() else spectra.isel(spectrum=np.flatnonzero(keep)))
        about["snapshots"][site], about["bank_urls"][site] = spectra.attrs["snapshot"], spectra.attrs["bank"]
        about["licences"][f"{site}/{expedition}"] = str(source.metadata.get("licence", ""))
        about["citations"][f"{site}/{expedition}"] = str(source.metadata.get("citation", ""))
    for kind, wanted in (
        ("sites", sites),
        ("expeditions", expeditions),
        ("cores", cores),
        ("cores", exclude_cores),
        ("sections", exclude_sections),
    ):
        if unknown := sorted(set(wanted or ()) - seen[kind]):
            raise CatalogError(
                _name(catalog),
                f"has no {kind} {', '.join(unknown)}",
                f"It has {', '.join(sorted(seen[kind])) or 'none'}",
            )
    if not parts:
        raise CatalogError(
            _name(catalog),
            "the selection holds no spectra",
            "Leave fewer out, or name other sites, expeditions or cores",
        )
    grids = {part.attrs["grid"] for part in parts}
    if len(grids) > 1:
        raise CatalogError(
            _name(catalog),
            f"its banks are on {len(grids)} different energy grids: {'; '.join(sorted(grids))}",
            "Select banks that share one",
        )
    whole = (
        parts[0]
        if len(parts) == 1
        else xr.concat(
            parts, dim="spectrum", combine_attrs="override", join="exact", coords="minimal", compat="override"
        )
    )
    return whole.drop_attrs(deep=False).assign_attrs(
        grid=grids.pop(), **{key: json.dumps(value) for key, value in about.items()}
    )


def measurements(
    catalog: str | Path | Catalog,
    *,
    sites: Sequence[str] | None = None,
    expeditions: Sequence[str] | None = None,
    proxies: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Laboratory values of a whole federation: columns ``site``, ``expedition`` and those of each bank's table.

    Raises `CatalogError` for a site or expedition that is not there, or when there are none of the proxies asked for.
    """
    parts: list[pd.DataFrame] = []
    seen: dict[str, set[str]] = {"sites": set(), "expeditions": set()}
    for source in _leaves(open_catalog(catalog)):
        site = str(source.metadata.get("site", ""))
        if isinstance(source, SpectraSource | MeasurementsSource):
            seen["sites"].add(site)
            seen["expeditions"].add(source.expedition)
        if not isinstance(source, MeasurementsSource):
            continue
        if (sites is None or site in sites) and (expeditions is None or source.expedition in expeditions):
            table = source.read()
            table.insert(0, "site", site)
            table.insert(1, "expedition", source.expedition)
            parts.append(table)
    for kind, wanted in (("sites", sites), ("expeditions", expeditions)):
        if unknown := sorted(set(wanted or ()) - seen[kind]):
            raise CatalogError(
                _name(catalog),
                f"has no {kind} {', '.join(unknown)}",
                f"It has {', '.join(sorted(seen[kind])) or 'none'}",
            )
    whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["site", "expedition", "proxy"])
    known = sorted(set(whole["proxy"]))
    if missing := sorted(set(proxies or ()) - set(known)):
        raise CatalogError(
            _name(catalog),
            f"has no measurements of {', '.join(missing)}",
            f"It has {', '.join(known) or 'none at all'}",
        )
    return whole if proxies is None else whole[whole["proxy"].isin(proxies)].reset_index(drop=True)


def write_federation(path: Path, members: Mapping[str, str | Path], *, title: str = "") -> None:
    """Write a catalog of catalogs: site -> its ``catalog.yaml``, which must lie below the folder of `path`.

    Paths are written relative to the file, so that the whole folder can be moved. Raises `CatalogError` for a member
    that lies elsewhere.
    """
    entries: dict[str, Any] = {}
    for site, member in members.items():
        try:
            inside = Path(member).resolve().relative_to(path.parent.resolve()).as_posix()
        except ValueError as error:
            raise CatalogError(
                member, f"lies outside the folder of {path}", "Keep member catalogs below the federation's folder"
            ) from error
        entries[site] = {
            "driver": "yaml_file_cat",
            "description": f"bank of {site}",
            "args": {"path": "{{ CATALOG_DIR }}/" + inside},
            "metadata": {"site": site},
        }
    document = {"metadata": {"version": 1, **({"title": title} if title else {})}, "sources": entries}
    listing.write(
        path,
        "# One entry per site; each names the catalog that its bank wrote.\n"
        + yaml.safe_dump(document, sort_keys=False, allow_unicode=True),
    )


def _leaves(catalog: Catalog) -> Iterator[DataSource]:
    for name in list(catalog):
        try:
            entry = catalog[name]
            if isinstance(entry, Catalog):
                list(entry)
        except CorebankError:
            raise
        except Exception as error:  # a member that is away must be named, not skipped
            raise CatalogError(
                f"{_name(catalog)}, {name}",
                f"cannot be opened ({error})",
                "Check its path, or take it out of the federation",
            ) from error
        if isinstance(entry, Catalog):
            yield from _leaves(entry)
        else:
            yield entry


def _name(catalog: str | Path | Catalog) -> str:
    return str(getattr(catalog, "path", None) or catalog)
