"""The table of a proof of continual pretraining, and its verdict: what `training.arrivals` says of its numbers.

All ratios are taken seed by seed and then averaged: two models of one seed were judged on the same spectra, and started
from the same chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.forgetting import RECONSTRUCTION, TOLERANCE

FIRST, SCRATCH, CONTINUAL, NAIVE = "first", "scratch", "continual", "naive"
"""The model of the first arrival; new on everything; continued with replay; continued without."""

Floats = NDArray[np.float64]

_HEAD = (
    *("arrival", "expedition", "measure", "scratch", "before", "continual", "continual to scratch"),
    *("continual to before", "naive", "naive to before"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the numbers are of."""

    order: tuple[str, ...]
    """``site/expedition``, as they arrived."""

    recipe: str
    """Name and hash."""

    unit: str
    """What is held out whole: core, or section."""

    held_out: Mapping[str, tuple[str, ...]]
    """Expedition to the units that judge it; none: it is not judged."""

    compute: float
    """Largest share of the compute of the model from scratch that a continued one was allowed."""

    synthetic: bool
    """Whether no scanner measured these spectra."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One expedition after one arrival, by one measure; (seed,) each."""

    arrival: int
    expedition: str
    measure: str
    spectra: int
    """Held out."""

    new: bool
    """Whether it is the one that arrived."""

    scratch: Floats
    continual: Floats
    naive: Floats
    before: Floats
    """The error of the continual model before this arrival; NaN for the expedition that arrived."""

    naive_before: Floats
    """The same of the naive model."""

    @property
    def behind(self) -> Floats:
        """How much larger the error of `continual` is than that of the model from scratch."""
        return self.continual / self.scratch - 1

    @property
    def forgotten(self) -> Floats:
        """How much larger the error of `continual` is than before this arrival."""
        return self.continual / self.before - 1

    @property
    def naively(self) -> Floats:
        """How much larger the error of `naive` is than before this arrival."""
        return self.naive / self.naive_before - 1


def compared(found: pd.DataFrame) -> list[Compared]:
    """The rows of ``arrivals.csv`` of seeds that are complete, side by side."""
    last = found["arrival"].max()
    whole = set(found.loc[(found["arrival"] == last) & (found["arm"] == NAIVE), "seed"])
    found = found[found["seed"].isin(whole)]
    arrived = dict(zip(found["arrival"], found["arrived"], strict=True))
    errors = found.pivot_table(index="seed", columns=["arrival", "arm", "expedition", "measure"], values="error")
    spectra = found.groupby("expedition")["spectra"].first()
    blank = pd.Series(np.nan, errors.index)
    every: list[Compared] = []
    for column in errors.columns.tolist():
        arrival, arm, name, measure = int(column[0]), *map(str, column[1:])
        if arm != SCRATCH:
            continue

        def of(number: int, which: str, key: tuple[str, str] = (name, measure)) -> Floats:
            return np.asarray(errors.get((number, which, *key), blank), dtype=np.float64)

        former = (FIRST, FIRST) if arrival == 2 else (CONTINUAL, NAIVE)
        every.append(
            Compared(
                arrival=arrival,
                expedition=name,
                measure=measure,
                spectra=int(spectra[name]),
                new=arrived[arrival] == name,
                scratch=of(arrival, SCRATCH),
                continual=of(arrival, CONTINUAL),
                naive=of(arrival, NAIVE),
                before=of(arrival - 1, former[0]),
                naive_before=of(arrival - 1, former[1]),
            )
        )
    order = list(arrived.values())
    return sorted(
        every,
        key=lambda one: (one.arrival, one.measure != RECONSTRUCTION, one.measure, order.index(one.expedition)),
    )


def report(found: pd.DataFrame, about: About) -> str:
    """The Markdown of a proof: what was held out, errors, compute, verdict."""
    rows = compared(found)
    seeds = found["seed"].nunique()
    lines = [
        f"# Expeditions arrive: {', then '.join(about.order)}",
        "",
        f"Recipe {about.recipe}; {seeds} seed{'s' if seeds > 1 else ''}; "
        + ("**synthetic** spectra of the virtual scanner" if about.synthetic else "measured spectra")
        + f". Whole {about.unit}s judge:",
        "",
        *_held_out(about),
        "",
        (
            "Errors are means over the seeds, smaller is better: of hidden patches (mean square, drawn several times) "
            "or, for a proxy, of a linear probe over the spread of the labels. Changes are means over the seeds "
            "(smallest to largest)."
        ),
        "",
        *_table(
            _HEAD,
            [_errors(one) for one in rows],
        ),
        "",
        *_table(("arrival", "model", "spectra seen", "of scratch", "seconds"), list(_costs(found))),
        "",
        *(f"- {line}" for line in verdict(rows, found, about)),
    ]
    return "\n".join(lines) + "\n"


def verdict(rows: Sequence[Compared], found: pd.DataFrame, about: About) -> Iterator[str]:
    """A sentence for each goal and measure: met or not, and by how much."""
    cost = _cost(found)
    shares = [cost[arrival, CONTINUAL] / seen for (arrival, arm), seen in cost.items() if arm == SCRATCH]
    for measure in dict.fromkeys(one.measure for one in rows):
        ours = [one for one in rows if one.measure == measure]
        mean = float(np.mean([one.behind for one in ours]))
        worst = max(ours, key=lambda one: one.behind.mean())
        met = mean <= TOLERANCE and worst.behind.mean() <= TOLERANCE and max(shares) <= about.compute
        yield (
            f"{measure}: within {TOLERANCE:.0%} of retraining on everything at {max(shares):.0%} of its compute: "
            f"**{_met(met)}** (mean {mean:+.1%}; largest {_place(worst)} {_range(worst.behind)})"
        )
        earlier = [one for one in ours if np.isfinite(one.forgotten).all()]
        if not earlier:
            yield f"{measure}: no earlier expedition is judged, so nothing can be said of forgetting"
            continue
        most = max(earlier, key=lambda one: one.forgotten.mean())
        yield (
            f"{measure}: no earlier expedition worse by more than {TOLERANCE:.0%} than before: "
            f"**{_met(most.forgotten.mean() <= TOLERANCE)}** (largest change {_place(most)} {_range(most.forgotten)})"
        )
        lost = max(earlier, key=lambda one: one.naively.mean())
        yield (
            f"{measure}: without replay it forgets: **{_met(lost.naively.mean() > TOLERANCE)}** "
            f"(largest change {_place(lost)} {_range(lost.naively)})"
        )


def _cost(found: pd.DataFrame) -> dict[tuple[int, str], float]:
    """(arrival, model) to the spectra that it saw in training, the mean over the seeds."""
    each = found.drop_duplicates(["seed", "arrival", "arm"]).groupby(["arrival", "arm"], sort=False)["seen"].mean()
    return {(int(key[0]), str(key[1])): float(seen) for key, seen in zip(each.index.tolist(), each, strict=True)}


def _costs(found: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    cost = _cost(found)
    each = found.drop_duplicates(["seed", "arrival", "arm"]).groupby(["arrival", "arm"], sort=False)
    seconds = each["seconds"].mean()
    for (arrival, arm), seen in cost.items():
        whole = cost.get((arrival, SCRATCH))
        share = f"{seen / whole:.0%}" if whole else ""
        yield str(arrival), arm, f"{seen:,.0f}", share, f"{seconds[arrival, arm]:.0f}"


def _held_out(about: About) -> list[str]:
    return [
        f"- {name}: {', '.join(about.held_out[name]) or '**nothing is held out, so it is not judged**'}"
        for name in about.order
    ]


def _errors(one: Compared) -> tuple[str, ...]:
    name = f"{one.expedition} ({one.spectra} spectra{', new' if one.new else ''})"
    return (
        str(one.arrival),
        name,
        one.measure,
        _number(one.scratch),
        _number(one.before),
        _number(one.continual),
        _range(one.behind),
        _range(one.forgotten),
        _number(one.naive),
        _range(one.naively),
    )


def _number(values: Floats) -> str:
    return f"{values.mean():.4g}" if np.isfinite(values).all() else ""


def _range(changes: Floats) -> str:
    """Mean change and its range over the seeds, in per cent."""
    if not np.isfinite(changes).all():
        return ""
    ends = f" ({changes.min():+.1%} to {changes.max():+.1%})" if len(changes) > 1 else ""
    return f"{changes.mean():+.1%}{ends}"


def _place(one: Compared) -> str:
    return f"{one.expedition} at arrival {one.arrival}"


def _met(met: bool | np.bool_) -> str:
    return "met" if met else "not met"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, tuple("---" for _ in head), *rows)]
