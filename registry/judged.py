"""What a quantifier's bundle records about cores that it had not learnt from, read the same whatever its age.

``metrics["held_out"][proxy]["by_core"][unit]`` holds the scores of a core or section that was held out from training;
newer bundles also keep the share of values inside their intervals (``coverage``) and every label with what was said of
it (``labels``). ``metrics["cross_validation"]`` has the same shape for units that were held out in turn. JSON has no
NaN: what is not known is None there and NaN here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from corebank.bundle import Bundle

Floats = NDArray[np.float64]
Side = Literal["held_out", "cross_validation"]

SIDES: dict[Side, str] = {"held_out": "held out", "cross_validation": "held out in turn"}
"""Where scores stand in the metrics, and how people call it."""

Key = tuple[float, float, int]
"""A label: depth [mm], measured value, and which of several equal ones it is."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels:
    """The n labels of one proxy in one unit, in order of depth, and what a model said that had not learnt from them."""

    depth: Floats
    """(n,) [mm]"""
    measured: Floats
    """(n,) in the unit of the proxy, as are the next three."""
    predicted: Floats
    lower: Floats
    """Lower end of the 90 % interval, NaN where none was given."""
    upper: Floats

    @property
    def keys(self) -> tuple[Key, ...]:
        """What tells each label from the others, the same in every bundle that was judged on it."""
        seen: Counter[tuple[float, float]] = Counter()
        found = []
        for depth, measured in zip(self.depth.tolist(), self.measured.tolist(), strict=True):
            place = (round(depth, 3), float(f"{measured:.6g}"))
            found.append((*place, seen[place]))
            seen[place] += 1
        return tuple(found)

    @property
    def squares(self) -> Floats:
        """(n,) squared error of each label; NaN where nothing was said."""
        return np.asarray((self.predicted - self.measured) ** 2)

    @property
    def inside(self) -> Floats:
        """(n,) 1 where the interval holds the measured value, 0 where not, NaN where there is no interval."""
        known = np.isfinite(self.lower) & np.isfinite(self.upper)
        held = (self.lower <= self.measured) & (self.measured <= self.upper)
        return np.where(known, held.astype(np.float64), np.nan)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unit:
    """What is recorded about one proxy in one core or section."""

    name: str
    side: Side
    count: int
    """Labels with a prediction."""
    rmse: float
    coverage: float
    """Share of labels inside the 90 % interval; NaN where it was not recorded."""
    labels: Labels | None


def units(model: Bundle, proxy: str) -> dict[str, Unit]:
    """Every unit that the model was judged on for `proxy`; one that was held out altogether counts before in turn."""
    found: dict[str, Unit] = {}
    for side in SIDES:
        for name, record in sorted(recorded(model, side).get(proxy, {}).get("by_core", {}).items()):
            if name not in found:
                found[name] = unit_of(name, side, record)
    return found


def primary(model: Bundle, proxy: str) -> dict[str, Unit]:
    """The units that stand for the model: those held out altogether, or where there are none those held out in turn."""
    every = units(model, proxy)
    return {name: one for name, one in every.items() if one.side == "held_out"} or every


def proxies(model: Bundle) -> list[str]:
    """The proxies that the model was judged on."""
    return list(dict.fromkeys(name for side in SIDES for name in recorded(model, side)))


def recorded(model: Bundle, side: Side) -> Mapping[str, Any]:
    """Proxy -> scores of one side; empty where nothing was recorded."""
    found: Mapping[str, Any] = model.metrics.get(side) or {}
    return found


def unit_of(name: str, side: Side, record: Mapping[str, Any]) -> Unit:
    """One unit from its record."""
    return Unit(
        name=name,
        side=side,
        count=int(record.get("n") or 0),
        rmse=number(record.get("rmse")),
        coverage=number(record.get("coverage")),
        labels=_labels(record.get("labels")),
    )


def number(value: Any) -> float:
    """A number as JSON has it; NaN for None."""
    return math.nan if value is None else float(value)


def numbers(values: Iterable[Any]) -> Floats:
    """An array of numbers as JSON has them, (n,)."""
    return np.array([number(value) for value in values], dtype=np.float64)


def _labels(record: Mapping[str, Any] | None) -> Labels | None:
    """Labels with a measured value, in order of depth; None for a bundle that does not keep them."""
    if not record or not record.get("measured"):
        return None
    columns = {name: numbers(record[name]) for name in ("depth", "measured", "predicted")}
    for name in ("lower", "upper"):
        given = record.get(name)
        columns[name] = numbers(given) if given else np.full(len(columns["measured"]), np.nan)
    order = np.lexsort((columns["measured"], columns["depth"]))
    order = order[np.isfinite(columns["measured"][order])]
    return Labels(**{name: column[order] for name, column in columns.items()})
