"""Defects of single spectra, made as a detector would have made them: with photons, not with factors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from corebank.virtual.defects.exposure import moved, rescanned, thinned
from corebank.virtual.defects.folder import Folder
from corebank.virtual.defects.planted import Truth, deep, defect
from corebank.virtual.defects.point import Point
from corebank.virtual.defects.tables import ResultTable

COUNTER = 2**16 - 1
"""Where a counter of 16 bits ends [count]."""
GAP = 10.0
"""Extra distance of the head over a hole in the core [mm]."""
MATTER = {
    "pyrite": {"Fe": 0.4655, "S": 0.5345},
    "barite": {"Ba": 0.5884, "S": 0.1374, "O": 0.2742},
    "copper wire": {"Cu": 1.0},
}
"""What lies in a core and is no sediment: element -> share of the mass."""
_UNLIKE = {"outlier": "a spectrum that differs so much is unlike its neighbours"}


def _names(points: list[Point]) -> tuple[str, ...]:
    return tuple(point.name for point in points)


@defect("empty", "Spectra without a count", companions={"low-counts": "nothing is less than few"} | _UNLIKE)
def empty(folder: Folder, rng: np.random.Generator) -> Truth:
    part, points = folder.take(rng, int(rng.integers(1, 4)))
    for point in points:
        point.counts = np.zeros_like(point.counts)
    folder.save(points)
    return Truth(part.run, "0 counts", _names(points), (part.folder,))


@defect("low-counts", "Spectra of a few hundred counts, the shutter nearly closed", companions=_UNLIKE)
def low_counts(folder: Folder, rng: np.random.Generator) -> Truth:
    part, points = folder.take(rng, int(rng.integers(1, 4)))
    for point in points:
        counts = point.counts
        point.counts = thinned(counts, rng.uniform(50, 700) / counts.sum(), rng)
    folder.save(points)
    return Truth(part.run, f"{[int(p.counts.sum()) for p in points]} counts", _names(points), (part.folder,))


@defect("high-dead-time", "Spectra whose detector was blind for most of the clock time")
def high_dead_time(folder: Folder, rng: np.random.Generator) -> Truth:
    part, points = folder.take(rng, int(rng.integers(1, 4)))
    # An Avaatech is blind for up to 78 % of the time by itself; an Itrax for a tenth.
    share = float(rng.uniform(0.1, 0.4) if points[0].is_itrax else rng.uniform(0.05, 0.15))
    for point in points:
        if point.is_itrax:  # runs for a clock time: fewer photons are counted
            live = point.number("real") * share
            point.counts = thinned(point.counts, live / point.number("live"), rng)
            point.put("live", f"{live:.6f}")
        else:  # runs for a live time, until it has its photons
            point.put("real", f"{point.number('live') / share:.0f}")
    folder.save(points)
    return Truth(part.run, f"{1 - share:.0%} of the time is dead", _names(points), (part.folder,))


@defect("saturated", "Spectra whose peaks stand at the end of a 16-bit counter", companions=_UNLIKE)
def saturated(folder: Folder, rng: np.random.Generator) -> Truth:
    part, points = folder.take(rng, int(rng.integers(1, 4)))
    for point in points:
        counts = point.counts
        factor = COUNTER / np.sort(counts)[-int(rng.integers(4, 9))] * 1.05
        point.counts = np.minimum(rng.poisson(counts * factor), COUNTER)
    folder.save(points)
    return Truth(part.run, f"channels end at {COUNTER} counts", _names(points), (part.folder,))


@defect("not-in-position", "Spectra that the scanner itself calls invalid", scanners=("itrax",))
def not_in_position(folder: Folder, rng: np.random.Generator) -> Truth:
    part, points = folder.take(rng, int(rng.integers(1, 4)))
    for point in points:
        point.put("comments", "not in position")
    folder.save(points)
    table = ResultTable(folder, part)
    table.set(_names(points), "validity", lambda _: "0")
    table.save()
    return Truth(part.run, "validity is 0", _names(points), (part.folder,))


@defect("air-gap", "Spectra over a hole in the core: more air, less sediment", companions=_UNLIKE)
def air_gap(folder: Folder, rng: np.random.Generator) -> Truth:
    part, points = folder.take(rng, int(rng.integers(1, 4)))
    for point, expected in zip(points, rescanned(folder, part, points, gap=GAP), strict=True):
        point.counts = rng.poisson(expected)
    folder.save(points)
    return Truth(part.run, f"the head stands {GAP:g} mm higher", _names(points), (part.folder,))


@defect("gain-jump", "Spectra of a detector whose gain jumped by 1 to 4 %", companions=_UNLIKE)
def gain_jump(folder: Folder, rng: np.random.Generator) -> Truth:
    part, points = folder.take(rng, int(rng.integers(1, 5)), together=True)
    stretch = 1 + float(rng.choice([-1, 1]) * rng.uniform(0.01, 0.04))
    for point in points:
        point.counts = moved(point.counts, stretch, 0.0, rng)
    folder.save(points)
    return Truth(part.run, f"lines lie {stretch - 1:+.1%} further", _names(points), (part.folder,))


@defect("line-shift", "Spectra of a detector whose zero moved by 60 to 150 eV", companions=_UNLIKE)
def line_shift(folder: Folder, rng: np.random.Generator) -> Truth:
    part, points = folder.take(rng, int(rng.integers(1, 5)), together=True)
    shift = float(rng.choice([-1, 1]) * rng.uniform(60, 150))
    for point in points:
        point.counts = moved(point.counts, 1.0, shift / 1000 / folder.instrument.gain, rng)
    folder.save(points)
    return Truth(part.run, f"lines lie {shift:+.0f} eV further", _names(points), (part.folder,))


@defect("duplicate", "The counts of one position under another", companions=_UNLIKE)
def duplicate(folder: Folder, rng: np.random.Generator) -> Truth:
    part, (first, later) = folder.take(rng, 2)
    later.counts = first.counts
    folder.save([later])
    return Truth(part.run, f"has the counts of {first.name}", (later.name,), (part.folder,), (first.name,))


@defect("duplicate", "A section whose spectra are those of another", "section", scanners=("itrax",), needs=deep)
def copied_section(folder: Folder, rng: np.random.Generator) -> Truth:
    other = folder.pick(rng, whole=True, later=True)
    one = folder.above(other)
    points, copies = folder.points(folder.spectra(one)), folder.points(folder.spectra(other))
    for point, copy in zip(points, copies, strict=True):
        copy.content = point.content
    folder.save(copies)
    first = _names(points)
    return Truth(other.run, f"its files are those of {one.folder}", (), (other.folder, one.run, one.folder), first)


@defect("near-duplicate", "The counts of one position under another, a few of them changed", companions=_UNLIKE)
def near_duplicate(folder: Folder, rng: np.random.Generator) -> Truth:
    part, (first, later) = folder.take(rng, 2)
    counts = first.counts
    if rng.random() < 0.5:
        touched = rng.choice(counts.size, counts.size // 50, replace=False)
        counts[touched] = np.maximum(counts[touched] + rng.integers(-3, 4, touched.size), 0)
        what = f"{touched.size} channels changed by up to 3 counts"
    else:
        counts = thinned(counts, 0.999, rng)
        what = "one count in a thousand taken out"
    later.counts = counts
    folder.save([later])
    return Truth(part.run, f"as {first.name}, {what}", (later.name,), (part.folder,), (first.name,))


@defect("outlier", "A nodule or a wire in the core")
def outlier(folder: Folder, rng: np.random.Generator) -> Truth:
    part, points = folder.take(rng, 1, inner=True)
    name = str(rng.choice(sorted(MATTER)))
    points[0].counts = rng.poisson(rescanned(folder, part, points, matter=MATTER[name])[0])
    folder.save(points)
    return Truth(part.run, name, _names(points), (part.folder,))


@defect("wrong-anode", "A section scanned with another tube than its files say", "section", companions=_UNLIKE)
def hidden_tube(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng, whole=True)
    anode = "Mo" if folder.instrument.anode == "Cr" else "Cr"
    points = folder.points(folder.spectra(part))
    tube = replace(folder.instrument, anode=anode)
    for point, expected in zip(points, rescanned(folder, part, points, instrument=tube), strict=True):
        point.counts = rng.poisson(expected)
    folder.save(points)
    return Truth(part.run, f"a {anode} tube", _names(points), (part.folder,))


@defect("wrong-anode", "Some spectra of another tube among a section's", scanners=("itrax",), companions=_UNLIKE)
def hidden_spectra(folder: Folder, rng: np.random.Generator) -> Truth:
    part, points = folder.take(rng, int(rng.integers(2, 7)), together=True)
    anode = "Mo" if folder.instrument.anode == "Cr" else "Cr"
    tube = replace(folder.instrument, anode=anode)
    for point, expected in zip(points, rescanned(folder, part, points, instrument=tube), strict=True):
        point.counts = rng.poisson(expected)
    folder.save(points)
    return Truth(part.run, f"a {anode} tube", _names(points), (part.folder,))
