"""What the gate found: one row for each thing it looked at, as a table, as words and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from corebank.bundle import finite

Outcome = Literal["passed", "noted", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing that the gate looked at."""

    rule: str
    """Name of the rule, such as ``rmse`` or ``licences``."""

    what: str
    """What was looked at, in words."""

    champion: float = math.nan
    """What the champion has there; NaN where the rule asks the candidate alone."""

    candidate: float = math.nan

    allowed: float = math.nan
    """The worst value that passes; NaN where there is nothing to measure."""

    at_least: bool = False
    """True where larger is better, so that `allowed` is the smallest value that passes."""

    reason: str = ""
    """Why it is refused whatever the numbers; empty where they decide."""

    note: str = ""
    """What a reader should know although it does not refuse."""

    @property
    def passed(self) -> bool:
        """False also where a number is asked for and the candidate has none."""
        if self.reason:
            return False
        if math.isnan(self.allowed):
            return True
        return self.candidate >= self.allowed if self.at_least else self.candidate <= self.allowed

    @property
    def outcome(self) -> Outcome:
        """One word for it."""
        return "refused" if not self.passed else "noted" if self.note else "passed"

    @property
    def why(self) -> str:
        """Reason, note or nothing, in words."""
        if self.passed:
            return self.note
        bound = "at least" if self.at_least else "at most"
        return self.reason or f"{_number(self.candidate)}, {bound} {_number(self.allowed)} is allowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All that the gate looked at; it passes when nothing refuses."""

    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """True when there was something to look at, and none of it refuses."""
        return bool(self.rows) and all(row.passed for row in self.rows)

    @property
    def reasons(self) -> str:
        """Every reason to refuse, in words; empty when it passed."""
        if not self.rows:
            return "there is nothing to judge it by"
        return "; ".join(f"{row.what}: {row.why}" for row in self.rows if not row.passed)

    def __str__(self) -> str:
        """A Markdown table."""
        lines = ["| looked at | champion | candidate | allowed | |", "|---|---|---|---|---|"]
        for row in self.rows:
            bound = "≥ " * row.at_least * (not math.isnan(row.allowed)) + cell(row.allowed)
            why = row.note if row.passed else row.reason
            words = f"{row.outcome}: {why}" if why else row.outcome
            cells = (row.what, cell(row.champion), cell(row.candidate), bound, words)
            lines.append(f"| {' | '.join(plain(one) for one in cells)} |")
        return "\n".join(lines)

    def to_json(self) -> Mapping[str, Any]:
        """The verdict as plain values; what is no number is None."""
        rows = [asdict(row) | {"outcome": row.outcome} for row in self.rows]
        document: dict[str, Any] = finite({"passed": self.passed, "reasons": self.reasons, "rows": rows})
        return document


def cell(value: float) -> str:
    """A number in a table, four digits long; empty for NaN."""
    return "" if math.isnan(value) else f"{value:.4g}"


def plain(text: str) -> str:
    """`text` as it may stand in a cell of a Markdown table: on one line, no column and no HTML of its own."""
    return " ".join(text.split()).replace("|", "/").replace("<", "&lt;")


def _number(value: float) -> str:
    return "not a number" if math.isnan(value) else f"{value:.4g}"
