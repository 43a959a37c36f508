"""``[expedition]`` and ``[scanner]`` of a draft: who and which machine, as far as licence files and headers tell."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath

import yaml

from corebank.contribution.draft import words
from corebank.contribution.draft.sections import Looked
from corebank.contribution.toml import slugged
from corebank.errors import ReadError
from corebank.readers.files import Entry
from corebank.readers.spectrum import Spectrum

MODELS = {"itrax": "Cox Analytical Itrax", "avaatech": "Avaatech XRF core scanner"}
"""Scanner that writes a format; the others are written by many."""

_LICENCES = (
    (r"CC[- ]BY[- ]4\.0|Attribution 4\.0 International", "CC-BY-4.0"),
    (r"CC0[- ]1\.0|CC0 1\.0 Universal", "CC0-1.0"),
    (r"CC[- ]BY[- ]SA[- ]4\.0|Attribution-ShareAlike 4\.0", "CC-BY-SA-4.0"),
    (r"Open Government Licence", "OGL-UK-3.0"),
    (r"\bMIT License", "MIT"),
)
"""Words of a licence file -> SPDX identifier."""

_AMBIGUOUS = re.compile(r"(\d{1,2})/(\d{1,2})/\d{2,4}")
_SMALL = 2**20
"""Licence and citation files are smaller, in bytes."""


def expedition(root: str, others: Iterable[Entry]) -> list[str]:
    """The lines of ``[expedition]``; `others` are the files that are no spectra."""
    beside = [entry for entry in others if len(PurePosixPath(entry.name).parts) == 1 and not entry.member]
    return [
        "[expedition]",
        words.guess("name", slugged(root) or "expedition", "from the folder's name"),
        words.blank("title", "what a catalog shows, such as cruise, place and core"),
        words.blank("site", "the bank's site: small letters, digits, hyphens"),
        words.blank("steward", "who answers for the data"),
        _licence(beside),
        *_citation(beside),
        '# region = "where, in words"',
        "# embargo_until = 2030-01-01    until then the data do not leave the bank",
    ]


def scanner(looked: Sequence[Looked]) -> list[str]:
    """The lines of ``[scanner]``."""
    kinds = list(dict.fromkeys(one.scan.kind for one in looked))
    spectra = [spectrum for one in looked for spectrum in one.spectra]
    lines = ["[scanner]"]
    if len(kinds) == 1:
        lines.append(words.fact("kind", kinds[0]))
        if model := MODELS.get(kinds[0]) or next((_owner(one) for one in spectra if _owner(one)), ""):
            lines.append(words.guess("model", model, "the files are of its format"))
    else:
        lines.append(words.comment(f"look: {' and '.join(kinds)} files lie here. One head is one machine: better two"))
        lines.append(words.comment("folders, each with a contribution.toml of its own"))
    lines.append(_head(spectra))
    anodes = _seen(spectra, lambda one: one.anode)
    lines.append(
        words.comment(f"anode: the files say {' and '.join(anodes)}")
        if anodes
        else words.blank("anode", "element of the X-ray tube's anode, such as Rh or Mo")
    )
    if spectra and not any(math.isfinite(one.gain) for one in spectra) and kinds != ["itrax"]:
        lines.append('# calibration = { gain = "20 eV", offset = "0 eV" }    if you know it; else the lines tell it')
    for key, example in (("live_time", "10 s"), ("tube_voltage", "10 kV")):
        if any(not math.isfinite(getattr(one, key)) for one in spectra):
            lines.append(words.blank(key, f'the files do not say, such as "{example}"'))
    slashed = [one.day for one in spectra if "/" in one.day]
    if slashed and all(map(_is_ambiguous, slashed)):
        lines.append(words.comment(f'dates = "day-first"    or "month-first": of {slashed[0]}, if corebank check asks'))
    return lines


def _head(spectra: Sequence[Spectrum]) -> str:
    """A name for the measuring head from what does not change with its settings: tube and detector."""
    anodes, sizes = _seen(spectra, lambda one: one.anode), _seen(spectra, lambda one: str(one.counts.size))
    parts = [*anodes[:1], *sizes[:1]]
    name = slugged("-".join(parts)) or "head-1"
    why = "anode and number of channels" if anodes else "number of channels"
    more = f"; the files differ: {' and '.join(sizes)} channels" if len(sizes) > 1 else ""
    return words.guess("head", name, f"{why}{more}. Your own name for it is better; a new name is a new machine")


def _seen(spectra: Iterable[Spectrum], said: Callable[[Spectrum], str]) -> list[str]:
    return [text for text in dict.fromkeys(map(said, spectra)) if text]


def _owner(spectrum: Spectrum) -> str:
    return spectrum.header.get("OWNER", "")


def _is_ambiguous(day: str) -> bool:
    found = _AMBIGUOUS.fullmatch(day.strip())
    return bool(found) and found is not None and max(int(found[1]), int(found[2])) <= 12 and found[1] != found[2]


def _licence(beside: Iterable[Entry]) -> str:
    for entry in beside:
        if re.match(r"(?:licen[cs]e|copying)", entry.name, re.IGNORECASE):
            content = f"{entry.name}\n{_content(entry)}"
            for pattern, spdx in _LICENCES:
                if re.search(pattern, content, re.IGNORECASE):
                    return words.guess("licence", spdx, f"from {entry.name}")
    return words.blank("licence", "SPDX identifier of the terms of use, such as CC-BY-4.0")


def _citation(beside: Iterable[Entry]) -> list[str]:
    """``doi`` and ``citation`` from a ``CITATION.cff``, or as comments."""
    doi, citation = '# doi = "10.1234/abcd"', '# citation = "how to cite the data"'
    for entry in beside:
        if entry.name.lower() != "citation.cff":
            continue
        try:
            said = yaml.safe_load(_content(entry))
        except (yaml.YAMLError, ValueError, RecursionError):
            continue
        if isinstance(said, dict) and isinstance(said.get("title"), str):
            people = said.get("authors")
            named = people if isinstance(people, list) else []
            who = [str(one.get("family-names", "")) for one in named if isinstance(one, dict)]
            year = str(said.get("date-released", ""))[:4]
            whole = f"{', '.join(filter(None, who)) or 'unknown'}{f' ({year})' if year else ''}: {said['title']}"
            citation = words.guess("citation", whole, f"from {entry.name}")
            if isinstance(said.get("doi"), str):
                doi = words.guess("doi", said["doi"], f"from {entry.name}")
    return [doi, citation]


def _content(entry: Entry) -> str:
    try:
        content = entry.load().content
    except ReadError:
        return ""
    return content[:_SMALL].decode("utf-8", errors="replace")
