"""What the name of a folder tells: core, section, and which repeat of it; patterns met in public archives.

``CD166_19_S1_REP1`` is core CD166_19, section S1, repeat 1; ``ARD1A`` may be section A of core ARD1; ``U1489-1H-4A`` is
section 4A of core U1489-1H; ``SO264-15-2_TC`` is the trigger core of SO264-15-2 and a core of its own. Names are the
contributors' own and no rule holds for all of them, so whatever comes out is a guess, with its reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

_REPEAT = re.compile(r"[ _-]+(?:REP(?:LICATE|EAT)?[ _-]*(\d{1,3})|(?:RE|RESCAN|REPEAT)[ _-]*(\d{0,3}))$", re.IGNORECASE)
_SETTING = re.compile(r"[ _-]+(?:RAD|\d+(?:[.,]\d+)?[ _-]?(?:um|mm|kV))$", re.IGNORECASE)
_GENERIC = re.compile(
    r"xrf|itrax|avaatech|(?:xrf|raw)?[ _-]*(?:data|spectra|spe|files|scans?)|raw|(?:19|20)\d\d|\d+[ _-]?kv",
    re.IGNORECASE,
)
"""Folders that are named for what lies in them, not for a piece of a core."""

_SECTION = r"S(?:ec(?:t(?:ion)?)?)?[ _.-]*\d{1,3}[A-Za-z]?"
_NUMBERED = re.compile(rf"(?P<core>.+?)[ _-]+(?P<section>{_SECTION})", re.IGNORECASE)
_BARE = re.compile(rf"{_SECTION}|\d{{1,3}}[A-Za-z]?", re.IGNORECASE)
_IODP = re.compile(r"(?P<core>.+-\d+[HXRFPVGC])-(?P<section>(?:\d+|CC)[AW]?)", re.IGNORECASE)
_LETTERED = re.compile(r"(?P<core>.*\d)[ _-]?(?P<section>[A-Z](?:[_ -](?:I{1,3}|IV|V))?)")


@dataclass(frozen=True, slots=True)
class Place:
    """A piece of a core, as guessed from a name."""

    core: str
    section: str
    repeat: int = 0
    """Number of the repeat of the section; 0 where the name tells none."""
    why: str = ""


def place(folder: str, root: str) -> Place:
    """Core and section of a folder below one that is called `root`; ``.`` is the root itself."""
    parts = [root, *(part for part in PurePosixPath(folder).parts if part != ".")]
    while len(parts) > 1 and _GENERIC.fullmatch(parts[-1]):
        parts.pop()
    bare, repeat = _bare(parts[-1])
    above = _bare(parts[-2])[0] if len(parts) > 1 else ""
    for pattern, why in ((_NUMBERED, "as folder names are often made"), (_IODP, "an IODP name")):
        if found := pattern.fullmatch(bare):
            return Place(found["core"], found["section"], repeat, f"from the name {parts[-1]!r}, {why}")
    if above and bare.startswith(above) and (rest := bare[len(above) :].strip(" _-")):
        return Place(above, rest, repeat, f"from the name {parts[-1]!r} in {parts[-2]!r}")
    if above and _BARE.fullmatch(bare):
        return Place(above, bare, repeat, f"from the name {parts[-1]!r} in {parts[-2]!r}")
    if found := _LETTERED.fullmatch(bare):
        return Place(found["core"], found["section"], repeat, f"from the name {parts[-1]!r}: its last letter")
    name = bare.strip() or "core"
    return Place(name, name, repeat, f"from the name {parts[-1]!r}, which tells no section")


def same(one: str, other: str) -> bool:
    """True for two spellings of one name: ``LP081C`` and ``LP08-1C``."""
    return bool(plain(one)) and plain(one) == plain(other)


def plain(name: str) -> str:
    """The letters and digits of a name, in small."""
    return re.sub(r"[\W_]+", "", name.lower())


def _bare(name: str) -> tuple[str, int]:
    """`name` without what it says of a repeat or a setting, and the number of the repeat."""
    repeat = 0
    for _ in range(3):
        if found := _REPEAT.search(name):
            # a rescan without a number is the second time
            repeat, name = int(found[1] or found[2] or 2), name[: found.start()]
        elif found := _SETTING.search(name):
            name = name[: found.start()]
    return name, repeat
