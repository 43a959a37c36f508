"""What every drawing of the page needs: axes with round ticks, and text that cannot become markup."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

WIDTH = 960.0
"""Width of a drawing in its own units, about pixels on a desk screen; the page scales it."""


class Axis(NamedTuple):
    """A straight axis: values from `low` to `high` stand at `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Where `value` stands."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)


def axis(low: float, high: float, start: float, end: float) -> Axis:
    """An axis that is never empty: one value alone gets room on both sides."""
    if not high > low:
        room = max(abs(low) * 0.01, 1.0)
        low, high = low - room, high + room
    return Axis(low, high, start, end)


def ticks(low: float, high: float, about: int = 8) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) inside `low` to `high`, `about` so many."""
    if not high > low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step + 0.0 for number in range(first, last + 1)]


def spread(places: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Ascending `places` moved so that labels there are `apart` and inside `low` to `high`.

    Those too close to each other stand evenly around their middle, which moves them least in the sense of least
    squares (pool adjacent violators); where they do not all fit, all are evenly spaced.
    """
    count = len(places)
    if count * apart > high - low:
        return [low + (number + 0.5) * (high - low) / count for number in range(count)]
    clusters: list[tuple[float, int]] = []
    for number, place in enumerate(places):
        middle, size = place - number * apart, 1
        while clusters and clusters[-1][0] > middle:
            before, members = clusters.pop()
            middle, size = (before * members + middle * size) / (members + size), members + size
        clusters.append((middle, size))
    first, last = low + apart / 2, high - apart / 2 - (count - 1) * apart
    free = [min(max(middle, first), last) for middle, size in clusters for _ in range(size)]
    return [place + number * apart for number, place in enumerate(free)]


def finite(values: Iterable[float]) -> list[float]:
    """The values that are numbers, in order of size."""
    return sorted(float(value) for value in values if math.isfinite(value))


def shortened(text: str, letters: int) -> str:
    """`text`, cut in the middle to at most so many letters: the start and the end of a name tell most."""
    if len(text) <= letters:
        return text
    left = (letters - 1 + 1) // 2
    return f"{text[:left]}…{text[len(text) - (letters - 1 - left) :]}"


def length(millimetres: float) -> str:
    """A length as people say it: ``7 mm``, ``12.5 cm``, ``2.75 m``."""
    if abs(millimetres) < 10:
        return f"{millimetres:.3g} mm"
    return f"{millimetres / 10:.4g} cm" if abs(millimetres) < 1000 else f"{millimetres / 1000:.4g} m"


def many(count: int, one: str, more: str) -> str:
    """A number with its noun: ``1 run``, ``2,124 spectra``, ``no gap``."""
    return f"{count:,} {one if count == 1 else more}" if count else f"no {one}"


def picture(marks: Iterable[Markup], height: float, name: str, title: str, about: str) -> Markup:
    """An inline SVG of `marks` that a screen reader announces as one image with a title and a description."""
    return Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-labelledby="{}-title {}-about" xmlns="http://www.w3.org/2000/svg">'
        '<title id="{}-title">{}</title><desc id="{}-about">{}</desc>{}</svg>'
    ).format(f"{WIDTH:g}", f"{height:g}", name, name, name, title, name, about, Markup("").join(marks))


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line; `kind` is its class in the style sheet."""
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(
        f"{x1:.1f}", f"{y1:.1f}", f"{x2:.1f}", f"{y2:.1f}", kind
    )


def box(x: float, y: float, width: float, height: float, kind: str, about: str = "") -> Markup:
    """A rectangle, at least one unit wide so that it can be seen; `about` shows when it is pointed at."""
    inside = Markup("<title>{}</title>").format(about) if about else Markup("")
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" class="{}">{}</rect>').format(
        f"{x:.1f}", f"{y:.1f}", f"{max(width, 1.0):.1f}", f"{height:.1f}", kind, inside
    )


def words(x: float, y: float, text: str, kind: str, *, upright: bool = False, about: str = "") -> Markup:
    """Text at a place; `upright` turns it to read from below."""
    turn = Markup(' transform="rotate(-90 {} {})"').format(f"{x:.1f}", f"{y:.1f}") if upright else Markup("")
    inside = Markup("<title>{}</title>").format(about) if about else Markup("")
    return Markup('<text x="{}" y="{}" class="{}"{}>{}{}</text>').format(
        f"{x:.1f}", f"{y:.1f}", kind, turn, inside, text
    )
