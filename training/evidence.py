"""Fit the classical companion of a network: Bayesian linear regression on log rates, its one number by the evidence.

Over a thousand energy bins and a hundred labels only the ratio of signal to noise decides how good a linear model is.
Cross-validation over rows picks too small a penalty, because neighbouring rows share their errors; the marginal
likelihood of the training labels needs no rows left out, and did better on cores left out.

Sources: MacKay (1992), Bayesian interpolation, doi:10.1162/neco.1992.4.3.415; Rasmussen & Williams (2006), Gaussian
processes for machine learning, section 2.1 (the dual form used here) and 5.4 (its marginal likelihood).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from corebank.bundle import Proxy
from corebank.companion import Companion, log_rates
from training.examples import Examples, Floats

RATIOS = np.logspace(-5, 3, 49)
"""Variance of the signal over that of the noise that are tried; six steps to a factor of ten."""

LIVE_TIME = 10.0
"""[s] Taken where no live time is known: the usual one of Itrax and Avaatech scans."""

FEWEST = 3
"""Labels that a proxy needs; with fewer, its mean is said."""


def fit(examples: Examples, proxies: Sequence[Proxy]) -> Companion:
    """The linear model of all `proxies`, each from the intervals that have a label of it; its shares are still 1.

    Features are log rates averaged over the spectra of an interval: logarithms first, which holds stray spectra down.
    Bins that some interval has not measured are not looked at.
    """
    times = np.concatenate(examples.live_time)
    known = times[np.isfinite(times) & (times > 0)]
    offset = np.asarray(0.5 / (np.median(known) if known.size else LIVE_TIME))
    features = means(examples, offset)
    bins = np.flatnonzero(np.isfinite(features).all(axis=0))
    middle = np.zeros(features.shape[1])
    middle[bins] = features[:, bins].mean(axis=0)
    weight, intercept = np.zeros((len(proxies), features.shape[1])), np.zeros(len(proxies))
    for row, proxy in enumerate(proxies):
        target = proxy.forward(examples.values[:, row])
        labelled = np.isfinite(target)
        if labelled.sum() >= FEWEST:
            away = features[np.ix_(labelled, bins)] - middle[bins]
            weight[row, bins], intercept[row] = regression(away, target[labelled])
    return Companion(weight=weight, intercept=intercept, middle=middle, offset=offset, share=np.ones(len(proxies)))


def means(examples: Examples, offset: float | Floats) -> Floats:
    """(n, E) mean log rate of the spectra of each interval."""
    return np.stack([log_rates(rates, offset).mean(axis=0) for rates in examples.rates])


def regression(features: Floats, target: Floats, counts: Floats | None = None) -> tuple[Floats, float]:
    """Weights (E,) and intercept of the linear model with the largest evidence, from features (n, E), targets (n,).

    `counts` (n,), positive, tells how much each row counts: its noise has a variance of 1 over that (scaled to mean 1).

    The weights have a Gaussian prior, the noise is Gaussian; the ratio of their variances is the one of `RATIOS` under
    which the targets are most likely, their common scale integrated out.
    """
    heavy = np.ones(len(target)) if counts is None else counts / counts.mean()
    centre, level = np.average(features, axis=0, weights=heavy), float(np.average(target, weights=heavy))
    away, rest = (features - centre) * np.sqrt(heavy)[:, None], (target - level) * np.sqrt(heavy)
    kernel = away @ away.T
    scale = float(np.trace(kernel)) / len(target)
    if not scale > 0 or not np.any(rest):
        return np.zeros(features.shape[1]), level
    values, axes = np.linalg.eigh(kernel / scale)
    values, turned = np.maximum(values, 0.0), axes.T @ rest

    def unlikely(ratio: float) -> float:
        spread = ratio * values + 1
        return float(len(rest) * np.log((turned**2 / spread).mean()) + np.log(spread).sum())

    ratio = min(RATIOS.tolist(), key=unlikely)
    dual = axes @ (turned / (ratio * values + 1)) * (ratio / scale)
    weight = away.T @ dual
    return weight, level - float(centre @ weight)


def shares(truth: Floats, network: Floats, companion: Floats) -> Floats:
    """(k,) share of the companion with the smallest squared error, from what both say of labels they did not learn.

    All (n, k) in network units, NaN where there is nothing; between 0 and 1, and a half where nothing can be told.
    """
    known = np.isfinite(truth) & np.isfinite(network) & np.isfinite(companion)
    apart, missing = (np.where(known, one - network, 0.0) for one in (companion, truth))
    size = (apart**2).sum(axis=0)
    best = np.divide((apart * missing).sum(axis=0), size, out=np.full(len(size), 0.5), where=size > 0)
    return np.asarray(np.clip(best, 0.0, 1.0))
