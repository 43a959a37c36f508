"""Spectra of a selection as shuffled batches for a model, streamed block by block.

A selection may be far larger than memory, and single rows of a bank are slow to read, so whole dask blocks are computed
in a random order and their rows pass through a shuffle buffer. The order depends on the seed, the epoch and the sizes
of the blocks only: it is worked out on row numbers before anything is read, which makes it exact to resume.
Shapes as in `corebank.model`: B spectra of a batch, E energy bins, S machine settings.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
import xraylib
from numpy.typing import NDArray

from corebank.errors import FeedError
from corebank.model import CODES, SETTINGS
from corebank.normalize import Normalization

BUFFER = 16_384
"""Rows of the shuffle buffer. Of 60,000 spectra, stored core after core in blocks of 4,096, a batch of 256 then mixes
76 cores; no buffer gives 12, a full permutation 91."""

MEMORY = 2 * 2**30
"""[byte] A selection whose normalised values fit in here is read and normalised once, not once an epoch."""

BLOCK = 1_024
"""Rows of a block where the selection is no dask array."""

AHEAD = 4
"""Batches that a thread makes while the model is busy with one."""


class Batch(NamedTuple):
    """Normalised spectra with what a model wants to know about them."""

    values_BE: torch.Tensor  # noqa: N815  (tensors carry their shape)
    """(B, E) float32, 0 where not measured."""

    measured_BE: torch.Tensor  # noqa: N815
    """(B, E) bool."""

    settings_BS: torch.Tensor  # noqa: N815
    """(B, S) float32, see `settings`."""

    row_B: torch.Tensor  # noqa: N815
    """(B,) int64, positions along ``spectrum`` of the selection."""


class Feed:
    """Batches of a selection, each spectrum exactly once an epoch.

    Parameters
    ----------
    spectra
        ``intensity`` (spectrum, energy) [count/s], NaN where not measured; dask-backed or in memory.
    normalization
        How spectra are scaled.
    batch_size
        Spectra in a batch; the last one of an epoch may hold fewer.
    seed
        Decides the order, together with the number of the epoch.
    buffer
        Rows of the shuffle buffer.

    Raises
    ------
    FeedError
        When the selection is empty, holds no intensity, or names an anode that is no element.
    """

    def __init__(
        self,
        spectra: xr.Dataset,
        *,
        normalization: Normalization,
        batch_size: int,
        seed: int,
        buffer: int = BUFFER,
    ) -> None:
        if "intensity" not in spectra:
            raise FeedError("feed", "the selection has no intensity", "Open it at the intensity level")
        self._intensity = spectra["intensity"].transpose("spectrum", "energy")
        self.rows, bins = self._intensity.shape
        if self.rows == 0:
            raise FeedError("feed", "the selection holds no spectrum", "Select more")
        self._settings = torch.from_numpy(settings(spectra))
        self._normalization, self._batch_size, self._seed, self._buffer = normalization, batch_size, seed, buffer
        chunks = self._intensity.chunks
        sizes = chunks[0] if chunks else [BLOCK] * (self.rows // BLOCK) + [self.rows % BLOCK]
        self._edges = np.concatenate(([0], np.cumsum(sizes)))
        self._kept: dict[int, NDArray[np.float32]] | None = {} if self.rows * bins * 4 <= MEMORY else None

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-self.rows // self._batch_size)

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch `epoch` from number `start` on: exactly those that an unbroken epoch would have given.

        Blocks that matter only to earlier batches are not read.
        """
        batches = self._batches(epoch, start)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="feed") as thread:
            coming = deque(thread.submit(next, batches, None) for _ in range(AHEAD))
            try:
                while (batch := coming.popleft().result()) is not None:
                    coming.append(thread.submit(next, batches, None))
                    yield batch
            finally:  # whoever leaves in the middle of an epoch must not wait for the rest of it
                thread.shutdown(cancel_futures=True)

    def _batches(self, epoch: int, start: int) -> Iterator[Batch]:
        blocks, order = self._order(epoch)
        order = order[start * self._batch_size :]
        needed = np.zeros(self.rows, dtype=bool)
        needed[order] = True
        coming = iter([block for block in blocks if needed[self._span(block)].any()])
        pool: dict[int, NDArray[np.float32]] = {}
        for first in range(0, len(order), self._batch_size):
            rows = order[first : first + self._batch_size]
            while not pool.keys() >= set(rows.tolist()):
                block = next(coming)
                for row, values in enumerate(self._read(block), start=self._span(block).start):
                    if needed[row]:
                        pool[row] = values.copy()  # a view would keep its block alive until the last row has left
            spectra = torch.from_numpy(np.stack([pool.pop(row) for row in rows.tolist()]))
            row_B = torch.from_numpy(rows)  # noqa: N806
            yield Batch(spectra.nan_to_num(0), spectra.isfinite(), self._settings[row_B], row_B)

    def _order(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The order of the blocks, and of the rows as they leave the shuffle buffer."""
        random = np.random.default_rng((self._seed, epoch))
        blocks = random.permutation(len(self._edges) - 1)
        buffer, left = np.empty(0, dtype=np.int64), []
        for block in blocks:
            span = self._span(block)
            buffer = random.permutation(np.concatenate((buffer, np.arange(span.start, span.stop))))
            left.append(buffer[self._buffer :])
            buffer = buffer[: self._buffer]
        return blocks, np.concatenate([*left, buffer])

    def _span(self, block: int) -> slice:
        """The rows of a block."""
        return slice(int(self._edges[block]), int(self._edges[block + 1]))

    def _read(self, block: int) -> NDArray[np.float32]:
        """Normalised values of a block, (rows, E), NaN where not measured."""
        if self._kept is not None and block in self._kept:
            return self._kept[block]
        values, measured = self._normalization(self._intensity[self._span(block)].values)
        values[~measured] = np.nan
        if self._kept is not None:
            self._kept[block] = values
        return values


def settings(spectra: xr.Dataset) -> NDArray[np.float32]:
    """Machine settings of each spectrum, (spectrum, 6) in the order of `corebank.model.SETTINGS`; NaN = unknown.

    Anodes become atomic numbers; names of filters and heads become a hash (CRC-32 of the text in lower case, modulo
    64), which is the same on every machine and needs no list to travel with the model. A variable that the dataset
    lacks is unknown. Raises `FeedError` for an anode that is no element.
    """
    columns = np.full((spectra.sizes["spectrum"], len(SETTINGS)), np.nan, dtype=np.float32)
    for column, name in enumerate(SETTINGS):
        if name not in spectra:
            continue
        if name in ("anode", "filter", "head"):
            texts, inverse = np.unique(spectra[name].values.astype(str), return_inverse=True)
            codes = [_atomic_number(text) if name == "anode" else _code(text) for text in texts.tolist()]
            columns[:, column] = np.array(codes, dtype=np.float32)[inverse]
        else:
            columns[:, column] = spectra[name].values
    return columns


def _atomic_number(symbol: str) -> float:
    if not symbol:
        return np.nan
    try:
        return float(xraylib.SymbolToAtomicNumber(symbol))
    except ValueError as error:
        raise FeedError("feed", f"anode {symbol!r} is no element", "Correct the anode in the contribution") from error


def _code(text: str) -> float:
    return float(zlib.crc32(text.lower().encode()) % CODES) if text else np.nan
