"""How many labels pretraining saves: the curve of skill over the number of labels, pretrained and from scratch.

    python -m training.amounts RECIPE.toml --catalog CATALOG --from MODEL --proxy CaCO3 [--proxy TOC]
                               [--scratch RECIPE.toml] [--amounts 10 30 100 300] [--seeds 5] [--half] [--out DIR]

For each seed the training labels are put in a random order; N labels are the first N of it, so that more labels hold
the fewer ones, and all models learn from the same ones. Whole cores judge (the recipe's split), the same at every N;
neither the models nor the foundation model have seen them. Each of two arms has a recipe of its own, since what suits a
pretrained network need not suit random weights. A network takes as many steps at every N as its recipe takes with the
largest one: few labels must not mean little training.

Each network is also judged together with its linear companion, as it is delivered (`training.stacking`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import xarray as xr
from cyclopts import App, Parameter
from numpy.typing import NDArray
from tqdm import tqdm

from corebank import split
from corebank.bundle import Bundle
from corebank.cli import run as run_program
from corebank.errors import TrainingError
from corebank.model import Quantifier
from corebank.rows import aligned
from training import baselines, continual, crossing, curves, data, finetune, judging, run, scores, stacking
from training import task as tasks
from training.curves import COMPANION, PRETRAINED, RIDGE, SCRATCH, UNTRAINED, WITH
from training.examples import Floats, match
from training.parsing import load
from training.recipe import Finetuning
from training.task import Task

app = App(name="python -m training.amounts", help=__doc__, result_action="return_value")


@app.default
def main(
    recipe: Path,
    /,
    *,
    catalog: str,
    from_: Annotated[str, Parameter("--from")] = "",
    proxy: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    scratch: Path | None = None,
    amounts: Annotated[tuple[int, ...], Parameter(negative="", consume_multiple=True)] = (10, 30, 100, 300),
    seeds: int = 5,
    first_seed: int = 0,
    half: Annotated[bool, Parameter(negative="")] = False,
    out: Path | None = None,
) -> None:
    """Measure the curve, print it, and leave amounts.csv and figures/amounts.png in the folder of the run.

    Parameters
    ----------
    recipe
        A recipe for fine-tuning, see training/recipes.
    catalog
        Catalog of a bank or a federation.
    from_
        Foundation model: a run, a bundle, models:/name@alias or models:/name/3.
    proxy
        What to quantify; repeat it for several, which then share one network.
    scratch
        Recipe of the network from scratch; without it, the first one in mode "full" at its scratch_rate.
    amounts
        Numbers of labelled intervals; one beyond those that there are means all.
    seeds
        Draws of labels, and networks trained, at each amount.
    first_seed
        The first of these seeds: settings chosen on some seeds are to be reported on others.
    half
        Let network and companion weigh the same, in place of the shares that a cross-validation finds, which trains
        as many more networks as the recipe has folds.
    out
        Folder of the run; runs/amounts-HASH unless given.
    """
    settings = run.finetuning(recipe, from_, proxy)
    other = of_scratch(settings) if scratch is None else load(scratch, Finetuning)
    spectra = data.spectra(catalog, settings.data)
    parent, _ = run.parent_for(settings, spectra)
    curve = prepare(settings, other, parent, spectra, data.measurements(catalog, settings.data))
    sizes = curve.sizes(amounts)
    folder = run.start("amounts", settings, out)
    parts = []
    for seed in tqdm(range(first_seed, first_seed + seeds), unit=" seeds", disable=None):
        parts.append(curve.measure(sizes, seed, crossed=not half))
        pd.concat(parts).to_csv(folder / "amounts.csv", index=False)  # a killed run leaves what it has
    found = pd.concat(parts, ignore_index=True)
    units = dict(zip(curve.task.labels.proxies, curve.task.labels.units, strict=True))
    curves.draw(found, units).savefig(folder / "figures" / "amounts.png", dpi=150)
    cores = sorted(set(curve.task.units[curve.asked].tolist()))
    print(f"{len(curve.asked)} labels of {len(cores)} {settings.split.unit}s judge: {', '.join(cores)}\n")
    print(f"{curves.table(found, units)}\n\n{folder}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """Labels that train and labels that judge, and the two recipes."""

    task: Task
    """The labels, the foundation model and the recipe of the pretrained arm."""

    scratch: Finetuning
    """The recipe of the arm from scratch."""

    known: NDArray[np.intp]
    """Intervals that may train."""

    asked: NDArray[np.intp]
    """Intervals that judge."""

    def sizes(self, amounts: Sequence[int]) -> list[int]:
        """The amounts that can be drawn, in order: those beyond the training labels become all of them.

        Raises `TrainingError` for an amount that is too small to learn from, or none.
        """
        if not amounts or min(amounts) < baselines.FEWEST:
            raise TrainingError(
                "--amounts", f"{list(amounts)}", f"Give numbers of labels, at least {baselines.FEWEST} each"
            )
        return sorted({min(one, len(self.known)) for one in amounts})

    def measure(self, sizes: Sequence[int], seed: int, *, crossed: bool = True) -> pd.DataFrame:
        """A row for each amount, model and proxy: what one draw of labels gives."""
        order = np.random.default_rng(seed).permutation(self.known)
        rows = []
        for size in sizes:
            drawn = np.sort(order[:size])
            for model, answers in self.answers(drawn, max(sizes), seed, crossed=crossed).items():
                for column, proxy in enumerate(self.task.recipe.proxies):
                    measured = self.task.examples.values[:, column]
                    labelled = int(np.isfinite(measured[drawn]).sum())
                    place = {"proxy": proxy, "amount": size, "labels": labelled, "seed": seed, "model": model}
                    said = scores.score(measured[self.asked], answers[:, column])
                    rows.append(place | {name: said[name] for name in ("r2", "rmse", "mae", "bias", "n")})
        return pd.DataFrame(rows)

    def arms(self, drawn: int, largest: int, seed: int) -> dict[str, Task]:
        """The tasks of the networks; `untrained` treats random weights as `pretrained` treats the foundation model.

        A pretrained network whose encoder stays as it is has that control: whatever random features give, pretraining
        has not given. Trained whole, it would be another network from scratch, and is left out.
        """
        blank, task = untaught(self.task.parent, seed), self.task
        arms = {
            PRETRAINED: replace(task, recipe=_lengthened(task.recipe, drawn, largest, seed)),
            SCRATCH: replace(task, recipe=_lengthened(self.scratch, drawn, largest, seed), parent=blank),
        }
        return arms if task.recipe.mode == "full" else {**arms, UNTRAINED: replace(arms[PRETRAINED], parent=blank)}

    def answers(self, drawn: NDArray[np.intp], largest: int, seed: int, *, crossed: bool) -> dict[str, Floats]:
        """Model to what it says of the judging intervals, (judging, k) [unit], having learnt from `drawn`."""
        said: dict[str, Floats] = {}
        for arm, task in self.arms(len(drawn), largest, seed).items():
            network, proxies = task.learn(drawn, task.recipe.members)
            spoken = task.ask(network, proxies, drawn, self.asked)
            asked = proxies[: task.count]
            share = np.full(task.count, 0.5)
            if crossed and len(crossing.folds(task, drawn)):
                share = stacking.shares(task, drawn, asked, crossing.cross_validate(task, drawn))
            together = stacking.mixed(asked, spoken, share)
            columns = list(enumerate(task.labels.units[: task.count]))
            for name, model in ((tasks.NETWORK, arm), (tasks.STACK, arm + WITH), (tasks.COMPANION, COMPANION)):
                said[model] = np.stack([judging.means(together[name], *one) for one in columns], axis=1)
        examples, rates = self.task.examples, self.task.examples[self.asked].means
        classical = (examples[drawn].means, examples.values[drawn, : task.count], asked, self.task.units[drawn], rates)
        return said | baselines.answers((RIDGE,), *classical, seed)


def prepare(
    recipe: Finetuning, scratch: Finetuning, parent: Bundle, spectra: xr.Dataset, measurements: pd.DataFrame
) -> Curve:
    """Find the labels of the recipe's proxies, those that train and those that judge.

    Raises `TrainingError` when the parent has seen what is to judge, or nothing is held out;
    `SchemaError` for proxies without values.
    """
    found = match(spectra, measurements, finetune.with_auxiliary(measurements, recipe), recipe.within)
    plain = [_bare(one, recipe) for one in (recipe, scratch)]
    held = data.held_out(split.unit_names(spectra, recipe.split.unit), recipe.split)
    judged = [bool(held[row].any()) for row in found[found.matched].rows]
    if not any(judged) or len(judged) - sum(judged) < baselines.FEWEST:
        raise TrainingError(
            "split",
            f"{len(judged) - sum(judged)} labelled intervals to learn from, {sum(judged)} to judge by",
            "Hold out some of the labelled cores, not all: split.held_out or split.share",
        )
    task, sides = finetune.prepare(plain[0], parent, spectra, found[found.matched])
    rows = np.unique(np.concatenate([task.labels.rows[one] for one in sides.test]))
    before = continual.trained_as(aligned(spectra, rows), parent.lineage)
    data.refuse_seen(sides.names[rows], recipe.split, parent, before)
    return Curve(task=task, scratch=plain[1], known=sides.training, asked=sides.test)


def of_scratch(recipe: Finetuning) -> Finetuning:
    """The recipe by which random weights are trained where they have none of their own: whole, at its scratch_rate."""
    rate = recipe.scratch_rate or recipe.optimiser.rate
    return replace(recipe, mode="full", optimiser=replace(recipe.optimiser, rate=rate))


def untaught(parent: Bundle, seed: int) -> Bundle:
    """A bundle of the parent's sizes whose encoder has random weights."""
    torch.manual_seed(seed)
    return replace(parent, weights=Quantifier(parent.config, 1).state_dict())


def _bare(recipe: Finetuning, first: Finetuning) -> Finetuning:
    """A recipe for the labels of `first`, without further models in its answers: the curve has its own."""
    return replace(
        recipe,
        proxies=first.proxies,
        logarithm=first.logarithm,
        logit=first.logit,
        within=first.within,
        parent=first.parent,
        auxiliary=first.auxiliary,
        companion=True,
        scratch=False,
        baselines=(),
    )


def _lengthened(recipe: Finetuning, drawn: int, largest: int, seed: int) -> Finetuning:
    """As many epochs over `drawn` labels as give the steps that the recipe takes with the `largest` amount."""
    steps = recipe.epochs * math.ceil(largest / recipe.batch_size)
    return replace(recipe, seed=seed, epochs=max(1, round(steps / math.ceil(drawn / recipe.batch_size))))


if __name__ == "__main__":
    run_program(app)
