"""Selections for the tests of the feed: blocks of any sizes, and an array that notes what is read of it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

import dask.array as da
import numpy as np
import torch
import xarray as xr
from hypothesis import strategies as st

from corebank.feed import Batch, Feed
from corebank.normalize import Normalization
from corebank.schema import EnergyGrid

GRID = EnergyGrid(start=0.0, step=0.5, bins=16)

sizes = st.lists(st.integers(1, 12), min_size=1, max_size=8)
"""Rows of the blocks of a selection."""


class Noting:
    """An array that remembers which rows were asked for, and fails for some of them."""

    def __init__(self, array: np.ndarray, broken: int | None = None) -> None:
        self.array, self.broken, self.asked = array, broken, list[tuple[int, int]]()
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        self.threads = set[str]()

    def __getitem__(self, key: tuple[slice, slice]) -> Any:
        first, last, _ = key[0].indices(len(self.array))
        if first == last:  # Dask looks at an empty part, to know what it will get
            return self.array[key]
        self.asked.append((first, last))
        self.threads.add(threading.current_thread().name)
        if self.broken is not None and first <= self.broken < last:
            raise OSError(f"row {self.broken} cannot be read")
        return self.array[key]


def rates(rows: int, *, bins: int = GRID.bins, seed: int = 0) -> np.ndarray:
    """(rows, bins) float32 [count/s], the lowest bins of all and the highest of some not measured."""
    random = np.random.default_rng(seed)
    made = random.gamma(2, 20, (rows, bins)).astype(np.float32)
    made[:, :2] = np.nan
    made[::3, -4:] = np.nan
    return made


def selection(blocks: Sequence[int], *, seed: int = 0, array: Any = None) -> xr.Dataset:
    """Spectra in blocks of these sizes, each different from all others; with the columns that a feed looks at."""
    rows = sum(blocks)
    found = rates(rows, seed=seed) if array is None else array
    lazy = da.from_array(found, chunks=(tuple(blocks), -1), name=False, asarray=False)
    return xr.Dataset(
        {
            "intensity": (("spectrum", "energy"), lazy),
            "live_time": ("spectrum", np.linspace(5, 15, rows)),
            "tube_voltage": ("spectrum", np.where(np.arange(rows) % 2, 10.0, 30.0)),
        },
        attrs={"grid": GRID.to_json()},
    )


def make(spectra: xr.Dataset, **changes: Any) -> Feed:
    """A feed of small batches with a small buffer."""
    chosen: dict[str, Any] = {"normalization": Normalization(), "batch_size": 5, "seed": 0, "buffer": 10}
    return Feed(spectra, **(chosen | changes))


def rows_of(batches: Iterable[Batch]) -> list[list[int]]:
    """The rows of each batch."""
    return [batch.row_B.tolist() for batch in batches]


def flat(batches: Iterable[Batch]) -> list[int]:
    """The rows of all of them, in their order."""
    return [row for rows in rows_of(batches) for row in rows]


def same(one: Batch, other: Batch) -> bool:
    """Whether two batches hold the same bits."""
    return all(torch.equal(bits(a), bits(b)) for a, b in zip(one, other, strict=True))


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """Floats as whole numbers, such that NaN equals itself and 0 differs from -0."""
    return tensor.view(torch.int32) if tensor.dtype == torch.float32 else tensor
