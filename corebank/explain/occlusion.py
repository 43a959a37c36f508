"""What a prediction loses when the lines of an element are taken out of the spectrum.

A window is not set to zero, which no detector ever measured, nor declared unmeasured, which a network has learnt to
work around: its bins get the rate that the background beside it lets expect. What a model then says less is the effect
of the element. Arrays are (spectrum, energy) in count/s, NaN where not measured.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from corebank.explain.lines import Windows

Floats = NDArray[np.float64]
Rates = NDArray[np.float32]

Normalise = Callable[[Rates], tuple[Rates, NDArray[np.bool_]]]
"""Rates (n, E) -> what a network reads (n, E), and which bins were measured, as `corebank.normalize.Normalization`."""

Ask = Callable[[Rates, NDArray[np.bool_], Rates], Floats]
"""Normalised values, measured bins and the rates behind them, (n, E) -> network units (n, k)."""

LEAST = 0.01
"""[count/s] Smaller rates count as this in a logarithm: a tenth of a photon in an exposure of ten seconds."""


class Effects(NamedTuple):
    """What occlusion found for n spectra, k proxies and L parts: G groups of lines, then all that lies outside."""

    intact: Floats
    """(n, k) What the model says of the spectra as they are [network units]."""
    occluded: Floats
    """(n, k, L) What it says without each part [network units]; NaN where the network sees nothing of a part."""
    without: Floats
    """(n, k) What it says without all G groups at once [network units]."""
    change: Floats
    """(n, L) By how much each occlusion changes what the network reads: the length of the difference."""

    @property
    def shares(self) -> Floats:
        """(n, k, L) Size of each effect over the sum of their sizes; NaN where nothing has an effect."""
        sizes = np.abs(self.intact[..., None] - self.occluded)
        return _ratio(sizes, np.nansum(sizes, axis=2, keepdims=True))

    @property
    def interaction(self) -> Floats:
        """(n, k) How far the effects of the groups fail to add up to that of all at once, over the sum of their sizes.

        0 for a linear model. Near 1 as much is done by elements together as by each alone.
        """
        effects = self.intact[..., None] - self.occluded[..., :-1]
        together = self.intact - self.without
        return _ratio(np.abs(together - np.nansum(effects, axis=2)), np.nansum(np.abs(effects), axis=2))


@dataclass(frozen=True, slots=True, eq=False)
class _Stretch:
    """Neighbouring bins that get a new course, and those whose rates decide it."""

    bins: slice
    ends: tuple[tuple[slice, ...], tuple[slice, ...]]
    """The bins that are averaged for its start and for its end; of several averages the lowest counts."""
    at: tuple[float, float]
    """Where start and end lie, in bins."""


def effects(ask: Ask, normalise: Normalise, rates: Rates, visible: NDArray[np.bool_], windows: Windows) -> Effects:
    """Occlude one group of `windows` after the other, then what lies outside of them, then all groups at once.

    The occluded spectrum is normalised as any other: where a tall line decides the scale, losing it changes how the
    rest is seen, and that is part of what the line does. One pass through the network for each.

    Parameters
    ----------
    ask
        The model.
    normalise
        What stands before it.
    rates
        (n, E) [count/s], NaN where not measured.
    visible
        (n, E) The bins that the network looks at; it leaves out patches that were not measured as a whole.
    windows
        Of the machine that measured all of `rates`.
    """
    base = background(rates, windows)
    read, measured = normalise(rates)
    intact = ask(read, measured, rates)
    groups = len(windows.groups)
    occluded = np.full((*intact.shape, groups + 1), np.nan)
    change = np.full((len(rates), groups + 1), np.nan)
    for part in range(groups + 1):
        mine = windows.owner == (part if part < groups else -1)
        seen = visible[:, mine].any(axis=1)
        if seen.any():
            left = np.where(mine, base if part < groups else straightened(rates, windows), rates)
            new, _ = normalise(left)
            occluded[seen, :, part] = ask(new, measured, left)[seen]
            change[seen, part] = np.sqrt(np.square(new - read, dtype=np.float64).sum(axis=1))[seen]
    return Effects(intact, occluded, ask(*normalise(base), base), change)


def background(rates: Rates, windows: Windows) -> Rates:
    """`rates` with every window filled by what its shoulders let expect; outside of the windows they stay.

    A window is crossed by a straight line in the logarithm of the rate, as bremsstrahlung and the tail of a scattered
    peak run over so short a way. The line begins and ends at the mean rate of the bins beside the window
    (`Windows.shoulder` of them). Where the next window is nearer than that, it begins in the valley between the two:
    at the lowest of three such means, around the border and to both sides of it.
    """
    return _filled(rates, _windows(windows))


def straightened(rates: Rates, windows: Windows) -> Rates:
    """`rates` with each stretch between two windows replaced by a straight line in the logarithm between its ends.

    The ends are those of what was measured.
    """
    out = rates.copy()
    for first, end in _runs(windows.owner):
        if windows.owner[first] >= 0:
            continue
        old = rates[:, first:end]
        measured = np.isfinite(old)
        wide = min(int(windows.shoulder[first]), (end - first + 1) // 2)
        from_left, from_right = measured.cumsum(axis=1), measured[:, ::-1].cumsum(axis=1)[:, ::-1]
        start = _log_mean(np.where(from_left <= wide, old, np.nan))[:, None]
        stop = _log_mean(np.where(from_right <= wide, old, np.nan))[:, None]
        share = (from_left - 0.5) / np.maximum(from_left[:, -1:], 1)
        out[:, first:end] = np.where(measured, np.exp(start * (1 - share) + stop * share), old)
    return out


def _filled(rates: Rates, stretches: Iterator[_Stretch]) -> Rates:
    """`rates` with a straight line, in the logarithm, over each stretch; level where one end is unknown."""
    out = rates.copy()
    for stretch in stretches:
        start, end = (np.fmin.reduce([_log_mean(rates[:, one]) for one in about])[:, None] for about in stretch.ends)
        start, end = np.where(np.isnan(start), end, start), np.where(np.isnan(end), start, end)
        share = (np.arange(stretch.bins.start, stretch.bins.stop) - stretch.at[0]) / (stretch.at[1] - stretch.at[0])
        old = rates[:, stretch.bins]
        course = np.exp(start * (1 - share) + end * share)
        out[:, stretch.bins] = np.where(np.isfinite(old) & np.isfinite(course), course, old)
    return out


def _windows(windows: Windows) -> Iterator[_Stretch]:
    """Each window with its shoulders."""
    runs, bins = list(_runs(windows.owner)), len(windows.owner)
    free = [windows.owner[first] < 0 for first, _ in runs]
    for place, (first, end) in enumerate(runs):
        if free[place]:
            continue
        wide = int(windows.shoulder[first])
        before = first - runs[place - 1][0] if place and free[place - 1] else 0
        after = runs[place + 1][1] - end if place + 1 < len(runs) and free[place + 1] else 0
        left = (slice(first - wide, first),) if before >= wide else _valley(first - before / 2, wide, bins)
        right = (slice(end, end + wide),) if after >= wide else _valley(end + after / 2, wide, bins)
        # Bin 0 reaches from -0.5 to 0.5: a window of bins first to end - 1 begins at first - 0.5.
        at = (first - 0.5 - min(before, wide) / 2, end - 0.5 + min(after, wide) / 2)
        yield _Stretch(slice(first, end), (left, right), at)


def _valley(border: float, wide: int, bins: int) -> tuple[slice, ...]:
    """Three places of `wide` bins: around a border (in bins) and to both sides of it."""
    starts = [round(border + (side - 1) * wide / 2) for side in (-1, 0, 1)]
    return tuple(slice(max(start, 0), min(start + wide, bins)) for start in starts if -wide < start < bins)


def _runs(owner: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """First bin and end of each run of bins with the same owner."""
    edges = [0, *(np.flatnonzero(np.diff(owner)) + 1).tolist(), len(owner)]
    yield from itertools.pairwise(edges)


def _log_mean(rates: Rates) -> Floats:
    """Logarithm of the mean over the measured bins, (n,); NaN where there are none."""
    measured = np.isfinite(rates)
    count = measured.sum(axis=1)
    total = np.where(measured, rates, 0).sum(axis=1, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.log(np.maximum(total / count, LEAST)))


def _ratio(part: Floats, whole: Floats) -> Floats:
    """`part` over `whole`, NaN where that is nothing."""
    return np.asarray(part / np.where(whole > 0, whole, np.nan))
