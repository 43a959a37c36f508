"""The precision of a run's arithmetic: automatic mixed precision, where the weights stay float32.

bfloat16 has the range of float32 and needs nothing else. float16 has not: small gradients would become zero, so the
loss is multiplied by a scale that is lowered whenever a gradient overflows (arXiv 1710.03740), and such a step is left
out. What a model is judged by is always computed in float32.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from training.recipe import Precision


class Arithmetic:
    """How the forward pass is computed, and how the optimiser steps down its gradient."""

    def __init__(self, precision: Precision, device: torch.device) -> None:
        self.kind = choose(precision, device) if precision == "auto" else precision
        self._device = device.type
        # A scaler that is not enabled passes everything through, to the same bits.
        self._scaler = torch.amp.GradScaler(device.type, enabled=self.kind == "float16")

    def cast(self) -> AbstractContextManager[Any]:
        """The block in which the forward pass is computed."""
        if self.kind == "float32":
            return nullcontext()
        return torch.autocast(self._device, dtype=getattr(torch, self.kind))

    def backward(self, loss: torch.Tensor) -> None:
        """Compute the gradients of `loss`, scaled where the precision needs it."""
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch's own is not annotated

    def step(self, network: nn.Module, optimiser: torch.optim.AdamW, clip: float) -> float:
        """Clip the gradient to norm `clip`, step down it, and return the norm that it had.

        Where that is not finite nothing is changed: one step along it would make every weight NaN.
        """
        self._scaler.unscale_(optimiser)
        norm = float(nn.utils.clip_grad_norm_(network.parameters(), clip))
        if norm < float("inf"):  # False for NaN
            self._scaler.step(optimiser)
        self._scaler.update()
        return norm

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it: nothing but in float16."""
        return dict(self._scaler.state_dict())

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was."""
        if state:
            self._scaler.load_state_dict(state)


def choose(precision: Precision, device: torch.device) -> Precision:
    """float32 on a CPU; on a GPU bfloat16 where the chip has it, float16 otherwise."""
    if precision != "auto":
        return precision
    if device.type != "cuda":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
