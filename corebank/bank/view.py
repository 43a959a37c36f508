"""A bank as it was at one snapshot: what there is to read, lazily.

Nothing here writes. `corebank.bank.Bank` adds what changes a bank.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from corebank.bank import layout, listing
from corebank.bank.records import CONTRIBUTIONS, EVALUATIONS, MEASUREMENTS, SCHEMA_VERSION, Level
from corebank.bank.repository import Repository
from corebank.contribution import with_provenance
from corebank.errors import BankError, BankNotFoundError
from corebank.schema import EnergyGrid


class View:
    """What a bank held at one snapshot."""

    def __init__(self, repository: Repository, snapshot: str) -> None:
        self._repository, self.snapshot = repository, snapshot

    @property
    def address(self) -> str:
        """Where the bank lies: an absolute local path, or a URL."""
        return self._repository.address

    @property
    def path(self) -> Path:
        """The bank's folder; raises `BankError` for a bank that lies elsewhere."""
        if (folder := self._repository.folder) is None:
            raise BankError(self.address, "is not a local path", "Copy the bank to a local folder first")
        return folder

    @cached_property
    def _store(self) -> Any:
        store = self._repository.store(self.snapshot)
        about = layout.attributes(store)
        if about["schema_version"] > SCHEMA_VERSION:  # here, so that nothing of such a bank is read
            raise BankError(
                self.address, f"was written by {about['written_by']}, with a newer layout", "Install a newer corebank"
            )
        return store

    @cached_property
    def about(self) -> dict[str, Any]:
        """The bank's own attributes: site, energy grid, version of the layout, what wrote it."""
        return layout.attributes(self._store)

    @cached_property
    def _expeditions(self) -> list[str]:
        return [name for name in layout.groups(self._store) if name != CONTRIBUTIONS]

    @cached_property
    def _attributes(self) -> dict[str, dict[str, Any]]:
        return {}  # of each expedition asked for: one read a snapshot, not one a run

    @property
    def site(self) -> str:
        """Name of the lab that owns the bank."""
        return str(self.about["site"])

    @cached_property
    def grid(self) -> EnergyGrid:
        """The energy axis that all its spectra are on."""
        return EnergyGrid.from_json(str(self.about["energy_grid"]))

    def expeditions(self) -> list[str]:
        """Names of the expeditions, in alphabetical order."""
        return list(self._expeditions)

    def attributes(self, expedition: str) -> dict[str, Any]:
        """What the contributor said of an expedition, its cores, and its ``runs`` with their numbers of spectra."""
        if expedition not in self._expeditions:
            known = ", ".join(self._expeditions) or "none yet"
            raise BankNotFoundError(self.address, f"there is no expedition {expedition!r}", f"It holds {known}")
        if expedition not in self._attributes:
            self._attributes[expedition] = layout.attributes(self._store, expedition)
        return dict(self._attributes[expedition])

    def runs(self, expedition: str) -> dict[str, int]:
        """Run -> number of spectra, in the order in which they came in."""
        return {str(name): int(count) for name, count in dict(self.attributes(expedition)["runs"]).items()}

    def run(self, expedition: str, run: str, level: Level = "intensity") -> xr.Dataset:
        """One run, lazy (dask): level ``counts`` (spectrum, channel) as measured, or ``intensity`` (spectrum, energy).

        Columns as in `corebank.schema.SPECTRUM`, attributes as in `RUN_ATTRIBUTES`.
        Raises `BankNotFoundError` for an expedition or run that is not there, `BankError` for an unknown level.
        """
        if level not in ("intensity", "counts"):
            raise BankError(self.address, f"level is {level!r}", "Ask for intensity or counts")
        self._require(expedition, run)
        whole = layout.open_run(self._store, f"{expedition}/{run}")
        return whole.drop_vars("counts") if level == "intensity" else whole.drop_vars(["intensity", "energy"])

    def spectra(self, expedition: str, run: str = "", level: Level = "intensity") -> xr.Dataset:
        """Spectra of one run, or of all runs of an expedition one after the other, lazy, with `PROVENANCE` columns.

        Attributes: ``site``, ``bank`` and ``snapshot`` (what was read) and ``grid``. Counts can be read of several runs
        together only where their detectors have the same number of channels; `BankError` otherwise.
        """
        parts = [
            with_provenance(self.run(expedition, name, level), self.site, expedition, name)
            for name in ([run] if run else self.runs(expedition))
        ]
        if level == "counts" and len({part.sizes["channel"] for part in parts}) > 1:
            raise BankError(
                f"{self.address}, {expedition}",
                "its runs have different numbers of channels",
                f"Name one run: {', '.join(self.runs(expedition))}",
            )
        whole = (
            parts[0]
            if len(parts) == 1
            else xr.concat(
                parts, dim="spectrum", combine_attrs="drop_conflicts", join="exact", coords="minimal", compat="override"
            )
        )
        return whole.assign_attrs(site=self.site, bank=self.address, snapshot=self.snapshot, grid=self.grid.to_json())

    def measurements(self, expedition: str) -> pd.DataFrame:
        """Laboratory values of an expedition, columns as in `corebank.contribution.laboratory.COLUMNS`."""
        if not self.attributes(expedition)["measurements"]:
            raise BankNotFoundError(
                f"{self.address}, {expedition}",
                "has no laboratory values",
                "Bring some in with [[measurements]] in a contribution.toml",
            )
        return layout.read_measurements(self._store, f"{expedition}/{MEASUREMENTS}")

    def evaluations(self, expedition: str, run: str) -> dict[str, pd.DataFrame]:
        """Every evaluation that lay beside the spectra of a run: file name -> peak areas, row by row with the spectra.

        The one that calibrates the run is first, and ``attrs["calibrates"]`` of its table is true.
        """
        self._require(expedition, run)
        tables = layout.read_evaluations(self._store, f"{expedition}/{run}/{EVALUATIONS}")
        return dict(sorted(tables.items(), key=lambda item: not item[1].attrs["calibrates"]))

    def _require(self, expedition: str, run: str) -> None:
        if run not in (known := self.runs(expedition)):
            raise BankNotFoundError(
                f"{self.address}, {expedition}", f"there is no run {run!r}", f"Its runs are {', '.join(known)}"
            )

    def catalog_text(self, bank: str = "{{ CATALOG_DIR }}") -> str:
        """The catalog's YAML, with `bank` as the bank's address seen from where the file will lie."""
        return listing.text(self.site, {name: self.attributes(name) for name in self.expeditions()}, bank)
