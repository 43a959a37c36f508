"""One small table of laboratory values, read as a contribution.toml would have it."""

from __future__ import annotations

import pandas as pd

from corebank.contribution import laboratory
from corebank.contribution.findings import Finding
from corebank.contribution.metadata import Core, Expedition, Laboratory, Metadata, Scanner, Section
from corebank.readers.files import File

EXPEDITION = Expedition(name="c", title="c", site="lab", steward="me", licence="CC0-1.0")
SECTIONS = (
    Section(core="A", folder="S1", name="S1", top=100.0, run="s1"),
    Section(core="B", folder="S2", name="S2", top=1000.0, stretch=1.5, run="s2"),
)


def table(
    content: str,
    *,
    cores: str = "AB",
    columns: dict[str, tuple[str, str]] | None = None,
    sections: tuple[Section, ...] = SECTIONS,
    **said: object,
) -> tuple[pd.DataFrame, list[Finding]]:
    one = Laboratory(file="lab.csv", columns=columns or {"TOC": ("toc", "wt%")}, method="CHN", **said)  # type: ignore[arg-type] - the tests' own words
    words = Metadata(
        expedition=EXPEDITION,
        scanner=Scanner(),
        cores=tuple(Core(name=name) for name in cores),
        sections=sections,
        measurements=(one,),
    )
    return laboratory.measurements(words, {"lab.csv": File("lab.csv", content.encode())})


def of_kind(found: list[Finding], kind: str) -> Finding:
    (one,) = (finding for finding in found if finding.kind == kind)
    return one
