"""Small cores at intensity level for the tests of models: two machines, known content, quick to make."""

from __future__ import annotations

import json

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr

from corebank.model import ModelConfig
from corebank.schema import EnergyGrid

GRID = EnergyGrid(start=0.0, step=0.16, bins=64)
CONFIG = ModelConfig(
    patch=4,
    width=32,
    depth=2,
    heads=2,
    decoder_width=16,
    decoder_depth=1,
    decoder_heads=2,
    bins=64,
    energy_step=0.16,
)


def cores(n: int = 12, *, names: tuple[str, ...] = ("A", "B", "C", "D"), seed: int = 0) -> xr.Dataset:
    """A selection of `n` spectra in each of some cores of one expedition; odd cores from a machine that sees less.

    Calcium decides the height of a peak at 3.7 keV; the dataset carries it as ``calcium`` [wt%] for the labels.
    """
    random = np.random.default_rng(seed)
    total, energy = n * len(names), GRID.centres
    calcium = random.uniform(0, 40, total)
    peak = np.exp(-0.5 * ((energy - 3.7) / 0.2) ** 2)
    shape = 20 * np.exp(-energy / 5) + 10 * np.exp(-0.5 * ((energy - 6.4) / 0.2) ** 2)
    rates = random.poisson(10 * (shape + calcium[:, None] * peak)) / 10.0
    odd = np.repeat(np.arange(len(names)) % 2 == 1, n)
    rates[:, :2] = np.nan
    rates[np.ix_(odd, energy > 8)] = np.nan
    text = {
        "site": "lab",
        "expedition": "cruise",
        "run": "run",
        "scanner": "itrax",
        "head": "",
        "filter": "",
    }
    return xr.Dataset(
        {
            "intensity": (
                ("spectrum", "energy"),
                da.from_array(rates.astype(np.float32), chunks=(7, -1)),
                {"units": "count/s"},
            ),
            **{name: ("spectrum", np.full(total, value, dtype=object)) for name, value in text.items()},
            "core": ("spectrum", np.repeat(np.array(names, dtype=object), n)),
            "section": ("spectrum", np.full(total, "1", dtype=object)),
            "section_position": ("spectrum", np.tile(np.arange(n) * 10.0, len(names))),
            "depth": ("spectrum", np.tile(np.arange(n) * 10.0, len(names))),
            "live_time": ("spectrum", np.full(total, 10.0)),
            "tube_voltage": ("spectrum", np.where(odd, 10.0, 30.0)),
            "tube_current": ("spectrum", np.full(total, 30.0)),
            "anode": ("spectrum", np.where(odd, "Rh", "Mo").astype(object)),
            "flags": ("spectrum", np.zeros(total, dtype=np.uint32)),
            "calcium": ("spectrum", calcium),
        },
        coords={"energy": energy},
        attrs={
            "grid": GRID.to_json(),
            "snapshots": json.dumps({"lab": "SNAP"}),
            "bank_urls": json.dumps({"lab": "banks/lab"}),
            "licences": json.dumps({"lab/cruise": "CC-BY-4.0"}),
            "citations": json.dumps({"lab/cruise": "Doe (2020)"}),
        },
    )


def laboratory(spectra: xr.Dataset, *, every: int = 2) -> pd.DataFrame:
    """CaCO3 by the calcium of each `every`-th spectrum, TOC of half of those, over 10 mm around the spectrum."""
    rows = np.arange(0, spectra.sizes["spectrum"], every)
    table = pd.DataFrame(
        {
            "site": "lab",
            "expedition": "cruise",
            "core": spectra["core"].values[rows].astype(str),
            "section": "",
            "depth_top": spectra["depth"].values[rows] - 5,
            "depth_bottom": spectra["depth"].values[rows] + 5,
            "proxy": "CaCO3",
            "value": 2.5 * spectra["calcium"].values[rows],
            "unit": "wt%",
        }
    )
    carbon = table[::2].assign(proxy="TOC", value=lambda one: np.exp(-one["value"] / 50))
    return pd.concat([table, carbon], ignore_index=True)
