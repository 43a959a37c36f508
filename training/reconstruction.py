"""How well an autoencoder fills in held-out spectra, expedition by expedition, always with the same patches hidden.

The mask of a spectrum depends on nothing but its place in its expedition and the share that is hidden: two models that
are measured on the same cores are asked exactly the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from corebank import split
from corebank.feed import settings
from corebank.model import Reconstruction, SpectrumMAE
from corebank.normalize import Normalization

BATCH = 128
"""Spectra at once; a part of the definition of the masks."""


class Filled(NamedTuple):
    """A batch of spectra and what the model made of it."""

    rates: NDArray[np.float32]
    """(spectrum, energy) [count/s]"""

    reconstruction: Reconstruction


def errors(
    network: SpectrumMAE,
    normalization: Normalization,
    spectra: xr.Dataset,
    mask_ratio: float,
) -> dict[str, dict[str, Any]]:
    """Mean squared error of hidden patches (normalised units) of each ``site/expedition`` in `spectra`, and its cores.

    ``{"lab/cruise": {"loss": 0.03, "spectra": 120, "cores": ["lab/cruise/core/section"]}}``: sections are named, so
    that a loss on half a core is not taken for one on the whole of it. Empty for no spectra.
    """
    found: dict[str, dict[str, Any]] = {}
    units, expeditions = split.unit_names(spectra, "section"), split.unit_names(spectra, "expedition")
    for expedition in sorted(set(expeditions.tolist())):
        rows = np.flatnonzero(expeditions == expedition)
        squares, hidden = 0.0, 0
        for _, filled in fill(network, normalization, spectra.isel(spectrum=rows), mask_ratio):
            patches = int(filled.masked_BP.sum())
            squares, hidden = squares + float(filled.loss) * patches, hidden + patches
        found[expedition] = {
            "loss": squares / max(hidden, 1),
            "spectra": len(rows),
            "cores": sorted(set(units[rows].tolist())),
        }
    return found


def fill(
    network: SpectrumMAE,
    normalization: Normalization,
    spectra: xr.Dataset,
    mask_ratio: float,
) -> Iterator[Filled]:
    """Hide and predict patches of `spectra` in order, batch by batch; leaves the network in evaluation mode."""
    network.eval()
    device = network.cls_token.device
    generator = torch.Generator().manual_seed(0)
    known = torch.from_numpy(settings(spectra))
    for first in range(0, spectra.sizes["spectrum"], BATCH):
        rates = spectra["intensity"].isel(spectrum=slice(first, first + BATCH)).values
        values, measured = (torch.from_numpy(one).to(device) for one in normalization(rates))
        with torch.inference_mode():
            filled = network(values, measured, known[first : first + BATCH].to(device), mask_ratio, generator)
        yield Filled(rates, filled)
