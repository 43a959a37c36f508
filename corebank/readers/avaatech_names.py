"""Names of Avaatech files, which hold settings that the files themselves do not: three styles, one per generation.

``U1489-1H-4A   40.0mm   6s   9kV 250uA No-Filter`` (older, also with ``X..mm Y..mm DC..mm CC..mm``),
``SO264-15-2_0848  400.0mm  10s  10kV 150uA No-Filter   0.0mm Run1 Rep0 Sett Low`` (the archives behind MAX), and 15 or
17 fields between ``!`` (the scanner's newest). The first two are read by the units in them, the third by where its
date stands. Decimal commas occur in all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from corebank.readers.spectrum import NAN

_ENDING = re.compile(r"\.(?:spe|axml|txt|csv)\s*$", re.IGNORECASE)
_DECIMAL = r"[+-]?\d+(?:[.,]\d+)?"
_LENGTH = re.compile(rf"(?<![A-Za-z0-9.,])(X|Y)?\s*({_DECIMAL})\s*mm\b")
_SECONDS = re.compile(rf"(?<![\w.,-])({_DECIMAL})\s*s\b")
_VOLTAGE = re.compile(rf"(?<![\w.,-])({_DECIMAL})\s*kV\b", re.IGNORECASE)
_CURRENT = re.compile(rf"(?<![\w.,-])({_DECIMAL})\s*uA\b(?:[ !]+([A-Za-z][\w-]*))?", re.IGNORECASE)
_RUN = re.compile(r"\b(Run\d+)\b", re.IGNORECASE)
_REPLICATE = re.compile(r"\bRep(\d{1,6})\b", re.IGNORECASE)
_SETTING = re.compile(r"\b(Sett?\b.*)$", re.IGNORECASE)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_SECTION = re.compile(r"(\d{2,6})([A-Za-z]*)")


@dataclass(frozen=True, slots=True)
class Name:
    """What a file's name tells; NaN and "" for what it does not."""

    core: str = ""
    section: str = ""
    depth: float = NAN
    """Depth field of a ``!`` name [mm]."""
    position: float = NAN
    """Place on the stage, X [mm]."""
    live_time: float = NAN
    """[s]"""
    tube_voltage: float = NAN
    """[kV]"""
    tube_current: float = NAN
    """[mA]; the name has it in uA."""
    filter: str = ""
    """Primary filter, ``none`` where there is none."""
    replicate: int = 0
    day: str = ""
    clock: str = ""
    header: Mapping[str, str] = field(default_factory=dict)
    """The same as text, under keys that begin with ``name``."""


def parse(name: str) -> Name:
    """Everything that the name of a file tells, folders, archive and ending aside; never raises."""
    text = _ENDING.sub("", re.split(r"/|(?<=\.zip)!", name, flags=re.IGNORECASE)[-1])
    fields = [part.strip() for part in text.split("!")]
    at = next((i for i, part in enumerate(fields) if _DAY.fullmatch(part)), 0)
    return _by_fields(fields, at) if at >= 2 and len(fields) >= at + 8 else _by_units(text)


def section_start(text: str) -> tuple[float, str]:
    """Composite depth of a section's top [mm] and the suffix, from a section name: ``0848`` -> (8480, "").

    Three or four digits are centimetres, five or six millimetres (``10430B`` -> (10430, "B")), zeros are the core's
    top however many they are (``00TC`` -> (0, "TC")); NaN and "" for names made otherwise. The rule is that of the
    SO264 and PS75 archives behind MAX (arXiv 2410.12330); the suffix tells repeats and trigger cores apart.
    """
    found = _SECTION.fullmatch(text.strip())
    if not found:
        return NAN, ""
    digits, suffix = found.groups()
    if int(digits) == 0:
        return 0.0, suffix
    if len(digits) < 3:
        return NAN, ""
    return float(int(digits) * (10 if len(digits) <= 4 else 1)), suffix


def replicate(text: str) -> int:
    """Number of the repeat in ``Rep1`` or ``1``; 0 for the first measurement and for anything else."""
    found = re.fullmatch(r"(?:Rep)?\s*(\d{1,6})", text.strip(), re.IGNORECASE)
    return int(found[1]) if found else 0


def _by_fields(fields: list[str], at: int) -> Name:
    """Seventeen fields, or fifteen without core identifier and setting; `at` is that of the date."""
    core, section = fields[0], fields[at - 2] if at > 2 else ""
    identifier = fields[1] if at > 3 else ""
    run, repeat, setting = [*fields[at + 10 : at + 13], "", "", ""][:3]
    return Name(
        core=core,
        section=section,
        depth=_decimal(fields[at - 1], "mm"),
        position=_decimal(fields[at + 5], "mm"),
        live_time=_decimal(fields[at + 2], "s"),
        tube_voltage=_decimal(fields[at + 3], "kV"),
        tube_current=_decimal(fields[at + 4], "uA") / 1000,
        filter=_filter(fields[at + 7]),
        replicate=replicate(repeat),
        day=fields[at],
        clock=fields[at + 1].replace("-", ":"),
        header=_texts(core, section, run, setting, identifier),
    )


def _by_units(text: str) -> Name:
    lengths = list(_LENGTH.finditer(text))
    place = next((length for length in lengths if length[1] == "X"), lengths[0] if lengths else None)
    core, section = _titles(text[: lengths[0].start()] if lengths else "")
    current = _CURRENT.search(text)
    run, setting, repeat = _RUN.search(text), _SETTING.search(text), _REPLICATE.search(text)
    return Name(
        core=core,
        section=section,
        position=_decimal(place[2]) if place else NAN,
        live_time=_decimal(_group(_SECONDS.search(text))),
        tube_voltage=_decimal(_group(_VOLTAGE.search(text))),
        tube_current=_decimal(_group(current)) / 1000,
        filter=_filter(current[2] or "") if current else "",
        replicate=int(repeat[1]) if repeat else 0,
        header=_texts(core, section, _group(run), _group(setting).strip()),
    )


def _titles(text: str) -> tuple[str, str]:
    """Core and section of ``SO264-15-2_0848`` and of ``SO264!15!``: the last part is a section if it is a start."""
    title = text.strip(" !_")
    core, _, last = title.rpartition("_")
    return (core, last) if core and _SECTION.fullmatch(last) else (title, "")


def _texts(core: str, section: str, run: str, setting: str, identifier: str = "") -> dict[str, str]:
    told = {
        "name core": core,
        "name core identifier": identifier,
        "name section": section,
        "name run": run,
        "name setting": setting,
    }
    return {key: text for key, text in told.items() if text}


def _filter(text: str) -> str:
    return "none" if re.sub("[^a-z]", "", text.lower()) in ("no", "nofilter", "none") else text


def _group(found: re.Match[str] | None) -> str:
    return found[1] if found else ""


def _decimal(text: str, unit: str = "") -> float:
    found = re.fullmatch(rf"({_DECIMAL})\s*(?:{unit})?", text.strip(), re.IGNORECASE)
    return float(found[1].replace(",", ".")) if found else NAN
