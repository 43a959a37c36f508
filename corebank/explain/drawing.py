"""What values rest on, down each core: shares of the elements, stacked, beside the values themselves."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from corebank.errors import PredictError
from corebank.explain.tables import chosen, summary
from corebank.plot.marks import BLUE, GREY, PALE, VERMILLION, formula

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (BLUE, "#E69F00", "#009E73", "#CC79A7", "#56B4E9", VERMILLION, "#F0E442")
"""Okabe & Ito's, as in `corebank.plot.marks`, so ordered that neighbours differ in lightness, too."""

LEAST_SHARE = 0.02
"""Elements with a smaller mean share are drawn together, as are those that the colours do not reach for."""

ROWS = 240
"""Steps of depth in a panel; where there are more spectra, those of a step are averaged."""

GAP = 5
"""A jump of more than so many usual steps is a hole in the record and stays white."""

ACROSS = 4
"""Cores side by side at most."""

MOST = 60
"""Cores of one picture at most."""

CLEAR = 0.5
"""An element raises (or lowers) the values when its mean effect is more than this part of the effects' mean size."""

OTHERS = "other elements"


def draw(explanation: xr.Dataset, proxy: str) -> Figure:
    """The values of a proxy and the shares of the elements in them against depth, downwards.

    Parameters
    ----------
    explanation
        As `corebank.explain.explain` returned it. Where every spectrum has a composite depth there is a pair of panels
        a core, else a pair a section over the position in it.
    proxy
        One of those that were explained.

    The legend gives the mean share of each element, in brackets what untrained networks give it, and whether it raises
    or lowers the values; below stand the controls. Raises `PredictError` for a proxy that was not explained, spectra
    without a place, or more than `MOST` cores.
    """
    one, told = chosen(explanation, proxy), summary(explanation, proxy)
    large = told.index[(told["share"] > LEAST_SHARE) & (told.index != "remainder")]
    shown = [str(name) for name in large[: len(COLOURS)]]
    parts = _parts(one)
    columns = min(len(parts), ACROSS)
    rows = -(-len(parts) // columns)
    figure = Figure(figsize=(max(5.2, 3.9 * columns), 6.0 * rows + 1.5), layout=ConstrainedLayoutEngine(w_pad=0.09))
    axes = figure.subplots(rows, 2 * columns, squeeze=False, width_ratios=[1, 2.6] * columns)
    for number, (title, ordinate, scale, table) in enumerate(parts):
        row, column = divmod(number, columns)
        left, right = axes[row, 2 * column], axes[row, 2 * column + 1]
        _values(left, table, scale)
        _stack(right, table, shown, scale)
        left.set_ylabel(ordinate)
        left.set_xlabel(f"{formula(proxy)} [{one['unit'].item()}]")
        right.set_xlabel("Share in the prediction")
        right.set_title(title, fontsize=9, loc="left")
    for number in range(len(parts), rows * columns):
        row, column = divmod(number, columns)
        for ax in axes[row, 2 * column : 2 * column + 2]:
            ax.remove()
    _legend(figure, one, told, shown, 2 if columns == 1 else 4)
    return figure


def _parts(one: xr.Dataset) -> list[tuple[str, str, int, pd.DataFrame]]:
    """Title, label of the axis, millimetres in its unit, and ``value`` and shares by depth [mm], panel by panel."""
    n = one.sizes["spectrum"]
    empty = {"core": "", "section": "", "depth": np.nan, "section_position": np.nan}
    at = pd.DataFrame({name: one[name].values if name in one else [none] * n for name, none in empty.items()})
    composite = bool(at["depth"].notna().all())
    depth = at["depth" if composite else "section_position"].to_numpy(np.float64)
    if not np.isfinite(depth).any():
        raise PredictError("explanation", "no spectrum has a depth", "Write it as .csv or .nc instead")
    table = pd.DataFrame(one["share"].transpose("spectrum", "element").values, columns=one["element"].values)
    table = table.assign(value=one["value"].values, mm=depth)
    parts = []
    for names, place in at.groupby(["core"] if composite else ["core", "section"], sort=False):
        here = table.loc[place.index].dropna(subset="mm")
        metres = here["mm"].max() - here["mm"].min() > 5000
        label = f"{'Depth' if composite else 'Position in section'} [{'m' if metres else 'cm'}]"
        parts.append(("  ".join(map(str, names)), label, 1000 if metres else 10, _by_depth(here)))
    if len(parts) > MOST:
        raise PredictError("picture", f"{len(parts)} cores are too many", f"Draw fewer: {MOST} fit in")
    return parts


def _by_depth(table: pd.DataFrame) -> pd.DataFrame:
    """Means by depth [mm], which is the index: of spectra of one depth, and of neighbours where they are too many.

    A row of NaN stands in each hole.
    """
    means = table.groupby("mm").mean()
    if len(means) > ROWS:
        low, high = means.index.min(), means.index.max()
        step = np.minimum(((means.index - low) / (high - low) * ROWS).astype(int), ROWS - 1)
        means = means.reset_index().groupby(step).mean().set_index("mm")
    at = means.index.to_numpy(np.float64)
    steps = np.diff(at)
    holes = at[:-1][steps > GAP * np.median(steps)] if steps.size else at[:0]
    blank = pd.DataFrame(np.nan, columns=means.columns, index=holes + 1e-3)
    return pd.concat([means, blank]).sort_index() if len(blank) else means


def _values(ax: Axes, table: pd.DataFrame, scale: int) -> None:
    ax.plot(table["value"], table.index / scale, color="black", lw=0.9)
    ax.xaxis.set_major_locator(MaxNLocator(2))
    ax.spines[["top", "right"]].set_visible(False)
    _downwards(ax, table, scale)


def _stack(ax: Axes, table: pd.DataFrame, shown: list[str], scale: int) -> None:
    """From left to right: the elements with a colour of their own, all others, what lies outside of the windows."""
    rest = [name for name in table if name not in (*shown, "value", "remainder")]
    shares = [*(table[name].fillna(0) for name in shown), table[rest].sum(axis=1), table["remainder"].fillna(0)]
    known = table["remainder"].notna() | table[[*shown, *rest]].notna().any(axis=1)
    left = np.where(known, 0.0, np.nan)
    y = table.index / scale
    for share, style in zip(shares, [*(_style(place) for place in range(len(shown))), *_LAST.values()], strict=True):
        right = left + share.to_numpy()
        ax.fill_betweenx(y, left, right, **style)
        left = right
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.tick_params(labelleft=False)
    _downwards(ax, table, scale)


def _downwards(ax: Axes, table: pd.DataFrame, scale: int) -> None:
    top, bottom = table.index.min() / scale, table.index.max() / scale
    room = 0.01 * (bottom - top) or 1.0
    ax.set_ylim(bottom + room, top - room)
    ax.tick_params(labelsize=8)


def _style(place: int) -> dict[str, Any]:
    return {"facecolor": COLOURS[place], "edgecolor": "white", "linewidth": 0.3}


_LAST: dict[str, dict[str, Any]] = {
    OTHERS: {"facecolor": GREY, "edgecolor": "white", "linewidth": 0.3},
    "remainder": {"facecolor": PALE, "edgecolor": GREY, "linewidth": 0.0, "hatch": "////"},
}


def _legend(figure: Figure, one: xr.Dataset, told: pd.DataFrame, shown: list[str], columns: int) -> None:
    """What each colour is, with its numbers, and the controls as sentences."""
    numbers: dict[Any, dict[str, Any]] = told.T.to_dict()
    sizes = dict(zip(one["element"].values, abs(one["effect"]).mean("spectrum").values, strict=True))
    marks, words = [], []
    for place, name in enumerate(shown):
        its = numbers[name]
        way = "" if abs(its["effect"]) < CLEAR * sizes[name] else " raises," if its["effect"] > 0 else " lowers,"
        marks.append(Patch(**_style(place)))
        words.append(f"{name}:{way} {its['share']:.0%} ({its['untrained']:.0%})")
    for name, style in _LAST.items():
        members = told[told.index == name] if name == "remainder" else told.drop(["remainder", *shown])
        share, untrained = members[["share", "untrained"]].sum()
        marks.append(Patch(**style))
        words.append(f"{name}: {share:.0%} ({untrained:.0%})")
    also = "; ".join(f"{name}: {numbers[name]['also']}" for name in shown if numbers[name]["also"])
    foreign = textwrap.wrap(f"Windows also hold lines of others: {also}", 38 * columns) if also else []
    (alike, felt), both = one["control"].values, one["interaction"].median().item()
    figure.legend(
        marks,
        words,
        loc="outside lower left",
        ncols=columns,
        frameon=False,
        fontsize=8,
        alignment="left",
        title="\n".join(
            [
                "Mean share (in brackets: what untrained networks give)",
                f"Rank correlation with these: shares {alike:.2f}, sensitivities {felt:.2f}; interaction {both:.2f}",
                *foreign,
            ]
        ),
        title_fontsize=7.5,
    )
