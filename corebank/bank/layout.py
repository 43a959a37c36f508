"""How runs and measurements lie in Zarr: chunks, codecs, and the way between a group and a Dataset or a table.

Chunks of 256 spectra by all channels in shards of up to 4,096, blosc(zstd 3, bitshuffle): 7.8 times smaller than raw
uint32 counts at more than 1 GB/s on two cores, where Zarr's default gives 5 times at a third of the speed
(docs/decisions/0002-bank-layout.md). Columns are one chunk per shard's worth of rows; text is variable-length, since
fixed-length text has no Zarr 3 specification.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b, sha256
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.core.group import GroupMetadata
from zarr.storage import MemoryStore

from corebank import schema
from corebank.bank import chunks
from corebank.bank.faults import telling
from corebank.contribution.laboratory import COLUMNS, NUMBERS
from corebank.errors import BankError

CHUNK = 256
"""Spectra per chunk: the smallest piece that is read."""

SHARD = 4096
"""Spectra per shard: the smallest piece that is written, one object in the store."""

COUNTS_DIGEST = "counts_digest"
"""Column of a run with the hash of each spectrum's counts; banks of version 1 have none."""

_TIME = {
    "units": "seconds since 1970-01-01",
    "calendar": "proleptic_gregorian",
    "_FillValue": int(np.iinfo(np.int64).min),
}
"""Attributes by which other readers of Zarr know times; the lowest number is numpy's own for an unknown one."""

_DIGEST = "digest"
"""Attribute of every group: the hash of the others."""

_EVERY_CHUNK = {"write_empty_chunks": True}
"""Zarr leaves out chunks of nothing but fill values; here a chunk that is not there was lost."""

_WRITERS = 8
"""Columns that are on their way to the store at once; they wait more than they work."""


def describe(store: Any, group: str, about: Mapping[str, Any]) -> None:
    """Put attributes on a group (``""``: the root), which is made when it is not there."""
    found = zarr.open_group(store, path=group, mode="a")
    found.attrs.put(_signed(group, {**found.attrs, **about}))


def attributes(store: Any, group: str = "", *, required: bool = False) -> dict[str, Any]:
    """The attributes of a group; raises `BankError` when they are not those that were written.

    The digest is one of them, so that a group that lost them all cannot tell: `required` refuses that, too.
    """
    said = _trusted(store, group)[0]
    if required and not said:
        raise BankError(
            f"/{group}",
            "has lost its attributes",
            "The repository's files are damaged; restore them from a copy, or open an older snapshot",
        )
    return said


def _trusted(store: Any, group: str) -> tuple[dict[str, Any], Any]:
    """The attributes of a group, and the store such that no chunk of it that is missing reads as zeros."""
    with telling(f"/{group}", Exception):  # damaged bytes make icechunk, zarr and json raise what they will
        said = dict(zarr.open_group(store, path=group, mode="r").attrs)
        digest = said.pop(_DIGEST, None)
        if digest is not None and digest != _digest(group, said):
            raise BankError(
                f"/{group}",
                "its attributes are not those that were written",
                "The repository's files are damaged; restore them from a copy, or open an older snapshot",
            )
        chunks.refuse_changed(store, group, said)
    return said, chunks.strict(store) if said.pop(chunks.DOCUMENTS, None) else store


def groups(store: Any) -> list[str]:
    """Names of the groups below the root, in alphabetical order."""
    with telling("/", Exception):
        return chunks.names(store, "")


def write(store: Any, new: Mapping[str, xr.Dataset]) -> None:
    """Write Datasets as new groups, their attributes those of the groups.

    Arrays by channel or energy go into shards, lazily where they are dask arrays, and ``counts`` gets a column of
    digests (see `digests`). The metadata of all groups are made in one step and all data in one Dask graph: array by
    array, the waits for the store took half of the time.
    """
    nodes: dict[str, Any] = {}
    data: dict[str, Any] = {}
    for group, ds in new.items():
        arrays = {}
        for name, array in _with_digests(ds).variables.items():
            values, about = _encoded(array)
            data[f"{group}/{name}"] = values
            kind = "string" if values.dtype.kind == "T" else values.dtype.str
            arrays[str(name)] = replace(_metadata(kind, values.shape, array.dims), attributes={**array.attrs, **about})
        signed = _signed(group, {**ds.attrs, chunks.DOCUMENTS: chunks.documents_digest(arrays)})
        nodes |= {group: GroupMetadata(attributes=signed), **{f"{group}/{name}": one for name, one in arrays.items()}}
    made = dict(zarr.create_hierarchy(store=store, nodes=nodes))
    _fill({path: made[path] for path in data}, data)


def replace_columns(store: Any, group: str, run: xr.Dataset, names: Sequence[str]) -> None:
    """Overwrite variables of a run by those of `run`, which has the same spectra in the same order."""
    held = zarr.open_group(store, path=group, mode="r+")
    _fill({name: held[name] for name in names}, {name: _encoded(run[name].variable)[0] for name in names})


def replace_measurements(store: Any, group: str, table: pd.DataFrame) -> None:
    """Write the measurements table anew."""
    if group in zarr.open_group(store, mode="r"):
        del zarr.open_group(store, mode="a")[group]
    write(store, {group: measurements(table)})


def append_measurements(store: Any, group: str, table: pd.DataFrame) -> None:
    """Add rows to the measurements table."""
    held, rows = zarr.open_group(store, path=group, mode="r+"), measurements(table)
    for name, array in rows.variables.items():
        column: Any = held[str(name)]
        before = column.shape[0]
        column.resize((before + array.size,))
        column.with_config(_EVERY_CHUNK)[before:] = _encoded(array)[0]
    describe(store, group, {chunks.DOCUMENTS: chunks.stored_digest(store, group)})


def measurements(table: pd.DataFrame) -> xr.Dataset:
    """The measurements table as a Dataset over ``measurement``."""
    return xr.Dataset(
        {
            name: ("measurement", table[name].to_numpy(np.float64 if name in NUMBERS else object), {"long_name": about})
            for name, about in COLUMNS.items()
        }
    )


def evaluation(table: pd.DataFrame, about: Mapping[str, Any]) -> xr.Dataset:
    """One evaluation of a run's spectra: ``values`` (spectrum, column) float64, row by row beside the spectra."""
    columns = [str(name) for name in table]
    return xr.Dataset(
        {"values": (("spectrum", "column"), table.to_numpy(np.float64))},
        coords={"column": ("column", np.asarray(columns, dtype=object))},
        attrs=dict(about),
    )


def read_evaluations(store: Any, group: str) -> dict[str, pd.DataFrame]:
    """Every evaluation in `group` by its name, what is known of it in ``attrs``; empty where there is none."""
    with telling(f"/{group}", Exception):
        root = zarr.open_group(store, mode="r")
        numbers = sorted(zarr.open_group(store, path=group, mode="r").group_keys(), key=int) if group in root else []
    tables = {}
    for number in numbers:
        about, trusted = _trusted(store, f"{group}/{number}")
        with telling(f"/{group}/{number}", Exception):
            rows = xr.open_zarr(trusted, group=f"{group}/{number}", consolidated=False, chunks=None).load()
        table = pd.DataFrame(rows["values"].values, columns=[str(name) for name in rows["column"].values])
        table.attrs = {str(key): value for key, value in about.items()}
        tables[str(about["name"])] = table
    return tables


def open_run(store: Any, group: str, energy: np.ndarray) -> xr.Dataset:
    """A run as `write` wrote it, lazy: every array is a dask array of the shards in the store, and none is read.

    `energy` (energy,) is the bank's grid [keV]. Made without xarray's reader, which decodes each array for itself and
    looks into some of them: opening takes less than half of the time, and asks the store for the run's documents alone.
    """
    about, trusted = _trusted(store, group)
    with telling(f"/{group}", Exception):
        held = dict(zarr.open_group(trusted, path=group, mode="r").arrays())
        named = {"counts": schema.COUNTS, "intensity": schema.INTENSITY, **schema.SPECTRUM}
        arrays = {name: _lazy(held[name], variable) for name, variable in named.items()}
    centres = ("energy", energy, {"units": "keV", "long_name": "bin centre"})
    return xr.Dataset(arrays, coords={"energy": centres}, attrs=about)


def _lazy(array: Any, variable: schema.Variable) -> xr.Variable:
    source, kind, unsaid = array, array.dtype, {"_FillValue"}  # which banks of version 1 have
    if variable.dtype == "str":
        source, kind = Decoded(array, "O"), np.dtype(object)
    elif variable.dtype.startswith("datetime64"):
        source, kind, unsaid = Decoded(array, "M8[s]"), np.dtype("M8[s]"), set(_TIME)
    said = {key: value for key, value in array.attrs.items() if key not in unsaid}
    # Whole shards at a time: 32 ms for 4,000 spectra, by chunks 56, zarr alone 27. Of a slice Dask asks for its chunks.
    return xr.Variable(variable.dims, _blocks(source, array.shards or array.chunks, kind), said)


def _blocks(source: Any, chunks: tuple[int, ...], dtype: np.dtype[Any]) -> da.Array:
    meta = np.empty((0,) * len(chunks), dtype=dtype)
    found: da.Array = da.from_array(source, chunks=chunks, name=False, asarray=False, inline_array=True, meta=meta)
    return found


@dataclass(frozen=True, slots=True)
class Decoded:
    """A stored column as it is read: text as objects, seconds as times."""

    array: Any
    kind: str
    """``O`` or ``M8[s]``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the column."""
        return tuple(self.array.shape)

    @property
    def ndim(self) -> int:
        """Of the column."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """As it is read."""
        return np.dtype(self.kind)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Read rows; the lowest number of seconds stands for an unknown time."""
        found = np.asarray(self.array[rows])
        return found.astype(object) if self.kind == "O" else found.astype("M8[s]")


def read_measurements(store: Any, group: str) -> pd.DataFrame:
    """The measurements table of an expedition, columns as in `corebank.contribution.laboratory.COLUMNS`."""
    _, trusted = _trusted(store, group)
    with telling(f"/{group}", Exception):
        rows = xr.open_zarr(trusted, group=group, consolidated=False, chunks=None).load()
    return pd.DataFrame(
        {name: rows[name].to_numpy() if name in NUMBERS else rows[name].to_numpy().astype(object) for name in COLUMNS}
    )


def digests(counts: np.ndarray) -> np.ndarray:
    """First eight bytes of the BLAKE2b hash of each spectrum's counts as little-endian uint32, (spectrum,) uint64.

    Stored beside the counts, so that `verify` can tell for each spectrum whether it is what was written. 0, which one
    spectrum in 10^19 has by chance, stands for not recorded.
    """
    rows = np.ascontiguousarray(counts, dtype="<u4")
    found = [int.from_bytes(blake2b(row, digest_size=8).digest(), "little") for row in rows]
    return np.array(found, dtype=np.uint64)


def _with_digests(ds: xr.Dataset) -> xr.Dataset:
    if "counts" not in ds:
        return ds
    counts = ds["counts"].data
    found = (
        da.map_blocks(digests, counts.rechunk({1: -1}), drop_axis=1, dtype=np.uint64, meta=np.empty(0, np.uint64))
        if isinstance(counts, da.Array)
        else digests(counts)
    )
    return ds.assign({COUNTS_DIGEST: ("spectrum", found, {"long_name": "hash of the counts, see layout.digests"})})


def _encoded(array: xr.Variable) -> tuple[Any, dict[str, Any]]:
    """An array as it is stored, and what it takes to read it back."""
    if array.dtype.kind == "M":
        return array.values.astype("datetime64[s]").astype(np.int64), dict(_TIME)
    if array.dtype.kind in "OUT":
        return np.asarray([str(one) for one in array.values], dtype=np.dtypes.StringDType()), {}
    return array.data, {}


@lru_cache(maxsize=256)
def _metadata(dtype: str, shape: tuple[int, ...], dims: tuple[str, ...]) -> Any:
    """What Zarr writes of an array, without its attributes; runs of one size share it."""
    rows = max(shape[0], 1)
    wide = len(shape) == 2 and dims[1] != "column"
    array = zarr.create_array(
        MemoryStore(),
        shape=shape,
        dtype=dtype,
        chunks=(min(CHUNK if wide else SHARD, rows), *(max(size, 1) for size in shape[1:])),
        shards=(shard(rows), *shape[1:]) if wide else None,
        compressors=codecs(dtype) if len(shape) == 2 else [ZstdCodec(), Crc32cCodec()],
        fill_value=np.nan if "f" in dtype else "" if dtype == "string" else 0,
        dimension_names=dims,
    )
    return array.metadata


def _fill(arrays: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Put `data` into Zarr arrays of the same shapes, side by side; a shard is written whole, by one task."""
    arrays = {path: array.with_config(_EVERY_CHUNK) for path, array in arrays.items()}
    lazy = {path: values for path, values in data.items() if isinstance(values, da.Array)}
    sources = [
        values.rechunk({0: shard(max(values.shape[0], 1)), **({1: -1} if values.ndim == 2 else {})})
        for values in lazy.values()
    ]
    with ThreadPoolExecutor(_WRITERS) as crew, dask.config.set(scheduler="threads"):  # a session stays in its process
        small = [crew.submit(arrays[path].__setitem__, ..., data[path]) for path in data if path not in lazy]
        if sources:
            da.store(sources, [arrays[path] for path in lazy], lock=False)
        for one in small:
            one.result()


def shard(rows: int) -> int:
    """Spectra per shard of a run of so many: whole chunks, no more than there are."""
    chunk = max(min(CHUNK, rows), 1)
    return chunk * -(-min(SHARD, max(rows, 1)) // chunk)


def codecs(dtype: str) -> list[Any]:
    """How an array by channel or energy is packed, with its checksum.

    Floats, which level 3 packs 2 % better than level 1 at less than half the speed, get level 1.
    """
    return [BloscCodec(cname="zstd", clevel=1 if "f" in dtype else 3, shuffle="bitshuffle"), Crc32cCodec()]


def _signed(group: str, about: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes with their digest."""
    said = json.loads(json.dumps({str(key): value for key, value in about.items() if key != _DIGEST}, default=_plain))
    return {**said, _DIGEST: _digest(group, said)}


def _digest(group: str, said: Mapping[str, Any]) -> str:
    return sha256(json.dumps([group, said], sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A numpy number as the JSON that it stands for."""
    return value.item()
