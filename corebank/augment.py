"""Variations of spectra as another scan would have given them: worse detector, other calibration, shorter live time.

Each variation has a meaning in the instrument, acts on count rates before they are normalised, and is off unless a
recipe turns it on. They follow the photon: the detector blurs its energy (resolution), the electronics read it on an
axis that is a little wrong (gain, offset) and end somewhere (cut); counting ends with the live time (thinning), and
chance comes last. Every spectrum of a batch gets its own draw. Shapes: B spectra of a batch, E energy bins.
"""

# ruff: noqa: N803, N806 - tensors carry their shape in the name, as in `corebank.model`

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from corebank.errors import RecipeError
from corebank.schema import EnergyGrid

if TYPE_CHECKING:
    import torch
    from torch import Tensor

LARGEST = {"thinning": 1.0, "gain": 0.1, "offset": 1.0, "resolution": 1.0, "cut": 1.0}
"""Largest value of each field: a gain wrong by a tenth, an offset or a blur of 1 keV take lines for other elements'.
Gains fitted to the sections of one real core differ by 0.05 %; `corebank.quality` flags 0.6 % and 40 eV."""

FWHM = 2 * math.sqrt(2 * math.log(2))
"""Full width at half maximum of a Gaussian, in standard deviations."""

REACH = 4.0
"""Standard deviations at which the blur's kernel ends: 6e-5 of the area lies beyond."""

KEPT = 0.5
"""Least share of a spectrum's measured bins that a cut leaves."""

PIECE = 64
"""Spectra that a CPU varies at once. Of 256 at once the intermediate arrays, which no longer stay in its caches, took
twice as long."""

SLACK = 1e-6
"""[bin] So much of a bin may come from what was not measured: rounding of edges that meet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Which variations, and how strong; all off by default."""

    thinning: float = 0.0
    """Smallest share of the live time that is kept; 0 turns it off. Each spectrum keeps a share drawn evenly from here
    to 1, and of its counts those that such a shorter scan would have seen."""

    gain: float = 0.0
    """Standard deviation of the relative error of the energy axis' gain."""

    offset: float = 0.0
    """[keV] Standard deviation of the error of its offset."""

    resolution: float = 0.0
    """[keV] Largest extra full width at half maximum of a line, added in squares as electronic noise is."""

    cut: float = 0.0
    """Chance that a spectrum's range ends earlier, anywhere in the upper half of its measured bins."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value <= LARGEST[name]:  # also refuses NaN
                raise RecipeError(f"augmentation.{name}", f"is {value}", f"Give a number from 0 to {LARGEST[name]:g}")

    @property
    def on(self) -> bool:
        """Whether anything varies at all."""
        return any(asdict(self).values())

    def __call__(
        self,
        rates_BE: Tensor,
        live_time_B: Tensor,
        generator: torch.Generator,
        grid: EnergyGrid,
    ) -> tuple[Tensor, Tensor]:
        """Vary each spectrum by its own draw.

        Parameters
        ----------
        rates_BE
            (B, E) floating [count/s], NaN where not measured; left as it is. B may be 0.
        live_time_B
            (B,) floating [s]. Counts are unknown where it is NaN or not positive: such a spectrum is not thinned.
        generator
            The only source of chance, on the device of the rates: its state and the arguments decide every bit.
        grid
            The energy axis of the rates.

        Returns
        -------
        The varied rates, NaN wherever the given ones are and possibly elsewhere, and the live times that go with them,
        which are shorter where spectra were thinned. With everything off these are the given tensors themselves.
        """
        import torch

        def uniform(low: float, high: float) -> Tensor:
            drawn_B = torch.rand(len(rates_BE), generator=generator, device=rates_BE.device)
            return low + (high - low) * drawn_B

        def normal(spread: float) -> Tensor:
            return spread * torch.randn(len(rates_BE), generator=generator, device=rates_BE.device)

        if self.on and rates_BE.device.type == "cpu" and len(rates_BE) > PIECE:
            split = zip(torch.split(rates_BE, PIECE), torch.split(live_time_B, PIECE), strict=True)
            varied, shorter = zip(*(self(*piece, generator, grid) for piece in split), strict=True)
            return torch.cat(varied), torch.cat(shorter)
        if self.resolution:
            rates_BE = blur(rates_BE, uniform(0, self.resolution), grid)
        if self.gain or self.offset:
            rates_BE = recalibrate(rates_BE, normal(self.gain), normal(self.offset), grid)
        if self.cut:
            chosen_B = uniform(0, 1) < self.cut
            rates_BE = cut(rates_BE, uniform(KEPT, 1).masked_fill(~chosen_B, 1))
        if self.thinning:
            return thin(rates_BE, live_time_B, uniform(self.thinning, 1), generator)
        return rates_BE, live_time_B


def blur(rates_BE: Tensor, fwhm_B: Tensor, grid: EnergyGrid) -> Tensor:
    """Widen every line: its full width at half maximum becomes the root of the sum of its own square and `fwhm_B`'s.

    A width that is the same at all energies is that of electronic noise (FWHM^2 = noise^2 + (2.355)^2 e F E: Van
    Grieken and Markowicz, Handbook of X-Ray Spectrometry, 2002, chapter 3). The kernel is a Gaussian sampled at the
    bins, cut at `REACH`. Beside what was not measured the mean is taken over the measured bins only (normalised
    convolution: Knutsson and Westin 1993, doi:10.1109/CVPR.1993.341081): a level continuum stays level up to its end,
    and a line keeps its area where the kernel does not reach an end. The counting noise that the rates carry already is
    smoothed with them, which a real detector would not do: strong blurs want thinning beside them.
    """
    import torch

    sigma_B1 = (fwhm_B / (FWHM * grid.step)).clamp(min=1e-3)[:, None]  # in bins; so narrow a kernel is a single bin
    taps = math.ceil(REACH * float(sigma_B1.max())) if len(rates_BE) else 0
    measured_BE = rates_BE.isfinite()
    sums_BE = torch.where(measured_BE, rates_BE, 0)
    weights_BE = measured_BE.to(rates_BE.dtype)
    padded = [torch.nn.functional.pad(one, (taps, taps)) for one in (sums_BE, weights_BE)]
    for tap in range(1, taps + 1):
        # A row ends its kernel by its own width, not by the widest of the batch: it must not depend on its neighbours.
        height_B1 = torch.where(tap <= REACH * sigma_B1, torch.exp(-0.5 * (tap / sigma_B1) ** 2), 0)
        for place in (taps - tap, taps + tap):
            sums_BE.addcmul_(height_B1, padded[0][:, place : place + grid.bins])
            weights_BE.addcmul_(height_B1, padded[1][:, place : place + grid.bins])
    return torch.where(measured_BE, sums_BE / weights_BE, torch.nan)


def recalibrate(rates_BE: Tensor, gain_B: Tensor, offset_B: Tensor, grid: EnergyGrid) -> Tensor:
    """Read every photon of energy E at E (1 + `gain_B`) + `offset_B` [keV] instead, counts conserved.

    As in `corebank.calibrate`, counts are spread evenly over the width of their bin, and the running sum is read at the
    new edges. A bin is measured where everything that moves into it was: what moves beyond the axis is lost, and what
    would come from beyond it is not measured.
    """
    import torch
    from torch.nn import functional

    edges_F = torch.from_numpy(grid.edges).to(rates_BE.device)
    # Where the edges of the new bins lie on the old axis, in bins from its low end; running sums need float64.
    energy_BF = (edges_F - offset_B.double()[:, None]) / (1 + gain_B.double()[:, None])
    wanted_BF = (energy_BF - grid.edges[0]) / grid.step
    at_BF = wanted_BF.clamp(0, grid.bins)
    left_BF = at_BF.long().clamp(max=grid.bins - 1)
    share_BF = at_BF - left_BF

    def moved(values_BE: Tensor) -> Tensor:
        sums_BF = functional.pad(values_BE.cumsum(dim=1, dtype=torch.float64), (1, 0))
        moved_BE: Tensor = (sums_BF.gather(1, left_BF) + share_BF * values_BE.gather(1, left_BF)).diff(dim=1)
        return moved_BE

    measured_BE = rates_BE.isfinite()
    beyond_BE = (wanted_BF - at_BF).diff(dim=1)
    missing_BE = moved((~measured_BE).to(rates_BE.dtype)) + beyond_BE
    counts_BE = moved(torch.where(measured_BE, rates_BE, 0))
    return torch.where(missing_BE < SLACK, counts_BE, torch.nan).to(rates_BE.dtype)


def cut(rates_BE: Tensor, share_B: Tensor) -> Tensor:
    """Leave the lowest `share_B` of each spectrum's measured bins, rounded up; the others become not measured."""
    import torch

    measured_BE = rates_BE.isfinite()
    rank_BE = measured_BE.cumsum(dim=1)
    limit_B1 = (share_B * measured_BE.sum(dim=1)).ceil()[:, None]
    return torch.where(rank_BE <= limit_B1, rates_BE, torch.nan)


def thin(
    rates_BE: Tensor,
    live_time_B: Tensor,
    share_B: Tensor,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """What a scan of `share_B` times the live time would have counted, as rates [count/s], and its live time [s].

    Of N counts each is kept with the chance s, so Binomial(N, s) are left: if N follows Poisson's law, so does what is
    left, as in a scan that really was shorter (Kingman 1993, Poisson Processes, section 5.1). To draw Poisson(s N)
    instead would add the noise of N a second time. A bin of the common grid holds the counts of whole channels and a
    fraction f of a count beside N whole ones; the fraction stays or goes as one count does. The mean is s (N + f), the
    variance s (1 - s) (N + f^2), and nothing changes at s = 1. Bins that share a channel's photons are drawn apart.
    Rates below zero, of spectra with the background taken off, are no counts and stay. So does a spectrum without a
    live time.
    """
    import torch

    known_B = live_time_B.isfinite() & (live_time_B > 0)
    share_B = torch.where(known_B, share_B.to(live_time_B.dtype), 1)
    seconds_B1 = torch.where(known_B, live_time_B, 1).to(rates_BE.dtype)[:, None]
    chance_BE = share_B.to(rates_BE.dtype)[:, None].expand_as(rates_BE)
    counts_BE = rates_BE.nan_to_num(0).clamp(min=0) * seconds_B1
    whole_BE = counts_BE.floor()
    stays_BE = torch.rand(rates_BE.shape, generator=generator, device=rates_BE.device) < chance_BE
    kept_BE = torch.binomial(whole_BE, chance_BE, generator=generator) + (counts_BE - whole_BE) * stays_BE
    thinned_BE = kept_BE / (seconds_B1 * chance_BE)
    varies_BE = known_B[:, None] & (rates_BE > 0)
    return torch.where(varies_BE, thinned_BE, rates_BE), live_time_B * share_B
