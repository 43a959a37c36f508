"""One scan series, read: its runs, the evaluations beside it, and what is to be told of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import xarray as xr

from corebank.errors import ReadError
from corebank.readers import baxil, dates, evaluations, itrax, itrax_tables, series
from corebank.readers.blocks import Parsed
from corebank.readers.evaluations import Evaluation
from corebank.readers.files import HEAD, Entry, File, loaded, stem
from corebank.readers.series import Note
from corebank.schema import Flag


@dataclass(slots=True, eq=False)
class Reading:
    """What one scan series holds."""

    runs: list[xr.Dataset] = field(default_factory=list)
    """One per machine setting, the largest first; counts are lazy."""
    settings: list[str] = field(default_factory=list)
    """The setting of each run, in words."""
    evaluations: list[list[Evaluation]] = field(default_factory=list)
    """Of each run, every evaluation beside the spectra."""
    notes: list[Note] = field(default_factory=list)
    set_aside: dict[str, str] = field(default_factory=dict)
    """File -> why it is no scan point."""


def read(
    kind: str,
    folder: str,
    parsed: Iterable[Parsed],
    companions: Sequence[Entry],
    evaluation: str = "",
    said: str = "",
) -> Reading:
    """Make runs of the spectra of a scan series, in blocks as they were parsed; see `corebank.readers.read_scan`."""
    out = Reading()
    beside = list(loaded(companions))
    tables = _evaluations(folder, beside, out)
    parts = series.gathered(parsed, folder, out.notes, out.set_aside)
    record = next((itrax_tables.document(file) for file in beside if itrax_tables.is_document(file)), {})
    for part in parts:
        table = part.table
        if note := series.changed(table):
            out.notes.append(note)
        known = _day_of(record)
        if not said and (day := dates.ambiguous(table["day"].tolist(), known)):
            out.notes.append(Note("date", str(table["source"][0]), f"the date {day!r} may be in two months"))
        calibrated, chosen = _calibrated(table, folder, out, tables, beside, evaluation)
        columns = {
            "scanned_at": dates.parse(table["day"].tolist(), table["clock"].tolist(), known, said),
            **calibrated,
        }
        out.evaluations.append([replace(one, calibrates=one is chosen) for one in tables])
        out.runs.append(series.dataset(part, kind, columns, out.set_aside))
        out.settings.append(str(part.setting))
        if kind == "itrax" and part.first is not None and itrax.rates_mislabelled(part.first):
            out.notes.append(Note("rates", folder, "input_count_rate is labelled cps and holds thousands per second"))
    return out


def _evaluations(folder: str, beside: Sequence[File], out: Reading) -> list[Evaluation]:
    found = []
    for file in beside:
        try:
            if itrax_tables.is_results(file):
                found.append(Evaluation(_within(file.name, folder), file.sha256, itrax_tables.results(file)))
            elif baxil.is_table(file.content[:HEAD]):
                areas = baxil.read(file).drop(columns=list(baxil.TEXTS), errors="ignore")
                found.append(Evaluation(_within(file.name, folder), file.sha256, areas))
        except ReadError as error:  # a table that nobody could use is no reason to lose the spectra
            out.set_aside[file.name] = error.found
    return found


def _calibrated(
    table: pd.DataFrame,
    folder: str,
    out: Reading,
    tables: Sequence[Evaluation],
    beside: Sequence[File],
    wanted: str,
) -> tuple[Mapping[str, object], Evaluation | None]:
    """Energy axis with its source, and flags, of each spectrum: by the chosen evaluation, the settings file, the file.

    Spectra that an evaluation leaves out get the run's median. The chosen evaluation comes second, or None.
    """
    stems = [stem(name) for name in table["source"]]
    ours = [one for one in tables if len(one.table.index.intersection(stems)) or one.table.empty]
    chosen = evaluations.choose(ours, stems, wanted, folder)
    valid = table["in_position"].to_numpy(bool)
    gain, offset = table["gain"].to_numpy(np.float64), table["offset"].to_numpy(np.float64)
    source = np.where(np.isfinite(gain) & np.isfinite(offset), table["source"].to_numpy(object), "")
    if chosen is not None:
        rows, known = chosen.table.reindex(stems), chosen.calibrated(stems)
        gain = np.where(known, rows["gain"], np.median(rows["gain"][known]))
        offset = np.where(known, rows["offset"], np.median(rows["offset"][known]))
        name = str(PurePosixPath(folder, chosen.name))
        source = np.where(known, name, f"median of {name}").astype(object)
        valid = rows["valid"].to_numpy(object) != False  # noqa: E712 - NaN: a row the table lacks is not invalid
        _tell(chosen, ours, table["source"].tolist(), known, folder, out)
    else:
        for file in beside:
            if pair := itrax_tables.settings(file):
                gain, offset = np.full(len(stems), pair[0]), np.full(len(stems), pair[1])
                source = np.full(len(stems), file.name, dtype=object)
                break
    columns = {
        "energy_gain": gain,
        "energy_offset": offset,
        "energy_source": source,
        "flags": np.where(valid, 0, int(Flag.NOT_IN_POSITION)),
    }
    return columns, chosen


def _tell(
    chosen: Evaluation, ours: Sequence[Evaluation], sources: Sequence[str], known: np.ndarray, folder: str, out: Reading
) -> None:
    stems = [stem(name) for name in sources]
    names = tuple(str(PurePosixPath(folder, one.name)) for one in ours)
    if len(ours) > 1:
        out.notes.append(
            Note("evaluations", folder, f"{len(ours)} evaluations of these spectra; {chosen.name} calibrates", names)
        )
    for one in ours:
        if evaluations.aborted(one, stems):
            count = int(one.calibrated(stems).sum())
            where = str(PurePosixPath(folder, one.name))
            out.notes.append(Note("aborted-evaluation", where, f"has values for {count} of {len(stems)} spectra"))
    if not known.all():
        lacking = tuple(name for name, has in zip(sources, known, strict=True) if not has)
        out.notes.append(
            Note(
                "calibration-filled",
                folder,
                f"{len(lacking)} of {len(stems)} spectra are not in {chosen.name}",
                lacking,
            )
        )


def _within(name: str, folder: str) -> str:
    return name if folder == "." else str(PurePosixPath(name).relative_to(folder))


def _day_of(record: Mapping[str, Sequence[str]]) -> date | None:
    try:
        return date(*(int(record[key][0]) for key in ("Year", "Month", "Day")))
    except (KeyError, ValueError, IndexError):
        return None
