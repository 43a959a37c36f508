"""What the known spectra look like: a mean, a few patterns that mix, and noise; and how far a spectrum is from that.

A spectrum can be foreign in two ways. It may mix known patterns as none has before, or hold what no mixture of them
explains: the two distances of multivariate process control (Hotelling's T2 and the residual; Jackson & Mudholkar 1979,
Technometrics 21, 341). Bins are averaged in groups, about as wide as a detector resolves, so that counting noise does
not drown a line. Only measured bins take part: the amounts of the patterns are the most probable ones given what was
measured (Tipping & Bishop 1999, J. R. Stat. Soc. B 61, 611), with noise that differs along the energy axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GROUPS = 256
"""Most groups of bins along an energy axis: 160 eV each on the usual grid, a little more than the width of a line."""

PATTERNS = 16
"""Patterns that mix. On virtual cores 8 to 24 found foreign ones as well; 64 learnt the noise."""

ROUNDS = 3
"""Times that bins which some spectra did not measure are filled in from what the others show."""

FLOOR = 1e-2
"""Least noise of a group, as a share of the median group's: a bin that never varied in training may yet vary."""

SMALLEST = 1e-9
"""Least scale of anything: identical spectra must not divide by zero."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shape:
    """Statistics of known spectra; G groups of bins, k patterns, all of normalised values."""

    mean: Floats
    """(G,)"""
    scale: Floats
    """Standard deviation of each group, (G,); infinite where the known spectra measured nothing."""
    patterns: Floats
    """Orthonormal, of values over their scale, (k, G)."""
    spread: Floats
    """Standard deviation of the amount of each pattern, (k,)."""
    noise: Floats
    """Standard deviation, over the scale, of what the patterns leave, (G,)."""

    def distances(self, values: NDArray[Any], measured: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """How unusual the mixture of each spectrum is, and what no mixture explains, both (n,) and about 1 for known.

        Takes normalised values (n, E) and the mask of measured bins (n, E). Both distances are norms of linear maps of
        the difference to the mean: they grow along every way that leads straight away from it.
        """
        grouped, known = group(values, measured)
        known &= np.isfinite(self.scale)
        away = np.where(known, (grouped - self.mean) / self.scale, 0)
        mixture, rest = np.zeros(len(away)), np.zeros(len(away))
        masks, which = np.unique(known, axis=0, return_inverse=True)
        for number, mask in enumerate(masks):
            rows = np.flatnonzero(which.reshape(-1) == number)
            if not mask.any():
                continue
            patterns, precise = self.patterns[:, mask], 1 / self.noise[mask]
            weighted = patterns * precise**2
            amounts = np.linalg.solve(
                weighted @ patterns.T + np.diag(self.spread**-2.0), weighted @ away[np.ix_(rows, mask)].T
            )
            mixture[rows] = np.sqrt(np.square(amounts.T / self.spread).mean(axis=1))
            left = (away[np.ix_(rows, mask)] - amounts.T @ patterns) * precise
            rest[rows] = np.sqrt(np.square(left).mean(axis=1))
        return mixture, rest

    def arrays(self) -> dict[str, Floats]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Shape:
        """The statistics whose `arrays` these are."""
        return cls(**{name: np.asarray(value, dtype=np.float64) for name, value in arrays.items()})


def learn(values: NDArray[Any], measured: NDArray[np.bool_]) -> Shape:
    """The statistics of known spectra, from normalised values (n, E) and the mask of measured bins (n, E), n > 1."""
    grouped, known = group(values, measured)
    count = known.sum(axis=0)
    seen = count > 1
    mean = np.where(known, grouped, 0).sum(axis=0) / np.maximum(count, 1)
    away = np.where(known & seen, grouped - mean, 0)
    deviation = np.sqrt(np.square(away).sum(axis=0) / np.maximum(count, 1))
    typical = float(np.median(deviation[seen])) if seen.any() else 1.0
    scale = np.where(seen, np.maximum(deviation, max(FLOOR * typical, SMALLEST)), np.inf)
    away /= scale
    k = min(PATTERNS, (min(away.shape) + 1) // 2)
    for _ in range(ROUNDS):
        patterns = np.linalg.svd(away, full_matrices=False)[2][:k]
        amounts = away @ patterns.T
        fitted = amounts @ patterns
        left = np.where(known, away - fitted, 0)
        if known[:, seen].all():
            break
        away = np.where(known & seen, away, np.where(seen, fitted, 0))
    noise = np.sqrt(np.square(left).sum(axis=0) / np.maximum(count, 1))
    usual = float(np.median(noise[seen])) if seen.any() else 1.0
    return Shape(
        mean=mean,
        scale=scale,
        patterns=patterns,
        spread=np.maximum(np.sqrt(np.square(amounts).mean(axis=0)), SMALLEST),
        noise=np.maximum(noise, max(FLOOR * usual, SMALLEST)),
    )


def group(values: NDArray[Any], measured: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Means over groups of neighbouring bins, (n, G), and which groups were measured as a whole, (n, G)."""
    size = max(values.shape[1] // GROUPS, 1)
    starts = np.arange(0, values.shape[1], size)
    whole = np.logical_and.reduceat(measured, starts, axis=1)
    widths = np.diff(np.append(starts, values.shape[1]))
    total = np.add.reduceat(np.where(measured, values, 0), starts, axis=1, dtype=np.float64)
    return np.where(whole, total / widths, 0), whole
