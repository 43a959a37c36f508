"""Virtual spectra on a coarse grid and small networks trained on them: two seconds each, good enough to be explained.

The spectra are synthetic: `corebank.virtual` counts what an Avaatech at 10 kV would, of sediments of known composition.
In `cores` the elements rise and fall together as in nature; in `mixtures` each goes its own way, so that only an
element itself tells its content.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from corebank.bundle import Bundle, Proxy
from corebank.calibrate import rebin
from corebank.explain.lines import Machine
from corebank.model import ModelConfig, Quantifier
from corebank.normalize import Normalization
from corebank.schema import EnergyGrid
from corebank.virtual import INSTRUMENTS, named
from corebank.virtual.expedition import core_names, scan
from corebank.virtual.spectra import ELEMENTS, expose

GRID = EnergyGrid(start=0.0, step=0.04, bins=256)
INSTRUMENT = INSTRUMENTS["avaatech-rh-10kv"]
MACHINE = Machine("Rh", 10.0, "avaatech")
PATCH = 16
LOG = Normalization(kind="log")
CORES, SPECTRA = 8, 60
"""Cores of `cores`, and spectra in each."""

MEDIANS = {
    "Al": 0.03, "Si": 0.10, "P": 0.001, "S": 0.004, "Cl": 0.01, "K": 0.01, "Ca": 0.08, "Ti": 0.002, "Mn": 0.0006,
    "Fe": 0.02,
}  # fmt: skip
"""Median mass fractions in `mixtures`; each spreads by a factor of 1.6."""


@lru_cache(maxsize=1)
def cores() -> xr.Dataset:
    """Cores of virtual expedition vs1 with their true CaCO3 [wt%]; do not change them."""
    expedition = replace(named("vs1"), cores=CORES, sections_per_core=1, spectra_per_section=SPECTRA, seed=11)
    seen = [scan(expedition, core, 0).spectra for core in range(CORES)]
    counts, live_time, truth = (
        np.concatenate([one[name].values for one in seen]) for name in ("counts", "live_time", "CaCO3")
    )
    depth = np.tile(expedition.step * (np.arange(SPECTRA) + 0.5), CORES)
    return _spectra(counts, live_time).assign(
        core=("spectrum", np.repeat(np.array(core_names(expedition), dtype=object), SPECTRA)),
        section=("spectrum", np.full(len(depth), "S1", dtype=object)),
        section_position=("spectrum", depth),
        depth=("spectrum", depth),
        CaCO3=("spectrum", truth),
    )


@lru_cache(maxsize=1)
def mixtures(n: int = 480) -> xr.Dataset:
    """Mixtures of independent elements with their true contents [wt%]; do not change them."""
    random = np.random.default_rng(5)
    mass = np.zeros((n, len(ELEMENTS)))
    for element, median in MEDIANS.items():
        mass[:, ELEMENTS.index(element)] = median * np.exp(random.normal(0, 0.5, n))
    rest = 1 - mass.sum(axis=1)
    for element, part in {"O": 0.75, "C": 0.15, "H": 0.1}.items():
        mass[:, ELEMENTS.index(element)] += rest * part
    composition = xr.DataArray(mass, dims=("spectrum", "element"), coords={"element": list(ELEMENTS)})
    film = INSTRUMENT.water_film * np.exp(random.normal(0, 0.3, n))
    exposed = expose(composition, INSTRUMENT, water_film=film, brightness=np.exp(random.normal(0, 0.1, n)))
    contents = {name: ("spectrum", 100 * mass[:, ELEMENTS.index(name)]) for name in MEDIANS}
    return _spectra(random.poisson(exposed.counts), exposed.live_time).assign(contents)


def shifted(spectra: xr.Dataset, bins: int) -> xr.Dataset:
    """The same spectra at the same energies on an axis that begins `bins` bins lower: patches cut them elsewhere."""
    rates = np.full_like(spectra["intensity"].values, np.nan)
    rates[:, bins:] = spectra["intensity"].values[:, : GRID.bins - bins]
    moved = spectra.drop_vars("energy").assign(intensity=(spectra["intensity"].dims, rates, {"units": "count/s"}))
    return moved.assign_coords(energy=GRID.centres - bins * GRID.step)


def config(bins: int = 0) -> ModelConfig:
    """A small network whose axis begins `bins` bins lower than the grid's."""
    return ModelConfig(
        patch=PATCH,
        width=32,
        depth=2,
        heads=2,
        decoder_width=8,
        decoder_depth=1,
        decoder_heads=2,
        bins=GRID.bins,
        energy_start=-bins * GRID.step,
        energy_step=GRID.step,
        settings=False,
    )


def trained(spectra: xr.Dataset, target: str, bins: int = 0, seed: int = 0, epochs: int = 20) -> Bundle:
    """A quantifier that has learnt the true `target` of `spectra` [wt%], its axis begun `bins` bins lower."""
    values, measured = (torch.from_numpy(one) for one in LOG(shifted(spectra, bins)["intensity"].values))
    truth = spectra[target].values
    proxy = Proxy(name=target, unit="wt%", transform="identity", mean=float(truth.mean()), std=float(truth.std()))
    wanted = torch.from_numpy(proxy.forward(truth)).float()
    torch.manual_seed(seed)
    network = Quantifier(config(bins), 1)
    batches = len(wanted) // 32
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    course = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=epochs * batches)
    random = np.random.default_rng(seed)
    for _ in range(epochs):
        for which in np.array_split(random.permutation(len(wanted)), batches):
            optimiser.zero_grad()
            (network(values[which], measured[which])[:, 0] - wanted[which]).square().mean().backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            course.step()
    return Bundle(
        kind="quantifier",
        name="finetune-explained",
        config=network.config,
        normalization=LOG,
        weights=network.state_dict(),
        proxies=(proxy,),
    )


def _spectra(counts: NDArray[np.generic], live_time: NDArray[np.float64]) -> xr.Dataset:
    """Counts by channel as a selection on `GRID`."""
    n = len(counts)
    rates = rebin(counts, np.full(n, INSTRUMENT.gain), np.full(n, INSTRUMENT.offset), GRID) / live_time[:, None]
    lowest = np.flatnonzero(counts.any(axis=0))[0] * INSTRUMENT.gain + INSTRUMENT.offset
    rates[:, (GRID.centres < lowest) | (GRID.centres > INSTRUMENT.tube_voltage)] = np.nan
    return xr.Dataset(
        {
            "intensity": (("spectrum", "energy"), rates.astype(np.float32), {"units": "count/s"}),
            "anode": ("spectrum", np.full(n, MACHINE.anode, dtype=object)),
            "tube_voltage": ("spectrum", np.full(n, MACHINE.voltage)),
            "scanner": ("spectrum", np.full(n, MACHINE.scanner, dtype=object)),
        },
        coords={"energy": GRID.centres},
    )
