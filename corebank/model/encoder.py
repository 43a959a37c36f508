"""The encoder that autoencoder and quantifier share, and the quantifier. Shapes as in `corebank.model`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from corebank.model.alike import cut
from corebank.model.config import SETTINGS, ModelConfig
from corebank.model.layers import Block, PatchEmbed, SettingTokens, attendable, gather, largest, positions, run, start


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
        measured_B, settings_BS = whole_BP.sum(1), self._settings(settings_BS, values_BE)
        parts = [rows_B.to(values_BE.device) for rows_B in cut(measured_B)]
        class_BW = [
            self._encode(patches_BPp[rows], order_BP[rows], measured_B[rows], settings_BS[rows], slice(0, 1))[:, 0]
            for rows in parts
        ]
        back_B = torch.cat(parts).argsort()
        return torch.cat(class_BW)[back_B]

    def _patches(self, values_BE: Tensor, measured_BE: Tensor) -> tuple[Tensor, Tensor]:
        """Patches (B, P, p), zero where not measured (a mask does not stop NaN: 0 * NaN is NaN); which are whole."""
        assert values_BE.shape[1] == self.config.bins, (values_BE.shape, self.config.bins)
        shape = (len(values_BE), self.config.patches, self.config.patch)
        return torch.where(measured_BE, values_BE, 0).reshape(shape), measured_BE.reshape(shape).all(-1)

    def _settings(self, settings_BS: Tensor | None, like: Tensor) -> Tensor:
        """The settings, all unknown where they are not given."""
        if settings_BS is None:
            settings_BS = torch.full((len(like), len(SETTINGS)), torch.nan, device=like.device)
        return settings_BS

    def _encode(
        self,
        patches_BPp: Tensor,
        order_BP: Tensor,
        visible_B: Tensor,
        settings_BS: Tensor,
        wanted: slice | None = None,
    ) -> Tensor:
        """Encode the first `visible_B` patches of `order_BP`: (B, T, W), class token, then V patches.

        The settings' tokens come last and only to be looked at. Of what would come out, the tokens `wanted` do.
        """
        order_BV = order_BP[:, : largest(visible_B)]
        tokens_BVW = self.patch_embed(gather(patches_BPp, order_BV)) + self.pos_embed[0, 1:][order_BV]
        cls_B1W = (self.cls_token + self.pos_embed[:, :1]).expand(len(tokens_BVW), -1, -1)
        tokens = [cls_B1W, tokens_BVW]
        if self.setting_tokens is not None:
            tokens.append(self.setting_tokens(settings_BS))
            wanted = slice(0, 1 + order_BV.shape[1]) if wanted is None else wanted
        x_BTW = torch.cat(tokens, dim=1)
        attend_BT = attendable(visible_B, order_BV.shape[1], x_BTW.shape[1])
        encoded_BTW: Tensor = self.norm(run(self.blocks, x_BTW, attend_BT, wanted))
        return encoded_BTW


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
