"""``contribution.toml``: what a contributor says of a folder, read, checked and turned into frozen values.

Everything wrong with a file is reported at once, each problem with its place in the file. Quantities carry their unit
in the file (``top = "33.4 cm"``) and are plain numbers in the bank's units from here on.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath

from corebank.contribution import declared
from corebank.contribution.declared import Laboratory as Laboratory
from corebank.contribution.toml import Table, slugged
from corebank.errors import ContributionError

FILE_NAME = "contribution.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expedition:
    """Who measured what, and on which terms it may be used; becomes the attributes of the expedition in a bank."""

    name: str
    """Slug by which the expedition is found: small letters, digits, hyphens."""
    title: str
    site: str
    """Slug of the lab that owns the bank."""
    steward: str
    """Person or institution that answers for the data."""
    licence: str
    """SPDX identifier, such as CC-BY-4.0."""
    doi: str = ""
    citation: str = ""
    region: str = ""
    embargo_until: str = ""
    """ISO date until which the data are not to leave the bank."""
    synthetic: bool = False
    """True for spectra that no scanner measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """What the files do not say of the machine."""

    kind: str = ""
    model: str = ""
    head: str = ""
    anode: str = ""
    filter: str = ""
    gain: float | None = None
    """Energy width of a channel [keV], where the files carry no calibration."""
    offset: float | None = None
    """Energy of the first channel [keV], where the files carry no calibration."""
    calibration_from: str = ""
    """``lines`` or ``file``: which to believe where the lines in the spectra contradict the files."""
    dates: str = ""
    """``day-first``, ``month-first`` or ``unknown``, where the files leave it open."""
    live_time: float | None = None
    """[s], where the files do not say."""
    tube_voltage: float | None = None
    """[kV], where the files do not say."""
    tube_current: float | None = None
    """[mA], where the files do not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One scanned section: where its files are and where it lies in its core."""

    core: str
    folder: str
    name: str
    top: float
    """Composite depth [mm] of the section's zero."""
    stretch: float = 1.0
    """Composite depth gained per millimetre of section, where a section shrank or its depths were fitted."""
    run: str
    files: str = ""
    """Pattern (``*_0848 *``) of the files that belong to it, where one folder holds several sections."""
    length: float | None = None
    """[mm]; spectra beyond it are flagged."""
    step: float | None = None
    """Distance of neighbouring spectra [mm], where the files give no position and lie in order of their names."""
    evaluation: str = ""
    """Which of several evaluations calibrates, by its file's name below the folder."""
    supersedes: tuple[str, ...] = ()
    """Runs that become replicates of this one where both scanned the same place."""
    names: str = ""
    """``contribution.toml`` where the core's name inside the files is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """One core and where it was taken."""

    name: str
    latitude: float | None = None
    """Degrees north."""
    longitude: float | None = None
    """Degrees east."""
    water_depth: float | None = None
    """[m]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """All that a ``contribution.toml`` says, and its text."""

    expedition: Expedition
    scanner: Scanner
    cores: tuple[Core, ...]
    sections: tuple[Section, ...]
    measurements: tuple[Laboratory, ...] = ()
    text: str = field(default="", repr=False)


def read(path: Path) -> Metadata:
    """Read and check a ``contribution.toml``.

    Raises `ContributionError` that lists every problem: syntax, unknown or missing keys, quantities without units,
    names that are no slugs, sections that share a run name or a folder.
    """
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except FileNotFoundError as error:
        raise ContributionError(
            path, "there is no such file", "Write one, or name it with --toml; docs/how-to/contribute.md shows one"
        ) from error
    except OSError as error:
        raise ContributionError(
            path, f"cannot be read ({error.strerror})", "Give the file itself, and check your permissions"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ContributionError(
            path, f"is not valid TOML ({error})", "Correct that line; text goes between quotes"
        ) from error
    table = Table(path, raw)
    metadata = _metadata(table, text)
    if table.problems:
        raise ContributionError(path, "; ".join(table.problems), "Correct these places in the file")
    return metadata


def _metadata(table: Table, text: str) -> Metadata:
    expedition, scanner = _expedition(table.child("expedition")), _scanner(table.child("scanner"))
    cores, sections = [], []
    for entry in table.children("core"):
        core = Core(
            name=entry.text("name", needed=True),
            latitude=entry.number("latitude", -90, 90),
            longitude=entry.number("longitude", -180, 360),
            water_depth=entry.quantity("water_depth", "m"),
        )
        cores.append(core)
        sections += [_section(part, core.name) for part in entry.children("section")]
        entry.done()
    measurements = tuple(declared.read(entry) for entry in table.children("measurements"))
    if not sections:
        table.say("core.section", "there is none, so there is nothing to bring in")
    for what, values in (
        ("run", [part.run for part in sections]),
        ("folder", [f"{part.folder} {part.files}".strip() for part in sections]),
        ("core", [core.name for core in cores]),
    ):
        for twice in sorted({value for value in values if values.count(value) > 1}):
            table.say(what, f"{twice!r} stands {values.count(twice)} times; each needs its own")
    table.done()
    return Metadata(
        expedition=expedition,
        scanner=scanner,
        cores=tuple(cores),
        sections=tuple(sections),
        measurements=measurements,
        text=text,
    )


def _expedition(entry: Table) -> Expedition:
    embargo = entry.text("embargo_until")
    if embargo:
        try:
            date.fromisoformat(embargo)
        except ValueError:
            entry.say("embargo_until", f"is {embargo!r}, should be a date such as 2027-06-30")
    expedition = Expedition(
        name=entry.text("name", needed=True, slug=True),
        title=entry.text("title", needed=True),
        site=entry.text("site", needed=True, slug=True),
        steward=entry.text("steward", needed=True),
        licence=entry.text("licence", needed=True),
        doi=entry.text("doi"),
        citation=entry.text("citation"),
        region=entry.text("region"),
        embargo_until=embargo,
        synthetic=entry.flag("synthetic"),
    )
    entry.done()
    return expedition


def _scanner(entry: Table) -> Scanner:
    calibration = entry.child("calibration")
    scanner = Scanner(
        kind=entry.text("kind"),
        model=entry.text("model"),
        head=entry.text("head"),
        anode=entry.text("anode"),
        filter=entry.text("filter"),
        gain=calibration.quantity("gain", "keV"),
        offset=calibration.quantity("offset", "keV"),
        calibration_from=entry.choice("calibration_from", ("lines", "file")),
        dates=entry.choice("dates", ("day-first", "month-first", "unknown")),
        live_time=entry.quantity("live_time", "s"),
        tube_voltage=entry.quantity("tube_voltage", "kV"),
        tube_current=entry.quantity("tube_current", "mA"),
    )
    if (scanner.gain is None) != (scanner.offset is None):
        calibration.say("", "gain and offset go together")
    calibration.done()
    entry.done()
    return scanner


def _section(entry: Table, core: str) -> Section:
    name, folder = entry.text("name", needed=True), entry.text("folder", needed=True, exact=True)
    run = entry.text("run", slug=True) or slugged(name)
    if name and not run:
        entry.say("run", f"is missing, and none can be made of {name!r}")
    top, stretch = entry.quantity("top", "mm", needed=True), entry.number("stretch", 0.1, 10)
    length, step = entry.quantity("length", "mm"), entry.quantity("step", "mm")
    for key, value in (("length", length), ("step", step)):
        if value is not None and value <= 0:
            entry.say(key, f"is {value:g} mm, should be more than nothing")
    files, evaluation, supersedes = entry.text("files", exact=True), entry.text("evaluation"), entry.texts("supersedes")
    names = entry.choice("names", ("contribution.toml",))
    entry.done()
    return Section(
        files=files,
        evaluation=evaluation,
        supersedes=supersedes,
        names=names,
        length=length,
        step=step,
        core=core,
        folder=str(PurePosixPath(folder.strip("/"))),
        name=name,
        top=top or 0.0,
        stretch=1.0 if stretch is None else stretch,
        run=run,
    )
