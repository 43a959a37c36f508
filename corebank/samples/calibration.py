"""The labelled samples of CD166/19 as tables that can be contributed, made from the published files.

The authors cut 60 slices of 1 cm, summed the Itrax spectra of each (files ``sumspectra_cd166-NNN.spe``, whose number is
the slice's composite depth in cm), and measured an acid digest of each by ICP-OES. A sum file's header belongs to some
other file (its position is 0 for all), so the depth is taken from the name, and the counts are copied as they are.
"""

from __future__ import annotations

import csv
import io
import re
import tomllib
from pathlib import Path

from corebank import units
from corebank.errors import ReadError
from corebank.readers import itrax
from corebank.readers.files import File

LABORATORY = "icp.csv"
"""Name of the table of laboratory values that `tables` makes."""

ELEMENTS = {"Ca": "wt%", "Fe": "wt%", "K": "wt%", "Al": "wt%", "Mg": "wt%", "Mn": "ppm", "Sr": "ppm", "Zn": "ppm"}
"""What is taken from the digests, and its unit here: elements far above the blanks. Ti, Si and Zr are left out, since
hydrochloric and nitric acid dissolve little of their minerals."""

VOLUME = 0.1
"""Litres of solution per sample, the second dilution counted in: "* 100, then / mass" for mg/L to mg/kg with the mass
in grams is the authors' own note (CD166_19_calib.xlsx, Sheet2: 100 = 1000 x 0.1)."""

_SPECTRA = "calibration_samples/sumspectra"
_DIGESTS = "calibration_samples/calibration_data.csv"
_DEPTH = re.compile(r"sumspectra_cd166-(\d+)\.spe")
_SLICE = 10.0


def tables(folder: Path, toml: str) -> dict[str, str]:
    """The tables of spectra, one per section, and the table of laboratory values, as CSV text by file name.

    Parameters
    ----------
    folder
        Holds ``calibration_samples`` as published.
    toml
        The sample's contribution.toml: each ``[[core.section]]`` names its table and the section's top; a slice belongs
        to the section with the last top above its middle.

    Raises `ReadError` when a published file is not what it was when this was written.
    """
    cores = tomllib.loads(toml)["core"]
    sections = sorted(
        (units.quantity(part["top"], "mm", part["name"]), str(part["name"]), str(part["folder"]), str(core["name"]))
        for core in cores
        for part in core["section"]
    )
    rows: dict[str, list[list[object]]] = {}
    for middle, file in _slices(folder):
        top, section, table, core = next(one for one in reversed(sections) if one[0] <= middle)
        (spectrum,) = itrax.parse(file)
        head = [Path(file.name).name, core, section, f"{middle:g}", f"{middle - top:g}"]
        rows.setdefault(table, []).append([*head, *spectrum.counts.tolist()])
    names = ["filename", "core", "section", "composite_depth_mm", "section_depth_mm"]
    made = {}
    for table, spectra in rows.items():
        channels = len(spectra[0]) - len(names)
        made[table] = _csv([[*names, *range(channels)], *spectra])
    return {**made, LABORATORY: _csv(_digests(folder))}


def _slices(folder: Path) -> list[tuple[float, File]]:
    """Composite depth [mm] of the middle of each slice, and the file of its sum spectrum, from the top down."""
    found = []
    for path in (folder / _SPECTRA).iterdir():
        if match := _DEPTH.fullmatch(path.name):
            found.append((10.0 * int(match[1]) + _SLICE / 2, File(f"{_SPECTRA}/{path.name}", path.read_bytes())))
    return sorted(found, key=lambda one: one[0])


def _digests(folder: Path) -> list[list[object]]:
    """Header and rows of the laboratory values; blanks and reference materials, which have no depth, are left out."""
    table: list[list[object]] = [["sample", "top_mm", "bottom_mm", *ELEMENTS]]
    try:
        for row in csv.DictReader(io.StringIO((folder / _DIGESTS).read_text(encoding="utf-8-sig"))):
            if not row["bot"]:
                continue
            in_ppm = {name: float(row[name]) * VOLUME * 1000 / float(row["weight"]) for name in ELEMENTS}
            values = [f"{in_ppm[name] / (10_000 if unit == 'wt%' else 1):.6g}" for name, unit in ELEMENTS.items()]
            table.append([row["SampleID"], row["top"], row["bot"], *values])
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise ReadError(_DIGESTS, f"is not the published table ({error!r})", "Fetch it again") from error
    return table


def _csv(rows: list[list[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
