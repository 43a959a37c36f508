"""Scanner files for the tests, written from the format descriptions alone: a few positions, 64 channels.

Nothing here is shared with the readers or with `corebank.virtual`, so a mistake must be made twice to go unseen.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

CHANNELS = 64
GAIN, OFFSET = 0.1, -0.01
"""Energy axis of the small detector [keV]: with it Fe K-alpha, 6.40 keV, is in its last channel but one."""


def itrax_spe(
    counts: Sequence[int] | np.ndarray,
    *,
    position: float = 0.0,
    live: str = "9.500000",
    real: str = "10.000000",
    events: str | None = None,
    date: str = "22-Sep-20",
    time: str = "11:02 PM",
    anode: str = "Mo",
    comments: str = "in position",
    newline: bytes = b"\r\n",
    whole: bool = False,
    channels: str | None = None,
) -> bytes:
    """One Itrax spectrum: items end in CR, table lines in `newline`; `whole` counts stand as in calibration sums."""
    events = f"{sum(map(int, counts))}" if events is None else events
    items = [
        ("Date:", date, ""),
        ("Time:", time, ""),
        ("Version no:", "0.00", ""),
        ("Project name:", "55", ""),
        ("Sample name:", "222", ""),
        ("Section name:", "section", ""),
        ("Position", f"{position:.6f}", "mm"),
        ("E0", "0.000000", "keV"),
        ("E1", "1.000000", "keV/channel"),
        ("Tube anode:", anode, ""),
        ("Tube voltage", "30.000000", "kV"),
        ("Tube current", "30.000000", "mA"),
        ("comments", comments, ""),
        ("number_mca_channels", f"{len(counts)}.000000" if channels is None else channels, "no:"),
        ("livetime", live, "seconds"),
        ("runtime", real, "seconds"),
        ("triggers", events, "seconds"),
        ("events_in_run", events, "seconds"),
    ]
    header = (
        b"".join(f"{key}\t{value}\t{unit}\t\r".encode("latin-1") for key, value, unit in items)
        + b"channel\tcontent\t\t\r"
    )
    line = "{}.000\t{}" if whole else "{}.000\t{}.000"
    return header + b"".join(
        line.format(number, int(count)).encode() + newline for number, count in enumerate(counts, 1)
    )


def results_table(rows: Sequence[tuple[str, float, object, object, object]], newline: str = "\n") -> bytes:
    """A result table with rows of (stem, position, validity, E-gain, E-offset); a stem "" is a row without a file."""
    lines = [
        "C:\\Data\\XRF data     06-Oct-20  re-evaluated data",
        "peakarea",
        "filename\tposition (mm)\tsample surface\tvalidity\tE-gain\tE-offset\tcps\tMSE\tFe\t",
    ]
    for stem, position, valid, gain, offset in rows:
        name = f"C:\\Data\\XRF data\\{stem}.spe" if stem else ""
        lines.append(f"{name}\t{position}\t6.99\t{valid}\t{gain}\t{offset}\t37922\t1.36\t84898\t")
    return (newline.join(lines) + newline).encode("latin-1")


def settings_dfl(gain: float = GAIN, offset: float = OFFSET) -> bytes:
    """A fit settings file."""
    return (
        f"[detector parameters]\nkeV/channel 2 = {gain:.8f}\nenergy offset 2 = {offset:.8f}\nFWHM slope 2 = 0.0099\n"
        "[Periodic table]\nFe = TRUE\n"
    ).encode()


def document(year: int = 2020, month: int = 9, day: int = 22) -> bytes:
    """A run record in the new variant, degree sign and doubled ``Step size`` included."""
    return (
        "Base path:\tSample name:\tSection name\tUser ID\r\nC:\\Data\\S1\tS1\tS1\tMC\r\nYear\tMonth\tDay\tTime\r\n"
        f"{year}\t{month:02d}\t{day:02d}\t00\r\nVoltage\t55\tkV\t\r\nStep size\t1000\tmicrons\t\r\n"
        "Tube\tMo\t\t\r\nStep size\t0.188\tmicrons\t\r\n"
        "Start temperature\t\t\xb0C\t\r\n"
    ).encode("latin-1")


def avaatech_spe(
    counts: Sequence[int] | np.ndarray,
    *,
    depth: str = "40.0",
    live_real: str = "10 17",
    volt: str = "10",
    current: str = "0,150",
    date: str = "11-05-2018 08:14:03",
    omit: Sequence[str] = (),
    newline: bytes = b"\r\n",
    per_line: int = 10,
    span: str | None = None,
) -> bytes:
    """One Avaatech spectrum: key line, value line; keys in `omit` are left out, values and all, as the scanner does."""
    items = {
        "Core_ID": "SO264-15-2",
        "Section_ID": "0848",
        "Depth": depth,
        "Run_ID": "Run1",
        "X_Position": depth,
        "Replicate_ID": "Rep0",
        "Slit_DC": "10.0",
        "TotalCPS": "123",
        "ACC_VOLT": volt,
        "TUBE_CUR": current,
        "MEAS_TIM": live_real,
        "DATE_MEA": date,
    }
    lines = [text for key, value in items.items() if key not in omit for text in (f"${key}:", value)]
    lines += ["$DATA:", f"0 {len(counts) - 1}" if span is None else span]
    values = [f"{int(count):7d}" for count in counts]
    lines += [" ".join(values[start : start + per_line]) for start in range(0, len(values), per_line)]
    return b"".join(line.encode("latin-1") + newline for line in lines)


def spectra(count: int, seed: int = 0, channels: int = CHANNELS) -> np.ndarray:
    """(count, channels) uint32: silent below channel 4, a few hundred counts in each of the others."""
    drawn = np.random.default_rng(seed).poisson(300, (count, channels)).astype(np.uint32)
    drawn[:, :4] = 0
    return drawn


def write_itrax(
    folder: Path,
    counts: np.ndarray,
    *,
    start: float = 0.0,
    step: float = 1.0,
    gain: float = GAIN,
    offset: float = OFFSET,
    zipped: bool = False,
    **header: str,
) -> None:
    """An Itrax section: spectra in ``XRF data/`` or its zip, result table, sum spectrum and record beside it."""
    folder.mkdir(parents=True)
    places = start + step * np.arange(len(counts))
    files = {
        f"XRF data/L{row:06d}.spe": itrax_spe(counts[row], position=places[row], **header) for row in range(len(counts))
    }
    if zipped:
        write_zip(
            folder / "XRF data.zip",
            {
                **dict(reversed(files.items())),
                **{f"__MACOSX/XRF data/._L{row:06d}.spe": b"\0\5\x16\7junk" for row in range(len(counts))},
            },
        )
    else:
        (folder / "XRF data").mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
    (folder / "Results.txt").write_bytes(
        results_table([(f"L{row:06d}", places[row], 1, gain, offset) for row in range(len(counts))])
    )
    (folder / "document.txt").write_bytes(document())
    (folder / "sumspectra.spe").write_bytes(itrax_spe(counts.sum(axis=0), live="9.500000"))


def write_zip(path: Path, members: Mapping[str, bytes]) -> None:
    """A zip with `members`, in their order, names taken as they are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


EXPEDITION = """\
[expedition]
name = "{name}"
title = "Cruise {name}"
site = "{site}"
steward = "A. Steward"
licence = "CC-BY-4.0"
citation = "Steward (2020)"

[scanner]
kind = "itrax"
head = "head-1"

[[core]]
name = "{core}"
latitude = 54.5
longitude = -20.25
water_depth = "1.2 km"
"""

SECTION = """
[[core.section]]
folder = "{section}"
name = "{section}"
top = "{top}"
run = "{run}"
"""


MEASUREMENTS = """
[[measurements]]
file = "lab.csv"
depth = "depth_cm [cm]"
thickness = "2 mm"
columns = { TOC = "TOC [wt%]", CaCO3 = "CaCO3 [wt%]" }
method = "CHN"
"""


def write_expedition(
    folder: Path,
    *,
    name: str = "cruise1",
    site: str = "lab",
    core: str = "C/1",
    sections: Sequence[str] = ("S1", "S2"),
    count: int = 5,
    seed: int = 0,
    laboratory: str | None = "depth_cm,TOC,CaCO3\n0.1,1.5,30\n0.3,b.d.l.,-4.6\n",
    zipped: bool = False,
    channels: int = CHANNELS,
) -> Path:
    """A whole contribution: sections of `count` spectra 1 mm apart, tops 10 cm apart, a table of TOC and CaCO3."""
    toml = EXPEDITION.format(name=name, site=site, core=core)
    for number, section in enumerate(sections):
        write_itrax(folder / section, spectra(count, seed=100 * seed + number, channels=channels), zipped=zipped)
        toml += SECTION.format(section=section, top=f"{10 * number} cm", run=section.lower())
    if laboratory is not None:
        (folder / "lab.csv").write_text(laboratory, encoding="utf-8")
        toml += MEASUREMENTS
    (folder / "contribution.toml").write_text(toml, encoding="utf-8")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes, to see whether anything changed."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
