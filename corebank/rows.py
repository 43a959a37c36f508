"""Choosing rows of a lazy dataset in such a way that no block of its store is read twice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from corebank.errors import FeedError


def aligned(spectra: xr.Dataset, rows: NDArray[np.integer[Any]] | Sequence[int]) -> xr.Dataset:
    """`spectra.isel(spectrum=rows)` for rising `rows`, whose blocks are still those of the store.

    Dask's own indexing cuts blocks of equal size anew, so that each of them needs two of the store's and every one of
    the store's is read twice. Here a block holds what was kept of one block, and reads its chunks from the first to the
    last of these rows only. Variables that are no dask arrays are indexed as usual.

    Raises `FeedError` for other `rows`.
    """
    wanted = np.asarray(rows)
    if wanted.dtype.kind not in "iu" or (np.diff(wanted) <= 0).any() or (wanted < 0).any():
        raise FeedError("rows", "not rising row numbers", "Sort them, each once; of a mask take np.flatnonzero")
    lazy = [name for name, one in spectra.data_vars.items() if one.chunks and "spectrum" in one.dims]
    chosen = spectra.drop_vars(lazy).isel(spectrum=wanted, missing_dims="ignore")
    for name in lazy:
        variable = spectra[name].variable
        axis = variable.dims.index("spectrum")
        parts = _parts(variable.data, wanted, axis)
        chosen[name] = xr.Variable(variable.dims, da.concatenate(parts, axis=axis), variable.attrs)
    return chosen[list(spectra.data_vars)]


def _parts(array: da.Array, rows: NDArray[np.int64], axis: int) -> list[da.Array]:
    """What is kept of each chunk along `axis`."""
    before: tuple[slice, ...] = (slice(None),) * axis
    parts = [array[(*before, slice(0, 0))]]
    for first, last in pairwise(np.concatenate(([0], np.cumsum(array.chunks[axis]))).tolist()):
        here = rows[np.searchsorted(rows, first) : np.searchsorted(rows, last)]
        if len(here):
            part = array[(*before, slice(int(here[0]), int(here[-1]) + 1))]
            whole = len(here) == part.shape[axis]
            parts.append(part if whole else part[(*before, here - here[0])])
    return parts if len(parts) == 1 else parts[1:]
