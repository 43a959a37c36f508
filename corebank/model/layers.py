"""The parts that the networks are built of: attention, blocks, patch embedding, settings tokens, positions.

Shapes as in `corebank.model`.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from corebank.model.config import CODES, SETTINGS, ModelConfig

PATCH_KEV = 0.32
"""[keV] One step of the position code: MAX counts patches of 16 bins of 20 eV."""

FIRST_CENTRE_KEV = 0.15
"""[keV] Centre of MAX's patch 0 (bins 0 to 15 of 20 eV), where its position code is zero."""


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x_BTW: Tensor, attend_BT: Tensor | None, wanted: slice | None = None) -> Tensor:
        """Mix the tokens; `attend_BT` (bool) tells which may be looked at, None means all.

        What comes out is the mixture for the tokens `wanted`, or for all of them.
        """
        if wanted is None:
            q_BHTD, k_BHTD, v_BHTD = self._heads(self.qkv(x_BTW), 3)
        else:  # the others are looked at, but need not look
            width = x_BTW.shape[-1]
            q_W, kv_W = torch.split(self.qkv.weight, [width, 2 * width])
            q_bias, kv_bias = torch.split(self.qkv.bias, [width, 2 * width])
            (q_BHTD,) = self._heads(functional.linear(x_BTW[:, wanted], q_W, q_bias), 1)
            k_BHTD, v_BHTD = self._heads(functional.linear(x_BTW, kv_W, kv_bias), 2)
        mask = None if attend_BT is None else attend_BT[:, None, None, :]
        mixed: Tensor = self.proj(attention(q_BHTD, k_BHTD, v_BHTD, mask).transpose(1, 2).flatten(2))
        return mixed

    def _heads(self, x_BTW: Tensor, parts: int) -> tuple[Tensor, ...]:
        """Cut (B, T, parts x W) into as many tensors (B, H, T, D)."""
        spectra, tokens, width = x_BTW.shape
        x_BTpHD = x_BTW.reshape(spectra, tokens, parts, self.heads, width // (parts * self.heads))
        return x_BTpHD.permute(2, 0, 3, 1, 4).unbind()


def attention(q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(q k^T / sqrt(D)) v, by the kernel that is the fastest for these tensors.

    The fused kernel of a processor without matrix units (AMX) takes four to five times as long in bfloat16 as the two
    products written out, which have fast bfloat16 instructions (``python -m tests.bench.model``).
    """
    if q_BHTD.dtype != torch.bfloat16 or q_BHTD.device.type != "cpu":
        return functional.scaled_dot_product_attention(q_BHTD, k_BHTD, v_BHTD, attn_mask=mask)
    weights_BHTT = q_BHTD * q_BHTD.shape[-1] ** -0.5 @ k_BHTD.transpose(-2, -1)
    if mask is not None:
        weights_BHTT = weights_BHTT.masked_fill(~mask, -torch.inf)
    mixed_BHTD: Tensor = weights_BHTT.softmax(dim=-1).to(v_BHTD.dtype) @ v_BHTD
    return mixed_BHTD


class Mlp(nn.Module):
    """The two-layer network of a block."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x_BTW: Tensor) -> Tensor:
        """Apply it to each token."""
        y_BTW: Tensor = self.fc2(functional.gelu(self.fc1(x_BTW)))
        return y_BTW


class Block(nn.Module):
    """A pre-norm transformer block, with the weight names of timm's."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, mlp_ratio * width)

    def forward(self, x_BTW: Tensor, attend_BT: Tensor | None, wanted: slice | None = None) -> Tensor:
        """One round of attention and two-layer network, both added to the input; only for the tokens `wanted`."""
        mixed_BTW = self.attn(self.norm1(x_BTW), attend_BT, wanted)
        x_BTW = (x_BTW if wanted is None else x_BTW[:, wanted]) + mixed_BTW
        y_BTW: Tensor = x_BTW + self.mlp(self.norm2(x_BTW))
        return y_BTW


def run(blocks: nn.ModuleList, x_BTW: Tensor, attend_BT: Tensor | None, wanted: slice | None) -> Tensor:
    """Run blocks one after the other, the last one only for the tokens `wanted`: nobody looks at the others again."""
    for number, block in enumerate(blocks, start=1):
        x_BTW = block(x_BTW, attend_BT, wanted if number == len(blocks) else None)
    return x_BTW


class PatchEmbed(nn.Module):
    """A linear map of each patch, kept as the convolution that MAX stores it as."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv1d(1, width, kernel_size=patch, stride=patch)

    def forward(self, patches_BVp: Tensor) -> Tensor:
        """(B, V, W) tokens of the given patches."""
        return functional.linear(patches_BVp, self.proj.weight[:, 0], self.proj.bias)  # also for no patch at all


class SettingTokens(nn.Module):
    """One token per machine setting; each has a learned token for "unknown"."""

    REFERENCES = (30.0, 30.0, 10.0)
    """[kV, mA, s] Everyday Itrax values; the logarithm of the ratio to them is of order one for every scanner."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.anode = nn.Embedding(100, width)  # by atomic number; heavier anodes do not exist
        self.filter = nn.Embedding(CODES, width)
        self.head = nn.Embedding(CODES, width)
        self.scale = nn.Parameter(torch.empty(3, width))
        self.kind = nn.Parameter(torch.empty(len(SETTINGS), width))
        self.unknown = nn.Parameter(torch.empty(len(SETTINGS), width))
        for weight in (self.anode.weight, self.filter.weight, self.head.weight, self.scale, self.kind, self.unknown):
            nn.init.normal_(weight, std=0.02)
        self.register_buffer("reference", torch.tensor(self.REFERENCES), persistent=False)
        self.reference: Tensor

    def forward(self, settings_BS: Tensor) -> Tensor:
        """(B, S, W) tokens; NaN, and a voltage, current or time that is not positive, are unknown."""
        anode_B, filter_B, head_B = settings_BS[:, [0, 4, 5]].nan_to_num(0).long().unbind(1)
        numbers_B3 = settings_BS[:, 1:4]
        logs_B3 = torch.where(numbers_B3 > 0, (numbers_B3 / self.reference).log(), 0)
        values_BSW = torch.cat(
            (
                self.anode(anode_B)[:, None],
                logs_B3[..., None] * self.scale,
                torch.stack((self.filter(filter_B), self.head(head_B)), dim=1),
            ),
            dim=1,
        )
        known_BS = settings_BS.isfinite()
        known_BS = torch.cat((known_BS[:, :1], known_BS[:, 1:4] & (numbers_B3 > 0), known_BS[:, 4:]), dim=1)
        return torch.where(known_BS[..., None], values_BSW + self.kind, self.unknown)


def positions(config: ModelConfig, width: int) -> Tensor:
    """Sine-cosine code of each patch's energy, (1, 1 + P, width) float32; zero for the class token, which comes first.

    The formula is that of MAE (its 1-D grid code), the argument (centre of the patch - 0.15 keV) / 0.32 keV: on bins of
    20 eV from 0 keV and patches of 16 that is MAX's patch index, and the same energy has the same code on every grid.
    """
    bin_P = np.arange(config.patches) * config.patch + (config.patch - 1) / 2
    centre_P = config.energy_start + config.energy_step * bin_P
    omega = 1 / 10000 ** (np.arange(width // 2) / (width / 2))
    angle = np.outer((centre_P - FIRST_CENTRE_KEV) / PATCH_KEV, omega)
    code: NDArray[np.float64] = np.concatenate((np.sin(angle), np.cos(angle)), axis=1)
    return torch.from_numpy(np.concatenate((np.zeros((1, width)), code))[None].astype(np.float32))


def attendable(count_B: Tensor, longest: int, tokens: int) -> Tensor | None:
    """(B, T) bool: which tokens of padded sequences are real, where token 1 + i is patch i; None when all are.

    The class token and what follows the `longest` patches (the settings) are always real.
    """
    if bool((count_B == longest).all()):
        return None  # the unmasked attention kernels are faster
    token_T = torch.arange(tokens, device=count_B.device)
    return (token_T <= count_B[:, None]) | (token_T > longest)


def largest(count_B: Tensor) -> int:
    """The largest of some counts, 0 of none."""
    return int(count_B.max()) if len(count_B) else 0


def smallest(count_B: Tensor) -> int:
    """The smallest of some counts, 0 of none."""
    return int(count_B.min()) if len(count_B) else 0


def gather(patches_BPp: Tensor, order_BV: Tensor) -> Tensor:
    """(B, V, p) patches in the given order."""
    return patches_BPp.gather(1, order_BV[..., None].expand(-1, -1, patches_BPp.shape[-1]))


def start(module: nn.Module) -> None:
    """First weights as in MAE: Xavier-uniform matrices and patch embedding, zero biases."""
    if isinstance(module, nn.Linear | nn.Conv1d):
        nn.init.xavier_uniform_(module.weight.view(module.weight.shape[0], -1))
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
