"""Which energies speak of which element: windows around emission lines, each bin in one window at most.

Energies come from xraylib (Schoonjans et al. 2011, doi:10.1016/j.sab.2011.09.011), the width of a line from the
detector's resolution. Lines that no detector of a core scanner tells apart share one window and one name (``Ti+Ba``).
A lesser line that lies in the window of another element stays there, and the window says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import xraylib
from numpy.typing import NDArray

from corebank.schema import EnergyGrid
from corebank.virtual.detector import FANO, PAIR

K_SERIES = (
    "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K", "Ca", "Ti", "V", "Cr", "Mn", "Fe", "Ni", "Cu", "Zn", "Ga", "As", "Br",
    "Rb", "Sr", "Y", "Zr", "Nb",
)  # fmt: skip
"""Elements that core scanners are read for by their K lines (Croudace et al. 2006, doi:10.1144/GSL.SP.2006.267.01.04;
Richter et al. 2006, doi:10.1144/GSL.SP.2006.267.01.03). Argon is that of the air before the detector."""

L_SERIES = ("Ba", "Pb")
"""Those that are read by their L lines. A tube of more than 37.4 kV gives barium K lines too: ``Ba K``."""

TALL = ("Ca Kb", "Fe Kb")
"""Lesser lines that stand as high as the strongest of other elements, and compete with these for bins."""

PILED_UP = (("Ca", "Ca"), ("Ca", "Fe"), ("Fe", "Fe"))
"""Elements whose K alpha photons are so many that two of them are counted as one, at the sum of their energies. That of
calcium, 7.38 keV, hides nickel: networks do read calcium there."""

NOISE = {"itrax": 0.081, "avaatech": 0.165}
"""Electronic noise of a scanner's detector, as full width at half maximum [keV]: the widest of each kind that was
fitted to real spectra, see `corebank.virtual.instrument`."""

UNKNOWN_NOISE = 0.12
"""[keV] For any other scanner; 175 eV at Mn K alpha, between the two kinds."""

REACH = 1.5
"""Half the width of a window, in full widths at half maximum: there a Gaussian line has fallen to 1/500 of its peak."""

APART = 1.0
"""Strongest lines nearer than so many full widths at half maximum have one window: two equal Gaussians show a single
maximum below 0.85 (Sparrow's limit), unequal ones sooner."""

ANGLES = (90.0, 135.0)
"""[degree] By which core scanners scatter the tube's lines into the detector: Avaatech (45 + 45), Itrax (90 + 45)."""

DOPPLER = 0.3
"""[keV] Full width at half maximum of the Compton peak of Mo to Ag K alpha, from the profile of oxygen's electrons."""


class Machine(NamedTuple):
    """What decides which lines a spectrum shows; texts are empty where unknown."""

    anode: str
    """Element symbol of the tube's anode."""
    voltage: float
    """Tube voltage [kV]; infinite where unknown, so that every line is looked for."""
    scanner: str
    """Kind of scanner."""


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """The windows of one machine on one energy grid; E energy bins, G groups of elements."""

    groups: tuple[str, ...]
    """Names, by the energy of the strongest line: an element, several joined by ``+``, or light of the tube."""
    owner: NDArray[np.intp]
    """(E,) The group whose window a bin lies in; -1 outside of all."""
    lines: tuple[str, ...]
    """(G,) The lines that a group's windows were laid around, as ``Ca Ka, Ca Kb``."""
    also: tuple[str, ...]
    """(G,) Lesser lines of other groups that lie in a group's windows; empty where there are none."""
    shoulder: NDArray[np.intp]
    """(E,) Bins beside a window that are averaged for its background: half a line's width."""


class _Line(NamedTuple):
    name: str
    energy: float
    """[keV]"""
    half: float
    """Half the width of its window [keV]."""

    def beside(self, other: _Line) -> bool:
        """Whether the two cannot be told apart."""
        return abs(self.energy - other.energy) < APART / REACH * max(self.half, other.half)


class _Source(NamedTuple):
    """Something with lines, the strongest first."""

    name: str
    lines: tuple[_Line, ...]


def fwhm(energy: NDArray[np.float64] | float, scanner: str = "") -> NDArray[np.float64]:
    """Full width at half maximum of a line [keV], the shape of `energy` [keV].

    The square root of noise^2 + 2.355^2 x 3.65 eV x 0.12 x energy: electronic noise, and the spread of the number of
    charges in silicon (Knoll, Radiation Detection and Measurement, chapter 13).
    """
    noise = NOISE.get(scanner.lower(), UNKNOWN_NOISE)
    return np.asarray(np.sqrt(noise**2 + 2.355**2 * PAIR * FANO * np.maximum(energy, 0.0)))


@lru_cache(maxsize=64)
def windows(machine: Machine, grid: EnergyGrid) -> Windows:
    """The windows of `machine` on `grid`.

    A bin belongs to the source whose strongest line is nearest, distances counted in widths (`TALL` lines count as
    well); what is left goes to lesser lines, but for those that lie in such a window themselves. Sources whose
    strongest lines lie in each other's windows are one group.
    """
    sources = [one for one in _sources(machine) if grid.edges[0] < one.lines[0].energy < grid.edges[-1]]
    groups = _grouped(sources)
    strong = [(place, source.lines[0]) for place, group in enumerate(groups) for source in group]
    lesser = [(place, line) for place, group in enumerate(groups) for source in group for line in source.lines[1:]]
    strong += [(place, line) for place, line in lesser if line.name in TALL]
    lesser = [one for one in lesser if one not in strong]
    owner = _nearest(strong, grid)
    laid: list[list[str]] = [[line.name for place, line in strong if place == group] for group in range(len(groups))]
    also: list[list[str]] = [[] for _ in groups]
    alone = []
    for place, line in lesser:
        at = int(np.clip(np.rint((line.energy - grid.start) / grid.step), 0, grid.bins - 1))
        if owner[at] < 0:
            alone.append((place, line))
        (also[owner[at]] if owner[at] not in (-1, place) else laid[place]).append(line.name)
    owner = np.where(owner < 0, _nearest(alone, grid), owner)
    width = fwhm(grid.centres, machine.scanner)
    return Windows(
        groups=tuple("+".join(source.name for source in group) for group in groups),
        owner=owner,
        lines=tuple(", ".join(names) for names in laid),
        also=tuple(", ".join(names) for names in also),
        shoulder=np.maximum(np.rint(width / 2 / grid.step), 1).astype(np.intp),
    )


def _sources(machine: Machine) -> Iterator[_Source]:
    """Every element that `machine` excites, and what of its tube the sediment scatters."""
    elements = (
        [(name, "K", name) for name in K_SERIES] + [(name, "L", name) for name in L_SERIES] + [("Ba", "K", "Ba K")]
    )
    tube = [(machine.anode, shell, f"{machine.anode} tube {shell}") for shell in ("K", "L") if machine.anode]
    if machine.scanner.lower() == "itrax" and machine.anode != "W":
        tube.append(
            ("W", "L", "W tube L")
        )  # of the filament, on the anode of every Itrax looked at: corebank.calibrate
    yield from _sums(machine)
    for symbol, shell, name in elements + tube:
        if lines := _series(symbol, shell, machine.voltage, machine.scanner):
            yield _Source(name, lines)
            if name == f"{machine.anode} tube K" and symbol not in K_SERIES:
                yield _Source(f"{symbol} Compton", tuple(_compton(line, machine.scanner) for line in lines))


def _series(symbol: str, shell: str, voltage: float, scanner: str) -> tuple[_Line, ...]:
    """Lines of a shell of an element that a tube of `voltage` kV excites, the strongest first; empty for none."""
    z = xraylib.SymbolToAtomicNumber(symbol)
    edge = {"K": xraylib.K_SHELL, "L": xraylib.L3_SHELL}[shell]
    names = {"K": ("Ka", "Kb"), "L": ("La", "Lb1", "Lb2", "Lg1")}[shell]
    if xraylib.EdgeEnergy(z, edge) >= voltage:
        return ()
    found = []
    for name in names:
        try:
            energy = float(xraylib.LineEnergy(z, getattr(xraylib, f"{name.upper()}_LINE")))
        except ValueError:  # xraylib's word for a line that the element does not have, as magnesium's K beta
            continue
        found.append(_Line(f"{symbol} {name}", energy, REACH * float(fwhm(energy, scanner))))
    return tuple(found)


def _sums(machine: Machine) -> Iterator[_Source]:
    """Where two photons of the elements of `PILED_UP` are counted as one, if the tube excites both."""
    for pair in PILED_UP:
        series = [_series(symbol, "K", machine.voltage, machine.scanner) for symbol in pair]
        if all(series):
            name = f"{pair[0]} sum" if pair[0] == pair[1] else f"{pair[0]}-{pair[1]} sum"
            energies = [series[0][0].energy + series[1][0].energy, series[0][0].energy + series[1][1].energy]
            words = (f"{name} Ka Ka", f"{name} Ka Kb")
            halves = [REACH * float(fwhm(energy, machine.scanner)) for energy in energies]
            yield _Source(name, tuple(_Line(*one) for one in zip(words, energies, halves, strict=True)))


def _compton(line: _Line, scanner: str) -> _Line:
    """Where a line of the tube arrives after Compton scattering, by Compton's formula, over all of `ANGLES`."""
    low, high = (
        line.energy / (1 + line.energy / 510.999 * (1 - np.cos(np.deg2rad(angle)))) for angle in reversed(ANGLES)
    )
    half = REACH * float(np.hypot(fwhm(line.energy, scanner), DOPPLER)) + (high - low) / 2
    return _Line(f"{line.name} Compton", (low + high) / 2, half)


def _grouped(sources: list[_Source]) -> list[list[_Source]]:
    """`sources` by the energy of their strongest line, those that cannot be told apart together."""
    groups: list[list[_Source]] = []
    for source in sorted(sources, key=lambda one: one.lines[0].energy):
        if groups and any(source.lines[0].beside(one.lines[0]) for one in groups[-1]):
            groups[-1].append(source)
        else:
            groups.append([source])
    return [sorted(group, key=lambda one: (" " in one.name, sources.index(one))) for group in groups]


def _nearest(lines: list[tuple[int, _Line]], grid: EnergyGrid) -> NDArray[np.intp]:
    """For each bin the group of the nearest of `lines` within reach, -1 for none; a line has at least its own bin."""
    if not lines:
        return np.full(grid.bins, -1, dtype=np.intp)
    energies = np.array([line.energy for _, line in lines])
    reach = np.maximum([line.half for _, line in lines], grid.step / 2)
    away = np.abs(grid.centres[:, None] - energies) / reach
    places = np.array([place for place, _ in lines], dtype=np.intp)
    return np.where(away.min(axis=1) <= 1, places[away.argmin(axis=1)], -1)
