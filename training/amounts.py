"""How many labels pretraining saves: the curve of skill over the number of labels, pretrained, from scratch, and ridge.

    python -m training.amounts RECIPE.toml --catalog CATALOG --from MODEL --proxy CaCO3 [--proxy TOC]
                               [--amounts 10 30 100 300] [--seeds 5] [--out DIR]

For each seed the training labels are put in a random order; N labels are the first N of it, so that more labels hold
the fewer ones, and all three models learn from the same ones. Whole cores judge (the recipe's split), the same at every
N; neither the models nor the foundation model have seen them. The networks take as many steps at every N as the recipe
takes with the largest one: few labels must not mean little training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import xarray as xr
from cyclopts import App, Parameter
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tqdm import tqdm

from corebank import split
from corebank.bundle import Bundle
from corebank.cli import run as run_program
from corebank.errors import TrainingError
from corebank.labels import Labels
from corebank.plot.marks import BLUE, GREY, VERMILLION
from training import baselines, data, judging, run, scores
from training.examples import Examples, Floats, collect, match
from training.quantifier import fit, predict, proxies_of
from training.recipe import Finetuning

MODELS = ("pretrained", "scratch", "ridge")
"""The foundation model fine-tuned; the same network from random weights; ridge regression (`training.baselines`)."""

SHARE = 3
"""Pretrained on a third of the labels is compared with scratch on all of them."""

app = App(name="python -m training.amounts", help=__doc__, result_action="return_value")


@app.default
def main(
    recipe: Path,
    /,
    *,
    catalog: str,
    from_: Annotated[str, Parameter("--from")] = "",
    proxy: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    amounts: Annotated[tuple[int, ...], Parameter(negative="", consume_multiple=True)] = (10, 30, 100, 300),
    seeds: int = 5,
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
    amounts
        Numbers of labelled intervals; one beyond those that there are means all.
    seeds
        Draws of labels, and networks trained, at each amount.
    out
        Folder of the run; runs/amounts-HASH unless given.
    """
    settings = run.finetuning(recipe, from_, proxy)
    spectra = data.spectra(catalog, settings.data)
    parent, _ = run.parent_for(settings, spectra)
    task = prepare(settings, parent, spectra, data.measurements(catalog, settings.data))
    sizes = task.sizes(amounts)
    folder = run.start("amounts", settings, out)
    parts = []
    for seed in tqdm(range(seeds), unit=" seeds", disable=None):
        parts.append(task.curve(sizes, seed))
        pd.concat(parts).to_csv(folder / "amounts.csv", index=False)  # a killed run leaves what it has
    found = pd.concat(parts, ignore_index=True)
    units = dict(zip(task.labels.proxies, task.labels.units, strict=True))
    draw(found, units).savefig(folder / "figures" / "amounts.png", dpi=150)
    cores = sorted(set(task.units[task.asked].tolist()))
    print(f"{len(task.asked)} labels of {len(cores)} {settings.split.unit}s judge: {', '.join(cores)}\n")
    print(table(found, units))
    print(f"\n{folder}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """Labels that train and labels that judge; n intervals with spectra."""

    recipe: Finetuning
    parent: Bundle
    labels: Labels
    examples: Examples
    units: NDArray[np.str_]
    """(n,) the core or section of each."""

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

    def curve(self, sizes: Sequence[int], seed: int) -> pd.DataFrame:
        """A row for each amount, model and proxy: what one draw of labels gives."""
        order = np.random.default_rng(seed).permutation(self.known)
        steps = self.recipe.epochs * math.ceil(max(sizes) / self.recipe.batch_size)
        rows = []
        for size in sizes:
            drawn = np.sort(order[:size])
            epochs = max(1, round(steps / math.ceil(size / self.recipe.batch_size)))
            answers = self.answers(drawn, replace(self.recipe, seed=seed, epochs=epochs))
            for column, proxy in enumerate(self.labels.proxies):
                labelled = int(np.isfinite(self.examples.values[drawn, column]).sum())
                for model in MODELS:
                    said = scores.score(self.examples.values[self.asked, column], answers[model][:, column])
                    place = {"proxy": proxy, "amount": size, "labels": labelled, "seed": seed, "model": model}
                    rows.append(place | {name: said[name] for name in ("r2", "rmse", "mae", "bias", "n")})
        return pd.DataFrame(rows)

    def answers(self, drawn: NDArray[np.intp], recipe: Finetuning) -> dict[str, Floats]:
        """Model to what it says of the judging intervals, (judging, k) [unit], having learnt from `drawn`."""
        chosen = self.labels[np.isin(np.arange(len(self.labels)), drawn)]
        proxies = proxies_of(chosen, recipe.logarithm, recipe.logit)
        known, asked = self.examples[drawn], self.examples[self.asked]
        said: dict[str, Floats] = {}
        for model in MODELS[:2]:
            network = fit(
                self.parent, known, proxies, recipe, recipe.members, units=self.units[drawn], scratch=model == "scratch"
            )
            values = predict(network, self.parent.normalization, proxies, asked)
            said[model] = np.stack([judging.means(values, *one) for one in enumerate(self.labels.units)], axis=1)
        classical = (known.means, known.values, proxies, self.units[drawn], asked.means, recipe.seed)
        return said | baselines.answers(MODELS[2:], *classical)


def prepare(recipe: Finetuning, parent: Bundle, spectra: xr.Dataset, measurements: pd.DataFrame) -> Task:
    """Find the labels of the recipe's proxies, those that train and those that judge.

    Raises `TrainingError` when the parent has seen what is to judge, or nothing is held out;
    `SchemaError` for proxies without values.
    """
    names = split.unit_names(spectra, recipe.split.unit)
    held = data.held_out(names, recipe.split)
    found = match(spectra, measurements, recipe.proxies, recipe.within)
    labels = found[found.matched]
    rows = [row[0] for row in labels.rows]
    asked, known = np.flatnonzero(held[rows]), np.flatnonzero(~held[rows])
    if not asked.size or known.size < baselines.FEWEST:
        raise TrainingError(
            "split",
            f"{known.size} labelled intervals to learn from, {asked.size} to judge by",
            "Hold out some of the labelled cores, not all: split.held_out or split.share",
        )
    data.refuse_seen(names[np.concatenate([labels.rows[one] for one in asked])], recipe.split, parent)
    return Task(
        recipe=recipe,
        parent=parent,
        labels=labels,
        examples=collect(spectra, labels),
        units=names[rows],
        known=known,
        asked=asked,
    )


def table(found: pd.DataFrame, units: dict[str, str]) -> str:
    """R2 of each amount and model, mean and standard deviation over the seeds; then N / 3 pretrained against N scratch.

    The last table counts the seeds in which the pretrained network on a third of the labels, or fewer, is at least as
    good as the one from scratch.
    """
    rows: list[tuple[str, ...]] = [
        ("proxy", "N", *(f"R2 {model}" for model in MODELS), *(f"RMSE {model}" for model in MODELS))
    ]
    for (proxy, amount), part in found.groupby(["proxy", "amount"]):
        by_model = part.groupby("model")
        cells = [
            f"{by_model[number].mean()[model]:.{digits}f} +- {by_model[number].std(ddof=0)[model]:.{digits}f}"
            for number, digits in (("r2", 3), ("rmse", 2))
            for model in MODELS
        ]
        rows.append((f"{proxy} [{units[str(proxy)]}]", str(amount), *cells))
    return _lines(rows) + "\n\n" + _lines(_thirds(found))


def _thirds(found: pd.DataFrame) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("proxy", "pretrained at", "R2", "scratch at", "R2", "difference of R2", "seeds at least as good", "")
    ]
    for proxy, part in found.groupby("proxy", sort=False):
        wide = part.pivot_table(index="seed", columns=["model", "amount"], values="r2")
        sizes = sorted(part["amount"].unique().tolist())
        for size in sizes:
            fewer = [one for one in sizes if one <= size / SHARE]
            if not fewer:
                continue
            ours, theirs = wide["pretrained"][fewer[-1]], wide["scratch"][size]
            better = ours - theirs
            rows.append(
                (
                    str(proxy),
                    str(fewer[-1]),
                    f"{ours.mean():.3f}",
                    str(size),
                    f"{theirs.mean():.3f}",
                    f"{better.mean():+.3f} +- {better.std(ddof=0):.3f}",
                    f"{int((better >= 0).sum())} of {len(better)}",
                    "at least as good" if better.mean() >= 0 else "not as good",
                )
            )
    return rows if len(rows) > 1 else [("No amount is a third of another: nothing to compare.",)]


def draw(found: pd.DataFrame, units: dict[str, str]) -> Figure:
    """R2 over the number of labels, a panel for each proxy: means over the seeds, and the range of the seeds."""
    proxies = list(dict.fromkeys(found["proxy"]))
    figure = Figure(figsize=(4.2 * len(proxies), 3.6), layout="constrained")
    colours = dict(zip(MODELS, (VERMILLION, BLUE, GREY), strict=True))
    for ax, proxy in zip(figure.subplots(1, len(proxies), squeeze=False)[0], proxies, strict=True):
        for model in MODELS:
            part = found[(found["proxy"] == proxy) & (found["model"] == model)].groupby("amount")["r2"]
            middle = part.mean()
            ax.fill_between(middle.index, part.min(), part.max(), color=colours[model], alpha=0.18, lw=0)
            ax.plot(middle.index, middle, color=colours[model], marker="o", ms=4, label=model)
        ticks = sorted(found["amount"].unique().tolist())
        ax.set(xscale="log", xlabel="Labels", ylabel="R2 on unseen cores", title=f"{proxy} [{units[proxy]}]")
        ax.set_xticks(ticks, [str(one) for one in ticks])
        ax.minorticks_off()
        ax.set_ylim(max(-0.5, found["r2"].min() - 0.05), 1.02)
        ax.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False)
    return figure


def _lines(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


if __name__ == "__main__":
    run_program(app)
