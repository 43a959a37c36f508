"""Where rows wait for their batch: arrays made once, written and read by index.

Rows are normalised as they are written, a few at a time while they are in the processor's cache. A dictionary
with an array for each row would spend its time in Python, holding the lock that the readers wait for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corebank.normalize import Normalization

MEMORY = 384 * 2**20
"""[byte] A selection that fits in here is read and normalised once and not once an epoch; ranks together keep no more.
More would save little: blocks come ten times faster than the smallest network learns from them."""

PIECE = 128
"""Rows normalised at a time: a megabyte, about what a core's second-level cache holds. With fewer, the threads spend
their time on handing Python's lock to each other."""


class Rows(NamedTuple):
    """n rows by E bins."""

    values: NDArray[np.float32]
    """(n, E) normalised, or rates [count/s]; not finite where not measured."""

    mean: NDArray[np.float32]
    """(n, 1) as in `corebank.normalize.Statistics`; unused beside rates."""

    scale: NDArray[np.float32]
    """(n, 1)"""


class Slots:
    """Room for rows, each in a slot of its own.

    Parameters
    ----------
    slots, bins
        How many, of how many energy bins. The memory is the machine's only once a slot is used.
    normalization
        How rows are scaled when they are written; None keeps rates.
    """

    def __init__(self, slots: int, bins: int, normalization: Normalization | None) -> None:
        self._normalization = normalization
        self._rows = Rows(*(np.empty((slots, width), np.float32) for width in (bins, 1, 1)))

    def __len__(self) -> int:
        """Slots."""
        return len(self._rows.values)

    def put(self, slots: NDArray[np.int64], rates: NDArray[Any], rows: NDArray[np.int64]) -> None:
        """Write `rows` (n,) of a block's `rates` (block, E) [count/s] into `slots` (n,)."""
        for first in range(0, len(rows), PIECE):
            self._write(slots[first : first + PIECE], self._scaled(rates[rows[first : first + PIECE]]))

    def made(self, rates: NDArray[Any]) -> Rows:
        """A block's `rates` (block, E) [count/s] as slots hold them."""
        made = Rows(*(np.empty((len(rates), width), np.float32) for width in (self._rows.values.shape[1], 1, 1)))
        for first in range(0, len(rates), PIECE):
            for part, piece in zip(made, self._scaled(rates[first : first + PIECE]), strict=True):
                part[first : first + PIECE] = piece
        return made

    def copy(self, slots: NDArray[np.int64], made: Rows, rows: NDArray[np.int64]) -> None:
        """Write `rows` (n,) of a block that is `made` already into `slots` (n,)."""
        for first in range(0, len(rows), PIECE):
            here = rows[first : first + PIECE]
            self._write(slots[first : first + PIECE], Rows(*(part[here] for part in made)))

    def get(self, slots: NDArray[np.int64]) -> Rows:
        """Copies of what was written into `slots` (n,)."""
        return Rows(*(part.take(slots, axis=0) for part in self._rows))

    def _write(self, slots: NDArray[np.int64], made: Rows) -> None:
        for part, piece in zip(self._rows, made, strict=True):
            part[slots] = piece

    def _scaled(self, rates: NDArray[Any]) -> Rows:
        """Rates (n, E) [count/s] as slots hold them."""
        if self._normalization is None:
            unused = np.zeros((len(rates), 1), np.float32)
            return Rows(rates.astype(np.float32, copy=False), unused, unused)
        values, _, (mean, scale) = self._normalization.marked(rates)
        return Rows(values, mean, scale)
