"""A folder of scanner files: every scan series in it found, and read as runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath

import xarray as xr

from corebank import parallel
from corebank.errors import ReadError
from corebank.readers import baxil, blocks, itrax, itrax_tables, reading, table
from corebank.readers.blocks import FORMATS
from corebank.readers.files import HEAD, Entry, File, entries, heads, split
from corebank.readers.reading import Reading
from corebank.readers.series import Note, unreadable
from corebank.readers.spectrum import Spectrum


@dataclass(slots=True)
class Scan:
    """The files of one scan series: one folder, one pass of the scanner. None of them has been read whole."""

    folder: str
    """Relative to the folder that was searched; ``.`` for that folder itself. A table of spectra is its own folder."""
    kind: str
    """The format, a key of `corebank.readers.blocks.FORMATS`."""
    spectra: list[Entry] = field(default_factory=list)
    companions: list[Entry] = field(default_factory=list)
    """Result tables, settings and records beside the spectra, or in folders below that have none of their own."""


@dataclass(slots=True)
class Survey:
    """What lies below a folder. Files found = files in scans + files set aside."""

    scans: list[Scan] = field(default_factory=list)
    """In natural order of their folders."""
    set_aside: dict[str, str] = field(default_factory=dict)
    """Every other file -> why it is in no series."""
    notes: list[Note] = field(default_factory=list)
    """What is unsafe, damaged or left out on purpose."""


def survey(folder: Path) -> Survey:
    """Sort every file under `folder` by its first bytes; nothing is read whole but small records.

    Spectra inside ``XRF data/`` or ``XRF data.zip`` belong to the folder above, beside whose result table they were
    made. Raises `ReadError` when the folder is not there.
    """
    out = Survey()
    listed, errors = entries(folder)
    for error in errors:
        note = unreadable(error)
        out.notes.append(note)
        out.set_aside[note.where] = "unsafe" if note.kind == "unsafe" else "damaged"
    found: dict[tuple[str, str], Scan] = {}
    others: list[tuple[Entry, bytes]] = []
    alike: dict[str, Scan] = {}

    def unlike() -> Iterator[Entry]:
        """What is named like a spectrum beside it is taken for one; should it be none, reading it will tell."""
        for entry in listed:
            if scan := alike.get(_spelling(entry.name)):
                scan.spectra.append(entry)
            else:
                yield entry

    for entry, head in heads(unlike()):
        if isinstance(head, ReadError):
            out.notes.append(unreadable(head))
            out.set_aside[entry.name] = "damaged"
        elif kind := _kind(head) or _kind_of_workbook(entry, head):
            if kind == "itrax" and itrax.is_sum(entry.name):
                out.set_aside[entry.name] = "sum spectrum: no scan point, made from the others"
            else:
                home = entry.name if kind == "table" else _home(entry.name)
                scan = found.setdefault((home, kind), Scan(home, kind))
                scan.spectra.append(entry)
                if kind != "table":
                    alike[_spelling(entry.name)] = scan
        else:
            others.append((entry, head))
    out.scans = list(found.values())
    homes = {scan.folder: scan for scan in out.scans if scan.kind != "table"}
    spellings = {_spelling(entry.name): scan.kind for scan in out.scans for entry in scan.spectra}
    for entry, head in others:
        if among := spellings.get(_spelling(entry.name)):  # L000012.spe among L000011.spe and L000013.spe
            what = "is empty" if not head else f"is named like the {among} spectra beside it and is none"
            out.notes.append(Note("unreadable", entry.name, what, (entry.name,)))
            out.set_aside[entry.name] = "damaged"
            continue
        reason = _companion(entry, head, homes, out)
        if reason:
            out.set_aside[entry.name] = reason
    return out


def scans(folder: Path) -> tuple[list[Scan], dict[str, str]]:
    """The scan series below `folder`, and the files set aside with a reason; as `survey`, but strict.

    Raises `ReadError` when the folder is not there, or anything in it is unsafe or damaged.
    """
    found = survey(folder)
    for note in found.notes:
        if note.kind in ("unsafe", "unreadable"):
            raise ReadError(note.where, note.found, note.fix or "Nothing below the folder was read")
    return found.scans, found.set_aside


def peek(scan: Scan) -> list[Spectrum]:
    """The first, the middle and the last spectrum of a series, to see what it is; raises `ReadError` at a bad file."""
    if not scan.spectra:
        return []
    rows = sorted({0, len(scan.spectra) // 2, len(scan.spectra) - 1})
    read_in = [one for row in rows for one in FORMATS[scan.kind].parse(scan.spectra[row].load())]
    return read_in if len(read_in) <= 3 else [read_in[0], read_in[len(read_in) // 2], read_in[-1]]


def read_scan(scan: Scan, *, evaluation: str = "", dates: str = "") -> Reading:
    """Read one scan series.

    Parameters
    ----------
    scan
        The files, as `survey` found them.
    evaluation
        Which of several evaluations calibrates, by its file's name below the scan's folder; chosen where empty.
    dates
        ``day-first``, ``month-first`` or ``unknown``, where the files leave it open.

    Returns
    -------
    Reading
        Per machine setting one Dataset: ``counts`` (spectrum, channel) uint32 [count], lazy, in order of position; per
        spectrum ``section_position`` [mm], ``energy_gain`` and ``energy_offset`` [keV] (NaN where no file tells) with
        ``energy_source``, ``live_time`` and ``real_time`` [s], ``tube_voltage`` [kV], ``tube_current`` [mA],
        ``scanned_at``, ``source``, ``source_sha256`` and ``flags``; attributes as in `corebank.schema.RUN_ATTRIBUTES`.
        Damaged files, changed counts and open questions are in ``notes``.

    Raises `ReadError` when a file beside the spectra cannot be read, or the wanted evaluation is not there.
    """
    found = next(read_scans([scan], [evaluation], dates=dates))
    if isinstance(found, ReadError):
        raise found
    return found


def read_scans(scans: Sequence[Scan], evaluations: Sequence[str], *, dates: str = "") -> Iterator[Reading | ReadError]:
    """As `read_scan` for each of `scans` in turn, with an error in the place of one that cannot be read.

    The files of all of them are parsed as one stream, so that short series keep all workers busy, too.
    """
    pieces = [blocks.blocks(scan.kind, scan.spectra) for scan in scans]
    stream = parallel.each(
        blocks.parse,
        [block for some in pieces for block in some],
        "reading spectra",
        sizes=[len(block.entries) for some in pieces for block in some],
    )
    for scan, some, evaluation in zip(scans, pieces, evaluations, strict=True):
        own = islice(stream, len(some))
        try:
            found: Reading | ReadError = reading.read(scan.kind, scan.folder, own, scan.companions, evaluation, dates)
        except ReadError as error:
            found = error
        for _ in own:
            pass  # what an error left unread belongs to this series, not to the next one
        yield found


def read(path: Path) -> xr.Dataset:
    """Read one spectrum file, of any scanner known here: one run with its counts in memory.

    Raises `ReadError` when the bytes are no spectrum, or not a whole one.
    """
    try:
        with path.open("rb") as file:
            kind = _kind(file.read(HEAD))
    except OSError as error:
        raise ReadError(path, f"cannot be read ({error.strerror})", "Check the name and your permissions") from error
    if not kind:
        raise ReadError(
            path,
            "is no spectrum of a scanner that corebank knows",
            "Itrax and Avaatech .spe, EMSA/MAS text and tables of spectra are read; give one of those",
        )
    found = read_scan(Scan(".", kind, [Entry(path.name, path)]))
    for note in found.notes:
        if note.kind in ("unreadable", "unsafe", "counts-changed"):
            raise ReadError(path, note.found, note.fix or "Copy it from the scanner again")
    if not found.runs:
        raise ReadError(path, "holds no spectrum", "Give the raw file of the scanner")
    return found.runs[0].load()


def shortlist(folders: Iterable[str]) -> str:
    """A short list of folders for a message."""
    names = list(folders)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _kind(head: bytes) -> str:
    return next((kind for kind, module in FORMATS.items() if module.is_spectrum(head)), "")


def _kind_of_workbook(entry: Entry, head: bytes) -> str:
    """``table`` for an xlsx or Parquet file of spectra; whether it is one shows only inside."""
    try:
        return "table" if table.is_workbook(head) and table.holds_spectra(entry.load()) else ""
    except ReadError:
        return ""  # as a laboratory table it will be told what is wrong with it


def _companion(entry: Entry, head: bytes, homes: dict[str, Scan], out: Survey) -> str:
    """Put a file that is no spectrum beside those that it describes; the reason, where there are none."""
    file = File(entry.name, head)
    results, record = itrax_tables.is_results(file), itrax_tables.is_document(file)
    at = PurePosixPath(split(entry.name)[0]).parent
    scan = next((homes[str(folder)] for folder in (at, *at.parents) if str(folder) in homes), None)
    if record and (scan is None or scan.folder != str(at)) and _is_radiograph(entry):
        out.notes.append(Note("radiograph", str(at), "a radiograph run: the spectrometer was off", (entry.name,)))
        return "record of a radiograph run, which has no spectra"
    if scan is None:
        return (
            "an evaluation whose spectra are not in the folder" if results
            else "record of a scan whose spectra are not in the folder" if record
            else "not a spectrum, and beside none that it could describe"
        )  # fmt: skip
    if scan.kind == "avaatech" and baxil.is_table(head):
        scan.companions.append(entry)
        return ""
    if scan.kind == "itrax" and (results or record or itrax_tables.settings(file)):
        scan.companions.append(entry)
        return ""
    return "neither a spectrum nor a table that corebank knows"


def _spelling(name: str) -> str:
    """A file's name with its numbers left open: ``S1/XRF data/L#.spe``."""
    folder, _, last = name.rpartition("/")
    return f"{folder}/{re.sub(r'[0-9]+', '#', last)}"


def _is_radiograph(entry: Entry) -> bool:
    fields = itrax_tables.document(entry.load())
    return next((values[0].upper() == "OFF" for key, values in fields.items() if key == "XRF" and values), False)


def _home(name: str) -> str:
    """The folder of a scan: where the archive lies, or the folder above one that is named as the scanner names it."""
    outer, *member = split(name)
    folder = PurePosixPath(outer).parent
    if not member and folder.name.lower().replace("_", " ") in ("xrf data", "xrf spectra"):
        folder = folder.parent
    return str(folder)
