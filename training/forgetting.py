"""The forgetting matrix: how well a model knew each expedition's held-out spectra before it was continued, and after.

Two measures: the mean squared error of hidden patches (``reconstruction``), and, where there are laboratory values, the
error of a linear probe for each proxy (see `training.probe`). For both, smaller is better and a change of +0.02 means
that the error grew by 2 %.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from corebank.errors import TrainingError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandera.pandas import DataFrameSchema

RECONSTRUCTION = "reconstruction"
"""The measure that every expedition has; the others are named by their proxy."""

TOLERANCE = 0.02
"""Growth of an error that does not yet count as forgetting."""

EARLIER, NEW = "before", "new"
"""Whether the parent was trained on the expedition."""

Judged = Mapping[str, Any]
"""How well an expedition is known: ``{"loss": 0.03, "spectra": 120, "cores": [...], "probe": {"CaCO3": 0.4}}``, as
`training.reconstruction.errors` gives it, with ``probe`` (may be missing) of `training.probe.score`."""


def matrix(
    before: Mapping[str, Judged],
    after: Mapping[str, Judged],
    *,
    earlier: Collection[str] | None = None,
) -> pd.DataFrame:
    """The forgetting matrix, one row per ``site/expedition`` and measure, earlier expeditions first.

    Parameters
    ----------
    before, after
        What the parent and its child make of the same held-out spectra.
    earlier
        Expeditions that the parent was trained on, as `training.continual.expeditions` names them; all that it was
        judged on unless given. The others are new.

    Returns
    -------
    DataFrame
        ``expedition``, ``known`` (before, new), ``measure``, ``before``, ``after``, ``change`` (after / before - 1; NaN
        where there is nothing to compare with), ``spectra`` (held out). Checked by pandera.

    Raises `TrainingError` when the two were not judged on the same cores.
    """
    import pandas as pd

    for name in sorted({*before, *after}):
        _refuse_unequal(name, before.get(name), after.get(name))
    was_known = set(before) if earlier is None else set(earlier)
    rows = []
    for name in sorted(after, key=lambda name: (name not in was_known, name)):
        then = dict(_measures(before[name])) if name in before else {}
        for measure, now in _measures(after[name]):
            old = then.get(measure, math.nan)
            rows.append(
                {
                    "expedition": name,
                    "known": EARLIER if name in was_known else NEW,
                    "measure": measure,
                    "before": old,
                    "after": now,
                    "change": now / old - 1 if old > 0 else math.nan,
                    "spectra": int(after[name]["spectra"]),
                }
            )
    return schema().validate(pd.DataFrame(rows, columns=list(schema().columns)))


def schema() -> DataFrameSchema:
    """The pandera schema of the matrix; made when asked for, since pandera takes a second to import."""
    import pandera.pandas as pa

    error = pa.Column(float, pa.Check.ge(0), nullable=True)
    return pa.DataFrameSchema(
        {
            "expedition": pa.Column(str, pa.Check.str_contains("/")),
            "known": pa.Column(str, pa.Check.isin([EARLIER, NEW])),
            "measure": pa.Column(str),
            "before": error,
            "after": error,
            "change": pa.Column(float, pa.Check.ge(-1), nullable=True),
            "spectra": pa.Column(int, pa.Check.gt(0)),
        },
        unique=["expedition", "measure"],
        strict=True,
        coerce=True,
    )


def forgotten(matrix: pd.DataFrame, tolerance: float = TOLERANCE) -> pd.DataFrame:
    """The rows of expeditions known before of which the error grew by more than `tolerance`, the worst first."""
    worse = matrix[(matrix["known"] == EARLIER) & (matrix["change"] > tolerance)]
    return worse.sort_values("change", ascending=False)


def draw(matrix: pd.DataFrame) -> Figure:
    """The matrix as a figure: from before (ring) to after (dot), expedition by expedition, a panel for each measure."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    measures = sorted(matrix["measure"].unique(), key=lambda name: (name != RECONSTRUCTION, name))
    names = list(dict.fromkeys(matrix["expedition"]))
    figure = Figure(figsize=(2.2 + 3.2 * max(len(measures), 1), 1.6 + 0.42 * max(len(names), 1)), layout="constrained")
    panels = figure.subplots(1, max(len(measures), 1), squeeze=False, sharey=True)[0]
    for ax, measure in zip(panels, measures, strict=False):
        _panel(ax, matrix[matrix["measure"] == measure], measure, names)
    new = set(matrix.loc[matrix["known"] == NEW, "expedition"])
    panels[0].set_yticks(range(len(names)), [f"{name} (new)" if name in new else name for name in names])
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    handles = [
        Line2D([], [], color="0.45", marker="o", markerfacecolor="white", linestyle="", label="before"),
        *(
            Line2D([], [], color=colour, marker="o", linestyle="", label=label)
            for label, colour in (
                (f"after, no worse than by {TOLERANCE:.0%}", _KEPT),
                ("after, forgotten", _FORGOTTEN),
                ("after, new to the parent", _NEW),
            )
        ),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    return figure


_KEPT, _FORGOTTEN, _NEW = "#0072B2", "#D55E00", "#009E73"
"""Blue, vermilion and green of Okabe and Ito (2008), told apart by every kind of eye."""


def _panel(ax: Axes, rows: pd.DataFrame, measure: str, names: list[str]) -> None:
    """One measure: an arrow per expedition, and the change in per cent beside it."""
    from matplotlib.ticker import LogLocator

    for row in rows.to_dict("records"):
        height = names.index(row["expedition"])
        before, after, change = row["before"], row["after"], row["change"]
        colour = _NEW if row["known"] == NEW else _FORGOTTEN if change > TOLERANCE else _KEPT
        if math.isfinite(before):
            ax.plot([before, after], [height, height], color=colour, lw=1.5, zorder=1)
            ax.plot(before, height, "o", color="0.45", markerfacecolor="white", zorder=2)
        ax.plot(after, height, "o", color=colour, zorder=3)
        if math.isfinite(change):
            ax.annotate(
                f"{change:+.0%}" if abs(change) >= 0.1 else f"{change:+.1%}",
                (max(before, after), height),
                (7, 0),
                textcoords="offset points",
                va="center",
                fontsize="small",
                color=colour,
            )
    ax.margins(x=0.28)
    if measure == RECONSTRUCTION:  # spans orders of magnitude; a probe's error lies between 0 and about 1
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.xaxis.set_minor_formatter(lambda value, _: "")
        ax.set_xlabel("Mean squared error of hidden patches")
    else:
        ax.set_xlabel(f"Probe error of {measure} / its spread")
    ax.grid(axis="y", color="0.92", lw=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)


def _measures(judged: Judged) -> Iterator[tuple[str, float]]:
    """Every measure of one expedition and its error."""
    yield RECONSTRUCTION, float(judged["loss"])
    for proxy, error in sorted(judged.get("probe", {}).items()):
        yield proxy, float(error)


def _refuse_unequal(name: str, before: Judged | None, after: Judged | None) -> None:
    """Raise `TrainingError` when an expedition was judged on other spectra, or not at all, after than before."""
    if before is None or (
        after is not None and (before["cores"], before["spectra"]) == (after["cores"], after["spectra"])
    ):
        return
    found = "not judged after" if after is None else f"{before['spectra']} spectra before, {after['spectra']} after"
    raise TrainingError(f"forgetting of {name}", found, "Judge parent and child on the same held-out spectra")
