"""Checkpoints: one safetensors file with everything an unbroken run would know, replaced atomically, nothing pickled.

Tensors hold the weights, those of the best epoch so far where there is one, AdamW's moments and the random state; the
file's metadata holds, as JSON, where the run is. The learning rate is a function of the step and is not stored, and
neither is the feed's place: the numbers of the epoch and the batch say it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from corebank.errors import TrainingError

MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW remembers of each parameter."""

_DAMAGED = (OSError, SafetensorError, KeyError, TypeError, RuntimeError, ValueError)
"""What reading a file raises that is no checkpoint, or not of this network."""


def save(
    path: Path,
    network: nn.Module,
    optimiser: torch.optim.AdamW,
    generator: torch.Generator,
    place: Mapping[str, Any],
    best: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write a checkpoint; a run that is killed meanwhile leaves the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {f"weights.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in (best or {}).items()}
    for name, parameter in _named(network, optimiser):
        tensors |= {f"{moment}.{name}": optimiser.state[parameter][moment] for moment in MOMENTS}
    tensors["generator"] = generator.get_state()
    unfinished = path.with_suffix(".unfinished")
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(tensors, unfinished, {"position": json.dumps(place)})
    unfinished.replace(path)


def position(path: Path) -> dict[str, Any]:
    """Where the run of a checkpoint is, without its tensors; raises `TrainingError` when it cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            found: dict[str, Any] = json.loads(file.metadata()["position"])
    except _DAMAGED as error:
        raise _unusable(path, error) from error
    return found


def load(
    path: Path,
    network: nn.Module,
    optimiser: torch.optim.AdamW,
    generator: torch.Generator,
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Put a checkpoint back into the parts of a run and return its position, and the best weights if it has some.

    Raises `TrainingError` when it cannot.
    """
    found = position(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (safe_open is no dict)
        network.load_state_dict(_part(tensors, "weights."))
        device = next(network.parameters()).device
        for name, parameter in _named(network, optimiser, all_of_them=True):
            if f"step.{name}" not in tensors:
                continue  # no gradient has ever reached it
            # The fused AdamW counts its steps where the weights are.
            optimiser.state[parameter] = {one: tensors[f"{one}.{name}"].to(parameter.device) for one in MOMENTS}
        generator.set_state(tensors["generator"])
    except _DAMAGED as error:
        raise _unusable(path, error) from error
    return found, {name: one.to(device) for name, one in _part(tensors, "best.").items()}


def _unusable(path: Path, error: Exception) -> TrainingError:
    return TrainingError(path, f"no usable checkpoint: {error}", "Start again in another folder (--out)")


def _named(
    network: nn.Module,
    optimiser: torch.optim.AdamW,
    *,
    all_of_them: bool = False,
) -> list[tuple[str, nn.Parameter]]:
    """Parameters by name; those that AdamW has not moved yet only when asked for."""
    return [(name, one) for name, one in network.named_parameters() if all_of_them or one in optimiser.state]


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
