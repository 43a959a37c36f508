"""A contributed folder: what is in it, whether it can go into a bank, and what it holds once it is checked.

`check` is the dry run and the real thing alike: `corebank.bank` adds what it returns. `spectra` reads a folder that
need not have a ``contribution.toml``, for prediction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import xarray as xr

from corebank import calibrate, readers, schema
from corebank.contribution import depths, laboratory, metadata, placing, profile
from corebank.contribution.findings import Finding, finding
from corebank.contribution.metadata import Expedition, Metadata, Scanner, Section
from corebank.contribution.report import Report
from corebank.contribution.toml import slugged
from corebank.errors import ContributionError, CorebankError
from corebank.readers import Scan
from corebank.readers.evaluations import Evaluation
from corebank.readers.files import File
from corebank.schema import EnergyGrid

_SETTLED_WITHOUT_A_BANK = {"date", "core-name", "unlisted"}
"""Kinds of findings that forbid a contribution and no prediction: they change no number of a spectrum."""


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """A folder that passed its check: its words, its runs on detector channels, its laboratory values."""

    metadata: Metadata
    runs: Mapping[str, xr.Dataset]
    """Run name -> Dataset over (spectrum, channel) that passes `corebank.schema.validate_run`; counts are lazy."""
    measurements: pd.DataFrame
    report: Report
    evaluations: Mapping[str, Sequence[Evaluation]] = field(default_factory=dict)
    """Run name -> every evaluation of its spectra that lay beside them."""


def check(folder: Path, toml: Path | None = None) -> tuple[Report, Contribution | None]:
    """Read a whole folder and say what would go in.

    Parameters
    ----------
    folder
        The contributed folder, as the scanner and the laboratory left it; it is only read.
    toml
        Its ``contribution.toml``, when that lies elsewhere (an archive is often read-only).

    Returns
    -------
    report
        Findings, files and counts.
    contribution
        What can be added to a bank, or None when something was refused or needs a decision.

    Raises `ContributionError` when the ``contribution.toml`` itself cannot be used, `ReadError` when the folder is not
    there.
    """
    words = metadata.read(toml or folder / metadata.FILE_NAME)
    placed = placing.place(words, readers.survey(folder))
    runs, repeats = depths.linked(placing.mark_copies(placed.runs), placed.sections)
    findings = placed.findings + repeats + depths.in_order(words.sections) + depths.checked(runs)
    runs = {name: run[["counts", *schema.SPECTRUM]] for name, run in runs.items()}
    for name, run in runs.items():
        findings += placing.flagged(name, run)
    tables = _tables(words, folder)
    values, told = _laboratory(words, tables, runs)
    findings += told
    used = placed.used | set(tables)
    report = Report(
        folder=str(folder),
        expedition=words.expedition.name,
        title=words.expedition.title,
        findings=tuple(findings),
        files_used=len(used),
        set_aside={
            name: why
            for name, why in placed.set_aside.items()
            if name not in used and PurePosixPath(name).name != metadata.FILE_NAME
        },
        runs={name: run.sizes["spectrum"] for name, run in runs.items()},
        measurements=len(values),
        labels=_labelled(values),
        profiles=profile.profiles(
            runs, placed.axes, {name: section.folder for name, section in placed.sections.items()}
        ),
    )
    if not report.passes:
        return report, None
    return report, Contribution(words, runs, values, report, placed.evaluations)


def checked(folder: Path, toml: Path | None = None) -> Contribution:
    """As `check`, but raises `ContributionError` with every reason when the folder cannot go in."""
    report, contribution = check(folder, toml)
    if contribution is None:
        raise ContributionError(folder, _reasons(report.findings), "Mend this and run corebank check again")
    return contribution


def spectra(folder: Path, grid: EnergyGrid) -> xr.Dataset:
    """Read every spectrum below a folder onto an energy grid, with or without a ``contribution.toml``.

    Returns
    -------
    Dataset
        ``intensity`` (spectrum, energy) float32 [count/s] as `corebank.calibrate.intensity` makes it, the columns of
        `corebank.schema.SPECTRUM` and `PROVENANCE`; runs one after the other. Core, section and depth come from the
        ``contribution.toml`` in the folder, or in a folder up to three levels above that lists it; where there is
        none the folders' names stand for core and section, and the depth is the position inside the section.

    Raises `ReadError`, `CalibrationError` or `ContributionError` when a spectrum cannot be used.
    """
    found = readers.survey(folder)
    words = _said_of(folder) or (_implied(folder, found.scans) if found.scans else None)
    if words is None:
        raise ContributionError(
            folder,
            "holds no spectrum of a scanner that corebank knows",
            "Give the folder with the raw .spe files or their zip",
        )
    placed = placing.place(words, found)
    refused = [
        one
        for one in placed.findings
        if one.severity in ("refused", "decision") and one.kind not in _SETTLED_WITHOUT_A_BANK
    ]
    if refused:
        raise ContributionError(folder, _reasons(refused), "Mend this and try again")
    runs, _ = depths.linked(placed.runs, placed.sections)
    return (
        xr.concat(
            [
                with_provenance(
                    calibrate.intensity(run[["counts", *schema.SPECTRUM]], grid, name),
                    words.expedition.site,
                    words.expedition.name,
                    name,
                )
                for name, run in runs.items()
            ],
            dim="spectrum",
            combine_attrs="override",
            join="exact",
            coords="minimal",
            compat="override",
        )
        .drop_attrs(deep=False)
        .assign_attrs(grid=grid.to_json())
    )


def with_provenance(run: xr.Dataset, site: str, expedition: str, name: str) -> xr.Dataset:
    """`run` with the columns of `corebank.schema.PROVENANCE`, so that runs of several machines can be read together."""
    said = {
        "site": site,
        "expedition": expedition,
        "run": name,
        **{key: run.attrs[key] for key in ("scanner", "head", "anode", "filter")},
    }
    return run.assign(
        {
            key: ("spectrum", np.full(run.sizes["spectrum"], said[key], dtype=object), {"long_name": about})
            for key, about in schema.PROVENANCE.items()
        }
    )


def measurements(folder: Path) -> pd.DataFrame:
    """Laboratory values that lie with a folder `spectra` can read, columns as in `laboratory.COLUMNS`; often none."""
    for root in _above(folder):
        words = metadata.read(root / metadata.FILE_NAME)
        values, told = laboratory.measurements(words, _tables(words, root))
        return laboratory.empty() if any(one.severity == "refused" for one in told) else values
    return laboratory.empty()


def _laboratory(
    words: Metadata, tables: Mapping[str, File], runs: Mapping[str, xr.Dataset]
) -> tuple[pd.DataFrame, list[Finding]]:
    try:
        values, told = laboratory.measurements(words, tables)
    except CorebankError as error:
        return laboratory.empty(), [finding("table", str(error.where), error.found, fix=error.fix)]
    return values, told + laboratory.match(values, runs)


def _labelled(values: pd.DataFrame) -> dict[str, tuple[tuple[float, float], ...]]:
    """Core -> the depth intervals that have values [mm], in order."""
    intervals: dict[str, set[tuple[float, float]]] = defaultdict(set)
    for core, top, bottom in zip(values["core"], values["depth_top"], values["depth_bottom"], strict=True):
        intervals[str(core)].add((float(top), float(bottom)))
    return {core: tuple(sorted(some)) for core, some in intervals.items()}


def _reasons(findings: Sequence[Finding]) -> str:
    stop = [one for one in findings if one.severity in ("refused", "decision")]
    return "; ".join(f"{one.where}: {one.found} ({one.fix})" for one in stop)


def _above(folder: Path) -> list[Path]:
    """This folder, or the nearest of three above it, in which a ``contribution.toml`` lies; empty where none does."""
    here = folder.absolute()
    return [root for root in (here, *here.parents[:3]) if (root / metadata.FILE_NAME).is_file()][:1]


def _said_of(folder: Path) -> Metadata | None:
    """What a ``contribution.toml`` here or just above says of the sections below `folder`, or None."""
    for root in _above(folder):
        words, inside = metadata.read(root / metadata.FILE_NAME), folder.absolute().relative_to(root).as_posix()
        sections = [
            replace(section, folder=PurePosixPath(section.folder).relative_to(inside).as_posix())
            for section in words.sections
            if PurePosixPath(section.folder).is_relative_to(inside)
        ]
        return replace(words, sections=tuple(sections)) if sections else None
    return None


def _tables(words: Metadata, folder: Path) -> dict[str, File]:
    """The tables of laboratory values that `words` names and `folder` holds."""
    named = {table.file for table in words.measurements if (folder / table.file).is_file()}
    return {name: File(name, (folder / name).read_bytes()) for name in named}


def _implied(folder: Path, scans: Sequence[Scan]) -> Metadata:
    name = slugged(folder.resolve().name) or "folder"
    sections = tuple(
        Section(
            core=folder.resolve().name,
            folder=scan.folder,
            name=PurePosixPath(scan.folder).name or folder.resolve().name,
            top=0.0,
            run=str(PurePosixPath(folder.resolve().name, scan.folder)),
        )
        for scan in scans
    )
    expedition = Expedition(name=name, title="", site="", steward="", licence="")
    return Metadata(expedition=expedition, scanner=Scanner(), cores=(), sections=sections)


__all__ = ["Contribution", "Finding", "Report", "check", "checked", "measurements", "spectra", "with_provenance"]
