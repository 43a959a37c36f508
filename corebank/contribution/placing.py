"""Scan series -> runs with their core, section, depth, machine and flags; what stands in the way becomes a finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr

from corebank import calibrate, quality, readers, schema
from corebank.contribution import metadata
from corebank.contribution.metadata import Metadata, Scanner, Section
from corebank.errors import ContributionError, CorebankError
from corebank.readers import Scan

Severity = Literal["refused", "flagged", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the contributor should know: where, what, and how grave it is."""

    severity: Severity
    where: str
    found: str


def runs(words: Metadata, scans: Sequence[Scan], findings: list[Finding]) -> dict[str, xr.Dataset]:
    """Every listed section as a run that meets the schema; what stands in the way goes into `findings`."""
    by_folder = {scan.folder: scan for scan in scans}
    runs: dict[str, xr.Dataset] = {}
    for section in words.sections:
        scan = by_folder.get(section.folder)
        if scan is None:
            known = (
                readers.shortlist(sorted(by_folder.keys() - {part.folder for part in words.sections}))
                or "none that is not listed"
            )
            findings.append(
                Finding("refused", section.folder, f"no spectra in this folder. Folders with spectra: {known}")
            )
            continue
        try:
            runs[section.run] = _placed(readers.read_scan(scan), section, words.scanner)
        except CorebankError as error:
            findings.append(Finding("refused", str(error.where), f"{error.found}. {error.fix}"))
    return runs


def _placed(run: xr.Dataset, section: Section, scanner: Scanner) -> xr.Dataset:
    """`run` with its core, section and composite depth, the machine's words, a calibration and its flags."""
    if scanner.kind and scanner.kind != run.attrs["scanner"]:
        raise ContributionError(
            section.folder,
            f"holds {run.attrs['scanner']} spectra, [scanner] kind says {scanner.kind}",
            "Correct the kind in contribution.toml",
        )
    if scanner.anode and run.attrs["anode"] and scanner.anode != run.attrs["anode"]:
        raise ContributionError(
            section.folder,
            f"the files say anode {run.attrs['anode']}, [scanner] says {scanner.anode}",
            "Correct the anode in contribution.toml",
        )
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


def linked(runs: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Mark spectra that repeat an earlier run's: same core, section and machine, within a quarter of a step."""
    linked: dict[str, xr.Dataset] = {}
    seen: dict[tuple[object, ...], list[xr.Dataset]] = {}
    for name, run in runs.items():
        key = (
            run["core"].values[0],
            run["section"].values[0],
            *(str(run.attrs[part]) for part in ("scanner", "head", "anode", "filter", "tube_voltage", "channels")),
        )
        position = run["section_position"].values
        repeats = run["replicate_of"].values.copy()
        for earlier in seen.get(key, []):
            near, distance = _nearest(earlier["section_position"].values, position)
            step = (
                float(np.median(np.diff(earlier["section_position"].values))) if earlier.sizes["spectrum"] > 1 else 1.0
            )
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


def findings_of(runs: Mapping[str, xr.Dataset]) -> list[Finding]:
    """What is to be said of runs that can go in: flags, replicates, calibrations that were estimated."""
    findings = []
    for name, run in runs.items():
        bits = run["flags"].values
        for flag in schema.Flag:
            if count := int(((bits & int(flag)) > 0).sum()):
                findings.append(
                    Finding("flagged", name, f"{count} of {bits.size} spectra: {quality.names(int(flag))[0]}")
                )
        if copies := int((run["replicate_of"].values != "").sum()):
            findings.append(
                Finding("info", name, f"{copies} of {bits.size} spectra repeat an earlier run at the same position")
            )
        estimated = int(sum(str(text).startswith("median of") for text in run["energy_source"].values))
        if estimated:
            findings.append(
                Finding(
                    "info",
                    name,
                    f"{estimated} of {bits.size} spectra are not in the result table "
                    "and got the run's median calibration",
                )
            )
    return findings
