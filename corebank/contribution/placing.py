"""Scan series -> runs with core, section, depth, machine, energy axis and flags; what is odd becomes a finding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

import dask
import numpy as np
import xarray as xr

from corebank import quality, readers, schema
from corebank.contribution import axis, machine
from corebank.contribution.findings import Finding, finding
from corebank.contribution.metadata import Metadata, Scanner, Section
from corebank.contribution.toml import slugged
from corebank.errors import CorebankError
from corebank.readers import Note, Reading, Scan, Survey
from corebank.readers.evaluations import Evaluation
from corebank.schema import Flag


@dataclass(slots=True, eq=False)
class Placed:
    """Every listed section as runs, and what was met on the way."""

    runs: dict[str, xr.Dataset] = field(default_factory=dict)
    evaluations: dict[str, list[Evaluation]] = field(default_factory=dict)
    sections: dict[str, Section] = field(default_factory=dict)
    """Run -> the section that it was made of; several runs where a folder held several settings."""
    axes: dict[str, axis.Axis] = field(default_factory=dict)
    """Run -> where its energy axis came from, and how it compares with the lines in its spectra."""
    findings: list[Finding] = field(default_factory=list)
    set_aside: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    """Every file that a run or an evaluation was made of."""


def place(words: Metadata, found: Survey) -> Placed:
    """Read every section that `words` list and make runs of it that meet the schema."""
    out = Placed(set_aside=dict(found.set_aside))
    out.findings += [told(note) for note in found.notes]
    work: list[tuple[Section, Scan]] = []
    for section in words.sections:
        scans = [part for scan in found.scans if scan.folder == section.folder and (part := _part(scan, section))]
        work += [(section, scan) for scan in scans]
        if not scans:
            out.findings.append(_no_spectra(words, section, found))
    # A table may hold a hundred cores: it is read once, and each section takes its rows.
    first = {scan.folder: number for number, (_, scan) in reversed(list(enumerate(work))) if scan.kind == "table"}
    own = dict.fromkeys(number for number, (_, scan) in enumerate(work) if first.get(scan.folder, number) == number)
    readings = readers.read_scans(
        [work[number][1] for number in own],
        [work[number][0].evaluation for number in own],
        dates=words.scanner.dates,
    )
    tables: dict[str, Reading] = {}
    taken: set[str] = set()
    for number, (section, scan) in enumerate(work):
        reading = next(readings) if number in own else tables.get(scan.folder)
        if isinstance(reading, CorebankError):
            out.findings.append(finding("contradiction", str(reading.where), reading.found, fix=reading.fix))
        elif reading is not None:
            if number in own:
                _take(scan, reading, out)
            if scan.kind == "table":
                tables[scan.folder] = reading
                reading = _rows(reading, section)
                taken.update(str(source) for run in reading.runs for source in run["source"].values)
                if not reading.runs:
                    out.findings.append(_no_spectra(words, section, found))
            _place(words.scanner, section, scan, reading, out)
    _tell_unlisted(found, out)
    _tell_rows_left(tables, taken, out)
    return out


def told(note: Note) -> Finding:
    """What a reader noted, as a finding."""
    return finding(note.kind, note.where, note.found, fix=note.fix, items=note.items)


def _part(scan: Scan, section: Section) -> Scan | None:
    """The files of `scan` that belong to `section`; all where it gives no pattern, None where there are none."""
    if not section.files or scan.kind == "table":  # of a table, rows are chosen once it is read
        return scan
    spectra = [entry for entry in scan.spectra if _matches(entry.name, section)]
    return replace(scan, spectra=spectra) if spectra else None


def _matches(name: str, section: Section) -> bool:
    inside = name.removeprefix(f"{section.folder}/").removeprefix(f"{section.folder}!")
    return fnmatchcase(inside, section.files) or fnmatchcase(PurePosixPath(inside).name, section.files)


def _take(scan: Scan, reading: Reading, out: Placed) -> None:
    """What reading a scan's files told, and which of them it used."""
    out.findings += [told(note) for note in reading.notes]
    out.set_aside |= reading.set_aside
    out.used |= {entry.name for entry in [*scan.spectra, *scan.companions]} - reading.set_aside.keys()


def _place(scanner: Scanner, section: Section, scan: Scan, reading: Reading, out: Placed) -> None:
    """Make runs of what was read of a section."""
    if scanner.kind and reading.runs and scanner.kind != scan.kind:
        out.findings.append(
            finding(
                "contradiction",
                section.folder,
                f"holds {scan.kind} spectra, [scanner] kind says {scanner.kind}",
                fix="Correct the kind in contribution.toml",
            )
        )
        return
    names = _run_names(section, reading)
    out.findings += machine.between(section, names, reading)
    for name, run, tables in zip(names, reading.runs, reading.evaluations, strict=True):
        _finish(name, run, scanner, section, out)
        out.evaluations[name] = tables


def _rows(reading: Reading, section: Section) -> Reading:
    """Of a table's spectra, those that belong to `section`."""
    if not section.files:
        return reading
    runs, settings, evaluations = [], [], []
    for run, setting, tables in zip(reading.runs, reading.settings, reading.evaluations, strict=True):
        ours = np.flatnonzero([_matches(str(name), section) for name in run["source"].values])
        if ours.size:
            runs.append(run.isel(spectrum=ours))
            settings.append(setting)
            evaluations.append(tables)
    return replace(reading, runs=runs, settings=settings, evaluations=evaluations)


def _run_names(section: Section, reading: Reading) -> list[str]:
    """The section's run name, with the setting behind it where the folder holds several."""
    if len(reading.runs) < 2:
        return [section.run] * len(reading.runs)
    parts = [[word.strip() for word in setting.split(",")] for setting in reading.settings]
    shared = set.intersection(*(set(words) for words in parts))
    own = [" ".join(word.replace(" kV", "kV") for word in words if word not in shared) for words in parts]
    return [f"{section.run}-{slugged(words) or 'other'}" for words in own]


def _finish(name: str, raw: xr.Dataset, scanner: Scanner, section: Section, out: Placed) -> None:
    """Give a run everything that the schema asks for; what forbids it becomes a finding, and the run stays out."""
    run, problems = machine.completed(name, raw, scanner, section)
    found_axis, axis_findings = axis.settle(name, run, scanner)
    out.findings += problems + axis_findings
    if any(one.severity == "refused" for one in problems + axis_findings):
        return
    run, count = found_axis.applied(run), run.sizes["spectrum"]
    position = run["section_position"].values
    in_file = run["file_depth"].values
    columns: dict[str, object] = {
        "core": [section.core] * count,
        "section": [section.name] * count,
        "depth": np.where(np.isfinite(in_file), in_file, section.top + section.stretch * position),
        "replicate_of": [""] * count,
        "contribution": [""] * count,
    }
    if section.length is not None:
        outside = (position < 0) | (position > section.length)
        columns["flags"] = run["flags"].values | np.where(outside, int(Flag.OUTSIDE_SECTION), 0).astype(np.uint32)
    placed = run.assign(schema.spectrum_columns(columns))
    with dask.config.set(scheduler="threads"):  # the counts are in this machine's scratch, wherever they were read
        bits, _ = quality.assess(placed)
    placed = placed.assign(schema.spectrum_columns({"flags": bits}))
    out.runs[name] = schema.validate_run(placed, name)
    out.axes[name], out.sections[name] = found_axis, section


def mark_copies(runs: dict[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Flag the spectra of a run whose files are, to the byte, those of a run before it: a folder copied by mistake."""
    met: set[str] = set()
    out = {}
    for name, run in runs.items():
        hashes = run["source_sha256"].values.tolist()
        copied = np.array([sha in met for sha in hashes], dtype=bool)
        bits = run["flags"].values | np.where(copied, int(Flag.DUPLICATE), 0).astype(np.uint32)
        out[name] = run.assign(schema.spectrum_columns({"flags": bits})) if copied.any() else run
        met.update(hashes)
    return out


def flagged(name: str, run: xr.Dataset) -> list[Finding]:
    """One finding for each kind of flag that spectra of a run carry, with every spectrum concerned."""
    bits, sources = run["flags"].values, run["source"].values
    found = []
    for flag in Flag:
        rows = np.flatnonzero(bits & int(flag))
        if rows.size:
            kind = quality.names(int(flag))[0].replace(" ", "-")
            found.append(
                finding(
                    kind,
                    name,
                    f"{rows.size} of {bits.size} spectra: {kind.replace('-', ' ')}",
                    items=tuple(str(sources[row]) for row in rows),
                )
            )
    return found


def _no_spectra(words: Metadata, section: Section, found: Survey) -> Finding:
    listed = {part.folder for part in words.sections}
    known = readers.shortlist(sorted({scan.folder for scan in found.scans} - listed)) or "none that is not listed"
    what = f"no spectra in this folder that match {section.files!r}" if section.files else "no spectra in this folder"
    return finding("no-spectra", section.folder, f"{what}. Folders with spectra: {known}")


def _tell_rows_left(tables: Mapping[str, Reading], taken: set[str], out: Placed) -> None:
    """Spectra of a table that the pattern of no section takes: the file is used, and they would be lost unseen."""
    for name, reading in tables.items():
        left = tuple(str(source) for run in reading.runs for source in run["source"].values if str(source) not in taken)
        if left:
            what = f"{len(left)} spectra of the table that no [[core.section]] takes"
            out.findings.append(finding("unlisted", name, what, items=left))


def _tell_unlisted(found: Survey, out: Placed) -> None:
    known = out.used | out.set_aside.keys()
    for scan in found.scans:
        left = [entry.name for entry in scan.spectra if entry.name not in known]
        if left:
            out.findings.append(
                finding(
                    "unlisted",
                    scan.folder,
                    f"{len(left)} files with spectra that contribution.toml does not list",
                    items=tuple(left),
                )
            )
        for entry in [*scan.spectra, *scan.companions]:
            if entry.name not in out.used:
                out.set_aside.setdefault(entry.name, "its folder is not listed in contribution.toml")
