"""Fine-tune a quantifier: the encoder of a foundation model learns to tell laboratory values from spectra.

    python -m training.finetune RECIPE.toml --catalog CATALOG --from MODEL --proxy CaCO3 [--proxy TOC] [--out RUN_DIR]

Whole cores (or sections, and the table says so) are held out, and the baselines are judged on exactly the same labels.
The width of the 90 % intervals comes from a cross-validation over whole units of the training labels, in which every
model is trained anew without the unit that it is asked about. The value of an interval is the mean over its spectra.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from cyclopts import App, Parameter
from numpy.typing import NDArray
from tqdm import tqdm

from corebank import labels, split, uncertainty
from corebank.bundle import Bundle, Proxy
from corebank.cli import run as run_program
from corebank.errors import RecipeError, TrainingError
from corebank.model import Quantifier
from training import data, run, scores
from training.baselines import BASELINES
from training.examples import Examples, Floats, collect
from training.quantifier import embeddings, fit, predict, proxies_of
from training.recipe import Finetuning, load

NETWORK = "network"
"""What the fine-tuned network is called in tables, beside the names of the baselines."""

FEWEST = 3
"""Labels that a baseline needs."""

AUXILIARY = 20
"""Labels from which on another proxy is worth learning beside those that are asked for."""

KNOWN = 4_096
"""Spectra, evenly spread over the training units, that describe what the model knows: more do not move the result."""

app = App(name="python -m training.finetune", help=__doc__, result_action="return_value")


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
    """Fine-tune a quantifier, print how good it is beside the baselines, and where it is.

    Parameters
    ----------
    recipe
        TOML file, see training/recipes.
    catalog
        Catalog of a bank or a federation.
    from_
        Foundation model: a run, a bundle, models:/name@alias or models:/name/3.
    proxy
        What to quantify; repeat it for several, which then share one network.
    out
        Folder of the run; runs/finetune-HASH unless given.
    """
    given: dict[str, Any] = {"parent": from_, "proxies": proxy}
    settings = load(recipe, Finetuning, **{name: value for name, value in given.items() if value})
    if not settings.parent or not settings.proxies:
        raise RecipeError(recipe, "no model to start from, or no proxy", "Give --from MODEL and --proxy NAME")
    spectra, measurements = data.spectra(catalog, settings.data), data.measurements(catalog, settings.data)
    folder = run.start("finetune", settings, out)
    model, report = finetune(settings, spectra, measurements)
    run.finish(
        folder,
        "finetune",
        settings,
        model,
        report,
        {
            f"{side}.{name}.{number}": models[NETWORK][number]
            for side in ("held_out", "cross_validation")
            for name, models in report[side].items()
            for number in ("r2", "rmse", "mae", "bias")
        },
    )
    units = {one.name: one.unit for one in model.proxies}
    for title, side in (("Cross-validation over training", "cross_validation"), ("Held-out", "held_out")):
        if report[side]:
            print(f"{title} {settings.split.unit}s:\n{scores.table(report[side], units)}\n")
    if without := report["intervals"]["no_spectrum"]:
        print(f"{without} labelled intervals hold no spectrum.\n")
    if known := report["seen_by_parent"]:
        print(f"The foundation model has seen the spectra, not the labels, of {', '.join(known)}.\n")
    print(folder)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """What every training within a run shares: cross-validation trains many models on parts of the same labels."""

    recipe: Finetuning
    parent: Bundle
    labels: labels.Labels
    """Intervals with spectra, n of them; the recipe's proxies come first, auxiliary ones follow."""
    examples: Examples
    """The same n intervals with their spectra."""
    units: NDArray[np.str_]
    """(n,) the core or section of each."""

    def learn(self, known: NDArray[np.intp], members: int) -> tuple[Quantifier, tuple[Proxy, ...]]:
        """Train on the intervals `known`."""
        proxies = proxies_of(self.labels[np.isin(np.arange(len(self.labels)), known)], self.recipe.logarithm)
        return fit(self.parent, self.examples[known], proxies, self.recipe, members), proxies

    def ask(
        self,
        network: Quantifier,
        proxies: tuple[Proxy, ...],
        known: NDArray[np.intp],
        asked: NDArray[np.intp],
    ) -> dict[str, list[Floats]]:
        """Values of the spectra of the intervals `asked`, (spectra, k) each, by the network and by the baselines.

        The baselines learn from the intervals `known` and say one thing for all spectra of an interval.
        """
        answers = {NETWORK: predict(network, self.parent.normalization, proxies, self.examples[asked])}
        rates, wanted = self.examples[known].means, self.examples[asked].means
        for name, model in BASELINES.items():
            columns = []
            for proxy, values in zip(proxies, self.examples.values[known].T, strict=True):
                labelled = np.isfinite(values)
                enough = labelled.sum() >= FEWEST
                columns.append(
                    proxy.inverse(model(rates[labelled], proxy.forward(values[labelled]), wanted))
                    if enough
                    else np.full(len(wanted), np.nan)
                )
            answers[name] = list(np.stack(columns, axis=1)[:, None])
        return answers


def finetune(recipe: Finetuning, spectra: xr.Dataset, measurements: pd.DataFrame) -> tuple[Bundle, dict[str, Any]]:
    """Train on the labels of `recipe.proxies` and judge; returns the model and the report for ``metrics.json``.

    Raises `SchemaError` for proxies without values, `TrainingError` when the parent reads another energy axis, labels
    and spectra do not meet, or every labelled unit is held out.
    """
    started = time.monotonic()
    parent, parent_name = run.parent_of(recipe)
    assert parent is not None, "the caller names one"
    if parent.grid.to_json() != spectra.attrs["grid"]:
        raise TrainingError(
            recipe.parent,
            f"reads {parent.grid}, the catalog holds {spectra.attrs['grid']}",
            "Pretrain a model on the catalog's energy axis",
        )
    found = labels.match(spectra, measurements, [*recipe.proxies, *_auxiliary(measurements, recipe)])
    matched = found[found.matched]
    if not len(matched):
        raise TrainingError(
            "labels",
            f"none of {len(found)} labelled intervals holds a spectrum",
            "Compare the depths of the measurements with those of the spectra",
        )
    names = split.unit_names(spectra, recipe.split.unit)
    held = data.held_out(names, recipe.split)
    rows = [row[0] for row in matched.rows]
    training, test = np.flatnonzero(~held[rows]), np.flatnonzero(held[rows])
    if not training.size:
        raise TrainingError("split", "every labelled interval is held out", "Hold out less")
    task = Task(recipe=recipe, parent=parent, labels=matched, examples=collect(spectra, matched), units=names[rows])

    crossed = cross_validate(task, training)
    network, proxies = task.learn(training, recipe.members)
    answers = task.ask(network, proxies, training, test) if test.size else {}
    proxies = tuple(
        replace(proxy, half_width=_half_width(task, training, column, proxy, crossed.get(NETWORK, [])))
        for column, proxy in enumerate(proxies[: len(recipe.proxies)])
    )
    report: dict[str, Any] = {
        "held_out": _scores(task, test, answers),
        "cross_validation": _scores(task, training, crossed),
        "intervals": {"training": len(training), "held_out": len(test), "no_spectrum": len(found) - len(matched)},
        "auxiliary": list(matched.proxies[len(recipe.proxies) :]),
        "split": {
            "unit": recipe.split.unit,
            "training": sorted(set(task.units[training].tolist())),
            "held_out": sorted(set(task.units[test].tolist())),
        },
        "seen_by_parent": sorted(set(task.units[test].tolist()) & {*parent.lineage.cores, *parent.lineage.sections}),
        "seconds": time.monotonic() - started,
    }
    trained = spectra.isel(spectrum=np.unique(np.concatenate([matched.rows[i] for i in training])))
    outlier = _outlier(task, network, spectra.isel(spectrum=np.flatnonzero(np.isin(names, task.units[training]))))
    model = Bundle(
        kind="quantifier",
        name=recipe.name,
        config=parent.config,
        normalization=parent.normalization,
        proxies=proxies,
        weights=_heads(network, len(proxies)),
        outlier=outlier,
        lineage=data.lineage(trained, parent, parent_name),
        recipe=asdict(recipe),
        metrics={
            side: {name: models[NETWORK] for name, models in report[side].items()}
            for side in ("held_out", "cross_validation")
        },
    )
    return model, report


def cross_validate(task: Task, training: NDArray[np.intp]) -> dict[str, list[Floats]]:
    """What each model says of each training interval without having learnt from its unit; empty for a single unit.

    The networks are single ones, not averages: what they say is no better than what the final one would.
    """
    units = task.units[training]
    folds = min(task.recipe.folds, len(set(units.tolist())))
    if folds < 2:
        return {}
    from sklearn.model_selection import GroupKFold

    said: dict[str, list[Floats]] = {}
    for known, asked in tqdm(GroupKFold(folds).split(units, groups=units), total=folds, unit=" folds", disable=None):
        network, proxies = task.learn(training[known], 1)
        for name, answers in task.ask(network, proxies, training[known], training[asked]).items():
            said.setdefault(name, [np.empty(0)] * len(training))
            for place, answer in zip(asked, answers, strict=True):
                said[name][place] = answer
    return said


def _auxiliary(measurements: pd.DataFrame, recipe: Finetuning) -> list[str]:
    """The other proxies that the recipe lets the network learn too: those with enough labels, all in one unit."""
    if not recipe.auxiliary:
        return []
    others = measurements[~measurements["proxy"].isin(recipe.proxies) & measurements["value"].notna()]
    return [str(name) for name, one in others.groupby("proxy") if len(one) >= AUXILIARY and len(set(one["unit"])) == 1]


def _heads(network: Quantifier, count: int) -> dict[str, torch.Tensor]:
    """The weights of `network` with the first `count` of its outputs."""
    return {name: one[:count] if name.startswith("head.") else one for name, one in network.state_dict().items()}


def _scores(task: Task, asked: NDArray[np.intp], answers: dict[str, list[Floats]]) -> dict[str, dict[str, Any]]:
    """``{proxy: {model: score}}``; the value of an interval is the mean over its spectra."""
    if not answers:
        return {}
    means = {model: np.stack([one.mean(axis=0) for one in said]) for model, said in answers.items()}
    return {
        name: {
            model: scores.by_unit(task.examples.values[asked, column], values[:, column], task.units[asked])
            for model, values in means.items()
        }
        for column, name in enumerate(task.recipe.proxies)
    }


def _half_width(
    task: Task,
    training: NDArray[np.intp],
    column: int,
    proxy: Proxy,
    crossed: list[Floats],
) -> float:
    """Conformal half width in network units, from single spectra of units that a network had not learnt from."""
    residuals, groups = [], []
    for place, said in zip(training, crossed, strict=False):
        truth = proxy.forward(task.examples.values[place, column])
        residuals += list(truth - proxy.forward(said[:, column]))
        groups += [task.units[place]] * len(said)
    return uncertainty.half_width(residuals, groups) if groups else math.nan


def _outlier(task: Task, network: Quantifier, spectra: xr.Dataset) -> dict[str, torch.Tensor]:
    """Statistics that tell how unlike the spectra of the labelled training units a spectrum is.

    The foundation model may have seen more, but no label says what that means. The threshold is the largest that a unit
    needs when the others describe what is known: another section of a known core must not be called foreign. A single
    unit is its own judge.
    """
    even = np.unique(np.linspace(0, spectra.sizes["spectrum"] - 1, KNOWN).astype(int))
    known = spectra.isel(spectrum=even)
    units = split.unit_names(known, task.recipe.split.unit)
    points = embeddings(network, task.parent.normalization, known)
    detector = uncertainty.fit_outlier(points, points, units.tolist())
    thresholds = [
        uncertainty.fit_outlier(points[units != one], points[units == one], units[units == one].tolist()).threshold
        for one in sorted(set(units.tolist()))
        if (units != one).sum() > 1
    ]
    detector = replace(detector, threshold=np.max([detector.threshold, *thresholds]))
    return {name: torch.from_numpy(np.asarray(array)) for name, array in detector.arrays().items()}


if __name__ == "__main__":
    run_program(app)
