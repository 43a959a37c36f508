"""Several processes that train one network together, as torchrun starts them: each sees its share of every batch.

All of them hold the whole network. The gradients are summed over the processes, each weighted by the number of hidden
bins that its loss is the mean of, so that a batch that is dealt out unevenly gives the gradient of the undivided one.
One vector is summed per step, with the loss and the wish to end at its tail: no process can leave while others wait
(torch's DistributedDataParallel would need a second exchange for the weights, and a third for the wish).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from corebank.errors import TrainingError
from corebank.model import Reconstruction

PATIENCE = timedelta(hours=1)
"""How long the others wait for the one that validates and probes after an epoch. A process that died is noticed at
once: its connection closes, or torchrun ends the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """This process among all of them; alone unless said."""

    rank: int = 0
    world: int = 1

    local_rank: int = 0
    """Number among the processes of this computer, which is the number of its GPU."""

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, logs and judges."""
        return self.rank == 0

    def device(self, kind: str) -> str:
        """The device of this process: with ``cuda`` each has its own."""
        return f"cuda:{self.local_rank}" if kind == "cuda" and self.world > 1 else kind

    def weigh(self, made: Reconstruction) -> Tensor:
        """The loss that this process is to follow, so that `share` can average: small where it saw few bins."""
        if self.world == 1:
            return made.loss
        return made.loss * _weight(made)

    def share(self, network: nn.Module, made: Reconstruction, *, leaving: bool) -> tuple[float, bool]:
        """Make everyone's gradients those of the whole batch; its loss, and whether anyone wants to leave.

        The gradients of `network` must be those of `weigh`.
        """
        if self.world == 1:
            return made.loss.item(), leaving
        parameters = [one for one in network.parameters() if one.requires_grad]
        gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in parameters]
        weight = _weight(made)
        tail = torch.stack([self.weigh(made).detach().float(), weight, torch.full_like(weight, float(leaving))])
        whole = torch.cat([*(one.reshape(-1) for one in gradients), tail])
        with _others():
            distributed.all_reduce(whole)
        loss, total, leavers = whole[-3:].tolist()
        whole /= max(total, 1e-30)  # nothing could be hidden anywhere: all gradients are zero
        parts = torch.split(whole[:-3], [one.numel() for one in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)
        return loss / max(total, 1e-30), leavers > 0

    def any(self, wish: bool) -> bool:
        """Whether any process wishes so; all of them wait for the last to say."""
        if self.world == 1:
            return wish
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        said = torch.tensor([float(wish)], device=device)
        with _others():
            distributed.all_reduce(said)
        return said.item() > 0

    def agree(self, told: Callable[[], bytes], otherwise: str) -> None:
        """Raise `TrainingError` in every process unless all of them are `told` the same.

        What each of them trains on is what it has opened itself: a member of a federation that does not answer one
        computer would leave spectra out unseen, and deal others out twice.
        """
        if self.world == 1:
            return
        said = hashlib.sha256(told()).digest()
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        least = torch.tensor(list(said), dtype=torch.int64, device=device)
        most = least.clone()
        with _others():
            distributed.all_reduce(least, distributed.ReduceOp.MIN)
            distributed.all_reduce(most, distributed.ReduceOp.MAX)
        if not torch.equal(least, most):
            raise TrainingError(
                "torchrun",
                f"the processes {otherwise}",
                "See that every computer opens the whole catalog and shares the folder of the run",
            )


@contextmanager
def team(device: str) -> Iterator[Team]:
    """The processes that torchrun started, by the environment that it sets; one alone where it set none.

    Parameters
    ----------
    device
        ``cpu`` or ``cuda``: they talk by gloo or by nccl.

    Notes
    -----
    When one process fails its connections close, and the others end with a `TrainingError` of their own.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Team()
        return
    here = Team(rank=int(os.environ["RANK"]), world=world, local_rank=int(os.environ.get("LOCAL_RANK", "0")))
    if device == "cuda":
        torch.cuda.set_device(here.local_rank)
    with _others():
        distributed.init_process_group("nccl" if device == "cuda" else "gloo", timeout=PATIENCE)
    yield here
    # Not after a failure: to take leave of processes that are gone can hang.
    distributed.destroy_process_group()


def _weight(made: Reconstruction) -> Tensor:
    """() float32, hidden bins in units of 2^20: near 1, so that half precision neither over- nor underflows."""
    return made.bins.to(made.loss.device).float() / 2**20


@contextmanager
def _others() -> Iterator[None]:
    """An exchange with the other processes, which may have ended."""
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            "torchrun",
            f"another process of this run has ended or cannot be reached ({str(error).splitlines()[0][:200]})",
            "Its own message says why; then go on with --resume",
        ) from error
