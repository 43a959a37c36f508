"""Sample spectra of a run, drawn: counts on a logarithmic scale over energy, emission lines named."""

from __future__ import annotations

import math

from markupsafe import Markup

from corebank.contribution.report import Profile, Sample
from corebank.page import drawing

COLOURS = 4
"""Colours in the style sheet; further samples begin again."""

_LEFT, _RIGHT, _HEIGHT, _FOOT = 62.0, 14.0, 236.0, 42.0
_APART, _LETTER, _LEADER = 13.0, 6.8, 14.0
"""Height and width of a letter with a little room, and the way from a label down to the plot."""
_LONGEST = 14
"""Letters of a line's name; the longest is "Mo Ka Compton"."""


def drawn(profile: Profile, name: str) -> Markup:
    """The samples of `profile` as an inline SVG; `name` starts the ids in it. Empty where none has a count."""
    samples = [points for sample in profile.samples if (points := _points(sample))]
    if not samples:
        return Markup("")
    last = max(energy for points in samples for energy, count in points if count > 0)
    most = max(count for points in samples for _, count in points)
    across = drawing.axis(0.0, last, _LEFT, drawing.WIDTH - _RIGHT)
    longest = max((len(name) for name, _, _ in profile.lines), default=0)
    top = (_LETTER * min(longest, _LONGEST) + _LEADER + 6) if longest else 10.0
    up = drawing.axis(math.log10(0.7), math.log10(most) + 0.1, top + _HEIGHT, top)
    marks = _frame(across, up)
    for number, points in enumerate(samples):
        marks.append(
            Markup('<path d="M{}" class="spectrum colour-{}"/>').format(
                "L".join(
                    f"{across.at(energy):.1f} {up.at(math.log10(max(count, 0.7))):.1f}" for energy, count in points
                ),
                number % COLOURS + 1,
            )
        )
    marks += _lines(profile, across, up)
    return drawing.picture(
        marks,
        up.start + _FOOT,
        name,
        f"Sample spectra of {profile.run}",
        f"Counts per channel from 0 to {last:.4g} keV, at most {most:.4g}; "
        + (", ".join(f"{line} at {energy:.2f} keV" for line, energy, _ in profile.lines) or "no line identified"),
    )


def _points(sample: Sample) -> list[tuple[float, float]]:
    """Energy [keV] and count from 0 keV on; none where nothing was counted there."""
    points = [
        (energy, count)
        for energy, count in zip(sample.energy, sample.counts, strict=False)
        if math.isfinite(energy) and math.isfinite(count) and energy >= 0
    ]
    return points if any(count > 0 and energy > 0 for energy, count in points) else []


def _frame(across: drawing.Axis, up: drawing.Axis) -> list[Markup]:
    marks = [
        drawing.words((_LEFT + drawing.WIDTH) / 2, up.start + _FOOT - 8, "energy [keV]", "tick middle"),
        drawing.words(14, (up.start + up.end) / 2, "counts", "tick middle", upright=True),
        drawing.line(_LEFT, up.start, drawing.WIDTH - _RIGHT, up.start, "axis"),
    ]
    for energy in drawing.ticks(across.low, across.high, 12):
        x = across.at(energy)
        marks += [
            drawing.line(x, up.start, x, up.start + 5, "axis"),
            drawing.words(x, up.start + 18, f"{energy:g}", "tick middle"),
        ]
    for power in range(math.floor(up.high) + 1):
        y = up.at(power)
        marks += [
            drawing.line(_LEFT, y, drawing.WIDTH - _RIGHT, y, "grid"),
            drawing.words(_LEFT - 8, y + 4, f"{10**power:,}" if power < 6 else f"1e{power}", "tick end"),
        ]
    return marks


def _lines(profile: Profile, across: drawing.Axis, up: drawing.Axis) -> list[Markup]:
    """The identified lines, their names side by side above the plot with leaders down to the energies."""
    known = sorted(
        (line for line in profile.lines if math.isfinite(line[1]) and across.low <= line[1] <= across.high),
        key=lambda line: line[1],
    )
    places = [across.at(energy) for _, energy, _ in known]
    marks = []
    for (name, energy, residual), x, beside in zip(
        known, places, drawing.spread(places, _APART, _LEFT, drawing.WIDTH - _RIGHT), strict=True
    ):
        marks += [
            drawing.line(x, up.end, x, up.start, "emission"),
            drawing.line(beside, up.end - _LEADER, x, up.end, "emission"),
            drawing.words(
                beside + 4,
                up.end - _LEADER - 4,
                drawing.shortened(name, _LONGEST),
                "name",
                upright=True,
                about=f"{name}, {energy:.3f} keV, peak {residual:+.0f} eV from there",
            ),
        ]
    return marks
