"""Small cores of the virtual scanner at intensity level: any sediment on any machine, as bright as asked.

A bank of them would hold the same spectra; without one, hundreds of cores are made in seconds, for statistics over many
collections (`training.trusting`). They are synthetic.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import pandas as pd
import xarray as xr

from corebank import calibrate, schema
from corebank.schema import EnergyGrid
from corebank.virtual.expedition import Expedition, scan
from corebank.virtual.instrument import INSTRUMENTS

GRID = EnergyGrid(start=0.0, step=0.02, bins=2048)
"""Their energy axis: that of a new bank."""

LENGTH = 800.0
"""[mm] Length of a core."""

LABORATORY = 0.02
"""Standard deviation of a laboratory value, as a share of it."""
PROXIES = ("CaCO3", "TOC", "Fe2O3")
"""What is measured on them."""


def cores(
    machine: str, setting: str, seeds: Iterable[int], *, rows: int = 10, brightness: tuple[float, float] = (1.0, 1.0)
) -> xr.Dataset:
    """One core for each of `seeds`, `rows` spectra over `LENGTH`, with the true values of `PROXIES` at each of them.

    The tube of each core shines between `brightness[0]` and `brightness[1]` times as bright as the machine's, as tubes
    of another age, other currents and other distances do. The core is called ``MACHINE-SETTING-SEED``.
    """
    parts = [_core(machine, setting, seed, rows, brightness) for seed in seeds]
    return xr.concat(parts, "spectrum", combine_attrs="override")


def measurements(spectra: xr.Dataset) -> pd.DataFrame:
    """What a laboratory finds at each spectrum, with an error of `LABORATORY`: a table as a catalog has it."""
    random = np.random.default_rng(0)
    tables = [
        pd.DataFrame(
            {
                "site": spectra["site"].values.astype(str),
                "expedition": spectra["expedition"].values.astype(str),
                "core": spectra["core"].values.astype(str),
                "section": "",
                "depth_top": spectra["depth"].values - 5,
                "depth_bottom": spectra["depth"].values + 5,
                "proxy": proxy,
                "value": spectra[proxy].values * (1 + random.normal(0, LABORATORY, spectra.sizes["spectrum"])),
                "unit": "wt%",
            }
        )
        for proxy in PROXIES
    ]
    return pd.concat(tables, ignore_index=True)


def _core(machine: str, setting: str, seed: int, rows: int, brightness: tuple[float, float]) -> xr.Dataset:
    instrument = INSTRUMENTS[machine]
    expedition = Expedition(
        name=f"v{seed}",
        title="",
        site="virtual",
        region="",
        latitude=0,
        longitude=0,
        water_depth=0,
        setting=setting,
        instrument=machine,
        cores=1,
        sections_per_core=1,
        spectra_per_section=rows,
        step=LENGTH / rows,
        labels_per_core=1,
        seed=seed,
    )
    seen = scan(expedition, 0, 0).spectra
    random = np.random.default_rng((seed, 5))
    factor = np.exp(random.uniform(*np.log(brightness)))
    counts = seen["counts"].values if factor == 1 else random.poisson(seen["counts"].values * factor)
    binned = calibrate.rebin(counts, np.full(rows, instrument.gain), np.full(rows, instrument.offset), GRID)
    low = instrument.energies[instrument.blind_channels] - instrument.gain / 2
    high = min(instrument.energies[-1 - instrument.blind_last] + instrument.gain / 2, instrument.tube_voltage)
    inside = (GRID.edges[:-1] >= low) & (GRID.edges[1:] <= high)
    rates = np.where(inside, binned / seen["live_time"].values[:, None], np.nan).astype(np.float32)
    text = {
        "site": "virtual",
        "expedition": "cruise",
        "core": f"{machine}-{setting}-{seed}",
        "section": "1",
        "run": "run",
        "anode": instrument.anode,
        "filter": "",
        "head": "",
    }
    return xr.Dataset(
        {
            "intensity": (("spectrum", "energy"), rates, {"units": schema.INTENSITY.units}),
            **{name: ("spectrum", np.full(rows, value, dtype=object)) for name, value in text.items()},
            "section_position": ("spectrum", seen["position"].values),
            "depth": ("spectrum", seen["position"].values),
            "live_time": ("spectrum", seen["live_time"].values),
            "tube_voltage": ("spectrum", np.full(rows, float(instrument.tube_voltage))),
            "tube_current": ("spectrum", np.full(rows, float(instrument.tube_current))),
            "flags": ("spectrum", np.zeros(rows, dtype=np.uint32)),
            **{proxy: ("spectrum", seen[proxy].values) for proxy in PROXIES},
        },
        coords={"energy": GRID.centres},
        attrs={
            "grid": GRID.to_json(),
            "snapshots": json.dumps({"virtual": "SNAP"}),
            "bank_urls": json.dumps({"virtual": "banks/virtual"}),
            "licences": json.dumps({"virtual/cruise": "CC0-1.0"}),
            "citations": json.dumps({"virtual/cruise": "virtual scanner"}),
            "synthetic": json.dumps({"virtual/cruise": True}),
        },
    )
