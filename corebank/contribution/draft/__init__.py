"""A first ``contribution.toml``, written from what a folder tells: headers, records, names of files and folders.

Whatever is only likely is marked ``# guess`` with its reason, and what no folder tells ``# fill in``. Nothing is ever
overwritten.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from corebank import readers
from corebank.contribution.draft import machine, names, samples, sections, tables, words
from corebank.contribution.draft.sections import Part
from corebank.contribution.metadata import FILE_NAME
from corebank.contribution.toml import slugged
from corebank.errors import ContributionError
from corebank.readers.files import Entry, entries

_TABLE = re.compile(r"\.(?:csv|tsv|tab|xlsx|parquet)$", re.IGNORECASE)
_TRUTH = "truth"
"""Folder in which virtual expeditions keep what no laboratory could know."""


def write(folder: Path, to: Path | None = None) -> Path:
    """Write the draft for `folder`.

    Parameters
    ----------
    folder
        Scanner files and laboratory tables; only read, unless `to` is None.
    to
        The new file; ``contribution.toml`` in the folder where None.

    Returns the file that was written. Raises `ContributionError` when there is one already, or it cannot be written,
    and whatever `text` raises.
    """
    path = to or folder / FILE_NAME
    taken = ContributionError(path, "there is one already", "Move it away first, or name another file with --toml")
    if path.exists():
        raise taken
    draft = text(folder)
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(draft)
    except FileExistsError as error:
        raise taken from error
    except OSError as error:
        raise ContributionError(
            path, f"cannot be written ({error.strerror})", "Name a place where you may write with --toml"
        ) from error
    return path


def text(folder: Path) -> str:
    """The text of a ``contribution.toml`` for `folder`.

    Raises `ContributionError` when the folder holds no spectra, `ReadError` when it is not there.
    """
    survey = readers.survey(folder)
    if not survey.scans:
        raise ContributionError(
            folder,
            "holds no spectrum of a scanner that corebank knows",
            "Give the folder with the raw .spe files or their zip",
        )
    root = folder.resolve().name or "folder"
    others = [entry for entry in entries(folder)[0] if entry.name in survey.set_aside]
    looked = [sections.look(scan) for scan in survey.scans]
    found = [tables.read(entry) for entry in others if _is_table(entry)]
    parts = sections.arranged(_respelled(sections.parts(looked, others, root), found))
    blocks = [
        _opening(),
        machine.expedition(root, others),
        machine.scanner(looked),
        *_cores(parts),
        *(samples.block(one, parts) for one in found),
        *([_problems(looked)] if any(one.problem for one in looked) else []),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _opening() -> list[str]:
    return [
        "# Drafted by corebank. Where it says fill in, only you know what to write. Where it says guess, names or",
        "# headers suggest what stands there: read it, and correct it where it is wrong. Then: corebank check",
    ]


def _is_table(entry: Entry) -> bool:
    """True for a table outside archives: ``[[measurements]]`` names files that lie in the folder."""
    return bool(_TABLE.search(entry.name)) and not entry.member and PurePosixPath(entry.name).parts[0] != _TRUTH


def _respelled(parts: Sequence[Part], found: Iterable[tables.Laboratory]) -> list[Part]:
    """`parts` with cores and sections spelled as the laboratory spells them, so that its values find them."""
    out = list(parts)
    for table in found:
        for number, part in enumerate(out):
            core = next((name for name in table.cores if names.same(name, part.core)), "")
            # a table often names a section with its core: ARD1A is what a folder's name gave as section A of core ARD1
            whole = part.core + part.section
            said = (name for name in table.sections if names.same(name, part.section) or names.same(name, whole))
            section = next(said, "")
            if not core and section and names.same(inside := names.place(section, "").core, part.core):
                core = inside
            if section and section != part.section:
                part = replace(part, section=section, section_why=f"spelled as in {table.file}")
            if core and core != part.core:
                part = replace(part, core=core, why=f"spelled as in {table.file}")
            out[number] = part
    return out


def _cores(parts: Sequence[Part]) -> list[list[str]]:
    """A ``[[core]]`` for each core, and its sections."""
    blocks = []
    for core in dict.fromkeys(part.core for part in parts):
        own = [part for part in parts if part.core == core]
        blocks.append(
            [
                "[[core]]",
                words.guess("name", core, own[0].why),
                "# latitude = 0.0         degrees north, if you know it",
                "# longitude = 0.0        degrees east",
                '# water_depth = "0 m"',
            ]
        )
        blocks += [_section(part) for part in own]
    return blocks


def _section(part: Part) -> list[str]:
    lines = ["[[core.section]]", words.fact("folder", part.folder)]
    if part.folder != part.folder.strip():
        lines.append("# look: the folder's name begins or ends with a blank, which gets lost here; rename the folder")
    if part.files is None:
        lines.append(words.blank("files", 'a pattern that only this section\'s files match, such as "*_0848 *"'))
    elif part.files:
        lines.append(words.guess("files", part.files, "the section's files, by their names"))
    lines += [
        words.guess("name", part.section, part.section_why or part.why),
        words.guess("top", words.length(part.top), part.top_why),
        words.guess("run", part.run, "any short name will do, each only once"),
    ]
    if not part.placed:
        lines.append(words.blank("step", 'the files tell no position; distance of two spectra, such as "5 mm"'))
    wrong = [name for name in part.named if slugged(name) != slugged(part.core)]
    if wrong and all(_holds(name, part.core) for name in wrong):
        lines.append(words.guess("names", FILE_NAME, f"the files say core {wrong[0]}, another way to write this one"))
    elif wrong:
        lines.append(words.comment(f'names = "{FILE_NAME}"  if the core that the files name, {wrong[0]}, is wrong'))
    return lines


def _holds(one: str, other: str) -> bool:
    shorter, longer = sorted((names.plain(one), names.plain(other)), key=len)
    return bool(shorter) and longer.startswith(shorter)


def _problems(looked: Sequence[sections.Looked]) -> list[str]:
    return [
        words.comment(f"{one.scan.folder} could not be looked into: {one.problem}") for one in looked if one.problem
    ]


__all__ = ["text", "write"]
