"""How good predicted values are, in the numbers that the field compares, and the table that every program prints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def score(measured: Floats, predicted: Floats) -> dict[str, float]:
    """R2, RMSE, MAE, bias (mean of predicted - measured) and n over the pairs without NaN.

    R2 compares with the mean of these very `measured` values (the published study compares with the training mean,
    which flatters a model on a core that differs). It is NaN where they do not vary; all are where there is no pair.
    """
    both = np.isfinite(measured) & np.isfinite(predicted)
    truth, error = measured[both], (predicted - measured)[both]
    if not truth.size:
        return {"r2": math.nan, "rmse": math.nan, "mae": math.nan, "bias": math.nan, "n": 0}
    spread = float(np.square(truth - truth.mean()).sum())
    return {
        "r2": 1 - float(np.square(error).sum()) / spread if spread > 0 else math.nan,
        "rmse": float(np.sqrt(np.square(error).mean())),
        "mae": float(np.abs(error).mean()),
        "bias": float(error.mean()),
        "n": int(truth.size),
    }


def by_unit(measured: Floats, predicted: Floats, units: NDArray[np.str_]) -> dict[str, Any]:
    """The `score` over all pairs, the units they are from as ``cores``, and the score of each as ``by_core``."""
    known = np.isfinite(measured)
    names = sorted(set(units[known].tolist()))
    return score(measured, predicted) | {
        "cores": names,
        "by_core": {name: score(measured[units == name], predicted[units == name]) for name in names},
    }


def table(results: Mapping[str, Mapping[str, Mapping[str, Any]]], units: Mapping[str, str]) -> str:
    """Lines of text for ``{proxy: {model: score}}``, with the unit of each proxy."""
    rows: list[tuple[str, ...]] = [("proxy", "model", "R2", "RMSE", "MAE", "bias", "n")]
    for proxy, models in results.items():
        for model, one in models.items():
            numbers = (f"{one[name]:.3g}" for name in ("rmse", "mae", "bias"))
            rows.append((f"{proxy} [{units[proxy]}]", model, f"{one['r2']:.2f}", *numbers, str(one["n"])))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
