"""The masked autoencoder. Shapes as in `corebank.model`; R patches that the decoder is asked for, L = 1 + M tokens."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from corebank.model.alike import cut
from corebank.model.chance import Chance, draw
from corebank.model.config import ModelConfig
from corebank.model.deviance import RateScale
from corebank.model.encoder import SpectrumEncoder
from corebank.model.layers import Block, attendable, gather, largest, positions, run, smallest, start


class Reconstruction(NamedTuple):
    """What the autoencoder made of the hidden patches, in normalised units."""

    loss: Tensor
    """() mean over the bins of the hidden patches of the batch, of the squared error of normalised values or of the
    Poisson deviance of counts; 0 when nothing could be hidden."""

    prediction_BPp: Tensor  # noqa: N815  (tensors carry their shape)
    """(B, P, p) predicted values of the hidden patches, NaN in every other patch."""

    masked_BP: Tensor  # noqa: N815
    """(B, P) bool, the hidden patches."""

    bins: Tensor
    """() int64, the bins of the hidden patches, which `loss` is the mean over: its weight among other batches."""


class SpectrumMAE(SpectrumEncoder):
    """The masked autoencoder: predicts hidden patches of a spectrum from the visible ones.

    Weights start from the global random state of torch: seed it first for a repeatable network.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        width = config.decoder_width
        self.decoder_embed = nn.Linear(config.width, width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.register_buffer("decoder_pos_embed", positions(config, width))
        self.decoder_pos_embed: Tensor
        self.decoder_blocks = nn.ModuleList(
            Block(width, config.decoder_heads, config.mlp_ratio) for _ in range(config.decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(width, eps=1e-6)
        self.decoder_pred = nn.Linear(width, config.patch)
        nn.init.normal_(self.mask_token, std=0.02)
        self.apply(start)

    def draw(self, spectra: int, generator: torch.Generator) -> Chance:
        """What `forward` draws from `generator` for a batch of so many spectra; in training, settings are dropped."""
        return draw(spectra, self.config.patches, generator, training=self.training)

    def forward(
        self,
        values_BE: Tensor,
        measured_BE: Tensor,
        settings_BS: Tensor | None,
        mask_ratio: float,
        chance: torch.Generator | Chance,
        *,
        rate_scale: RateScale | None = None,
    ) -> Reconstruction:
        """Hide a share `mask_ratio` of each spectrum's measured patches and predict them.

        `chance` is the only source of chance, a CPU generator or what `draw` drew from one: the mask and, in training,
        which settings are dropped. Of n measured patches int(n (1 - mask_ratio)) stay visible, as in MAE. With
        `rate_scale` the loss is the Poisson deviance of counts, without it the squared error of normalised values.
        """
        if isinstance(chance, torch.Generator):
            chance = self.draw(len(values_BE), chance)
        device = values_BE.device
        dropped_BS = chance.dropped_BS.to(device)
        settings_BS = self._settings(settings_BS, values_BE).masked_fill(dropped_BS, torch.nan)
        patches_BPp, whole_BP = self._patches(values_BE, measured_BE)
        noise_BP = chance.noise_BP.to(device)
        order_BP = noise_BP.masked_fill(~whole_BP, 2.0).argsort(dim=1)  # measured patches first, in random order
        measured_B = whole_BP.sum(1)
        visible_B = (measured_B.double() * (1 - mask_ratio)).long()
        prediction_BPp = torch.full_like(patches_BPp, torch.nan)
        masked_BP = torch.zeros_like(whole_BP)
        total = torch.zeros((), device=device)
        for part_B in cut(measured_B):
            rows_B = part_B.to(device)
            patches, order, visible, measured = (one[rows_B] for one in (patches_BPp, order_BP, visible_B, measured_B))
            x_BTW = self._encode(patches, order, visible, settings_BS[rows_B])
            predicted_BRp, hidden_BR, order_BR = self._decode(x_BTW, order, visible, measured)
            target_BRp = gather(patches, order_BR)
            if rate_scale is None:
                errors_BRp = (predicted_BRp - target_BRp).square()
            else:
                errors_BRp = rate_scale.deviance(predicted_BRp, target_BRp, rows_B)
            total = total + torch.where(hidden_BR[..., None], errors_BRp, 0).sum()
            shown_BRp = predicted_BRp.detach().masked_fill(~hidden_BR[..., None], torch.nan)
            place_BR = rows_B[:, None] * order_BP.shape[1] + order_BR
            prediction_BPp.view(-1, patches_BPp.shape[-1])[place_BR] = shown_BRp.to(prediction_BPp.dtype)
            masked_BP.view(-1)[place_BR] = hidden_BR
        bins = (measured_B - visible_B).sum() * patches_BPp.shape[-1]
        return Reconstruction(total / bins.clamp(min=1), prediction_BPp, masked_BP, bins)

    def _decode(
        self,
        x_BTW: Tensor,
        order_BP: Tensor,
        visible_B: Tensor,
        measured_B: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Predict the patches that follow the visible ones in `order_BP`; the decoder sees all that were measured.

        Returns predictions (B, R, p) float32, which of them are hidden patches and no padding (B, R), and which
        patches they are (B, R).
        """
        visible, measured, first = largest(visible_B), largest(measured_B), smallest(visible_B)
        order_BM = order_BP[:, :measured]
        slot_M = torch.arange(measured, device=x_BTW.device)
        x_B1W, x_BVW = self.decoder_embed(x_BTW).split((1, visible), dim=1)
        x_BMW = functional.pad(x_BVW, (0, 0, 0, measured - visible))
        x_BMW = torch.where((slot_M < visible_B[:, None])[..., None], x_BMW, self.mask_token)
        x_BLW = torch.cat(
            (
                x_B1W + self.decoder_pos_embed[:, :1],
                x_BMW + self.decoder_pos_embed[0, 1:][order_BM],
            ),
            dim=1,
        )
        attend_BL = attendable(measured_B, measured, 1 + measured)
        x_BRW = run(self.decoder_blocks, x_BLW, attend_BL, slice(1 + first, None))
        predicted_BRp = self.decoder_pred(self.decoder_norm(x_BRW)).float()
        hidden_BM = (slot_M >= visible_B[:, None]) & (slot_M < measured_B[:, None])
        return predicted_BRp, hidden_BM[:, first:], order_BM[:, first:]
