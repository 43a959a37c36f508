"""Raw scanner files -> counts by channel and the settings they were measured with.

`scans` finds every scan series below a folder and `read_scan` reads one, whatever scanner wrote it: the format is
told by the bytes, never by the ending (``.spe`` alone is several vendors' formats, and Itrax spectra hide in ``.txt``).
`read` reads a single spectrum file. All return counts exactly as the files hold them, on detector channels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import xarray as xr

from corebank.errors import ReadError
from corebank.readers import avaatech, itrax, itrax_tables, series
from corebank.readers.files import File, files, split


@dataclass(slots=True)
class Scan:
    """The files of one scan series: one folder, one pass of the scanner."""

    folder: str
    """Relative to the folder that was searched; ``.`` for that folder itself."""
    kind: str
    """``itrax`` or ``avaatech``."""
    spectra: list[File] = field(default_factory=list)
    companions: list[File] = field(default_factory=list)
    """Result tables, settings and records beside the spectra."""


def scans(folder: Path) -> tuple[list[Scan], dict[str, str]]:
    """Sort every file under `folder` into scan series.

    Returns
    -------
    scans
        In natural order of their folders. Spectra inside ``XRF data/`` or ``XRF data.zip`` belong to the folder above,
        beside whose result table they were made.
    set_aside
        Every other file, by name, with the reason why it is in no series. Files found = files in a series + these.

    Raises `ReadError` when the folder is not there or an archive in it is unsafe.
    """
    found: dict[str, Scan] = {}
    met: dict[tuple[str, str], str] = {}
    others: list[File] = []
    set_aside: dict[str, str] = {}
    for file in files(folder):
        kind = _kind(file)
        if kind == "itrax" and itrax.is_sum(file):
            set_aside[file.name] = "sum spectrum: no scan point, made from the others"
        elif kind:
            home = _home(file.name)
            first = met.setdefault((home, file.sha256), file.name)
            if first != file.name:
                set_aside[file.name] = f"the same bytes as {first}"
                continue
            found.setdefault(home, Scan(home, kind)).spectra.append(file)
        else:
            others.append(file)
    for file in others:
        home = str(PurePosixPath(split(file.name)[0]).parent)
        scan = found.get(home)
        if scan is None or scan.kind != "itrax":
            set_aside[file.name] = "not a spectrum, and beside none that it could describe"
        elif itrax_tables.is_results(file) or itrax_tables.is_document(file) or itrax_tables.settings(file):
            scan.companions.append(file)
        else:
            set_aside[file.name] = "neither a spectrum nor a table that corebank knows"
    return list(found.values()), set_aside


def read_scan(scan: Scan) -> xr.Dataset:
    """Read one scan series.

    Returns
    -------
    Dataset
        ``counts`` (spectrum, channel) uint32 [count] in order of position; per spectrum ``section_position`` [mm],
        ``energy_gain`` and ``energy_offset`` [keV] (NaN where no file tells) with ``energy_source``, ``live_time`` and
        ``real_time`` [s], ``tube_voltage`` [kV], ``tube_current`` [mA], ``scanned_at``, ``source``, ``source_sha256``
        and ``flags``; attributes as in `corebank.schema.RUN_ATTRIBUTES`.

    Raises `ReadError` when a file is damaged or the files cannot be one series.
    """
    return (
        series.from_itrax(scan.spectra, scan.companions) if scan.kind == "itrax" else series.from_avaatech(scan.spectra)
    )


def read(path: Path) -> xr.Dataset:
    """Read one spectrum file, of any scanner known here; as `read_scan`, with one spectrum.

    Raises `ReadError` when the bytes are no spectrum, or not a whole one.
    """
    try:
        file = File(path.name, path.read_bytes())
    except OSError as error:
        raise ReadError(path, f"cannot be read ({error.strerror})", "Check the name and your permissions") from error
    kind = _kind(file)
    if not kind:
        raise ReadError(
            path,
            "is no spectrum of a scanner that corebank knows",
            "Itrax and Avaatech .spe files are read; give one of those",
        )
    return read_scan(Scan(".", kind, [file]))


def shortlist(folders: Iterable[str]) -> str:
    """A short list of folders for a message."""
    names = list(folders)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _kind(file: File) -> str:
    if itrax.is_spectrum(file.content):
        return "itrax"
    return "avaatech" if avaatech.is_spectrum(file.content) else ""


def _home(name: str) -> str:
    """The folder of a scan: where the archive lies, or the folder above one that is named as the scanner names it."""
    outer, *member = split(name)
    folder = PurePosixPath(outer).parent
    if not member and folder.name.lower().replace("_", " ") in ("xrf data", "xrf spectra"):
        folder = folder.parent
    return str(folder)
