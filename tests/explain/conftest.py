"""Networks that the tests explain, each trained once."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from corebank.bundle import Bundle
from corebank.explain import explain
from tests.explain.networks import SPECTRA, cores, mixtures, shifted, trained

OFFSETS = (0, 4, 8, 12)
"""[bin] By which the patch grid is shifted; a patch has 16."""


@pytest.fixture(scope="session")
def carbonate() -> Bundle:
    """A quantifier of CaCO3 that has seen all virtual cores but two."""
    return trained(cores().isel(spectrum=slice(0, -2 * SPECTRA)), "CaCO3")


@pytest.fixture(scope="session")
def explained(carbonate: Bundle) -> xr.Dataset:
    """What it says of the two cores that it has not seen."""
    return explain(carbonate, cores().isel(spectrum=slice(-2 * SPECTRA, None, 2)))


@pytest.fixture(scope="session")
def iron() -> dict[int, tuple[Bundle, xr.Dataset]]:
    """By offset of the patch grid: a quantifier of Fe in mixtures, and 40 mixtures that it has not seen."""
    known, unseen = mixtures().isel(spectrum=slice(0, 400)), mixtures().isel(spectrum=np.arange(400, 480, 2))
    return {bins: (trained(known, "Fe", bins), shifted(unseen, bins)) for bins in OFFSETS}


@pytest.fixture(scope="session")
def iron_explained(iron: dict[int, tuple[Bundle, xr.Dataset]]) -> dict[int, xr.Dataset]:
    """What each of them rests on, by offset."""
    return {bins: explain(model, spectra) for bins, (model, spectra) in iron.items()}
