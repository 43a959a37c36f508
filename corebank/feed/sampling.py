"""How often each spectrum appears in an epoch, when some are wanted more often than others.

Systematic sampling (Madow 1949, doi:10.1214/aoms/1177729988): the wanted numbers are laid end to end along the rows,
and a comb with teeth one apart is put down; a row appears as often as teeth fall on it. That is the whole part of its
number, or one more, and the teeth fall evenly along each core. The comb moves by the golden ratio from epoch to epoch,
which of all steps leaves the smallest gaps (Niederreiter 1992, doi:10.1137/1.9781611970081, chapter 3): over any few
epochs every row has come as often as wanted to within a time or two, where fresh chance would leave some out for long.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from corebank.errors import FeedError

GOLDEN = (5**0.5 - 1) / 2
"""Of one, from epoch to epoch."""


class Sampling:
    """Draws, for each epoch, how often each row appears.

    Parameters
    ----------
    times
        (rows,) how often each row is wanted in an epoch: 0 never, 0.25 in every fourth, 3 three times.
    seed
        Where the comb lies in epoch 0.

    Raises
    ------
    FeedError
        When a number is negative or not finite, or all together make no spectrum.
    """

    def __init__(self, times: NDArray[np.float64], seed: int) -> None:
        if times.ndim != 1 or not (np.isfinite(times).all() and (times >= 0).all()):
            raise FeedError("feed times", "not a finite number from 0 on for each spectrum", "Correct the weights")
        self.total = round(float(times.sum()))
        """Appearances in an epoch."""
        if self.total == 0:
            raise FeedError("feed times", "an epoch would hold no spectrum", "Raise the weights, or select more")
        self._whole = np.floor(times).astype(np.int64)
        parts = times - self._whole
        self._broken = np.flatnonzero(parts)
        self._teeth = self.total - int(self._whole.sum())
        self._ends = np.cumsum(_rounded(parts[self._broken], self._teeth))
        self._seed = seed

    def draw(self, epoch: int) -> NDArray[np.int64]:
        """(rows,) appearances of each row in epoch `epoch`: its wanted number rounded down or up, `total` in all."""
        drawn = self._whole.copy()
        if self._teeth:
            begin = (np.random.default_rng((self._seed, 1)).random() + epoch * GOLDEN) % 1
            teeth = np.arange(self._teeth)
            hit = np.searchsorted(self._ends, begin + teeth, side="right")
            # Sums of floats may be off in the last digit. No row has two teeth, none lies beyond the last row.
            hit = np.maximum.accumulate(hit - teeth) + teeth
            hit = np.minimum(hit, len(self._broken) - self._teeth + teeth)
            drawn[self._broken[hit]] += 1
        return drawn


def _rounded(parts: NDArray[np.float64], whole: int) -> NDArray[np.float64]:
    """`parts`, each in (0, 1), changed so little that they sum to `whole` and stay in [0, 1]."""
    total, missing = parts.sum(), len(parts) - whole
    if not len(parts):
        return parts
    if total >= whole:
        return np.asarray(parts * (whole / total))
    return np.asarray(1 - (1 - parts) * (missing / (len(parts) - total)))
