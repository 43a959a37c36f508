"""New exposures for planted defects: of the same sediment by the same or another scanner, thinned or moved as photons.

Whatever is made here is counts of photons: integers with the noise of counting, as a detector would have written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from corebank.virtual.defects.folder import Folder, Part
from corebank.virtual.defects.point import Point
from corebank.virtual.instrument import Instrument
from corebank.virtual.sediment import sediment
from corebank.virtual.spectra import ELEMENTS, simulate


def rescanned(
    folder: Folder,
    part: Part,
    points: Sequence[Point],
    *,
    instrument: Instrument | None = None,
    gap: float = 0.0,
    matter: dict[str, float] | None = None,
) -> np.ndarray:
    """Expected counts of new exposures at the positions of `points`, (points, channels) float64.

    Parameters
    ----------
    instrument
        Another scanner than the folder's.
    gap
        Extra distance of the head [mm]: more air on the way, and more of it in the detector's view.
    matter
        What lies there instead of the sediment: element -> share of the mass.
    """
    own = folder.instrument
    position = np.array([point.number("position") for point in points])
    here = sediment(
        folder.expedition.setting, part.top + position, core_seed=(folder.expedition.seed, part.core_number)
    )
    shares = here["mass_fraction"]
    before = np.array([point.counts.sum() for point in points])
    # How bright the beam and how level the core was: what the same sediment gave, over what it was to give.
    brightness = before / simulate(shares, own, water_film=own.water_film).sum(axis=1)
    if matter is not None:
        row = [matter.get(element, 0.0) for element in ELEMENTS]
        shares = xr.DataArray([row] * len(points), dims=("spectrum", "element"), coords={"element": list(ELEMENTS)})
    seen = instrument or own
    if gap:  # it fills with air, which the scanner's helium does not reach
        longer = gap / 10
        helium = seen.helium * seen.air_out / (seen.air_out + longer)
        seen = replace(seen, air_seen=seen.air_seen + longer, helium=helium)
    return simulate(shares, seen, water_film=seen.water_film, gap=gap, brightness=np.clip(brightness, 0.3, 3.0))


def thinned(counts: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Counts of which each photon is kept with the same chance."""
    return rng.binomial(counts, share)


def moved(counts: np.ndarray, stretch: float, shift: float, rng: np.random.Generator) -> np.ndarray:
    """Counts of a detector whose channel c now stands where ``stretch * c + shift`` was; photons beyond are lost."""
    events = np.repeat(np.arange(counts.size), counts) + rng.uniform(-0.5, 0.5, int(counts.sum()))
    channel = np.rint(events * stretch + shift).astype(np.int64)
    inside = channel[(channel >= 0) & (channel < counts.size)]
    return np.bincount(inside, minlength=counts.size)
