"""Defects of time, place and depth: dates, names of cores, positions, tops of sections, scans that overlap."""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np

from corebank.virtual.defects.exposure import rescanned
from corebank.virtual.defects.folder import TOML, Folder, Part, beside
from corebank.virtual.defects.planted import Truth, deep, defect
from corebank.virtual.defects.tables import DOCUMENT, ResultTable

_SHIFTED = {"label-shift": "the section now lies off the depths of its laboratory values"}
_DISORDERED = _SHIFTED | {
    "depth-overlap": "sections that changed places lie over each other where their lengths differ",
    "depth-gap": "sections that changed places leave room where their lengths differ",
}


@defect(
    "date", "Dates whose day and month cannot be told apart, and no record that tells", "folder", scanners=("itrax",)
)
def ambiguous_dates(folder: Folder, rng: np.random.Generator) -> Truth:
    first, second = (int(number) for number in rng.choice(np.arange(1, 13), 2, replace=False))
    date = f"{first:02d}/{second:02d}/2020"
    for part in folder.parts:
        points = [point for point in folder.points(folder.spectra(part)) if point.whole]
        for point in points:
            point.put("date", date)
        folder.save(points)
        folder.remove([f"{part.folder}/{DOCUMENT}"])
    places = tuple(name for part in folder.parts for name in (part.run, part.folder))
    return Truth(TOML, f"every spectrum was measured on {date}", (), places)


@defect("core-name", "The files of a section name another core", "section", scanners=("avaatech",))
def wrong_core_name(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng, whole=True)
    other = f"{part.core[:-1]}{(int(part.core[-1]) + int(rng.integers(1, 9))) % 10}"
    _renamed(folder, part, "core", other)
    return Truth(part.folder, f"its files name the core {other}, not {part.core}", (), (part.run,))


@defect("no-position", "Spectra that say nowhere where they were measured", "section")
def no_position(folder: Folder, rng: np.random.Generator) -> Truth:
    if rng.random() < 0.5:
        part = folder.pick(rng, whole=True)
        points = folder.points(folder.spectra(part))
    else:
        part, points = folder.take(rng, int(rng.integers(1, 4)))
    old = [point.name for point in points]
    for number, point in enumerate(points, start=1):
        point.put("position", "")
        if folder.kind == "avaatech":  # without a place, something else must tell the names apart
            point.name = point.name.replace(".spe", f" {number:03d}.spe")
    folder.save(points, instead=old)
    if folder.kind == "itrax":
        table = ResultTable(folder, part)
        table.set(old, "position (mm)", lambda _: "")
        table.save()
    names = tuple(point.name for point in points)
    return Truth(part.folder, f"{len(names)} of {len(folder.spectra(part))} positions are gone", names, (part.run,))


@defect(
    "depth-order", "Two sections of a core whose tops changed places", "section", companions=_DISORDERED, needs=deep
)
def tops_swapped(folder: Folder, rng: np.random.Generator) -> Truth:
    lower = folder.pick(rng, whole=True, later=True)
    upper = folder.above(lower)
    for part, top in ((lower, upper.top), (upper, lower.top)):
        _set_top(folder, part, top)
    where = lower.run
    return Truth(where, f"{lower.name} begins at {upper.top:g} mm", (), _both(upper, lower))


@defect(
    "depth-gap",
    "A section whose top lies deeper than the end of the one above",
    "section",
    companions=_SHIFTED,
    needs=deep,
)
def gap(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng, whole=True, later=True)
    steps = int(rng.integers(5, 20))
    _move(folder, part, steps * folder.expedition.step)
    return Truth(part.run, f"{steps} steps of core are missing above it", (), _both(folder.above(part), part))


@defect(
    "depth-gap",
    "A top in centimetres that was meant in millimetres",
    "section",
    scanners=("itrax",),
    companions=_SHIFTED,
    needs=deep,
)
def top_in_wrong_unit(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng, whole=True, later=True)
    folder.say("[[core.section]]", "top", f'"{part.top:g} cm"', part=part)
    return Truth(part.run, f"its top is {part.top:g} cm", (), _both(folder.above(part), part))


@defect("depth-overlap", "Sections whose edges were both scanned", "section", companions=_SHIFTED, needs=deep)
def overlap(folder: Folder, rng: np.random.Generator) -> Truth:
    part, step = folder.pick(rng, whole=True, later=True), folder.expedition.step
    steps = int(rng.integers(1, 6))
    above = folder.above(part)
    _move(folder, part, (rng.uniform(-0.2, 0.2) - steps) * step)
    twice, first = folder.spectra(part)[:steps], folder.spectra(above)[-steps:]
    return Truth(part.run, f"{steps} steps lie in {above.name} too", tuple(twice), _both(above, part), tuple(first))


@defect("replicates", "A section scanned again, in a folder beside its first scan", "section")
def rescan(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng, whole=True)
    again = f"{part.folder}_REP2"
    points = folder.points(folder.spectra(part))
    inside = {name: content for name, content in folder.read(folder.names(part.folder)).items() if "!" not in name}
    folder.write({name.replace(part.folder, again, 1): content for name, content in inside.items()})
    if "!" in points[0].name:
        archive = points[0].name.partition("!")[0]
        folder.write({archive.replace(part.folder, again, 1): folder.read([archive])[archive]})
    for point, expected in zip(points, rescanned(folder, part, points), strict=True):
        point.counts = rng.poisson(expected)
        point.name = point.name.replace(part.folder, again, 1)
    folder.save(points)
    blocks = folder.words.split("\n\n")
    at = next(number for number, block in enumerate(blocks) if f'folder = "{part.folder}"' in block)
    copy = blocks[at].replace(f'"{part.folder}"', f'"{again}"').replace(f'"{part.run}"', f'"{part.run}-rep2"')
    folder.words = "\n\n".join([*blocks[: at + 1], copy, *blocks[at + 1 :]])
    names = tuple(point.name for point in points)
    return Truth(f"{part.run}-rep2", f"{len(names)} positions of {part.run} again", (), (again, part.run, part.folder))


@defect("replicates", "Positions that were measured twice, as the files say", scanners=("avaatech",))
def replicate_files(folder: Folder, rng: np.random.Generator) -> Truth:
    part, points = folder.take(rng, int(rng.integers(1, 5)))
    first = tuple(point.name for point in points)
    for point, expected in zip(points, rescanned(folder, part, points), strict=True):
        point.counts = rng.poisson(expected)
        point.replicate(1)
    folder.save(points)
    names = tuple(point.name for point in points)
    return Truth(part.run, f"{len(names)} positions have a Rep1", (), (part.folder, *names, *first))


@defect("outside-section", "Spectra beyond the end of the section", "section")
def outside_section(folder: Folder, rng: np.random.Generator) -> Truth:
    part, count = folder.pick(rng, whole=True), int(rng.integers(1, 5))
    points = folder.points(folder.spectra(part))
    last, beyond = (point.number("position") for point in points[-count - 1 : len(points) - count + 1])
    length = round((last + beyond) / 2, 1)
    folder.say("[[core.section]]", "length", f'"{length:g} mm"', part=part)
    names = tuple(point.name for point in points[-count:])
    return Truth(part.run, f"the section is {length:g} mm long, its last spectrum deeper", names, (part.folder,))


@defect("missing-positions", "Files missing in the middle of a scan")
def missing_positions(folder: Folder, rng: np.random.Generator) -> Truth:
    part, points = folder.take(rng, int(rng.integers(1, 5)), together=True, inner=True)
    names = [point.name for point in points]
    folder.remove(names)
    return Truth(part.run, f"{', '.join(names)} are gone", (), (part.folder,))


@defect("repeated-position", "Two spectra of one scan at the same place", scanners=("itrax",))
def repeated_position(folder: Folder, rng: np.random.Generator) -> Truth:
    part, (point,) = folder.take(rng, 1)
    first, count = point.name, len(folder.spectra(part))
    point.counts = rng.poisson(rescanned(folder, part, [point])[0])
    point.name = beside(first, f"L{count:06d}.spe")
    folder.save([point])
    table = ResultTable(folder, part)
    row = list(table.row(first))
    row[0] = row[0].replace(PurePosixPath(first).name, PurePosixPath(point.name).name)
    table.rows.append(row)
    table.save()
    what = f"measured again at {point.get('position')} mm"
    return Truth(part.run, what, (point.name,), (part.folder,), (first,))


def _both(upper: Part, lower: Part) -> tuple[str, ...]:
    return (upper.run, lower.run, upper.folder, lower.folder, upper.core)


def _move(folder: Folder, part: Part, by: float) -> None:
    """Move a section and all below it in its core down by `by` [mm]."""
    for other in folder.parts:
        if other.core == part.core and other.top >= part.top:
            _set_top(folder, other, other.top + by)


def _set_top(folder: Folder, part: Part, top: float) -> None:
    """Give a section another top, in contribution.toml and where its files repeat it."""
    folder.say("[[core.section]]", "top", f'"{top:g} mm"', part=part)
    if folder.kind == "avaatech":
        _renamed(folder, part, "start", f"{top / 10:04.0f}")


def _renamed(folder: Folder, part: Part, key: str, text: str) -> None:
    points = [point for point in folder.points(folder.spectra(part)) if point.whole]
    old = [point.name for point in points]
    for point in points:
        point.put(key, text)
    folder.save(points, instead=old)
