"""How far a predicted value may be off, and how far a spectrum is from everything a model has seen.

Two things travel in a quantifier's bundle, both calibrated on cores that the model was not trained on: the half width
of its intervals (split conformal prediction) and an `Outlier` detector on its embeddings. Neighbouring spectra of a
core are not independent, so the unit that is exchangeable, and that is counted, is the core.

Sources: Vovk, Gammerman & Shafer (2005), *Algorithmic learning in a random world*; Romano, Patterson & Candès (2019,
NeurIPS) for the split conformal quantile; Lee, Barber & Willett (2023, arXiv 2306.06342) for groups; Tipping & Bishop
(1999, J. R. Stat. Soc. B 61, 611) for the covariance of the detector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

COVERAGE = 0.9
"""Share of values that an interval is to hold."""

KNOWN_FLAGGED = 0.05
"""Share of the spectra of known kind that the detector may call outliers."""

AXES = 16
"""Leading directions of the embedding that get a variance of their own; the rest share one.

Tried on real Itrax spectra (five lake sections, a marine core of another machine, random features): 8 to 32 axes found
foreign and altered spectra as well as the distance to the fifth-nearest training spectrum did, in a fraction of the
space.
"""


def half_width(residuals: ArrayLike, groups: Sequence[Any], *, coverage: float = COVERAGE) -> float:
    """Half width of an interval that holds a share `coverage` of the values of a new core.

    Parameters
    ----------
    residuals
        Measured minus predicted, (n,), in the units in which the interval is to be symmetric; from cores that the model
        was not trained on. NaN are left out.
    groups
        The core of each residual, (n,).

    Returns
    -------
    float
        In the units of `residuals`; NaN when there are too few to say (fewer than 9 of them for 90 %).

    Notes
    -----
    From ``ceil(1 / (1 - coverage)) - 1`` cores on (9 for 90 %), every core weighs the same, the new core is counted as
    one more whose residuals may be infinite, and the interval holds its share over new cores whatever their
    distribution (Lee, Barber & Willett, hierarchical conformal prediction); with one residual a core it is the
    ``ceil((n + 1) * coverage)``-th smallest, as in Romano et al. With fewer cores nothing can be promised about a new
    one. The width is then that quantile over all residuals, or the one of the worst core that can give it, whichever is
    larger: a description of the held-out cores, not a guarantee.
    """
    distance = np.abs(np.asarray(residuals, dtype=np.float64))
    names, core = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    kept = ~np.isnan(distance)
    distance, core = distance[kept], core[kept]
    members = [distance[core == i] for i in range(len(names)) if (core == i).any()]
    if guaranteed(len(members), coverage=coverage):
        weights = np.concatenate([np.full(len(one), 1 / len(one)) for one in members]) / (len(members) + 1)
        return _quantile(np.concatenate(members), weights, coverage)
    widths = [_quantile(one, np.full(len(one), 1 / (len(one) + 1)), coverage) for one in [distance, *members]]
    return float(max((width for width in widths if np.isfinite(width)), default=np.nan))


def guaranteed(cores: int, *, coverage: float = COVERAGE) -> bool:
    """Whether so many held-out cores are enough for a statement about a new one, see `half_width`."""
    return cores / (cores + 1) >= coverage - 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outlier:
    """What is needed to say how unusual an embedding is; W is the width of the embedding, k the number of its axes.

    The training embeddings are described by a Gaussian whose covariance has its own variance along the k leading
    principal axes and one shared variance in all other directions, so that both a rare mixture of known patterns and a
    pattern never met are far away.
    """

    mean: Floats
    """Mean of the training embeddings, (W,)."""
    axes: Floats
    """Orthonormal leading principal axes, (k, W)."""
    spread: Floats
    """Standard deviation along each axis, (k,)."""
    noise: Floats
    """Standard deviation in every other direction, ()."""
    threshold: Floats
    """Distance beyond which an embedding is an outlier, ()."""

    def score(self, embeddings: ArrayLike) -> Floats:
        """Mahalanobis distance of each embedding over the threshold, (n, W) -> (n,); above 1 is an outlier."""
        away = np.asarray(embeddings, dtype=np.float64) - self.mean
        along = away @ self.axes.T
        beside = np.maximum((away**2).sum(1) - (along**2).sum(1), 0)
        distance = np.sqrt(((along / self.spread) ** 2).sum(1) + beside / self.noise**2)
        return np.asarray(distance / self.threshold)

    def arrays(self) -> dict[str, Floats]:
        """The fields by name, as a bundle stores them."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Any]) -> Outlier:
        """The detector whose `arrays` these are."""
        return cls(**{name: np.asarray(value, dtype=np.float64) for name, value in arrays.items()})


def fit_outlier(
    training: ArrayLike, held_out: ArrayLike, groups: Sequence[Any], *, flagged: float = KNOWN_FLAGGED
) -> Outlier:
    """Learn what the embeddings of known spectra look like, and where to draw the line.

    Parameters
    ----------
    training
        Embeddings of spectra that the model was trained on, (n, W), n > 1.
    held_out
        Embeddings of spectra of other cores of the same kind, (m, W); the threshold is the smallest that calls at most
        a share `flagged` of them outliers, counted as in `half_width`. With too few of them for that share (fewer than
        19 for 5 %) it is the largest distance among them.
    groups
        The core of each held-out embedding, (m,).
    """
    known = np.asarray(training, dtype=np.float64)
    mean = known.mean(0)
    _, singular, directions = np.linalg.svd(known - mean, full_matrices=False)
    variances = singular**2 / (len(known) - 1)
    k = min(AXES, (len(variances) + 1) // 2)
    rest = variances[k:].sum() / max(known.shape[1] - k, 1)
    floor = max(1e-6 * float(variances.sum()) / known.shape[1], 1e-12)  # identical rows must not divide by zero
    unscaled = Outlier(
        mean=mean,
        axes=directions[:k],
        spread=np.sqrt(np.maximum(variances[:k], floor)),
        noise=np.sqrt(np.maximum(rest, floor)),
        threshold=np.asarray(1.0),
    )
    distances = unscaled.score(held_out)
    threshold = half_width(distances, groups, coverage=1 - flagged)
    if np.isnan(threshold):
        threshold = float(distances.max())
    return Outlier.from_arrays({**unscaled.arrays(), "threshold": threshold})


def _quantile(values: Floats, weights: Floats, coverage: float) -> float:
    """Smallest value up to which the weights add up to `coverage`; infinite when all of them do not."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) >= coverage - 1e-12  # the sum of 1/n n times is not exactly 1
    return float(values[order][np.argmax(reached)]) if reached.any() else np.inf
