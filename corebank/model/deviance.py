"""The loss that knows how photons are counted: the Poisson deviance of counts, in place of squared normalised values.

The deviance of an observed count y from an expected one mu is 2 (y ln(y / mu) - (y - mu)): zero where they are equal,
about (y - mu)^2 / mu near there, and about 1 on average where mu, not too small, is the true expectation, whatever the
height of the peak (McCullagh & Nelder 1989, Generalized Linear Models, section 2.3, doi:10.1007/978-1-4899-3242-6).

The network predicts normalised values, so its prediction is turned into an expected count by the inverse of the
normalization wherever that is at least one count. Below one count, down to any negative number that a network may say,
ln mu continues as the straight line that touches there: mu stays positive, and the loss has a slope wherever photons
were counted. Nothing is clamped. Shapes as in `corebank.model`; R patches of a spectrum that were asked for.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

HIGHEST_LOG = 18.0
"""[ln(1 + count/s)] From e^18 = 6.6e7 count/s in one bin on, which no detector counts, exp continues as a straight
line: float32 overflows at 88, and an early prediction may be anywhere."""

UNKNOWN_LIVE_TIME = 1.0
"""[s] Stands for a live time that is unknown: such a spectrum takes part, with the weight of a short measurement."""


class RateScale(NamedTuple):
    """What leads from normalised values back to counts."""

    kind: str
    """`corebank.normalize.Kind` of the normalization."""

    mean_B1: Tensor  # noqa: N815  (tensors carry their shape)
    """(B, 1) what the normalization took off, in transformed count/s."""

    scale_B1: Tensor  # noqa: N815
    """(B, 1) what it divided by."""

    live_time_B: Tensor  # noqa: N815
    """(B,) [s]; NaN, zero and negative: unknown, see `UNKNOWN_LIVE_TIME`."""

    def deviance(self, prediction_BRp: Tensor, target_BRp: Tensor, rows_B: Tensor) -> Tensor:
        """(B, R, p) deviance of observed patches from predicted ones, both normalised, of the spectra `rows_B`."""
        mean_B11, scale_B11 = (one[rows_B].float()[..., None] for one in (self.mean_B1, self.scale_B1))
        known_B = self.live_time_B > 0  # False for NaN
        time_B11 = torch.where(known_B, self.live_time_B, UNKNOWN_LIVE_TIME)[rows_B].float()[:, None, None]
        log_BRp = log_expected(self.kind, prediction_BRp.float() * scale_B11 + mean_B11, time_B11)
        observed_BRp = observed(self.kind, target_BRp.float() * scale_B11 + mean_B11, time_B11)
        return deviance(observed_BRp, log_BRp)


def deviance(observed: Tensor, log_expected: Tensor) -> Tensor:
    """2 (y ln(y / mu) - (y - mu)) of counts y >= 0, given ln mu."""
    return 2 * (torch.xlogy(observed, observed) - observed * log_expected - observed + log_expected.exp())


def observed(kind: str, transformed: Tensor, live_time: Tensor) -> Tensor:
    """Counts of transformed rates; a table with its background taken off may dip below zero, which counts as zero."""
    if kind == "log":
        rate = transformed.expm1()
    else:
        rate = transformed.clamp(min=0).square() if kind == "sqrt" else transformed
    return (rate * live_time).clamp(min=0)


def log_expected(kind: str, transformed: Tensor, live_time: Tensor) -> Tensor:
    """ln mu of predicted transformed rates: ln of the inverse from one count on, its tangent below."""
    if kind == "sqrt":
        return 2 * _log_or_tangent(transformed * live_time.sqrt())
    if kind == "log":
        middle = transformed.clamp(0, HIGHEST_LOG)
        beyond = (transformed - HIGHEST_LOG).clamp(min=0) * middle.exp().detach()
        transformed = middle.expm1() + beyond + transformed.clamp(max=0)  # slope 1 below 0, as expm1 has it at 0
    return _log_or_tangent(transformed * live_time)


def _log_or_tangent(counts: Tensor) -> Tensor:
    """ln x for x >= 1, x - 1 below; `where` alone would send the NaN of an unused ln into the gradient."""
    return torch.where(counts >= 1, counts.clamp(min=1).log(), counts - 1)
