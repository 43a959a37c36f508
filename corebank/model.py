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

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from corebank.errors import RecipeError
from corebank.schema import EnergyGrid

SETTINGS: tuple[str, ...] = ("anode", "tube_voltage", "tube_current", "live_time", "filter", "head")
"""The columns of a settings tensor (B, S): atomic number, kV, mA, s, code of a name, code of a name; NaN = unknown."""

CODES = 64
"""Filters and heads are free text; their names share this many learned tokens, by hash."""

SETTINGS_DROPPED = 0.2
"""Share of settings that the autoencoder does not see while it trains, so that it can do without any of them."""

PATCH_KEV = 0.32
"""[keV] One step of the position code: MAX counts patches of 16 bins of 20 eV."""

FIRST_CENTRE_KEV = 0.15
"""[keV] Centre of MAX's patch 0 (bins 0 to 15 of 20 eV), where its position code is zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Sizes of a network and the energy axis it reads; `PRESETS` holds the usual ones."""

    patch: int = 16
    """Energy bins in a token."""

    width: int = 768
    """Width of the encoder."""

    depth: int = 12
    """Blocks of the encoder."""

    heads: int = 12
    """Attention heads of the encoder."""

    decoder_width: int = 512
    """Width of the decoder."""

    decoder_depth: int = 8
    """Blocks of the decoder."""

    decoder_heads: int = 16
    """Attention heads of the decoder."""

    mlp_ratio: int = 4
    """Hidden width of a block's two-layer network, in widths."""

    bins: int = 2048
    """Bins of the energy axis."""

    energy_start: float = 0.0
    """Centre of the first bin [keV]."""

    energy_step: float = 0.02
    """Width of a bin [keV]."""

    settings: bool = True
    """Whether the machine settings enter as tokens."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name != "energy_start" and name != "settings" and not value > 0:
                raise RecipeError(f"model.{name}", f"is {value}", "Give a positive number")
        if self.bins % self.patch:
            raise RecipeError("model.patch", f"{self.bins} bins are no multiple of {self.patch}", "Give a divisor")
        for width, heads in (("width", "heads"), ("decoder_width", "decoder_heads")):
            if getattr(self, width) % (2 * getattr(self, heads)):
                raise RecipeError(
                    f"model.{width}",
                    f"{getattr(self, width)} is no multiple of twice its {getattr(self, heads)} heads",
                    f"Change {width} or {heads}",
                )

    @property
    def patches(self) -> int:
        """Patches of the whole energy axis."""
        return self.bins // self.patch

    @property
    def grid(self) -> EnergyGrid:
        """The energy axis of the spectra it reads."""
        return EnergyGrid(start=self.energy_start, step=self.energy_step, bins=self.bins)


PRESETS: dict[str, ModelConfig] = {
    "tiny": ModelConfig(width=128, depth=4, heads=4, decoder_width=64, decoder_depth=2, decoder_heads=4),
    "small": ModelConfig(width=384, depth=6, heads=6, decoder_width=192, decoder_depth=4, decoder_heads=6),
    "base": ModelConfig(),
    "large": ModelConfig(width=1024, depth=24, heads=16),
}
"""tiny: a CPU minute; base and large: the sizes of MAX."""


class Reconstruction(NamedTuple):
    """What the autoencoder made of the hidden patches, in normalised units."""

    loss: Tensor
    """() mean squared error over the bins of the hidden patches of the batch; 0 when nothing could be hidden."""

    prediction_BPp: Tensor  # noqa: N815  (tensors carry their shape)
    """(B, P, p) predicted values of the hidden patches, NaN in every other patch."""

    masked_BP: Tensor  # noqa: N815
    """(B, P) bool, the hidden patches."""


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x_BTW: Tensor, attend_BT: Tensor | None) -> Tensor:
        """Mix the tokens; `attend_BT` (bool) tells which may be looked at, None means all."""
        q_BHTD, k_BHTD, v_BHTD = self.qkv(x_BTW).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mask = None if attend_BT is None else attend_BT[:, None, None, :]
        x_BHTD = functional.scaled_dot_product_attention(q_BHTD, k_BHTD, v_BHTD, attn_mask=mask)
        mixed: Tensor = self.proj(x_BHTD.transpose(1, 2).flatten(2))
        return mixed


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

    def forward(self, x_BTW: Tensor, attend_BT: Tensor | None) -> Tensor:
        """One round of attention and two-layer network, both added to the input."""
        x_BTW = x_BTW + self.attn(self.norm1(x_BTW), attend_BT)
        y_BTW: Tensor = x_BTW + self.mlp(self.norm2(x_BTW))
        return y_BTW


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
    """The encoder with a linear head: one number per proxy, in the proxy's transformed units (see `bundle.Proxy`)."""

    def __init__(self, config: ModelConfig, n_proxies: int) -> None:
        super().__init__(config)
        self.head = nn.Linear(config.width, n_proxies)
        self.apply(start)
        nn.init.zeros_(self.head.weight)  # an untrained head predicts the mean of its labels

    def forward(self, values_BE: Tensor, measured_BE: Tensor, settings_BS: Tensor | None = None) -> Tensor:
        """(B, n_proxies) predictions."""
        prediction: Tensor = self.head(self.embed(values_BE, measured_BE, settings_BS))
        return prediction


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


def gather(patches_BPp: Tensor, order_BV: Tensor) -> Tensor:
    """(B, V, p) patches in the given order."""
    return patches_BPp.gather(1, order_BV[..., None].expand(-1, -1, patches_BPp.shape[-1]))


def start(module: nn.Module) -> None:
    """First weights as in MAE: Xavier-uniform matrices and patch embedding, zero biases."""
    if isinstance(module, nn.Linear | nn.Conv1d):
        nn.init.xavier_uniform_(module.weight.view(module.weight.shape[0], -1))
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)


def encoder_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a `SpectrumMAE` or `Quantifier` that belong to its encoder."""
    foreign = ("decoder_", "mask_token", "head.")
    return {name: weight for name, weight in weights.items() if not name.startswith(foreign)}
