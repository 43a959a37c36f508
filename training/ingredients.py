"""Which part of a quantifier's score each ingredient gives: one cross-validation after the other, each with one more.

    python -m training.ingredients RECIPE.toml --catalog CATALOG --from MODEL --proxy Fe2O3 [--proxy TC] [--out CSV]

Every unit that has labels is left out once; nothing is held out besides, and nothing in a step is chosen by its result.
R2 of all labels together, each model in each step:

1. as usual: the spectra of each label, nothing else
2. neighbours: spectra within the recipe's ``within`` of a label speak for it, in learning and in asking
3. registration: labels are brought to their spectra before they are learnt from; what judges keeps its depths
4. judged there: what judges is brought to its spectra, too, by the *other* proxies of its section
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import xarray as xr
from cyclopts import App, Parameter
from numpy.typing import NDArray

from corebank import split
from corebank.cli import run as run_program
from corebank.errors import TrainingError
from training import crossing, data, judging, registration, run, stacking
from training.examples import Examples, Floats, collect, match
from training.finetune import prepare, with_auxiliary
from training.quantifier import proxies_of
from training.recipe import Finetuning, Split
from training.scores import score
from training.task import STACK, Task

LABEL_REACH = 5.0
"""[mm] What "as usual" adds to both ends of a label: with samples of 1 cm the spectra within 10 mm of their middle."""

app = App(name="python -m training.ingredients", help=__doc__, result_action="return_value")


@app.default
def main(
    recipe: Path,
    /,
    *,
    catalog: str,
    from_: Annotated[str, Parameter("--from")] = "",
    proxy: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    out: Path | None = None,
) -> None:
    """Print R2 by step, model and proxy.

    Parameters
    ----------
    recipe
        TOML file of a fine-tuning, see training/recipes.
    catalog
        Catalog of a bank or a federation.
    from_
        Foundation model: a run, a bundle, models:/name@alias or models:/name/3.
    proxy
        What to quantify; repeat it for several.
    out
        Where the table goes as CSV.
    """
    settings = run.finetuning(recipe, from_, proxy)
    spectra, measurements = data.spectra(catalog, settings.data), data.measurements(catalog, settings.data)
    found = pd.DataFrame(rows(settings, spectra, measurements))
    if out is not None:
        found.to_csv(out, index=False)
    print(table(found))


def rows(recipe: Finetuning, spectra: xr.Dataset, measurements: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """``step``, ``model``, ``seed``, ``proxy`` and ``r2`` of everything that is tried."""
    everything = replace(recipe, split=Split(unit=recipe.split.unit), companion=True)
    near = min(LABEL_REACH, recipe.within)
    steps = {
        "as usual": replace(everything, within=near, registration=False),
        "neighbours": replace(everything, registration=False),
        "registration": replace(everything, registration=True),
    }
    for step, one in steps.items():
        task, training = _task(one, spectra, measurements)
        for seed in (task, *crossing.repetitions(task)):
            said = crossing.cross_validate(seed, training)
            yield from _scored(step, seed, training, _with_stack(seed, training, said))
    # What judges moves by itself, so that the nearest spectra are enough.
    task, training = _task(replace(everything, within=near, registration=True, scratch=False), spectra, measurements)
    for seed in (task, *crossing.repetitions(task)):
        yield from _scored("judged there", seed, training, _judged_there(seed, training, spectra))


def table(found: pd.DataFrame) -> str:
    """Lines of text: a row for each step and model, R2 of each proxy as the mean over seeds, and the median of them."""
    wide = found.pivot_table(index=["step", "model"], columns="proxy", values="r2", sort=False)
    wide["median"] = wide.median(axis=1)
    over_seeds = found.groupby(["step", "model", "seed"], sort=False)["r2"].median()
    spread = over_seeds.groupby(level=["step", "model"], sort=False).std(ddof=0)
    wide["±"] = spread.reindex(wide.index)
    return str(wide.round(2).to_string())


def _task(recipe: Finetuning, spectra: xr.Dataset, measurements: pd.DataFrame) -> tuple[Task, NDArray[np.intp]]:
    parent, _ = run.parent_for(recipe, spectra)
    found = match(spectra, measurements, with_auxiliary(measurements, recipe), recipe.within)
    matched = found[found.matched]
    if not len(matched):
        raise TrainingError("labels", "none holds a spectrum", "Compare their depths with those of the spectra")
    task, sides = prepare(recipe, parent, spectra, matched)
    if len(set(task.units[sides.training].tolist())) < 2:
        raise TrainingError("labels", "all are of one unit", "Nothing can be left out; bring in more labels")
    task, _ = registration.register(task, spectra, sides.training)
    return task, sides.training


def _with_stack(task: Task, training: NDArray[np.intp], said: stacking.Said) -> stacking.Said:
    """What was said, with the mixture of network and companion."""
    known = task.labels[np.isin(np.arange(len(task.labels)), training)]
    proxies = proxies_of(known, task.recipe.logarithm, task.recipe.logit)
    return stacking.crossed(task, training, proxies[: task.count], said)


def _judged_there(task: Task, training: NDArray[np.intp], spectra: xr.Dataset) -> stacking.Said:
    """Cross-validation in which a section's labels are asked where its other proxies say that they belong."""
    sections, depth = split.unit_names(spectra, "section"), spectra["depth"].values
    names = task.recipe.proxies
    shifts = {name: registration.shifts(spectra, task.labels, sections, without=name) for name in names}
    moved: dict[tuple[float, ...], tuple[Examples, list[int]]] = {}
    for column, name in enumerate(names):
        key = tuple(one.millimetres for one in shifts[name].values())
        if key not in moved:
            moved[key] = (collect(spectra, registration.moved(task.labels, depth, sections, shifts[name])), [])
        moved[key][1].append(column)
    said: stacking.Said = {}
    place = {interval: number for number, interval in enumerate(training.tolist())}
    for known, asked in crossing.folds(task, training):
        network, proxies = task.learn(known, 1)
        for examples, columns in moved.values():
            for model, answers in replace(task, examples=examples).ask(network, proxies, known, asked).items():
                into = said.setdefault(model, [np.full((1, task.count), np.nan) for _ in training])
                for interval, answer in zip(asked.tolist(), answers, strict=True):
                    into[place[interval]][:, columns] = answer[:, columns].mean(axis=0)
    return _with_stack(task, training, said)


def _scored(step: str, task: Task, training: NDArray[np.intp], said: stacking.Said) -> Iterator[dict[str, Any]]:
    for model, answers in sorted(said.items(), key=lambda one: one[0] == STACK):
        for column, proxy in enumerate(task.recipe.proxies):
            measured: Floats = task.examples.values[training, column]
            r2 = score(measured, judging.means(answers, column, task.labels.units[column]))["r2"]
            yield {"step": step, "model": model, "seed": task.recipe.seed, "proxy": proxy, "r2": r2}


if __name__ == "__main__":
    run_program(app)
