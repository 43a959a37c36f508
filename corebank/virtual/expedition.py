"""Virtual expeditions: which sediments were cored where, and which scanner saw them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from corebank.errors import RecipeError
from corebank.virtual.instrument import INSTRUMENTS
from corebank.virtual.sediment import PROXIES, SETTINGS, sediment
from corebank.virtual.spectra import expose

LABEL_LENGTH = 10.0
"""Depth interval of one laboratory sample [mm]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expedition:
    """One virtual expedition; the same expedition with the same seed is the same to the byte."""

    name: str
    """Short name, also the start of the core names."""
    title: str
    """What a catalog shows."""
    site: str
    """Lab that owns the bank it goes to."""
    region: str
    """Where the cores were taken."""
    latitude: float
    """Latitude of the first core [degree north]."""
    longitude: float
    """Longitude of the first core [degree east]."""
    water_depth: float
    """Water depth of the first core [m]."""
    setting: str
    """Kind of sediment, a name of `corebank.virtual.sediment.SETTINGS`."""
    instrument: str
    """Scanner, a name of `corebank.virtual.INSTRUMENTS`."""
    cores: int
    """Number of cores."""
    sections_per_core: int
    """Number of sections of each core."""
    spectra_per_section: int
    """Spectra of each section."""
    step: float
    """Distance between two spectra [mm]."""
    labels_per_core: int
    """Laboratory samples of each core, each over 1 cm."""
    seed: int
    """What makes this expedition differ from another of the same description."""

    def __post_init__(self) -> None:
        if self.setting not in SETTINGS:
            raise RecipeError("Expedition.setting", f"'{self.setting}' is unknown", f"Use one of {', '.join(SETTINGS)}")
        if self.instrument not in INSTRUMENTS:
            raise RecipeError(
                "Expedition.instrument", f"'{self.instrument}' is unknown", f"Use one of {', '.join(INSTRUMENTS)}"
            )
        counts = ("cores", "sections_per_core", "spectra_per_section", "labels_per_core")
        if min(getattr(self, name) for name in counts) < 1 or not self.step > 0:
            raise RecipeError("Expedition", "a count or the step is not positive", "Give positive numbers")

    @property
    def section_length(self) -> float:
        """Length of a section [mm]."""
        return self.spectra_per_section * self.step


EXPEDITIONS: dict[str, Expedition] = {
    expedition.name: expedition
    for expedition in (
        Expedition(
            name="vm1",
            title="Virtual hemipelagic cores, Itrax with molybdenum tube",
            site="virtual-ocean",
            region="North Atlantic (virtual)",
            latitude=41.5,
            longitude=-24.2,
            water_depth=3100,
            setting="hemipelagic",
            instrument="itrax-mo-2020",
            cores=3,
            sections_per_core=2,
            spectra_per_section=100,
            step=5,
            labels_per_core=18,
            seed=1,
        ),
        Expedition(
            name="vs1",
            title="Virtual siliceous to glacial cores, Avaatech at 10 kV",
            site="virtual-ocean",
            region="Pacific sector of the Southern Ocean (virtual)",
            latitude=-58.1,
            longitude=-120.4,
            water_depth=4100,
            setting="siliceous",
            instrument="avaatech-rh-10kv",
            cores=4,
            sections_per_core=1,
            spectra_per_section=100,
            step=10,
            labels_per_core=20,
            seed=2,
        ),
        Expedition(
            name="vl1",
            title="Virtual lake cores of a volcanic catchment, Itrax of 2008",
            site="virtual-lakes",
            region="South Shetland Islands (virtual)",
            latitude=-62.2,
            longitude=-58.9,
            water_depth=9,
            setting="lake",
            instrument="itrax-mo-2008",
            cores=3,
            sections_per_core=2,
            spectra_per_section=80,
            step=5,
            labels_per_core=16,
            seed=3,
        ),
        Expedition(
            name="vc1",
            title="Virtual carbonate cores, another head of the Itrax",
            site="virtual-ocean",
            region="Equatorial Pacific (virtual)",
            latitude=1.2,
            longitude=-139.8,
            water_depth=4200,
            setting="carbonate",
            instrument="itrax-mo-2020-b",
            cores=3,
            sections_per_core=1,
            spectra_per_section=120,
            step=5,
            labels_per_core=16,
            seed=4,
        ),
        Expedition(
            name="seed",
            title="A handful of virtual spectra to try corebank with",
            site="virtual",
            region="Bay of Biscay (virtual)",
            latitude=45.3,
            longitude=-4.6,
            water_depth=2300,
            setting="hemipelagic",
            instrument="itrax-mo-2020",
            cores=2,
            sections_per_core=1,
            spectra_per_section=30,
            step=10,
            labels_per_core=6,
            seed=5,
        ),
    )
}
"""Four expeditions of three different machines at two sites (vc1 arrives last), and a very small one."""


def named(name: str, seed: int | None = None, **sizes: float | str | None) -> Expedition:
    """One of `EXPEDITIONS`, with other cores of the same kind when `seed` is given.

    `sizes` are fields of `Expedition` that shall differ, such as ``cores=40``; None leaves one as it is. Cores do not
    change when there are more of them: the first ones of a longer expedition are those of a shorter one.

    Raises `RecipeError` that lists the names when there is none of that name, and for a number that is not positive.
    """
    if name not in EXPEDITIONS:
        raise RecipeError("virtual expedition", f"'{name}' is unknown", f"Use one of {', '.join(EXPEDITIONS)}")
    changes: dict[str, Any] = {"seed": seed} | sizes
    return replace(EXPEDITIONS[name], **{field: value for field, value in changes.items() if value is not None})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Section:
    """One section as the scanner saw it."""

    core: str
    name: str
    top: float
    """Composite depth of the section's zero [mm]."""
    spectra: xr.Dataset
    """counts (spectrum, channel) uint32; position, depth [mm], live_time, real_time [s], input_rate, output_rate [1/s],
    gap [mm], and the true composition (spectrum, element) and proxies [wt%]."""


def core_names(expedition: Expedition) -> list[str]:
    """Names of the cores: VM1-1, VM1-2 ..."""
    return [f"{expedition.name.upper()}-{number}" for number in range(1, expedition.cores + 1)]


def scan(expedition: Expedition, core: int, section: int) -> Section:
    """Scan one section of one core (both counted from 0): draw its sediment, expose it, count photons."""
    rng = np.random.default_rng((expedition.seed, core, section, 1))
    instrument = INSTRUMENTS[expedition.instrument]
    n, top = expedition.spectra_per_section, section * expedition.section_length
    position = expedition.step * (np.arange(n) + 0.5)
    truth = sediment(expedition.setting, top + position, core_seed=(expedition.seed, core))
    gap = np.abs(rng.normal(0, 0.3, n))
    water_film = instrument.water_film * np.exp(rng.normal(0, 0.3, n))
    brightness = np.exp(rng.normal(0, 0.1) + rng.normal(0, 0.02, n))  # alignment, then a surface that is not flat
    seen = expose(truth["mass_fraction"], instrument, water_film=water_film, gap=gap, brightness=brightness)
    counts = rng.poisson(seen.counts)
    spectra = truth.assign(
        counts=(("spectrum", "channel"), counts.astype(np.uint32)),
        position=("spectrum", position),
        gap=("spectrum", gap),
        live_time=("spectrum", seen.live_time),
        real_time=("spectrum", seen.real_time),
        input_rate=("spectrum", seen.input_rate),
        output_rate=("spectrum", seen.output_rate),
    )
    return Section(core=core_names(expedition)[core], name=f"S{section + 1}", top=top, spectra=spectra)


def laboratory(expedition: Expedition, core: int) -> xr.Dataset:
    """What a laboratory finds in 1-cm samples of one core, spread evenly over it: (label,) depths [mm] and wt%.

    Each value is the mean of its interval with an error of 2 % of itself and a little more near nothing, about what
    replicate samples give.
    """
    rng = np.random.default_rng((expedition.seed, core, 2))
    length = expedition.sections_per_core * expedition.section_length
    tops = np.floor(np.linspace(0, length - LABEL_LENGTH, expedition.labels_per_core) / LABEL_LENGTH) * LABEL_LENGTH
    within = tops[:, None] + LABEL_LENGTH * (np.arange(5) + 0.5) / 5
    truth = sediment(expedition.setting, within.ravel(), core_seed=(expedition.seed, core))
    values = {}
    for proxy in PROXIES:
        mean = truth[proxy].to_numpy().reshape(within.shape).mean(axis=1)
        floor = 0.3 if proxy == "CaCO3" else 0.02
        values[proxy] = np.maximum(mean * (1 + rng.normal(0, 0.02, len(mean))) + rng.normal(0, floor, len(mean)), 0)
    return xr.Dataset({name: ("label", v) for name, v in values.items()} | {"top": ("label", tops)})
