"""Blocks of a selection: whole rows, read through Dask one block at a time."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import optimize
from dask.delayed import Delayed
from dask.optimization import cull
from numpy.typing import NDArray

from corebank.errors import FeedError

BLOCK = 1_024
"""Rows of a block where the selection is no dask array."""


class Blocks:
    """The rows of a selection in blocks: the chunks of a dask array along ``spectrum``, whole along ``energy``.

    Whatever Dask is set to use reads them: threads of this process, or the workers of a cluster.

    Parameters
    ----------
    intensity
        (spectrum, energy).

    Raises
    ------
    FeedError
        When it holds no row, or does not know how many.
    """

    def __init__(self, intensity: xr.DataArray) -> None:
        self._intensity = intensity = intensity.transpose("spectrum", "energy")
        chunks = intensity.chunks
        if chunks and np.isnan(chunks[0]).any():
            raise FeedError("feed", "the selection does not know its length", "Call compute_chunk_sizes() on its array")
        self.rows, self.bins = intensity.shape
        if self.rows == 0:
            raise FeedError("feed", "the selection holds no spectrum", "Select more")
        steps = np.cumsum(chunks[0]) if chunks else np.append(np.arange(BLOCK, self.rows, BLOCK), self.rows)
        full = np.diff(steps, prepend=0) > 0
        self.edges: NDArray[np.int64] = np.concatenate(([0], steps[full]))
        """(blocks + 1,) first row of each block, and the number of rows; no block is empty."""
        self._lazy = _tasks(intensity.data, np.flatnonzero(full)) if chunks else None

    def read(self, block: int) -> NDArray[Any]:
        """The rates of a block, (rows, E). What goes wrong in reading it is raised as it is."""
        if self._lazy is not None:
            return np.asarray(self._lazy[block].compute())
        return np.asarray(self._intensity[self.edges[block] : self.edges[block + 1]].values)


def _tasks(array: da.Array, kept: NDArray[np.int64]) -> list[Delayed]:
    """A graph for each block, with what that block needs only: in that Dask would look through that of the whole."""
    (whole,) = optimize(array.rechunk({1: -1}))
    graph = dict(whole.__dask_graph__())
    keys = [keys[0] for keys in whole.__dask_keys__()]
    return [Delayed(keys[block], dict(cull(graph, keys[block])[0])) for block in kept.tolist()]
