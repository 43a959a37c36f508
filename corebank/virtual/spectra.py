"""From composition to expected counts: fundamental parameters for a thick sample, one matrix product per spectrum.

All that depends on the instrument alone (tube, cross sections, detector) is worked out once, in `optics`. What depends
on the sediment is its attenuation at the primary energies and at the lines, a linear map of its composition; primary
photons are followed on a grid of 0.2 keV plus the tube's own lines. Sherman (1955), Spectrochim. Acta 7, 283, primary
excitation only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import xarray as xr

from corebank.errors import SchemaError
from corebank.virtual import detector, physics
from corebank.virtual.detector import Exposed
from corebank.virtual.instrument import Instrument

ELEMENTS = (
    "H",
    "C",
    "N",
    "O",
    "Na",
    "Mg",
    "Al",
    "Si",
    "P",
    "S",
    "Cl",
    "K",
    "Ca",
    "Ti",
    "V",
    "Cr",
    "Mn",
    "Fe",
    "Ni",
    "Cu",
    "Zn",
    "Ga",
    "As",
    "Br",
    "Rb",
    "Sr",
    "Y",
    "Zr",
    "Nb",
    "Ba",
    "Pb",
)
"""Elements that a sediment is made of, in the order of every composition array."""
STEP = 0.2
"""Width of a bin of primary energies [keV]."""
BLOCK = 256
"""Spectra that are worked on together; keeps the arrays inside the processor's cache."""
WATER = {"H": 0.1119, "O": 0.8881}
POLYPROPYLENE, POLYPROPYLENE_DENSITY = {"C": 0.8563, "H": 0.1437}, 0.90
"""Mass fractions of the film's and the foil's material, and the foil's density [g/cm3]."""


@dataclass(frozen=True, slots=True, eq=False)
class Optics:
    """What an instrument does to any sediment. P primary energies, L lines, E elements, C channels."""

    primary: np.ndarray
    """Photons on the sample (P,) [1/s], up to the throughput."""
    attenuation_in: np.ndarray
    """Attenuation of the primary beam along its way in, (E, P) [cm2/g]."""
    produced: np.ndarray
    """Line photons per primary photon and mass of the line's element, (L, P) [cm2/g/sr]."""
    owner: np.ndarray
    """Index of the element of each line, (L,) int."""
    attenuation_lines: np.ndarray
    """Attenuation of lines on their way out, (E, L) [cm2/g]."""
    elastic: np.ndarray
    """Rayleigh scattering per mass, (E, P) [cm2/g/sr]."""
    elastic_out: np.ndarray
    """Attenuation on the way out after Rayleigh scattering, (E, P) [cm2/g]."""
    inelastic: np.ndarray
    """Compton scattering per mass, (E, P) [cm2/g/sr]."""
    inelastic_out: np.ndarray
    """Attenuation on the way out after Compton scattering, (E, P) [cm2/g]."""
    response: np.ndarray
    """Counts per photon that leaves the surface, (L + 2 P, C): lines, then Rayleigh, then Compton."""
    film_in: np.ndarray
    """Attenuation of the primary beam by a film of water, (P,) [1/um]."""
    film_out: np.ndarray
    """Attenuation of what leaves by a film of water, (L + 2 P,) [1/um]."""
    gap_in: np.ndarray
    """Attenuation of the primary beam by a longer gap of gas, (P,) [1/mm]."""
    gap_out: np.ndarray
    """Attenuation of what leaves by a longer gap of gas, (L + 2 P,) [1/mm]."""
    background: np.ndarray
    """Events from the gas in the beam, whatever the sample, (C,) [1/s]."""


def simulate(
    mass_fraction: xr.DataArray,
    instrument: Instrument,
    *,
    water_film: np.ndarray | float = 0.0,
    gap: np.ndarray | float = 0.0,
    brightness: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Expected counts of one exposure of each sediment, (n, channels) float64.

    Parameters
    ----------
    mass_fraction
        (spectrum, element) share of the wet mass, elements of `ELEMENTS` by symbol; absent elements count as zero.
    instrument
        Scanner and its setting.
    water_film, gap
        Film of water on the surface [um] and extra distance of the head [mm], one number or one per spectrum.
    brightness
        Factor on the primary beam, one number or one per spectrum.

    Raises
    ------
    SchemaError
        Where the dimensions differ, an element is unknown, or the shares of a spectrum do not add up to 1.
    """
    return expose(mass_fraction, instrument, water_film=water_film, gap=gap, brightness=brightness).counts


def expose(
    mass_fraction: xr.DataArray,
    instrument: Instrument,
    *,
    water_film: np.ndarray | float = 0.0,
    gap: np.ndarray | float = 0.0,
    brightness: np.ndarray | float = 1.0,
) -> Exposed:
    """Like `simulate`, with the clocks and rates that a scanner writes beside its counts."""
    shares = _shares(mass_fraction)
    n = len(shares)
    film, extra, bright = (np.broadcast_to(values, n)[:, None] for values in (water_film, gap, brightness))
    parts = [
        detector.expose(_rates(shares[rows], film[rows], extra[rows], optics(instrument)) * bright[rows], instrument)
        for rows in (slice(start, start + BLOCK) for start in range(0, n, BLOCK))
    ]
    return Exposed(*(np.concatenate(part) for part in zip(*parts, strict=True)))


@lru_cache(maxsize=8)
def optics(instrument: Instrument) -> Optics:
    """Work out what depends on the instrument alone; takes about a second, kept for the next call."""
    energies, photons = _beam(instrument)
    wanted = physics.lines(ELEMENTS, instrument.tube_voltage)
    line_energies = np.array([line.energy for line in wanted])
    angle = instrument.scattering_angle
    shifted = np.maximum(physics.compton_energy(energies, angle), physics.LOWEST / 2)
    slant_in, slant_out = (1 / np.sin(np.deg2rad(a)) for a in (instrument.incidence, instrument.take_off))
    leaving = np.concatenate([line_energies, energies, shifted])
    gas_in, gas_out = (_gas(instrument, at) for at in (energies, leaving))  # [1/cm]
    foil_in, foil_out = (
        np.exp(-physics.mixture(POLYPROPYLENE, at) * POLYPROPYLENE_DENSITY * instrument.foil * 1e-4 * slant)
        for at, slant in ((energies, slant_in), (leaving, slant_out))
    )
    primary = photons * np.exp(-gas_in * instrument.air_in) * foil_in * instrument.throughput * slant_in
    way_out = np.exp(-gas_out * instrument.air_out) * foil_out
    rows = np.concatenate(
        [
            detector.deposits(instrument, line_energies),
            _spread(instrument, energies),
            _spread_compton(instrument, energies, angle),
        ]
    )
    response = (rows * way_out[:, None]) @ detector.blur(instrument)
    return Optics(
        primary=primary,
        attenuation_in=physics.attenuation(ELEMENTS, energies) * slant_in,
        produced=physics.fluorescence(wanted, energies) / (4 * np.pi),
        owner=np.array([ELEMENTS.index(line.element) for line in wanted]),
        attenuation_lines=physics.attenuation(ELEMENTS, line_energies) * slant_out,
        elastic=physics.rayleigh(ELEMENTS, energies, angle),
        elastic_out=physics.attenuation(ELEMENTS, energies) * slant_out,
        inelastic=physics.compton(ELEMENTS, energies, angle),
        inelastic_out=physics.attenuation(ELEMENTS, shifted) * slant_out,
        response=response,
        film_in=physics.mixture(WATER, energies) * 1e-4 * slant_in,
        film_out=physics.mixture(WATER, leaving) * 1e-4 * slant_out,
        gap_in=gas_in * 0.1,
        gap_out=gas_out * 0.1,
        background=_gas_events(instrument, energies, primary, response, len(wanted)),
    )


def _rates(shares: np.ndarray, film: np.ndarray, gap: np.ndarray, o: Optics) -> np.ndarray:
    """Events per second and channel, (n, C), before pile-up; `film` [um] and `gap` [mm] are (n, 1)."""
    dimmed = np.exp(-film * o.film_in - gap * o.gap_in) * o.primary
    into, out = shares @ o.attenuation_in, shares @ o.attenuation_lines
    emitted = np.empty((len(shares), len(o.owner)))
    for line, element in enumerate(o.owner):
        emitted[:, line] = ((dimmed * o.produced[line]) / (into + out[:, line, None])).sum(axis=1) * shares[:, element]
    elastic = dimmed * (shares @ o.elastic) / (into + shares @ o.elastic_out)
    inelastic = dimmed * (shares @ o.inelastic) / (into + shares @ o.inelastic_out)
    leaving = np.concatenate([emitted, elastic, inelastic], axis=1)
    leaving *= np.exp(-film * o.film_out - gap * o.gap_out)
    return np.asarray(leaving @ o.response + o.background)


def _beam(instrument: Instrument) -> tuple[np.ndarray, np.ndarray]:
    """Energies of the primary beam [keV] and its photons per second and steradian: bins, then the tube's lines."""
    voltage = instrument.tube_voltage
    edges = np.linspace(physics.LOWEST, voltage, round((voltage - physics.LOWEST) / STEP) + 1)
    continuum = physics.tube(instrument.anode, voltage, edges, photons=instrument.anode_angle)
    sharp = [physics.tube_lines(instrument.anode, voltage, photons=instrument.anode_angle)]
    if instrument.tungsten:
        energies, photons = physics.tube_lines("W", voltage, photons=instrument.anode_angle)
        sharp.append((energies, photons * instrument.tungsten))
    energies = np.concatenate([(edges[1:] + edges[:-1]) / 2, *(e for e, _ in sharp)])
    photons = np.concatenate([continuum, *(i for _, i in sharp)]) * instrument.tube_current
    photons *= physics.transmission(
        {"Be": 1.0}, instrument.tube_window * 1e-4 * detector.BERYLLIUM_DENSITY, energies
    ) / (1 + (energies / instrument.optics_cutoff) ** 8)
    return energies, photons


def _spread(instrument: Instrument, energies: np.ndarray) -> np.ndarray:
    """Deposits of Rayleigh photons, (P, C): bins are spread over their width, tube lines stay sharp."""
    bins = round((instrument.tube_voltage - physics.LOWEST) / STEP)
    rows = detector.deposits(instrument, energies)
    return np.concatenate([_box(rows[:bins], STEP / instrument.gain), rows[bins:]])


def _spread_compton(instrument: Instrument, energies: np.ndarray, angle: float) -> np.ndarray:
    """Deposits of Compton photons, (P, C): the Doppler profile of each primary energy on a grid of 20 eV."""
    fine = np.arange(physics.LOWEST / 2, instrument.tube_voltage, 0.02)
    profiles = np.array([physics.compton_profile(float(e), angle, fine) for e in energies])
    bins = round((instrument.tube_voltage - physics.LOWEST) / STEP)
    rows = profiles @ detector.deposits(instrument, fine)
    return np.concatenate([_box(rows[:bins], STEP / instrument.gain), rows[bins:]])


def _box(rows: np.ndarray, width: float) -> np.ndarray:
    """Rows convolved with a box of `width` channels; what would leave the axis is dropped."""
    half = int(width / 2) + 1
    kernel = np.clip(width / 2 + 0.5 - np.abs(np.arange(-half, half + 1)), 0, 1)
    return np.array([np.convolve(row, kernel / kernel.sum(), mode="same") for row in rows])


def _gas(instrument: Instrument, energies: np.ndarray) -> np.ndarray:
    """Attenuation by the gas between tube, sample and detector, the shape of `energies` [1/cm]."""
    air = physics.mixture(physics.AIR, energies) * physics.AIR_DENSITY * (1 - instrument.helium)
    return air + physics.mixture({"He": 1.0}, energies) * physics.HELIUM_DENSITY * instrument.helium


def _gas_events(
    instrument: Instrument, energies: np.ndarray, primary: np.ndarray, response: np.ndarray, n_lines: int
) -> np.ndarray:
    """Events from the gas that the detector sees in the beam: argon's lines and scattering, (C,) [1/s]."""
    mass = instrument.air_seen * physics.AIR_DENSITY * (1 - instrument.helium)
    weights, angle = np.array(list(physics.AIR.values())), instrument.scattering_angle
    elastic = weights @ physics.rayleigh(list(physics.AIR), energies, angle)
    inelastic = weights @ physics.compton(list(physics.AIR), energies, angle)
    scattered = np.concatenate([elastic * primary, inelastic * primary]) @ response[n_lines:]
    argon = physics.lines(["Ar"], instrument.tube_voltage)
    emitted = physics.fluorescence(argon, energies) @ primary / (4 * np.pi) * physics.AIR["Ar"]
    rows = detector.deposits(instrument, np.array([line.energy for line in argon])) @ detector.blur(instrument)
    return np.asarray(mass * (scattered + emitted @ rows))


def _shares(mass_fraction: xr.DataArray) -> np.ndarray:
    """Composition as (n, len(ELEMENTS)) float64, checked."""
    if mass_fraction.dims != ("spectrum", "element"):
        raise SchemaError("mass_fraction", f"dimensions are {mass_fraction.dims}", "Give (spectrum, element)")
    if unknown := sorted({str(e) for e in mass_fraction["element"].values} - set(ELEMENTS)):
        raise SchemaError("mass_fraction", f"unknown elements {', '.join(unknown)}", f"Use {', '.join(ELEMENTS)}")
    shares = mass_fraction.reindex(element=list(ELEMENTS), fill_value=0.0).to_numpy().astype(np.float64)
    if not np.allclose(shares.sum(axis=1), 1, atol=1e-6) or (shares < 0).any():
        raise SchemaError("mass_fraction", "shares are negative or do not add up to 1", "Divide each row by its sum")
    return shares
