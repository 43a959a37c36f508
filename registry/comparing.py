"""The candidate beside the champion: everything that the champion was measured on, and nothing that only one was."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from registry import judged, noise
from registry.standing import seen
from registry.verdict import Row

if TYPE_CHECKING:
    from corebank.bundle import Bundle

FAMILY = 0.1
"""Chance, aimed at, that an equally good candidate is refused by noise on any of all the cores and proxies together.
Half of it would let a candidate that is twice as bad on a core of ten labels pass in five of six cases."""

FLOOR = 0.05
"""How much larger the RMSE on a core may become however sure the difference is, as a share of the champion's RMSE there
or over all cores, whichever is larger: nobody who uses the numbers would notice less."""

RMSE_SLACK = 0.10
"""How much larger, as a share, the RMSE over all cores may become where no labels are recorded: on tens of labels it is
known no better than that."""

LOSS_SLACK = 0.02
"""How much larger, as a share, the validation loss of an expedition may become: what another seed alone may cost."""

CORE_LOSS_SLACK = 0.05
"""The same for a single core: a part of an expedition scatters more than the whole."""

SHARED = 0.9
"""Share of the champion's labels on a core that the candidate must have been judged on: a few are lost with a spectrum
that is flagged today; a model may not choose which ones."""

SMALL = "its small cores together"
"""The cores of fewer than `noise.FEWEST` labels, as one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """Squared errors of both models at the same labels of one core, in order of depth."""

    champion: judged.Floats
    candidate: judged.Floats


def rows(candidate: Bundle, champion: Bundle) -> Iterator[Row]:
    """Compare what both bundles recorded about held-out data."""
    if candidate.kind != champion.kind:
        reason = f"a {candidate.kind} model cannot replace a {champion.kind} model"
        yield Row(rule="kind", what="kind of model", reason=reason)
        return
    if champion.kind == "foundation":
        yield from _foundation(candidate, champion)
    else:
        yield from _outputs(candidate, champion)
        yield from _quantifier(candidate, champion)


def _foundation(candidate: Bundle, champion: Bundle) -> Iterator[Row]:
    """Validation loss of each expedition, and of each core where both recorded it.

    Losses can be compared on the same cores, the same scale and the same share of hidden patches only.
    """
    scales = [(one.normalization, one.recipe.get("mask_ratio")) for one in (champion, candidate)]
    # No number, or the 0 that older bundles tell of spectra of which no patch could be hidden: not judged there.
    every = champion.metrics.get("validation", {})
    measured = {name: one for name, one in every.items() if judged.number(one["loss"]) > 0}
    if not measured:
        yield _nothing()
    for expedition, before in measured.items():
        after = candidate.metrics.get("validation", {}).get(expedition)
        what, reason = f"loss of {expedition}", ""
        if after is None:
            reason = "not measured by the candidate; continue from the champion, which validates where it did"
        elif scales[0] != scales[1]:
            reason = "another normalization or share of hidden patches"
        elif after["cores"] != before["cores"]:
            reason = "measured on other cores"
        elif learnt := sorted(core for core in after["cores"] if seen(candidate, core)):
            reason = f"the candidate was trained on {', '.join(learnt)}"
        if reason or after is None:
            yield Row(rule="loss", what=what, champion=judged.number(before["loss"]), reason=reason)
            continue
        yield _worse("loss", what, before["loss"], after["loss"], LOSS_SLACK)
        for core, one in sorted(before.get("by_core", {}).items()):
            other = after.get("by_core", {}).get(core)
            if other is not None:
                yield _worse("loss", f"loss of {core}", one["loss"], other["loss"], CORE_LOSS_SLACK)


def _worse(rule: str, what: str, before: Any, after: Any, slack: float) -> Row:
    """A number that may not grow by more than a share `slack`; a champion without a number refuses nothing."""
    old, new = judged.number(before), judged.number(after)
    note = "the champion has no number there" if math.isnan(old) else ""
    return Row(rule=rule, what=what, champion=old, candidate=new, allowed=old * (1 + slack), note=note)


def _outputs(candidate: Bundle, champion: Bundle) -> Iterator[Row]:
    """The candidate gives what users of the champion have: each proxy in its unit, intervals, warnings."""
    given = {proxy.name: proxy for proxy in candidate.proxies}
    for proxy in champion.proxies:
        other = given.get(proxy.name)
        reason = ""
        if other is None:
            reason = "not given by the candidate"
        elif other.unit != proxy.unit:
            reason = f"the candidate gives {other.unit}, the champion {proxy.unit}"
        elif math.isnan(other.half_width) and not math.isnan(proxy.half_width):
            reason = "the candidate gives no interval, the champion does"
        yield Row(rule="outputs", what=f"{proxy.name} [{proxy.unit}]", reason=reason)
    if champion.outlier is not None:
        blind = candidate.outlier is None
        reason = "the candidate cannot tell foreign spectra, the champion can" if blind else ""
        yield Row(rule="outputs", what="warning of foreign spectra", reason=reason)


def _quantifier(candidate: Bundle, champion: Bundle) -> Iterator[Row]:
    """RMSE of each proxy on each core that the champion was judged on; the candidate may have been judged on more."""
    proxies = judged.proxies(champion)
    if not proxies:
        yield _nothing()
    pairs: dict[str, dict[str, Pair]] = {}
    units = {proxy.name: proxy.unit for proxy in candidate.proxies}
    for proxy in proxies:
        before = {name: one for name, one in judged.primary(champion, proxy).items() if one.count}
        after = {name: one for name, one in judged.units(candidate, proxy).items() if one.count}
        if proxy not in units or units[proxy] != {one.name: one.unit for one in champion.proxies}.get(proxy):
            continue  # told by `_outputs`
        if missing := sorted(set(before) - set(after)):
            learnt = [name for name in missing if seen(candidate, name)]
            reasons = [_trained(learnt), _measure([name for name in missing if name not in learnt])]
            yield Row(rule="rmse", what=f"RMSE of {proxy}", reason=", and ".join(filter(None, reasons)))
        both = [name for name in before if name in after]
        bare = []
        for name in both:
            old, new = before[name].labels, after[name].labels
            if old is None or new is None:
                bare.append(name)
                continue
            pair, lost = paired(old, new)
            if lost:
                yield Row(rule="rmse", what=f"RMSE of {proxy} on {name}", reason=lost)
            else:
                pairs.setdefault(proxy, {})[name] = pair
        if bare:
            yield _without_labels(proxy, [before[name] for name in bare], [after[name] for name in bare])
    yield from compared(pairs)


def paired(before: judged.Labels, after: judged.Labels) -> tuple[Pair, str]:
    """The squared errors of both models at the labels that both were judged on, and why these are too few, or nothing.

    A label is the same where depth and measured value are: a value that the laboratory corrected since is another one.
    """
    old = {key: error for key, error in zip(before.keys, before.squares.tolist(), strict=True) if math.isfinite(error)}
    new = {key: error for key, error in zip(after.keys, after.squares.tolist(), strict=True) if math.isfinite(error)}
    shared = [key for key in old if key in new]
    lost = ""
    if len(shared) < SHARED * len(old):
        lost = f"the candidate was judged on {len(shared)} of the champion's {len(old)} labels there"
    columns = (np.array([one[key] for key in shared], dtype=np.float64) for one in (old, new))
    first, second = columns
    return Pair(champion=first, candidate=second), lost


def compared(pairs: Mapping[str, Mapping[str, Pair]]) -> Iterator[Row]:
    """A row for each core of each proxy, and one for all cores of a proxy together.

    A core refuses when its RMSE grew by more than `FLOOR`, and by more than an equally good candidate's would by noise
    on any of these rows in a share `FAMILY` of cases. Cores of few labels are judged as one.

    Parameters
    ----------
    pairs
        Proxy -> core -> squared errors.
    """
    series: list[tuple[str, Pair, float, noise.Increase]] = []
    alone: list[Row] = []
    for proxy, cores in pairs.items():
        names = sorted(cores)
        small = [name for name in names if len(cores[name].champion) < noise.FEWEST]
        whole = _joined(cores, names)[SMALL]
        usual = _rmse(whole.champion)
        large = {name: cores[name] for name in names if name not in small}
        for name, pair in (large | _joined(cores, small)).items():
            what = f"RMSE of {proxy} on {name}, {len(pair.champion)} labels"
            if len(pair.champion) < noise.FEWEST:
                alone.append(_told(what, pair))
            else:
                series.append((what, pair, usual, noise.increase(pair.champion, pair.candidate)))
        if len(names) > 1 and len(whole.champion) >= noise.FEWEST:
            level = noise.pooled(
                {name: cores[name].champion for name in names if len(cores[name].champion)},
                {name: cores[name].candidate for name in names if len(cores[name].champion)},
            )
            series.append(
                (f"RMSE of {proxy} on {len(names)} cores together, {len(whole.champion)} labels", whole, usual, level)
            )
    level_of_one = noise.single_level(FAMILY, len(series))
    for what, pair, usual, found in series:
        old, new = _rmse(pair.champion), _rmse(pair.candidate)
        allowed = max(old + FLOOR * max(old, usual), old * found.bound(level_of_one))
        yield Row(rule="rmse", what=what, champion=old, candidate=new, allowed=allowed)
    yield from alone


def _joined(cores: Mapping[str, Pair], names: Sequence[str]) -> dict[str, Pair]:
    """The cores `names` as one series; nothing where there is none."""
    if not names:
        return {}
    return {
        SMALL: Pair(
            champion=np.concatenate([cores[name].champion for name in names]),
            candidate=np.concatenate([cores[name].candidate for name in names]),
        )
    }


def _told(what: str, pair: Pair) -> Row:
    old, new = _rmse(pair.champion), _rmse(pair.candidate)
    return Row(rule="rmse", what=what, champion=old, candidate=new, note="too few labels to tell")


def _rmse(squares: judged.Floats) -> float:
    return math.sqrt(float(squares.mean())) if len(squares) else math.nan


def _without_labels(proxy: str, before: Sequence[judged.Unit], after: Sequence[judged.Unit]) -> Row:
    """All cores together, by the numbers alone: an older bundle does not keep its labels."""
    old, new = (
        math.sqrt(sum(one.count * one.rmse**2 for one in units if one.count) / max(sum(one.count for one in units), 1))
        for units in (before, after)
    )
    return Row(
        rule="rmse",
        what=f"RMSE of {proxy}",
        champion=old,
        candidate=new,
        allowed=old * (1 + RMSE_SLACK),
        note="by the numbers over all cores alone: an older bundle keeps no labels",
    )


def _trained(learnt: Sequence[str]) -> str:
    """Why units cannot judge the candidate; empty for none."""
    if not learnt:
        return ""
    return f"the candidate was trained on {', '.join(learnt)}; train it again with that held out (split.held_out)"


def _measure(missing: Sequence[str]) -> str:
    """How the candidate comes to be judged on units; empty for none."""
    if not missing:
        return ""
    return (
        f"the candidate was not judged on {', '.join(missing)}; name a catalog that holds them with --catalog, and the "
        "gate will judge it there, or hold them out (split.held_out) when you train it again"
    )


def _nothing() -> Row:
    return Row(rule="rmse", what="held-out cores", reason="the champion's bundle records nothing to compare with")
