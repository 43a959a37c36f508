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

A batch of several machines is worked on in parts of about the same number of measured patches (`corebank.model.alike`).
V and M are the largest number in a part; shorter spectra are padded and the padding is masked in the attention.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from corebank.model.autoencoder import Reconstruction, SpectrumMAE
from corebank.model.chance import SETTINGS_DROPPED, Chance
from corebank.model.config import CODES, PRESETS, SETTINGS, ModelConfig
from corebank.model.deviance import RateScale
from corebank.model.encoder import Quantifier, SpectrumEncoder
from corebank.model.layers import positions


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
    "SETTINGS_DROPPED",
    "Chance",
    "ModelConfig",
    "Quantifier",
    "RateScale",
    "Reconstruction",
    "SpectrumEncoder",
    "SpectrumMAE",
    "encoder_weights",
    "first_outputs",
    "hidden_width",
    "positions",
]
