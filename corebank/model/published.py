"""State dicts as the authors of MAX publish them (github.com/dispink/xpt), brought to the names of our networks.

The autoencoder has our names already. The regressor is its encoder and one linear map, ``fc``, of the class token; we
call that ``head``. Checkpoints carry what the programs that wrote them put around the weights: a dictionary with the
optimiser's state, names that begin with ``module.`` (data parallel) or ``_orig_mod.`` (compiled), half precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from corebank.errors import BundleError
from corebank.model.config import ModelConfig
from corebank.model.layers import positions

WRAPPERS = ("model", "state_dict", "model_state_dict", "module")
"""Keys under which training programs keep the weights beside an optimiser's state."""

PREFIXES = ("module.", "_orig_mod.")
"""What `torch.nn.parallel` and `torch.compile` put before each name."""


def state_dict(checkpoint: Mapping[str, Any], config: ModelConfig, name: str) -> tuple[dict[str, Tensor], bool]:
    """The weights of a published checkpoint under our names, float32, and whether they are the regressor's.

    Raises `BundleError` when it holds no state dict, other things than weights, the earlier regressor whose output was
    squeezed by a sigmoid, or the positions of another axis than that of `config`.
    """
    weights = _plain(_unwrapped(checkpoint, name))
    if strange := [key for key, value in weights.items() if not isinstance(value, Tensor)]:
        found = f"{strange[0]!r} is a {type(weights[strange[0]]).__name__}, no weight"
        raise BundleError(name, found, "Give the state dict, as torch.load(path, weights_only=True) returns it")
    if "fc.0.weight" in weights:
        found = "its head is fc.0: an earlier regressor, which ended in a sigmoid and gave wt% / 100"
        raise BundleError(name, found, "Give a checkpoint whose head is fc.weight and fc.bias")
    regressor = "fc.weight" in weights
    ours = {_ours(key): value.detach().float() for key, value in weights.items()}
    for key, width in (("pos_embed", config.width), ("decoder_pos_embed", config.decoder_width)):
        if key in ours:
            _check_positions(ours[key], config, width, f"{name}: {key}")
    return ours, regressor


def _unwrapped(checkpoint: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The dictionary that holds the weights."""
    if not isinstance(checkpoint, Mapping):
        found = f"a {type(checkpoint).__name__}, no state dict"
        raise BundleError(name, found, "Call state_dict() on a network, or load the file with weights_only=True")
    for key in WRAPPERS:
        if isinstance(inner := checkpoint.get(key), Mapping):
            return _unwrapped(inner, name)
    return checkpoint


def _plain(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Weights without the prefixes that every one of them has."""
    plain = dict(weights)
    while prefix := next((one for one in PREFIXES if plain and all(key.startswith(one) for key in plain)), ""):
        plain = {key.removeprefix(prefix): value for key, value in plain.items()}
    return plain


def _ours(key: str) -> str:
    return "head." + key.removeprefix("fc.") if key.startswith("fc.") else key


def _check_positions(code: Tensor, config: ModelConfig, width: int, where: str) -> None:
    """Raise `BundleError` when a position code is not that of the axis; one of another size is refused with the rest.

    It would be loaded all the same, and the network would take each energy for another.
    """
    expected = positions(config, width)
    if code.shape == expected.shape and not torch.allclose(code, expected, rtol=0, atol=1e-3):
        found = f"positions differ by up to {(code - expected).abs().max():.2g} from those of {config.grid}"
        raise BundleError(where, found, "Give the energy axis and patch that the model was trained with")
