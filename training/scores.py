"""How good predicted values are, in the numbers that the field compares, overall and core by core."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NUMBERS = ("r2", "rmse", "mae", "bias", "rpiq")

FEWEST_UNITS = 3
"""Units from which on a bootstrap over units says anything."""

RESAMPLES = 2_000
SPAN = 0.9
"""Share of the bootstrap that an interval holds."""


def score(measured: Floats, predicted: Floats) -> dict[str, float]:
    """R2, RMSE, MAE, bias (mean of predicted - measured), RPIQ and n over the pairs without NaN.

    R2 compares with the mean of these very `measured` values (the published study compares with the training mean,
    which flatters a model on a core that differs). RPIQ is their interquartile range over the RMSE (Bellon-Maurel et
    al. 2010, doi:10.1016/j.trac.2010.05.006), infinite for no error. Both are NaN where the values do not vary; all are
    where there is no pair.
    """
    both = np.isfinite(measured) & np.isfinite(predicted)
    truth, error = measured[both], (predicted - measured)[both]
    if not truth.size:
        return dict.fromkeys(NUMBERS, math.nan) | {"n": 0}
    # Rounding makes the mean of equal values another value than theirs, so their sum of squares alone is not 0.
    spread = float(np.square(truth - truth.mean()).sum()) if np.ptp(truth) > 0 else 0.0
    rmse = float(np.sqrt(np.square(error).mean()))
    low, high = np.quantile(truth, (0.25, 0.75))
    return {
        "r2": 1 - float(np.square(error).sum()) / spread if spread > 0 else math.nan,
        "rmse": rmse,
        "mae": float(np.abs(error).mean()),
        "bias": float(error.mean()),
        "rpiq": math.nan if not spread > 0 else float(high - low) / rmse if rmse > 0 else math.inf,
        "n": int(truth.size),
    }


def by_unit(
    measured: Floats,
    predicted: Floats,
    units: NDArray[np.str_],
    depth: Floats,
    bounds: tuple[Floats, Floats] | None = None,
) -> dict[str, Any]:
    """The `score` over all pairs and that of each unit, with the labels themselves.

    Parameters
    ----------
    measured, predicted
        Values of n intervals, (n,); NaN where there is none.
    units
        The core or section of each, (n,).
    depth
        The middle of each [mm], (n,).
    bounds
        Ends of the intervals around `predicted`, (n,) both.

    Returns
    -------
    dict
        The numbers of `score`; ``cores``, the units; ``interval``, see `bootstrap`; ``by_core``, for each unit the same
        numbers and ``labels`` (``depth``, ``measured``, ``predicted``). With bounds also ``coverage`` (the share of
        measured values inside), overall and by unit, and ``lower`` and ``upper`` among the labels.
    """
    known = np.isfinite(measured)
    names = sorted(set(units[known].tolist()))
    whole = score(measured, predicted) | _coverage(measured, bounds)
    parts = {}
    for name in names:
        here = known & (units == name)
        labels = {"depth": depth[here].tolist(), "measured": measured[here].tolist()}
        labels["predicted"] = predicted[here].tolist()
        ends = (bounds[0][here], bounds[1][here]) if bounds else None
        if ends:
            labels |= {"lower": ends[0].tolist(), "upper": ends[1].tolist()}
        one = score(measured[here], predicted[here]) | _coverage(measured[here], ends)
        parts[name] = one | {"labels": labels}
    return whole | {"cores": names, "by_core": parts, "interval": bootstrap(measured, predicted, units)}


def bootstrap(measured: Floats, predicted: Floats, units: NDArray[np.str_]) -> dict[str, list[float] | None]:
    """90 % intervals of the R2 and RMSE over all pairs, from drawing whole units again; None with fewer than 3 units.

    Neighbouring labels of a core err alike, so that the units are what is drawn (percentile bootstrap over clusters).
    An interval always holds the number itself: a draw repeats units, never adds one, which lowers R2 on average.
    """
    both = np.isfinite(measured) & np.isfinite(predicted)
    names, place = np.unique(units[both], return_inverse=True)
    if len(names) < FEWEST_UNITS:
        return {"r2": None, "rmse": None}
    truth, squares = measured[both] - measured[both].mean(), np.square((predicted - measured)[both])
    sums = np.stack([np.bincount(place, weights=one) for one in (np.ones_like(truth), truth, truth**2, squares)])
    draws = np.random.default_rng(0).integers(0, len(names), (RESAMPLES, len(names)))
    count, total, square, error = sums[:, draws].sum(axis=2)
    spread = square - total**2 / count
    varied = spread > 1e-12 * max(float(sums[2].sum()), 1e-300)  # one unit of a single label, drawn every time
    found = {"r2": 1 - error[varied] / spread[varied], "rmse": np.sqrt(error / count)}
    point = score(measured, predicted)
    return {name: _span(values, point[name]) for name, values in found.items()}


def _span(values: Floats, point: float) -> list[float] | None:
    """The middle `SPAN` of `values`, and `point`; None when there is none."""
    if not values.size or math.isnan(point):
        return None
    low, high = np.quantile(values, ((1 - SPAN) / 2, (1 + SPAN) / 2))
    return [min(float(low), point), max(float(high), point)]


def _coverage(measured: Floats, bounds: tuple[Floats, Floats] | None) -> dict[str, float]:
    """The share of measured values inside their bounds; NaN where there are no bounds, nothing when none were given."""
    if bounds is None:
        return {}
    known = np.isfinite(measured) & np.isfinite(bounds[0]) & np.isfinite(bounds[1])
    inside = (measured >= bounds[0]) & (measured <= bounds[1])
    return {"coverage": float(inside[known].mean()) if known.any() else math.nan}
