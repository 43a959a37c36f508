"""Spectra written out of banks, for tools that know nothing of banks: plain Zarr 3, NetCDF 4, Parquet.

All three hold the same: every spectrum with its columns and where it came from, units and meanings, and the attributes
of the selection (snapshots, addresses of the banks, licences, citations). Blocks of spectra go through one after the
other, so memory does not grow with the selection. The file is written beside its place and renamed when it is whole: a
killed export leaves nothing that looks like one.

``.zarr``: chunks, shards and codecs as in a bank, a checksum behind each; ``xarray.open_zarr(out)`` opens it.
``.nc``: NetCDF 4 by h5netcdf, deflate with shuffle, which every NetCDF library reads.
``.parquet``: a row per spectrum, its columns, then one column of float32 (of uint32 for counts) per energy bin (or
channel), named by the bin's centre in keV (``channel_0`` ...). That is what pandas, polars and R select, plot and fit
without unpacking, and `corebank predict` and `corebank draft` read it; bins that were not measured are null.
Laboratory values go into a group ``measurements`` of the same file, with Parquet into ``<name>.measurements.parquet``.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr

from corebank import __version__, schema
from corebank.bank import layout
from corebank.contribution.laboratory import COLUMNS
from corebank.errors import BankError

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = layout.SHARD
"""Spectra that are on their way at once, and those of one row group of Parquet: 32 MB of float32 by 2,048 bins."""

_TEXT = np.dtype("O", metadata={"element_type": str})
"""Text for NetCDF: without the mark, xarray loads a lazy column to find out what its objects are."""

_STRINGS = np.dtypes.StringDType()
"""Text for Zarr."""

_MEASUREMENTS = "measurements"


def export(spectra: xr.Dataset, out: Path, measurements: pd.DataFrame | None = None) -> None:
    """Write spectra, lazily, and the laboratory values that belong to them, as ``.zarr``, ``.nc`` or ``.parquet``.

    Parameters
    ----------
    spectra
        What `corebank.catalog.select` or `corebank.bank.View.spectra` returned: ``intensity`` (spectrum, energy) or
        ``counts`` (spectrum, channel), columns over ``spectrum``.
    out
        New file, or folder for Zarr; its ending says which.
    measurements
        Laboratory values, columns as `corebank.catalog.measurements` gives them; None or an empty table for none.

    Raises `BankError` where something is at `out`, its ending is another, or what writes it is not installed.
    """
    refuse(out)
    values = None if measurements is None or measurements.empty else measurements
    beside = _beside(out) if out.suffix == ".parquet" and values is not None else None
    told = {**spectra.attrs, "exported_by": f"corebank {__version__}"}
    with dask.config.set(scheduler="threads"):
        if beside is not None and values is not None:
            with _whole(beside) as scratch:
                _table(values, scratch)
        with _whole(out) as scratch:
            _WRITERS[out.suffix](
                spectra.assign_attrs({key: _plain(value) for key, value in told.items()}), scratch, values
            )


def refuse(out: Path) -> None:
    """Raise `BankError` where `export` would not write `out`: its ending is another, or something is there."""
    if out.suffix not in _WRITERS:
        raise BankError(
            out,
            f"nothing is written as {out.suffix or 'a file without an ending'}",
            f"End its name in {', '.join(_WRITERS)}",
        )
    for path in (out, *([_beside(out)] if out.suffix == ".parquet" else [])):
        if path.exists():
            raise BankError(path, "is there already", "Remove it, or name another file")
    if out.suffix in _NEEDS and find_spec(_NEEDS[out.suffix]) is None:
        needed = _NEEDS[out.suffix]
        raise BankError(
            out,
            f"writing {out.suffix} needs {needed}, which is not installed",
            f"Install it with: pip install {needed}",
        )


def belonging(measurements: pd.DataFrame, spectra: xr.Dataset) -> pd.DataFrame:
    """The laboratory values, columns as `corebank.catalog.measurements` gives them, of cores that `spectra` are of."""
    keys = ["site", "expedition", "core"]
    if measurements.empty:
        return measurements
    cores = pd.DataFrame({key: spectra[key].values.astype(object) for key in keys}).drop_duplicates()
    return measurements.merge(cores, on=keys, how="inner")


def _beside(out: Path) -> Path:
    """Where the laboratory values of a Parquet file go."""
    return out.with_suffix(f".{_MEASUREMENTS}.parquet")


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A place beside `out` to write to; it becomes `out` when all went well, and is gone otherwise."""
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        yield scratch
        if out.exists():  # came while this was written
            raise BankError(out, "is there already", "Remove it, or name another file")
        scratch.rename(out)
    finally:
        shutil.rmtree(scratch) if scratch.is_dir() else scratch.unlink(missing_ok=True)


def _zarr(spectra: xr.Dataset, out: Path, measurements: pd.DataFrame | None) -> None:
    ready, coded = _ready(spectra, _STRINGS), {}
    rows = max(spectra.sizes["spectrum"], 1)
    for name, array in ready.variables.items():
        if array.ndim == 2:
            coded[name] = {
                "chunks": (min(layout.CHUNK, rows), array.shape[1]),
                "shards": (layout.shard(rows), array.shape[1]),
                "compressors": layout.codecs(array.dtype.str),
            }
        elif array.dims == ("spectrum",):
            coded[name] = {"chunks": (min(ROWS, rows),)}
    with warnings.catch_warnings():
        # Zarr 3 does not standardise consolidated metadata yet; without, xarray.open_zarr warns at each opening.
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        if measurements is not None:
            _laboratory(measurements).to_zarr(out, group=_MEASUREMENTS, mode="w", zarr_format=3, consolidated=False)
        ready.to_zarr(out, mode="a", zarr_format=3, consolidated=True, encoding=_times(ready, coded))


def _netcdf(spectra: xr.Dataset, out: Path, measurements: pd.DataFrame | None) -> None:
    ready, coded = _ready(spectra, _TEXT), {}
    for name, array in ready.variables.items():
        if array.ndim == 2 and array.size:
            chunk = (min(layout.CHUNK, array.shape[0]), array.shape[1])
            coded[name] = {"zlib": True, "complevel": 1, "shuffle": True, "chunksizes": chunk}
    ready.to_netcdf(out, engine="h5netcdf", encoding=_times(ready, coded))
    if measurements is not None:
        _laboratory(measurements).to_netcdf(out, engine="h5netcdf", mode="a", group=_MEASUREMENTS)


def _parquet(spectra: xr.Dataset, out: Path, measurements: pd.DataFrame | None) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    wide = "counts" if "counts" in spectra else "intensity"
    axis = str(spectra[wide].dims[1])
    names = (
        [f"{energy:.6g}" for energy in spectra["energy"].values]
        if axis == "energy"
        else [f"channel_{number}" for number in range(spectra.sizes["channel"])]
    )
    columns = [str(name) for name, array in spectra.variables.items() if array.dims == ("spectrum",)]
    unit = pa.float32() if wide == "intensity" else pa.uint32()
    fields = [pa.field(name, _arrow(spectra[name].dtype), metadata=_said(spectra[name].attrs)) for name in columns]
    fields += [pa.field(name, unit, metadata=_said(spectra[wide].attrs)) for name in names]
    told = pa.schema(fields, metadata={"corebank": json.dumps(dict(spectra.attrs))})
    text = [field.name for field in fields if pa.types.is_string(field.type)]
    with pq.ParquetWriter(out, told, compression="zstd", use_dictionary=text) as file:
        for start in range(0, max(spectra.sizes["spectrum"], 1), ROWS):
            block = spectra.isel(spectrum=slice(start, start + ROWS)).load()
            cells = [
                pa.array(
                    block[name].values.astype(object) if name in text else block[name].values,
                    type=told.field(name).type,
                    from_pandas=True,
                )
                for name in columns
            ]
            by_bin = np.ascontiguousarray(block[wide].values.T)
            cells += [pa.array(values, type=unit, from_pandas=True) for values in by_bin]
            file.write_table(pa.Table.from_arrays(cells, schema=told))


def _table(measurements: pd.DataFrame, out: Path) -> None:
    """The measurements table as Parquet, what each column means beside it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(measurements, preserve_index=False)
    fields = [field.with_metadata({**(field.metadata or {}), **_said(_meaning(field.name))}) for field in table.schema]
    pq.write_table(table.cast(pa.schema(fields, metadata=table.schema.metadata)), out, compression="zstd")


def _arrow(dtype: np.dtype[Any]) -> pa.DataType:
    import pyarrow as pa

    if dtype.kind in "OTU":
        return pa.string()
    return pa.timestamp("s") if dtype.kind == "M" else pa.from_numpy_dtype(dtype)


def _ready(spectra: xr.Dataset, text: np.dtype[Any] | np.dtypes.StringDType) -> xr.Dataset:
    """`spectra` in blocks of `ROWS`, text as `text`, and nothing left of how it lay where it came from."""
    made = {
        name: (array.dims, _marked(array.data, text), {key: _plain(value) for key, value in array.attrs.items()})
        for name, array in spectra.variables.items()
    }
    axes = [name for name in spectra.coords if name in made]
    return xr.Dataset(
        {name: array for name, array in made.items() if name not in axes},
        {name: made[name] for name in axes},
        spectra.attrs,
    )


def _marked(data: Any, text: np.dtype[Any] | np.dtypes.StringDType) -> Any:
    """An array in blocks of `ROWS`: text as `text`, times by the second, others as they are."""
    if isinstance(data, da.Array):
        data = data.rechunk((ROWS, *(-1,) * (data.ndim - 1)))
        if data.dtype.kind in "OTU":
            return da.map_blocks(_as, data, text, dtype=text, meta=np.empty((0,) * data.ndim, dtype=text))
    kind = data.dtype.kind
    return data.astype("datetime64[s]") if kind == "M" else _as(data, text) if kind in "OTU" else data


def _as(block: np.ndarray[Any, Any], text: np.dtype[Any] | np.dtypes.StringDType) -> np.ndarray[Any, Any]:
    return block.astype(object).astype(text)


def _times(ready: xr.Dataset, coded: Mapping[Any, Mapping[str, Any]]) -> dict[Any, dict[str, Any]]:
    """`coded` with how times are written: whole seconds, the lowest number where the time is unknown."""
    seconds = {"units": "seconds since 1970-01-01", "dtype": "int64", "_FillValue": np.iinfo(np.int64).min}
    times = {name: seconds for name, array in ready.variables.items() if array.dtype.kind == "M"}
    return {name: {**coded.get(name, {}), **times.get(name, {})} for name in {**coded, **times}}


def _laboratory(measurements: pd.DataFrame) -> xr.Dataset:
    """The measurements table over ``measurement``, numbers as float64 and text as text."""
    return xr.Dataset(
        {
            str(name): (
                "measurement",
                column.to_numpy(np.float64)
                if pd.api.types.is_numeric_dtype(column)
                else _as(column.to_numpy(object), _TEXT),
                _meaning(str(name)),
            )
            for name, column in measurements.items()
        }
    )


def _meaning(column: str) -> dict[str, str]:
    """What a column of the measurements table means, as attributes."""
    about = COLUMNS.get(column, schema.PROVENANCE.get(column, ""))
    return {"long_name": about, **({"units": "mm"} if column.startswith("depth_") else {})}


def _said(attributes: Mapping[Any, Any]) -> dict[str, str]:
    """Attributes as the text that Parquet keeps beside a column."""
    return {str(key): str(value) for key, value in attributes.items()}


def _plain(value: Any) -> Any:
    """An attribute as all three formats can hold it: text and numbers as they are, anything else as JSON."""
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else json.dumps(value)


_WRITERS: dict[str, Callable[[xr.Dataset, Path, pd.DataFrame | None], None]] = {
    ".zarr": _zarr,
    ".nc": _netcdf,
    ".parquet": _parquet,
}

_NEEDS = {".nc": "h5netcdf", ".parquet": "pyarrow"}
"""What writes a format and is not installed with every corebank."""
