"""What ends a run before its last epoch: a probe that no longer improves, a loss that runs away, or SIGTERM.

All three are decided from numbers that a checkpoint holds, so that a run that was killed and resumed ends at the same
step as an unbroken one.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from types import FrameType
from typing import Any

from torch import Tensor, nn

from corebank.errors import TrainingError

BEGINNING = 8
"""Steps whose median loss is what a run began with."""

WINDOW = 32
"""Steps whose median loss is where a run is now: one bad batch, or a few, say nothing."""

FAR = 10.0
"""A run that is this many times where it began has diverged. Values are standardised, so that a network which says
nothing has a loss of about 1 and a fresh one begins near it; a continued run may rise while its learning rate does, by
tens of percent (arXiv 2403.08763), not tenfold."""

SKIPPED = 20
"""Steps in a row without a finite gradient after which a run has diverged. In float16 some are to be expected while the
scale of the loss is found: from 2^16 down to 1 it takes 16."""

EXIT_CODE = 143
"""128 + 15, what shells report of a program that SIGTERM has ended."""


class TerminatedError(TrainingError):
    """A run was asked to end by SIGTERM, and has written a checkpoint."""


class Watch:
    """Looks at each step's loss and gradient, and stops a run that diverges."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        said = state or {"beginning": [], "recent": [], "skipped": 0}
        self._beginning: list[float] = list(said["beginning"])
        self._recent: list[float] = list(said["recent"])
        self._skipped = int(said["skipped"])

    def look(self, step: int, loss: float, norm: float, rate: float) -> None:
        """Judge a step by its loss, the norm of its gradient and its learning rate.

        Raises `TrainingError` that names them when the loss is not finite, the gradient was not for `SKIPPED` steps in
        a row, or the median loss of the last `WINDOW` steps is `FAR` times that of the first `BEGINNING`.
        """
        self._skipped = 0 if math.isfinite(norm) else self._skipped + 1
        self._recent = [*self._recent, loss][-WINDOW:]
        if len(self._beginning) < BEGINNING:
            self._beginning.append(loss)
        reason = ""
        if not math.isfinite(loss):
            reason = f"the loss is {loss}"
        elif self._skipped >= SKIPPED:
            reason = f"no finite gradient for {SKIPPED} steps; the loss is {loss:.4g}"
        elif self._away() > FAR:
            reason = f"the loss is {median(self._recent):.4g}, {self._away():.0f} times what it was at the beginning"
        if reason:
            raise TrainingError(
                f"step {step + 1}",
                f"training diverged: {reason}, at a learning rate of {rate:.3g}",
                "Start again with a lower optimiser.rate or optimiser.clip, or a longer optimiser.warmup",
            )

    @property
    def sound(self) -> bool:
        """Whether a checkpoint now would be a good one: no step was just skipped, and the loss is not on its way up."""
        return self._skipped == 0 and self._away() <= FAR / 2

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"beginning": self._beginning, "recent": self._recent, "skipped": self._skipped}

    def _away(self) -> float:
        """How many times the loss is what it began with; 0 until both are known."""
        known = len(self._beginning) == BEGINNING and len(self._recent) == WINDOW
        return median(self._recent) / max(median(self._beginning), 1e-12) if known else 0.0


class Patience:
    """Keeps the weights of the best look at the probe, and says when no better one has come for too long."""

    def __init__(
        self,
        looks: int,
        state: Mapping[str, Any] | None = None,
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        said = state or {"error": math.inf, "epoch": 0, "waited": 0}
        self._looks = looks
        self.error, self.epoch, self._waited = float(said["error"]), int(said["epoch"]), int(said["waited"])
        self.weights = dict(weights or {})
        """Of the best look; empty before the first."""

    def look(self, epoch: int, error: float, network: nn.Module) -> None:
        """Compare the error of the probe after `epoch` epochs with the best so far."""
        if error < self.error:
            self.error, self.epoch, self._waited = error, epoch, 0
            self.weights = {name: one.detach().clone() for name, one in network.state_dict().items()}
        else:
            self._waited += 1

    @property
    def spent(self) -> bool:
        """Whether as many looks as were allowed have passed without a better one."""
        return self._waited >= self._looks

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it, beside `weights`."""
        return {"error": self.error, "epoch": self.epoch, "waited": self._waited}


class Leaving:
    """True from the first SIGTERM on."""

    def __init__(self) -> None:
        self.asked = False

    def __bool__(self) -> bool:
        return self.asked

    def ask(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Ask the run to end after this step."""
        self.asked = True


@contextmanager
def sigterm() -> Iterator[Leaving]:
    """Inside this block SIGTERM only asks; afterwards it does what it did before. Python takes signals in its main
    thread only: elsewhere nothing ever asks."""
    leaving = Leaving()
    if threading.current_thread() is not threading.main_thread():
        yield leaving
        return
    before = signal.signal(signal.SIGTERM, leaving.ask)
    try:
        yield leaving
    finally:
        signal.signal(signal.SIGTERM, before)
