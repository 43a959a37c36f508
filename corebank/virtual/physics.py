"""X-ray physics on energy grids: attenuation, fluorescence, scattering, and the spectrum of an X-ray tube.

Every cross section comes from xraylib (Schoonjans et al. 2011, doi:10.1016/j.sab.2011.09.011); this is the only module
that asks it. Energies are in keV, cross sections in cm2/g, thicknesses as mass per area in g/cm2 unless a name says
otherwise. Arrays over elements have the length of the list of elements that was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xraylib

AIR = {"N": 0.7553, "O": 0.2318, "Ar": 0.0128}
"""Mass fractions of dry air near sea level (NIST)."""
AIR_DENSITY, HELIUM_DENSITY = 1.205e-3, 1.663e-4
"""Densities at 20 degrees C and 1 atm [g/cm3] (NIST)."""
ELECTRON = 510.999
"""Rest energy of the electron [keV]."""

K_LINES = tuple(getattr(xraylib, f"K{shell}_LINE") for shell in ("L3", "L2", "M3", "M2", "M5", "M4", "N3", "N2"))
L_LINES = tuple(
    getattr(xraylib, f"{line}_LINE")
    for line in ("L3M5", "L3M4", "L3M1", "L3N5", "L3N1", "L2M4", "L2M1", "L2N4", "L1M3", "L1M2", "L1N2", "L1N3")
)
LOWEST = 0.9
"""Softest line or primary photon that is followed [keV]; below it air and windows leave nothing."""


class Line(NamedTuple):
    """One emission line: its element, energy [keV] and xraylib's number for it."""

    element: str
    energy: float
    code: int


def attenuation(elements: Sequence[str], energies: np.ndarray) -> np.ndarray:
    """Mass attenuation coefficients, (elements, energies) float64 [cm2/g]."""
    return np.array([[xraylib.CS_Total(xraylib.SymbolToAtomicNumber(s), float(e)) for e in energies] for s in elements])


def mixture(material: dict[str, float], energies: np.ndarray) -> np.ndarray:
    """Mass attenuation of a material given by mass fractions, (energies,) float64 [cm2/g]."""
    return np.asarray(np.array(list(material.values())) @ attenuation(list(material), energies))


def transmission(material: dict[str, float], mass: float, energies: np.ndarray) -> np.ndarray:
    """Share of photons that pass `mass` [g/cm2] of a material given by mass fractions, (energies,) float64."""
    return np.asarray(np.exp(-mass * mixture(material, energies)))


def lines(elements: Sequence[str], highest: float) -> list[Line]:
    """K and L lines between `LOWEST` and `highest` keV that a photon of `highest` keV excites."""
    found = []
    for element in elements:
        z = xraylib.SymbolToAtomicNumber(element)
        for code in K_LINES + L_LINES:
            energy = _or_zero(xraylib.LineEnergy, z, code)
            if energy > LOWEST and _or_zero(xraylib.CS_FluorLine_Kissel_Cascade, z, code, highest) > 0:
                found.append(Line(element, energy, code))
    return found


def fluorescence(wanted: Sequence[Line], energies: np.ndarray) -> np.ndarray:
    """Production cross sections of lines by photons of `energies`, (lines, energies) float64 [cm2/g].

    Photoelectric cross section of the shell x fluorescence yield x radiative rate, vacancies that cascade down from
    inner shells included.
    """
    return np.array(
        [
            [
                _or_zero(
                    xraylib.CS_FluorLine_Kissel_Cascade, xraylib.SymbolToAtomicNumber(line.element), line.code, float(e)
                )
                for e in energies
            ]
            for line in wanted
        ]
    )


def rayleigh(elements: Sequence[str], energies: np.ndarray, angle: float) -> np.ndarray:
    """Elastic scattering by `angle` [rad], (elements, energies) float64 [cm2/g/sr]."""
    return _scattering(xraylib.DCS_Rayl, elements, energies, angle)


def compton(elements: Sequence[str], energies: np.ndarray, angle: float) -> np.ndarray:
    """Inelastic scattering by `angle` [rad], electron binding included, (elements, energies) float64 [cm2/g/sr]."""
    return _scattering(xraylib.DCS_Compt, elements, energies, angle)


def compton_energy(energies: np.ndarray, angle: float) -> np.ndarray:
    """Energy after scattering by a free electron at rest, the shape of `energies` [keV] (Compton 1923)."""
    return np.asarray(energies / (1 + energies / ELECTRON * (1 - np.cos(angle))))


def compton_profile(energy: float, angle: float, at: np.ndarray) -> np.ndarray:
    """Doppler-broadened Compton peak of a photon of `energy` keV over the energies `at`; sums to 1.

    Oxygen's electrons stand for the sediment's: half its mass is oxygen, and profiles of light elements are alike.
    A shift dE belongs to the electron momentum pz = dE x mc / q with the momentum transfer q (impulse approximation).
    """
    scattered = float(compton_energy(np.array(energy), angle))
    transfer = np.sqrt(energy**2 + scattered**2 - 2 * energy * scattered * np.cos(angle))
    atomic_unit = ELECTRON / 137.036  # of momentum, in keV/c
    momentum = np.abs(at - scattered) * ELECTRON / transfer / atomic_unit
    inside = (momentum < 20) & (at < energy)  # no photon gains energy; profiles are tabulated to far beyond 20
    profile = np.zeros_like(at)
    profile[inside] = [xraylib.ComptonProfile(8, float(p)) for p in momentum[inside]]
    total = profile.sum()
    return profile / total if total > 0 else profile


def tube(
    anode: str, voltage: float, edges: np.ndarray, *, electrons: float = 90.0, photons: float = 20.0
) -> np.ndarray:
    """Bremsstrahlung of an X-ray tube in bins of energy, (bins,) float64 [photons/s/mA/sr].

    Ebel (1999), X-Ray Spectrometry 28, 255-266: Kramers' law with an exponent fitted to measured spectra, and the
    anode's self-absorption over a mean depth of production. `electrons` and `photons` are angles to the anode [degree].
    """
    z = xraylib.SymbolToAtomicNumber(anode)
    energy, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    exponent = 1.109 - 0.00435 * z + 0.00175 * voltage
    excess = np.maximum(voltage / energy - 1, 0)
    seen = _escape(anode, voltage, energy, energy, electrons, photons)
    return np.asarray(1.35e9 * z * excess**exponent * width * seen)


def tube_lines(
    anode: str, voltage: float, *, electrons: float = 90.0, photons: float = 20.0
) -> tuple[np.ndarray, np.ndarray]:
    """Characteristic lines of an X-ray tube: energies [keV] and intensities [photons/s/mA/sr], (lines,) float64 each.

    Ebel (1999) for the K shell, Ebel (2003), X-Ray Spectrometry 32, 46-51 for the L shells.
    """
    z = xraylib.SymbolToAtomicNumber(anode)
    found = []
    for line in lines([anode], voltage):
        shell, constant, electrons_in_shell, b = _shell(z, line.code)
        edge = xraylib.EdgeEnergy(z, shell)
        if edge >= voltage:
            continue
        u = voltage / edge
        ionisation = u * np.log(u) + 1 - u
        slowing = 1 + 16.05 * np.sqrt(0.0135 * z / edge) * (np.sqrt(u) * np.log(u) + 2 * (1 - np.sqrt(u))) / ionisation
        backscatter = 1 - 0.0081517 * z + 3.613e-5 * z**2 + 0.009583 * z * np.exp(-u) + 0.001141 * voltage
        made = (
            constant
            * electrons_in_shell
            * b
            / z
            * ionisation
            * slowing
            * backscatter
            * xraylib.FluorYield(z, shell)
            * _or_zero(xraylib.RadRate, z, line.code)
        )
        seen = _escape(anode, voltage, np.array([edge]), np.array([line.energy]), electrons, photons)[0]
        found.append((line.energy, made * seen))
    return np.array([e for e, _ in found]), np.array([i for _, i in found])


def silicon_escape(energies: np.ndarray) -> np.ndarray:
    """Share of events whose silicon K photon leaves the detector through its face, (energies,) float64.

    Reed and Ware (1972), J. Phys. E 5, 582, for photons that come in at right angles.
    """
    edge, line = xraylib.EdgeEnergy(14, xraylib.K_SHELL), xraylib.LineEnergy(14, xraylib.KA_LINE)
    ratio = attenuation(["Si"], np.array([line]))[0, 0] / attenuation(["Si"], energies)[0]
    jump = xraylib.JumpFactor(14, xraylib.K_SHELL)
    share = 0.5 * xraylib.FluorYield(14, xraylib.K_SHELL) * (1 - 1 / jump) * (1 - ratio * np.log(1 + 1 / ratio))
    return np.where(energies > edge, share, 0.0)


SILICON_K = float(xraylib.LineEnergy(14, xraylib.KA_LINE))
"""Energy that an escaping silicon K photon takes away [keV]."""


def _escape(
    anode: str, voltage: float, made_at: np.ndarray, energy: np.ndarray, electrons: float, photons: float
) -> np.ndarray:
    """Share of photons that leave the anode (Ebel 1999, after Love and Scott's mean depth of production)."""
    z = xraylib.SymbolToAtomicNumber(anode)
    log_z, log_u = np.log(z), np.log(np.maximum(voltage / made_at, 1 + 1e-9))
    m = 0.1382 - 0.9211 / np.sqrt(z)
    eta = voltage**m * (0.1904 - 0.2236 * log_z + 0.1292 * log_z**2 - 0.0149 * log_z**3)
    deepest = xraylib.AtomicWeight(z) / z * (0.787e-5 * np.sqrt(0.0135 * z) * voltage**1.5 + 0.735e-6 * voltage**2)
    depth = deepest * log_u * (0.49269 - 1.0987 * eta + 0.78557 * eta**2)
    depth = depth / (0.70256 - 1.09865 * eta + 1.0046 * eta**2 + log_u)
    x = 2 * depth * attenuation([anode], energy)[0] * np.sin(np.deg2rad(electrons)) / np.sin(np.deg2rad(photons))
    return np.asarray(-np.expm1(-x) / x)


def _shell(z: int, code: int) -> tuple[int, float, float, float]:
    """Shell of a line, and Ebel's constant, number of electrons and b for it."""
    if code in K_LINES:
        return xraylib.K_SHELL, 5.0e13, 2, 0.35
    correction = 1.0 if z >= 80 else -0.4814 + 0.03781 * z - 2.413e-4 * z**2
    names = {"1": (xraylib.L1_SHELL, 0.71e13 * correction), "2": (xraylib.L2_SHELL, 2.70e13 * correction)}
    which = ("333332221111")[L_LINES.index(code)]
    shell, constant = names.get(which, (xraylib.L3_SHELL, 4.94e13))
    return shell, constant, 8, 0.25


def _scattering(section: object, elements: Sequence[str], energies: np.ndarray, angle: float) -> np.ndarray:
    return np.array(
        [
            [section(xraylib.SymbolToAtomicNumber(s), float(e), angle) for e in energies]  # type: ignore[operator]
            for s in elements
        ]
    )


def _or_zero(function: object, *arguments: object) -> float:
    """xraylib raises ValueError for a line that an element does not have; here that is zero."""
    try:
        return float(function(*arguments))  # type: ignore[operator]
    except ValueError:
        return 0.0
