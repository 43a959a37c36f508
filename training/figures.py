"""Pictures of a run: the course of its losses, and a spectrum of which half was hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from corebank import plot
from corebank.model import SpectrumMAE
from corebank.normalize import Normalization
from training.reconstruction import fill


def losses(train: Sequence[float], validation: Mapping[str, Sequence[float]]) -> Figure:
    """Loss by epoch, in training and on what each expedition held out."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    ax = figure.subplots()
    for name, values in {"training": train, **validation}.items():
        ax.plot(range(1, len(values) + 1), values, label=name, lw=2 if name == "training" else 1, marker=".")
    ax.set(xlabel="Epoch", ylabel="Mean squared error of hidden patches", yscale="log")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    return figure


def reconstruction(
    network: SpectrumMAE,
    normalization: Normalization,
    spectra: xr.Dataset,
    mask_ratio: float,
) -> Figure:
    """The middle one of `spectra` [count/s], with the patches that were hidden and what the network filled in."""
    middle = spectra.isel(spectrum=[spectra.sizes["spectrum"] // 2])
    rates, filled = next(fill(network, normalization, middle, mask_ratio))
    guess = filled.prediction_BPp.cpu().numpy().reshape(1, -1)
    predicted = normalization.inverse(guess, normalization.statistics(rates))
    hidden = np.repeat(filled.masked_BP.cpu().numpy()[0], network.config.patch)
    core, section = str(middle["core"].values[0]), str(middle["section"].values[0])
    title = f"{core} {section}".strip() + f", {middle['section_position'].values[0]:.0f} mm"
    return plot.reconstruction(network.config.grid.centres, rates[0], predicted[0], hidden, title)
