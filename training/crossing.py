"""Cross-validation over whole units: what models say of intervals whose core, or machine, they have not learnt from.

Each core (or section, where a single core is all there is) is left out once, unless there are more than the recipe's
folds: then groups of them are. The networks are single ones, not averages of several: what they say is no better than
what the final one would.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.examples import Floats
from training.task import COMPANION, NETWORK, Task

Fold = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Intervals to learn from, intervals to be asked about."""

SEEDS_APART = 1_000
"""Between the seeds of two repetitions: the members of an average take the ones that follow."""


def folds(task: Task, training: NDArray[np.intp]) -> list[Fold]:
    """How the intervals `training` are left out: whole units, each once; none where there is a single unit."""
    units = task.units[training]
    count = min(task.recipe.folds, len(set(units.tolist())))
    if count < 2:
        return []
    from sklearn.model_selection import GroupKFold

    return [(training[known], training[asked]) for known, asked in GroupKFold(count).split(units, groups=units)]


def machine_folds(task: Task, training: NDArray[np.intp]) -> list[Fold]:
    """The same, leaving out each known machine; none where there is a single one."""
    machines = task.machines[training]
    names = sorted(set(machines.tolist()) - {""})
    found = [(training[machines != one], training[machines == one]) for one in names]
    return [fold for fold in found if fold[0].size] if len(names) > 1 else []


def cross_validate(task: Task, training: NDArray[np.intp], *, random: bool = False) -> dict[str, list[Floats]]:
    """What each model says of the spectra of each interval in `training` without having learnt from its unit.

    Lists in the order of `training`, of arrays (spectra, k); empty for a single unit. `random` is that of `Task.ask`.
    """
    said: dict[str, list[Floats]] = {}
    place = {interval: number for number, interval in enumerate(training.tolist())}
    for known, asked in _shown(folds(task, training), "folds"):
        network, proxies = task.learn(known, 1)
        for name, answers in task.ask(network, proxies, known, asked, random=random).items():
            for interval, answer in zip(asked.tolist(), answers, strict=True):
                said.setdefault(name, [np.empty((0, task.count))] * len(training))[place[interval]] = answer
    return said


def across_machines(task: Task, training: NDArray[np.intp]) -> dict[str, list[Floats]]:
    """What the parts of the quantifier say of each interval in `training` without having learnt from its machine.

    As in `cross_validate`; empty where there is one machine. An interval whose machine is not known has nothing said
    about it, (0, k).
    """
    said: dict[str, list[Floats]] = {}
    place = {interval: number for number, interval in enumerate(training.tolist())}
    for known, asked in _shown(machine_folds(task, training) if task.recipe.unseen_machines else [], "machines"):
        network, proxies = task.learn(known, 1)
        found = {NETWORK: task.said(network, proxies, asked)}
        if task.recipe.companion:
            found[COMPANION] = task.companion(task.linear(proxies, known), proxies, asked)
        for name, answers in found.items():
            for interval, answer in zip(asked.tolist(), answers, strict=True):
                said.setdefault(name, [np.empty((0, task.count))] * len(training))[place[interval]] = answer
    return said


def repetitions(task: Task) -> list[Task]:
    """The same task with the other seeds of the recipe, all but the first."""
    first = task.recipe.seed
    return [
        replace(task, recipe=replace(task.recipe, seed=first + SEEDS_APART * number))
        for number in range(1, task.recipe.seeds)
    ]


def words(task: Task, training: NDArray[np.intp], unit: str) -> str:
    """How the cross-validation left out what, in words."""
    count, parts = len(set(task.units[training].tolist())), len(folds(task, training))
    if not parts:
        return f"none: all labels are of one {unit}"
    return f"each of {count} {unit}s left out once" if parts == count else f"{count} {unit}s left out in {parts} groups"


def _shown(parts: list[Fold], unit: str) -> Iterator[Fold]:
    """`parts`, with a progress bar where somebody is watching."""
    yield from tqdm(parts, unit=f" {unit}", delay=2, disable=None)
