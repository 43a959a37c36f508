"""Spectra of one section from two scans, brought to the same positions, and the shift between the two.

Two scans rarely start at the same millimetre, nor go by the same step. The scan with the finer step is interpolated
between its two neighbours of each position of the coarser one. Where the sections lie shifted against each other, the
shift is found by letting the profiles of 24 energy bands rise and fall together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from corebank.errors import TransferError
from corebank.schema import Flag

Floats = NDArray[np.float64]

UNFIT = (
    Flag.EMPTY
    | Flag.LOW_COUNTS
    | Flag.HIGH_DEAD_TIME
    | Flag.NOT_IN_POSITION
    | Flag.SATURATED
    | Flag.AIR_GAP
    | Flag.GAIN_JUMP
    | Flag.LINE_SHIFT
    | Flag.OUTSIDE_SECTION
)
"""Spectra with one of these flags are not paired: what they differ by is not the machine."""

FEWEST = 12
"""Pairs of a section below which its shift is not looked for and the section is left out."""

STEP = 0.5
"""Shifts are tried in steps of this [mm]: half of the finest step in use."""

STRETCHES = 8
"""Parts of a section whose gains in correlation tell whether a shift is more than chance."""

CLEARLY = 1.0
"""A shift counts when its gain, averaged over the parts, is so many of its standard errors."""

LEAST, BEYOND = 0.55, 1.5
"""Least correlation of two scans of one section, absolute and relative to the largest that arises by chance. Virtual
sections of 200 to 300 mm under two heads reach 0.69 to 0.94, pairs of different ones at most 0.51; the replicates of
CD166/19 reach 0.9."""

AXES = 4
"""Principal components that are compared: carbonate, clay, iron, water. More of them are mostly counting noise."""

BAND_EDGES = np.geomspace(1.2, 20.0, 25)
"""Energy bands [keV]: Al K to Zr K, twice a detector's resolution wide and more, so that the gain does not matter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """How the second scan of a section lies on the first."""

    pairs: int
    shift: float
    """What is added to positions of the second scan to give those of the first [mm]."""

    together: float
    """Correlation of the two profiles at that shift."""

    by_chance: float
    """The largest that pairs give which are a quarter to three quarters of the section apart."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """n pairs of spectra of the same places; E energy bins."""

    first: Floats
    """(n, E) [count/s] of the machine that is mapped to, NaN where not measured."""

    second: Floats
    """(n, E) [count/s] of the machine that is mapped from."""

    first_seconds: Floats
    """(n,) [s] live time that the counting noise of `first` corresponds to."""

    second_seconds: Floats
    """(n,) [s] as for `second`."""

    section: NDArray[np.str_]
    """(n,) core and section, as ``core/section``."""

    position: Floats
    """(n,) [mm] in the section, as the first machine counts it."""

    alignments: dict[str, Alignment]
    """Section to how its scans were laid on each other."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Scan:
    """One section as one machine saw it, in order of position, one spectrum a position."""

    position: Floats
    rates: Floats
    seconds: Floats

    @property
    def step(self) -> float:
        return float(np.median(np.diff(self.position)))

    def at(self, wanted: Floats, tolerance: float) -> tuple[NDArray[np.bool_], Floats, Floats]:
        """Which of the `wanted` positions were scanned; rates (those, E) and seconds there, interpolated.

        In a hole wider than four times the tolerance, and beyond the ends, a position within the tolerance of a
        spectrum takes that one, and others were not scanned.
        """
        right = np.clip(np.searchsorted(self.position, wanted), 1, len(self.position) - 1)
        below, above = wanted - self.position[right - 1], self.position[right] - wanted
        share = np.clip(below / (below + above), 0, 1)
        alone = (below + above > 4 * tolerance) | (below < 0) | (above < 0)
        share = np.where(alone, np.round(share), share)
        near = ~alone | (np.minimum(np.abs(below), np.abs(above)) <= tolerance)
        right, share = right[near], share[near]
        rates = self.rates[right - 1] * (1 - share)[:, None] + self.rates[right] * share[:, None]
        # The mean of two spectra has the variance of one that took longer.
        seconds = 1 / ((1 - share) ** 2 / self.seconds[right - 1] + share**2 / self.seconds[right])
        return near, rates, seconds


def pair(
    first: xr.Dataset,
    second: xr.Dataset,
    *,
    tolerance: float | None = None,
    shift: float | None = None,
    reach: float = 20.0,
) -> Pairs:
    """Pair the spectra of the sections that both scans hold.

    Parameters
    ----------
    first, second
        Runs at intensity level on one energy axis, with ``core``, ``section``, ``section_position`` [mm] and
        ``live_time`` [s]. Sections are told by core and section; a single one on each side may be called differently.
    tolerance
        How far from a scanned position another may be paired [mm]; None for half a step of the finer scan. Between
        positions up to four times as far apart the finer scan is interpolated.
    shift
        What is added to the second scan's positions [mm]; None to look for it, section by section.
    reach
        Largest shift that is looked for, up or down [mm].

    Raises `TransferError` when no section is in both, or the scans of one do not rise and fall together.
    """
    here, there = _sections(first), _sections(second)
    if len(here) == len(there) == 1:
        there = dict(zip(here, there.values(), strict=True))
    both = sorted(here.keys() & there.keys())
    if not both:
        raise TransferError(
            "transfer",
            f"no section was scanned twice: {', '.join(sorted(here)[:8])} against {', '.join(sorted(there)[:8])}",
            "Give two scans of the same section, with its core and section named alike in contribution.toml",
        )
    parts, alignments = [], {}
    for section in both:
        one, other = _scan(first, here[section]), _scan(second, there[section])
        if min(len(one.position), len(other.position)) < FEWEST:
            continue
        aligned = _align(section, one, other, first["energy"].values, tolerance, shift, reach)
        if aligned is None:
            continue
        alignments[section] = aligned
        parts.append((section, *_together(one, other, tolerance, aligned.shift)))
    if not parts:
        counts = ", ".join(f"{name} {len(here[name])} and {len(there[name])}" for name in both[:8])
        raise TransferError(
            "transfer", f"no section has {FEWEST} pairs of spectra ({counts})", "Scan a longer stretch on both machines"
        )
    return Pairs(
        first=np.concatenate([part[1] for part in parts]),
        second=np.concatenate([part[2] for part in parts]),
        first_seconds=np.concatenate([part[3] for part in parts]),
        second_seconds=np.concatenate([part[4] for part in parts]),
        section=np.concatenate([np.full(len(part[5]), part[0]) for part in parts]),
        position=np.concatenate([part[5] for part in parts]),
        alignments=alignments,
    )


def _sections(spectra: xr.Dataset) -> dict[str, NDArray[np.intp]]:
    """Each section's usable spectra, as their rows."""
    rows = spectra.sizes["spectrum"]
    flags = spectra["flags"].values if "flags" in spectra else np.zeros(rows, np.uint32)
    fit = ((flags & int(UNFIT)) == 0) & np.isfinite(spectra["section_position"].values)
    fit &= spectra["live_time"].values > 0
    core, section = (spectra[name].values.astype(str) for name in ("core", "section"))
    names = np.array([f"{one}/{part}" for one, part in zip(core, section, strict=True)], dtype=np.str_)
    return {str(name): np.flatnonzero(fit & (names == name)) for name in np.unique(names[fit])}


def _scan(spectra: xr.Dataset, rows: NDArray[np.intp]) -> _Scan:
    """The spectra at `rows` in order of position; those at one position are averaged."""
    seconds = spectra["live_time"].values[rows].astype(np.float64)
    places, which = np.unique(spectra["section_position"].values[rows].round(6), return_inverse=True)
    counts = np.zeros((len(places), spectra.sizes["energy"]))
    np.add.at(counts, which, spectra["intensity"].isel(spectrum=rows).values * seconds[:, None])
    total: Floats = np.bincount(which, seconds).astype(np.float64)
    return _Scan(position=places, rates=counts / total[:, None], seconds=total)


def _together(
    first: _Scan, second: _Scan, tolerance: float | None, shift: float
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Rates, rates, seconds, seconds, positions of the pairs: the finer scan is interpolated onto the coarser one."""
    if tolerance is None:
        tolerance = min(first.step, second.step) / 2
    if first.step <= second.step:
        wanted = second.position + shift
        near, rates, seconds = first.at(wanted, tolerance)
        return rates, second.rates[near], seconds, second.seconds[near], wanted[near]
    near, rates, seconds = second.at(first.position - shift, tolerance)
    return first.rates[near], rates, first.seconds[near], seconds, first.position[near]


def _align(
    section: str,
    first: _Scan,
    second: _Scan,
    energy: Floats,
    tolerance: float | None,
    shift: float | None,
    reach: float,
) -> Alignment | None:
    """How the second scan lies on the first; None with too few pairs to say."""
    one, other = _profiles(first, second, energy)
    scale = float(np.sqrt(np.square(one).sum(axis=1).mean() * np.square(other).sum(axis=1).mean()))
    first = _Scan(position=first.position, rates=one, seconds=first.seconds)
    second = _Scan(position=second.position, rates=other, seconds=second.seconds)

    def agreement(moved: float) -> tuple[Floats, Floats, Floats]:
        """What each pair adds to the correlation at this shift, and the profiles of the pairs."""
        here, there = _together(first, second, tolerance, moved)[:2]
        return (here * there).sum(axis=1) / (scale or 1.0), here, there

    best = _best(lambda moved: agreement(moved)[0], reach, min(first.step, second.step)) if shift is None else shift
    pairs, here, there = agreement(best)
    together, count = float(pairs.mean()) if len(pairs) else 0.0, len(here)
    if count < FEWEST:
        return None
    rolls = range(count // 4, count - count // 4 + 1)
    chance = max(float((here * np.roll(there, roll, axis=0)).sum(axis=1).mean()) for roll in rolls) / (scale or 1.0)
    if together < max(LEAST, BEYOND * chance):
        raise TransferError(
            section,
            f"the two scans do not rise and fall together (correlation {together:.2f} at a shift of {best:g} mm; "
            f"stretches that do not belong together reach {chance:.2f})",
            "Make sure that both are scans of this section; scan a longer stretch of it, or give a larger --reach",
        )
    if shift is None and abs(best) > reach - STEP:
        raise TransferError(
            section, f"the scans fit best at the end of what was tried, {best:g} mm", "Give a larger --reach"
        )
    return Alignment(pairs=count, shift=best, together=together, by_chance=chance)


def _best(agreement: Callable[[float], Floats], reach: float, step: float) -> float:
    """The shift [mm] at which the pairs agree best, or 0 where that is not better by more than chance.

    Interpolation between positions flattens profiles, least where positions meet again. That ripple has the period of
    the finer scan's `step` [mm], and averaging over one takes it out.
    """
    half = max(1, round(step / STEP / 2))
    tried = STEP * np.arange(-round(reach / STEP) - half, round(reach / STEP) + half + 1)
    means = np.array([float(one.mean()) if len(one := agreement(float(moved))) >= FEWEST else -1.0 for moved in tried])
    weights = np.ones(2 * half + 1)
    weights[[0, -1]] = 0.5
    level = np.convolve(means, weights / weights.sum(), mode="valid")
    best = float(tried[half:-half][np.argmax(level)])
    gains = [
        float(one.mean() - other.mean())
        for one, other in zip(
            np.array_split(agreement(best), STRETCHES), np.array_split(agreement(0.0), STRETCHES), strict=True
        )
    ]
    return best if np.mean(gains) > CLEARLY * np.std(gains, ddof=1) / np.sqrt(STRETCHES) else 0.0


def _profiles(first: _Scan, second: _Scan, energy: Floats) -> tuple[Floats, Floats]:
    """Both scans as (positions, `AXES`): what varies most of the logarithms of their bands, brightness taken out.

    Each band is standardised on each side, which takes out what the machines differ by. The profiles are compared by
    their products, not by their differences: interpolation averages noise away, and would make every shift by half a
    step look better than none.
    """
    edges = np.searchsorted(energy, BAND_EDGES)
    sides = []
    for scan in (first, second):
        total = np.concatenate([np.zeros((len(scan.rates), 1)), np.cumsum(np.nan_to_num(scan.rates), axis=1)], axis=1)
        logarithms = np.log(np.diff(total[:, edges], axis=1) + 1 / scan.seconds[:, None])
        logarithms -= logarithms.mean(axis=1, keepdims=True)
        spread = logarithms.std(axis=0)
        sides.append((logarithms - logarithms.mean(axis=0)) / np.where(spread > 0, spread, 1.0))
    _, _, axes = np.linalg.svd(np.concatenate(sides), full_matrices=False)
    return sides[0] @ axes[:AXES].T, sides[1] @ axes[:AXES].T
