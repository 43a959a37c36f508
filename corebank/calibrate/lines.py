"""The energy axis from the spectra themselves: peaks found without a guess, matched with emission lines.

Sediment spectra show the K lines of potassium to iron, often of strontium to zirconium, and the tube's own lines,
scattered by the sample. Peaks are found at several widths (the width in channels is unknown as long as the gain is),
every pair of gain and offset that a detector can have is tried on a grid, and the best is refined by robust least
squares. Where too few lines fit, or another axis fits nearly as well, there is no answer rather than a wrong one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import xraylib

from corebank.errors import CalibrationError

GAINS = (0.004, 0.05)
"""Energy width of a channel that is tried [keV]; core scanners and benchtop instruments have 0.008 to 0.02."""

OFFSETS = (-0.5, 0.3)
"""Energy of the first channel that is tried [keV]; real ones are -0.4 to 0.1."""

_ELEMENTS = {
    "Al": 0.3, "Si": 0.6, "P": 0.1, "S": 0.3, "Cl": 0.4, "Ar": 0.5, "K": 0.8, "Ca": 1.0, "Ti": 0.8, "V": 0.1, "Cr": 0.2,
    "Mn": 0.6, "Fe": 1.0, "Ni": 0.3, "Cu": 0.3, "Zn": 0.4, "Br": 0.4, "Rb": 0.6, "Sr": 0.7, "Y": 0.2, "Zr": 0.6,
}  # fmt: skip
"""Element -> how much its K alpha is to be expected in a sediment, from nothing to 1: a judgement, after the areas in
the result tables of CD166/19 and Ardley Lake."""

_TUNGSTEN = (("W La", xraylib.LA_LINE), ("W Lb", xraylib.LB_LINE))
"""Lines of the filament's tungsten on the anode: found in every Itrax run looked at."""

_COMPTON = {"Mo": 16.48, "Rh": 18.9, "Ag": 20.6}
"""Energy of the K alpha line of an anode after Compton scattering by about 140 degrees [keV], where the scattered peak
of CD166/19 and Ardley Lake stands; too broad to be exact, so it helps to find an axis and does not refine it."""

ANODES = ("Mo", "Rh", "Cr", "Ag", "W")
"""Anodes of the tubes in use."""

FEWEST = 5
"""Lines that must fit before an axis is believed: two numbers are fitted, and chance fits three."""

BELIEVED = 0.36
"""Least score of an axis. 28 runs of three real and three virtual machines reach 0.31 (a set of pure metal plates) to
0.68 (the mean of 55,211 spectra); peaks at random places reach 0.32."""

RUNNER_UP = 0.8
"""An axis whose best rival scores a larger share of its own score is ambiguous: real ones have 0.45 to 0.76."""

NEAR = 0.04
"""A line counts as seen when a peak lies within this distance [keV]."""

TOLERANCE = 0.03
"""Energy by which an axis may be wrong at 3.7 or 6.4 keV (Ca and Fe K alpha) before its lines contradict it [keV]; a
fifth of a detector's resolution, and more than any of the real runs is off."""


@dataclass(frozen=True, slots=True)
class Line:
    """One emission line and the peak that was taken for it."""

    name: str
    energy: float
    """[keV], after xraylib."""
    channel: float
    """Of the peak's centre, from 0."""
    residual: float
    """Peak less line [eV]."""


@dataclass(frozen=True, slots=True)
class Fit:
    """An energy axis fitted to lines."""

    gain: float
    """[keV per channel]"""
    offset: float
    """[keV at the centre of channel 0]"""
    gain_error: float
    """One standard deviation [keV per channel]."""
    offset_error: float
    """One standard deviation [keV]."""
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a given energy axis stands against the lines."""

    verdict: Literal["agrees", "contradicted", "unchecked"]
    lines: tuple[Line, ...]
    """Lines found, with the residual that the given axis leaves them."""
    about: str
    """A sentence for people."""


@lru_cache(maxsize=16)
def candidates(anode: str, voltage: float) -> tuple[tuple[str, float, float], ...]:
    """Lines that a sediment shows under a tube: (name, energy [keV], expectation), below the tube voltage."""
    out = []
    for symbol, weight in _ELEMENTS.items():
        z = xraylib.SymbolToAtomicNumber(symbol)
        out.append((f"{symbol} Ka", _energy(z, xraylib.KA_LINE), weight))
        if symbol in ("K", "Ca", "Ti", "Fe", "Mn"):
            out.append((f"{symbol} Kb", _energy(z, xraylib.KB_LINE), 0.5 * weight))
    if anode:
        z = xraylib.SymbolToAtomicNumber(anode)
        for name, line in (("Ka", xraylib.KA_LINE), ("Kb", xraylib.KB_LINE)):
            if _energy(z, xraylib.KA_LINE) < voltage - 2:
                out.append((f"{anode} {name}", _energy(z, line), 0.8))
        if anode in ("Rh", "Mo", "Ag"):
            out.append((f"{anode} La", _energy(z, xraylib.LA_LINE), 0.7))
    out += [(name, _energy(74, line), 0.2) for name, line in _TUNGSTEN]
    if anode in _COMPTON:
        out.append((f"{anode} Compton", _COMPTON[anode], 0.6))
    out = [one for one in out if one[1] < voltage - 0.2]
    if voltage < 12:  # nothing else stands up there: two iron photons counted as one
        out.append(("Fe Ka sum", 2 * _energy(26, xraylib.KA_LINE), 0.5))
    return tuple(out)


def _energy(z: int, line: int) -> float:
    return float(xraylib.LineEnergy(z, line))


def peaks(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres (from 0) and significances of the peaks of a spectrum, the surest first; counts (channel,) [count]."""
    counts = np.asarray(counts, dtype=np.float64)
    best = np.zeros(counts.size)
    width = np.zeros(counts.size)
    cumulative = np.concatenate([[0.0], np.cumsum(counts)])
    for half in (2, 3, 4, 6, 8, 11):
        if counts.size < 8 * half:
            continue
        inner, outer = 2 * half + 1, 2 * half
        at = np.arange(3 * half, counts.size - 3 * half)
        middle = cumulative[at + half + 1] - cumulative[at - half]
        sides = (cumulative[at - half] - cumulative[at - half - half]) + (
            cumulative[at + 2 * half + 1] - cumulative[at + half + 1]
        )
        excess = middle - sides * inner / outer
        noise = np.sqrt(np.maximum(middle + sides * (inner / outer) ** 2, 1.0))
        sure = excess / noise
        better = sure > best[at]
        best[at[better]] = sure[better]
        width[at[better]] = half
    top = np.flatnonzero((best[1:-1] >= best[:-2]) & (best[1:-1] > best[2:]) & (best[1:-1] > 8)) + 1
    kept: list[int] = []
    for one in top[np.argsort(-best[top])]:
        if all(abs(one - other) > 1.2 * max(width[one], width[other]) for other in kept):
            kept.append(int(one))
    centres = np.array([_centre(counts, one, int(width[one])) for one in kept])
    return centres, best[kept]


def _centre(counts: np.ndarray, at: int, half: int) -> float:
    """Centre of gravity of the upper half of the peak, above the line between its feet."""
    low, high = max(at - half, 0), min(at + half, counts.size - 1)
    near = np.arange(low, high + 1)
    smooth = np.convolve(counts, np.ones(3) / 3, mode="same")[near]
    top = int(near[np.argmax(smooth)])
    if 2 <= top < counts.size - 2:
        values = np.log(
            np.maximum(
                [counts[top - 2 : top + 1].sum(), counts[top - 1 : top + 2].sum(), counts[top : top + 3].sum()], 1.0
            )
        )
        bend = values[0] - 2 * values[1] + values[2]
        if bend < 0:
            return top + float(np.clip(0.5 * (values[0] - values[2]) / bend, -1, 1))
    return float(top)


def find(counts: np.ndarray, anode: str, voltage: float) -> Fit:
    """Fit the energy axis of a detector to the lines in a spectrum.

    Parameters
    ----------
    counts
        (channel,) [count]; the sum of a run is best.
    anode
        Element symbol of the tube's anode; empty when unknown, then each of `ANODES` is tried.
    voltage
        Tube voltage [kV]; NaN when unknown.

    Raises `CalibrationError` when fewer than `FEWEST` lines fit, or another axis fits nearly as well.
    """
    centres, sure = peaks(counts)
    if centres.size < FEWEST:
        raise _unfit(f"{centres.size} sure peaks in the spectra are too few to fit an energy axis to")
    ceiling = voltage if np.isfinite(voltage) and voltage > 5 else 60.0
    tried = [(_search(centres[:24], sure[:24], one, ceiling), one) for one in ([anode] if anode else ("", *ANODES))]
    (score, rival, gain, offset), tube = max(tried, key=lambda one: one[0][0])
    if score < BELIEVED or rival > RUNNER_UP * score:
        raise _unfit(f"{centres.size} peaks fit no energy axis better than any other")
    return _refined(centres, candidates(tube, ceiling), gain, offset)


def check(counts: np.ndarray, gain: float, offset: float, anode: str, voltage: float) -> Verdict:
    """Hold a given energy axis against the lines in a spectrum.

    ``agrees``: it puts the lines where they are; ``contradicted``: another axis, with at least `FEWEST` lines, does and
    this one does not; ``unchecked``: the spectrum shows too few sure lines to tell.
    """
    try:
        fit = _near(counts, gain, offset, anode, voltage) or find(counts, anode, voltage)
    except CalibrationError as error:
        return Verdict("unchecked", (), error.found)
    # The channels in which Ca and Fe K alpha stand, and what the given axis says of them.
    apart = max(abs(gain * (energy - fit.offset) / fit.gain + offset - energy) for energy in (3.69, 6.40))
    lines = tuple(
        Line(line.name, line.energy, line.channel, 1000 * (gain * line.channel + offset - line.energy))
        for line in fit.lines
    )
    if apart <= TOLERANCE:
        return Verdict("agrees", lines, f"{len(lines)} lines agree")
    worst = max(lines, key=lambda line: abs(line.residual))
    return Verdict(
        "contradicted",
        lines,
        f"{worst.name} ({worst.energy:.2f} keV) would stand at {worst.energy + worst.residual / 1000:.2f} keV; "
        f"{len(lines)} lines fit {fit.gain:.6g} keV per channel from {fit.offset:.3g} keV",
    )


def _near(counts: np.ndarray, gain: float, offset: float, anode: str, voltage: float) -> Fit | None:
    """The axis at or beside a given one, where that alone scores well enough: no search of all axes is needed then."""
    centres, sure = peaks(counts)
    ceiling = voltage if np.isfinite(voltage) and voltage > 5 else 60.0
    if centres.size < FEWEST or not GAINS[0] <= gain <= GAINS[1]:
        return None
    score = _score(centres[:24], sure[:24], anode, ceiling, np.array([gain]), np.array([offset]))[0, 0]
    try:
        return _refined(centres, candidates(anode, ceiling), gain, offset) if score >= BELIEVED else None
    except CalibrationError:
        return None


def _search(centres: np.ndarray, sure: np.ndarray, anode: str, ceiling: float) -> tuple[float, float, float, float]:
    """Score of the best gain and offset, score of the best with another gain, and the best gain and offset.

    The score is the mean over peaks, weighted by the logarithm of their significance, of how much a line is expected
    where the peak would lie: 1 where every peak lies on a line that every sediment has.
    """
    gains = np.exp(np.arange(np.log(GAINS[0]), np.log(GAINS[1]), 0.0015))
    offsets = np.arange(OFFSETS[0], OFFSETS[1] + 1e-9, 0.01)
    scores = _score(centres, sure, anode, ceiling, gains, offsets)
    row, column = np.unravel_index(int(np.argmax(scores)), scores.shape)
    others = np.abs(gains / gains[row] - 1) > 0.02
    return float(scores[row, column]), float(scores[others].max()), float(gains[row]), float(offsets[column])


def _score(
    centres: np.ndarray, sure: np.ndarray, anode: str, ceiling: float, gains: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """The score of each gain with each offset, (gain, offset)."""
    axis = np.arange(-1.0, 70.0, _FINE)
    expected = np.zeros(axis.size)
    for _, energy, weight in candidates(anode, ceiling):
        near = slice(*np.searchsorted(axis, [energy - 0.15, energy + 0.15]))
        expected[near] = np.maximum(expected[near], weight * np.exp(-0.5 * ((axis[near] - energy) / 0.03) ** 2))
    weights = np.log(sure / 4) / np.log(sure / 4).sum()
    energies = offsets[None, :, None] + gains[:, None, None] * centres[None, None, :]
    bins = np.clip(((energies + 1.0) / _FINE + 0.5).astype(np.int32), 0, axis.size - 1)
    return np.asarray(expected[bins] @ weights)


_FINE = 0.005
"""Step of the axis on which lines are looked up [keV]."""


def _refined(centres: np.ndarray, known: tuple[tuple[str, float, float], ...], gain: float, offset: float) -> Fit:
    """Least squares over the peaks that lie near a line, the far ones dropped as the axis becomes better known."""
    names = [line for line in known if not line[0].endswith(("Compton", "sum"))]
    energies = np.array([line[1] for line in names])
    for near in (0.08, 0.06, NEAR, NEAR):
        at = gain * centres + offset
        line = np.argmin(np.abs(at[:, None] - energies[None, :]), axis=1)
        hit = np.flatnonzero(np.abs(at - energies[line]) < near)
        hit = np.array([one for one in hit if one == hit[line[hit] == line[one]][0]], dtype=np.intp)  # the surest peak
        if hit.size < FEWEST:
            raise _unfit(f"{hit.size} lines fit, fewer than {FEWEST}")
        design = np.stack([centres[hit], np.ones(hit.size)], axis=1)
        weight = 1 / np.maximum(
            np.abs(at[hit] - energies[line[hit]]), 0.005
        )  # nearer to absolute than to squared error
        (gain, offset), *_ = np.linalg.lstsq(design * np.sqrt(weight)[:, None], energies[line[hit]] * np.sqrt(weight))
    residual = design @ [gain, offset] - energies[line[hit]]
    spread = float(residual @ residual) / max(hit.size - 2, 1)
    errors = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * spread)
    found = [
        Line(
            names[line[one]][0],
            float(energies[line[one]]),
            float(centres[one]),
            1000 * float(gain * centres[one] + offset - energies[line[one]]),
        )
        for one in hit
    ]
    found.sort(key=lambda one: one.energy)
    return Fit(float(gain), float(offset), float(errors[0]), float(errors[1]), tuple(found))


def _unfit(found: str) -> CalibrationError:
    return CalibrationError("the lines in the spectra", found, "Give the calibration in contribution.toml")
