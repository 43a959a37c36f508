"""The optimiser of every program, and the learning rate at a step: a pure function, of which nothing needs saving."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import nn

from training.recipe import Optimiser


def factor(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate at `step`: linear up over the first share `warmup` of `steps`, then a cosine."""
    rising = warmup * steps
    if step < rising:
        return (step + 1) / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(steps - rising, 1)))


def adamw(peaks: Mapping[float, Iterable[nn.Parameter]], optimiser: Optimiser) -> torch.optim.AdamW:
    """AdamW over groups of parameters, each with its peak learning rate; vectors are not decayed, as in MAE."""
    groups = []
    for peak, parameters in peaks.items():
        listed = list(parameters)
        groups += [
            {"params": [one for one in listed if one.ndim > 1], "peak": peak, "weight_decay": optimiser.weight_decay},
            {"params": [one for one in listed if one.ndim <= 1], "peak": peak, "weight_decay": 0.0},
        ]
    # One kernel over all parameters: a tenth faster per step on two cores than a loop over them.
    return torch.optim.AdamW(groups, lr=optimiser.rate, betas=(optimiser.betas[0], optimiser.betas[1]), fused=True)


def set_rate(optimiser: torch.optim.AdamW, share: float) -> float:
    """Give each group `share` of its peak learning rate; the largest of them."""
    for group in optimiser.param_groups:
        group["lr"] = share * group["peak"]
    return max(float(group["lr"]) for group in optimiser.param_groups)


def descend(network: nn.Module, optimiser: torch.optim.AdamW, loss: torch.Tensor, share: float, clip: float) -> None:
    """One step down `loss`, at `share` of each group's peak learning rate, with the gradient clipped to norm `clip`."""
    set_rate(optimiser, share)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch's own is not annotated
    nn.utils.clip_grad_norm_(network.parameters(), clip)
    optimiser.step()
