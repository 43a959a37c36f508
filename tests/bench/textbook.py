"""The published networks as a textbook writes them, to measure ours against: the masked autoencoder and its regressor.

Written from the description of MAX (Lee et al. 2024, arXiv 2410.12330) and MAE (He et al. 2022, arXiv 2111.06377): a
convolution cuts the patches, every patch is embedded before half are thrown away, attention is the two matrix products
and the softmax written out, every token is decoded and predicted, and the loss then picks the hidden ones. Names of
weights are timm's, as in the published checkpoints. It knows no machine: whatever stands in a spectrum is a token.

Shapes as in `corebank.model`; K kept patches, L = 1 + P tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from corebank.model import ModelConfig


class Output(NamedTuple):
    """What the autoencoder of a textbook returns."""

    loss: Tensor
    """() mean squared error over the patches that `hidden` marks (and `known` lets count)."""

    prediction: Tensor
    """(B, P, p) every patch, also the visible ones."""

    hidden: Tensor
    """(B, P) float, 1 where hidden."""


class Attention(nn.Module):
    """Multi-head self-attention, softmax(q k^T / sqrt(D)) v."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        weights = (q * self.scale @ k.transpose(-2, -1)).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    """Two layers with a GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm: attention, then the two layers, each added to its input."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, width * mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """A convolution whose kernel is as wide as its stride."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv1d(1, width, kernel_size=patch, stride=patch)

    def forward(self, values: Tensor) -> Tensor:
        return self.proj(values[:, None]).transpose(1, 2)


def sine_cosine(width: int, patches: int) -> Tensor:
    """(1, 1 + P, width): zeros for the class token, then sines and cosines of the number of the patch."""
    code = np.zeros((1 + patches, width))
    for patch in range(patches):
        for i in range(width // 2):
            angle = patch / 10000 ** (i / (width / 2))
            code[1 + patch, i], code[1 + patch, width // 2 + i] = np.sin(angle), np.cos(angle)
    return torch.from_numpy(code).float()[None]


class Encoder(nn.Module):
    """What autoencoder and regressor share; positions are parameters that never learn, so they stand in checkpoints."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config.patch, config.width)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, config.width))
        self.pos_embed = nn.Parameter(sine_cosine(config.width, config.patches), requires_grad=False)
        self.blocks = nn.ModuleList(Block(config.width, config.heads, config.mlp_ratio) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=1e-6)

    def with_class_token(self, x: Tensor) -> Tensor:
        """Put the class token in front, and run the blocks."""
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)
        x = torch.cat((cls, x), dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Autoencoder(Encoder):
    """The masked autoencoder."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        width = config.decoder_width
        self.decoder_embed = nn.Linear(config.width, width)
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.decoder_pos_embed = nn.Parameter(sine_cosine(width, config.patches), requires_grad=False)
        self.decoder_blocks = nn.ModuleList(
            Block(width, config.decoder_heads, config.mlp_ratio) for _ in range(config.decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(width, eps=1e-6)
        self.decoder_pred = nn.Linear(width, config.patch)

    def forward(self, values: Tensor, mask_ratio: float, noise: Tensor, known: Tensor | None = None) -> Output:
        """Hide the patches with the largest noise and predict them; `known` (B, P) says which count in the loss."""
        x = self.patch_embed(values) + self.pos_embed[:, 1:]
        batch, patches, width = x.shape
        kept = int(patches * (1 - mask_ratio))
        shuffled = noise.argsort(dim=1)
        restore = shuffled.argsort(dim=1)
        x = x.gather(1, shuffled[:, :kept, None].repeat(1, 1, width))
        hidden = torch.ones(batch, patches)
        hidden[:, :kept] = 0
        hidden = hidden.gather(1, restore)
        x = self.decoder_embed(self.with_class_token(x))
        masks = self.mask_token.repeat(batch, patches - kept, 1)
        tokens = torch.cat((x[:, 1:], masks), dim=1).gather(1, restore[..., None].repeat(1, 1, x.shape[-1]))
        x = torch.cat((x[:, :1], tokens), dim=1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            x = block(x)
        prediction = self.decoder_pred(self.decoder_norm(x))[:, 1:]
        counts = hidden if known is None else hidden * known
        errors = (prediction - values.reshape(prediction.shape)).square().mean(dim=-1)
        return Output((errors * counts).sum() / counts.sum(), prediction, hidden)


class Regressor(Encoder):
    """The encoder with one linear output on its class token; targets are z-scores."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.fc = nn.Linear(config.width, 1)

    def forward(self, values: Tensor) -> Tensor:
        """(B, 1) of normalised spectra (B, E)."""
        return self.fc(self.with_class_token(self.patch_embed(values) + self.pos_embed[:, 1:])[:, 0])
