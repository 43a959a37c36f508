"""The depth model: sections in their core, what covers what, which of two spectra at one place counts.

Composite depth = section top + stretch x position. A spectrum that lies where another of the same machine lies already
is its replicate (``replicate_of``); nothing is deleted, and ``supersedes`` in contribution.toml turns the order round.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import xarray as xr

from corebank import schema
from corebank.contribution.findings import Finding, finding
from corebank.contribution.metadata import Section
from corebank.readers.files import natural

GAP = 1.75
"""Neighbouring positions further apart than this many steps leave a place out."""

REGULAR = 0.7
"""Share of the steps that must be alike before a longer one counts as a place left out."""

SAME_PLACE = 0.01
"""Two spectra of one scan nearer than this [mm], and than a fiftieth of a step, claim one place; scanners position to a
few micrometres and step by 0.1 mm at least."""

_MACHINE = ("scanner", "head", "anode", "filter", "tube_voltage", "channels")


def linked(
    runs: Mapping[str, xr.Dataset], sections: Mapping[str, Section]
) -> tuple[dict[str, xr.Dataset], list[Finding]]:
    """Mark the spectra that repeat another one's place, and say of each pair of runs how many do.

    Within a section positions must agree to a quarter of a step; between sections of a core, whose tops are known less
    well, composite depths to half a step. The run that is listed first counts, unless a later one ``supersedes`` it.
    """
    linked = dict(runs)
    findings: list[Finding] = []
    earlier: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in _in_rank(runs, sections):
        run = linked[name]
        key = (str(run["core"].values[0]), *(str(run.attrs[part]) for part in _MACHINE))
        own, found = _own_repeats(name, run)
        findings += found
        repeats, depth, step = own.copy(), run["depth"].values, _step(run["depth"].values)
        for other in earlier[key]:
            winner = linked[other]
            same = str(winner["section"].values[0]) == str(run["section"].values[0])
            counting = np.flatnonzero(winner["replicate_of"].values == "")
            order = counting[np.argsort(winner["depth"].values[counting], kind="stable")]
            near, distance = _nearest(winner["depth"].values[order], depth)
            reach = max(step, _step(winner["depth"].values)) * (0.25 if same else 0.5)
            hit = (distance <= reach) & (repeats == "")
            if hit.any():
                repeats = np.where(hit, winner["source_sha256"].values[order][near], repeats)
                findings.append(_told(name, other, run, hit, same))
        linked[name] = run.assign(schema.spectrum_columns({"replicate_of": repeats}))
        earlier[key].append(name)
    return {name: linked[name] for name in runs}, findings


def checked(runs: Mapping[str, xr.Dataset]) -> list[Finding]:
    """What is to be said of the sections of each core, and of the steps inside each run."""
    found: list[Finding] = []
    found += [one for name, run in runs.items() for one in _steps(name, run)]
    spans: dict[str, dict[str, tuple[float, float, float]]] = defaultdict(dict)
    for name, run in runs.items():
        depth, core, section = run["depth"].values, str(run["core"].values[0]), str(run["section"].values[0])
        top, bottom = float(depth.min()), float(depth.max())
        if section in spans[core]:
            top, bottom = min(top, spans[core][section][0]), max(bottom, spans[core][section][1])
        spans[core][section] = (top, bottom, _step(depth))
        if top < -1000:
            found.append(finding("depth-order", name, f"starts {-top / 1000:.2f} m above the core's top"))
    for core, parts in spans.items():
        ordered = sorted(parts.items(), key=lambda item: item[1][:2])
        for (above, (top, bottom, step)), (below, (next_top, next_bottom, _)) in pairwise(ordered):
            if next_bottom <= bottom and next_bottom - next_top > 2 * step:
                what = (
                    f"section {below} ({next_top:g} to {next_bottom:g} mm) lies wholly inside "
                    f"section {above} ({top:g} to {bottom:g} mm)"
                )
                found.append(finding("depth-order", f"{core}, {below}", what))
            elif next_top - bottom > max(10.0, 3 * step):
                what = f"{next_top - bottom:g} mm without spectra between {above} and {below}, from {bottom:g} mm"
                found.append(finding("depth-gap", f"{core}, {below}", what))
    return found


def in_order(sections: Sequence[Section]) -> list[Finding]:
    """What is to be said of sections that are named and listed from the top down, and whose tops are not."""
    found = []
    for core in dict.fromkeys(part.core for part in sections):
        tops: dict[str, float] = {}
        for part in sections:
            if part.core == core:
                tops.setdefault(part.name, part.top)
        for (above, top), (below, next_top) in pairwise(tops.items()):
            if next_top < top and natural(above) < natural(below):
                what = f"section {below} starts at {next_top:g} mm, above section {above}, which starts at {top:g} mm"
                found.append(finding("depth-order", f"{core}, {below}", what))
    return found


def _in_rank(runs: Mapping[str, xr.Dataset], sections: Mapping[str, Section]) -> list[str]:
    """Run names with each superseding run before those that it supersedes, otherwise in the order given."""
    order = list(runs)
    for name in list(runs):
        for loser in sections[name].supersedes if name in sections else ():
            if loser in order and order.index(loser) < order.index(name):
                order.remove(name)
                order.insert(order.index(loser), name)
    return order


def _own_repeats(name: str, run: xr.Dataset) -> tuple[np.ndarray, list[Finding]]:
    """Repeats within one run: replicates by the files' own account, or two files that claim one place."""
    position, hashes = run["section_position"].values, run["source_sha256"].values
    repeats = np.full(position.size, "", dtype=object)
    if position.size < 2:
        return repeats, []
    tolerance = min(0.02 * _step(position), SAME_PLACE)
    first = 0
    for row in range(1, position.size):  # sorted by position; the first of a group counts
        if position[row] - position[first] <= tolerance:
            repeats[row] = hashes[first]
        else:
            first = row
    rows = np.flatnonzero(repeats != "")
    if not rows.size:
        return repeats, []
    declared = run["replicate"].values[rows] > 0 if "replicate" in run else np.zeros(rows.size, dtype=bool)
    found = []
    for kind, some in (("replicates", rows[declared]), ("repeated-position", rows[~declared])):
        if some.size:
            first_place = f"{position[some[0]]:g} mm"
            what = f"{some.size} of {position.size} spectra repeat a position of the same scan, first {first_place}"
            found.append(finding(kind, name, what, items=tuple(str(run["source"].values[row]) for row in some)))
    return repeats, found


def _told(name: str, other: str, run: xr.Dataset, hit: np.ndarray, same: bool) -> Finding:
    kind = "replicates" if same else "depth-overlap"
    what = f"{int(hit.sum())} of {hit.size} spectra lie where run {other} has one, which counts"
    return finding(kind, name, what, items=tuple(str(source) for source in run["source"].values[hit]))


def _steps(name: str, run: xr.Dataset) -> list[Finding]:
    position = np.unique(run["section_position"].values)
    if position.size < 4:
        return []
    steps = np.diff(position)
    step = _step(position)
    if np.mean(np.abs(steps - step) <= 0.25 * step) < REGULAR:
        return []  # slices or spots chosen by hand: no place can be missing
    wide = np.flatnonzero(steps > GAP * step)
    if not wide.size:
        return []
    items = tuple(f"{position[row]:g} to {position[row + 1]:g} mm" for row in wide)
    lost = int(sum(round(steps[row] / step) - 1 for row in wide))
    what = f"{lost} positions are missing in steps of {step:g} mm, first between {items[0]}"
    return [finding("missing-positions", name, what, items=items)]


def _step(position: np.ndarray) -> float:
    """The distance between neighbouring spectra [mm]: the median of those above nothing; 1 for a single one."""
    steps = np.diff(np.sort(position))
    steps = steps[steps > 1e-6]
    return float(np.median(steps)) if steps.size else 1.0


def _nearest(sorted_values: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the nearest of `sorted_values` to each wanted value, and the distance to it."""
    if not sorted_values.size:
        return np.zeros(wanted.size, dtype=np.intp), np.full(wanted.size, np.inf)
    right = np.clip(np.searchsorted(sorted_values, wanted), 0, sorted_values.size - 1)
    left = np.clip(right - 1, 0, None)
    index = np.where(np.abs(sorted_values[left] - wanted) <= np.abs(sorted_values[right] - wanted), left, right)
    return index, np.abs(sorted_values[index] - wanted)
