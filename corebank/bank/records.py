"""What a bank tells of itself and of its commits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

SCHEMA_VERSION = 1
"""Version of the layout; written into every bank."""

CONTRIBUTIONS = "contributions"
"""Group with what each contributor said; no expedition can have this name."""

EVALUATIONS = "evaluations"
"""Group, below a run, of the evaluations that lay beside its spectra."""

MEASUREMENTS = "measurements"
"""Group of an expedition's laboratory values; no run can have this name."""

Level = Literal["intensity", "counts"]
"""Counts on detector channels as measured, or intensity on the bank's energy grid."""


@dataclass(frozen=True, slots=True)
class Added:
    """What one `Bank.add` did."""

    snapshot: str
    """The commit that holds it; the bank's head when nothing was new."""
    contribution: str
    runs: dict[str, int]
    """Run -> number of spectra that went in."""
    measurements: int
    already: dict[str, int]
    """Run -> number of spectra that were in the bank before."""

    @property
    def nothing_new(self) -> bool:
        """True when the bank held all of it, and no commit was made."""
        return not self.runs and not self.measurements


@dataclass(frozen=True, slots=True)
class Commit:
    """One line of a bank's log."""

    snapshot: str
    written_at: datetime
    message: str
    about: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Amended:
    """What one `Bank.amend` did."""

    snapshot: str
    """The commit that holds it; the bank's head when nothing differed."""
    changed: tuple[str, ...]
    """What changed, as sentences; empty when nothing did."""
