"""Windows stand where physics puts the lines; what no detector can tell apart shares one, and says so."""

from __future__ import annotations

import numpy as np
import pytest
import xraylib
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corebank.explain.lines import REACH, Machine, fwhm, windows
from corebank.schema import EnergyGrid
from corebank.virtual import INSTRUMENTS, detector

GRID = EnergyGrid()
ITRAX, AVAATECH = Machine("Mo", 30.0, "itrax"), Machine("Rh", 10.0, "avaatech")
MACHINES = st.builds(
    Machine,
    st.sampled_from(["Mo", "Rh", "Cr", "Ag", "W", ""]),
    st.sampled_from([np.inf]) | st.floats(4, 60),
    st.sampled_from(["itrax", "avaatech", "geotek", ""]),
)


def energy(symbol: str, line: str) -> float:
    return float(xraylib.LineEnergy(xraylib.SymbolToAtomicNumber(symbol), getattr(xraylib, f"{line}_LINE")))


def holder(machine: Machine, kev: float) -> str:
    """The group whose window an energy lies in."""
    here = windows(machine, GRID)
    return here.groups[here.owner[round(kev / GRID.step)]]


@given(MACHINES, st.sampled_from([GRID, EnergyGrid(step=0.04, bins=256), EnergyGrid(start=-0.3, step=0.01, bins=1024)]))
@settings(deadline=None, max_examples=25)
def test_every_group_has_a_window_and_every_bin_of_it_a_line_near_by(machine: Machine, grid: EnergyGrid) -> None:
    here = windows(machine, grid)
    assert set(here.owner) - {-1} == set(range(len(here.groups)))
    assert len(set(here.groups)) == len(here.groups)
    for place, words in enumerate(here.lines):
        own = grid.centres[here.owner == place]
        lines = [word.split() for word in words.split(", ")]
        if any(word[-1] == "Compton" or "sum" in word for word in lines):
            continue
        known = np.array([energy(symbol, name.upper()) for symbol, name in lines])
        reach = np.maximum(REACH * fwhm(known, machine.scanner), grid.step / 2)
        assert (np.abs(own[:, None] - known) <= reach + 1e-9).any(axis=1).all()


@given(MACHINES)
@example(AVAATECH)
@settings(deadline=None, max_examples=20)
def test_no_element_is_looked_for_that_the_tube_does_not_excite(machine: Machine) -> None:
    names = {word for group in windows(machine, GRID).groups for word in group.split("+")}
    for symbol in ("K", "Ca", "Fe", "Br", "Sr", "Zr"):
        edge = xraylib.EdgeEnergy(xraylib.SymbolToAtomicNumber(symbol), xraylib.K_SHELL)
        assert (symbol in names) == (edge < machine.voltage)


@pytest.mark.parametrize(
    ("machine", "kev", "group"),
    [
        (ITRAX, energy("Ca", "KA"), "Ca"),
        (ITRAX, energy("Ca", "KB"), "Ca"),
        (ITRAX, energy("Fe", "KB"), "Fe"),
        (ITRAX, energy("Ba", "LA"), "Ti+Ba"),
        (ITRAX, energy("S", "KA"), "S+Mo tube L"),
        (ITRAX, energy("Ni", "KA"), "Ni+Ca sum"),
        (ITRAX, energy("W", "LA"), "W tube L"),
        (ITRAX, energy("Pb", "LA"), "As+Pb"),
        (ITRAX, 16.48, "Nb+Mo Compton"),
        (ITRAX, energy("Mo", "KA"), "Mo tube K"),
        (AVAATECH, energy("Cl", "KA"), "Cl+Rh tube L"),
        (AVAATECH, 2 * energy("Ca", "KA"), "Ni+Ca sum"),
        (Machine("Rh", 50.0, "avaatech"), energy("Ba", "KA"), "Ba K"),
    ],
)
def test_energies_belong_to_whom_they_should(machine: Machine, kev: float, group: str) -> None:
    assert holder(machine, kev) == group


def test_a_window_says_which_lines_of_others_it_holds() -> None:
    here = windows(ITRAX, GRID)
    also = dict(zip(here.groups, here.also, strict=True))
    assert "Ti Kb" in also["V"]
    assert also["Ca"] == "K Kb"
    assert also["Sr"] == ""


def test_a_line_is_as_wide_as_in_the_detectors_that_were_fitted_to_real_spectra() -> None:
    kev = np.array([1.74, 3.69, 6.4, 14.16])
    for name, instrument in INSTRUMENTS.items():
        fitted = detector.fwhm(instrument, kev)
        assert (fwhm(kev, instrument.kind) / fitted < 1.35).all(), name
        assert (fwhm(kev, instrument.kind) >= fitted).all(), name
    assert 0.14 < fwhm(5.895, "itrax") < fwhm(5.895) < fwhm(5.895, "avaatech") < 0.21
