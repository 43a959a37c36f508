"""The pictures of a card: how large the error is on each held-out core, and predicted against measured values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from corebank.page import drawing
from registry.judged import Labels

_LEFT, _RIGHT, _LANE, _FOOT = 250.0, 24.0, 26.0, 44.0
_HEIGHT = 340.0
_LETTERS = 34


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """The error on one core."""

    core: str
    rmse: float
    low: float
    """Lower end of its interval; NaN where it is not known."""
    high: float
    baseline: float
    """RMSE of the best baseline there; NaN where none was recorded."""


def errors(lanes: Sequence[Lane], whole: float, unit: str, name: str) -> Markup:
    """RMSE of each core as a point with its interval, and a dashed line at that of all; `name` starts the ids in it."""
    ends = [value for lane in lanes for value in (lane.rmse, lane.high, lane.baseline) if math.isfinite(value)]
    usual = max((lane.rmse for lane in lanes if math.isfinite(lane.rmse)), default=1.0)
    across = drawing.axis(0.0, min(max([*ends, whole]), 4 * usual), _LEFT, drawing.WIDTH - _RIGHT)
    bottom = 12.0 + _LANE * len(lanes)
    marks = _axis(across, bottom, f"RMSE [{unit}]")
    if math.isfinite(whole):
        marks.append(drawing.line(across.at(whole), 6.0, across.at(whole), bottom, "whole"))
    for number, lane in enumerate(lanes):
        middle = 12.0 + _LANE * (number + 0.5)
        short = drawing.shortened(lane.core, _LETTERS)
        marks.append(drawing.words(_LEFT - 12, middle + 4, short, "end", about=lane.core))
        if math.isfinite(lane.low) and math.isfinite(lane.high):
            marks.append(drawing.line(across.at(lane.low), middle, across.at(lane.high), middle, "whisker"))
        if math.isfinite(lane.baseline):
            about = f"best baseline: {lane.baseline:.3g} {unit}"
            marks.append(drawing.box(across.at(lane.baseline) - 1.5, middle - 8, 3, 16, "other", about))
        if math.isfinite(lane.rmse):
            about = f"{lane.core}: {lane.rmse:.3g} {unit}"
            marks.append(drawing.box(across.at(lane.rmse) - 4, middle - 4, 8, 8, "point", about))
    about = "; ".join(f"{lane.core} {lane.rmse:.3g} {unit}" for lane in lanes)
    return drawing.picture(marks, bottom + _FOOT, name, "RMSE of each core", about)


def agreement(cores: Mapping[str, Labels], proxy: str, unit: str, name: str) -> Markup:
    """Predicted against measured value of every label, with its interval; on the diagonal both are equal."""
    rows = [
        (core, *values)
        for core, labels in cores.items()
        for values in zip(
            labels.measured.tolist(),
            labels.predicted.tolist(),
            labels.lower.tolist(),
            labels.upper.tolist(),
            strict=True,
        )
        if math.isfinite(values[0]) and math.isfinite(values[1])
    ]
    ends = drawing.finite(value for _, measured, predicted, _, _ in rows for value in (measured, predicted))
    low, high = (ends[0], ends[-1]) if ends else (0.0, 1.0)
    room = 0.04 * (high - low)
    across = drawing.axis(low - room, high + room, 90.0, drawing.WIDTH - _RIGHT)
    up = drawing.axis(low - room, high + room, 10.0 + _HEIGHT, 10.0)
    marks = _axis(across, up.start, f"measured {proxy} [{unit}]")
    for value in drawing.ticks(up.low, up.high, 6):
        marks.append(drawing.line(across.start, up.at(value), across.end, up.at(value), "grid"))
        marks.append(drawing.words(across.start - 8, up.at(value) + 4, f"{value:g}", "tick end"))
    marks.append(drawing.words(24, up.end + _HEIGHT / 2, f"predicted {proxy} [{unit}]", "middle", upright=True))
    marks.append(drawing.line(across.start, up.start, across.end, up.end, "whole"))
    for core, measured, predicted, lower, upper in rows:
        x = across.at(measured)
        if math.isfinite(lower) and math.isfinite(upper):
            marks.append(drawing.line(x, up.at(lower), x, up.at(upper), "whisker"))
        about = f"{core}: measured {measured:.4g}, predicted {predicted:.4g} {unit}"
        marks.append(drawing.box(x - 3, up.at(predicted) - 3, 6, 6, "point", about))
    about = f"{len(rows)} labels of {len(cores)} cores, {low:.3g} to {high:.3g} {unit}"
    return drawing.picture(marks, up.start + _FOOT, name, f"Predicted against measured {proxy}", about)


def _axis(across: drawing.Axis, bottom: float, title: str) -> list[Markup]:
    """The axis at the foot with its ticks and its title."""
    marks = [drawing.line(across.start, bottom, across.end, bottom, "axis")]
    for value in drawing.ticks(across.low, across.high):
        marks.append(drawing.line(across.at(value), 6.0, across.at(value), bottom, "grid"))
        marks.append(drawing.words(across.at(value), bottom + 16, f"{value:g}", "tick middle"))
    marks.append(drawing.words((across.start + across.end) / 2, bottom + 36, title, "middle"))
    return marks
