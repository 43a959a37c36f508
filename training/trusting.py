"""The tables behind docs/explanation/trust.md, made anew: do intervals hold what they promise, are outliers found?

    python -m training.trusting [simulated] [cores] [machines] [outliers] [limits] [--collections 3] [--first 0]
                                [--from MODEL] [--out DIR]

All cores are virtual (synthetic), drawn anew for each collection; no catalog is read. Without `--from` the encoder has
random weights: what is asked here is whether a model knows what it does not know, not whether it is a good one. Minutes
for three collections of everything; other collections are as good a test as these (`--first`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Literal, get_args

import pandas as pd
import torch
from cyclopts import App, Parameter

from corebank import bundle, hub
from corebank.bundle import Bundle
from corebank.cli import run as run_program
from corebank.errors import TrainingError
from corebank.model import ModelConfig, SpectrumMAE
from corebank.normalize import Normalization
from training import trust_intervals, trust_outliers

Name = Literal["simulated", "cores", "machines", "outliers", "limits"]
NAMES: tuple[Name, ...] = get_args(Name)

CORES = (3, 5, 10, 20)
"""Cores that a model learns from in the table `cores`."""

MACHINES = (2, 3, 4)
"""Machines that it learns from in the table `machines`."""

LIMITS = (0.05, 0.03, 0.02)
"""Shares of spectra of known kind that the limit of the outlier score is set for in the table `limits`."""

REPETITIONS = 100
"""Simulated collections for one of virtual cores: they cost nothing."""

CONFIG = ModelConfig(patch=64, width=64, depth=1, heads=2, decoder_width=16, decoder_depth=1, decoder_heads=2)
"""Sizes of the encoder with random weights."""

app = App(name="python -m training.trusting", help=__doc__, result_action="return_value")


@app.default
def main(
    *tables: Name,
    collections: int = 3,
    first: int = 0,
    from_: Annotated[str, Parameter("--from")] = "",
    out: Path | None = None,
) -> None:
    """Make the tables, print them, and leave the single results as NAME.csv in a folder.

    Parameters
    ----------
    tables
        Which; all of them unless given.
    collections
        Collections of cores over which each is a mean.
    first
        Number of the first collection.
    from_
        Foundation model or quantifier whose encoder is taken: a run, a bundle, models:/name@alias.
    out
        Folder for the single results; none are left unless given.
    """
    if collections < 1:
        raise TrainingError("--collections", f"is {collections}", "Give at least 1")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        parent = hub.resolve(from_) if from_ else bundle.save(untaught(), Path(scratch))
        for name in tables or NAMES:
            found = pd.DataFrame(rows(name, collections, first, parent))
            if out is not None:
                found.to_csv(out / f"{name}.csv", index=False)
            print(f"{name}: {TITLES[name]}\n{summary(name, found)}\n", flush=True)


TITLES: dict[Name, str] = {
    "simulated": f"share of new cores held by three kinds of interval, and width; {REPETITIONS} times the collections",
    "cores": "share of values of new cores held by a 90 % interval, and its width [natural logarithm]",
    "machines": "the same for the scanner left out, by the interval for machines seen and the one for others",
    "outliers": "share of spectra flagged, inside the envelope, and values found, said and held",
    "limits": "share of spectra flagged when the limit is set for 5, 3 and 2 % of known ones, smallest and largest",
}


def rows(name: Name, collections: int, first: int, parent: Path) -> list[dict[str, object]]:
    """The single results of a table, see `training.trust_intervals` and `training.trust_outliers`."""
    if name == "simulated":
        return trust_intervals.simulated(REPETITIONS * collections, REPETITIONS * first)
    if name == "cores":
        return trust_intervals.new_cores(CORES, collections, first, parent)
    if name == "machines":
        return trust_intervals.new_machines(MACHINES, collections, first, parent)
    if name == "outliers":
        return trust_outliers.foreign(collections, first, parent)
    return trust_outliers.limits(LIMITS, collections, first, parent)


def summary(name: Name, found: pd.DataFrame) -> str:
    """A table of means over the collections, in text."""
    if name == "simulated":
        by = found.groupby(["cores", "off", "width"])
        made = pd.DataFrame({"held": by["held"].mean(), "wide": by["wide"].median()})  # a width may be infinite
    elif name == "cores":
        # A collection's share is the mean over its cores: each weighs the same, and so does each collection.
        each = found.groupby(["cores", "proxy", "collection"]).agg(held=("held", "mean"), width=("width", "first"))
        by = each.groupby(["cores", "proxy"])
        made = by.mean().assign(scatter=by["held"].std(ddof=0))
        made["cores below 70 %"] = found.assign(low=found["held"] < 0.7).groupby(["cores", "proxy"])["low"].mean()
    elif name == "machines":
        made = found.groupby(["machines", "proxy"])[["seen", "unseen"]].mean()
    elif name == "outliers":
        keys = ["learnt on", "asked about", "machine", "new"]
        made = found.drop(columns="collection").groupby(keys, sort=False).mean()
    else:
        made = found.groupby(["limit", "asked about"], sort=False)["flagged"].agg(["mean", "min", "max"])
    return str(made.to_string(float_format=lambda value: f"{value:.2f}", na_rep="none"))


def untaught() -> Bundle:
    """A foundation model that has learnt nothing: a random map of spectra."""
    torch.manual_seed(0)
    weights = SpectrumMAE(CONFIG).state_dict()
    return Bundle(
        kind="foundation", name="untaught", config=CONFIG, normalization=Normalization(kind="log"), weights=weights
    )


if __name__ == "__main__":
    run_program(app)
