"""How runs and measurements lie in Zarr: chunks, codecs, and the way between a group and a Dataset or a table.

Chunks of 256 spectra by all channels in shards of up to 4,096, blosc(zstd 3, bitshuffle): 7.8 times smaller than raw
uint32 counts at more than 1 GB/s on two cores, where Zarr's default gives 5 times at a third of the speed
(docs/decisions/0002-bank-layout.md). Columns are one chunk per shard's worth of rows; text is variable-length, since
fixed-length text has no Zarr 3 specification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dask
import numpy as np
import pandas as pd
import xarray as xr
import zarr
from zarr.codecs import BloscCodec

from corebank import schema
from corebank.contribution.laboratory import COLUMNS, NUMBERS

CHUNK = 256
"""Spectra per chunk: the smallest piece that is read."""

SHARD = 4096
"""Spectra per shard: the smallest piece that is written, one object in the store."""


def describe(store: Any, group: str, about: Mapping[str, Any]) -> None:
    """Put attributes on a group (``""``: the root), which is made when it is not there."""
    zarr.open_group(store, path=group, mode="a").attrs.update(dict(about))


def attributes(store: Any, group: str = "") -> dict[str, Any]:
    """The attributes of a group."""
    return dict(zarr.open_group(store, path=group, mode="r").attrs)


def groups(store: Any) -> list[str]:
    """Names of the groups below the root, in alphabetical order."""
    return sorted(zarr.open_group(store, mode="r").group_keys())


def write_run(store: Any, group: str, run: xr.Dataset) -> None:
    """Write a run, its counts and its intensity, as a new group; its attributes become the group's."""
    encoding: dict[str, dict[str, Any]] = {}
    for name, array in run.variables.items():
        rows = max(run.sizes["spectrum"], 1)
        if array.ndim == 2:
            encoding[str(name)] = {
                "chunks": (min(CHUNK, rows), array.shape[1]),
                "shards": (_shard(rows), array.shape[1]),
                "compressors": [_blosc()],
            }
        elif array.dims == ("spectrum",):
            encoding[str(name)] = {"chunks": (min(SHARD, rows),)}
    encoding["scanned_at"] |= {
        "units": "seconds since 1970-01-01",
        "dtype": "int64",
        "_FillValue": np.iinfo(np.int64).min,
    }
    wide = [name for name in run.data_vars if run[name].ndim == 2 and run[name].chunks]
    lazy = run.assign({name: run[name].chunk(spectrum=encoding[str(name)]["shards"][0]) for name in wide})
    with dask.config.set(scheduler="threads"):  # an Icechunk session does not leave its process
        lazy.to_zarr(store, group=group, mode="w-", consolidated=False, zarr_format=3, encoding=encoding)


def write_evaluation(store: Any, group: str, table: pd.DataFrame, about: Mapping[str, Any]) -> None:
    """Write one evaluation of a run's spectra: ``values`` (spectrum, column) float64, row by row beside the spectra."""
    columns = [str(name) for name in table]
    rows = xr.Dataset(
        {"values": (("spectrum", "column"), table.to_numpy(np.float64))},
        coords={"column": ("column", np.asarray(columns, dtype=object))},
        attrs=dict(about),
    )
    encoding = {"values": {"chunks": (max(min(SHARD, len(table)), 1), max(len(columns), 1)), "compressors": [_blosc()]}}
    rows.to_zarr(store, group=group, mode="w-", consolidated=False, zarr_format=3, encoding=encoding)


def read_evaluations(store: Any, group: str) -> dict[str, pd.DataFrame]:
    """Every evaluation in `group` by its name, what is known of it in ``attrs``; empty where there is none."""
    root = zarr.open_group(store, mode="r")
    if group not in root:
        return {}
    tables = {}
    for number in sorted(zarr.open_group(store, path=group, mode="r").group_keys(), key=int):
        rows = xr.open_zarr(store, group=f"{group}/{number}", consolidated=False, chunks=None).load()
        table = pd.DataFrame(rows["values"].values, columns=[str(name) for name in rows["column"].values])
        table.attrs = dict(rows.attrs)
        tables[str(rows.attrs["name"])] = table
    return tables


def replace_columns(store: Any, group: str, run: xr.Dataset, names: Sequence[str]) -> None:
    """Overwrite variables of a run by those of `run`, which has the same spectra in the same order."""
    new = run[list(names)].drop_vars("energy", errors="ignore")
    # A shard is written whole, so no two tasks may share one.
    new = new.assign(
        {name: new[name].chunk(spectrum=_shard(new.sizes["spectrum"])) for name in new if new[name].chunks}
    )
    with dask.config.set(scheduler="threads"):  # an Icechunk session does not leave its process
        new.to_zarr(store, group=group, mode="r+", consolidated=False, zarr_format=3)


def replace_measurements(store: Any, group: str, table: pd.DataFrame) -> None:
    """Write the measurements table anew."""
    if group in zarr.open_group(store, mode="r"):
        del zarr.open_group(store, mode="a")[group]
    append_measurements(store, group, table, exists=False)


def open_run(store: Any, group: str) -> xr.Dataset:
    """A run as `write_run` wrote it, lazy: every array but ``energy`` is a dask array of the chunks in the store."""
    run = xr.open_zarr(store, group=group, consolidated=False, chunks={})
    ordered = run[["counts", "intensity", *schema.SPECTRUM]]
    plain: xr.Dataset = ordered.assign(
        {name: run[name].astype(object) for name, variable in schema.SPECTRUM.items() if variable.dtype == "str"}
    )
    return plain


def append_measurements(store: Any, group: str, table: pd.DataFrame, *, exists: bool) -> None:
    """Add rows of the measurements table to its group, which is made when it does not exist."""
    rows = xr.Dataset(
        {
            name: ("measurement", table[name].to_numpy(np.float64 if name in NUMBERS else object), {"long_name": about})
            for name, about in COLUMNS.items()
        }
    )
    if exists:
        rows.to_zarr(store, group=group, mode="a", append_dim="measurement", consolidated=False, zarr_format=3)
    else:
        rows.to_zarr(
            store,
            group=group,
            mode="w-",
            consolidated=False,
            zarr_format=3,
            encoding={name: {"chunks": (SHARD,)} for name in rows},
        )


def read_measurements(store: Any, group: str) -> pd.DataFrame:
    """The measurements table of an expedition, columns as in `corebank.contribution.laboratory.COLUMNS`."""
    rows = xr.open_zarr(store, group=group, consolidated=False, chunks=None).load()
    return pd.DataFrame(
        {name: rows[name].to_numpy() if name in NUMBERS else rows[name].to_numpy().astype(object) for name in COLUMNS}
    )


def _shard(rows: int) -> int:
    """Spectra per shard of a run of so many: whole chunks, no more than there are."""
    chunk = max(min(CHUNK, rows), 1)
    return chunk * -(-min(SHARD, max(rows, 1)) // chunk)


def _blosc() -> BloscCodec:
    return BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle")
