"""What a bank tells of itself and of its commits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

SCHEMA_VERSION = 2
"""Version of the layout; written into every bank. 2: checksums behind every array, digests of counts and attributes."""

CONTRIBUTIONS = "contributions"
"""Group with what each contributor said; no expedition can have this name."""

EVALUATIONS = "evaluations"
"""Group, below a run, of the evaluations that lay beside its spectra."""

MEASUREMENTS = "measurements"
"""Group of an expedition's laboratory values; no run can have this name."""

Level = Literal["intensity", "counts"]
"""Counts on detector channels as measured, or intensity on the bank's energy grid."""

Kind = Literal["core", "run", "contribution"]
"""What can be withdrawn from an expedition."""


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
    withdrawn: dict[str, int] = field(default_factory=dict)
    """Run -> number of its spectra, there before or new, that are hidden because they or their core are withdrawn."""

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


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """One entry of what an expedition hides."""

    kind: Kind
    name: str
    because: str
    at: str
    """When, in ISO 8601, UTC."""
    labels: tuple[str, ...] = ()
    """Of a contribution: the laboratory values that it hides, see `corebank.bank.hiding.keys`."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What one `Bank.withdraw` or `Bank.restore` did."""

    snapshot: str
    expedition: str
    kind: Kind
    name: str
    spectra: int
    """Spectra that it hid, or that are seen again."""
    labels: int
    """Laboratory values that it hid, or that are seen again."""
    cores: tuple[str, ...]
    """Cores that these spectra are of."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What one `Bank.rebuild` did."""

    snapshot: str
    """The commit that holds it; the bank's head when every intensity was current."""
    runs: dict[str, int]
    """``expedition/run`` -> number of spectra whose intensity was made again."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """What one `Bank.migrate` did."""

    snapshot: str
    """The commit that holds it; the bank's head when the layout was today's."""
    anew: bool
    """False when the layout was today's, and no commit was made."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What came between two snapshots, for one core of one expedition."""

    expedition: str
    core: str
    """Empty for what is said of the whole expedition or of a machine."""
    added: int = 0
    """Spectra that only the later snapshot holds."""
    removed: int = 0
    """Spectra that only the earlier one holds; 0 unless the two were given the wrong way round."""
    amended: Mapping[str, int] = field(default_factory=dict)
    """Column -> number of spectra, in both, that it says something else of."""
    withdrawn: int = 0
    """Spectra hidden now and not before."""
    restored: int = 0
    """Spectra hidden before and not now."""
    rebuilt: int = 0
    """Spectra whose intensity was made by another version of the calibration."""
    labels_added: int = 0
    """Laboratory values seen now and not before."""
    labels_removed: int = 0
    """Laboratory values seen before and not now."""
    words: tuple[str, ...] = ()
    """Attributes that say something else; of a run: ``run: attribute``."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """What one `compact` dropped, or would drop."""

    expired: tuple[str, ...]
    """Snapshots that can no longer be opened, oldest first."""
    kept: Mapping[str, str]
    """Older snapshots that stay -> why."""
    objects: int
    """Files or objects of the repository that were deleted; for a dry run, those that no snapshot refers to now."""
    bytes: int
    """Their size."""
