"""The part of a card that says how good a model is: scores with intervals, baselines beside them, core by core."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from registry import judged, noise
from registry.card_blocks import Block, Picture, Strong, Table, Words
from registry.card_drawing import Lane, agreement, errors

if TYPE_CHECKING:
    from corebank.bundle import Bundle

Baselines = Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]
"""``{side: {proxy: {model: scores}}}``, as ``metrics.json`` has them beside those of the network."""

SCORES = {"r2": "R2", "rmse": "RMSE", "mae": "MAE", "bias": "bias", "rpiq": "RPIQ"}
"""Name in the metrics -> name on the card."""


def scores(model: Bundle, baselines: Baselines) -> Iterator[Block]:
    """What was measured on data that the model had not learnt from, or that nothing was."""
    sides = [side for side in judged.SIDES if judged.recorded(model, side)]
    validation: Mapping[str, Any] = model.metrics.get("validation", {})
    if not sides and not validation:
        yield Words("Nothing held out was measured. Do not rely on it.", strong=True)
    for side in sides:
        yield from _side(model, side, baselines.get(side, {}))
    if validation:
        yield Table(
            "Mean squared error of hidden patches, in normalised units, on cores that were held out from training:",
            ("expedition", "held out", "spectra", "loss"),
            [
                (where, ", ".join(one["cores"]), _count(one.get("spectra")), number(one["loss"]))
                for where, one in validation.items()
            ],
            numbers=2,
        )


def _side(model: Bundle, side: judged.Side, baselines: Mapping[str, Any]) -> Iterator[Block]:
    units = {proxy.name: proxy.unit for proxy in model.proxies}
    records = judged.recorded(model, side)
    yield Words(
        "On laboratory values of whole cores or sections that were held out from training:"
        if side == "held_out"
        else "In cross-validation, each core or section by a model that was trained without it; it says how good the "
        "recipe is, and the model itself has seen them all:"
    )
    yield Table(
        "All held-out labels together, 90 % intervals in brackets; R2 compares with the mean of these very labels.",
        ("proxy", "model", "labels", *SCORES.values(), "coverage"),
        [row for proxy, record in records.items() for row in _whole(proxy, record, baselines.get(proxy, {}))],
        numbers=len(SCORES) + 2,
    )
    yield Table(
        "Core by core or section by section. The interval of an RMSE is of these labels, by drawing blocks of "
        "neighbours again (see registry.noise); coverage is the share of labels inside their 90 % interval.",
        ("proxy and unit", "core or section", "labels", "R2", "RMSE", "90 % interval", "MAE", "bias", "coverage"),
        [
            row
            for proxy, record in records.items()
            for row in _by_core(f"{proxy} [{units.get(proxy, 'unknown unit')}]", side, record)
        ],
        numbers=7,
    )
    for place, (proxy, record) in enumerate(records.items()):
        yield from _pictures(
            proxy, units.get(proxy, ""), side, record, baselines.get(proxy, {}), f"{side.replace('_', '-')}-{place}"
        )


def _whole(proxy: str, record: Mapping[str, Any], baselines: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The model's own line, and one for each baseline."""
    for name, one in {"this model": record, **baselines}.items():
        own = one is record
        interval = one.get("interval") or {}
        yield (
            proxy,
            Strong(name) if own else name,
            _count(one.get("n")),
            *(f"{number(one.get(score))}{_brackets(interval.get(score))}" for score in SCORES),
            share(_mean_coverage(record)) if own else "",
        )


def _mean_coverage(record: Mapping[str, Any]) -> float:
    """Coverage over all labels, from that of each core."""
    parts = [(int(one.get("n") or 0), judged.number(one.get("coverage"))) for one in record["by_core"].values()]
    known = [(count, value) for count, value in parts if not math.isnan(value)]
    count = sum(count for count, _ in known)
    return sum(count * value for count, value in known) / count if count else math.nan


def _by_core(proxy: str, side: judged.Side, record: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, one in sorted(record["by_core"].items()):
        low, high = _interval(judged.unit_of(name, side, one))
        yield (
            proxy,
            name,
            _count(one.get("n")),
            number(one.get("r2")),
            number(one.get("rmse")),
            "" if math.isnan(low) else f"{number(low)} to {number(high)}",
            number(one.get("mae")),
            number(one.get("bias")),
            share(one.get("coverage")),
        )


def _pictures(
    proxy: str, unit: str, side: judged.Side, record: Mapping[str, Any], baselines: Mapping[str, Any], name: str
) -> Iterator[Block]:
    units = [judged.unit_of(core, side, one) for core, one in sorted(record["by_core"].items())]
    lanes = []
    for one in units:
        low, high = _interval(one)
        others = [judged.number(other.get("by_core", {}).get(one.name, {}).get("rmse")) for other in baselines.values()]
        best = min((value for value in others if not math.isnan(value)), default=math.nan)
        lanes.append(Lane(core=one.name, rmse=one.rmse, low=low, high=high, baseline=best))
    if lanes:
        beside = "; open boxes are the best baseline on that core" if baselines else ""
        yield Picture(
            errors(lanes, judged.number(record.get("rmse")), unit, f"{name}-errors"),
            f"{proxy}, {judged.SIDES[side]}: RMSE of each core with its 90 % interval; dashed, that of all{beside}.",
        )
    labels = {one.name: one.labels for one in units if one.labels is not None}
    if labels:
        yield Picture(
            agreement(labels, proxy, unit, f"{name}-agreement"),
            f"{proxy}, {judged.SIDES[side]}: predicted against measured values with their 90 % intervals; dashed, "
            "where both are equal.",
        )


def _interval(unit: judged.Unit) -> tuple[float, float]:
    return (math.nan, math.nan) if unit.labels is None else noise.rmse_interval(unit.labels.squares)


def _brackets(ends: Any) -> str:
    return f" [{number(ends[0])}, {number(ends[1])}]" if ends else ""


def _count(value: Any) -> str:
    return "" if value is None else f"{int(value):,}"


def number(value: Any) -> str:
    """A number as the card has it; empty for what was not recorded."""
    known = judged.number(value)
    return "" if math.isnan(known) else f"{known:.3g}"


def share(value: Any) -> str:
    """A share in per cent; empty for what was not recorded."""
    known = judged.number(value)
    return "" if math.isnan(known) else f"{known:.0%}"
