"""The networks: a masked autoencoder on spectra, and the quantifier that is fine-tuned from its encoder.

Tokens are patches of the energy axis. A patch takes part only when every one of its bins was measured: the others are
never attended to, never predicted and never in the loss, so spectra of any detector meet on one axis. With
``settings=False``, everything measured, 2048 bins of 20 eV and the preset ``base`` the network is the published MAX
(Lee et al. 2024, arXiv 2410.12330), down to the names of its weights; it descends from MAE (He et al. 2022,
arXiv 2111.06377).

Shapes, in the names of the tensors:
B batch, E energy bins, P patches of the axis, p bins in a patch, V visible patches, M measured patches, N hidden
patches of a whole batch, S machine settings, T tokens of a sequence (class token, patches, settings), W width, H heads,
D width of a head.

V and M are the largest number in the batch; shorter spectra are padded and the padding is masked in the attention.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from corebank.model.config import CODES, PRESETS, SETTINGS, ModelConfig
from corebank.model.layers import Block, PatchEmbed, SettingTokens, attendable, gather, positions, start

SETTINGS_DROPPED = 0.2
"""Share of settings that the autoencoder does not see while it trains, so that it can do without any of them."""


class Reconstruction(NamedTuple):
    """What the autoencoder made of the hidden patches, in normalised units."""

    loss: Tensor
    """() mean squared error over the bins of the hidden patches of the batch; 0 when nothing could be hidden."""

    prediction_BPp: Tensor  # noqa: N815  (tensors carry their shape)
    """(B, P, p) predicted values of the hidden patches, NaN in every other patch."""

    masked_BP: Tensor  # noqa: N815
    """(B, P) bool, the hidden patches."""


class SpectrumEncoder(nn.Module):
    """What the autoencoder and the quantifier share: spectrum and settings in, tokens out."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config.patch, config.width)
        self.cls_token = nn.Parameter(torch.empty(1, 1, config.width))
        self.register_buffer("pos_embed", positions(config, config.width))
        self.pos_embed: Tensor
        self.setting_tokens = SettingTokens(config.width) if config.settings else None
        self.blocks = nn.ModuleList(Block(config.width, config.heads, config.mlp_ratio) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        nn.init.normal_(self.cls_token, std=0.02)

    def embed(self, values_BE: Tensor, measured_BE: Tensor, settings_BS: Tensor | None = None) -> Tensor:
        """The encoder's summary of whole spectra, (B, W): its class token.

        `values_BE` are normalised rates; what they hold where `measured_BE` is False never matters. `settings_BS` may
        be None (all unknown), and is not looked at by a network without settings.
        """
        patches_BPp, whole_BP = self._patches(values_BE, measured_BE)
        order_BP = whole_BP.logical_not().to(torch.uint8).argsort(dim=1, stable=True)
        return self._encode(patches_BPp, order_BP, whole_BP.sum(1), settings_BS)[:, 0]

    def _patches(self, values_BE: Tensor, measured_BE: Tensor) -> tuple[Tensor, Tensor]:
        """Patches (B, P, p), zero where not measured (a mask does not stop NaN: 0 * NaN is NaN); which are whole."""
        assert values_BE.shape[1] == self.config.bins, (values_BE.shape, self.config.bins)
        shape = (len(values_BE), self.config.patches, self.config.patch)
        return torch.where(measured_BE, values_BE, 0).reshape(shape), measured_BE.reshape(shape).all(-1)

    def _encode(self, patches_BPp: Tensor, order_BP: Tensor, visible_B: Tensor, settings_BS: Tensor | None) -> Tensor:
        """Encode the first `visible_B` patches of `order_BP`: (B, T, W), class token, then V patches, then settings."""
        order_BV = order_BP[:, : int(visible_B.max())]
        tokens_BVW = self.patch_embed(gather(patches_BPp, order_BV)) + self.pos_embed[0, 1:][order_BV]
        cls_B1W = (self.cls_token + self.pos_embed[:, :1]).expand(len(tokens_BVW), -1, -1)
        x_BTW = torch.cat((cls_B1W, tokens_BVW), dim=1)
        if self.setting_tokens is not None:
            if settings_BS is None:
                settings_BS = torch.full((len(x_BTW), len(SETTINGS)), torch.nan, device=x_BTW.device)
            x_BTW = torch.cat((x_BTW, self.setting_tokens(settings_BS)), dim=1)
        attend_BT = attendable(visible_B, order_BV.shape[1], x_BTW.shape[1])
        for block in self.blocks:
            x_BTW = block(x_BTW, attend_BT)
        encoded_BTW: Tensor = self.norm(x_BTW)
        return encoded_BTW


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

    def forward(
        self,
        values_BE: Tensor,
        measured_BE: Tensor,
        settings_BS: Tensor | None,
        mask_ratio: float,
        generator: torch.Generator,
    ) -> Reconstruction:
        """Hide a share `mask_ratio` of each spectrum's measured patches and predict them.

        `generator` is a CPU generator and the only source of chance: it draws the mask and, in training, which settings
        are dropped. Of n measured patches int(n (1 - mask_ratio)) stay visible, as in MAE.
        """
        if self.training and settings_BS is not None:
            dropped_BS = torch.rand(settings_BS.shape, generator=generator) < SETTINGS_DROPPED
            settings_BS = settings_BS.masked_fill(dropped_BS.to(settings_BS.device), torch.nan)
        patches_BPp, whole_BP = self._patches(values_BE, measured_BE)
        noise_BP = torch.rand(whole_BP.shape, generator=generator).to(whole_BP.device)
        order_BP = noise_BP.masked_fill(~whole_BP, 2.0).argsort(dim=1)  # measured patches first, in random order
        measured_B = whole_BP.sum(1)
        visible_B = (measured_B.double() * (1 - mask_ratio)).long()
        x_BTW = self._encode(patches_BPp, order_BP, visible_B, settings_BS)
        return self._decode(x_BTW, patches_BPp, order_BP, visible_B, measured_B)

    def _decode(
        self,
        x_BTW: Tensor,
        patches_BPp: Tensor,
        order_BP: Tensor,
        visible_B: Tensor,
        measured_B: Tensor,
    ) -> Reconstruction:
        """Predict the patches that follow the visible ones in `order_BP`; the decoder sees all that were measured."""
        visible, measured = int(visible_B.max()), int(measured_B.max())
        order_BM = order_BP[:, :measured]
        slot_M = torch.arange(measured, device=x_BTW.device)
        x_B1W, x_BVW = self.decoder_embed(x_BTW[:, : 1 + visible]).split((1, visible), dim=1)
        x_BMW = functional.pad(x_BVW, (0, 0, 0, measured - visible))
        x_BMW = torch.where((slot_M < visible_B[:, None])[..., None], x_BMW, self.mask_token)
        x_BTW = torch.cat(
            (
                x_B1W + self.decoder_pos_embed[:, :1],
                x_BMW + self.decoder_pos_embed[0, 1:][order_BM],
            ),
            dim=1,
        )
        attend_BT = attendable(measured_B, measured, 1 + measured)
        for block in self.decoder_blocks:
            x_BTW = block(x_BTW, attend_BT)
        masked_BM = (slot_M >= visible_B[:, None]) & (slot_M < measured_B[:, None])
        prediction_Np = self.decoder_pred(self.decoder_norm(x_BTW[:, 1:][masked_BM]))
        squares = (prediction_Np - gather(patches_BPp, order_BM)[masked_BM]).square().sum()
        batch_N, slot_N = masked_BM.nonzero(as_tuple=True)
        patch_N = order_BM[batch_N, slot_N]
        prediction_BPp = torch.full_like(patches_BPp, torch.nan)
        prediction_BPp[batch_N, patch_N] = prediction_Np.detach().to(prediction_BPp.dtype)
        masked_BP = torch.zeros(order_BP.shape, dtype=torch.bool, device=order_BP.device)
        masked_BP[batch_N, patch_N] = True
        return Reconstruction(squares / max(prediction_Np.numel(), 1), prediction_BPp, masked_BP)


class Quantifier(SpectrumEncoder):
    """The encoder with a head: one number per proxy, in the proxy's transformed units (see `bundle.Proxy`).

    The head is linear, or has one hidden layer of `hidden` units. An untrained one predicts the mean of its labels.
    """

    def __init__(self, config: ModelConfig, n_proxies: int, *, hidden: int = 0) -> None:
        super().__init__(config)
        last = nn.Linear(hidden or config.width, n_proxies)
        self.head: nn.Module = nn.Sequential(nn.Linear(config.width, hidden), nn.GELU(), last) if hidden else last
        self.apply(start)
        nn.init.zeros_(last.weight)

    def forward(self, values_BE: Tensor, measured_BE: Tensor, settings_BS: Tensor | None = None) -> Tensor:
        """(B, n_proxies) predictions."""
        prediction: Tensor = self.head(self.embed(values_BE, measured_BE, settings_BS))
        return prediction


def encoder_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a `SpectrumMAE` or `Quantifier` that belong to its encoder."""
    foreign = ("decoder_", "mask_token", "head.")
    return {name: weight for name, weight in weights.items() if not name.startswith(foreign)}


def hidden_width(weights: Mapping[str, Tensor]) -> int:
    """Units in the hidden layer of the head of the `Quantifier` whose weights these are; 0 when it is linear."""
    return len(weights["head.0.weight"]) if "head.0.weight" in weights else 0


def first_outputs(weights: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """The weights of a `Quantifier` of which only the first `count` outputs are kept."""
    last = "head.2." if hidden_width(weights) else "head."
    return {name: weight[:count] if name.startswith(last) else weight for name, weight in weights.items()}


__all__ = [
    "CODES",
    "PRESETS",
    "SETTINGS",
    "ModelConfig",
    "Quantifier",
    "Reconstruction",
    "SpectrumEncoder",
    "SpectrumMAE",
    "encoder_weights",
    "first_outputs",
    "hidden_width",
    "positions",
]
