"""What a network has to beat: the mean, ridge regression on principal components, and partial least squares.

All work on the logarithm of the mean rate in each depth interval, ln(1 + count/s), with the labels of the network.
Nothing in them is chosen by looking at held-out values: numbers of components are fixed, the ridge's penalty is found
by leaving out one training label at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Model = Callable[[Floats, Floats, Floats], Floats]
"""Training rates (n, E) [count/s], training values (n,), rates to predict (m, E) -> values (m,)."""

RIDGE_COMPONENTS = 20
PLS_COMPONENTS = 8
PENALTIES = np.logspace(-3, 5, 17)


def mean(known: Floats, values: Floats, asked: Floats) -> Floats:
    """The mean of the training values."""
    return np.full(len(asked), values.mean())


def ridge(known: Floats, values: Floats, asked: Floats) -> Floats:
    """Ridge regression on the leading principal components of the log rates."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import RidgeCV

    known, asked = _features(known, asked)
    axes = PCA(min(RIDGE_COMPONENTS, *(np.array(known.shape) - 1)), svd_solver="full").fit(known)
    fitted = RidgeCV(PENALTIES).fit(axes.transform(known), values)
    return np.asarray(fitted.predict(axes.transform(asked)), dtype=np.float64)


def pls(known: Floats, values: Floats, asked: Floats) -> Floats:
    """Partial least squares on the log rates."""
    from sklearn.cross_decomposition import PLSRegression

    known, asked = _features(known, asked)
    fitted = PLSRegression(min(PLS_COMPONENTS, *(np.array(known.shape) - 1)), scale=False).fit(known, values)
    return np.asarray(fitted.predict(asked), dtype=np.float64).ravel()


BASELINES: dict[str, Model] = {"mean": mean, "ridge": ridge, "pls": pls}


def _features(known: Floats, asked: Floats) -> tuple[Floats, Floats]:
    """Log rates in the bins that all training intervals measured; where an asked one has none, the training mean."""
    bins = np.isfinite(known).all(axis=0)
    known, asked = (np.log1p(np.maximum(rates[:, bins], 0)) for rates in (known, asked))
    return known, np.where(np.isfinite(asked), asked, known.mean(axis=0))
