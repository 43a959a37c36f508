"""Labels with the spectra of their depth intervals, in memory, and the random variations of them to learn from.

A hundred labels are few for a network. Each time one is learnt, a random part of its spectra is averaged, counted anew
(Poisson), and mixed with another label of the same machine, whose value is mixed in the same shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from corebank import labels as matching
from corebank.bundle import Proxy
from corebank.feed import settings
from corebank.labels import Labels

Floats = NDArray[np.float64]

BINS = 10
"""Equal parts of a proxy's range among which rare values are told from common ones."""


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


def match(
    spectra: xr.Dataset,
    measurements: pd.DataFrame,
    proxies: Sequence[str],
    within: float,
) -> Labels:
    """`corebank.labels.match`, with intervals that reach `within` mm further up and down.

    The value of an interval stands for the mean over its spectra: each of them weighs the same.
    """
    if not within:
        return matching.match(spectra, measurements, proxies)
    wider = measurements.assign(
        depth_top=measurements["depth_top"] - within,
        depth_bottom=measurements["depth_bottom"] + within,
    )
    return matching.match(spectra, wider, proxies)


def of_one_unit(labels: Labels, depth: Floats, names: NDArray[np.str_]) -> Labels:
    """`labels`, which all have spectra, without the spectra of another unit than the one nearest to the middle.

    An interval at the edge of a section may hold spectra of the next; it must not be on both sides of a split. `depth`
    [mm] and `names` of the unit are those of each spectrum.
    """
    rows = []
    for row, middle in zip(labels.rows, middles(labels), strict=True):
        nearest = row[np.argmin(np.abs(depth[row] - middle))]
        rows.append(row[names[row] == names[nearest]])
    return replace(labels, rows=tuple(rows))


def middles(labels: Labels) -> Floats:
    """(n,) middle of each interval [mm]."""
    return np.asarray(labels.intervals[["depth_top", "depth_bottom"]].mean(axis=1), dtype=np.float64)


def shares(values: Floats, proxies: Sequence[Proxy], balance: float) -> Floats:
    """How often each of n intervals is drawn, (n,) adding up to 1, so that rare values are learnt oftener.

    Parameters
    ----------
    values
        Laboratory values, (n, k) [unit]; NaN where there is none.
    proxies
        Their scales, k of them: rare is what lies in a tenth of the range, in network units, with few labels.
    balance
        A tenth that holds m of n labels is drawn in proportion to ``m ** (1 - balance)``.

    Notes
    -----
    With several proxies an interval weighs the mean over those that it has a label of, each scaled to a mean of 1 over
    its own labels; an interval without a label of any of them weighs 1.
    """
    weights = np.full(values.shape, np.nan)
    for column, (proxy, one) in enumerate(zip(proxies, values.T, strict=True)):
        labelled = np.isfinite(one)
        if not labelled.any():
            continue
        scaled = proxy.forward(one[labelled])
        edges = np.linspace(scaled.min(), scaled.max(), BINS + 1)[1:-1]
        place = np.searchsorted(edges, scaled, side="right")
        rarity = np.bincount(place, minlength=BINS)[place] ** -balance
        weights[labelled, column] = rarity / rarity.mean()
    labelled = np.isfinite(weights)
    mean = np.where(labelled, weights, 0).sum(axis=1) / np.maximum(labelled.sum(axis=1), 1)
    drawn = np.where(labelled.any(axis=1), mean, 1.0)
    return np.asarray(drawn / drawn.sum())


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
