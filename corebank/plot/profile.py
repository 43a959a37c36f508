"""Proxies down a core: what was predicted, how far off it may be, what the laboratory found, where doubts are.

Each section is drawn for itself: its line ends where it ends, does not cross a hole, and two scans of one depth lie
over each other instead of making a zigzag.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from corebank.errors import PredictError
from corebank.plot.marks import BLUE, GREY, HAZE, VERMILLION, formula, legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GAP = 5
"""A jump of more than so many usual steps is a hole in the record; no line is drawn across it."""

ACROSS = (6, 8)
"""Panels side by side at most: of one proxy; of several."""

MOST = 120
"""Panels of one picture at most: nobody looks at more, and a file can hold no more than a few hundred inches."""

DENSE = 150
"""Points in a panel from which on its marks are small."""

NAMED = 24
"""Sections in a panel up to which their names stand beside it."""

WILD = 98
"""Percentile of the upper bounds up to which the axis reaches at least: a few wild ones must not flatten the rest."""


def depth_profile(predictions: pd.DataFrame, measurements: pd.DataFrame | None, proxies: str | Sequence[str]) -> Figure:
    """Proxies against depth, downwards: prediction and interval, laboratory values, and the spectra with a warning.

    Parameters
    ----------
    predictions
        As `corebank.predict.quantify` returns them. Where every spectrum has a composite depth there is one panel a
        core, else one panel a section over the position in it. Intervals that are not known are not drawn.
    measurements
        Laboratory values (`corebank.schema.Measurements`), drawn over their depth interval and with their uncertainty;
        those of other cores, proxies or units are left out. None where there are none.
    proxies
        Columns of `predictions`. The proxies of a core stand side by side, and so do cores as far as there is room.

    Raises `PredictError` when the predictions are not of these proxies, or would fill more than `MOST` panels.
    """
    names = [proxies] if isinstance(proxies, str) else list(proxies)
    for proxy in names:
        if proxy not in predictions or predictions.empty:
            there = ", ".join(column[:-5] for column in map(str, predictions) if column.endswith("_unit"))
            found = f"{len(predictions)} rows, no {proxy}; proxies are {there or 'missing'}"
            raise PredictError("predictions", found, "Choose one of these")
    composite = bool(predictions["depth"].notna().all())
    parts = list(predictions.groupby(["core"] if composite else ["core", "section"], sort=False))
    if len(parts) * len(names) > MOST:
        raise PredictError(
            "picture",
            f"{len(names)} proxies of {len(parts)} {'cores' if composite else 'sections'} are too many panels",
            f"Draw fewer: {MOST} fit in",
        )
    across = ACROSS[0] if len(names) == 1 else ACROSS[1]
    beside = max(across // len(names), 1)  # cores in a row
    columns = min(min(beside, len(parts)) * len(names), across)
    lines = -(-len(names) // columns)  # rows that the proxies of one core fill
    rows = -(-len(parts) // beside) * lines
    size = (max(3.4, (2.3 if columns < 5 else 1.9) * columns + 0.4), (6.2 if rows == 1 else 4.8) * rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    used: dict[tuple[int, int], str] = {}
    for number, (_, part) in enumerate(parts):
        panel = _Panel(part, composite)
        for place, proxy in enumerate(names):
            cell = (number // beside * lines + place // columns, number % beside * len(names) + place % columns)
            used[cell] = proxy
            ax = axes[cell]
            panel.draw(ax, proxy, measurements)
            if not place:
                ax.set_title(panel.title, fontsize=9)
            if not place % columns:
                ax.set_ylabel(panel.ordinate)
            else:
                ax.tick_params(labelleft=False)
            if place == len(names) - 1 or place % columns == columns - 1:
                panel.name_sections(ax)
    for cell in np.ndindex(axes.shape):
        if cell not in used:
            axes[cell].remove()
    for proxy in names:
        _same_abscissa([axes[cell] for cell, shown in used.items() if shown == proxy])
    legend(figure, min(columns + 1, 4))
    return figure


class _Panel:
    """What belongs to one core, or to one section: its spectra, and the way from their depth to the page."""

    def __init__(self, part: pd.DataFrame, composite: bool) -> None:
        self.part, self.composite = part, composite
        self.depth = part["depth" if composite else "section_position"].to_numpy(np.float64)
        self.metres = bool(np.ptp(self.depth) > 5000) if len(self.depth) else False
        self.scale = 1000 if self.metres else 10
        self.ordinate = f"{'Depth' if composite else 'Position in section'} [{'m' if self.metres else 'cm'}]"
        self.sections = [
            (str(name), float(self.depth[rows].min()), float(self.depth[rows].max()))
            for name, rows in part.reset_index(drop=True).groupby("section", sort=False).indices.items()
        ]
        self.sections.sort(key=lambda one: one[1:])
        self.title = "  ".join(
            [str(part["core"].iloc[0]), *(name for name, _, _ in self.sections[:1] if len(self.sections) == 1)]
        )

    def draw(self, ax: Axes, proxy: str, measurements: pd.DataFrame | None) -> None:
        """The proxy with all that is known of it."""
        unit = str(self.part[f"{proxy}_unit"].iloc[0])
        for _, top, _ in self.sections[1:]:
            ax.axhline(top / self.scale, color=GREY, lw=0.6, ls=(0, (4, 3)), zorder=0.9)
        size = 3.4 if len(self.part) < DENSE else 2.2
        for piece in self._pieces():
            _line(ax, piece, self.depth[piece.index] / self.scale, proxy, size)
        shown = self.part[[proxy, f"{proxy}_lower", f"{proxy}_upper"]].to_numpy(np.float64)
        told = np.empty(0)
        if measurements is not None:
            values = self._matching(measurements, proxy, unit)
            _laboratory(ax, values, self.scale)
            told = values["value"].to_numpy(np.float64)
        _abscissa(ax, shown, told)
        ax.set_xlabel(f"{formula(proxy)} [{unit}]")
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.tick_params(labelsize=8)
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_ylim(*self._ends(ax))

    def name_sections(self, ax: Axes) -> None:
        """From where to where each section reaches, on the right of a panel of several, with names where there is room.

        Neighbours stand side by side, so that sections that overlap can be told apart.
        """
        place = ax.get_yaxis_transform()
        for number, (name, top, bottom) in enumerate(self.sections if len(self.sections) > 1 else ()):
            x = 1.03 + 0.03 * (number % 2)
            ends = [top / self.scale, bottom / self.scale]
            ax.plot([x, x], ends, transform=place, color=GREY, lw=1.6, clip_on=False, solid_capstyle="butt")
            if len(self.sections) <= NAMED:
                middle = sum(ends) / 2
                ax.text(1.08, middle, name, transform=place, fontsize=6.5, color=GREY, rotation=270, va="center")

    def _ends(self, ax: Axes) -> tuple[float, float]:
        """Bottom and top of the axis: depth goes down, with a little room at both ends."""
        top, bottom = self.depth.min() / self.scale, self.depth.max() / self.scale
        room = 0.01 * (bottom - top) or 1.0
        return bottom + room, top - room

    def _pieces(self) -> Iterator[pd.DataFrame]:
        """The spectra of each section and each scan of it, by depth; their index is the row in the panel."""
        rows = self.part.reset_index(drop=True)
        keys = [name for name in ("expedition", "run", "section") if name in rows]
        for _, piece in rows.groupby(keys, sort=False):
            yield piece.iloc[np.argsort(self.depth[piece.index], kind="stable")]

    def _matching(self, measurements: pd.DataFrame, proxy: str, unit: str) -> pd.DataFrame:
        """The laboratory values that belong on the panel: of its core, its sections and its range of depth.

        Where the panel shows a section, only those that are given by section.
        """
        here = (measurements["core"] == self.part["core"].iloc[0]) & (measurements["proxy"] == proxy)
        if "expedition" in measurements and "expedition" in self.part:
            here &= measurements["expedition"].isin(set(self.part["expedition"]))
        if self.composite:
            here &= measurements["section"].isin({"", *self.part["section"]})
            here &= (measurements["depth_bottom"] >= self.depth.min()) & (measurements["depth_top"] <= self.depth.max())
        else:
            here &= measurements["section"] == self.part["section"].iloc[0]
        chosen: pd.DataFrame = measurements[here & (measurements["unit"] == unit)]
        return chosen


def _line(ax: Axes, piece: pd.DataFrame, y: NDArray[np.float64], proxy: str, size: float) -> None:
    """One scan of one section: its interval, its values, and marks on those with a warning."""
    steps = np.diff(y)
    usual = np.median(steps[steps > 0]) if (steps > 0).any() else np.inf
    holes = np.flatnonzero(steps > GAP * usual) + 1
    value, lower, upper = (
        np.insert(piece[proxy + end].to_numpy(np.float64), holes, np.nan) for end in ("", "_lower", "_upper")
    )
    said = piece[f"{proxy}_warning" if f"{proxy}_warning" in piece else "warning"]
    doubted = np.insert((said != "").to_numpy(), holes, False) & np.isfinite(value)
    y = np.insert(y, holes, np.nan)
    if np.isfinite(lower).any():
        ax.fill_betweenx(y, lower, upper, color=HAZE, lw=0, zorder=0.8, label="90 % interval")
    ax.plot(value, y, color=BLUE, lw=1.0, label="predicted")
    if doubted.any():
        ax.plot(
            value[doubted],
            y[doubted],
            ls="none",
            marker="o",
            ms=size,
            mfc="white" if size > 3 else VERMILLION,
            mec=VERMILLION,
            mew=0.9 if size > 3 else 0,
            label="predicted, with a warning",
        )


def _laboratory(ax: Axes, values: pd.DataFrame, scale: int) -> None:
    if values.empty:
        return
    top, bottom = values["depth_top"].to_numpy() / scale, values["depth_bottom"].to_numpy() / scale
    ax.errorbar(
        values["value"],
        (top + bottom) / 2,
        yerr=(bottom - top) / 2,
        xerr=values["uncertainty"].fillna(0),
        ls="none",
        marker="s",
        ms=3.6 if len(values) < DENSE / 3 else 2.6,
        mfc="black",
        mec="white",
        mew=0.5,
        ecolor="black",
        elinewidth=0.9,
        label="laboratory",
        zorder=3,
    )


def _abscissa(ax: Axes, shown: NDArray[np.float64], told: NDArray[np.float64]) -> None:
    """Room for every value of `shown` (n, 3: value, lower, upper), for the laboratory's, and all usual intervals."""
    seen = np.concatenate((shown[:, 0], told))
    seen = seen[np.isfinite(seen)]
    if not seen.size:
        return
    low, high = float(seen.min()), float(seen.max())
    bounds = shown[np.isfinite(shown).all(axis=1)]
    if len(bounds):
        low = min(low, float(np.percentile(bounds[:, 1], 100 - WILD)))
        high = max(high, float(np.percentile(bounds[:, 2], WILD)))
    room = 0.05 * (high - low) or 1.0
    ax.set_xlim(max(low - room, 0) if low >= 0 else low - room, high + room)


def _same_abscissa(axes: Sequence[Axes]) -> None:
    """One scale for all: cores are there to be compared."""
    ends = np.array([ax.get_xlim() for ax in axes])
    for ax in axes:
        ax.set_xlim(ends[:, 0].min(), ends[:, 1].max())
