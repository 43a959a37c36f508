"""Write a section as an Avaatech does: one ``$KEY:`` spectrum file per position, its settings in the file's name.

No raw Avaatech file is in public; keys, their order and the names of files are those that public readers of the format
and the tables of the MAX corpus rely on (docs/explanation/virtual-scanner.md). Like real files they carry no energy
calibration.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from corebank.virtual.expedition import Section
from corebank.virtual.instrument import Instrument

START = datetime.fromisoformat("2018-11-05T08:14:03")
"""Clock of the first spectrum of the first section; scanners write no time zone."""
COUNTS_PER_LINE = 10
SLIT_DOWN_CORE, SLIT_CROSS_CORE = 10.0, 12.0
"""Illuminated field [mm]."""


def write_section(folder: Path, section: Section, instrument: Instrument, *, number: int) -> None:
    """Write one section into `folder`; `number` counts the sections of the expedition and sets the clock."""
    folder.mkdir(parents=True)
    spectra, clock = section.spectra, START + number * timedelta(hours=3)
    for i in range(spectra.sizes["spectrum"]):
        at = spectra.isel(spectrum=i)
        live, real = instrument.exposure, float(at["real_time"])
        position, counts = float(at["position"]), at["counts"].values
        name = spe_name(section, instrument, position)
        items = {
            "Core_ID": section.core,
            "Section_ID": f"{section.top / 10:04.0f}",
            "Depth": f"{position:.1f}",
            "Run_ID": "Run1",
            "X_Position": f"{position:.1f}",
            "Y_Position": "0.0",
            "Replicate_ID": "Rep0",
            "Slit_DC": f"{SLIT_DOWN_CORE:.1f}",
            "Slit_CC": f"{SLIT_CROSS_CORE:.1f}",
            "TotalCPS": f"{counts.sum() / live:.1f}",
            "SPEC_ID": name.removesuffix(".spe"),
            "USER_ID": "corebank",
            "ACC_VOLT": f"{instrument.tube_voltage:.0f}",
            "TUBE_CUR": f"{instrument.tube_current:.3f}",
            "MEAS_TIM": f"{live:.0f} {real:.0f}",
            "DATE_MEA": f"{clock:%m-%d-%Y %H:%M:%S}",
        }
        (folder / name).write_bytes(_spe(items, counts))
        clock += timedelta(seconds=round(real) + 4)


def spe_name(section: Section, instrument: Instrument, position: float) -> str:
    """Name of the file of one position [mm], like those of SO264: core, section start [cm], position and settings."""
    tube = f"{instrument.tube_voltage:3.0f}kV {instrument.tube_current * 1000:.0f}uA"
    return (
        f"{section.core}_{section.top / 10:04.0f} {position:6.1f}mm {instrument.exposure:3.0f}s {tube} No-Filter"
        f" {0:5.1f}mm Run1 Rep0 Sett Low.spe"
    )


def _spe(items: dict[str, str], counts: np.ndarray) -> bytes:
    """Key line, value line; last the range of channels and the counts, several on a line."""
    lines = [text for key, value in items.items() for text in (f"${key}:", value)]
    lines += ["$DATA:", f"0 {len(counts) - 1}"]
    values = counts.tolist()
    lines += [
        " ".join(f"{count:7d}" for count in values[start : start + COUNTS_PER_LINE])
        for start in range(0, len(values), COUNTS_PER_LINE)
    ]
    return ("\r\n".join(lines) + "\r\n").encode("ascii")
