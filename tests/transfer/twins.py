"""One virtual sediment under two heads: the same composition, each scan with its own surface, alignment and photons."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import xarray as xr

from corebank import calibrate, schema
from corebank.schema import EnergyGrid
from corebank.virtual import INSTRUMENTS
from corebank.virtual.sediment import sediment
from corebank.virtual.spectra import expose

GRID = EnergyGrid(start=0.0, step=0.02, bins=1024)
FIRST, SECOND = "itrax-mo-2020", "itrax-mo-2020-b"
"""Two heads of one model: another detector resolution, another age of the tube, four fifths of the photons."""


@lru_cache(maxsize=64)
def scan(
    instrument: str,
    section: str = "S1",
    *,
    spectra: int = 60,
    step: float = 5.0,
    start: float = 0.0,
    setting: str = "hemipelagic",
    repeat: int = 0,
) -> xr.Dataset:
    """A section at intensity level, with CaCO3 and TOC [wt%] of the sediment under each spectrum.

    The same `section` is the same sediment at the same millimetre, whichever head looks and however the scanner counts:
    `start` is where its own zero lies in the section [mm]; another `repeat` is another run of the same head.
    """
    head = INSTRUMENTS[instrument]
    random = np.random.default_rng((repeat, sorted(INSTRUMENTS).index(instrument), int(section[1:])))
    position = step * (np.arange(spectra) + 0.5)
    truth = sediment(setting, position + start, core_seed=(7, int(section[1:])))
    seen = expose(
        truth["mass_fraction"],
        head,
        gap=np.abs(random.normal(0, 0.3, spectra)),
        brightness=np.exp(random.normal(0, 0.02, spectra)),
    )
    counts = random.poisson(seen.counts).astype(np.uint32)
    channels = np.flatnonzero(counts.sum(axis=0))
    columns = {
        "section_position": position,
        "depth": position,
        "live_time": seen.live_time,
        "energy_gain": np.full(spectra, head.gain),
        "energy_offset": np.full(spectra, head.offset),
        "tube_voltage": np.full(spectra, float(head.tube_voltage)),
        "tube_current": np.full(spectra, float(head.tube_current)),
        "flags": np.zeros(spectra, np.uint32),
        "CaCO3": truth["CaCO3"].values,
        "TOC": truth["TOC"].values,
    }
    names = {
        "core": "C1",
        "section": section,
        "scanner": head.kind,
        "head": head.head,
        "anode": head.anode,
        "filter": "",
    }
    run = xr.Dataset(
        {
            "counts": (schema.COUNTS.dims, counts),
            **{name: ("spectrum", values) for name, values in columns.items()},
            **{name: ("spectrum", np.full(spectra, value, dtype=object)) for name, value in names.items()},
        },
        attrs={"first_channel": int(channels[0]), "last_channel": int(channels[-1])},
    )
    return calibrate.intensity(run, GRID, section)


def scans(instrument: str, sections: tuple[str, ...], **changes: float) -> xr.Dataset:
    """Several sections one after the other."""
    return xr.concat(
        [scan(instrument, section, **changes) for section in sections],  # type: ignore[arg-type]  # numbers by name
        dim="spectrum",
        combine_attrs="override",
        coords="minimal",
        compat="override",
        join="exact",
    )


def with_settings(spectra: xr.Dataset, **settings: str | float) -> xr.Dataset:
    """`spectra` as a machine of other settings would have called them."""
    rows = spectra.sizes["spectrum"]
    return spectra.assign(
        {
            name: ("spectrum", np.full(rows, value, dtype=object if isinstance(value, str) else np.float64))
            for name, value in settings.items()
        }
    )
