"""Spectra as tables and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from corebank import schema, transfer
from corebank.errors import PredictError


def to_table(spectra: xr.Dataset) -> pd.DataFrame:
    """A run at intensity level as a table: a row per spectrum, its columns, then one column per energy bin.

    The names of the bins are their centres in keV, the numbers count/s; bins that were not measured are empty. The unit
    of the intensity stays with the table as ``attrs["units"]``.
    """
    columns = [str(name) for name in spectra.variables if spectra[name].dims == ("spectrum",)]
    rates = pd.DataFrame(spectra["intensity"].values, columns=[f"{energy:.6g}" for energy in spectra["energy"].values])
    table = pd.concat([pd.DataFrame({name: spectra[name].values for name in columns}), rates], axis=1)
    table.attrs["units"] = spectra["intensity"].attrs.get("units", "no unit")
    return table


def from_table(table: pd.DataFrame, *, where: str = "table") -> xr.Dataset:
    """The run that `to_table` wrote, or any table of that layout; columns it does not know are left out.

    The columns may stand in any order. Rates are in count/s unless ``table.attrs["units"]`` says otherwise.
    Raises `PredictError` when fewer than two columns are named by an energy in keV, two by the same one, or one of them
    holds text.
    """
    no_doubles(table.columns, where)
    energies = {column: energy for column in table if (energy := _energy(column)) is not None}
    if len(energies) < 2:
        raise PredictError(
            where,
            f"{len(energies)} columns are named by an energy",
            "Name the column of each energy bin by its centre in keV and give its count/s",
        )
    ordered = sorted(energies, key=energies.__getitem__)
    try:
        rates = table[ordered].to_numpy(np.float32)
    except (TypeError, ValueError) as error:
        raise PredictError(
            where, f"an energy column holds text ({error})", "Leave cells without a number empty"
        ) from error
    known = {
        name: _as(table[name], schema.SPECTRUM[name].dtype if name in schema.SPECTRUM else "str")
        for name in (*schema.SPECTRUM, *schema.PROVENANCE, transfer.COLUMN)
        if name in table
    }
    return xr.Dataset(
        {
            "intensity": (
                schema.INTENSITY.dims,
                rates,
                schema.attributes(schema.INTENSITY)
                | {name: said for name, said in table.attrs.items() if name == "units"},
            ),
            **{name: ("spectrum", values) for name, values in known.items()},
        },
        coords={"energy": ("energy", [energies[name] for name in ordered], {"units": "keV"})},
    )


def no_doubles(columns: Iterable[object], where: str) -> None:
    """Raise `PredictError` when two of `columns` are of the same energy: which one holds the rate?"""
    seen: dict[float, object] = {}
    for column in columns:
        energy = _energy(column)
        if energy is not None and energy in seen:
            raise PredictError(
                where, f"two columns are of {energy:g} keV: {seen[energy]} and {column}", "Leave one out"
            )
        if energy is not None:
            seen[energy] = column


def _energy(column: object) -> float | None:
    """The energy [keV] that a column is named by, None for any other column."""
    try:
        energy = float(str(column))
    except ValueError:
        return None
    return energy if np.isfinite(energy) else None


def _as(column: pd.Series[Any], dtype: str) -> NDArray[Any]:
    """The values of a table's column in the schema's dtype; empty cells become "", NaT, 0 or NaN."""
    if dtype == "str":
        return column.astype(object).where(column.notna(), "").astype(str).to_numpy(object)
    if dtype.startswith("datetime64"):
        return pd.to_datetime(column).to_numpy(dtype)
    return (column.fillna(0) if dtype.startswith("uint") else column).to_numpy(dtype)
