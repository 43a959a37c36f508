"""Intake's drivers for what a bank holds: the spectra of an expedition, and its laboratory values.

The only importer of intake: what the other modules here need of it they take from here.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import pandas as pd
import xarray as xr
from intake.catalog import Catalog
from intake.catalog.entry import CatalogEntry
from intake.catalog.local import UserParameter
from intake.source.base import DataSource, Schema

from corebank import bank as banks
from corebank.bank.records import Level

__all__ = ["Catalog", "CatalogEntry", "DataSource", "MeasurementsSource", "SpectraSource", "UserParameter"]

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
