"""The half width of an interval: conformal prediction whose exchangeable unit is the core.

With one residual a core the classical quantile (Vovk, Gammerman & Shafer 2005, *Algorithmic learning in a random
world*) promises its share whatever the distribution. With many residuals of few cores, the promise of its hierarchical
form (Lee, Barber & Willett 2023, arXiv 2306.06342) is paid for dearly: ten cores give an interval half as wide again as
need be, which holds 98 % of a new core instead of 90 %. The width here aims at the share itself: what is pooled over
all cores (Dunn, Wasserman & Ramdas 2023, arXiv 1809.07441), stretched by what each core needs when the others judge it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

COVERAGE = 0.9
"""Share of values that an interval is to hold."""

ROUNDING = 1e-12
"""The sum of 1/n n times is not exactly 1."""


def half_width(residuals: ArrayLike, groups: Sequence[Any], *, coverage: float = COVERAGE) -> float:
    """Half width of an interval that holds a share `coverage` of the values of a new core, on average over cores.

    Parameters
    ----------
    residuals
        Measured minus predicted, (n,), in the units in which the interval is to be symmetric; from cores that the model
        was not trained on. NaN are left out.
    groups
        The core of each residual, (n,); a machine, where the interval is for machines not seen.

    Returns
    -------
    float
        In the units of `residuals`. NaN for a single core, which says nothing of others, and for fewer residuals than
        ``1 / (1 - coverage) - 1`` (9 for 90 %), which cannot show the share.

    Notes
    -----
    Every core weighs the same. The quantile over all residuals is too narrow for a core that is off in its own way:
    each core in turn is measured in the quantile of the others, and the quantile of these ratios, at least 1, is the
    factor by which the width is stretched. This is an estimate: its share is right on average over collections of
    cores, in simulations from two cores on (docs/explanation/trust.md), but nothing is promised for one core.
    """
    distance = np.abs(np.asarray(residuals, dtype=np.float64))
    kept = ~np.isnan(distance)
    distance, names = distance[kept], np.asarray(groups, dtype=str)[kept]
    fewest = math.ceil(1 / (1 - coverage) - 1 - 1e-9)
    members, core = np.unique(names, return_inverse=True)
    if len(members) < 2 or len(distance) < fewest:
        return math.nan
    order = np.argsort(distance, kind="stable")
    distance, core = distance[order], core[order]
    weights = 1 / np.bincount(core)[core]
    ratios = np.empty(len(distance))
    for one in range(len(members)):
        width = _quantile(distance, np.where(core == one, 0, weights) / (len(members) - 1), coverage)
        mine = distance[core == one]
        with np.errstate(over="ignore"):  # beside a width of next to nothing a residual may be infinitely large
            ratios[core == one] = mine / width if width > 0 else np.where(mine > 0, np.inf, 0)
    again = np.argsort(ratios, kind="stable")
    stretch = max(_quantile(ratios[again], weights[again] / len(members), coverage), 1.0)
    pooled = _quantile(distance, weights / len(members), coverage)
    return float(stretch * pooled if math.isfinite(stretch) else distance[-1])


def _quantile(ascending: Floats, weights: Floats, coverage: float) -> float:
    """Smallest of the `ascending` values up to which the weights, which add up to 1, reach `coverage`."""
    return float(ascending[np.argmax(np.cumsum(weights) >= coverage - ROUNDING)])
