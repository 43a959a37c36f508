"""Whether a spectrum unlike its neighbours is other matter, or the same matter on an axis that moved.

Energies of the neighbours' bands are looked up in the spectrum under other gains and other zeros. Where its shares then
become those of its neighbours, the axis moved; other matter stays unlike under every axis.
"""

from __future__ import annotations

from typing import NamedTuple

import dask.array as da
import numpy as np

from corebank.quality.statistics import Reference

STRETCHES = np.exp(np.arange(np.log(0.5), np.log(2.0) + 1e-9, 0.0025))
"""Gains that are tried, as shares of the run's: half to double, a fifth of a line's width apart at 6 keV."""

SHIFTS = np.arange(-0.6, 0.6001, 0.01)
"""Shifts that are tried [keV]."""

_READ = 256
"""Spectra read at a time: 2 MB of counts for 2,048 channels."""

_LEFT = 0.6
"""Share of the bands that must stay on the detector under another axis for it to be compared."""


class Realigned(NamedTuple):
    """The axis under which each spectrum is most like its neighbours, all over (spectrum,)."""

    as_it_is: np.ndarray
    """How unlike them it is on the run's axis: root mean square of the logarithms of band shares."""
    stretch: np.ndarray
    """Its gain as a share of the run's, with the zero left where it is."""
    shift: np.ndarray
    """Its shift [keV], with the gain left as it is."""
    by_stretch: np.ndarray
    """How unlike it still is at that gain."""
    by_shift: np.ndarray
    """How unlike it still is at that shift."""


def realigned(counts: np.ndarray | da.Array, rows: np.ndarray, bands: np.ndarray, reference: Reference) -> Realigned:
    """Try other axes on some spectra of a run.

    Parameters
    ----------
    counts
        (spectrum, channel) of the run.
    rows
        Which of its spectra to look at, ascending.
    bands
        (spectrum, band) [count] of the run, in the bands of `reference`.

    Two neighbours on either side that are not in `rows` themselves stand for what the spectrum should be like; the
    nearer side counts.
    """
    if not rows.size:
        none = np.zeros(0)
        return Realigned(none, none, none, none, none)
    sides = _sides(rows, bands)
    parts = [
        _tried(np.asarray(counts[rows[start : start + _READ]]), sides[:, start : start + _READ], reference)
        for start in range(0, rows.size, _READ)
    ]
    return Realigned(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _sides(rows: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Counts by band of what lies above and below each row, (2, row, band); the other side's at the ends."""
    rest = np.setdiff1d(np.arange(bands.shape[0]), rows)
    if not rest.size:
        return np.stack([bands[rows], bands[rows]])
    place = np.searchsorted(rest, rows)
    above = [np.where(place >= step, rest[np.maximum(place - step, 0)], rest[0]) for step in (1, 2)]
    below = [rest[np.minimum(place + step, rest.size - 1)] for step in (0, 1)]
    return np.stack([bands[above[0]] + bands[above[1]], bands[below[0]] + bands[below[1]]])


def _tried(counts: np.ndarray, sides: np.ndarray, reference: Reference) -> tuple[np.ndarray, ...]:
    cumulative = np.zeros((counts.shape[0], counts.shape[1] + 1))
    np.cumsum(counts, axis=1, out=cumulative[:, 1:])
    # Edge e of the bands is the low edge of channel e, half a channel below its centre.
    zero = -reference.offset / reference.gain + 0.5
    stretched = zero + STRETCHES[:, None] * (reference.edges - zero)
    shifted = reference.edges + SHIFTS[:, None] / reference.gain
    same, gain, shift = (
        np.array([_unlike(row, sides[:, number], places) for number, row in enumerate(cumulative)])
        for places in (reference.edges[None, :], stretched, shifted)
    )
    return same[:, 0], STRETCHES[gain.argmin(axis=1)], SHIFTS[shift.argmin(axis=1)], gain.min(axis=1), shift.min(axis=1)


def _unlike(cumulative: np.ndarray, sides: np.ndarray, places: np.ndarray) -> np.ndarray:
    """How unlike the nearer side a spectrum is with band edges at `places` (axis, band + 1); infinite off the axis."""
    channels = cumulative.size - 1
    bands = np.diff(np.interp(places, np.arange(channels + 1), cumulative), axis=1)
    on = (places[:, :-1] >= -1) & (places[:, 1:] <= channels + 1)

    def against(side: np.ndarray) -> np.ndarray:
        apart = np.log((bands + 1) / (side + 1))
        count = np.maximum(on.sum(axis=1), 1)
        mean = (apart * on).sum(axis=1) / count
        return np.asarray(np.sqrt((((apart - mean[:, None]) ** 2) * on).sum(axis=1) / count))

    return np.where(on.mean(axis=1) >= _LEFT, np.minimum(against(sides[0]), against(sides[1])), np.inf)
