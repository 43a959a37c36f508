"""What a pass of the autoencoder leaves to chance: which patches are hidden, and which settings are dropped.

Drawn on the CPU from one generator, for a whole batch at once, so that processes which share the batch between them can
each take their part of the same draw. Shapes as in `corebank.model`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from corebank.model.config import SETTINGS

SETTINGS_DROPPED = 0.2
"""Share of settings that the autoencoder does not see while it trains, so that it can do without any of them."""


class Chance(NamedTuple):
    """The draw for one batch, CPU tensors."""

    noise_BP: Tensor  # noqa: N815  (tensors carry their shape)
    """(B, P) float32 in [0, 1): of a spectrum's measured patches those with the smallest numbers stay visible, as in
    MAE (arXiv 2111.06377)."""

    dropped_BS: Tensor  # noqa: N815
    """(B, S) bool, the settings that count as unknown."""

    def rows(self, rank: int, world: int) -> Chance:
        """The part of rank `rank` of `world`: rows rank, rank + world, ... as the feed deals them out."""
        return Chance(self.noise_BP[rank::world], self.dropped_BS[rank::world])


def draw(spectra: int, patches: int, generator: torch.Generator, *, training: bool) -> Chance:
    """The draw for a batch of `spectra` from a CPU generator; settings are dropped in training only."""
    dropped_BS = torch.zeros((spectra, len(SETTINGS)), dtype=torch.bool)
    if training:
        dropped_BS = torch.rand(dropped_BS.shape, generator=generator) < SETTINGS_DROPPED
    return Chance(torch.rand((spectra, patches), generator=generator), dropped_BS)
