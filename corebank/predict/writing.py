"""Predicted values as files, written table after table, so that all of them need never be in memory.

A file is written beside its place and takes its name when it is whole: what was killed or refused in the middle leaves
nothing that looks like a result.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from corebank.errors import PredictError
from corebank.predict.refusing import refuse_ending

TEXT = ("core", "section", "site", "expedition", "run")
"""Columns of text beside those that end in ``warning``."""

ROWS = 4_096
"""Rows of a chunk of Zarr, whatever the size of the first table."""


def write(values: pd.DataFrame | Iterable[pd.DataFrame], out: Path) -> None:
    """Write what `quantify` returned, or what `stream` yields, as .csv, .parquet, .nc or .zarr.

    The last two hold the unit of each variable as its attribute instead of a column. A NetCDF file is written at once,
    so the values, not the spectra, are then held in memory.

    Raises `PredictError` for another ending, and for a .zarr that is there already; other files are replaced.
    """
    refuse(out)
    tables = iter([values] if isinstance(values, pd.DataFrame) else values)
    with _beside(out) as scratch:
        WRITERS[out.suffix](tables, scratch)


def refuse(out: Path) -> None:
    """Raise `PredictError` for what `write` cannot write to: worth knowing before an hour of work."""
    refuse_ending(out, list(WRITERS))
    if out.suffix == ".zarr" and out.exists():
        raise PredictError(out, "there already", "Remove it or name another")


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
                values[name].to_numpy(object if _is_text(str(name)) else None),
                {"units": units[str(name)]} if name in units else {},
            )
            for name in values
            if not str(name).endswith("_unit")
        }
    )


def _is_text(name: str) -> bool:
    return name in TEXT or name.endswith(("warning", "_unit"))


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A path beside `out` that becomes `out` at the end, and is gone when anything went wrong."""
    scratch = out.with_name(f".{out.stem}-{os.getpid()}{out.suffix}")
    try:
        yield scratch
        scratch.replace(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.unlink(missing_ok=True)


def _csv(tables: Iterator[pd.DataFrame], out: Path) -> None:
    with out.open("w", encoding="utf-8", newline="") as file:
        for number, table in enumerate(tables):
            table.to_csv(file, index=False, header=number == 0)


def _parquet(tables: Iterator[pd.DataFrame], out: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = next(tables)
    kinds = [(str(name), pa.string() if _is_text(str(name)) else pa.float64()) for name in first]
    with pq.ParquetWriter(out, pa.schema(kinds)) as file:
        for table in chain([first], tables):
            file.write_table(pa.Table.from_pandas(table, schema=pa.schema(kinds), preserve_index=False))


def _netcdf(tables: Iterator[pd.DataFrame], out: Path) -> None:
    to_dataset(pd.concat(tables, ignore_index=True)).to_netcdf(out)


def _zarr(tables: Iterator[pd.DataFrame], out: Path) -> None:
    for number, table in enumerate(tables):
        ds = to_dataset(table)
        if number:
            ds.to_zarr(out, mode="a", append_dim="spectrum", zarr_format=3, consolidated=False)
        else:
            chunks: dict[Any, Any] = {name: {"chunks": (ROWS,)} for name in ds}
            ds.to_zarr(out, zarr_format=3, consolidated=False, encoding=chunks)


WRITERS: dict[str, Callable[[Iterator[pd.DataFrame], Path], None]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".nc": _netcdf,
    ".zarr": _zarr,
}
"""How the values are written, by the ending of the file's name."""
