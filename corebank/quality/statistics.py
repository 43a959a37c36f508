"""What is worked out of each block of spectra while its counts are in memory: twice, first alone, then against the run.

The first pass gives totals, hashes and the run's sum spectrum. The second one needs that sum: its peaks are where every
spectrum of the run is expected to have lines, and its quantiles are the bands that spectra are compared in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
from dask.base import compute
from dask.delayed import delayed

from corebank.calibrate import lines

ROWS = 64
"""Spectra looked at together: their running sums, 1 MB for 2,048 channels, stay in a processor's cache. Of 256 they do
not, and each spectrum takes twice as long."""

BANDS = 48
"""Bands that spectra are compared in: each holds the same share of the run's counts."""

TUBE_LINES = {"Mo": (17.44, 0.25), "Cr": (5.41, 0.12), "Rh": (20.17, 0.30), "Ag": (22.1, 0.30)}
"""Anode -> K alpha, scattered by the sample, and half the width of the window it is looked for in [keV]."""

TUBE_SHARES = {"Mo": 0.003, "Cr": 0.01, "Rh": 0.001, "Ag": 0.001}
"""Anode -> least share of a spectrum's counts in that line under a tube of it. Virtual instruments give 0.0036 to 0.026
(Mo), 0.024 to 0.12 (Cr) and 0.0012 to 0.006 (Rh), real Mo runs 0.012 to 0.07; under other tubes the sediment's own
chromium gives 0.0021 at most, noise in the others 0.0005. Silver is taken to be like rhodium."""

ARGON = (2.957, 0.06)
"""K alpha of the air's argon and half the width of its window [keV]; wider ones meet chlorine and potassium."""

STRETCHES = 1 + np.arange(-0.05, 0.0501, 0.001)
SHIFTS = np.arange(-0.2, 0.2001, 0.005)
"""Gains, as shares of the run's, and shifts [keV] that each spectrum is tried with."""


@dataclass(frozen=True, slots=True, eq=False)
class Alone:
    """Statistics of some spectra by themselves, each over (spectrum,)."""

    total: np.ndarray
    """Counts in all, int64."""
    digest: np.ndarray
    """Hash of the counts, 16 bytes."""
    peak: np.ndarray
    """Counts of the fullest channel, int64."""
    at_peak: np.ndarray
    """Channels that hold as many counts as the fullest, int64."""


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """Statistics of some spectra against their run, over (spectrum,) but for `bands`."""

    bands: np.ndarray
    """(spectrum, band) [count]"""
    argon: np.ndarray
    """Net counts of the air's argon line."""
    argon_noise: np.ndarray
    """Their standard deviation."""
    tube: np.ndarray
    """(spectrum, anode) net counts of the K alpha line of each anode of `TUBE_LINES`."""
    tube_noise: np.ndarray
    """(spectrum, anode) their standard deviation."""
    stretch: np.ndarray
    """Gain at which the lines fall on those of the run, as a share of the run's."""
    shift: np.ndarray
    """Shift at which they do [keV]."""
    stretched: np.ndarray
    """How much better the lines fit at that gain than as they are, as a share."""
    shifted: np.ndarray
    """How much better they fit at that shift."""


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What a run's spectra are held against, made of their sum."""

    gain: float
    offset: float
    edges: np.ndarray
    """(band + 1,) first channel of each band, and the end of the last."""
    channels: np.ndarray
    """(line,) where the run has its surest lines."""


def alone(counts: np.ndarray | da.Array) -> tuple[Alone, np.ndarray]:
    """Statistics of each spectrum of ``counts`` (spectrum, channel), and the sum of all, (channel,) int64."""
    parts = _each(_alone, counts)
    whole = Alone(*(np.concatenate([getattr(part, one.name) for part, _ in parts]) for one in fields(Alone)))
    return whole, np.sum([total for _, total in parts], axis=0)


def beside(counts: np.ndarray | da.Array, reference: Reference) -> Beside:
    """Statistics of each spectrum of ``counts`` (spectrum, channel) against its run."""
    parts = _each(partial(_beside, reference=reference), counts)
    return Beside(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Beside)))


def reference(total: np.ndarray, gain: float, offset: float) -> Reference:
    """What a run is held against: bands of equal counts of its sum, and its surest lines with room on both sides."""
    cumulative = np.cumsum(total, dtype=np.float64)
    wanted = np.linspace(0, cumulative[-1], BANDS + 1)
    edges = np.unique(np.r_[0, np.searchsorted(cumulative, wanted[1:-1]) + 1, total.size])
    centres, sure = lines.peaks(total)
    room = (centres * 1.05 + 0.25 / gain < total.size - 1) & (centres * 0.95 - 0.25 / gain > 0)
    return Reference(gain, offset, edges, centres[room & (sure > 20)][:12])


def _each(work: Callable[[np.ndarray], Any], counts: np.ndarray | da.Array) -> list[Any]:
    if isinstance(counts, da.Array) and counts.shape[0]:
        blocks = counts.rechunk({1: -1}).to_delayed().ravel()
        return [part for parts in compute(*(delayed(_pieces)(work, one) for one in blocks)) for part in parts]
    return _pieces(work, np.asarray(counts))


def _pieces(work: Callable[[np.ndarray], Any], counts: np.ndarray) -> list[Any]:
    return [work(counts[start : start + ROWS]) for start in range(0, max(counts.shape[0], 1), ROWS)]


def _alone(counts: np.ndarray) -> tuple[Alone, np.ndarray]:
    counts = np.ascontiguousarray(counts)
    digests = [hashlib.blake2b(row.data, digest_size=16).digest() for row in counts]
    peak = counts.max(axis=1, initial=0)
    part = Alone(
        total=counts.sum(axis=1, dtype=np.int64),
        digest=np.array(digests, dtype="V16"),
        peak=peak.astype(np.int64),
        at_peak=(counts == peak[:, None]).sum(axis=1),
    )
    return part, counts.sum(axis=0, dtype=np.int64)


def _beside(counts: np.ndarray, reference: Reference) -> Beside:
    cumulative = np.zeros((counts.shape[0], counts.shape[1] + 1))
    np.cumsum(counts, axis=1, out=cumulative[:, 1:])
    argon, argon_noise = _net(cumulative, reference, *ARGON)
    tube = [_net(cumulative, reference, *line) for line in TUBE_LINES.values()]
    moved = _moved(cumulative, reference)
    return Beside(
        bands=np.diff(cumulative[:, reference.edges], axis=1),
        argon=argon,
        argon_noise=argon_noise,
        tube=np.stack([net for net, _ in tube], axis=1),
        tube_noise=np.stack([noise for _, noise in tube], axis=1),
        stretch=moved[0],
        shift=moved[1],
        stretched=moved[2],
        shifted=moved[3],
    )


def _net(cumulative: np.ndarray, reference: Reference, energy: float, half: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts of a line above those beside it, and their standard deviation; 0 and 1 where no channel reaches."""
    edges = (energy + half * np.array([-2, -1, 1, 2]) - reference.offset) / reference.gain + 0.5
    if edges[0] < 0 or edges[-1] > cumulative.shape[1] - 1:
        return np.zeros(cumulative.shape[0]), np.ones(cumulative.shape[0])
    left = edges.astype(np.intp)
    share = edges - left
    right = np.minimum(left + 1, cumulative.shape[1] - 1)
    low, first, last, high = (cumulative[:, left] * (1 - share) + cumulative[:, right] * share).T
    middle, sides = last - first, (first - low) + (high - last)
    return middle - sides, np.sqrt(np.maximum(middle + sides, 1.0))


def _moved(cumulative: np.ndarray, reference: Reference) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The gain and the shift at which the run's lines are seen best in each spectrum, and how much better."""
    rows, channels = cumulative.shape[0], cumulative.shape[1] - 1
    if reference.channels.size < 3:
        return np.ones(rows), np.zeros(rows), np.zeros(rows), np.zeros(rows)
    half = max(round(0.075 / reference.gain), 2)  # half the resolution of a silicon detector
    size = channels - 4 * half  # of the channels with room for a line and its sides
    middle = cumulative[:, 3 * half + 1 :][:, :size] - cumulative[:, half:][:, :size]
    both = cumulative[:, 4 * half + 1 :][:, :size] - cumulative[:, :size]
    excess = middle - (both - middle) * (2 * half + 1) / (2 * half)
    sure = np.sqrt(np.maximum(excess, 0) / np.sqrt(np.maximum(both, 1)))  # the root: weak lines count too
    zero = -reference.offset / reference.gain  # channel of 0 keV, which a change of gain leaves where it is
    stretched = zero + STRETCHES[:, None] * (reference.channels - zero)
    shifted = SHIFTS[:, None] / reference.gain + reference.channels

    def seen(places: np.ndarray) -> np.ndarray:
        column = np.clip(np.rint(places).astype(np.intp) - 2 * half, 0, size - 1)
        return np.asarray(sure[:, column.ravel()].reshape(rows, *column.shape).sum(axis=2))

    as_it_is = np.maximum(seen(reference.channels[None, :])[:, 0], 1e-9)
    by_gain, by_shift = seen(stretched), seen(shifted)
    return (
        STRETCHES[by_gain.argmax(axis=1)],
        SHIFTS[by_shift.argmax(axis=1)],
        by_gain.max(axis=1) / as_it_is - 1,
        by_shift.max(axis=1) / as_it_is - 1,
    )
