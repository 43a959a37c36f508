"""A contributed folder: what is in it, whether it can go into a bank, and what it holds once it is checked.

`check` is the dry run and the real thing alike: `corebank.bank` adds what it returns. `spectra` reads a folder that
need not have a ``contribution.toml``, for prediction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from corebank import calibrate, quality, readers, schema
from corebank.contribution import laboratory, metadata
from corebank.contribution.metadata import Expedition, Metadata, Scanner, Section
from corebank.errors import ContributionError, CorebankError
from corebank.readers import Scan
from corebank.readers.files import File, files
from corebank.schema import EnergyGrid

Severity = Literal["refused", "flagged", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the contributor should know: where, what, and how grave it is."""

    severity: Severity
    where: str
    found: str


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
        return json.dumps({**asdict(self), "files_found": self.files_used + len(self.set_aside), "refused": self.refused}, indent=2)

    def __str__(self) -> str:
        lines = [f"{self.folder}: {self.files_used + len(self.set_aside)} files found, {self.files_used} used, {len(self.set_aside)} set aside"]
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
    runs = _runs(words, scans, findings)
    tables = {file.name: file for file in files(folder) if file.name in {table.file for table in words.measurements}}
    measurements, no_numbers = pd.DataFrame(columns=list(laboratory.COLUMNS)), {}
    try:
        measurements, no_numbers = laboratory.measurements(words, tables)
    except CorebankError as error:
        findings.append(Finding("refused", str(error.where), f"{error.found}. {error.fix}"))
    for where, texts in no_numbers.items():
        findings.append(Finding("info", where, "no number in " + ", ".join(f"{count} cells ({text})" for text, count in texts.most_common())))
    listed = {section.folder for section in words.sections}
    for scan in scans:
        if scan.folder not in listed:
            findings.append(Finding("info", scan.folder, f"{len(scan.spectra)} spectra that contribution.toml does not list stay out"))
            set_aside.update({file.name: "its folder is not listed in contribution.toml" for file in [*scan.spectra, *scan.companions]})
    runs = _linked(runs)
    findings += _flagged(runs)
    set_aside = {name: why for name, why in set_aside.items() if name not in tables and PurePosixPath(name).name != metadata.FILE_NAME}
    used = {file.name for scan in scans if scan.folder in listed for file in [*scan.spectra, *scan.companions]} | set(tables)
    report = Report(
        str(folder), tuple(findings), len(used), set_aside, {name: run.sizes["spectrum"] for name, run in runs.items()}, len(measurements)
    )
    return report, None if report.refused else Contribution(words, runs, measurements, report)


def checked(folder: Path, toml: Path | None = None) -> Contribution:
    """As `check`, but raises `ContributionError` with every reason when the folder cannot go in."""
    report, contribution = check(folder, toml)
    if contribution is None:
        reasons = "; ".join(f"{finding.where}: {finding.found}" for finding in report.findings if finding.severity == "refused")
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
        raise ContributionError(folder, "holds no spectrum of a scanner that corebank knows", "Give the folder with the raw .spe files or their zip")
    findings: list[Finding] = []
    runs = _runs(words, scans, findings)
    if refused := [finding for finding in findings if finding.severity == "refused"]:
        raise ContributionError(folder, "; ".join(f"{finding.where}: {finding.found}" for finding in refused), "Mend this and try again")
    return xr.concat(
        [with_provenance(calibrate.intensity(run, grid, name), words.expedition.site, words.expedition.name, name) for name, run in runs.items()],
        dim="spectrum", combine_attrs="drop", join="exact", coords="minimal", compat="override",
    ).assign_attrs(grid=grid.to_json())


def with_provenance(run: xr.Dataset, site: str, expedition: str, name: str) -> xr.Dataset:
    """`run` with the columns of `corebank.schema.PROVENANCE`, so that runs of several machines can be read together."""
    said = {"site": site, "expedition": expedition, "run": name, **{key: run.attrs[key] for key in ("scanner", "head", "anode", "filter")}}
    return run.assign({
        key: ("spectrum", np.full(run.sizes["spectrum"], said[key], dtype=object), {"long_name": about})
        for key, about in schema.PROVENANCE.items()
    })


def _said_of(folder: Path) -> Metadata | None:
    """What a ``contribution.toml`` here or just above says of the sections below `folder`, or None."""
    folder = folder.absolute()
    for root in (folder, *folder.parents[:3]):
        if (root / metadata.FILE_NAME).is_file():
            words = metadata.read(root / metadata.FILE_NAME)
            inside = folder.relative_to(root)
            sections = [
                replace(section, folder=PurePosixPath(section.folder).relative_to(inside.as_posix()).as_posix())
                for section in words.sections if PurePosixPath(section.folder).is_relative_to(inside.as_posix())
            ]
            return replace(words, sections=tuple(sections)) if sections else None
    return None


def _implied(folder: Path, scans: Sequence[Scan]) -> Metadata:
    name = metadata.slugged(folder.resolve().name) or "folder"
    sections = tuple(
        Section(core=folder.resolve().name, folder=scan.folder, name=PurePosixPath(scan.folder).name or folder.resolve().name, top=0.0, run=metadata.slugged(scan.folder) or name)
        for scan in scans
    )
    expedition = Expedition(name=name, title="", site="", steward="", licence="")
    return Metadata(expedition=expedition, scanner=Scanner(), cores=(), sections=sections)


def _runs(words: Metadata, scans: Sequence[Scan], findings: list[Finding]) -> dict[str, xr.Dataset]:
    """Every listed section as a run that meets the schema; what stands in the way goes into `findings`."""
    by_folder = {scan.folder: scan for scan in scans}
    runs: dict[str, xr.Dataset] = {}
    for section in words.sections:
        scan = by_folder.get(section.folder)
        if scan is None:
            known = readers.positions(sorted(by_folder.keys() - {part.folder for part in words.sections})) or "none that is not listed"
            findings.append(Finding("refused", section.folder, f"no spectra in this folder. Folders with spectra: {known}"))
            continue
        try:
            runs[section.run] = _placed(readers.read_scan(scan), section, words.scanner)
        except CorebankError as error:
            findings.append(Finding("refused", str(error.where), f"{error.found}. {error.fix}"))
    return runs


def _placed(run: xr.Dataset, section: Section, scanner: Scanner) -> xr.Dataset:
    """`run` with its core, section and composite depth, the machine's words, a calibration and its flags."""
    if scanner.kind and scanner.kind != run.attrs["scanner"]:
        raise ContributionError(section.folder, f"holds {run.attrs['scanner']} spectra, [scanner] kind says {scanner.kind}", "Correct the kind in contribution.toml")
    if scanner.anode and run.attrs["anode"] and scanner.anode != run.attrs["anode"]:
        raise ContributionError(section.folder, f"the files say anode {run.attrs['anode']}, [scanner] says {scanner.anode}", "Correct the anode in contribution.toml")
    count = run.sizes["spectrum"]
    columns: dict[str, object] = {
        "core": [section.core] * count,
        "section": [section.name] * count,
        "depth": section.top + section.stretch * run["section_position"].values,
        "flags": quality.flags(run),
        "replicate_of": [""] * count,
        "contribution": [""] * count,
    }
    if scanner.gain is not None and scanner.offset is not None:
        unknown = ~np.isfinite(run["energy_gain"].values)
        columns["energy_gain"] = np.where(unknown, scanner.gain, run["energy_gain"].values)
        columns["energy_offset"] = np.where(unknown, scanner.offset, run["energy_offset"].values)
        columns["energy_source"] = np.where(unknown, metadata.FILE_NAME, run["energy_source"].values.astype(object))
    said = {key: getattr(scanner, key) for key in ("model", "head", "anode", "filter") if getattr(scanner, key)}
    placed = run.assign(schema.spectrum_columns(columns)).assign_attrs(said)
    calibrate.refuse_impossible(placed, section.folder)
    return schema.validate_run(placed, section.folder)


def _linked(runs: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Mark spectra that repeat an earlier run's: same core, section and machine, within a quarter of a step."""
    linked: dict[str, xr.Dataset] = {}
    seen: dict[tuple[object, ...], list[xr.Dataset]] = {}
    for name, run in runs.items():
        key = (run["core"].values[0], run["section"].values[0], *(run.attrs[part] for part in ("scanner", "head", "anode", "filter", "tube_voltage", "channels")))
        position = run["section_position"].values
        repeats = run["replicate_of"].values.copy()
        for earlier in seen.get(key, []):
            near, distance = _nearest(earlier["section_position"].values, position)
            step = float(np.median(np.diff(earlier["section_position"].values))) if earlier.sizes["spectrum"] > 1 else 1.0
            repeats = np.where((distance <= step / 4) & (repeats == ""), earlier["source_sha256"].values[near], repeats)
        linked[name] = run.assign(schema.spectrum_columns({"replicate_of": repeats}))
        seen.setdefault(key, []).append(linked[name])
    return linked


def _nearest(sorted_values: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the nearest of `sorted_values` to each wanted value, and the distance to it."""
    right = np.clip(np.searchsorted(sorted_values, wanted), 0, sorted_values.size - 1)
    left = np.clip(right - 1, 0, None)
    index = np.where(np.abs(sorted_values[left] - wanted) <= np.abs(sorted_values[right] - wanted), left, right)
    return index, np.abs(sorted_values[index] - wanted)


def _flagged(runs: Mapping[str, xr.Dataset]) -> list[Finding]:
    findings = []
    for name, run in runs.items():
        bits = run["flags"].values
        for flag in schema.Flag:
            if count := int(((bits & int(flag)) > 0).sum()):
                findings.append(Finding("flagged", name, f"{count} of {bits.size} spectra: {quality.names(int(flag))[0]}"))
        if copies := int((run["replicate_of"].values != "").sum()):
            findings.append(Finding("info", name, f"{copies} of {bits.size} spectra repeat an earlier run at the same position"))
        estimated = int(sum(str(text).startswith("median of") for text in run["energy_source"].values))
        if estimated:
            findings.append(Finding("info", name, f"{estimated} of {bits.size} spectra are not in the result table and got the run's median calibration"))
    return findings


__all__ = ["Contribution", "Finding", "Report", "check", "checked", "spectra", "with_provenance", "File"]
