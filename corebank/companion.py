"""A linear model on log rates that answers beside the network: what a hundred labels can tell, it tells best.

A network of a million weights needs thousands of labels; on a single lake core the classical model is ahead. So a
quantifier may carry one, and for each proxy the two are mixed in the share that cross-validation found. It is fitted by
`training.evidence`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Companion:
    """A linear model for k proxies over E energy bins, in network units (see `corebank.bundle.Proxy`)."""

    weight: Floats
    """(k, E) per unit of log rate; 0 for bins that it does not look at."""
    intercept: Floats
    """(k,)"""
    middle: Floats
    """(E,) mean log rate of the training spectra; stands in for bins that a spectrum has not measured."""
    offset: Floats
    """() [count/s] added to each rate before the logarithm: half a count in the usual live time."""
    share: Floats
    """(k,) of the companion in what is said together, 0 to 1; the rest is the network's."""

    def say(self, rates: NDArray[Any]) -> Floats:
        """Network units (n, k) of rates (n, E) [count/s], NaN where not measured.

        A spectrum that measured none of the bins it looks at gets NaN.
        """
        logs = log_rates(rates, self.offset)
        known = np.isfinite(logs)
        away = np.where(known, logs - self.middle, 0.0)
        said = away @ self.weight.T + self.intercept
        said[~(known & (self.weight != 0).any(axis=0)).any(axis=1)] = np.nan
        return np.asarray(said)

    def together(self, network: NDArray[Any], rates: NDArray[Any]) -> Floats:
        """What network (n, k) and companion say together; where one of them is silent, the other speaks alone."""
        said, own = np.asarray(network, dtype=np.float64), self.say(rates)
        mixed = np.where(np.isnan(said), own, (1 - self.share) * said + self.share * own)
        return np.where(np.isnan(own), said, mixed)

    def arrays(self) -> dict[str, Floats]:
        """The fields by name, as a bundle stores them."""
        return {field.name: np.asarray(getattr(self, field.name), dtype=np.float64) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Any]) -> Companion:
        """The companion whose `arrays` these are."""
        return cls(**{name: np.asarray(value, dtype=np.float64) for name, value in arrays.items()})


def log_rates(rates: NDArray[Any], offset: float | Floats) -> Floats:
    """ln(rate + offset), rates and offset in count/s; NaN stays, and what a background took below zero counts as 0."""
    return np.asarray(np.log(np.maximum(np.asarray(rates, dtype=np.float64), 0.0) + offset))
