"""The sections of a folder: which files belong to which piece of which core, and where it begins."""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from corebank.contribution.draft import names
from corebank.contribution.toml import slugged
from corebank.errors import ReadError
from corebank.readers import FORMATS, Scan, avaatech_names, itrax_tables, peek
from corebank.readers.files import Entry, natural, split
from corebank.readers.spectrum import Spectrum


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One ``[[core.section]]`` to be."""

    folder: str
    core: str
    section: str
    why: str
    """Where the core's name came from."""
    section_why: str = ""
    """Where the section's name came from, when not from the same."""
    files: str | None = ""
    """Pattern of its files; "" where it has the folder for itself, None where no pattern was found."""
    repeat: int = 0
    top: float = math.nan
    """Composite depth of its zero [mm]; NaN until `stacked`."""
    top_why: str = ""
    end: float = math.nan
    """How far down it was scanned [mm]; NaN where nothing tells."""
    end_why: str = ""
    named: tuple[str, ...] = ()
    """Core as the files name it, where they do."""
    placed: bool = True
    """False where the files name no position, or one and the same for all."""
    run: str = ""


@dataclass(slots=True)
class Looked:
    """What a look into a scan showed."""

    scan: Scan
    spectra: list[Spectrum] = field(default_factory=list)
    problem: str = ""


def look(scan: Scan) -> Looked:
    """A few spectra of a scan, or every one of a table, which has to be read whole anyway."""
    try:
        if scan.kind == "table":
            return Looked(scan, [one for entry in scan.spectra for one in FORMATS[scan.kind].parse(entry.load())])
        return Looked(scan, peek(scan))
    except ReadError as error:
        return Looked(scan, problem=str(error))


def parts(looked: Sequence[Looked], records: Iterable[Entry], root: str) -> list[Part]:
    """Every section that the scans hold, each with its end where a scan or a record of the same section tells it."""
    found = [part for one in looked for part in _parts(one, root)]
    ends = _ends(found, [*records, *(entry for one in looked for entry in one.scan.companions)], root)
    out = []
    for part in found:
        end, why = ends.get((part.core, part.section), (math.nan, ""))
        out.append(replace(part, end=end, end_why=why) if end > part.end or math.isnan(part.end) else part)
    return out


def arranged(found: Sequence[Part]) -> list[Part]:
    """`found` in natural order of cores and sections, each with a top and with a run name that no other has."""
    order = sorted(
        found, key=lambda part: (natural(part.core), natural(part.section), part.repeat, natural(part.folder))
    )
    return _named(_stacked(order))


def _stacked(found: Sequence[Part]) -> list[Part]:
    """`found`, in order, with a top for each: sections of one core end to end, unless their names tell."""
    out: list[Part] = []
    tops: dict[tuple[str, str], tuple[float, str]] = {}
    below: dict[str, tuple[float, str]] = {}
    for place in dict.fromkeys((part.core, part.section) for part in found):
        own = [part for part in found if (part.core, part.section) == place]
        told = next(((part.top, part.top_why) for part in own if math.isfinite(part.top)), None)
        tops[place] = told or below.get(place[0], (0.0, "the first section begins at the core top"))
        ends = [(part.end, part.end_why) for part in own if math.isfinite(part.end)]
        end, why = max(ends, default=(0.0, "tells no length"))
        below[place[0]] = tops[place][0] + end, f"end to end; {place[1]} above {why}"
        out += [
            part if math.isfinite(part.top) else replace(part, top=tops[place][0], top_why=tops[place][1])
            for part in own
        ]
    return out


def _named(found: Sequence[Part]) -> list[Part]:
    """`found` with a run name for each that no other has."""
    alone, taken, out = len({part.core for part in found}) == 1, set[str](), []
    for part in found:
        words = [part.section] if alone and not names.same(part.core, part.section) else [part.core, part.section]
        if names.same(part.core, part.section):
            words = [part.section]
        base = slugged("-".join([*words, *([f"rep{part.repeat}"] if part.repeat else [])])) or "run"
        run = next(name for number in range(len(found) + 1) if (name := _numbered(base, number)) not in taken)
        taken.add(run)
        out.append(replace(part, run=run))
    return out


def _numbered(base: str, number: int) -> str:
    return f"{base}-{number + 1}" if number else base


def _parts(looked: Looked, root: str) -> list[Part]:
    """The sections of one scan."""
    folder = names.place(looked.scan.folder, root)
    if looked.scan.kind == "table":
        return _of_table(looked, folder)
    if looked.scan.kind == "avaatech":
        return _of_names(looked, folder)
    end = _end((one.position for one in looked.spectra), len(looked.scan.spectra))
    return [
        Part(
            folder=looked.scan.folder,
            core=folder.core,
            section=folder.section,
            repeat=folder.repeat,
            why=folder.why,
            end=end,
            end_why=f"was scanned to {end:g} mm",
            placed=_placed(looked.spectra),
        )
    ]


def _of_names(looked: Looked, folder: names.Place) -> list[Part]:
    """Avaatech: core and section stand in the files' names, and one folder often holds several sections."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in looked.scan.spectra:
        name = avaatech_names.parse(entry.name)
        groups.setdefault((name.core, name.section), []).append(entry)
    lasts = [_last_name(entry.name) for entry in looked.scan.spectra]
    out = []
    for (core, start), entries in groups.items():
        sources = {entry.name for entry in entries}
        told = next((one for one in looked.spectra if one.source in sources), None) or _first(looked.scan, entries[0])
        inside, start_inside = (told.core, told.section) if told else ("", "")
        guessed = names.place(core, "") if core and not start else folder
        top, suffix = avaatech_names.section_start(start or start_inside)
        # the folder's own name for the only section in it is what people say; the file's is only its start
        known = (core if start else guessed.core if core else "") or inside or folder.core
        sure = len(groups) == 1 and folder.section != folder.core and names.same(folder.core, known)
        places = {avaatech_names.parse(entry.name).position for entry in entries}
        places = {place for place in places if math.isfinite(place)}
        looked_at = {one.position for one in looked.spectra if one.source in sources}
        end = _end(places, len(places)) if places else _end(looked_at, len(entries))
        files = _pattern([_last_name(entry.name) for entry in entries], lasts, core, start)
        out.append(
            Part(
                folder=looked.scan.folder,
                files=files if len(groups) > 1 else "",
                core=f"{known}_TC" if suffix.upper() == "TC" else known,
                section=folder.section if sure else start or start_inside or guessed.section,
                repeat=folder.repeat,
                why="from the names of the files" if core else folder.why,
                top=top,
                top_why=f"section start {start or start_inside} in the files",
                end=end,
                end_why=f"was scanned to {end:g} mm",
                named=(inside,) if inside else (),
                placed=math.isfinite(end) or _placed(looked.spectra),
            )
        )
    return out


def _of_table(looked: Looked, folder: names.Place) -> list[Part]:
    """A table of spectra may hold many cores; where it gives composite depths, sections do not matter."""
    groups: dict[tuple[str, str], list[Spectrum]] = {}
    for one in looked.spectra:
        section = "" if math.isfinite(one.depth) else one.section
        groups.setdefault((one.core, section), []).append(one)
    inside = [one.source.removeprefix(f"{looked.scan.folder}!") for one in looked.spectra]
    out = []
    for (core, start), spectra in groups.items():
        own = [one.source.removeprefix(f"{looked.scan.folder}!") for one in spectra]
        top, _ = avaatech_names.section_start(start)
        if all(math.isfinite(one.depth) for one in spectra):
            top, why = 0.0, "the table gives composite depths"
        else:
            why = f"section start {start} in the table"
        places = {one.position for one in spectra}
        end = _end(places, len(places))
        out.append(
            Part(
                folder=looked.scan.folder,
                files=_pattern(own, inside, core, start) if len(groups) > 1 else "",
                core=core or PurePosixPath(folder.core).stem,
                section=start or core or PurePosixPath(folder.section).stem,
                why="from the table" if core else folder.why,
                top=top,
                top_why=why,
                end=end,
                end_why=f"was scanned to {end:g} mm",
                named=(core,) if core else (),
                placed=math.isfinite(end) or math.isfinite(top),
            )
        )
    return out


def _first(scan: Scan, entry: Entry) -> Spectrum | None:
    """The spectrum of one file; None where it is damaged, of which a check will tell."""
    try:
        found: list[Spectrum] = FORMATS[scan.kind].parse(entry.load())
    except ReadError:
        return None
    return found[0]


def _pattern(wanted: Sequence[str], everything: Sequence[str], core: str, section: str) -> str | None:
    """A pattern that matches the names in `wanted` and none of the others; None where none was found."""
    core_, section_ = glob.escape(core), glob.escape(section)
    for pattern in (
        f"{core_}_{section_} *",
        f"{core_}!*!{section_}!*",
        f"{core_}[ !]*",
        f"{core_}/*",
        f"{core_}/{core_}_{section_} *",
        f"{core_}/*!{section_}!*",
        f"{glob.escape(os.path.commonprefix(list(wanted)))}*",  # noqa: RUF071 - letters in common, not folders
    ):
        if {name for name in everything if fnmatchcase(name, pattern)} == set(wanted):
            return pattern
    return None


def _ends(found: Sequence[Part], records: Iterable[Entry], root: str) -> dict[tuple[str, str], tuple[float, str]]:
    """Core and section -> how far down a record beside it, or beside a scan of the same section, says it went [mm]."""
    ends: dict[tuple[str, str], tuple[float, str]] = {}
    known = {(part.core, part.section) for part in found}
    for entry in records:
        guessed = names.place(str(PurePosixPath(split(entry.name)[0]).parent), root)
        place = (guessed.core, guessed.section)
        if place not in known or not PurePosixPath(entry.name).name.lower().startswith("document"):
            continue
        try:
            file = entry.load()
            fields = itrax_tables.document(file).get("Start coordinate", []) if itrax_tables.is_document(file) else []
            stop = float(fields[2]) if len(fields) > 2 and fields[1] == "Stop coordinate" else math.nan
        except (ReadError, ValueError):
            continue  # a record is a help for a guess, and a check will say what is wrong with the file
        if math.isfinite(stop) and stop > ends.get(place, (0.0, ""))[0]:
            ends[place] = stop, f"was scanned to {stop:g} mm by {entry.name}"
    return ends


def _end(places: Iterable[float], count: int) -> float:
    """Where a scan of `count` steps ends [mm]: half a step below the last place where the first lies as far in."""
    known = sorted({place for place in places if math.isfinite(place)})
    if not known:
        return math.nan
    step = (known[-1] - known[0]) / max(count - 1, 1)
    return round(known[-1] + (step / 2 if step / 2 <= known[0] < step else step), 1)


def _placed(spectra: Sequence[Spectrum]) -> bool:
    places = {one.position for one in spectra if math.isfinite(one.position)}
    return len(places) > 1 or (len(places) == 1 and len(spectra) == 1) or not spectra


def _last_name(name: str) -> str:
    return PurePosixPath(split(name)[-1]).name
