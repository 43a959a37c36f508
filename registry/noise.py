"""How much of a difference between two models is noise: blocks of neighbouring labels, drawn again and again.

Labels of one core are no independent witnesses: what makes a model err at 10 cm makes it err at 11 cm. So whole blocks
of neighbours are drawn (moving block bootstrap: Künsch 1989, doi:10.1214/aos/1176347265; the core's two ends joined, so
that every label is drawn equally often: Politis & Romano 1992, in LePage & Billard, Exploring the limits of bootstrap).
Both models are judged on the same draw, so what is hard about a core for both of them cancels.

Two choices were made by simulation, for models whose errors correlate by 0.7 with each other and by 0.5 with their
neighbours' on each core, with an offset of their own on each, and a family of comparisons at 5 %:

- Taking the percentiles of the draws as bounds, the usual way, refuses an equally good candidate in 15 % (60 labels on
  each of 3 cores) to 92 % (8 labels on each of 40) of cases: with few blocks the draws are too alike. The spread of the
  draws is used instead, times the quantile of Student's t with one degree of freedom less than there are blocks.
- Blocks of n^(1/3) labels, best for long series (Hall, Horowitz & Jing 1995, doi:10.1093/biomet/82.3.561), are too
  short for the ten to fifty labels of a core: 9 to 12 % refused. Blocks of n^(1/2) gave 2 to 10 %, and where neighbours
  correlate by 0.8, which no n^(1/2) of ten labels can see, 11 to 22 % in place of 28 to 49 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 2_000
"""Draws of a bootstrap; the standard error that they give is itself off by 1/sqrt(2 * DRAWS) = 1.6 %."""

SEED = 0
"""Of every bootstrap: the same labels give the same verdict, whatever else is judged beside them."""

FEWEST = 6
"""Labels from which on a core is judged by itself: three blocks of two, the fewest with a spread to speak of."""

FEW_CORES = 5
"""Fewer cores are not drawn themselves: their spread would be known by fewer than four degrees of freedom."""


class Increase(NamedTuple):
    """The root mean squared error of one model over that of another, on the same labels."""

    ratio: float
    """Above 1 where the second model is worse."""
    error: float
    """Standard error of ln(`ratio`)."""
    freedom: float
    """Degrees of freedom of `error`."""

    def bound(self, level: float) -> float:
        """Largest ratio that noise alone exceeds in a share `level` of cases, were the two models equally good."""
        return math.exp(min(quantile(level, self.freedom) * self.error, 700.0))  # e^710 is no number any more


def block_length(labels: int) -> int:
    """Neighbouring labels that are drawn together."""
    return max(1, round(math.sqrt(labels)))


def quantile(level: float, freedom: float) -> float:
    """What Student's t with `freedom` degrees of freedom exceeds in a share `level` of cases."""
    from scipy.stats import t

    return float(t.isf(level, freedom))


def single_level(family: float, comparisons: int) -> float:
    """Level of each of so many independent comparisons, when `family` is that of any of them (Šidák 1967)."""
    return float(1 - (1 - family) ** (1 / max(comparisons, 1)))


def increase(before: Floats, after: Floats) -> Increase:
    """Compare two models on the labels of one core, in order of depth.

    Parameters
    ----------
    before, after
        Squared error of each model at each label, (n,), n >= `FEWEST`; the same labels in the same order.
    """
    before, after = _away_from_zero(before, after)
    rows = _draws(len(before))
    drawn = _log_ratio(before[rows].sum(axis=1), after[rows].sum(axis=1))
    blocks = len(before) / block_length(len(before))
    return Increase(_ratio(before, after), float(drawn.std()), blocks - 1)


def pooled(before: Mapping[str, Floats], after: Mapping[str, Floats]) -> Increase:
    """Compare two models on the labels of several cores together.

    From `FEW_CORES` on, cores are drawn, and blocks of labels within each: it speaks of cores like these. With fewer,
    only blocks within each are drawn: it speaks of these cores.

    Parameters
    ----------
    before, after
        Core -> squared error of each model at each label, as for `increase`; the order of the cores plays no role.
    """
    names = sorted(before)
    level = _away_from_zero(
        np.concatenate([before[one] for one in names]), np.concatenate([after[one] for one in names])
    )
    ends = np.cumsum([len(before[one]) for one in names])[:-1]
    sums = np.empty((2, len(names), DRAWS))
    for model, joined in enumerate(level):
        for core, errors in enumerate(np.split(joined, ends)):
            sums[model, core] = errors[_draws(len(errors), core)].sum(axis=1)
    if len(names) < FEW_CORES:
        drawn = _log_ratio(*sums.sum(axis=1))
        freedom = sum(len(before[one]) / block_length(len(before[one])) for one in names) - len(names)
    else:
        random = np.random.default_rng(SEED)
        cores, inside = random.integers(0, [[[len(names)]], [[DRAWS]]], (2, DRAWS, len(names)))
        drawn = _log_ratio(*sums[:, cores, inside].sum(axis=2))
        freedom = len(names) - 1.0
    return Increase(_ratio(*level), float(drawn.std()), max(freedom, 1.0))


def rmse_interval(squares: Floats, level: float = 0.1) -> tuple[float, float]:
    """Interval that holds the root mean squared error of a core but for a share `level` of cases.

    Parameters
    ----------
    squares
        Squared error at each label of one core in order of depth, (n,); NaN are left out.
    level
        Share on both sides together.

    Returns
    -------
    tuple
        Lower and upper end, in the unit of the errors; NaN for fewer than `FEWEST` labels.
    """
    known = squares[np.isfinite(squares)]
    if len(known) < FEWEST:
        return math.nan, math.nan
    shifted, _ = _away_from_zero(known, known)
    drawn = 0.5 * np.log(shifted[_draws(len(known))].mean(axis=1))
    half = quantile(level / 2, len(known) / block_length(len(known)) - 1) * float(drawn.std())
    middle = math.sqrt(float(known.mean()))
    return middle * math.exp(-min(half, 700.0)), middle * math.exp(min(half, 700.0))


def _ratio(before: Floats, after: Floats) -> float:
    return math.exp(float(_log_ratio(before.sum(), after.sum())))


def _log_ratio(before: Any, after: Any) -> NDArray[np.float64]:
    return np.asarray(0.5 * (np.log(after) - np.log(before)))


def _away_from_zero(before: Floats, after: Floats) -> tuple[Floats, Floats]:
    """Both with a millionth of a millionth of the mean square added: a model without any error has no logarithm."""
    floor = 1e-12 * max(float(before.mean()), float(after.mean())) or 1.0
    return before + floor, after + floor


@lru_cache(maxsize=16)  # 8 MB each for a thousand labels
def _draws(labels: int, stream: int = 0) -> NDArray[np.int32]:
    """Rows of (`DRAWS`, labels): blocks of neighbours, the end joined to the start."""
    length = block_length(labels)
    random = np.random.default_rng((SEED, labels, stream))
    starts = random.integers(0, labels, (DRAWS, math.ceil(labels / length), 1))
    rows = (starts + np.arange(length)) % labels
    return np.asarray(rows.reshape(DRAWS, -1)[:, :labels], dtype=np.int32)
