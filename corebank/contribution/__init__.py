"""A contributed folder: what is in it, whether it can go into a bank, and what it holds once it is checked.

`check` is the dry run and the real thing alike: `corebank.bank` adds what it returns. `spectra` reads a folder that
need not have a ``contribution.toml``, for prediction.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import xarray as xr

from corebank import calibrate, readers, schema
from corebank.contribution import laboratory, metadata, placing
from corebank.contribution.metadata import Expedition, Metadata, Scanner, Section
from corebank.contribution.placing import Finding
from corebank.contribution.toml import slugged
from corebank.errors import ContributionError, CorebankError
from corebank.readers import Scan
from corebank.readers.files import File
from corebank.schema import EnergyGrid


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found. A folder can go in when no finding is ``refused``."""

    folder: str
    findings: tuple[Finding, ...]
    files_used: int
    set_aside: Mapping[str, str]
    runs: Mapping[str, int]
    """Run -> number of spectra."""
    measurements: int

    @property
    def refused(self) -> bool:
        """True when the folder cannot go in."""
        return any(finding.severity == "refused" for finding in self.findings)

    def to_json(self) -> str:
        """The report as one JSON document."""
        return json.dumps(
            {**asdict(self), "files_found": self.files_used + len(self.set_aside), "refused": self.refused}, indent=2
        )

    def __str__(self) -> str:
        found, aside = self.files_used + len(self.set_aside), len(self.set_aside)
        lines = [f"{self.folder}: {found} files found, {self.files_used} used, {aside} set aside"]
        # Every name is in the JSON report; here one of each kind is enough to recognise the others.
        for reason, count in Counter(self.set_aside.values()).most_common():
            first = next(name for name, why in self.set_aside.items() if why == reason)
            lines.append(f"  set aside: {first}" + (f" and {count - 1} more" if count > 1 else "") + f": {reason}")
        lines += [f"  {run}: {count} spectra" for run, count in self.runs.items()]
        lines += [f"  {self.measurements} measurements"] if self.measurements else []
        lines += [f"  {finding.severity}: {finding.where}: {finding.found}" for finding in self.findings]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """A folder that passed its check: its words, its runs on detector channels, its laboratory values."""

    metadata: Metadata
    runs: Mapping[str, xr.Dataset]
    """Run name -> Dataset over (spectrum, channel) that passes `corebank.schema.validate_run`."""
    measurements: pd.DataFrame
    report: Report


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
        What can be added to a bank, or None when something was refused.

    Raises `ContributionError` when the ``contribution.toml`` itself cannot be used, `ReadError` when the folder cannot
    be walked.
    """
    words = metadata.read(toml or folder / metadata.FILE_NAME)
    scans, set_aside = readers.scans(folder)
    findings: list[Finding] = []
    runs = placing.runs(words, scans, findings)
    tables = _tables(words, folder)
    values, no_numbers = laboratory.empty(), dict[str, Counter[str]]()
    try:
        values, no_numbers = laboratory.measurements(words, tables)
    except CorebankError as error:
        findings.append(Finding("refused", str(error.where), f"{error.found}. {error.fix}"))
    for where, texts in no_numbers.items():
        findings.append(
            Finding(
                "info",
                where,
                "no number in " + ", ".join(f"{count} cells ({text})" for text, count in texts.most_common()),
            )
        )
    listed = {section.folder for section in words.sections}
    for scan in scans:
        if scan.folder not in listed:
            findings.append(
                Finding(
                    "info", scan.folder, f"{len(scan.spectra)} spectra that contribution.toml does not list stay out"
                )
            )
            set_aside.update(
                {
                    file.name: "its folder is not listed in contribution.toml"
                    for file in [*scan.spectra, *scan.companions]
                }
            )
    runs = placing.linked(runs)
    findings += placing.findings_of(runs)
    set_aside = {
        name: why
        for name, why in set_aside.items()
        if name not in tables and PurePosixPath(name).name != metadata.FILE_NAME
    }
    used = {file.name for scan in scans if scan.folder in listed for file in [*scan.spectra, *scan.companions]} | set(
        tables
    )
    report = Report(
        str(folder),
        tuple(findings),
        len(used),
        set_aside,
        {name: run.sizes["spectrum"] for name, run in runs.items()},
        len(values),
    )
    return report, None if report.refused else Contribution(words, runs, values, report)


def checked(folder: Path, toml: Path | None = None) -> Contribution:
    """As `check`, but raises `ContributionError` with every reason when the folder cannot go in."""
    report, contribution = check(folder, toml)
    if contribution is None:
        reasons = "; ".join(
            f"{finding.where}: {finding.found}" for finding in report.findings if finding.severity == "refused"
        )
        raise ContributionError(folder, reasons, "Mend this and run corebank check again")
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
    scans, _ = readers.scans(folder)
    words = _said_of(folder) or (_implied(folder, scans) if scans else None)
    if words is None:
        raise ContributionError(
            folder,
            "holds no spectrum of a scanner that corebank knows",
            "Give the folder with the raw .spe files or their zip",
        )
    findings: list[Finding] = []
    runs = placing.runs(words, scans, findings)
    if refused := [finding for finding in findings if finding.severity == "refused"]:
        raise ContributionError(
            folder, "; ".join(f"{finding.where}: {finding.found}" for finding in refused), "Mend this and try again"
        )
    return (
        xr.concat(
            [
                with_provenance(
                    calibrate.intensity(run, grid, name), words.expedition.site, words.expedition.name, name
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
        return laboratory.measurements(words, _tables(words, root))[0]
    return laboratory.empty()


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
