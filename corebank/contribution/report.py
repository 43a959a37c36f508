"""What a check found, as values: findings, files, what each run looks like. Text, JSON and the page are made of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from corebank.contribution.findings import Finding

ORDER = ("refused", "decision", "flagged", "info")
"""Gravest first."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One spectrum to look at: at most 512 points, each the largest count of the channels that it stands for."""

    source: str
    depth: float
    """Composite depth [mm]."""
    energy: tuple[float, ...]
    """[keV]"""
    counts: tuple[float, ...]
    """[count]"""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a run looks like."""

    run: str
    folder: str
    core: str
    section: str
    spectra: int
    replicates: int
    """Spectra that repeat another one, which counts in their place."""
    settings: Mapping[str, str]
    """Machine setting -> value with its unit."""
    depths: tuple[float, ...]
    """Composite depth of each spectrum that counts [mm], in order."""
    replicate_depths: tuple[float, ...]
    """Composite depth of each replicate [mm], in order."""
    calibration: str
    """Where the energy axis came from, and whether the lines in the spectra agree."""
    lines: tuple[tuple[str, float, float], ...]
    """Emission line, energy [keV], distance of its peak from there [eV]."""
    flags: Mapping[str, int]
    """Flag -> number of spectra."""
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found. A folder can go in when no finding is refused or needs a decision."""

    folder: str
    expedition: str
    title: str
    findings: tuple[Finding, ...]
    files_used: int
    set_aside: Mapping[str, str]
    """File -> why it is in no run and no table."""
    runs: Mapping[str, int]
    """Run -> number of spectra."""
    measurements: int
    labels: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    """Core -> depth intervals that have laboratory values [mm]."""
    profiles: tuple[Profile, ...] = ()

    @property
    def refused(self) -> bool:
        """True when something is wrong with the folder."""
        return any(finding.severity == "refused" for finding in self.findings)

    @property
    def needs_decision(self) -> bool:
        """True when contribution.toml must say which of two readings is right."""
        return any(finding.severity == "decision" for finding in self.findings)

    @property
    def passes(self) -> bool:
        """True when the folder can go into a bank as it is."""
        return not (self.refused or self.needs_decision)

    @property
    def files_found(self) -> int:
        """Every file of the folder is either used or set aside with a reason."""
        return self.files_used + len(self.set_aside)

    def to_json(self) -> str:
        """The report as one JSON document, without the spectra to look at."""
        whole = asdict(self)
        whole["profiles"] = [{key: one[key] for key in one if key != "samples"} for one in whole["profiles"]]
        verdict = {"refused": self.refused, "needs_decision": self.needs_decision, "passes": self.passes}
        return json.dumps({**whole, **verdict, "files_found": self.files_found}, indent=2)

    def __str__(self) -> str:
        lines = [
            f"{self.folder}: {self.files_found} files found, {self.files_used} used, {len(self.set_aside)} set aside"
        ]
        # Every name is in the JSON report; here one of each kind is enough to recognise the others.
        for reason, count in Counter(self.set_aside.values()).most_common():
            first = next(name for name, why in self.set_aside.items() if why == reason)
            lines.append(f"  set aside: {first}" + (f" and {count - 1} more" if count > 1 else "") + f": {reason}")
        lines += [f"  {run}: {count} spectra" for run, count in self.runs.items()]
        lines += [f"  {self.measurements} measurements"] if self.measurements else []
        for severity in ORDER:
            for one in self.findings:
                if one.severity == severity:
                    lines += _told(one)
        return "\n".join(lines)


def _told(finding: Finding) -> list[str]:
    """A finding in lines that a terminal can show: what and where first, then why and what to do."""
    head = f"  {finding.severity}: {finding.where}: {finding.found}  [{finding.kind}]"
    if finding.severity == "info":
        return [head]
    shown = ", ".join(finding.items[:4]) + (f" and {len(finding.items) - 4} more" if len(finding.items) > 4 else "")
    return [
        head,
        *([f"      in: {shown}"] if finding.items else []),
        f"      why: {finding.why}",
        f"      do:  {finding.fix}",
    ]
