"""One score per spectrum: how unlike the spectra that a model has learnt from it is, and in which way.

Three distances are looked at (`PARTS`): what the network makes of a spectrum, how its known patterns are mixed, and
what of it no mixture explains. Each is measured in what cores of known kind reach that had no part in the statistics;
the largest counts. The known region is convex: it has no holes, and nothing far away is inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corebank.uncertainty import shapes
from corebank.uncertainty.intervals import half_width
from corebank.uncertainty.shapes import Shape

Floats = NDArray[np.float64]

KNOWN_FLAGGED = 0.05
"""Share of the spectra of known kind that the detector may call outliers."""

AIMED = 0.03
"""Share that the limit is set for. Single collections scatter: set for 0.05, ten virtual ones of 22 cores flagged 0 to
0.19 of the spectra of new cores, 0.059 on average; set for 0.03, 0 to 0.10, 0.031 on average."""

PARTS = {
    "embedding": "the network sees it far from its training spectra",
    "mixture": "known patterns in an unusual mixture",
    "remainder": "something that no mixture of known patterns explains",
}
"""The distances behind a score, and what each means when it is above 1."""

AXES = 16
"""Leading directions of the embedding that get a variance of their own; the rest share one.

Tried on real Itrax spectra (five lake sections, a marine core of another machine, random features): 8 to 32 axes found
foreign and altered spectra as well as the distance to the fifth-nearest training spectrum did, in a fraction of the
space.
"""

FOLDS = 5
"""Groups of cores that are left out in turn to see how far a core of known kind is from the others."""

ALONE = 3.0
"""A core that is this many times farther away when it is left out than when it takes part is the only one of its kind.

It says nothing of new cores of known kind: left in, a single core of a second machine would make everything known.
"""

SHAPE = "shape_"
"""Prefix of the names of the arrays that describe spectra rather than embeddings."""


class Points(NamedTuple):
    """n spectra as a network and the detector see them; W is the width of the embedding, E the number of bins."""

    embeddings: NDArray[Any]
    """(n, W)"""
    values: NDArray[Any]
    """Normalised, (n, E); what they hold where not measured does not matter."""
    measured: NDArray[np.bool_]
    """(n, E)"""

    def at(self, rows: NDArray[Any]) -> Points:
        """Those at `rows`."""
        return Points(self.embeddings[rows], self.values[rows], self.measured[rows])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outlier:
    """What is needed to say how unusual a spectrum is; W is the width of the embedding, k the number of its axes.

    The training embeddings are described by a Gaussian whose covariance has its own variance along the k leading
    principal axes and one shared variance in all other directions (Tipping & Bishop 1999, J. R. Stat. Soc. B 61, 611),
    so that both a rare mixture of known patterns and a pattern never met are far away.
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
    """Distance of each of `PARTS` beyond which a spectrum is an outlier, (3,); () for embeddings alone."""
    shape: Shape | None = None
    """What the training spectra look like; None for a detector that knows embeddings alone."""

    def score(
        self, embeddings: ArrayLike, values: NDArray[Any] | None = None, measured: NDArray[np.bool_] | None = None
    ) -> Floats:
        """How unlike the known spectra each spectrum is, (n,): the largest of its `parts`; above 1 is an outlier."""
        return np.asarray(np.max(list(self.parts(embeddings, values, measured).values()), axis=0))

    def parts(
        self, embeddings: ArrayLike, values: NDArray[Any] | None = None, measured: NDArray[np.bool_] | None = None
    ) -> dict[str, Floats]:
        """Each distance over its threshold, by the names of `PARTS`, (n,) each.

        Parameters
        ----------
        embeddings
            (n, W).
        values, measured
            Normalised values and the mask of measured bins, (n, E); without them only embeddings are looked at.
        """
        distances = self.distances(embeddings, values, measured)
        limits = np.broadcast_to(self.threshold, len(PARTS))
        return {name: one / limit for (name, one), limit in zip(distances.items(), limits, strict=False)}

    def distances(
        self, embeddings: ArrayLike, values: NDArray[Any] | None, measured: NDArray[np.bool_] | None
    ) -> dict[str, Floats]:
        """The distances themselves, before a threshold, in the order of `PARTS`."""
        away = np.asarray(embeddings, dtype=np.float64) - self.mean
        along = away @ self.axes.T
        beside = np.maximum((away**2).sum(1) - (along**2).sum(1), 0)
        found = {"embedding": np.sqrt(((along / self.spread) ** 2).sum(1) + beside / self.noise**2)}
        if self.shape is not None and values is not None and measured is not None:
            found["mixture"], found["remainder"] = self.shape.distances(values, measured)
        return found

    def arrays(self) -> dict[str, Floats]:
        """The fields by name, as a bundle stores them."""
        own = {name: np.asarray(getattr(self, name)) for name in ("mean", "axes", "spread", "noise", "threshold")}
        return own | {SHAPE + name: one for name, one in (self.shape.arrays() if self.shape else {}).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Outlier:
        """The detector whose `arrays` these are."""
        own = {name: np.asarray(one, dtype=np.float64) for name, one in arrays.items() if not name.startswith(SHAPE)}
        of_shape = {name.removeprefix(SHAPE): one for name, one in arrays.items() if name.startswith(SHAPE)}
        return cls(**own, shape=Shape.from_arrays(of_shape) if of_shape else None)


def fit_outlier(
    training: ArrayLike | Points,
    held_out: ArrayLike | Points,
    groups: Sequence[Any],
    *,
    flagged: float = AIMED,
) -> Outlier:
    """Learn what known spectra look like, and where to draw the line.

    Parameters
    ----------
    training
        Spectra that the model was trained on, or their embeddings alone, n > 1.
    held_out
        The same for spectra of other cores of the same kind; the threshold is such that a share `flagged` of a new core
        of that kind is beyond it, as `half_width` counts. With too few of them (a single core, or fewer than 33 spectra
        for 3 %) it is the largest distance among them.
    groups
        The core of each held-out spectrum, (m,).
    """
    detector = _describe(training)
    return _calibrate(detector, _measure(detector, held_out), groups, flagged)


def cross_fit_outlier(points: Points, groups: Sequence[Any], *, flagged: float = AIMED) -> Outlier:
    """The same from the spectra of known cores alone: each core is judged by what the others look like.

    Parameters
    ----------
    points
        Spectra that the model was trained on, more than one, in the order of their depth.
    groups
        The core of each, (n,). A single core is cut into stretches that judge each other.

    Notes
    -----
    A core that is the only one of its kind (`ALONE`) would be as foreign to the others as what is to be found. It is
    judged by statistics in which it takes part, made stricter as much as taking part flatters the other cores.
    """
    names, core = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if len(names) == 1:
        core = np.arange(len(core)) * FOLDS // len(core)
    fold = core % FOLDS  # neighbours in name are often alike: they part, so that what is left knows their kind
    detector = _describe(points)
    inside = _measure(detector, points)
    if len(set(fold.tolist())) < 2 or min((fold != one).sum() for one in set(fold.tolist())) < 2:
        return _calibrate(detector, inside, core.tolist(), flagged)
    outside = np.empty_like(inside)
    for one in sorted(set(fold.tolist())):
        left = _describe(points.at(np.flatnonzero(fold != one)))
        outside[fold == one] = _measure(left, points.at(np.flatnonzero(fold == one)))
    cores = np.unique(core)
    farther = np.array(
        [np.median(outside[core == i], 0) / np.maximum(np.median(inside[core == i], 0), 1e-12) for i in cores]
    )
    alone = (farther > ALONE).any(axis=1)
    if not alone.all():
        flattered = np.maximum(np.median(farther[~alone], axis=0), 1)
        outside = np.where(np.isin(core, cores[alone])[:, None], inside * flattered, outside)
    return _calibrate(detector, outside, core.tolist(), flagged)


def _describe(points: ArrayLike | Points) -> Outlier:
    """The statistics of known spectra, without thresholds."""
    known = np.asarray(points.embeddings if isinstance(points, Points) else points, dtype=np.float64)
    mean = known.mean(0)
    _, singular, directions = np.linalg.svd(known - mean, full_matrices=False)
    variances = singular**2 / (len(known) - 1)
    k = min(AXES, (len(variances) + 1) // 2)
    rest = variances[k:].sum() / max(known.shape[1] - k, 1)
    floor = max(1e-6 * float(variances.sum()) / known.shape[1], 1e-12)  # identical rows must not divide by zero
    return Outlier(
        mean=mean,
        axes=directions[:k],
        spread=np.sqrt(np.maximum(variances[:k], floor)),
        noise=np.asarray(np.sqrt(np.maximum(rest, floor))),
        threshold=np.asarray(1.0),
        shape=shapes.learn(points.values, points.measured) if isinstance(points, Points) else None,
    )


def _measure(detector: Outlier, points: ArrayLike | Points) -> Floats:
    """Distances of `points`, (n, parts)."""
    given = points if isinstance(points, Points) else (points, None, None)
    return np.stack(list(detector.distances(*given).values()), axis=1)


def _calibrate(detector: Outlier, distances: Floats, groups: Sequence[Any], flagged: float) -> Outlier:
    """The detector with thresholds that `distances` (n, parts) of spectra of known kind pass all together."""
    limits = np.array([_limit(one, groups, flagged) for one in distances.T])
    together = _limit((distances / limits).max(axis=1), groups, flagged)
    return replace(detector, threshold=limits * together if len(limits) > 1 else np.asarray(limits[0]))


def _limit(distances: Floats, groups: Sequence[Any], flagged: float) -> float:
    """What a share `flagged` of new cores' distances are beyond; the largest where there are too few to say."""
    limit = half_width(distances, groups, coverage=1 - flagged)
    return max(limit if np.isfinite(limit) else float(distances.max()), shapes.SMALLEST)
