"""Spectra as tables and back, and predicted values as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from corebank import schema
from corebank.errors import PredictError


def to_table(spectra: xr.Dataset) -> pd.DataFrame:
    """A run at intensity level as a table: a row per spectrum, its columns, then one column per energy bin.

    The names of the bins are their centres in keV, the numbers count/s; bins that were not measured are empty.
    """
    columns = [str(name) for name in spectra.variables if spectra[name].dims == ("spectrum",)]
    rates = pd.DataFrame(spectra["intensity"].values, columns=[f"{energy:.6g}" for energy in spectra["energy"].values])
    return pd.concat([pd.DataFrame({name: spectra[name].values for name in columns}), rates], axis=1)


def from_table(table: pd.DataFrame, *, where: str = "table") -> xr.Dataset:
    """The run that `to_table` wrote, or any table of that layout; columns it does not know are left out.

    Raises `PredictError` when fewer than two columns are named by an energy in keV, or one of them holds text.
    """
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
        for name in (*schema.SPECTRUM, *schema.PROVENANCE)
        if name in table
    }
    return xr.Dataset(
        {
            "intensity": (schema.INTENSITY.dims, rates, schema.attributes(schema.INTENSITY)),
            **{name: ("spectrum", values) for name, values in known.items()},
        },
        coords={"energy": ("energy", [energies[name] for name in ordered], {"units": "keV"})},
    )


def write(values: pd.DataFrame, out: Path) -> None:
    """Write what `quantify` returned as .csv, .parquet, .nc or .zarr, the last two with units as attributes.

    Raises `PredictError` for another ending, and for a .zarr that is there already; other files are replaced.
    """
    if out.suffix == ".csv":
        values.to_csv(out, index=False)
    elif out.suffix == ".parquet":
        values.to_parquet(out, index=False)
    elif out.suffix == ".nc":
        to_dataset(values).to_netcdf(out)
    elif out.suffix == ".zarr" and not out.exists():
        to_dataset(values).to_zarr(out, zarr_format=3, consolidated=False)
    elif out.suffix == ".zarr":
        raise PredictError(out, "there already", "Remove it or name another")
    else:
        raise PredictError(
            out,
            f"cannot write {out.suffix or 'a file without an ending'}",
            "End its name in .csv, .parquet, .nc or .zarr",
        )


def to_dataset(values: pd.DataFrame) -> xr.Dataset:
    """What `quantify` returned, over ``spectrum``, with the unit of each variable as its attribute."""
    units = {"section_position": "mm", "depth": "mm"}
    for name in values:
        if f"{name}_unit" in values:
            units |= dict.fromkeys((str(name), f"{name}_lower", f"{name}_upper"), str(values[f"{name}_unit"].iloc[0]))
    return xr.Dataset(
        {
            str(name): (
                "spectrum",
                values[name].to_numpy(object if str(name) in ("core", "section", "warning") else None),
                {"units": units[str(name)]} if name in units else {},
            )
            for name in values
            if not str(name).endswith("_unit")
        }
    )


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
