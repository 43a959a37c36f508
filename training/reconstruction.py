"""How well an autoencoder fills in held-out spectra, expedition by expedition, always with the same patches hidden.

The mask of a spectrum depends on nothing but its place in its expedition and the share that is hidden (later masks of
several also on how many spectra the expedition has): two models that are measured on the same cores are asked exactly
the same. The error is that of normalised values whatever the loss that trained the network, so that models of different
losses can be compared as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from corebank import predict, split
from corebank.errors import TrainingError
from corebank.feed import settings
from corebank.model import Reconstruction, SpectrumMAE
from corebank.normalize import Normalization

BATCH = 128
"""Spectra at once; a part of the definition of the masks."""

UNKNOWN = "unknown machine"
"""What spectra stand under whose machine nobody told."""


class Filled(NamedTuple):
    """A batch of spectra and what the model made of it."""

    rates: NDArray[np.float32]
    """(spectrum, energy) [count/s]"""

    values_BE: torch.Tensor  # noqa: N815  (tensors carry their shape)
    """(B, E) the same, normalised."""

    reconstruction: Reconstruction


class Errors(NamedTuple):
    """Mean squared error of hidden patches, in normalised units."""

    expeditions: dict[str, dict[str, Any]]
    """As `errors` gives it."""

    machines: dict[str, dict[str, Any]]
    """``{"Mo 30 kV": {"loss": 0.03, "spectra": 240}}``, machines in words as `corebank.predict.machines` has them."""


def errors(
    network: SpectrumMAE,
    normalization: Normalization,
    spectra: xr.Dataset,
    mask_ratio: float,
    draws: int = 1,
) -> dict[str, dict[str, Any]]:
    """Mean squared error of hidden patches (normalised units) of each ``site/expedition`` in `spectra`, and its cores.

    ``{"lab/cruise": {"loss": 0.03, "spectra": 120, "cores": ["lab/cruise/core/section"], "by_core":
    {"lab/cruise/core": {"loss": 0.03, "spectra": 120}}}}``: sections are named, so that a loss on half a core is not
    taken for one on the whole of it. The loss is NaN where no patch could be hidden; empty for no spectra. `draws` as
    in `judge`.
    """
    return judge(network, normalization, spectra, mask_ratio, draws).expeditions


def judge(
    network: SpectrumMAE,
    normalization: Normalization,
    spectra: xr.Dataset,
    mask_ratio: float,
    draws: int = 1,
) -> Errors:
    """`errors`, and the same by machine, in `draws` passes over `spectra`.

    Each pass hides other patches, the first always the same ones; the loss is the mean over the hidden bins of all of
    them. More than one makes it steadier: errors have a heavy tail, and a single rare mask of one spectrum in 400 has
    made a third of an expedition's mean.

    Raises `TrainingError` for less than one draw.
    """
    if draws < 1:
        raise TrainingError("draws", f"is {draws}", "Give at least 1")
    units: tuple[Literal["expedition"], split.Unit, split.Unit] = ("expedition", "core", "section")
    names = {unit: split.unit_names(spectra, unit) for unit in units}
    machines = np.array([name or UNKNOWN for name in predict.machines(spectra).tolist()], dtype=object)
    squares, bins = np.zeros(len(machines)), np.zeros(len(machines), dtype=np.int64)
    for expedition in sorted(set(names["expedition"].tolist())):
        rows = np.flatnonzero(names["expedition"] == expedition)
        chosen, generator = spectra.isel(spectrum=rows), _generator()
        for _ in range(draws):
            parts = [_squares(network, one) for one in fill(network, normalization, chosen, mask_ratio, generator)]
            found_squares, found_bins = (np.concatenate(part) for part in zip(*parts, strict=True))
            squares[rows] += found_squares
            bins[rows] += found_bins

    def mean(rows: NDArray[np.bool_]) -> dict[str, Any]:
        hidden = int(bins[rows].sum())
        # Without a hidden bin nothing was asked: 0 would be a perfect answer.
        return {"loss": float(squares[rows].sum()) / hidden if hidden else math.nan, "spectra": int(rows.sum())}

    def each(unit: NDArray[Any], rows: NDArray[np.bool_]) -> dict[str, dict[str, Any]]:
        return {str(name): mean(rows & (unit == name)) for name in sorted(set(unit[rows].tolist()))}

    everything = np.ones(len(machines), dtype=bool)
    found = each(names["expedition"], everything)
    for expedition, one in found.items():
        rows = names["expedition"] == expedition
        one |= {"cores": sorted(set(names["section"][rows].tolist())), "by_core": each(names["core"], rows)}
    return Errors(found, each(machines, everything))


def fill(
    network: SpectrumMAE,
    normalization: Normalization,
    spectra: xr.Dataset,
    mask_ratio: float,
    generator: torch.Generator | None = None,
) -> Iterator[Filled]:
    """Hide and predict patches of `spectra` in order, batch by batch; leaves the network in evaluation mode.

    Which patches, `generator` (on the CPU) decides, and goes on from where it was; always the same ones without.
    """
    network.eval()
    device = network.cls_token.device
    generator = generator or _generator()
    known = torch.from_numpy(settings(spectra))
    for first in range(0, spectra.sizes["spectrum"], BATCH):
        rates = spectra["intensity"].isel(spectrum=slice(first, first + BATCH)).values
        values, measured = (torch.from_numpy(one).to(device) for one in normalization(rates))
        with torch.inference_mode():
            filled = network(values, measured, known[first : first + BATCH].to(device), mask_ratio, generator)
        yield Filled(rates, values, filled)


def _generator() -> torch.Generator:
    """What draws the masks, at its beginning."""
    return torch.Generator().manual_seed(0)


def _squares(network: SpectrumMAE, filled: Filled) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sum of the squared errors of each spectrum (B,), and how many hidden bins it is of (B,)."""
    made = filled.reconstruction
    away = made.prediction_BPp - filled.values_BE.reshape(made.prediction_BPp.shape)
    squares = torch.where(made.masked_BP[..., None], away.square(), 0)  # NaN where nothing was hidden
    bins = made.masked_BP.sum(1) * network.config.patch
    return squares.sum((1, 2), dtype=torch.float64).cpu().numpy(), bins.cpu().numpy()
