"""Write a virtual expedition as a lab would bring it: raw scanner files, laboratory table, contribution.toml."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from corebank.errors import ContributionError
from corebank.virtual import avaatech, itrax
from corebank.virtual.expedition import LABEL_LENGTH, Expedition, Section, core_names, laboratory, scan
from corebank.virtual.instrument import INSTRUMENTS, Instrument
from corebank.virtual.sediment import PROXIES

STEWARD = "corebank virtual scanner"


def write(folder: Path, expedition: Expedition, *, zipped: bool = True, truth: bool = False) -> None:
    """Write `expedition` into `folder`: a folder of raw files per section, laboratory.csv and contribution.toml.

    The same expedition gives the same bytes, whenever and wherever it is written.

    Parameters
    ----------
    folder
        New or empty folder.
    expedition
        What to write, one of `EXPEDITIONS` or your own.
    zipped
        Itrax spectra in ``XRF data.zip`` per section; otherwise in a folder ``XRF data``.
    truth
        Also write ``truth/truth.csv``, the noise-free composition under each spectrum.

    Raises
    ------
    ContributionError
        Where `folder` holds something already.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ContributionError(folder, "the folder is not empty", "Name a new folder; nothing is overwritten")
    folder.mkdir(parents=True, exist_ok=True)
    instrument = INSTRUMENTS[expedition.instrument]
    tables = []
    for core in range(expedition.cores):
        for part in range(expedition.sections_per_core):
            section = scan(expedition, core, part)
            name, number = section_folder(section), core * expedition.sections_per_core + part
            if instrument.kind == "itrax":
                itrax.write_section(folder / name, section, instrument, number=number, zipped=zipped)
            else:
                avaatech.write_section(folder / name, section, instrument, number=number)
            tables.append(_truth(section))
    _write_csv(_laboratory(expedition), folder / "laboratory.csv")
    (folder / "contribution.toml").write_text(contribution(expedition, instrument), encoding="utf-8", newline="\n")
    if truth:
        (folder / "truth").mkdir()
        _write_csv(pd.concat(tables), folder / "truth" / "truth.csv")


def section_folder(section: Section) -> str:
    """Name of the folder of a section, VM1-1_S1."""
    return f"{section.core}_{section.name}"


def contribution(expedition: Expedition, instrument: Instrument) -> str:
    """The text of contribution.toml."""
    lines = [
        "[expedition]",
        f'name = "{expedition.name}"',
        f'title = "{expedition.title}"',
        f'site = "{expedition.site}"',
        f'steward = "{STEWARD}"',
        'licence = "CC0-1.0"',
        f'region = "{expedition.region}"',
        f'citation = "corebank virtual scanner, expedition {expedition.name}, seed {expedition.seed}"',
        "synthetic = true",
        "",
        "[scanner]",
        f'kind = "{instrument.kind}"',
        f'model = "{instrument.model}"',
        f'head = "{instrument.head}"',
        f'filter = "{instrument.filter}"',
    ]
    if instrument.kind == "avaatech":  # its files say neither the anode nor the calibration
        lines.append(f'anode = "{instrument.anode}"')
        gain, offset = 1000 * instrument.gain, 1000 * instrument.offset
        lines.append(f'calibration = {{ gain = "{gain:g} eV", offset = "{offset:g} eV" }}')
    for number, core in enumerate(core_names(expedition)):
        lines += [
            "",
            "[[core]]",
            f'name = "{core}"',
            f"latitude = {expedition.latitude + 0.3 * number:.1f}",
            f"longitude = {expedition.longitude + 0.2 * number:.1f}",
            f'water_depth = "{expedition.water_depth + 40 * number:g} m"',
        ]
        for part in range(expedition.sections_per_core):
            lines += [
                "",
                "[[core.section]]",
                f'folder = "{core}_S{part + 1}"',
                f'name = "S{part + 1}"',
                f'top = "{part * expedition.section_length:g} mm"',
                f'run = "{core.lower()}-s{part + 1}"',
            ]
    columns = ", ".join(f'{proxy} = "{proxy}_pct [wt%]"' for proxy in PROXIES)
    lines += [
        "",
        "[[measurements]]",
        'file = "laboratory.csv"',
        'core = "core"',
        'top = "depth_top_cm [cm]"',
        'bottom = "depth_bottom_cm [cm]"',
        f"columns = {{ {columns} }}",
        'method = "virtual laboratory"',
        f'laboratory = "{STEWARD}"',
        "",
    ]
    return "\n".join(lines)


def _laboratory(expedition: Expedition) -> pd.DataFrame:
    """laboratory.csv: composite depths [cm] and wt%, one row per sample."""
    tables = []
    for number, core in enumerate(core_names(expedition)):
        found = laboratory(expedition, number)
        top = found["top"].to_numpy()
        values = {f"{proxy}_pct": found[proxy].to_numpy().round(3) for proxy in PROXIES}
        tables.append(
            pd.DataFrame(
                {"core": core, "depth_top_cm": top / 10, "depth_bottom_cm": (top + LABEL_LENGTH) / 10} | values
            )
        )
    return pd.concat(tables)


def _truth(section: Section) -> pd.DataFrame:
    """The noise-free composition under each spectrum: proxies [wt% dry], water [wt% wet], elements [share of wet]."""
    spectra = section.spectra
    proxies = {f"{name}_pct": spectra[name].to_numpy() for name in (*PROXIES, "water")}
    elements = dict(zip(spectra["element"].values.tolist(), np.asarray(spectra["mass_fraction"]).T, strict=True))
    place = {"core": section.core, "section": section.name, "position_mm": spectra["position"].to_numpy()}
    return pd.DataFrame(place | proxies | elements)


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
