"""A bank as it was at one snapshot: what there is to read, lazily, without what was withdrawn.

Nothing here writes. `corebank.bank.Bank` adds what changes a bank. What is withdrawn is told from attributes that are
read anyway; columns are read for it only in expeditions of which a core or a contribution is withdrawn.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr

from corebank.bank import hiding, layout, listing
from corebank.bank.records import CONTRIBUTIONS, EVALUATIONS, MEASUREMENTS, SCHEMA_VERSION, Level, Withdrawal
from corebank.bank.repository import Repository
from corebank.contribution import with_provenance
from corebank.errors import BankError, BankNotFoundError
from corebank.rows import aligned
from corebank.schema import EnergyGrid


class View:
    """What a bank held at one snapshot; `whole` shows what was withdrawn, too."""

    def __init__(self, repository: Repository, snapshot: str, *, hides: bool = True) -> None:
        self._repository, self.snapshot, self._hides = repository, snapshot, hides

    def whole(self) -> Self:
        """The same snapshot with everything that was withdrawn, as it lies in the repository."""
        return type(self)(self._repository, self.snapshot, hides=False)

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
        about = layout.attributes(store, required=True)
        if about["schema_version"] > SCHEMA_VERSION:  # here, so that nothing of such a bank is read
            raise BankError(
                self.address, f"was written by {about['written_by']}, with a newer layout", "Install a newer corebank"
            )
        return store

    @cached_property
    def about(self) -> dict[str, Any]:
        """The bank's own attributes: site, energy grid, version of the layout, what wrote it."""
        return layout.attributes(self._store, required=True)

    @cached_property
    def _expeditions(self) -> list[str]:
        return [name for name in layout.groups(self._store) if name != CONTRIBUTIONS]

    @cached_property
    def _told(self) -> dict[str, dict[str, Any]]:
        return {}  # attributes of each expedition asked for: one read a snapshot, not one a run

    @cached_property
    def _seen(self) -> dict[tuple[str, str], np.ndarray | None]:
        return {}  # (expedition, run) -> positions of the spectra that are seen, None for all

    @property
    def site(self) -> str:
        """Name of the lab that owns the bank."""
        return str(self.about["site"])

    @cached_property
    def grid(self) -> EnergyGrid:
        """The energy axis that all its spectra are on."""
        return EnergyGrid.from_json(str(self.about["energy_grid"]))

    def expeditions(self) -> list[str]:
        """Names of the expeditions, in alphabetical order; one of which no spectrum is seen is left out."""
        touched = set(self.about.get(hiding.ATTRIBUTE, ())) if self._hides else set()
        return [name for name in self._expeditions if name not in touched or self._visible(name)]

    def attributes(self, expedition: str) -> dict[str, Any]:
        """What the contributor said of an expedition, its cores, and its ``runs`` with their numbers of spectra.

        Where something is withdrawn, ``withdrawn`` lists it with the reasons, and cores, runs and numbers are without.
        """
        said, withdrawals = dict(self._said(expedition)), self.withdrawals(expedition)
        if withdrawals and self._hides:
            gone = {one.name for one in withdrawals if one.kind == "core"}
            said["cores"] = [core for core in said["cores"] if core["name"] not in gone]
            said["runs"] = self.runs(expedition)
            said[hiding.ATTRIBUTE] = [
                {key: value for key, value in one.items() if key != "labels"} for one in said[hiding.ATTRIBUTE]
            ]
            if said["measurements"] and hiding.any_label(withdrawals):
                table = layout.read_measurements(self._store, f"{expedition}/{MEASUREMENTS}")
                said["measurements"] = int(hiding.labels(table, withdrawals).sum())
        return said

    def withdrawals(self, expedition: str) -> tuple[Withdrawal, ...]:
        """What is withdrawn from an expedition, oldest first."""
        return hiding.withdrawals(self._said(expedition))

    def runs(self, expedition: str) -> dict[str, int]:
        """Run -> number of spectra, in the order in which they came in."""
        visible = self._visible(expedition)
        if not visible and self._hides and self.withdrawals(expedition):
            raise self._gone(expedition, "all its spectra are")
        return visible

    def run(self, expedition: str, run: str, level: Level = "intensity") -> xr.Dataset:
        """One run, lazy (dask): level ``counts`` (spectrum, channel) as measured, or ``intensity`` (spectrum, energy).

        Columns as in `corebank.schema.SPECTRUM`, attributes as in `RUN_ATTRIBUTES`.
        Raises `BankNotFoundError` for an expedition or run that is not there, `BankError` for an unknown level.
        """
        if level not in ("intensity", "counts"):
            raise BankError(self.address, f"level is {level!r}", "Ask for intensity or counts")
        self._require(expedition, run)
        whole = layout.open_run(self._store, f"{expedition}/{run}", self.grid.centres)
        if (rows := self._some_rows(expedition, run, whole)) is not None:
            whole = aligned(whole, rows)
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
        said = self._said(expedition)
        missing = BankNotFoundError(
            f"{self.address}, {expedition}",
            "has no laboratory values",
            "Bring some in with [[measurements]] in a contribution.toml",
        )
        if not said["measurements"]:
            raise missing
        table = layout.read_measurements(self._store, f"{expedition}/{MEASUREMENTS}")
        if self._hides and (withdrawals := hiding.withdrawals(said)):
            self.runs(expedition)  # raises where no spectrum is seen
            table = table[hiding.labels(table, withdrawals)].reset_index(drop=True)
            if table.empty:
                raise missing
        return table

    def evaluations(self, expedition: str, run: str) -> dict[str, pd.DataFrame]:
        """Every evaluation that lay beside the spectra of a run: file name -> peak areas, row by row with the spectra.

        The one that calibrates the run is first, and ``attrs["calibrates"]`` of its table is true. A file that an
        amendment brought in anew has its name; what it held before is called ``name@`` and digits of its hash.
        """
        self._require(expedition, run)
        rows = self._some_rows(expedition, run)
        tables = layout.read_evaluations(self._store, f"{expedition}/{run}/{EVALUATIONS}")
        if rows is not None:
            tables = {name: _some(table, rows) for name, table in tables.items()}
        return dict(sorted(tables.items(), key=lambda item: not item[1].attrs["calibrates"]))

    def _said(self, expedition: str) -> dict[str, Any]:
        """The attributes of an expedition as they lie in the bank."""
        if expedition not in self._expeditions:
            known = ", ".join(self.expeditions()) or "none yet"
            raise BankNotFoundError(self.address, f"there is no expedition {expedition!r}", f"It holds {known}")
        if expedition not in self._told:
            self._told[expedition] = layout.attributes(self._store, expedition, required=True)
        return self._told[expedition]

    def _visible(self, expedition: str) -> dict[str, int]:
        """Run -> number of spectra that are seen, without the runs that have none."""
        said = self._said(expedition)
        held = {str(name): int(count) for name, count in dict(said["runs"]).items()}
        if not (self._hides and said.get(hiding.ATTRIBUTE)):
            return held
        rows = {name: self._rows(expedition, name) for name in held}
        counts = {name: count if (kept := rows[name]) is None else len(kept) for name, count in held.items()}
        return {name: count for name, count in counts.items() if count}

    def _rows(self, expedition: str, run: str, spectra: xr.Dataset | None = None) -> np.ndarray | None:
        """Positions of the spectra of a run that are seen, or None for all; `spectra` is the run where it is open."""
        withdrawals = hiding.withdrawals(self._said(expedition)) if self._hides else ()
        if not withdrawals:
            return None
        if (expedition, run) not in self._seen:

            def opened() -> xr.Dataset:
                return (
                    layout.open_run(self._store, f"{expedition}/{run}", self.grid.centres)
                    if spectra is None
                    else spectra
                )

            self._seen[expedition, run] = hiding.rows(run, opened, withdrawals)
        return self._seen[expedition, run]

    def _require(self, expedition: str, run: str) -> None:
        said = self._said(expedition)
        if run not in said["runs"]:
            known = ", ".join(self._visible(expedition))
            raise BankNotFoundError(
                f"{self.address}, {expedition}", f"there is no run {run!r}", f"Its runs are {known}"
            )

    def _some_rows(self, expedition: str, run: str, spectra: xr.Dataset | None = None) -> np.ndarray | None:
        """As `_rows`; raises `BankNotFoundError` where none is seen."""
        rows = self._rows(expedition, run, spectra)
        if rows is not None and not len(rows):
            raise self._gone(expedition, f"run {run} is")
        return rows

    def _gone(self, expedition: str, what: str) -> BankNotFoundError:
        why = "; ".join(f"{one.kind} {one.name}: {one.because}" for one in self.withdrawals(expedition))
        return BankNotFoundError(
            f"{self.address}, {expedition}",
            f"{what} withdrawn ({why})",
            "Read an older snapshot, or bring it back with corebank restore",
        )

    def catalog_text(self, bank: str = "{{ CATALOG_DIR }}") -> str:
        """The catalog's YAML, with `bank` as the bank's address seen from where the file will lie."""
        return listing.text(self.site, {name: self.attributes(name) for name in self.expeditions()}, bank)


def _some(table: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """Rows of an evaluation, with what is known of it."""
    kept = table.iloc[rows].reset_index(drop=True)
    kept.attrs = dict(table.attrs)
    return kept
