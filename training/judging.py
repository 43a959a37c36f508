"""What a run reports of its models: scores with intervals, coverage core by core, outliers, and the tables of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from corebank.bundle import Bundle, Proxy
from corebank.model import Quantifier
from corebank.predict.judging import possible
from corebank.uncertainty import Outlier
from training import scores, trust
from training.examples import Floats, middles
from training.quantifier import embeddings
from training.task import COMPANION, NETWORK, STACK, Task

LOOKED_AT = 1_024
"""Spectra of a held-out unit, evenly spread, that are asked whether they are outliers."""

DELIVERED = (STACK, NETWORK)
"""What the quantifier is made of: the first that stands in a table."""

Bounds = tuple[Floats, Floats]
"""Lower and upper ends of the intervals of n labels, (n, k) [unit] both."""


def records(
    task: Task,
    asked: NDArray[np.intp],
    answers: Sequence[Mapping[str, Sequence[Floats]]],
    bounds: Bounds | None = None,
) -> dict[str, dict[str, Any]]:
    """``{proxy: {model: record}}`` of `training.scores.by_unit`; the value of an interval is the mean over its spectra.

    Parameters
    ----------
    task
        The labels.
    asked
        The intervals that were asked about, n of them.
    answers
        What each model said of them, as `Task.ask` has it; further entries are repetitions with other seeds, by the
        models that these change, which get ``seeds``: their R2 and RMSE in each repetition.
    bounds
        Ends of the quantifier's intervals.
    """
    if not answers or not answers[0]:
        return {}
    depth, units = middles(task.labels)[asked], task.units[asked]
    found: dict[str, dict[str, Any]] = {}
    for column, name in enumerate(task.recipe.proxies):
        measured = task.examples.values[asked, column]
        each = [
            {model: means(said, column, task.labels.units[column]) for model, said in one.items()} for one in answers
        ]
        found[name] = {}
        for model, values in each[0].items():
            own = (bounds[0][:, column], bounds[1][:, column]) if bounds and model == task.delivered else None
            record = scores.by_unit(measured, values, units, depth, own)
            again = [scores.score(measured, one[model]) for one in each[1:] if model in one]
            if again and model != COMPANION:  # which no seed changes: it is handed on for the mixture
                record["seeds"] = {number: [one[number] for one in (record, *again)] for number in ("r2", "rmse")}
            found[name][model] = record
    return found


def beside(report: Mapping[str, Any], delivered: str) -> dict[str, dict[str, dict[str, Any]]]:
    """``{side: {proxy: {model: record}}}`` of the models that stand beside the one delivered, without single labels."""

    def short(record: Mapping[str, Any]) -> dict[str, Any]:
        cores = {core: {name: one[name] for name in (*scores.NUMBERS, "n")} for core, one in record["by_core"].items()}
        return {name: record[name] for name in (*scores.NUMBERS, "n", "interval")} | {"by_core": cores}

    return {
        side: {
            proxy: {model: short(one) for model, one in models.items() if model != delivered}
            for proxy, models in report[side].items()
        }
        for side in ("held_out", "cross_validation")
    }


def averaged(said: Sequence[Floats]) -> list[Floats]:
    """The mean over the spectra of each interval, (1, k); empty where nothing was said."""
    return [one.mean(axis=0, keepdims=True) if len(one) else one for one in said]


def ends(proxies: Sequence[Proxy], said: Sequence[Floats], foreign: NDArray[np.bool_]) -> Bounds:
    """Interval of each of n labels: the means of the bounds of its spectra, as wide as for one of them.

    `said` is what the network says of their spectra, n arrays (spectra, k) [unit]; `foreign` (n,) tells which come from
    a machine that the model has not seen. Neighbouring spectra are wrong together, so that a mean of several earns no
    narrower interval (see `corebank.predict.averaging`).
    """
    lower, upper = np.full((len(said), len(proxies)), np.nan), np.full((len(said), len(proxies)), np.nan)
    for column, proxy in enumerate(proxies):
        limits = possible(proxy.unit)
        for row, values in enumerate(said):
            half = proxy.half_width_unseen if foreign[row] else proxy.half_width
            if values.size and math.isfinite(half):
                low, high = proxy.bounds(values[:, column], half)
                lower[row, column], upper[row, column] = np.clip(low, *limits).mean(), np.clip(high, *limits).mean()
    return lower, upper


def crossed_ends(
    task: Task,
    training: NDArray[np.intp],
    proxies: Sequence[Proxy],
    said: Sequence[Floats],
    unseen: Sequence[Floats],
) -> Bounds:
    """Intervals of the labels `training` of a cross-validation, the widths of a unit's from the other units alone.

    What `said` and `unseen` are, and how they become widths, says `training.trust.half_widths`. A unit that had a hand
    in its own width would always look well covered.
    """
    units, machines = task.units[training], task.machines[training]
    measured = task.examples.values[training, : task.count]
    lower, upper = np.full(measured.shape, np.nan), np.full(measured.shape, np.nan)
    for unit in sorted(set(units.tolist())):
        here, others = np.flatnonzero(units == unit).tolist(), np.flatnonzero(units != unit).tolist()
        widened = trust.half_widths(
            proxies,
            measured[others],
            [said[row] for row in others],
            units[others],
            machines[others],
            unseen=[unseen[row] for row in others] if unseen else (),
        )
        foreign = strange(machines[here], (*task.parent.lineage.machines, *machines[others].tolist()))
        lower[here], upper[here] = ends(widened, [said[row] for row in here], foreign)
    return lower, upper


def strange(machines: NDArray[Any], known: Sequence[str]) -> NDArray[np.bool_]:
    """(n,) which machines are not among the `known` ones; none where no machine is known."""
    names = sorted(set(known) - {""})
    return ~np.isin(machines, names) if names else np.zeros(len(machines), dtype=bool)


def outliers(
    model: Bundle, network: Quantifier, spectra: xr.Dataset, names: NDArray[np.str_], units: Sequence[str]
) -> dict[str, dict[str, float]]:
    """How many ``spectra`` of each of `units` were looked at, and the share ``flagged`` as outliers.

    `names` (spectrum,) are the units of `spectra`; units without spectra are left out.
    """
    assert model.outlier is not None, "a quantifier that is being judged has a detector"
    detector, found = Outlier.from_arrays(dict(model.outlier)), {}
    for unit in units:
        rows = np.flatnonzero(names == unit)
        if not rows.size:
            continue
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, LOOKED_AT).astype(int))]
        chosen = spectra.isel(spectrum=rows).load()
        values, measured = model.normalization(chosen["intensity"].values)
        score = detector.score(embeddings(network, model.normalization, chosen), values, measured)
        found[unit] = {"spectra": len(rows), "flagged": float((score > 1).mean())}
    return found


def table(results: Mapping[str, Mapping[str, Mapping[str, Any]]], units: Mapping[str, str], unit: str) -> str:
    """Lines of text for ``{proxy: {model: record}}``: all models over everything, then the quantifier by core.

    `units` are those of the proxies, `unit` is what is left out: core or section.
    """
    rows: list[tuple[str, ...]] = [
        ("proxy", "model", "R2", "90 %", "RMSE", "90 %", "MAE", "bias", "RPIQ", "n", "inside")
    ]
    for proxy, models in results.items():
        for model, one in models.items():
            rows.append(
                (
                    f"{proxy} [{units[proxy]}]",
                    model,
                    _spread(one, "r2", ".2f"),
                    _interval(one["interval"]["r2"], ".2f"),
                    _spread(one, "rmse", ".3g"),
                    _interval(one["interval"]["rmse"], ".3g"),
                    *_numbers(one),
                )
            )
    parts: list[tuple[str, ...]] = [("proxy", unit, "R2", "RMSE", "MAE", "bias", "RPIQ", "n", "inside")]
    for proxy, models in results.items():
        ours: Mapping[str, Any] = next((models[name] for name in DELIVERED if name in models), {"by_core": {}})
        for core, one in ours["by_core"].items():
            parts.append((f"{proxy} [{units[proxy]}]", core, f"{one['r2']:.2f}", f"{one['rmse']:.3g}", *_numbers(one)))
    everything = [one for models in results.values() for one in models.values()]
    notes = ["inside: share of laboratory values inside the 90 % interval of the quantifier."]
    if any(one["interval"]["r2"] for one in everything):
        notes.insert(0, f"90 %: interval of the number to its left, bootstrap over {unit}s.")
    if any(one["interval"]["r2"] is None for one in everything):
        notes.append(f"No interval of a score can be given where fewer than {scores.FEWEST_UNITS} {unit}s judge.")
    if any("seeds" in one for one in everything):
        notes.append("±: standard deviation over the seeds, around their mean.")
    return "\n".join([_lines(rows), "", _lines(parts), "", *notes])


def means(said: Sequence[Floats], column: int, unit: str) -> Floats:
    """(n,) mean of each interval's values of one proxy in `unit`; NaN where nothing was said.

    As in `corebank.predict`, no value is beyond what its unit allows; whatever the model, and after it was mixed.
    """
    limits = possible(unit)
    return np.array([np.clip(one[:, column], *limits).mean() if one.size else math.nan for one in said])


def _spread(record: Mapping[str, Any], number: str, form: str) -> str:
    """A number, or its mean and standard deviation over the seeds."""
    if "seeds" not in record:
        return format(record[number], form)
    each = np.array(record["seeds"][number])
    return f"{each.mean():{form}} ± {each.std(ddof=1):{form}}"


def _interval(ends: Sequence[float] | None, form: str) -> str:
    return f"{ends[0]:{form}} to {ends[1]:{form}}" if ends else "-"


def _numbers(record: Mapping[str, Any]) -> tuple[str, ...]:
    """MAE, bias, RPIQ, n and coverage of a record."""
    coverage = record.get("coverage", math.nan)
    return (
        *(f"{record[name]:.3g}" for name in ("mae", "bias", "rpiq")),
        str(record["n"]),
        "-" if math.isnan(coverage) else f"{coverage:.0%}",
    )


def _lines(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns of text, aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
