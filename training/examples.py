"""Labels with the spectra of their depth intervals, in memory, and the random variations of them to learn from.

A hundred labels are few for a network. Each time one is learnt, a random part of its spectra is averaged, counted anew
(Poisson), and mixed with another label of the same machine, whose value is mixed in the same shares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from corebank.feed import settings
from corebank.labels import Labels

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examples:
    """n labelled intervals of k proxies; E energy bins, S machine settings."""

    rates: tuple[NDArray[np.float32], ...]
    """The spectra of each interval, (its spectra, E) [count/s], NaN where not measured."""

    live_time: tuple[Floats, ...]
    """Their live times [s], NaN where unknown."""

    settings: tuple[NDArray[np.float32], ...]
    """Their machine settings, (its spectra, S)."""

    values: Floats
    """(n, k) laboratory values, NaN where there is none."""

    def __len__(self) -> int:
        return len(self.rates)

    def __getitem__(self, keep: NDArray[np.intp]) -> Examples:
        """The intervals at the positions `keep`."""
        return Examples(
            rates=tuple(self.rates[i] for i in keep),
            live_time=tuple(self.live_time[i] for i in keep),
            settings=tuple(self.settings[i] for i in keep),
            values=self.values[keep],
        )

    @property
    def means(self) -> Floats:
        """(n, E) mean rate of each interval."""
        return np.stack([rates.mean(axis=0, dtype=np.float64) for rates in self.rates])

    def vary(
        self,
        which: NDArray[np.intp],
        random: np.random.Generator,
        mixup: float,
    ) -> tuple[Floats, NDArray[np.float32], Floats]:
        """A random variation of the intervals `which`: rates (B, E), settings (B, S) and values (B, k).

        `mixup` is the parameter of the Beta distribution of the shares, 0 for none. The larger share stays with the
        interval itself; a mixture with an interval that measured other bins would lose some, and is left out.
        """
        rates = np.stack([self._recount(i, random) for i in which])
        values = self.values[which]
        if mixup:
            share = random.beta(mixup, mixup, len(which))[:, None]
            other = random.permutation(len(which))
            alike = (np.isnan(rates) == np.isnan(rates[other])).all(axis=1, keepdims=True)
            share = np.where(alike, np.maximum(share, 1 - share), 1.0)
            values = np.where(share < 1, share * values + (1 - share) * values[other], values)
            rates = np.where(share < 1, share * rates + (1 - share) * rates[other], rates)
        return rates, np.stack([self.settings[i][0] for i in which]), values

    def _recount(self, i: int, random: np.random.Generator) -> Floats:
        """The mean of a random part of an interval's spectra, as another measurement of that length would find it."""
        some = random.choice(len(self.rates[i]), random.integers(1, len(self.rates[i]) + 1), replace=False)
        rate = self.rates[i][some].mean(axis=0, dtype=np.float64)
        seconds = self.live_time[i][some].sum()
        if not np.isfinite(seconds):
            return np.asarray(rate)
        measured = np.isfinite(rate)
        rate[measured] = random.poisson(np.maximum(rate[measured], 0) * seconds) / seconds
        return np.asarray(rate)


def collect(spectra: xr.Dataset, labels: Labels) -> Examples:
    """Read the spectra of the intervals of `labels`, each of which must have some."""
    rows = np.concatenate(labels.rows)
    wanted, inverse = np.unique(rows, return_inverse=True)
    chosen = spectra.isel(spectrum=wanted)
    rates, live_time, known = chosen["intensity"].values, chosen["live_time"].values, settings(chosen)
    parts = np.split(inverse, np.cumsum([len(row) for row in labels.rows])[:-1])
    return Examples(
        rates=tuple(rates[part] for part in parts),
        live_time=tuple(live_time[part] for part in parts),
        settings=tuple(known[part] for part in parts),
        values=labels.values,
    )
