"""The steps of a pretraining, from the first or from a checkpoint on, to the last or to whatever ends them earlier.

Where a run is, is one dictionary of plain numbers: with the weights, AdamW's moments and the random state it is all
that a checkpoint needs. The feed's place is the number of the epoch and of the batch.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from corebank.errors import TrainingError
from corebank.feed import Batch, Feed
from corebank.model import SETTINGS, RateScale, SpectrumMAE
from corebank.normalize import Normalization
from training import checkpoint
from training.precision import Arithmetic
from training.recipe import Pretraining
from training.schedule import adamw, factor, set_rate
from training.steplog import Step, StepLog
from training.stopping import Leaving, Patience, TerminatedError, Watch, sigterm
from training.together import Team

LIVE_TIME = SETTINGS.index("live_time")

Look = Mapping[str, Mapping[str, float]]
"""What is seen of a network after an epoch: curves by name, such as ``validation``, and a point of each line."""

PROBE, STOP = "probe", "stop"
"""The curve of the held-out units' laboratory values, and that of the units whose mean ends the training."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """What stays the same from the first step to the last."""

    recipe: Pretraining
    network: SpectrumMAE
    """It is trained in place."""

    feed: Feed
    normalization: Normalization
    team: Team
    folder: Path
    """``steps.csv`` and ``checkpoint/last.safetensors`` go here."""

    made_from: Mapping[str, Any]
    """What a checkpoint must have been made from to be resumed: plain values."""

    look: Callable[[SpectrumMAE, int], Look]
    """What is seen of the network after so many epochs; only the first process asks."""

    @property
    def saved(self) -> Path:
        """The checkpoint."""
        return saved(self.folder)


def saved(folder: Path) -> Path:
    """The checkpoint of the run in `folder`."""
    return folder / "checkpoint" / "last.safetensors"


def train(run: Run, *, resume: bool) -> dict[str, Any]:
    """Take all steps, or those that are left, and return the course of the run.

    Returns
    -------
    dict
        ``train``: mean loss of each epoch; ``curves``: name to line to its points; ``looked``: the epochs that they are
        of; ``rates``: the learning rate at the end of each epoch; ``skipped``: steps left out for want of a finite
        gradient; ``ended``: why the run ended early, or nothing; ``best``: the epoch whose weights the network has now,
        0 for the last; ``seconds``.

    Raises
    ------
    TrainingError
        When the run diverges, or the checkpoint is of another recipe or other data. `TerminatedError` on SIGTERM.
    """
    return _Steps(run, resume=resume).all()


class _Steps:
    """A run on its way."""

    def __init__(self, run: Run, *, resume: bool) -> None:
        self.run, recipe = run, run.recipe
        self.optimiser = adamw({recipe.optimiser.rate: run.network.parameters()}, recipe.optimiser)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.device = run.network.cls_token.device
        self.arithmetic = Arithmetic(recipe.precision, self.device)
        self.steps = recipe.epochs * len(run.feed)
        self.state: dict[str, Any] = {
            **run.made_from,
            "epoch": 0,
            "batch": 0,
            "sum": 0.0,
            "train": [],
            "rates": [],
            "curves": {},
            "looked": [],
            "skipped": 0,
            "ended": "",
            "best": 0,
            "seconds": 0.0,
        }
        best: dict[str, torch.Tensor] = {}
        if resume and run.saved.exists():  # a run that was killed before its first checkpoint begins again
            self.state, best = checkpoint.load(run.saved, run.network, self.optimiser, self.generator)
            if any(self.state.get(name) != value for name, value in run.made_from.items()):
                raise TrainingError(
                    run.saved, "made from another recipe, parent or data", "Start again in another folder (--out)"
                )
            self.arithmetic.restore(self.state["scaler"])
        place = self.state["epoch"], self.state["batch"]
        run.team.agree(lambda: json.dumps(place).encode(), "do not read the same checkpoint")
        self.watch = Watch(self.state.get("watch"))
        self.patience = Patience(recipe.probe.patience, self.state.get("patience"), best)
        self.started = time.monotonic() - self.state["seconds"]

    def all(self) -> dict[str, Any]:
        run, state = self.run, self.state
        done = state["epoch"] * len(run.feed) + state["batch"]
        quiet = None if run.team.first else True  # None: shown on a terminal only
        with (
            sigterm() as leaving,
            StepLog(run.folder, done, write=run.team.first) as log,
            tqdm(total=self.steps, initial=done, unit=" steps", disable=quiet) as bar,
        ):
            while state["epoch"] < run.recipe.epochs and not state["ended"]:
                self._epoch(log, bar, leaving)
        if self.patience.weights:
            run.network.load_state_dict(self.patience.weights)
            state["best"] = self.patience.epoch
        return state

    def _epoch(self, log: StepLog, bar: Any, leaving: Leaving) -> None:
        """What is left of an epoch, then a look at the network."""
        run, state = self.run, self.state
        run.network.train()
        for batch in run.feed.epoch(state["epoch"], start=state["batch"]):
            step, ends = self._step(batch, leaving)
            log.add(step)
            self.watch.look(step.step - 1, step.loss, step.gradient, step.rate)
            bar.update()
            state |= {"batch": state["batch"] + 1, "sum": state["sum"] + step.loss}
            state["skipped"] += not step.gradient < float("inf")
            if ends:
                self._leave(step.step)
            if step.step % run.recipe.checkpoint_every == 0 and self.watch.sound:
                self._keep()
        epoch = state["epoch"] + 1
        state["train"].append(state["sum"] / len(run.feed))
        last = (state["epoch"] + 1) * len(run.feed) - 1
        state["rates"].append(run.recipe.optimiser.rate * factor(last, self.steps, run.recipe.optimiser.warmup))
        state |= {"epoch": epoch, "batch": 0, "sum": 0.0}
        if run.team.first:
            self._look(epoch)
        bar.set_postfix(loss=state["train"][-1])
        if run.team.any(bool(state["ended"])):
            state["ended"] = state["ended"] or "by the first process"
        if self.watch.sound:
            self._keep()
        if run.team.any(bool(leaving)):
            self._leave(epoch * len(run.feed))

    def _step(self, batch: Batch, leaving: Leaving) -> tuple[Step, bool]:
        """One step down the loss of a batch; and whether any process was asked to end."""
        run, recipe, state = self.run, self.run.recipe, self.state
        number = state["epoch"] * len(run.feed) + state["batch"]
        whole = min(recipe.batch_size, run.feed.spectra_per_epoch - state["batch"] * recipe.batch_size)
        chance = run.network.draw(whole, self.generator).rows(run.team.rank, run.team.world)
        values, measured, settings = (one.to(self.device) for one in batch[:3])
        scale = None
        if recipe.loss == "poisson":
            mean, deviation = batch.mean_B1.to(self.device), batch.scale_B1.to(self.device)
            scale = RateScale(run.normalization.kind, mean, deviation, settings[:, LIVE_TIME])
        rate = set_rate(self.optimiser, factor(number, self.steps, recipe.optimiser.warmup))
        with self.arithmetic.cast():
            made = run.network(values, measured, settings, recipe.mask_ratio, chance, rate_scale=scale)
        self.optimiser.zero_grad(set_to_none=True)
        self.arithmetic.backward(run.team.weigh(made))
        loss, ends = run.team.share(run.network, made, leaving=bool(leaving))
        norm = self.arithmetic.step(run.network, self.optimiser, recipe.optimiser.clip)
        return Step(number + 1, state["epoch"] + 1, loss, rate, norm), ends

    def _look(self, epoch: int) -> None:
        """Add a point to every curve, and see whether it is time to stop."""
        state, recipe = self.state, self.run.recipe
        seen = self.run.look(self.run.network, epoch)
        for name, lines in seen.items():
            for line, value in lines.items():
                state["curves"].setdefault(name, {}).setdefault(line, []).append(value)
        if PROBE in seen or STOP in seen:
            state["looked"].append(epoch)
        if points := list(seen.get(STOP, {}).values()):
            self.patience.look(epoch, sum(points) / len(points), self.run.network)
            if self.patience.spent and epoch < recipe.epochs:
                state["ended"] = (
                    f"after {epoch} epochs: the probe was best after {self.patience.epoch}, "
                    f"and not better at {recipe.probe.patience} looks since"
                )

    def _keep(self) -> None:
        """Write a checkpoint."""
        run, state = self.run, self.state
        state |= {
            "seconds": time.monotonic() - self.started,
            "watch": self.watch.state(),
            "patience": self.patience.state(),
            "scaler": self.arithmetic.state(),
        }
        if run.team.first:
            checkpoint.save(run.saved, run.network, self.optimiser, self.generator, state, self.patience.weights)

    def _leave(self, step: int) -> None:
        """Write a checkpoint and end as SIGTERM asked."""
        self._keep()
        raise TerminatedError(
            self.run.folder, f"ended by SIGTERM after step {step} of {self.steps}", "Go on with --resume"
        )
