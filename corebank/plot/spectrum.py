"""A spectrum with what a model made of it, and where the lines of the elements stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from corebank.plot.marks import GREY, PALE, VERMILLION, legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
    legend(figure, 3)
    return figure


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
