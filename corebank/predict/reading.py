"""Spectra of a selection in their order, block by block, normalised while the network is busy with those before.

Whole dask blocks are read, one after the other, and cut into pieces; a thread reads and normalises a few pieces ahead.
So memory holds a block or two, whatever the size of the selection, and the network hardly ever waits: reading a bank
gives 50,000 spectra/s, a small network answers 1,000.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from corebank import bundle, schema, transfer
from corebank.predict.refusing import refuse_rates

PIECE = 1_024
"""Spectra that are normalised and handed over at once: 8 MB of float32 by 2,048 bins."""

AHEAD = 3
"""Pieces that wait for the network; few, so that little is held, and more than one, so that a slow read is hidden."""

COLUMNS = (*schema.SPECTRUM, *schema.PROVENANCE, transfer.COLUMN)
"""Columns of the spectra that a prediction may need."""


class Piece(NamedTuple):
    """Some neighbouring spectra, ready for the network; n spectra, E energy bins."""

    values: NDArray[np.float32]
    """(n, E) normalised rates, 0 where not measured."""

    measured: NDArray[np.bool_]
    """(n, E)"""

    rates: NDArray[np.float32]
    """(n, E) [count/s], NaN where not measured."""

    columns: xr.Dataset
    """Their columns, in memory, as far as the selection has them."""


def pieces(model: bundle.Bundle, spectra: xr.Dataset) -> Iterator[Piece]:
    """The spectra in order; raises `PredictError` at the first rate that is none, see `refuse_rates`."""
    coming = _pieces(model, spectra)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict") as thread:
        waiting = deque(thread.submit(next, coming, None) for _ in range(AHEAD))
        try:
            while (piece := waiting.popleft().result()) is not None:
                waiting.append(thread.submit(next, coming, None))
                yield piece
        finally:  # whoever leaves early must not wait for what was asked ahead
            thread.shutdown(cancel_futures=True)


def _pieces(model: bundle.Bundle, spectra: xr.Dataset) -> Iterator[Piece]:
    kept = [name for name in COLUMNS if name in spectra and spectra[name].dims == ("spectrum",)]
    wanted = spectra[["intensity", *kept]].transpose("spectrum", "energy")
    for span in spans(wanted["intensity"]):
        block = wanted.isel(spectrum=span).compute()  # rates and columns in one go
        rates = block["intensity"].values
        columns = block[kept].assign_coords(spectrum=np.arange(span.start, span.stop))  # without columns there are rows
        refuse_rates(model, rates, columns, span.start)
        for start in range(0, len(rates), PIECE):
            some = slice(start, start + PIECE)
            yield Piece(*model.normalization(rates[some]), rates[some], columns.isel(spectrum=some))


def spans(intensity: xr.DataArray) -> Iterator[slice]:
    """Rows that are read at once: a dask block, or as many small ones as make a piece; a piece where there are none."""
    rows = intensity.sizes["spectrum"]
    sizes: Any = intensity.chunksizes.get("spectrum")
    ends = np.cumsum(sizes).tolist() if sizes else [*range(PIECE, rows, PIECE), rows]
    start = 0
    for end in ends:
        if end - start >= PIECE or end == rows:
            yield slice(start, end)
            start = end
        if start == rows:
            return
