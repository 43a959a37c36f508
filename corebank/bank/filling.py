"""Values -> the objects of a store: every array of a contribution in shards or chunks, packed and put side by side.

Lazy arrays go through Dask's threads, a shard at a time, so that memory does not grow with a run. An Icechunk session
does not leave its process, so no cluster takes part.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np

from corebank.bank import chunks, packing

CHUNK = 256
"""Spectra per chunk: the smallest piece that is read."""

SHARD = 4096
"""Spectra per shard: the smallest piece that is written, one object in the store."""

_WRITERS = 8
"""Runs whose columns are on their way to the store at once; they wait more than they work."""


class Stored(NamedTuple):
    """An array as it is stored."""

    values: Any
    """numpy or dask"""
    dims: tuple[Any, ...]
    about: dict[str, Any]
    """Its attributes, with what it takes to read it back."""

    @property
    def kind(self) -> str:
        """Zarr's name of the type of the values."""
        return "string" if self.values.dtype.kind == "T" else str(self.values.dtype.str)


def sharded(dims: tuple[Any, ...]) -> bool:
    """True for arrays by channel or energy."""
    return len(dims) == 2 and dims[1] != "column"


@dataclass(frozen=True, slots=True)
class _Objects:
    """An array in the store, to put rows into: a shard or a chunk at a time, each an object of its own."""

    store: Any
    path: str
    rows: int
    """Of an array by channel or energy those of a shard, of any other those of a chunk."""
    rows_of_chunk: int
    """0 for an array that is not in shards."""

    def __dask_tokenize__(self) -> str:
        return self.path

    def __setitem__(self, where: tuple[slice, ...], values: np.ndarray) -> None:
        chunks.put(self.store, self.packed(values, where[0].start // self.rows))

    def packed(self, values: np.ndarray, first: int = 0) -> dict[str, bytes]:
        """Key and bytes of the objects that these rows make, the first of them by its number."""
        pieces = [values[start : start + self.rows] for start in range(0, len(values), self.rows)]
        if values.ndim == 1:
            return {f"{self.path}/c/{n}": packing.column(one, self.rows) for n, one in enumerate(pieces, first)}
        if not self.rows_of_chunk:
            return {f"{self.path}/c/{n}/0": packing.chunk(one, self.rows) for n, one in enumerate(pieces, first)}
        return {
            f"{self.path}/c/{n}/0": packing.shard(one, self.rows, self.rows_of_chunk)
            for n, one in enumerate(pieces, first)
        }


def fill(store: Any, data: Mapping[str, Stored]) -> None:
    """Put values into arrays that are there already, all rows of them: path -> values."""
    sources: list[da.Array] = []
    targets: list[Any] = []
    small: dict[str, dict[str, _Objects]] = {}
    for path, (values, dims, _) in data.items():
        rows, wide = max(values.shape[0], 1), sharded(dims)
        sizes = (shard(rows), min(CHUNK, rows)) if wide else (min(SHARD, rows), 0)
        target = _Objects(store, path, *sizes)
        if wide or isinstance(values, da.Array):
            lazy = values if isinstance(values, da.Array) else da.from_array(values, name=False)
            sources.append(lazy.rechunk({0: target.rows, **({1: -1} if values.ndim == 2 else {})}))
            targets.append(target)
        elif values.size:
            small.setdefault(path.rpartition("/")[0], {})[path] = target

    def columns(group: str) -> None:
        packed = [target.packed(data[path].values) for path, target in small[group].items()]
        chunks.put(store, {key: content for objects in packed for key, content in objects.items()})

    with ThreadPoolExecutor(_WRITERS) as crew, dask.config.set(scheduler="threads"):  # a session stays in its process
        written = [crew.submit(columns, group) for group in small]
        if sources:
            da.store(sources, targets, lock=False)
        for one in written:
            one.result()


def shard(rows: int) -> int:
    """Spectra per shard of a run of so many: whole chunks, no more than there are."""
    chunk = max(min(CHUNK, rows), 1)
    return chunk * -(-min(SHARD, max(rows, 1)) // chunk)
