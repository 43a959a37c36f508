"""Sediments whose composition varies smoothly with depth, as nature mixes them.

A sediment is carbonate, biogenic silica, organic matter, pyrite and terrigenous minerals, wetted with sea or lake
water. Hidden curves of depth (climate, productivity, grain size, oxygen) drive all of them, so that the elements of the
terrigenous part rise and fall together, strontium follows carbonate, bromine follows organic carbon and salt, zirconium
and rubidium part with grain size. The constants are round numbers from the literature named beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from corebank.errors import RecipeError
from corebank.virtual.spectra import ELEMENTS, WATER

OXIDES = {
    "SiO2": ("Si", 0.4674),
    "TiO2": ("Ti", 0.5994),
    "Al2O3": ("Al", 0.5293),
    "Fe2O3": ("Fe", 0.6994),
    "MnO": ("Mn", 0.7745),
    "MgO": ("Mg", 0.6030),
    "CaO": ("Ca", 0.7147),
    "Na2O": ("Na", 0.7419),
    "K2O": ("K", 0.8301),
    "P2O5": ("P", 0.4364),
}
"""Oxide -> its element and that element's mass fraction in it."""

SHALE = {
    "SiO2": 62.8,
    "TiO2": 1.0,
    "Al2O3": 18.9,
    "Fe2O3": 7.2,
    "MnO": 0.11,
    "MgO": 2.2,
    "CaO": 1.3,
    "Na2O": 1.2,
    "K2O": 3.7,
    "P2O5": 0.16,
    "V": 0.0150,
    "Cr": 0.0110,
    "Ni": 0.0055,
    "Cu": 0.0050,
    "Zn": 0.0085,
    "Ga": 0.0020,
    "As": 0.0010,
    "Rb": 0.0160,
    "Sr": 0.0200,
    "Y": 0.0027,
    "Zr": 0.0210,
    "Nb": 0.0019,
    "Ba": 0.0650,
    "Pb": 0.0020,
    "Cl": 0.010,
}
"""Terrigenous matter [wt%]: post-Archaean shale (Taylor and McLennan 1985); what is missing to 100 is bound water."""

CRUST = {
    "SiO2": 66.6,
    "TiO2": 0.64,
    "Al2O3": 15.4,
    "Fe2O3": 5.6,
    "MnO": 0.10,
    "MgO": 2.48,
    "CaO": 3.59,
    "Na2O": 3.27,
    "K2O": 2.80,
    "P2O5": 0.15,
    "V": 0.0097,
    "Cr": 0.0092,
    "Ni": 0.0047,
    "Cu": 0.0028,
    "Zn": 0.0067,
    "Ga": 0.00175,
    "As": 0.00048,
    "Rb": 0.0084,
    "Sr": 0.0320,
    "Y": 0.0021,
    "Zr": 0.0193,
    "Nb": 0.0012,
    "Ba": 0.0628,
    "Pb": 0.0017,
    "Cl": 0.037,
}
"""Glacial rock flour [wt%]: upper continental crust (Rudnick and Gao 2003), iron as Fe2O3."""

OCEAN_ISLAND = SHALE | {
    "SiO2": 52.0,
    "TiO2": 1.7,
    "Al2O3": 15.5,
    "Fe2O3": 8.2,
    "MnO": 0.2,
    "CaO": 3.0,
    "K2O": 3.3,
    "Cr": 0.02,
    "Zr": 0.027,
    "Rb": 0.009,
    "Sr": 0.035,
}
"""Saharan dust and island volcanics [wt%], after the ratios of Ti, K and Fe in core CD166/19 off northwest Africa."""

BASALT = {
    "SiO2": 49.5,
    "TiO2": 1.4,
    "Al2O3": 16.0,
    "Fe2O3": 9.0,
    "MnO": 0.17,
    "MgO": 4.0,
    "CaO": 9.5,
    "Na2O": 3.2,
    "K2O": 0.7,
    "P2O5": 1.6,
    "V": 0.0210,
    "Cr": 0.0060,
    "Ni": 0.0040,
    "Cu": 0.0250,
    "Zn": 0.0250,
    "Ga": 0.0018,
    "As": 0.0010,
    "Rb": 0.0013,
    "Sr": 0.0720,
    "Y": 0.0025,
    "Zr": 0.0150,
    "Nb": 0.0004,
    "Ba": 0.0200,
    "Pb": 0.0008,
    "Cl": 0.020,
}
"""A volcanic catchment [wt%], after the oxides of Ardley Lake (Roberts et al. 2017)."""

ORGANIC = {"C": 0.53, "H": 0.07, "O": 0.32, "N": 0.08}
"""Marine organic matter by mass, near Redfield's C:N."""
PYRITE = {"Fe": 0.4655, "S": 0.5345}
OPAL = {"Si": 0.421, "O": 0.567, "H": 0.011, "Ba": 0.001}
"""Opal with 10 wt% water, and the barite that comes with it."""
SEAWATER = {"Cl": 0.550, "Na": 0.307, "Mg": 0.037, "S": 0.0259, "Ca": 0.0117, "K": 0.0113, "Br": 0.0019, "O": 0.0552}
"""Sea salt by mass (Millero 2008); sulphur as sulphate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where the sediment formed: medians and spreads of what it is made of; spreads are of logits or logarithms."""

    carbonate: tuple[float, float]
    """CaCO3, median share of the dry sediment [wt%] and spread of its logit."""
    organic_carbon: tuple[float, float]
    """TOC, median [wt%] and spread of its logarithm."""
    opal: tuple[float, float]
    """Biogenic silica, median share of what is not carbonate [wt%] and spread of its logit."""
    water: float
    """Water of a sediment without opal and organic matter [wt% of the wet mass]."""
    salinity: float
    """Salt in the pore water [wt%]."""
    terrigenous: dict[str, float] = field(hash=False)
    """Oxides [wt%] and trace elements [wt%] of the terrigenous part."""
    strontium: float = 0.14
    """Strontium in carbonate [wt%]; 0.14 for coccoliths and foraminifera (Stoll and Schrag 2000)."""
    bromine: float = 0.0045
    """Bromine per organic carbon [g/g]; about 45 ppm per wt% TOC in the ocean (Ziegler et al. 2008)."""


SETTINGS: dict[str, Setting] = {
    "hemipelagic": Setting(
        carbonate=(22, 1.0), organic_carbon=(0.7, 0.5), opal=(8, 0.6), water=40, salinity=3.5, terrigenous=SHALE
    ),
    "carbonate": Setting(
        carbonate=(42, 1.0), organic_carbon=(0.35, 0.5), opal=(4, 0.5), water=32, salinity=3.5, terrigenous=OCEAN_ISLAND
    ),
    "siliceous": Setting(
        carbonate=(6, 1.5), organic_carbon=(0.3, 0.6), opal=(35, 0.9), water=56, salinity=3.5, terrigenous=CRUST
    ),
    "lake": Setting(
        carbonate=(0.6, 0.6),
        organic_carbon=(3.0, 0.7),
        opal=(12, 0.7),
        water=65,
        salinity=0.8,
        terrigenous=BASALT,
        bromine=0.0006,
    ),
}
"""Hemipelagic ocean, carbonate ocean, siliceous to glacial Southern Ocean, lake of sea spray and volcanic ash."""

PROXIES = ("CaCO3", "TOC", "SiO2", "TiO2", "Fe2O3", "CaO", "K2O")
"""What the virtual laboratory measures [wt% of the dry sediment, its salt included]."""

_LENGTHS = {"climate": 400.0, "production": 150.0, "grain": 80.0, "oxygen": 60.0, "noise": 12.0}
"""Depth over which each hidden curve changes [mm]."""
_WAVES = 64
"""Cosines that make up a hidden curve; their sum is nearly a Gaussian process."""


def sediment(setting: str, depth: np.ndarray, *, core_seed: tuple[int, ...]) -> xr.Dataset:
    """Composition of one core at composite depths [mm].

    The same core at the same depth is the same sediment, however it is sampled: the hidden curves are functions of
    depth (random Fourier features of Matern processes, Rahimi and Recht 2007), fixed by `core_seed`.

    Returns
    -------
    Dataset
        ``mass_fraction`` (spectrum, element) share of the wet mass, and `PROXIES` and ``water`` (spectrum,) [wt%].
    """
    if setting not in SETTINGS:
        raise RecipeError("setting", f"'{setting}' is no sediment setting", f"Use one of {', '.join(SETTINGS)}")
    place, rng = SETTINGS[setting], np.random.default_rng(core_seed)
    curve = {name: _curve(rng, length, depth) for name, length in _LENGTHS.items()}
    level = dict(zip(("carbonate", "organic", "opal", "water", "iron"), rng.normal(0, 1, 5), strict=True))
    noise = curve["noise"]

    carbonate = _share(
        place.carbonate, 0.4 * level["carbonate"] + 0.75 * curve["climate"] + 0.45 * curve["production"] + 0.2 * noise
    )
    mood = 0.4 * level["organic"] - 0.4 * curve["climate"] + 0.6 * curve["production"] - 0.4 * curve["oxygen"]
    carbon = place.organic_carbon[0] / 100 * np.exp(place.organic_carbon[1] * (mood + 0.2 * noise))
    organic = np.minimum(carbon / ORGANIC["C"], 0.5)
    # S/C near 0.2, below the 0.36 of Berner (1982); no more than there is room for beside the organic matter.
    pyrite = np.minimum(0.4 * carbon * np.exp(-0.4 * curve["oxygen"]), 0.4)
    rest = (1 - carbonate) * (1 - organic - pyrite)
    opal = rest * _share(place.opal, 0.4 * level["opal"] + 0.7 * curve["production"] - 0.4 * curve["climate"])
    terrigenous = rest - opal
    parts = {
        "carbonate": carbonate * (1 - organic - pyrite),
        "organic": organic,
        "pyrite": pyrite,
        "opal": opal,
        "terrigenous": terrigenous,
    }
    salt_free = _elements(place, parts, curve, level)
    wet = place.water / 100 + 0.25 * opal + 0.5 * organic  # opal and organic matter hold much water
    wet = np.clip(wet + 0.03 * level["water"] - 0.02 * curve["grain"] + 0.01 * noise, 0.15, 0.85)
    salt = wet * place.salinity / 100
    mass = salt_free * (1 - wet)[:, None]
    for element, share in SEAWATER.items():
        mass[:, ELEMENTS.index(element)] += salt * share
    for element, share in WATER.items():
        mass[:, ELEMENTS.index(element)] += (wet - salt) * share
    dry = 1 - wet + salt
    grams = {"CaCO3": parts["carbonate"] * (1 - wet) / dry, "TOC": organic * ORGANIC["C"] * (1 - wet) / dry}
    for oxide in PROXIES[2:]:
        element, share = OXIDES[oxide]
        grams[oxide] = mass[:, ELEMENTS.index(element)] / share / dry
    return xr.Dataset(
        {
            "mass_fraction": (("spectrum", "element"), mass / mass.sum(axis=1, keepdims=True)),
            "water": ("spectrum", 100 * (wet - salt)),
            **{name: ("spectrum", 100 * value) for name, value in grams.items()},
        },
        coords={"element": list(ELEMENTS), "depth": ("spectrum", np.asarray(depth, dtype=np.float64))},
    )


def _elements(
    place: Setting, parts: dict[str, np.ndarray], curve: dict[str, np.ndarray], level: dict[str, float]
) -> np.ndarray:
    """Elements of the dry, salt-free sediment, (n, elements); each row sums to 1."""
    grain, oxygen, climate = curve["grain"], curve["oxygen"], curve["climate"]
    # Coarser: more quartz, zirconium and titanium, less clay with its aluminium, potassium and rubidium.
    swing = {
        "SiO2": 0.05 * grain,
        "Al2O3": -0.07 * grain,
        "K2O": -0.10 * grain + 0.05 * climate,
        "Rb": -0.12 * grain,
        "TiO2": 0.06 * grain,
        "Zr": 0.30 * grain,
        "Fe2O3": 0.10 * level["iron"] - 0.08 * grain + 0.05 * oxygen,
        "MnO": 0.6 * oxygen,
        "Cr": 0.1 * grain,
        "Zn": -0.1 * grain,
        "Ba": 0.2 * curve["production"],
    }
    minerals = {k: v / 100 * np.exp(swing.get(k, np.zeros_like(grain))) for k, v in place.terrigenous.items()}
    total = np.maximum(sum(minerals.values(), np.zeros_like(grain)), 1.0)
    out = np.zeros((len(grain), len(ELEMENTS)))

    def add(element: str, grams: np.ndarray) -> None:
        out[:, ELEMENTS.index(element)] += grams

    for name, share in minerals.items():
        grams = parts["terrigenous"] * share / total
        element, part = OXIDES.get(name, (name, 1.0))
        add(element, grams * part)
        add("O", grams * (1 - part))
    bound = parts["terrigenous"] * (1 - sum(minerals.values(), np.zeros_like(grain)) / total)
    for light, part in WATER.items():
        add(light, bound * part)
    calcite, organic = parts["carbonate"], parts["organic"]
    strontium = place.strontium / 100 * np.exp(0.06 * climate)
    add("Ca", calcite * 0.4004 * (1 - strontium - 0.003))
    add("C", calcite * 0.1200 * (1 - strontium - 0.003))
    add("O", calcite * 0.4796 * (1 - strontium - 0.003))
    add("Sr", calcite * strontium)
    add("Mg", calcite * 0.003)
    for constituent, composition in (("organic", ORGANIC), ("pyrite", PYRITE), ("opal", OPAL)):
        for light, part in composition.items():
            add(light, parts[constituent] * part)
    add("Br", organic * ORGANIC["C"] * place.bromine * np.exp(0.1 * oxygen))
    return np.asarray(out / out.sum(axis=1, keepdims=True))


def _share(of: tuple[float, float], z: np.ndarray) -> np.ndarray:
    """A share with the given median [wt%] and spread of its logit, moved by `z` spreads."""
    median = of[0] / 100
    return np.asarray(1 / (1 + (1 - median) / median * np.exp(-of[1] * z)))


def _curve(rng: np.random.Generator, length: float, depth: np.ndarray) -> np.ndarray:
    """A smooth random curve of depth with variance 1: a Matern process (nu = 3/2) as a sum of cosines."""
    frequency = rng.standard_t(3, _WAVES) / length
    phase = rng.uniform(0, 2 * np.pi, _WAVES)
    return np.asarray(np.sqrt(2 / _WAVES) * np.cos(np.outer(depth, frequency) + phase).sum(axis=1))
