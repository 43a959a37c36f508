"""What a network has to beat: the mean and four classical models of the field, fitted to the network's own labels.

All work on the mean rate in each depth interval. Ridge regression on principal components, partial least squares and
the random forest see its logarithm, ln(1 + count/s); NMF + SVR, the published predecessor (Lee et al. 2022,
doi:10.1038/s41598-022-25377-x), sees each bin's share of all counts. Nothing in them is chosen by looking at held-out
values: what is not fixed is found by a cross-validation over whole units of the training labels.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

from corebank.bundle import Proxy
from training.quantifier import proxy_of

Floats = NDArray[np.float64]

FEWEST = 3
"""Labels that a baseline needs."""

RIDGE_COMPONENTS = 20
PLS_COMPONENTS = 8
PENALTIES = np.logspace(-3, 5, 17)

TREES = 200
BLOCKS = 256
"""Features of the forest, means of neighbouring bins: of 2048 bins of 20 eV 0.16 keV, what a detector resolves."""

NMF_COMPONENTS = (4, 8, 13)
SVR_PENALTIES = (10.0, 100.0)
SVR_WIDTHS = (1.0, 10.0, 100.0, 1000.0)
"""NMF + SVR: parts of a spectrum, and C and gamma of the kernel. The predecessor's own choices, 4 parts with C = 100
for CaCO3, 13 with C = 10 for TOC and gamma = 1000 for both, are among them."""

NMF_STEPS = 300
INNER_FOLDS = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fold:
    """What a baseline may use besides the rates and values that it learns from, all of it about the training side."""

    units: NDArray[np.str_] | None = None
    """(n,) the core or section of each interval; None: nothing is known of them."""

    seed: int = 0
    parts: dict[tuple[bytes, int], tuple[Floats, Floats]] = field(default_factory=dict)
    """Factorizations made so far, by the bytes of the spectra and their number: proxies of one table share them."""


Model = Callable[[Floats, Floats, Floats, Fold], Floats]
"""Training rates (n, E) [count/s], training values (n,), rates to predict (m, E) -> values (m,)."""


def mean(known: Floats, values: Floats, asked: Floats, fold: Fold | None = None) -> Floats:
    """The mean of the training values."""
    return np.full(len(asked), values.mean())


def ridge(known: Floats, values: Floats, asked: Floats, fold: Fold | None = None) -> Floats:
    """Ridge regression on the leading principal components; the penalty leaves out one training label at a time."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import RidgeCV

    known, asked = _logarithms(known, asked)
    axes = PCA(min(RIDGE_COMPONENTS, *(np.array(known.shape) - 1)), svd_solver="full").fit(known)
    fitted = RidgeCV(PENALTIES).fit(axes.transform(known), values)
    return np.asarray(fitted.predict(axes.transform(asked)), dtype=np.float64)


def pls(known: Floats, values: Floats, asked: Floats, fold: Fold | None = None) -> Floats:
    """Partial least squares."""
    from sklearn.cross_decomposition import PLSRegression

    known, asked = _logarithms(known, asked)
    fitted = PLSRegression(min(PLS_COMPONENTS, *(np.array(known.shape) - 1)), scale=False).fit(known, values)
    return np.asarray(fitted.predict(asked), dtype=np.float64).ravel()


def nmf_svr(known: Floats, values: Floats, asked: Floats, fold: Fold | None = None) -> Floats:
    """Non-negative parts of the spectra, and support vector regression on how much of each a spectrum holds.

    The values that `answers` gives it are logarithms. Unlike the predecessor's they are standardised: the margin of the
    regression, 0.1, would otherwise be wider than all values of an oxide near 60 wt%.
    """
    from sklearn.svm import SVR

    fold, common = fold or Fold(), _common(known)
    shares, asked = _shares(known[:, common]), _shares(asked[:, common])
    # Spectra without labels may shape the parts: they are the same in every fold of the inner cross-validation.
    parts = {count: _parts(fold, shares, count) for count in NMF_COMPONENTS if count < min(shares.shape)}
    if not parts:
        return mean(known, values, asked)
    units = np.full(len(values), "") if fold.units is None else fold.units
    inner = list(_inner(units))

    def error(count: int, penalty: float, width: float) -> float:
        mixture, _ = parts[count]
        squares = 0.0
        for kept, left in inner:
            said = SVR(C=penalty, gamma=width).fit(mixture[kept], values[kept]).predict(mixture[left])
            squares += float(np.square(said - values[left]).sum())
        return squares

    count, penalty, width = min(product(parts, SVR_PENALTIES, SVR_WIDTHS), key=lambda choice: error(*choice))
    mixture, patterns = parts[count]
    fitted = SVR(C=penalty, gamma=width).fit(mixture, values)
    return np.asarray(fitted.predict(_mixture(asked, patterns)), dtype=np.float64)


def forest(known: Floats, values: Floats, asked: Floats, fold: Fold | None = None) -> Floats:
    """A random forest; a third of the features is tried at each branch, as is usual for regression."""
    from sklearn.ensemble import RandomForestRegressor

    known, asked = (_blocks(one) for one in _logarithms(known, asked))
    seed = fold.seed if fold else 0
    trees = RandomForestRegressor(TREES, max_features=1 / 3, min_samples_leaf=2, random_state=seed, n_jobs=1)
    return np.asarray(trees.fit(known, values).predict(asked), dtype=np.float64)


BASELINES: dict[str, Model] = {"mean": mean, "ridge": ridge, "pls": pls, "nmf-svr": nmf_svr, "forest": forest}

LOGARITHMIC = ("nmf-svr",)
"""Those that always learn logarithms, where there is a positive value, whatever scale the recipe chose."""

RANDOM = ("forest",)
"""Those that another seed changes."""


def answers(
    names: Sequence[str],
    rates: Floats,
    values: Floats,
    proxies: Sequence[Proxy],
    units: NDArray[np.str_],
    asked: Floats,
    seed: int,
) -> dict[str, Floats]:
    """What the baselines `names` say of the rates `asked` (m, E) [count/s], as ``{name: (m, k) [unit]}``.

    They learn from `rates` (n, E), their `values` (n, k) [unit], k `proxies` and `units` (n,); a proxy with fewer than
    `FEWEST` labels, or spectra without a bin that all of them measured, give NaN.
    """
    said: dict[str, Floats] = {name: np.full((len(asked), len(proxies)), np.nan) for name in names}
    parts: dict[tuple[bytes, int], tuple[Floats, Floats]] = {}
    for column, (proxy, measured) in enumerate(zip(proxies, values.T, strict=True)):
        labelled = np.isfinite(measured)
        if labelled.sum() < FEWEST or not _common(rates[labelled]).any():
            continue
        fold = Fold(units=units[labelled], seed=seed, parts=parts)
        for name in names:
            scale = proxy_of(proxy.name, proxy.unit, measured, "log") if name in LOGARITHMIC else proxy
            targets = scale.forward(measured[labelled])
            said[name][:, column] = scale.inverse(BASELINES[name](rates[labelled], targets, asked, fold))
    return said


def _common(rates: Floats) -> NDArray[np.bool_]:
    """(E,) the bins that all intervals measured."""
    return np.asarray(np.isfinite(rates).all(axis=0))


def _logarithms(known: Floats, asked: Floats) -> tuple[Floats, Floats]:
    """Log rates in the bins that all training intervals measured; where an asked one has none, the training mean."""
    bins = _common(known)
    known, asked = (np.log1p(np.maximum(rates[:, bins], 0)) for rates in (known, asked))
    return known, np.where(np.isfinite(asked), asked, known.mean(axis=0))


def _shares(rates: Floats) -> Floats:
    """Each bin's share of all counts of a spectrum; 0 where there are none."""
    rates = np.maximum(np.nan_to_num(rates), 0)
    return np.asarray(rates / np.maximum(rates.sum(axis=1, keepdims=True), 1e-12))


def _blocks(features: Floats) -> Floats:
    """Means of at most `BLOCKS` groups of neighbouring columns."""
    groups = np.array_split(features, min(BLOCKS, features.shape[1]), axis=1)
    return np.stack([one.mean(axis=1) for one in groups], axis=1)


def _parts(fold: Fold, shares: Floats, count: int) -> tuple[Floats, Floats]:
    """`count` patterns that add up to 1 each (count, E), and how much of each a spectrum holds (n, count)."""
    key = (shares.tobytes(), count)
    if key not in fold.parts:
        from sklearn.decomposition import NMF
        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of a pattern decide nothing
            factors = NMF(count, init="nndsvda", max_iter=NMF_STEPS, random_state=0).fit(shares)
        patterns = factors.components_ / np.maximum(factors.components_.sum(axis=1, keepdims=True), 1e-12)
        fold.parts[key] = (_mixture(shares, patterns), patterns)
    return fold.parts[key]


def _mixture(shares: Floats, patterns: Floats) -> Floats:
    """How much of each of `patterns` (count, E) a spectrum holds, (n, count): the non-negative least squares."""
    from scipy.optimize import nnls

    return np.stack([nnls(patterns.T, one)[0] for one in shares])


def _inner(units: NDArray[np.str_]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Folds of whole units; of neighbouring labels where all are of one unit."""
    from sklearn.model_selection import GroupKFold, KFold

    folds = min(INNER_FOLDS, len(set(units.tolist())))
    if folds > 1:
        yield from GroupKFold(folds).split(units, groups=units)
    else:
        yield from KFold(INNER_FOLDS).split(units)
