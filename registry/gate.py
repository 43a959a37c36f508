"""May a model take the champion's place? Only if it is about as good on everything both were measured on.

    python -m registry.gate CANDIDATE CHAMPION

Both are compared on what their bundles recorded about the same held-out data; nothing is computed anew. A foundation
model must reconstruct every expedition that the champion was measured on, a quantifier must give every proxy that it
gives. What the candidate lacks, or measured on other data, is a reason to refuse, not to look away.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cyclopts

from corebank.cli import run
from corebank.errors import RegistryError

if TYPE_CHECKING:
    from corebank.bundle import Bundle

LOSS_SLACK = 0.02
"""How much larger, as a share, the validation loss of an expedition may become: what another seed alone may cost."""

RMSE_SLACK = 0.10
"""How much larger, as a share, the RMSE of a proxy may become: on tens of labels it is known no better than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison."""

    what: str
    champion: float
    candidate: float
    allowed: float
    """Largest value that passes."""
    reason: str = ""
    """Why it cannot be compared; empty when it can."""

    @property
    def passed(self) -> bool:
        """False also for a value that is not a number."""
        return not self.reason and self.candidate <= self.allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All comparisons of a candidate with a champion."""

    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """True when there was something to compare, and all of it passed."""
        return bool(self.rows) and all(row.passed for row in self.rows)

    @property
    def reasons(self) -> str:
        """Why not, in words; empty when it passed."""
        if not self.rows:
            return "the champion's bundle records nothing held out to compare with"
        return "; ".join(
            f"{row.what}: {row.reason or f'{row.candidate:.4g}, at most {row.allowed:.4g} is allowed'}"
            for row in self.rows
            if not row.passed
        )

    def __str__(self) -> str:
        """A Markdown table."""
        lines = ["| held out | champion | candidate | allowed | |", "|---|---|---|---|---|"]
        for row in self.rows:
            verdict = "passed" if row.passed else f"refused{': ' * bool(row.reason)}{row.reason}"
            lines.append(f"| {row.what} | {row.champion:.4g} | {row.candidate:.4g} | {row.allowed:.4g} | {verdict} |")
        return "\n".join(lines)


def compare(candidate: Bundle, champion: Bundle) -> Verdict:
    """Compare what both bundles recorded about held-out data."""
    if candidate.kind != champion.kind:
        reason = f"a {candidate.kind} model cannot replace a {champion.kind} model"
        return Verdict(rows=(Row(what="kind", champion=math.nan, candidate=math.nan, allowed=math.nan, reason=reason),))
    rows = _foundation(candidate, champion) if champion.kind == "foundation" else _quantifier(candidate, champion)
    return Verdict(rows=tuple(rows))


def _foundation(candidate: Bundle, champion: Bundle) -> Iterator[Row]:
    """Validation loss of each expedition: comparable on the same cores, scale and share of hidden patches only."""
    scales = [(one.normalization, one.recipe.get("mask_ratio")) for one in (champion, candidate)]
    seen = {*candidate.lineage.cores, *candidate.lineage.sections}
    for expedition, before in champion.metrics.get("validation", {}).items():
        after = candidate.metrics.get("validation", {}).get(expedition)
        reason = ""
        if after is None:
            reason = "not measured by the candidate"
        elif scales[0] != scales[1]:
            reason = "another normalization or share of hidden patches"
        elif after["cores"] != before["cores"]:
            reason = "measured on other cores"
        elif learnt := seen.intersection(after["cores"]):
            reason = f"the candidate was trained on {', '.join(sorted(learnt))}"
        yield Row(
            what=f"loss of {expedition}",
            champion=before["loss"],
            candidate=after["loss"] if after else math.nan,
            allowed=before["loss"] * (1 + LOSS_SLACK),
            reason=reason,
        )


def _quantifier(candidate: Bundle, champion: Bundle) -> Iterator[Row]:
    """RMSE of each proxy over the champion's held-out cores; the candidate may have been measured on more."""
    for proxy, before in champion.metrics.get("held_out", {}).items():
        after = candidate.metrics.get("held_out", {}).get(proxy)
        missing = sorted(set(before["cores"]) - set(after["cores"])) if after else []
        reason = "" if after else "not given by the candidate"
        if missing:
            reason = f"the candidate was not measured on {', '.join(missing)}"
        yield Row(
            what=f"RMSE of {proxy}",
            champion=before["rmse"],
            candidate=_rmse(after, before["cores"]) if after and not missing else math.nan,
            allowed=before["rmse"] * (1 + RMSE_SLACK),
            reason=reason,
        )


def _rmse(record: Mapping[str, Any], cores: Sequence[str]) -> float:
    """Root of the mean squared error over the labels of `cores`, from the RMSE and the number of labels of each."""
    parts = [record["by_core"][core] for core in cores]
    return math.sqrt(sum(part["n"] * part["rmse"] ** 2 for part in parts) / sum(part["n"] for part in parts))


app = cyclopts.App(name="python -m registry.gate", help=__doc__, result_action="return_value")


@app.default
def gate(candidate: str, champion: str, /) -> None:
    """Compare two models and say whether the first may replace the second.

    Parameters
    ----------
    candidate
        Folder of a run or bundle, or models:/name@alias or models:/name/3.
    champion
        The same.
    """
    from corebank import bundle, hub

    verdict = compare(*(bundle.load(hub.resolve(model)) for model in (candidate, champion)))
    print(verdict)
    if not verdict.passed:
        raise RegistryError(candidate, verdict.reasons, "Train it further, or leave the champion where it is")


if __name__ == "__main__":
    run(app)
