"""What the pictures share: colours, the legend, how a proxy is written.

Colours are those of Okabe & Ito, which stay apart for every kind of colour vision (Wong 2011, doi:10.1038/nmeth.1618).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, VERMILLION, GREY, PALE = "#0072B2", "#D55E00", "#9A9A9A", "#EBEBEB"

HAZE = "#C7DFED"
"""BLUE at 22 % on white, but opaque: where two bands lie over each other nothing is to look surer or darker."""


def legend(figure: Figure, columns: int) -> None:
    """One entry per kind of mark, below the panels."""
    marks = {label: mark for ax in figure.axes for mark, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    shown = figure.legend(
        marks.values(), marks.keys(), loc="outside lower center", ncols=columns, frameon=False, fontsize=8
    )
    for mark in shown.legend_handles:
        if isinstance(mark, Line2D) and mark.get_marker() == "o":
            mark.set_markersize(4)  # dots that are small among a thousand are too small alone


def formula(proxy: str) -> str:
    """CaCO3 with a lowered 3; names that are no chemical formula (LOI550) stay as they are."""
    return re.sub(r"(\d)", r"$_\1$", proxy) if re.fullmatch(r"([A-Z][a-z]?\d?)+", proxy) else proxy
