"""The curve of `training.amounts` in tables and a figure: skill by number of labels, and what a third of them gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from corebank.plot.marks import BLUE, GREY, VERMILLION

PRETRAINED, SCRATCH, UNTRAINED = "pretrained", "scratch", "untrained"
"""The foundation model fine-tuned by a recipe; the same network trained from random weights by another; and random
weights treated by the recipe of the foundation model."""

COMPANION, RIDGE = "linear", "ridge"
"""The linear model that a quantifier carries (`corebank.companion`) alone; ridge regression (`training.baselines`)."""

WITH = " + linear"
"""What follows the name of a network that answers together with its companion."""

MODELS = (
    PRETRAINED,
    SCRATCH,
    UNTRAINED,
    *(one + WITH for one in (PRETRAINED, SCRATCH, UNTRAINED)),
    COMPANION,
    RIDGE,
)
"""In the order of the tables; `untrained` stands in them where the encoder of the foundation model stays as it is."""

SHARE = 3
"""Pretrained on a third of the labels is compared with scratch on all of them."""

PAIRS = (
    (PRETRAINED, SCRATCH),
    (UNTRAINED, SCRATCH),
    (PRETRAINED + WITH, SCRATCH + WITH),
    (UNTRAINED + WITH, SCRATCH + WITH),
)
"""Who is compared on a third of the labels with whom on all of them; those of `UNTRAINED` are the controls."""


def table(found: pd.DataFrame, units: Mapping[str, str]) -> str:
    """Three tables: R2 of each amount and model, RMSE, both mean and standard deviation over the seeds; the thirds.

    `found` has the rows of `training.amounts.Curve.measure`, `units` are those of the proxies. The last table counts
    the seeds in which a model on a third of the labels, or fewer, is at least as good as the one from scratch.
    """
    models = [model for model in MODELS if model in set(found["model"])]
    parts = []
    for number, digits in (("r2", 3), ("rmse", 2)):
        rows: list[tuple[str, ...]] = [(number.upper(), "N", *models)]
        for proxy, own in found.groupby("proxy", sort=False):
            for amount, part in own.groupby("amount"):
                by_model = part.groupby("model")[number]
                mean, spread = by_model.mean(), by_model.std(ddof=0)
                cells = [f"{mean[model]:.{digits}f} ± {spread[model]:.{digits}f}" for model in models]
                rows.append((f"{proxy} [{units[str(proxy)]}]", str(amount), *cells))
        parts.append(_lines(rows))
    return "\n\n".join([*parts, _lines(thirds(found))])


def thirds(found: pd.DataFrame) -> list[tuple[str, ...]]:
    """The lines of the last table of `table`, its heads first; one sentence where no amount is a third of another."""
    rows: list[tuple[str, ...]] = [
        ("proxy", "model", "N", "R2", "model", "N", "R2", "difference", "seeds at least as good", "")
    ]
    for proxy, part in found.groupby("proxy", sort=False):
        wide = part.pivot_table(index="seed", columns=["model", "amount"], values="r2")
        sizes = sorted(part["amount"].unique().tolist())
        for few, many in PAIRS:
            for size in sizes if few in wide and many in wide else []:
                fewer = [one for one in sizes if one <= size / SHARE]
                if not fewer:
                    continue
                ours, theirs = wide[few][fewer[-1]], wide[many][size]
                better = ours - theirs
                rows.append(
                    (
                        str(proxy),
                        few,
                        str(fewer[-1]),
                        f"{ours.mean():.3f}",
                        many,
                        str(size),
                        f"{theirs.mean():.3f}",
                        f"{better.mean():+.3f} ± {better.std(ddof=0):.3f}",
                        f"{int((better >= 0).sum())} of {len(better)}",
                        "at least as good" if better.mean() >= 0 else "not as good",
                    )
                )
    return rows if len(rows) > 1 else [("No amount is a third of another: nothing to compare.",)]


def draw(found: pd.DataFrame, units: Mapping[str, str]) -> Figure:
    """R2 over the number of labels, a panel for each proxy: means over the seeds, and the range of the seeds.

    Networks alone are dashed, with their companion they are drawn through; the companion alone is grey.
    """
    proxies = list(dict.fromkeys(found["proxy"]))
    figure = Figure(figsize=(4.2 * len(proxies), 3.6), layout="constrained")
    looks = {
        PRETRAINED: (VERMILLION, "--"),
        SCRATCH: (BLUE, "--"),
        PRETRAINED + WITH: (VERMILLION, "-"),
        SCRATCH + WITH: (BLUE, "-"),
        COMPANION: (GREY, "-"),
    }
    for ax, proxy in zip(figure.subplots(1, len(proxies), squeeze=False)[0], proxies, strict=True):
        for model, (colour, line) in looks.items():
            part = found[(found["proxy"] == proxy) & (found["model"] == model)].groupby("amount")["r2"]
            middle = part.mean()
            if line == "-":
                ax.fill_between(middle.index, part.min(), part.max(), color=colour, alpha=0.15, lw=0)
            ax.plot(middle.index, middle, color=colour, ls=line, marker="o", ms=4, label=model)
        ticks = sorted(found["amount"].unique().tolist())
        ax.set(xscale="log", xlabel="Labels", ylabel="R2 on unseen cores", title=f"{proxy} [{units[proxy]}]")
        ax.set_xticks(ticks, [str(one) for one in ticks])
        ax.minorticks_off()
        ax.set_ylim(np.clip(found["r2"].min() - 0.05, -0.5, 0.9), 1.02)
        ax.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False)
    return figure


def _lines(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
