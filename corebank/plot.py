"""The pictures people expect: a proxy down a core with its intervals, and a spectrum with what a model made of it.

Colours are those of Okabe & Ito, which stay apart for every kind of colour vision (Wong 2011, doi:10.1038/nmeth.1618).
Each function returns a Figure that belongs to no window: save it with ``figure.savefig("profile.png", dpi=200)``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from corebank.errors import PredictError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, VERMILLION, GREY, PALE = "#0072B2", "#D55E00", "#9A9A9A", "#EBEBEB"

LINES: dict[str, float] = {
    "Al": 1.487,
    "Si": 1.740,
    "P": 2.013,
    "S": 2.307,
    "Cl": 2.622,
    "K": 3.313,
    "Ca": 3.691,
    "Ti": 4.509,
    "V": 4.950,
    "Cr": 5.412,
    "Mn": 5.895,
    "Fe": 6.400,
    "Ni": 7.472,
    "Cu": 8.041,
    "Zn": 8.631,
    "Br": 11.908,
    "Rb": 13.375,
    "Sr": 14.142,
    "Zr": 15.746,
}
"""K-alpha energies [keV] of what sediments usually show, means of Bearden's doublets (doi:10.1103/RevModPhys.39.78)."""

GAP = 5
"""A jump of more than so many usual steps is a hole in the record; no line is drawn across it."""


def depth_profile(predictions: pd.DataFrame, measurements: pd.DataFrame | None, proxy: str) -> Figure:
    """A proxy against depth, downwards: prediction and interval, laboratory values, and the spectra with a warning.

    Parameters
    ----------
    predictions
        As `corebank.predict.quantify` returns them. Where every spectrum has a composite depth there is one panel a
        core, else one panel a section over the position in it. Intervals that are not known are not drawn.
    measurements
        Laboratory values (`corebank.schema.Measurements`), drawn over their depth interval and with their uncertainty;
        those of other cores, proxies or units are left out. None where there are none.
    proxy
        Column of `predictions`.

    Raises `PredictError` when the predictions are not of this proxy.
    """
    if proxy not in predictions or predictions.empty:
        there = ", ".join(column[:-5] for column in map(str, predictions) if column.endswith("_unit"))
        raise PredictError(
            "predictions",
            f"{len(predictions)} rows, no {proxy}; proxies are {there or 'missing'}",
            "Choose one of these",
        )
    composite = bool(predictions["depth"].notna().all())
    panels = list(predictions.groupby(["core"] if composite else ["core", "section"], sort=False))
    columns = min(len(panels), 6)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(max(3.4, 2.3 * columns), 6.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True)
    unit = str(predictions[f"{proxy}_unit"].iloc[0])
    for ax, (names, part) in zip(axes.flat, panels, strict=False):
        depth = part["depth" if composite else "section_position"]
        metres = float(depth.max() - depth.min()) > 5000
        _profile(ax, part, depth / (1000 if metres else 10), proxy)
        if measurements is not None:
            _laboratory(ax, _matching(measurements, part, proxy, unit, composite), metres)
        ax.set_title("  ".join(str(name) for name in names), fontsize=9)
        ax.set_ylabel(f"{'Depth' if composite else 'Position in section'} [{'m' if metres else 'cm'}]")
        ax.invert_yaxis()
        ax.margins(y=0.01)
    for ax in axes.flat[: len(panels)]:
        ax.set_xlabel(f"{_formula(proxy)} [{unit}]")
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.tick_params(labelbottom=True, labelsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    for ax in axes.flat[len(panels) :]:
        ax.remove()
    _legend(figure, min(columns + 1, 4))
    return figure


def reconstruction(
    energy: ArrayLike,
    measured: ArrayLike,
    predicted: ArrayLike,
    masked: ArrayLike,
    title: str,
    *,
    unit: str = "count/s",
) -> Figure:
    """A measured spectrum and what a model predicted for the patches that were hidden from it.

    Parameters
    ----------
    energy
        Bin centres [keV], (energy,).
    measured
        The spectrum, (energy,), in `unit`; NaN where not measured.
    predicted
        The prediction, (energy,), in `unit`; drawn in hidden bins only.
    masked
        Which bins were hidden, (energy,) bool; shaded.
    title
        Above the figure.
    unit
        Of the ordinate. It is logarithmic; where values are negative (normalised spectra) it is linear near zero.
    """
    kev, hidden = np.asarray(energy, dtype=np.float64), np.asarray(masked, dtype=bool)
    have = np.asarray(measured, dtype=np.float64)
    guess = np.where(hidden, np.asarray(predicted, dtype=np.float64), np.nan)
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    ax = figure.subplots()
    step = float(np.median(np.diff(kev)))
    edges = np.flatnonzero(np.diff(np.concatenate(([0], hidden.astype(int), [0]))))
    for first, end in edges.reshape(-1, 2):
        low, high = kev[first] - step / 2, kev[end - 1] + step / 2
        ax.axvspan(low, high, color=PALE, lw=0, zorder=0, label="hidden from the model")
    ax.plot(kev, guess, color=VERMILLION, lw=2.2, label="predicted")
    ax.plot(kev, have, color="black", lw=0.7, label="measured")
    _ordinate(ax, np.concatenate((have, guess)))
    seen = kev[np.isfinite(have)]
    if seen.size:
        ax.set_xlim(seen.min(), seen.max())
        _element_lines(ax, seen.min(), seen.max())
    ax.set_xlabel("Energy [keV]")
    ax.set_ylabel(f"Intensity [{unit}]")
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(title, fontsize=10)
    _legend(figure, 3)
    return figure


def _profile(ax: Axes, part: pd.DataFrame, depth: pd.Series[float], proxy: str) -> None:
    order = np.argsort(depth.to_numpy(), kind="stable")
    y, table = depth.to_numpy()[order], part.iloc[order]
    steps = np.diff(y)
    usual = np.median(steps[steps > 0]) if (steps > 0).any() else np.inf
    holes = np.flatnonzero(steps > GAP * usual) + 1
    value, lower, upper = (
        np.insert(table[proxy + end].to_numpy(np.float64), holes, np.nan) for end in ("", "_lower", "_upper")
    )
    warned = np.insert((table["warning"] != "").to_numpy(), holes, False)
    y = np.insert(y, holes, np.nan)
    if np.isfinite(lower).any():
        ax.fill_betweenx(y, lower, upper, color=BLUE, alpha=0.22, lw=0, label="90 % interval")
    ax.plot(value, y, color=BLUE, lw=1.1, label="predicted")
    if warned.any():
        ax.plot(
            value[warned],
            y[warned],
            ls="none",
            marker="o",
            ms=3.2,
            mfc="white",
            mec=VERMILLION,
            mew=0.9,
            label="predicted, with a warning",
        )


def _matching(
    measurements: pd.DataFrame,
    part: pd.DataFrame,
    proxy: str,
    unit: str,
    composite: bool,
) -> pd.DataFrame:
    """The laboratory values that belong on the panel of `part`: of its core, its sections and its range of depth.

    Where the panel shows a section, only those that are given by section.
    """
    here = (measurements["core"] == part["core"].iloc[0]) & (measurements["proxy"] == proxy)
    if composite:
        here &= measurements["section"].isin({"", *part["section"]})
        here &= (measurements["depth_bottom"] >= part["depth"].min()) & (
            measurements["depth_top"] <= part["depth"].max()
        )
    else:
        here &= measurements["section"] == part["section"].iloc[0]
    chosen: pd.DataFrame = measurements[here & (measurements["unit"] == unit)]
    return chosen


def _laboratory(ax: Axes, values: pd.DataFrame, metres: bool) -> None:
    if values.empty:
        return
    scale = 1000 if metres else 10
    top, bottom = values["depth_top"].to_numpy() / scale, values["depth_bottom"].to_numpy() / scale
    ax.errorbar(
        values["value"],
        (top + bottom) / 2,
        yerr=(bottom - top) / 2,
        xerr=values["uncertainty"].fillna(0),
        ls="none",
        marker="s",
        ms=3.5,
        color="black",
        elinewidth=0.9,
        label="laboratory",
        zorder=3,
    )


def _ordinate(ax: Axes, values: np.ndarray) -> None:
    """Logarithmic where that is possible; lines of one spectrum span four decades."""
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() >= 0 and finite.max() > 0:
        ax.set_yscale("log", nonpositive="clip")
        ax.set_ylim(finite[finite > 0].min() / 2, finite.max() * 8)  # room for the element names
    elif finite.size:
        ax.set_yscale("symlog", linthresh=max(float(np.median(np.abs(finite))), 1e-3))
        ax.set_ylim(finite.min() - 0.1, max(finite.max(), 1) * 4)


def _element_lines(ax: Axes, low: float, high: float) -> None:
    """Names of the elements above their lines, on two levels: neighbours are closer than their names are wide."""
    shown = [(name, line) for name, line in LINES.items() if low <= line <= high]
    for number, (name, line) in enumerate(shown):
        ax.axvline(line, ymax=0.86, color=GREY, lw=0.5, ls=(0, (1, 2)), zorder=0.5)
        ax.text(
            line,
            0.87 + 0.045 * (number % 2),
            name,
            transform=ax.get_xaxis_transform(),
            ha="center",
            fontsize=7,
            color="#444444",
        )


def _legend(figure: Figure, columns: int) -> None:
    """One entry per kind of mark, below the panels."""
    marks = {label: mark for ax in figure.axes for mark, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(marks.values(), marks.keys(), loc="outside lower center", ncols=columns, frameon=False, fontsize=8)


def _formula(proxy: str) -> str:
    """CaCO3 with a lowered 3; names that are no chemical formula (LOI550) stay as they are."""
    return re.sub(r"(\d)", r"$_\1$", proxy) if re.fullmatch(r"([A-Z][a-z]?\d?)+", proxy) else proxy
