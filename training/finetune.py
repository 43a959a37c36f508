"""Fine-tune a quantifier: the encoder of a foundation model learns to tell laboratory values from spectra.

    python -m training.finetune RECIPE.toml --catalog CATALOG --from MODEL --proxy CaCO3 [--proxy TOC] [--out RUN_DIR]

Whole cores (or sections, and the table says so) are held out, and the baselines are judged on exactly the same labels.
The default report, and the width of the 90 % intervals, is a cross-validation in which each core of the training labels
is left out once and every model is trained anew without it. The value of an interval is the mean over its spectra.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import xarray as xr
from cyclopts import App, Parameter
from numpy.typing import NDArray

from corebank import predict as predicting
from corebank import split
from corebank.bundle import Bundle
from corebank.cli import run as run_program
from corebank.errors import TrainingError
from corebank.labels import Labels
from corebank.model import first_outputs
from training import crossing, data, judging, registration, run, scores, stacking, trust
from training.examples import collect, match, of_one_unit
from training.recipe import Finetuning
from training.task import NETWORK, STACK, Task

AUXILIARY = 20
"""Labels from which on another proxy is worth learning beside those that are asked for."""

SIDES = ("held_out", "cross_validation")

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
    settings = run.finetuning(recipe, from_, proxy)
    spectra, measurements = data.spectra(catalog, settings.data), data.measurements(catalog, settings.data)
    folder = run.start("finetune", settings, out)
    with run.unless_refused(folder):
        model, report = finetune(settings, spectra, measurements)
    run.finish(
        folder,
        "finetune",
        settings,
        model,
        report,
        {
            f"{side}.{name}.{number}": models[STACK if settings.companion else NETWORK][number]
            for side in SIDES
            for name, models in report[side].items()
            for number in scores.NUMBERS
        },
    )
    print(f"{said(report, {one.name: one.unit for one in model.proxies})}\n\n{folder}")


def finetune(recipe: Finetuning, spectra: xr.Dataset, measurements: pd.DataFrame) -> tuple[Bundle, dict[str, Any]]:
    """Train on the labels of `recipe.proxies` and judge; returns the model and the report for ``metrics.json``.

    Raises `SchemaError` for proxies without values, `TrainingError` when the parent reads another energy axis, labels
    and spectra do not meet, or every labelled unit is held out.
    """
    started = time.monotonic()
    parent, parent_name = run.parent_for(recipe, spectra)
    found = match(spectra, measurements, with_auxiliary(measurements, recipe), recipe.within)
    matched = found[found.matched]
    if not len(matched):
        raise TrainingError(
            "labels",
            f"none of {len(found)} labelled intervals holds a spectrum",
            "Compare the depths of the measurements with those of the spectra",
        )
    task, sides = prepare(recipe, parent, spectra, matched)
    training, test = sides.training, sides.test
    task, shifts = registration.register(task, spectra, training)

    # What cross-validation says gives the intervals their width, and is judged itself.
    crossed = [crossing.cross_validate(task, training)]
    elsewhere = crossing.across_machines(task, training)
    network, proxies = task.learn(training, recipe.members)
    answers = [task.ask(network, proxies, training, test)] if test.size else []
    for again in crossing.repetitions(task):
        crossed.append(crossing.cross_validate(again, training, random=True))
        if test.size:
            answers.append(again.ask(*again.learn(training, recipe.members), training, test, random=True))
    linear = task.linear(proxies, training) if recipe.companion else None
    if linear is not None:
        linear, crossed, answers = stacking.stacked(task, training, proxies, linear, crossed, answers)
        elsewhere = stacking.mixed(proxies[: task.count], elsewhere, linear.share) if elsewhere else {}
    spoken, across = crossed[0].get(task.delivered, []), elsewhere.get(task.delivered, [])
    if recipe.within:  # what is delivered are means over neighbours: it is these that may be off
        spoken, across = judging.averaged(spoken), judging.averaged(across)
    asked_for = trust.half_widths(
        proxies[: task.count],
        task.examples.values[training, : task.count],
        spoken,
        task.units[training],
        task.machines[training],
        unseen=across,
    )
    ours = np.flatnonzero(np.isin(sides.names, task.units[training]))
    trained = spectra.isel(spectrum=np.unique(np.concatenate([task.labels.rows[i] for i in training])))
    model = Bundle(
        kind="quantifier",
        name=recipe.name,
        config=parent.config,
        normalization=parent.normalization,
        proxies=asked_for,
        weights=first_outputs(network.state_dict(), task.count),
        outlier=trust.outlier(network, parent.normalization, spectra.isel(spectrum=ours), sides.names[ours]),
        lineage=data.lineage(trained, parent, parent_name),
        companion=None if linear is None else data.tensors(linear.arrays()),
        reach=recipe.within,
        recipe=asdict(recipe),
    )
    foreign = judging.strange(task.machines[test], model.lineage.machines)
    bounds = judging.ends(asked_for, answers[0][task.delivered], foreign) if answers else None
    crossed_bounds = judging.crossed_ends(task, training, asked_for, spoken, across) if spoken else None
    report: dict[str, Any] = {
        "held_out": judging.records(task, test, answers, bounds),
        "cross_validation": judging.records(task, training, crossed, crossed_bounds),
        "intervals": {"training": len(training), "held_out": len(test), "no_spectrum": len(found) - len(matched)},
        "auxiliary": list(matched.proxies[task.count :]),
        "registration": registration.told(list(shifts.values())),
        "share_of_linear": {} if linear is None else dict(zip(recipe.proxies, linear.share.tolist(), strict=True)),
        "split": {
            "unit": recipe.split.unit,
            "crossed": sides.crossed,
            "cross_validation": crossing.words(task, training, sides.crossed),
            "training": sorted(set(task.units[training].tolist())),
            "held_out": sorted(set(task.units[test].tolist())),
        },
        "seen_by_parent": sorted(set(task.units[test].tolist()) & {*parent.lineage.cores, *parent.lineage.sections}),
    }
    metrics: dict[str, Any] = {
        side: {name: one[task.delivered] for name, one in report[side].items()} for side in SIDES
    }
    metrics |= {"baselines": judging.beside(report, task.delivered), "registration": report["registration"]}
    report["outliers"] = metrics["outliers"] = judging.outliers(model, network, spectra, sides.names, sides.held)
    report["seconds"] = time.monotonic() - started
    return replace(model, metrics=metrics), report


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sides:
    """What trains and what judges."""

    training: NDArray[np.intp]
    """Labelled intervals that train."""
    test: NDArray[np.intp]
    """Labelled intervals that judge."""
    names: NDArray[np.str_]
    """(spectrum,) the unit of each spectrum."""
    held: tuple[str, ...]
    """Units of spectra that are held out, with labels or without."""
    crossed: split.Unit
    """What cross-validation leaves out: sections where the training labels are all of one core."""


def prepare(recipe: Finetuning, parent: Bundle, spectra: xr.Dataset, matched: Labels) -> tuple[Task, Sides]:
    """Take labels with spectra to their sides, whole units each, and read their spectra.

    Raises `RecipeError` for a held-out unit that is not there, `TrainingError` when everything is held out.
    """
    depth = spectra["depth"].values
    names = split.unit_names(spectra, recipe.split.unit)
    held = data.held_out(names, recipe.split)
    crossed = recipe.split.unit
    matched = of_one_unit(matched, depth, names)
    rows = np.array([row[0] for row in matched.rows])
    training, test = np.flatnonzero(~held[rows]), np.flatnonzero(held[rows])
    if not training.size:
        raise TrainingError("split", "every labelled interval is held out", "Hold out less")
    if crossed == "core" and len(set(names[rows[training]].tolist())) == 1:
        crossed, names = "section", np.where(held, names, split.unit_names(spectra, "section"))
        matched = of_one_unit(matched, depth, names)
        rows = np.array([row[0] for row in matched.rows])
    task = Task(
        recipe=recipe,
        parent=parent,
        labels=matched,
        examples=collect(spectra, matched),
        units=names[rows],
        machines=predicting.machines(spectra)[rows],
    )
    kept = tuple(sorted(set(names[held].tolist())))
    return task, Sides(training=training, test=test, names=names, held=kept, crossed=crossed)


def said(report: Mapping[str, Any], units: Mapping[str, str]) -> str:
    """The report in words and tables; `units` are those of the proxies."""
    made = report["split"]
    parts = []
    if made["crossed"] != made["unit"]:
        parts.append("All training labels are of one core: its sections, not cores, judge in the cross-validation.")
    titles = {
        "cross_validation": (f"Cross-validation, {made['cross_validation']}", made["crossed"]),
        "held_out": (f"Held-out {made['unit']}s", made["unit"]),
    }
    for side, (title, unit) in titles.items():
        if report[side]:
            parts.append(f"{title}:\n{judging.table(report[side], units, unit)}")
    if flagged := report["outliers"]:
        rates = ", ".join(f"{unit} {one['flagged']:.0%} of {one['spectra']}" for unit, one in flagged.items())
        parts.append(f"Held-out spectra called outliers: {rates}.")
    if moved := report["registration"]:
        told = ", ".join(f"{name} {one['shift']:+g} mm" for name, one in moved.items() if one["shift"])
        parts.append(f"Labels were brought to their spectra to learn from: {told or 'none needed it'}.")
    if shares := report["share_of_linear"]:
        told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        parts.append(f"Share of the linear model in the quantifier: {told}.")
    if without := report["intervals"]["no_spectrum"]:
        parts.append(f"{without} labelled intervals hold no spectrum.")
    if known := report["seen_by_parent"]:
        parts.append(f"The foundation model has seen the spectra, not the labels, of {', '.join(known)}.")
    return "\n\n".join(parts)


def with_auxiliary(measurements: pd.DataFrame, recipe: Finetuning) -> list[str]:
    """The recipe's proxies, then those that it lets the network learn too: with enough labels, all in one unit."""
    if not recipe.auxiliary:
        return list(recipe.proxies)
    others = measurements[~measurements["proxy"].isin(recipe.proxies) & measurements["value"].notna()]
    enough = [
        str(name) for name, one in others.groupby("proxy") if len(one) >= AUXILIARY and len(set(one["unit"])) == 1
    ]
    return [*recipe.proxies, *enough]


if __name__ == "__main__":
    run_program(app)
