"""Write a section as an Itrax does, byte for byte: spectra, result table, run document, fit settings.

Layouts are those of CD166/19 (BOSCORF, 2020; 2048 channels) and Ardley Lake (2008; 1024 channels), traps included:
header items end in CR and table lines in CRLF, the header's keV per channel is a placeholder, project and section names
are constants, the sum spectrum keeps the header of one spectrum.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from corebank.virtual.detector import fwhm
from corebank.virtual.expedition import Section
from corebank.virtual.instrument import Instrument


@dataclass(frozen=True, slots=True, kw_only=True)
class Electronics:
    """What a generation of the Itrax writes about its electronics, whatever it measures."""

    start: datetime
    """Clock of the first spectrum of the first section; scanners write no time zone."""
    date: str
    """strftime pattern of dates in headers."""
    newline: bytes
    """Line end of the text files."""
    settings: tuple[tuple[str, str, str], ...]
    """Header items from the peaking time to the last constant of the pulse processor: key, value, unit."""
    gain: str
    """Amplifier setting."""
    rate_scale: float
    """What a count rate is divided by before it is written, though it is always labelled cps."""


GENERATIONS = {
    2048: Electronics(
        start=datetime.fromisoformat("2020-09-17T23:49:40"),
        date="%d-%b-%y",
        newline=b"\n",
        gain="15",
        rate_scale=1.0,
        settings=(
            ("peaking_time", "0.300000", "m-sec"),
            ("trigger_threshold", "40.000000", "V"),
            ("mca_bin_width", "2.000000", "no:"),
            ("number_mca_channels", "2048.000000", "no:"),
            ("gap_time", "2048.000000", "m-sec"),
            ("trigger_peaking_time", "2048.000000", "m-sec"),
            ("GAINDAC", "400", ""),
            ("HIGHGAIN", "400", ""),
            ("TAURC", "400", ""),
            ("RCTAU", "400", ""),
            ("RCTAUFRAC", "400", ""),
        ),
    ),
    1024: Electronics(
        start=datetime.fromisoformat("2008-08-20T09:20:12"),
        date="%m/%d/%Y",
        newline=b"\r\n",
        gain="20",
        rate_scale=1000.0,
        settings=(
            ("peaking_time", "3.000000", "m-sec"),
            ("trigger_threshold", "1229.166667", "V"),
            ("mca_bin_width", "22.090000", "no:"),
            ("number_mca_channels", "1024.000000", "no:"),
            ("gap_time", "0.400000", "m-sec"),
            ("trigger_peaking_time", "0.150000", "m-sec"),
            ("GAINDAC", "9455", ""),
            ("HIGHGAIN", "1", ""),
            ("TAURC", "0", ""),
            ("RCTAU", "53", ""),
            ("RCTAUFRAC", "32768", ""),
        ),
    ),
}
"""Generations by their number of channels."""

FITTED = {
    "Al": 1.487,
    "Si": 1.740,
    "P": 2.014,
    "S": 2.308,
    "Cl": 2.622,
    "Ar": 2.957,
    "K": 3.314,
    "Ca": 3.692,
    "Ti": 4.511,
    "V": 4.952,
    "Cr": 5.415,
    "Mn": 5.899,
    "Fe": 6.404,
    "Ni": 7.478,
    "Cu": 8.048,
    "Zn": 8.639,
    "Br": 11.924,
    "Rb": 13.395,
    "Sr": 14.165,
    "Y": 14.958,
    "Zr": 15.775,
    "Ba": 4.466,
    "Pb": 10.551,
}
"""Columns of the result table: element and its strongest line [keV]."""
PERIODIC_TABLE = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo"
    " Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg"
    " Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md 102 Lw"
)
"""Elements in the order of the settings file, whose author stopped naming them before nobelium."""
SCATTERED = {"Mo": (16.48, 17.48), "Cr": (5.32, 5.415), "Rh": (18.95, 20.21)}
"""Incoherent and coherent K alpha of the tubes at 135 degrees [keV]."""
SURFACE = 70.0
"""Reading of the laser on a level core [mm]; the files label it cm."""


def write_section(folder: Path, section: Section, instrument: Instrument, *, number: int, zipped: bool) -> None:
    """Write one section into `folder`, its spectra into ``XRF data.zip`` or a folder ``XRF data``.

    `number` counts the sections of the expedition and sets the clock; everything else follows from `section`.
    """
    generation = GENERATIONS[instrument.channels]
    spectra, n = section.spectra, section.spectra.sizes["spectrum"]
    pace = timedelta(seconds=instrument.exposure + 1.2)
    start = generation.start + number * (n * pace + timedelta(minutes=40))
    files = {}
    for i in range(n):
        header = _header(section, instrument, i, start + i * pace)
        files[f"L{i:06d}.spe"] = _spe(header, spectra["counts"].values[i])
    folder.mkdir(parents=True)
    if zipped:
        (folder / "XRF data.zip").write_bytes(_zip({f"XRF data/{k}": v for k, v in files.items()}, start))
    else:
        (folder / "XRF data").mkdir()
        for name, content in files.items():
            (folder / "XRF data" / name).write_bytes(content)
    last = _header(section, instrument, n - 1, start + n * pace)
    last |= {"Position": ("0.000000", "mm"), "sample surface": ("2.000000", "cm"), "comments": ("not in position", "")}
    (folder / "sumspectra.spe").write_bytes(_spe(last, spectra["counts"].values.sum(axis=0, dtype=np.uint64)))
    texts = {
        "Results.txt": _results(section, instrument, folder.name, start),
        "document.txt": _document(section, instrument, folder.name, start),
        "Results_ settings.dfl": _settings(instrument),
    }
    for name, lines in texts.items():
        (folder / name).write_bytes(generation.newline.join(line.encode("latin-1") for line in lines))


def _header(section: Section, instrument: Instrument, i: int, clock: datetime) -> dict[str, tuple[str, str]]:
    """The 37 items above a spectrum, key -> (value, unit), in the scanner's order."""
    generation, at = GENERATIONS[instrument.channels], section.spectra.isel(spectrum=i)
    rate = generation.rate_scale
    events = int(at["counts"].sum())
    triggers = round(float(at["input_rate"]) * float(at["live_time"]))
    return {
        "Date:": (_date(clock, generation), ""),
        "Time:": (clock.strftime("%I:%M %p").lstrip("0"), ""),
        "Version no:": ("0.00", ""),
        "Project name:": ("55", ""),
        "Sample name:": ("222", ""),
        "Section name:": ("section", ""),
        "Position": (f"{float(at['position']) + 0.000018:.6f}", "mm"),  # the stage never quite hits the mark
        "E0": ("0.000000", "keV"),
        "E1": ("1.000000", "keV/channel"),
        "sample surface": (f"{(SURFACE + float(at['gap'])) / 10:.6f}", "cm"),
        "Tube anode:": (instrument.anode, ""),
        "Tube voltage:": (f"{instrument.tube_voltage:.0f}", "kV"),
        "Tube current:": (f"{instrument.tube_current:.0f}", "mA"),
        "gain": (generation.gain, ""),
        "std. database": ("", ""),
        "resultfile": ("result", ""),
        "matrix element": ("11", ""),
        "sample thickness": ("1.000000", ""),
        "air passage": ("0.560000", "cm"),
        "comments": ("in position", ""),
        **{key: (value, unit) for key, value, unit in generation.settings},
        "livetime": (f"{float(at['live_time']):.6f}", "seconds"),
        "runtime": (f"{float(at['real_time']) + 0.000032:.6f}", "seconds"),
        "input_count_rate": (f"{float(at['input_rate']) / rate:.6f}", "cps"),
        "output_count_rate": (f"{float(at['output_rate']) / rate:.6f}", "cps"),
        "triggers": (str(max(triggers, events)), "seconds"),
        "events_in_run": (str(events), "seconds"),
    }


def _spe(header: dict[str, tuple[str, str]], counts: np.ndarray) -> bytes:
    """One spectrum file: CR after header items, CRLF after channels."""
    head = "".join(f"{key}\t{value}\t{unit}\t\r" for key, (value, unit) in header.items())
    body = "".join(f"{channel}.000\t{count}.000\r\n" for channel, count in enumerate(counts.tolist(), start=1))
    return (head + "channel\tcontent\t\t\r" + body).encode("ascii")


def _zip(files: dict[str, bytes], clock: datetime) -> bytes:
    """A zip archive whose bytes depend on nothing but names, contents and the virtual clock."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, clock.timetuple()[:6])
            info.compress_type, info.create_system = zipfile.ZIP_DEFLATED, 0
            archive.writestr(info, content, compresslevel=6)
    return out.getvalue()


def _results(section: Section, instrument: Instrument, name: str, clock: datetime) -> list[str]:
    """The result table: per spectrum its calibration, rates and net peak areas in counts."""
    spectra, path = section.spectra, rf"C:\Data\{name}\XRF data"
    counts, energies = spectra["counts"].values.astype(np.float64), instrument.energies
    incoherent, coherent = SCATTERED[instrument.anode]
    columns = {symbol: _net_area(counts, instrument, energy) for symbol, energy in FITTED.items()}
    columns |= {
        f"{instrument.anode} inc": counts[:, np.abs(energies - incoherent) < 0.4].sum(axis=1),
        f"{instrument.anode} coh": counts[:, np.abs(energies - coherent) < 0.2].sum(axis=1),
    }
    slope = 0.0099  # of the width over energy, as Q-Spec fits a straight line [keV/keV]
    width = float(fwhm(instrument, np.array(6.4))) - slope * 6.4
    live, real = spectra["live_time"].values, spectra["real_time"].values
    misfit = 1 + 6e-6 * columns["Fe"]  # Q-Spec fits worse where peaks are large
    rows = []
    for i in range(len(counts)):
        rows.append(
            "\t".join(
                [
                    rf"{path}\L{i:06d}.spe",
                    f"{float(spectra['position'][i]):.2f}",
                    f"{(SURFACE + float(spectra['gap'][i])) / 10:.2f}",
                    "1",
                    f"{instrument.gain:.6f}",
                    f"{instrument.offset:.6f}",
                    f"{slope:.6f}",
                    f"{width:.6f}",
                    f"{float(spectra['input_rate'][i]):.0f}",
                    f"{misfit[i]:.2f}",
                    *(f"{values[i]:.0f}" for values in columns.values()),
                    f"{1 - live[i] / real[i]:.3f}",
                    "",
                ]
            )
        )
    titles = ["filename", "position (mm)", "sample surface", "validity", "E-gain", "E-offset", "F-slope", "F-offset"]
    later = _date(clock + timedelta(days=19), GENERATIONS[instrument.channels])
    return [
        f"{path}     {later}  re-evaluated data",
        "peakarea",
        "\t".join([*titles, "cps", "MSE", *columns, "Dt", ""]),
        *rows,
    ]


def _net_area(counts: np.ndarray, instrument: Instrument, energy: float) -> np.ndarray:
    """Counts above a straight line under a peak, (n,) float64, never negative; a plain stand-in for Q-Spec's fit."""
    away = np.abs(instrument.energies - energy) / float(fwhm(instrument, np.array(energy)))
    peak, shoulders = away < 0.85, (away >= 0.85) & (away < 1.15)
    return np.asarray(np.maximum(counts[:, peak].sum(axis=1) - counts[:, shoulders].mean(axis=1) * peak.sum(), 0))


def _document(section: Section, instrument: Instrument, name: str, clock: datetime) -> list[str]:
    """The run document; its first voltage and step are the radiograph's, its second step the camera's."""
    position = section.spectra["position"].values
    step = position[1] - position[0] if len(position) > 1 else 1.0
    end = position[-1] + 10
    return [
        "Base path:\tSample name:\tSection name\tUser ID",
        rf"C:\Data\{name}" + f"\t{name}\t{name}\tcorebank",
        "Year\tMonth\tDay\tTime",
        f"{clock:%Y\t%m\t%d\t%H}",
        "Voltage\t55\tkV\t",
        "Current\t50\tmA\t",
        "Exposure time\t0\tms\t",
        "line camera signal level\t325335\tat 25 ms\t",
        f"Step size\t{step * 1000:.0f}\tmicrons\t",
        "XRF\tON\t\t",
        f"XRF exp. time\t{instrument.exposure:.0f}\tseconds\t",
        f"Start coordinate\t{position[0]:.1f}\tStop coordinate\t{position[-1]:.1f}",
        f"XRF voltage and current\t{instrument.tube_voltage:.0f}\t  \t{instrument.tube_current:.0f}",
        f"Tube\t{instrument.anode}\t\t",
        f"Optical Start\t0.5\tOptical End\t{end:.1f}",
        "Step size\t0.188\tmicrons\t",
        "Start temperature\t\t°C\t",
        "Start humidity\t\t%\t",
        "Start vacuum\t-96.7\tkPa\t",
        "Stop temperature\t\t°C\t",
        "Stop humidity\t\t%\t",
        "Stop vacuum\t-96.5\tkPa\t",
    ]


def _settings(instrument: Instrument) -> list[str]:
    """The settings of the fit, with the energy calibration that the spectra lack."""
    return [
        "[detector parameters]",
        f"keV/channel 2 = {instrument.gain:.8f}",
        f"energy offset 2 = {instrument.offset:.8f}",
        "FWHM slope 2 = 0.00990000",
        f"FWHM offset 2 = {float(fwhm(instrument, np.array(6.4))) - 0.0099 * 6.4:.8f}",
        "",
        "[tube parameters]",
        "lower limit 2 = 1.00000000",
        "upper limit 2 = 18.00000000",
        "",
        "[Fit cluster]",
        "sample matrix element = 9.000000",
        "sample matrix air pass = 0.650000",
        "tube selector = 2",
        " peak/conc  = FALSE",
        f"kV = {instrument.tube_voltage:.0f}",
        f"mA = {instrument.tube_current:.0f}",
        "",
        "[Periodic table]",
        *(f"{symbol} = {'TRUE' if symbol in FITTED else 'FALSE'}" for symbol in PERIODIC_TABLE.split()),
    ]


def _date(clock: datetime, generation: Electronics) -> str:
    """A date as that generation writes it; the American one has no leading zeros."""
    text = clock.strftime(generation.date)
    return text if "-" in text else "/".join(part.lstrip("0") for part in text.split("/"))
