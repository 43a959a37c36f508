"""The mapping itself: count rates of one machine from those of another, as a matrix that is narrow in energy.

Three forms, each holding the one before it: one factor for everything; a gain that changes slowly with energy; and
piecewise direct standardisation (Wang, Veltkamp & Kowalski 1991, doi:10.1021/ac00023a016), in which each energy bin of
one machine is a weighted sum of the bins around it of the other. That takes up another detector resolution and an
energy axis that is slightly off. Its weights are drawn towards the gain (ridge regression), so that few pairs do no
harm. Everything is linear in the count rate, as counting is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from corebank.transfer.pairing import Pairs

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

Form = Literal["factor", "gain", "piecewise"]
FORMS: tuple[Form, ...] = get_args(Form)
"""From the simplest to the richest."""

WINDOW = 0.1
"""Half width of the window of energies that a bin is made from [keV]; detectors resolve 0.13 to 0.2 keV."""

SMOOTH = 0.1
"""Standard deviation of the smoothing in energy of the gain [keV]."""

RIDGES = (0.001, 0.01, 0.1, 1.0)
"""Strengths of the pull towards the gain, in units of what the pairs say of each weight."""

FLOOR = 0.05
"""Rate below which the counting noise of a bin is taken as that of so many [count/s]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mapping:
    """Rates of a machine as weighted sums of the rates of another; E bins of the energy axis, W weights a bin."""

    form: Form
    ridge: float
    """Strength of the pull towards the gain; NaN where nothing was pulled."""

    mapped: Bools
    """(E,) bins that both machines measured in every pair; only these are mapped."""

    weights: Floats
    """(E, W) weights of the bins e - W // 2 ... e + W // 2; W is odd; zero where not `mapped`."""

    def __call__(self, rates: Floats) -> Floats:
        """Map rates (n, E) [count/s]; NaN in bins that are not mapped or made from a bin without a measurement."""
        measured = np.isfinite(rates)
        half = self.weights.shape[1] // 2
        padded = np.pad(np.where(measured, rates, 0.0), ((0, 0), (half, half)))
        gaps = np.pad(~measured, ((0, 0), (half, half)))
        out = np.zeros(rates.shape)
        missing = np.zeros(rates.shape, dtype=bool)
        for offset, weight in enumerate(self.weights.T):
            window = slice(offset, offset + rates.shape[1])
            out += padded[:, window] * weight
            missing |= gaps[:, window] & (weight != 0)
        return np.where(missing | ~self.mapped, np.nan, np.maximum(out, 0.0))


@dataclass(frozen=True, kw_only=True, eq=False)
class Sums:
    """All that a fit needs to know of some pairs, so that fits on parts of the pairs add parts up."""

    first: Floats
    """(E,) sum of the first machine's rates."""

    second: Floats
    """(E,) sum of the second machine's."""

    gram: Floats
    """(E, W, W) weighted products of the second machine's rates in each window."""

    cross: Floats
    """(E, W) weighted products of these with the first machine's rate."""

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            first=self.first + other.first,
            second=self.second + other.second,
            gram=self.gram + other.gram,
            cross=self.cross + other.cross,
        )


class Fitter:
    """Fits mappings to any of the groups of some pairs.

    Parameters
    ----------
    pairs
        What to learn from.
    groups
        (n,) the number of the group of each pair.
    step
        Width of an energy bin [keV].
    """

    def __init__(self, pairs: Pairs, groups: NDArray[np.int64], step: float) -> None:
        self.mapped: Bools = np.isfinite(np.concatenate([pairs.first, pairs.second])).all(axis=0)
        self._half = max(1, round(WINDOW / step))
        self._smooth = SMOOTH / step
        self._pairs, self._groups = pairs, groups

    @cached_property
    def _sums(self) -> list[Sums]:
        first, second = (np.where(self.mapped, side, 0.0) for side in (self._pairs.first, self._pairs.second))
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(second, ((0, 0), (self._half, self._half))), 2 * self._half + 1, axis=1
        )
        precision = self._pairs.second_seconds[:, None] / np.maximum(smoothed(second, self._smooth), FLOOR)
        parts = []
        for group in range(int(self._groups.max()) + 1):
            mine = self._groups == group
            known = windows[mine].transpose(1, 0, 2)  # (E, pairs, W)
            weighted = (known * precision[mine].T[:, :, None]).transpose(0, 2, 1)
            parts.append(
                Sums(
                    first=first[mine].sum(axis=0),
                    second=second[mine].sum(axis=0),
                    gram=weighted @ known,
                    cross=(weighted @ first[mine].T[:, :, None])[:, :, 0],
                )
            )
        return parts

    def fit(self, form: Form, ridge: float, groups: list[int]) -> Mapping:
        """The mapping of this form that the pairs of `groups` ask for."""
        known = self._sums[groups[0]]
        for group in groups[1:]:
            known = known + self._sums[group]
        weights = np.zeros((len(self.mapped), 2 * self._half + 1))
        if form == "factor":
            weights[:, self._half] = known.first.sum() / known.second.sum()
        else:
            gain = smoothed(known.first, self._smooth) / np.maximum(smoothed(known.second, self._smooth), 1e-9)
            weights[:, self._half] = gain
            if form == "piecewise":
                weights += self._pulled(known, gain, ridge)
        weights[~self.mapped] = 0.0
        weights[np.abs(weights) < 1e-12] = 0.0  # of bins that are never measured
        return Mapping(form=form, ridge=ridge if form == "piecewise" else np.nan, mapped=self.mapped, weights=weights)

    def _pulled(self, known: Sums, gain: Floats, ridge: float) -> Floats:
        """(E, W) what the weights differ by from the gain alone."""
        said = np.einsum("eww->ew", known.gram)
        least = 1e-6 * said[:, self._half : self._half + 1] + 1e-9  # a bin that is never measured gets weight zero
        penalty = ridge * np.maximum(said, least)
        left = known.cross - known.gram[:, :, self._half] * gain[:, None]
        pulled = known.gram + penalty[:, :, None] * np.eye(penalty.shape[1])
        return np.asarray(np.linalg.solve(pulled, left[:, :, None])[:, :, 0])


def smoothed(values: Floats, spread: float) -> Floats:
    """`values` (..., E) averaged with Gaussian weights of standard deviation `spread` [bins]; beyond the axis is 0."""
    half = max(1, int(4 * spread))
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / spread) ** 2)
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(half, half)])
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=-1) @ (kernel / kernel.sum()))
