"""The linear probe: what a frozen encoder knows of laboratory values, as the honest measure of its progress.

Reconstruction keeps improving long after an encoder has learnt what laboratory values need (sevenfold in the published
study, MAX, arXiv 2410.12330, while the values told hardly change). So ridge regression is fitted from the class token
of labelled intervals of the cores that train to their values, and asked for those of the cores that are held out. The
penalty comes from the training labels alone, each core left out once; the encoder never sees a label.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import xarray as xr
from numpy.typing import NDArray

from corebank import labels as matching
from corebank import split
from corebank.feed import settings
from corebank.labels import PLACE, Labels
from corebank.model import SpectrumEncoder
from corebank.normalize import Normalization

Floats = NDArray[np.float64]
Scores = dict[str, dict[str, float]]
"""``site/expedition`` to proxy to error, see `score`."""

BATCH = 256
"""Spectra that are encoded at once."""

MEMORY = 2**30
"""[byte] Labelled spectra that are kept; of more, all are read again at each look."""

PENALTIES = np.logspace(-4, 3, 29)
"""Penalties that are tried, per label and in units of a standardised feature's variance; four to a factor of ten."""

FEWEST = 5
"""Labels of a proxy that the regression needs; with fewer nothing is told."""


def score(
    network: SpectrumEncoder,
    normalization: Normalization,
    trained: xr.Dataset,
    held: xr.Dataset,
    measurements: pd.DataFrame,
    proxies: Sequence[str],
) -> Scores:
    """How well ridge regression on the frozen encoder's class token tells laboratory values of cores left out.

    Parameters
    ----------
    network
        The encoder; left in evaluation mode, its weights as they are.
    normalization
        What its spectra are scaled by.
    trained, held
        Spectra whose labels are learnt from, and whose labels judge. They share no core (or section).
    measurements
        Laboratory values, see `corebank.schema`.
    proxies
        Which of them.

    Returns
    -------
    dict
        For each ``site/expedition`` of `held` with labels that differ, by proxy: the root mean square error over the
        standard deviation of these labels. 1 is what their own mean would give. Empty where there are no labels.

    Raises
    ------
    SchemaError
        When nothing was measured of a proxy, or it stands in several units.
    """
    return Probe(trained, [held], measurements, proxies).scores(network, normalization)[0]


@dataclass(frozen=True, slots=True, eq=False)
class _Labelled:
    """Labelled intervals and their spectra."""

    spectra: xr.Dataset
    """Only those inside some interval, in order."""
    labels: Labels
    """n intervals, `rows` along these spectra."""
    cores: NDArray[np.str_]
    """(n,) the core of each."""
    expeditions: NDArray[np.str_]
    """(n,)"""


class Probe:
    """`score` for several looks at a network that learns: labels are matched, and spectra read, once.

    `judges` are several selections to be judged by, each on its own.
    """

    def __init__(
        self,
        trained: xr.Dataset,
        judges: Sequence[xr.Dataset],
        measurements: pd.DataFrame,
        proxies: Sequence[str],
    ) -> None:
        self._proxies = tuple(proxies)
        self._learnt = _labelled(trained, measurements, self._proxies, pd.DataFrame(columns=PLACE))
        # An interval over the end of a section may hold spectra of both sides: then it has been learnt from.
        taken = self._learnt.labels.intervals if self._learnt else pd.DataFrame(columns=PLACE)
        self._judges = [_labelled(judge, measurements, self._proxies, taken) for judge in judges]

    @property
    def labels(self) -> list[int]:
        """Labelled intervals that are learnt from, and those of each judge."""
        return [len(one.labels) if one else 0 for one in (self._learnt, *self._judges)]

    @property
    def told(self) -> list[bool]:
        """Whether `scores` holds a number for each judge, whatever the network."""
        learnable = self._learnable()
        return [any(True for _ in self._asked(judge, learnable)) for judge in self._judges]

    def scores(self, network: SpectrumEncoder, normalization: Normalization) -> list[Scores]:
        """`score` of each judge."""
        learnable = self._learnable()
        if self._learnt is None or not learnable:
            return [{} for _ in self._judges]
        learnt = _features(network, normalization, self._learnt)
        fits = {
            proxy: ridge(
                learnt[known],
                self._learnt.labels.values[known, self._proxies.index(proxy)],
                self._learnt.cores[known],
            )
            for proxy, known in learnable.items()
        }
        return [self._score(network, normalization, judge, fits) for judge in self._judges]

    def _learnable(self) -> dict[str, NDArray[np.bool_]]:
        """The proxies with enough labels to learn from, and which of the learnt intervals have one (n,)."""
        if self._learnt is None:
            return {}
        known = np.isfinite(self._learnt.labels.values)
        return {proxy: one for proxy, one in zip(self._proxies, known.T, strict=True) if one.sum() >= FEWEST}

    def _asked(self, judge: _Labelled | None, proxies: Collection[str]) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
        """Each ``site/expedition`` of `judge`, a proxy whose labels differ there, and which intervals have one (n,)."""
        if judge is None:
            return
        for expedition in sorted(set(judge.expeditions.tolist())):
            for proxy in proxies:
                values = judge.labels.values[:, self._proxies.index(proxy)]
                known = (judge.expeditions == expedition) & np.isfinite(values)
                # Not by the standard deviation: rounding leaves some to equal values.
                if known.any() and np.ptp(values[known]) > 0:
                    yield expedition, proxy, known

    def _score(
        self,
        network: SpectrumEncoder,
        normalization: Normalization,
        judge: _Labelled | None,
        fits: Mapping[str, tuple[Floats, float]],
    ) -> Scores:
        found: Scores = {}
        asked = list(self._asked(judge, fits))
        if judge is None or not asked:
            return found
        features = _features(network, normalization, judge)
        for expedition, proxy, known in asked:
            weight, intercept = fits[proxy]
            values = judge.labels.values[known, self._proxies.index(proxy)]
            away = features[known] @ weight + intercept - values
            found.setdefault(expedition, {})[proxy] = float(np.sqrt(np.square(away).mean()) / values.std())
        return found


def ridge(features: Floats, target: Floats, groups: NDArray[np.str_]) -> tuple[Floats, float]:
    """Weights (W,) and intercept of ridge regression, its penalty the best when each group is left out once.

    Parameters
    ----------
    features
        (n, W); standardised before they are penalised, so that their scale makes no difference.
    target
        (n,)
    groups
        (n,) what is left out together; where all are of one group, each row is its own.

    Notes
    -----
    A linear smoother with matrix H leaves the residuals ``(I - H_GG)^-1 r_G`` on a group G that it has not seen, so no
    model is fitted twice (Cook & Weisberg 1982, Residuals and influence in regression, section 2.2). With an intercept,
    which is not penalised, H is ``1/n + U diag(s^2 / (s^2 + penalty)) U^T`` of centred features ``U diag(s) V^T``.
    """
    centre, level = features.mean(axis=0), float(target.mean())
    spread = features.std(axis=0)
    scale = np.where(spread > 1e-9 * max(float(spread.max()), 1e-30), spread, np.inf)  # one that says nothing weighs 0
    left, sizes, right = np.linalg.svd((features - centre) / scale, full_matrices=False)
    turned, rest = left.T @ (target - level), target - level
    names = groups if len(set(groups.tolist())) > 1 else np.arange(len(target)).astype(str)
    members = [np.flatnonzero(names == name) for name in sorted(set(names.tolist()))]

    def left_out(penalty: float) -> float:
        kept = sizes**2 / (sizes**2 + penalty)
        residual = rest - left @ (kept * turned)
        total = 0.0
        for rows in members:
            hat = 1 / len(target) + (left[rows] * kept) @ left[rows].T
            total += float(np.square(np.linalg.solve(np.eye(len(rows)) - hat, residual[rows])).sum())
        return total

    penalty = min((PENALTIES * len(target)).tolist(), key=left_out)
    weight = right.T @ (sizes / (sizes**2 + penalty) * turned) / scale
    return weight, level - float(centre @ weight)


def _labelled(
    spectra: xr.Dataset,
    measurements: pd.DataFrame,
    proxies: tuple[str, ...],
    taken: pd.DataFrame,
) -> _Labelled | None:
    """The labelled intervals of `spectra` that are not `taken` already; None where there are none."""
    if not proxies or not len(measurements) or not spectra.sizes["spectrum"]:
        return None
    found = matching.match(spectra, measurements, proxies)
    free = ~pd.MultiIndex.from_frame(found.intervals[PLACE]).isin(pd.MultiIndex.from_frame(taken[PLACE]))
    found = found[found.matched & free]
    if not len(found):
        return None
    wanted, place = np.unique(np.concatenate(found.rows), return_inverse=True)
    ends = np.cumsum([len(row) for row in found.rows])[:-1]
    chosen = spectra.isel(spectrum=wanted)
    if chosen["intensity"].nbytes <= MEMORY:
        chosen = chosen.load()
    first = np.array([row[0] for row in found.rows])
    return _Labelled(
        chosen,
        Labels(
            intervals=found.intervals,
            proxies=found.proxies,
            units=found.units,
            values=found.values,
            rows=tuple(np.split(place, ends)),
        ),
        split.unit_names(spectra, "core")[first],
        split.unit_names(spectra, "expedition")[first],
    )


def _features(network: SpectrumEncoder, normalization: Normalization, labelled: _Labelled) -> Floats:
    """(n, W) mean class token of the spectra in each interval."""
    network.eval()
    device, parts = network.cls_token.device, []
    known = torch.from_numpy(settings(labelled.spectra))
    for first in range(0, labelled.spectra.sizes["spectrum"], BATCH):
        rates = labelled.spectra["intensity"].isel(spectrum=slice(first, first + BATCH)).values
        values, measured = (torch.from_numpy(one).to(device) for one in normalization(rates))
        with torch.inference_mode():
            parts.append(network.embed(values, measured, known[first : first + BATCH].to(device)).double().cpu())
    tokens = torch.cat(parts).numpy()
    return np.stack([tokens[rows].mean(axis=0) for rows in labelled.labels.rows])
