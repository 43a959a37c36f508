"""``contribution.toml``: what a contributor says of a folder, read, checked and turned into frozen values.

Everything wrong with a file is reported at once, each problem with its place in the file. Quantities carry their unit
in the file (``top = "33.4 cm"``) and are plain numbers in the bank's units from here on.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath

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
class Laboratory:
    """One table of laboratory values; see `corebank.contribution.laboratory` for the three ways to give a depth."""

    file: str
    columns: Mapping[str, tuple[str, str]]
    """Proxy -> (column, unit)."""
    core: str = ""
    """Column that names the core; empty where the contribution has one core."""
    section: str = ""
    """Column that names the section, for positions inside sections."""
    position: tuple[str, str] | None = None
    depth: tuple[str, str] | None = None
    top: tuple[str, str] | None = None
    bottom: tuple[str, str] | None = None
    thickness: float = 10.0
    """Thickness of a sample [mm] where only its middle is given; 1 cm slices are the field's habit."""
    method: str = ""
    laboratory: str = ""


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
    measurements = tuple(_laboratory(entry) for entry in table.children("measurements"))
    if not sections:
        table.say("core.section", "there is none, so there is nothing to bring in")
    for what, values in (
        ("run", [part.run for part in sections]),
        ("folder", [part.folder for part in sections]),
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
    )
    if (scanner.gain is None) != (scanner.offset is None):
        calibration.say("", "gain and offset go together")
    calibration.done()
    entry.done()
    return scanner


def _section(entry: Table, core: str) -> Section:
    name, folder = entry.text("name", needed=True), entry.text("folder", needed=True)
    run = entry.text("run", slug=True) or slugged(name)
    if name and not run:
        entry.say("run", f"is missing, and none can be made of {name!r}")
    top, stretch = entry.quantity("top", "mm", needed=True), entry.number("stretch", 0.1, 10)
    entry.done()
    return Section(
        core=core,
        folder=str(PurePosixPath(folder.strip("/"))),
        name=name,
        top=top or 0.0,
        stretch=1.0 if stretch is None else stretch,
        run=run,
    )


def _laboratory(entry: Table) -> Laboratory:
    columns_table, thickness = entry.child("columns"), entry.quantity("thickness", "mm")
    columns = {proxy: pair for proxy in columns_table.raw if (pair := columns_table.column(proxy))}
    laboratory = Laboratory(
        file=entry.text("file", needed=True),
        columns=columns,
        core=entry.text("core"),
        section=entry.text("section"),
        position=entry.column("position"),
        depth=entry.column("depth"),
        top=entry.column("top"),
        bottom=entry.column("bottom"),
        thickness=10.0 if thickness is None else thickness,
        method=entry.text("method"),
        laboratory=entry.text("laboratory"),
    )
    if PurePosixPath(laboratory.file).is_absolute() or ".." in PurePosixPath(laboratory.file).parts:
        entry.say("file", f"is {laboratory.file!r}, should be a file inside the folder")
    given = {name for name in ("section", "position", "depth", "top", "bottom") if getattr(laboratory, name)}
    if given not in ({"top", "bottom"}, {"depth"}, {"section", "position"}):
        entry.say("", "give depths in one way: top and bottom, or depth, or section and position")
    if not columns_table.raw:
        entry.say("columns", 'is missing; write columns = { TOC = "name of the column [wt%]" }')
    entry.done()
    return laboratory
