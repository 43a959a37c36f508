"""The depth coverage of a core, computed and drawn: where it was scanned, twice or not at all, and where labels lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from corebank.contribution.report import Profile
from corebank.page import drawing

Stretch = tuple[float, float]
"""Upper and lower end [mm]."""

_LEFT, _RIGHT, _LANE = 210.0, 14.0, 24.0
_HOLE = 2.5
"""Neighbours further apart than so many usual steps have a hole between them; scanners step evenly."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One run along its core."""

    run: str
    section: str
    spectra: int
    replicates: int
    top: float
    """Composite depth of the first spectrum [mm]; NaN where no depth is known."""
    bottom: float
    step: float
    """Usual distance between two spectra [mm]; 0 for one alone."""
    counted: tuple[Stretch, ...]
    """Where its spectra count."""
    repeated: tuple[Stretch, ...]
    """Where they are replicates of others."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """One core."""

    core: str
    lanes: tuple[Lane, ...]
    gaps: tuple[Stretch, ...]
    """Between scanned stretches."""
    overlaps: tuple[Stretch, ...]
    """Scanned in two sections."""
    labels: tuple[Stretch, ...]
    alone: tuple[Stretch, ...]
    """Labels where nothing was scanned."""

    @property
    def sentence(self) -> str:
        """What the drawing shows, in words."""
        known = [lane for lane in self.lanes if lane.counted or lane.repeated]
        if not known:
            return "No depth is known."
        top, bottom = min(lane.top for lane in known), max(lane.bottom for lane in known)
        parts = [
            f"{drawing.many(len(known), 'run', 'runs')} from {drawing.length(top)} to {drawing.length(bottom)}",
            _counted(self.gaps, "gap", "gaps"),
            _counted(self.overlaps, "overlap of sections", "overlaps of sections"),
            drawing.many(len(self.labels), "labelled depth", "labelled depths")
            + (f", {len(self.alone):,} without a spectrum" if self.alone else ""),
        ]
        return "; ".join(parts) + "."


def coverage(core: str, profiles: Iterable[Profile], labels: Iterable[Stretch]) -> Coverage:
    """Work out the coverage of one core from its runs, and from the depth intervals that have laboratory values."""
    # a top that is NaN differs from itself and comes last
    lanes = sorted(map(_lane, profiles), key=lambda lane: (lane.top != lane.top, lane.top, lane.section, lane.run))
    usual = max((lane.step for lane in lanes), default=0.0)
    scanned = _merged([stretch for lane in lanes for stretch in (*lane.counted, *lane.repeated)])
    of_section: dict[str, list[Stretch]] = {}
    for lane in lanes:
        of_section.setdefault(lane.section, []).extend([*lane.counted, *lane.repeated])
    sections = [_merged(stretches) for stretches in of_section.values()]
    twice = [
        (max(one[0], other[0]), min(one[1], other[1]))
        for number, stretches in enumerate(sections)
        for one in stretches
        for others in sections[number + 1 :]
        for other in others
    ]
    places = sorted({(min(pair), max(pair)) for pair in labels if all(np.isfinite(pair))})
    return Coverage(
        core,
        tuple(lanes),
        tuple((above[1], below[0]) for above, below in pairwise(scanned) if below[0] - above[1] > usual),
        tuple(_merged([(top, bottom) for top, bottom in twice if bottom - top > usual])),
        tuple(places),
        tuple(place for place in places if not any(top <= place[1] and bottom >= place[0] for top, bottom in scanned)),
    )


def drawn(found: Coverage, name: str) -> Markup:
    """The coverage as an inline SVG; `name` starts the ids in it."""
    ends = [
        end
        for stretches in (*(lane.counted + lane.repeated for lane in found.lanes), found.labels)
        for stretch in stretches
        for end in stretch
    ]
    if not ends:
        return Markup("")
    axis = drawing.axis(min(ends), max(ends), _LEFT, drawing.WIDTH - _RIGHT)
    lower = (len(found.lanes) + (1 if found.labels else 0)) * _LANE + 8
    unit, size = ("m", 1000.0) if axis.high - axis.low > 3000 else ("cm", 10.0)
    marks = []
    for value in drawing.ticks(axis.low / size, axis.high / size):
        x = axis.at(value * size)
        marks += [drawing.line(x, 4, x, lower, "grid"), drawing.words(x, lower + 16, f"{value:g}", "tick middle")]
    marks.append(drawing.words(_LEFT - 10, lower + 16, f"composite depth [{unit}]", "tick end"))
    for kind, stretches, what in (("gap", found.gaps, "not scanned"), ("overlap", found.overlaps, "in two sections")):
        marks += [
            drawing.box(axis.at(top), 4, axis.at(bottom) - axis.at(top), lower - 4, kind, _said(top, bottom, what))
            for top, bottom in stretches
        ]
    for row, lane in enumerate(found.lanes):
        marks += _lane_marks(lane, axis, 4 + row * _LANE)
    y = 4 + len(found.lanes) * _LANE
    for top, bottom in found.labels:
        kind, what = ("alone", "label without a spectrum") if (top, bottom) in found.alone else ("label", "label")
        x, width = axis.at(top), axis.at(bottom) - axis.at(top)
        marks.append(drawing.box(x, y + 5, max(width, 2.0), _LANE - 10, kind, _said(top, bottom, what)))
    if found.labels:
        marks.append(drawing.words(_LEFT - 10, y + 16, "laboratory values", "tick end"))
    return drawing.picture(marks, lower + 26, name, f"Depth coverage of {found.core}", found.sentence)


def _lane(profile: Profile) -> Lane:
    counted, repeated = drawing.finite(profile.depths), drawing.finite(profile.replicate_depths)
    both = sorted([*counted, *repeated])
    apart = np.diff(np.unique(both))
    step = float(np.median(apart)) if apart.size else 0.0
    return Lane(
        profile.run,
        profile.section,
        profile.spectra,
        profile.replicates,
        both[0] if both else float("nan"),
        both[-1] if both else float("nan"),
        step,
        tuple(_stretches(counted, step)),
        tuple(_stretches(repeated, step)),
    )


def _lane_marks(lane: Lane, axis: drawing.Axis, y: float) -> list[Markup]:
    said = f"{lane.section} · {lane.run}" if lane.section.lower() != lane.run.lower() else lane.run
    marks = [drawing.words(_LEFT - 10, y + 16, drawing.shortened(said, 32), "name end", about=said)]
    for kind, stretches, what in (
        ("scanned", lane.counted, "scanned"),
        ("repeated", lane.repeated, "replicates of other spectra"),
    ):
        for top, bottom in stretches:
            x, width = axis.at(top), axis.at(bottom) - axis.at(top)
            marks.append(drawing.box(x, y + 5, max(width, 2.0), _LANE - 10, kind, _said(top, bottom, what)))
    return marks


def _stretches(depths: Sequence[float], step: float) -> list[Stretch]:
    """Depths without holes, each spectrum standing for half a step on both sides."""
    if not depths:
        return []
    cuts = np.flatnonzero(np.diff(depths) > _HOLE * step) + 1
    return [
        (float(part[0] - step / 2), float(part[-1] + step / 2)) for part in np.split(np.array(depths), cuts.tolist())
    ]


def _merged(stretches: Iterable[Stretch]) -> list[Stretch]:
    out: list[Stretch] = []
    for top, bottom in sorted(stretches):
        if out and top <= out[-1][1]:
            out[-1] = (out[-1][0], max(bottom, out[-1][1]))
        else:
            out.append((top, bottom))
    return out


def _said(top: float, bottom: float, what: str) -> str:
    return f"{what}: {drawing.length(top)} to {drawing.length(bottom)}"


def _counted(stretches: Sequence[Stretch], one: str, many: str) -> str:
    if not stretches:
        return f"no {one}"
    together = drawing.length(sum(bottom - top for top, bottom in stretches))
    return f"{drawing.many(len(stretches), one, many)} ({together})"
