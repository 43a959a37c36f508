"""How near mapped spectra come to those of the other machine, on stretches that the mapping was not learnt from.

Nearness is the root mean square of the difference of logarithms of the rates in bands of 0.1 keV: 0.10 means that a
band is typically off by a tenth. Counting noise puts a floor under it, which is told beside it. Whole sections are held
out where there are at least three, else stretches of depth; never single spectra. The form of the mapping and its ridge
are chosen again for each held-out part, by holding out parts of the rest, so that nothing is chosen by what is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from corebank.errors import TransferError
from corebank.transfer import mapping as mappings
from corebank.transfer.mapping import FORMS, RIDGES, Fitter, Form
from corebank.transfer.pairing import Pairs

Floats = NDArray[np.float64]

BAND = 0.1
"""Width of a band [keV], below the resolution of detectors (0.13 to 0.2 keV)."""

FEWEST_COUNTS = 20
"""Mean counts of a band, on both machines, below which it is not judged."""

FEWEST_PAIRS = 40
"""Pairs below which nothing is learnt: five stretches of eight."""

SECTIONS = 3
"""From so many sections on, whole sections are held out."""

STRETCHES = 8
"""Otherwise so many stretches of depth are."""

INNER = 3
"""Parts that the rest is cut into to choose form and ridge."""

SURE = 2.0
"""Standard errors over the held-out parts by which mapped spectra must be nearer than unmapped ones."""

LEAST_GAIN = 0.1
"""Share of the mean square difference that a mapping must take away; less is not worth a second set of spectra."""


class Differences(NamedTuple):
    """How far spectra of the second machine are from the first's: root mean square, in logarithms of band rates."""

    unmapped: float
    factor: float
    """With one factor for everything."""

    mapped: float
    """With the mapping."""

    noise: float
    """What counting noise alone leaves between unmapped spectra; a mapping averages some of it away."""

    steady: float
    """The part of `unmapped` that is the same at all places: what the machines differ by."""

    steady_mapped: float
    """That part of `mapped`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How near mapped spectra come on parts that were held out."""

    all: Differences
    by_part: Mapping[str, Differences]
    """The same for each part."""

    unit: str
    """What was held out: ``section`` or ``stretch``."""

    bands: int
    """Bands that were judged."""


class Judge:
    """Judges mappings on held-out parts of some pairs; raises `TransferError` when there are too few."""

    def __init__(self, pairs: Pairs, step: float) -> None:
        if len(pairs.position) < FEWEST_PAIRS:
            raise TransferError(
                "transfer",
                f"{len(pairs.position)} pairs of spectra, {FEWEST_PAIRS} are needed",
                "Scan a longer stretch on both machines, or allow a larger --tolerance",
            )
        self.unit, self.names, self.groups = parts(pairs)
        self.fitter = Fitter(pairs, self.groups, step)
        self._pairs, self._width = pairs, max(1, round(BAND / step))
        counts = [
            (self._bands(side) * seconds[:, None]).mean(axis=0)
            for side, seconds in ((pairs.first, pairs.first_seconds), (pairs.second, pairs.second_seconds))
        ]
        whole = self._bands(self.fitter.mapped[None].astype(float))[0] == self._width
        self._judged = whole & (np.minimum(*counts) >= FEWEST_COUNTS)
        if not self._judged.any():
            raise TransferError(
                "transfer", "no band of energies was measured by both machines", "Compare their energy axes"
            )
        self._target = self._logarithm(pairs.first, pairs.first_seconds)
        self._noise = sum(
            (1 / np.maximum(self._bands(side)[:, self._judged] * seconds[:, None], 1)).mean(axis=1)
            for side, seconds in ((pairs.first, pairs.first_seconds), (pairs.second, pairs.second_seconds))
        )

    def off(self, rows: NDArray[np.int64], mapping: mappings.Mapping | None) -> Floats:
        """(rows, bands) difference of logarithms of the pairs at `rows`, unmapped without a `mapping`."""
        rates = self._pairs.second[rows] if mapping is None else mapping(self._pairs.second[rows])
        return self._logarithm(rates, self._pairs.second_seconds[rows]) - self._target[rows]

    def choose(self, groups: list[int]) -> mappings.Mapping:
        """The mapping of the form and ridge that do best on held-out thirds of `groups`, fitted to all of them."""
        tried: list[tuple[Form, float]] = [
            (form, ridge) for form in FORMS for ridge in (RIDGES if form == "piecewise" else (np.nan,))
        ]
        cost = np.zeros(len(tried))
        for number in range(min(INNER, len(groups))):
            asked = groups[number::INNER]
            rest = [group for group in groups if group not in asked]
            rows = np.flatnonzero(np.isin(self.groups, asked))
            cost += [np.square(self.off(rows, self.fitter.fit(*one, rest))).sum() for one in tried]
        return self.fitter.fit(*tried[int(np.argmin(cost))], groups)

    def verdict(self) -> Verdict:
        """Hold out every part once."""
        everything = range(len(self.names))
        found, sizes = [], []
        for group in everything:
            rows = np.flatnonzero(self.groups == group)
            rest = [one for one in everything if one != group]
            ways = (None, self.fitter.fit("factor", np.nan, rest), self.choose(rest))
            off = [self.off(rows, way) for way in ways]
            noise = self._noise[rows].mean()
            # Noise leaves something in a mean too; less is left of a mapping's, but that is not known.
            steady = [max(float(np.square(off[one].mean(axis=0)).mean() - noise / len(rows)), 0.0) for one in (0, 2)]
            found.append([*(float(np.square(one).mean()) for one in off), float(noise), *steady])
            sizes.append(len(rows))
        return Verdict(
            all=_roots(np.average(found, axis=0, weights=sizes)),
            by_part={name: _roots(np.array(one)) for name, one in zip(self.names, found, strict=True)},
            unit=self.unit,
            bands=int(self._judged.sum()),
        )

    def _bands(self, rates: Floats) -> Floats:
        """(n, bands) sums over the bins of each band; the last bins that make no whole band are left out."""
        whole = rates.shape[1] // self._width * self._width
        return np.asarray(rates[:, :whole].reshape(len(rates), -1, self._width).sum(axis=2))

    def _logarithm(self, rates: Floats, seconds: Floats) -> Floats:
        """ln of the judged bands' rates; fewer than half a count is half a count, as a band without counts may hold."""
        least = 0.5 / seconds[:, None]
        return np.asarray(np.log(np.maximum(self._bands(rates)[:, self._judged], least)))


def parts(pairs: Pairs) -> tuple[str, list[str], NDArray[np.int64]]:
    """What is held out together: the unit, the parts' names, and the part of each pair (n,)."""
    sections = list(pairs.alignments)
    if len(sections) >= SECTIONS:
        return "section", sections, np.array([sections.index(one) for one in pairs.section.tolist()], dtype=np.int64)
    names: list[str] = []
    groups = np.zeros(len(pairs.position), dtype=np.int64)
    for section in sections:
        rows = np.flatnonzero(pairs.section == section)
        rows = rows[np.argsort(pairs.position[rows], kind="stable")]
        pieces = max(2, round(STRETCHES * len(rows) / len(pairs.position)))
        for piece in np.array_split(rows, pieces):
            groups[piece] = len(names)
            names.append(f"{section}, {pairs.position[piece[0]]:g} to {pairs.position[piece[-1]]:g} mm")
    return "stretch", names, groups


def refuse_useless(verdict: Verdict, said: str) -> None:
    """Raise `TransferError` unless the machines differ steadily, and mapped spectra by clearly less of that.

    A mapping also averages counting noise away, by which two scans of one machine would look nearer. What it takes away
    of the steady difference, the same at all places, is its own.
    """
    squares = np.square(np.array(list(verdict.by_part.values())))
    unmapped, steady, left = squares[:, 0], squares[:, 4], squares[:, 5]
    if not _clear(steady, unmapped):
        found = "the scans differ from place to place or by counting noise, not by what a machine does to all spectra"
    elif not _clear(steady - left, unmapped):
        found = "mapped spectra are no nearer than unmapped ones"
    else:
        return
    raise TransferError(
        "transfer",
        f"{found} ({said})",
        "Use the spectra as they are: no mapping was found that brings the two machines together",
    )


def _clear(gains: Floats, whole: Floats) -> bool:
    """Whether gains (parts,) in mean square are more than chance and a share of the `whole` that is worth it."""
    error = gains.std(ddof=1) / np.sqrt(len(gains))
    return bool(gains.mean() > SURE * error and gains.mean() >= LEAST_GAIN * whole.mean())


def _roots(squares: Floats) -> Differences:
    """Root mean squares of squares."""
    return Differences(*(float(one) for one in np.sqrt(squares)))
