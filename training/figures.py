"""Pictures of a run: the course of its losses, its probe and its learning rate, and spectra that were half hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from corebank import plot
from corebank.model import SpectrumMAE
from corebank.normalize import Normalization
from training.reconstruction import fill
from training.steplog import Step


def losses(train: Sequence[float], validation: Mapping[str, Sequence[float]], *, loss: str = "mse") -> Figure:
    """Loss by epoch: what was trained on, and the reconstruction error of what each expedition and machine held
    out. Another `loss` than the mean squared error has an axis of its own."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    ax = figure.subplots()
    for name, values in validation.items():
        ax.plot(_epochs(values), values, label=name, lw=1, marker=".")
    ax.set(xlabel="Epoch", ylabel="Mean squared error of hidden patches", yscale="log")
    trained = ax
    if loss != "mse" and validation:
        trained = ax.twinx()
        trained.set(yscale="log")
    if loss != "mse":
        trained.set(ylabel="Poisson deviance per hidden bin")
    trained.plot(_epochs(train), train, label="training", lw=2, marker=".", color="black")
    ax.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside right upper")
    return figure


def probe(looked: Sequence[int], curves: Mapping[str, Sequence[float]], *, best: int = 0) -> Figure:
    """Error of laboratory values told from the frozen encoder, after the epochs `looked` at; a line at the `best`."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    ax = figure.subplots()
    for name, values in curves.items():
        ax.plot(looked, values, label=name, marker=".", ls="--" if name.startswith("stop") else "-")
    ax.axhline(1, color="0.7", lw=0.8, zorder=0)
    if best:
        ax.axvline(best, color="0.7", lw=0.8, zorder=0)
    ax.set(xlabel="Epoch", ylabel="RMSE of the linear probe\n[standard deviations of the labels]")
    ax.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside right upper")
    return figure


def steps(taken: Sequence[Step]) -> Figure:
    """Learning rate and loss of each step."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    number = [one.step for one in taken]
    rate, loss = figure.subplots(2, sharex=True)
    rate.plot(number, [one.rate for one in taken], lw=1, color="black")
    loss.plot(number, [one.loss for one in taken], lw=0.5, color="black")
    rate.set(ylabel="Learning rate")
    loss.set(ylabel="Loss", xlabel="Step", yscale="log")
    for ax in (rate, loss):
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def reconstruction(
    network: SpectrumMAE,
    normalization: Normalization,
    spectra: xr.Dataset,
    mask_ratio: float,
) -> Figure:
    """The middle one of `spectra` [count/s], with the patches that were hidden and what the network filled in."""
    middle = spectra.isel(spectrum=[spectra.sizes["spectrum"] // 2])
    one = next(fill(network, normalization, middle, mask_ratio))
    guess = one.reconstruction.prediction_BPp.cpu().numpy().reshape(1, -1)
    predicted = normalization.inverse(guess, normalization.statistics(one.rates))
    hidden = np.repeat(one.reconstruction.masked_BP.cpu().numpy()[0], network.config.patch)
    core, section = str(middle["core"].values[0]), str(middle["section"].values[0])
    title = f"{core} {section}".strip() + f", {middle['section_position'].values[0]:.0f} mm"
    return plot.reconstruction(network.config.grid.centres, one.rates[0], predicted[0], hidden, title)


def _epochs(values: Sequence[float]) -> range:
    return range(1, len(values) + 1)
