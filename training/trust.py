"""How far a quantifier may be off, and what it knows: interval widths and the outlier detector that its bundle carries.

Both are calibrated on whole units (cores, or sections) that the networks behind them had not learnt from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from corebank import uncertainty
from corebank.bundle import Proxy
from corebank.model import Quantifier
from corebank.normalize import Normalization
from training.quantifier import embeddings

Floats = NDArray[np.float64]

FEWEST_MACHINES = 3
"""Machines from which on something is said of one that was not seen.

Left out one of two, networks know a single machine: on virtual cores such widths held 61 to 75 % instead of 90, those
of three machines 80 to 89, of four 93 to 100 (docs/explanation/trust.md).
"""

KNOWN = 4_096
"""Spectra, evenly spread over the training units, that describe what the model knows: more do not move the result."""


def half_widths(
    proxies: Sequence[Proxy],
    measured: Floats,
    said: Sequence[Floats],
    units: NDArray[Any],
    machines: NDArray[Any],
    *,
    unseen: Sequence[Floats] = (),
) -> tuple[Proxy, ...]:
    """The proxies with their half widths, from single spectra of units that a network had not learnt from.

    Parameters
    ----------
    proxies
        What is quantified, k of them; widths that they have are replaced.
    measured
        Laboratory values of n intervals, (n, k) [unit]; NaN where there is none.
    said
        What networks that had not learnt from an interval's unit say of each of its spectra, n arrays (spectra, k)
        [unit]. Without any the widths are NaN.
    units
        The unit of each interval, (n,).
    machines
        The machine of each interval in words, (n,); "" where unknown.
    unseen
        The same as `said` by networks that had not learnt from the interval's machine, for `half_width_unseen`. The
        machine is what is exchangeable then: each weighs the same, and fewer than `FEWEST_MACHINES` that have labels of
        a proxy say nothing of others (NaN). Never narrower than what machines that were seen get.
    """
    names = np.asarray(machines, dtype=str)
    made = []
    for column, proxy in enumerate(proxies):
        values = measured[:, column]
        known = np.where(names != "", values, np.nan)
        enough = len(set(names[np.isfinite(known)].tolist())) >= FEWEST_MACHINES
        seen = _half_width(proxy, values, [one[:, column] for one in said], units)
        other = _half_width(proxy, known, [one[:, column] for one in unseen], names) if enough else math.nan
        made.append(replace(proxy, half_width=seen, half_width_unseen=float(np.maximum(other, seen))))
    return tuple(made)


def outlier(
    network: Quantifier,
    normalization: Normalization,
    spectra: xr.Dataset,
    units: NDArray[Any],
) -> dict[str, torch.Tensor]:
    """Statistics that tell how unlike the training `spectra` a spectrum is; `units` (spectrum,) names each one's unit.

    The foundation model may have seen more, but no label says what that means. See `corebank.uncertainty.Outlier`.
    """
    even = np.unique(np.linspace(0, spectra.sizes["spectrum"] - 1, KNOWN).astype(int))
    known = spectra.isel(spectrum=even).load()
    points = uncertainty.Points(
        embeddings(network, normalization, known),
        *normalization(known["intensity"].values),
    )
    detector = uncertainty.cross_fit_outlier(points, units[even].tolist())
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in detector.arrays().items()}


def _half_width(proxy: Proxy, measured: Floats, said: Sequence[Floats], groups: NDArray[Any]) -> float:
    """Conformal half width in network units of one proxy; NaN when nothing was said."""
    residuals, names = [], []
    for truth, answers, one in zip(measured, said, groups, strict=False):
        residuals += list(proxy.forward(np.asarray(truth)) - proxy.forward(answers))
        names += [one] * len(answers)
    return uncertainty.half_width(residuals, names) if names else math.nan
