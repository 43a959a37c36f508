"""Defects of the machine's settings and of its energy axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from corebank.errors import RecipeError
from corebank.virtual import itrax
from corebank.virtual.defects.exposure import rescanned, thinned
from corebank.virtual.defects.folder import TOML, Folder, Part
from corebank.virtual.defects.planted import Truth, defect
from corebank.virtual.defects.point import Point
from corebank.virtual.defects.tables import DOCUMENT, RESULTS, SETTINGS, ResultTable

_NOISE = 300
"""Counts per channel of a detector that sees only the noise of its own electronics."""
_NO_SIGNAL = {
    "wrong-anode": "noise shows no tube lines, those declared or others",
    "calibration-unchecked": "noise has no lines",
    "low-counts": "noise is few counts",
}


@defect("live-time", "A spectrum whose live time is nothing, less than nothing, or not given")
def no_live_time(folder: Folder, rng: np.random.Generator) -> Truth:
    part, points = folder.take(rng, int(rng.integers(1, 4)))
    text = str(rng.choice(["0", "-1"] if folder.kind == "avaatech" else ["0.000000", "-1.000000", ""]))
    old = [point.name for point in points]
    for point in points:
        point.put("live", text)
    folder.save(points, instead=old)
    names = tuple(point.name for point in points)
    return Truth(part.folder, f"the live time is {text!r}", names, (part.run, *names))


@defect("implausible", "A live time above the clock time")
def live_above_real(folder: Folder, rng: np.random.Generator) -> Truth:
    part, points = folder.take(rng, int(rng.integers(1, 4)))
    factor, old = rng.uniform(1.2, 5), [point.name for point in points]
    for point in points:
        live = float(point.get("real")) * factor
        point.put("live", f"{live:.6f}" if point.is_itrax else f"{np.ceil(live):.0f}")
    folder.save(points, instead=old)
    names = tuple(point.name for point in points)
    return Truth(part.run, f"live times are {factor:.1f} times the clock time", names, (part.folder, *names))


@defect("implausible", "A tube voltage or current that no scanner has, in every file of a section", "section")
def impossible_setting(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng, whole=True)
    key, text = [("voltage", "300"), ("voltage", "1"), ("current", "9000")][int(rng.integers(3))]
    _set_all(folder, part, {key: text})
    return Truth(part.run, f"the tube's {key} is {text}", (), (part.folder,))


@defect("setting-change", "A tube current that changes within a scan", "section")
def current_changed(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng, whole=True)
    share = float(rng.uniform(0.4, 0.8))
    points = _later_part(folder, part, rng)
    old = [point.name for point in points]
    amperes = f"{round(share * points[0].number('current'), 2 if folder.kind == 'avaatech' else 0):g}"
    share = float(amperes) / points[0].number("current")
    for point in points:
        point.counts = thinned(point.counts, share, rng)
        point.put("current", amperes if point.is_itrax else f"{float(amperes):.3f}")
    folder.save(points, instead=old)
    return Truth(part.run, f"{amperes} mA from {points[0].name} on", (), (part.folder, old[0], points[0].name))


@defect(
    "setting-change",
    "A tube voltage that changes within a scan",
    "section",
    companions={"separate-settings": "the two voltages may become runs of their own"},
)
def voltage_changed(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng, whole=True)
    points = _later_part(folder, part, rng)
    old, before = [point.name for point in points], folder.instrument.tube_voltage
    after = round(before * float(rng.choice([0.8, 1.2])))
    expected = rescanned(folder, part, points, instrument=replace(folder.instrument, tube_voltage=after))
    for point, counts in zip(points, expected, strict=True):
        point.counts = rng.poisson(counts)
        point.put("voltage", f"{after}")
    folder.save(points, instead=old)
    return Truth(part.run, f"{after} kV from {points[0].name} on", (), (part.folder, old[0], points[0].name))


@defect(
    "separate-settings", "A section measured at two tube voltages, file beside file", "section", scanners=("avaatech",)
)
def two_voltages(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng, whole=True)
    points = folder.points(folder.spectra(part))
    hard = replace(folder.instrument, tube_voltage=30.0)
    for point, counts in zip(points, rescanned(folder, part, points, instrument=hard), strict=True):
        point.counts = rng.poisson(counts)
        point.put("voltage", "30")
    folder.save(points)
    return Truth(part.folder, f"{len(points)} positions at 30 kV too", (), (part.run,))


def _rates_are_right(folder: Folder) -> bool:
    """True for an Itrax whose files label their rates as they are; those of 2008 never do."""
    return itrax.GENERATIONS[folder.instrument.channels].rate_scale == 1


@defect(
    "rates",
    "Count rates in thousands that the header calls cps",
    "section",
    scanners=("itrax",),
    needs=_rates_are_right,
)
def rates_in_thousands(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng, whole=True)
    points = folder.points(folder.spectra(part))
    for point in points:
        for key in ("input_rate", "output_rate"):
            point.put(key, f"{point.counts.sum() / point.number('real') / 1000:.6f}")
    folder.save(points)
    return Truth(part.folder, "input and output rates are a thousandth", (), (part.run, points[0].name))


@defect(
    "calibration-contradicted", "An energy axis that is not that of the spectra: doubled, halved, or shifted", "section"
)
def wrong_calibration(folder: Folder, rng: np.random.Generator) -> Truth:
    factor, shift = [(2.0, 0.0), (0.5, 0.0), (1.05, 0.0), (1.0, 0.3), (1.0, -0.3)][int(rng.integers(5))]
    what = f"gain times {factor:g}, offset {shift:+g} keV"
    return _calibrated(folder, rng, what, lambda gain: gain * factor, lambda offset: offset + shift)


@defect("calibration-impossible", "An energy axis that no detector has", "section")
def impossible_calibration(folder: Folder, rng: np.random.Generator) -> Truth:
    gain = float(rng.choice([1.0, 20.0, -0.02, 0.0]))
    return _calibrated(folder, rng, f"{gain:g} keV per channel", lambda _: gain, lambda _: 0.0)


@defect("calibration-from-lines", "No file that tells the energy axis", "section")
def no_calibration(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng, whole=True)
    _uncalibrated(folder, part)
    if folder.kind == "avaatech":
        return Truth(TOML, "no calibration is given", (), tuple(n for p in folder.parts for n in (p.run, p.folder)))
    return Truth(part.run, "result table and settings are gone", (), (part.folder,))


@defect(
    "calibration-missing",
    "No file that tells the energy axis, and no lines in the spectra",
    "section",
    companions=_NO_SIGNAL,
)
def no_calibration_no_lines(folder: Folder, rng: np.random.Generator) -> Truth:
    if folder.kind == "itrax":
        parts = [folder.pick(rng, whole=True)]
    elif folder.untouched:  # the words of an Avaatech calibrate every section: all must be without lines
        parts = [folder.pick(rng, whole=True) for _ in folder.parts]
    else:
        raise RecipeError(folder.root, "has other defects in its sections already", "Plant this one alone")
    for part in parts:
        _noise(folder, part, rng)
    _uncalibrated(folder, parts[0])
    places = tuple(name for part in parts for name in (part.run, part.folder))
    return Truth(parts[0].folder, "only noise, and nothing that calibrates it", (), places)


@defect("calibration-unchecked", "A calibration that no line can confirm", "section", companions=_NO_SIGNAL)
def no_lines(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng, whole=True)
    _noise(folder, part, rng)
    return Truth(part.run, "only noise", (), (part.folder,))


@defect("calibration-filled", "Spectra that the result table leaves out", scanners=("itrax",))
def rows_missing(folder: Folder, rng: np.random.Generator) -> Truth:
    part, points = folder.take(rng, int(rng.integers(1, 6)))
    table = ResultTable(folder, part)
    gone = [table.row(point.name) for point in points]
    table.rows = [row for row in table.rows if row not in gone]
    table.save()
    return Truth(part.run, f"{len(gone)} rows are gone", tuple(point.name for point in points), (part.folder,))


@defect("evaluations", "Two evaluations of the same spectra", "section", scanners=("itrax",))
def second_evaluation(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng, whole=True)
    table = ResultTable(folder, part)
    names = [row[0].rpartition("\\")[2] for row in table.rows]
    factor = 1 + float(rng.choice([-1, 1])) * 0.0004  # as two fits of the same spectra differ
    table.set(names, "E-gain", lambda text: f"{float(text) * factor:.6f}")
    dropped = table.titles.index("Ba")
    table.titles.pop(dropped)
    for row in table.rows:
        row.pop(dropped)
    name = f"{part.folder}/{rng.choice(['result.txt', '2013/Results.txt'])}"
    table.save(name)
    return Truth(part.folder, f"{name} beside {RESULTS}", (), (part.run, name, f"{part.folder}/{RESULTS}"))


@defect("aborted-evaluation", "An evaluation that was broken off", "section", scanners=("itrax",))
def aborted_evaluation(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng, whole=True)
    table = ResultTable(folder, part)
    filled = int(rng.integers(1, max(2, len(table.rows) // 3)))
    table.rows = [row if at < filled else [""] * len(row) for at, row in enumerate(table.rows)]
    name = f"{part.folder}/2013/Results.txt"
    table.save(name)
    return Truth(name, f"{filled} of {len(table.rows)} rows are filled", (), (part.folder, part.run))


def _calibrated(
    folder: Folder,
    rng: np.random.Generator,
    what: str,
    gain: Callable[[float], float],
    offset: Callable[[float], float],
) -> Truth:
    """Change what is said of the energy axis: one section's tables, or the words for all of an Avaatech."""
    own = folder.instrument
    if folder.kind == "avaatech":
        values = f'{{ gain = "{1000 * gain(own.gain):g} eV", offset = "{1000 * offset(own.offset):g} eV" }}'
        folder.say("[scanner]", "calibration", values)
        return Truth(TOML, what, (), tuple(name for part in folder.parts for name in (part.run, part.folder)))
    part = folder.pick(rng, whole=True)
    table = ResultTable(folder, part)
    names = [row[0].rpartition("\\")[2] for row in table.rows]
    table.set(names, "E-gain", lambda text: f"{gain(float(text)):.6f}")
    table.set(names, "E-offset", lambda text: f"{offset(float(text)):.6f}")
    table.save()
    name = f"{part.folder}/{SETTINGS}"
    text = folder.read([name])[name].decode("ascii")
    for key, old, new in (
        ("keV/channel 2", own.gain, gain(own.gain)),
        ("energy offset 2", own.offset, offset(own.offset)),
    ):
        assert f"{key} = {old:.8f}" in text
        text = text.replace(f"{key} = {old:.8f}", f"{key} = {new:.8f}")
    folder.write({name: text.encode("ascii")})
    return Truth(part.run, what, (), (part.folder, table.name))


def _uncalibrated(folder: Folder, part: Part) -> None:
    if folder.kind == "avaatech":
        folder.say("[scanner]", "calibration", "")
    else:
        folder.remove([f"{part.folder}/{RESULTS}", f"{part.folder}/{SETTINGS}"])


def _noise(folder: Folder, part: Part, rng: np.random.Generator) -> None:
    points = folder.points(folder.spectra(part))
    for point in points:
        counts = point.counts
        seen = np.zeros_like(counts)
        seen[folder.instrument.blind_channels :] = rng.poisson(_NOISE, counts.size - folder.instrument.blind_channels)
        point.counts = seen
    folder.save(points)


def _later_part(folder: Folder, part: Part, rng: np.random.Generator) -> list[Point]:
    """The points of a section from somewhere in its middle half on."""
    names = folder.spectra(part)
    return folder.points(names[int(rng.integers(len(names) // 4, 3 * len(names) // 4)) :])


def _set_all(folder: Folder, part: Part, values: dict[str, str]) -> None:
    """Set header fields in every file of a section, and in its record."""
    points: Sequence[Point] = folder.points(folder.spectra(part))
    old = [point.name for point in points]
    for point in points:
        for key, text in values.items():
            point.put(key, text)
    folder.save(points, instead=old)
    if folder.kind == "itrax":
        name = f"{part.folder}/{DOCUMENT}"
        own = folder.instrument
        volts, amperes = f"{own.tube_voltage:.0f}", f"{own.tube_current:.0f}"
        said = values.get("voltage", volts), values.get("current", amperes)
        old_line = f"XRF voltage and current\t{volts}\t  \t{amperes}".encode("ascii")
        content = folder.read([name])[name]
        assert old_line in content
        new_line = f"XRF voltage and current\t{said[0]}\t  \t{said[1]}".encode("ascii")
        folder.write({name: content.replace(old_line, new_line)})
