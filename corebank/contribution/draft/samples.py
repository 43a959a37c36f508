"""``[[measurements]]`` of a draft: active where a table's header tells enough, commented out where it does not."""

from __future__ import annotations

import math
from collections.abc import Sequence

from corebank.contribution.draft import tables, words
from corebank.contribution.draft.sections import Part
from corebank.contribution.draft.tables import Laboratory

_LISTED = 12
"""Names that one comment lists."""


def block(found: Laboratory, parts: Sequence[Part]) -> list[str]:
    """The lines for one table."""
    if not found.depths:
        return [words.comment(f"{found.file} is not listed here: {found.problem}")]
    lines, problem = _lines(found, parts), found.problem
    unit = _unit(found, parts)
    if not unit:
        problem = problem or "its depths have no unit, and in none do they fit the cores"
    if not problem:
        return lines
    told = words.comment(f"{found.file} is not taken as it stands: {problem}. Complete what follows and uncomment it")
    return [told, *(line if line.startswith("#") else f"# {line}" for line in lines)]


def _lines(found: Laboratory, parts: Sequence[Part]) -> list[str]:
    cores = list(dict.fromkeys(part.core for part in parts))
    lines = ["[[measurements]]", words.guess("file", found.file, "its header looks like a laboratory's")]
    inside = any(name == "position" for name, _ in found.depths)
    if found.core:
        lines.append(words.guess("core", found.core, "the column's name"))
        lines += _strangers("core", found.cores, cores, found)
    elif len(cores) > 1 and not inside:
        lines.append(words.blank("core", "the column that names the core; there are several"))
    if inside:
        lines.append(words.guess("section", found.section, "the column's name"))
        sections = [part.section for part in parts] + [part.core + part.section for part in parts]
        lines += _strangers("section", found.sections, sections, found)
    unit = _unit(found, parts)
    for name, column in found.depths:
        why = "unit from the column's name" if column.unit else f"no unit in its name; {unit} fits the cores"
        why = why if unit else "no unit in its name, and none fits the cores"
        lines.append(words.guess(name, f"{column.name} [{column.unit or unit or 'cm'}]", why))
    if math.isfinite(found.thickness):
        why = "the other end of the interval, in the next column"
        lines.append(words.guess("thickness", words.length(found.thickness), why))
        lines.append(words.guess("shift", words.length(found.thickness / 2), "from the upper end to the middle"))
    elif len(found.depths) == 1:
        lines.append(words.guess("thickness", "10 mm", "1 cm slices are the field's habit"))
    lines += ['# method = "elemental analyser"', '# laboratory = "where it was measured"', "[measurements.columns]"]
    lines += [
        words.guess(proxy, f"{column.name} [{column.unit}]", "unit from the column's name")
        for proxy, column in found.values.items()
    ]
    if found.unitless:
        lines.append(words.comment(f"without a unit in their names, so not taken: {_short(found.unitless)}"))
    if found.deviations:
        lines.append("[measurements.uncertainty]")
        lines += [
            words.guess(proxy, f"{column.name} [{column.unit}]", "the column's name")
            for proxy, column in found.deviations.items()
        ]
    return lines


def _unit(found: Laboratory, parts: Sequence[Part]) -> str:
    """The unit of depths that the header gives, or else the one that fits the cores."""
    if all(column.unit for _, column in found.depths):
        return found.depths[0][1].unit
    ends = [part.top + part.end for part in parts if math.isfinite(part.end)]
    return tables.depth_unit(found, max(ends, default=0.0))


def _strangers(what: str, said: Sequence[str], known: Sequence[str], found: Laboratory) -> list[str]:
    """A warning where the table also names what the folder does not hold: a check refuses those rows."""
    strange = tables.unknown(said, known)
    if not strange:
        return []
    return [
        words.comment(
            f"look: {found.file} also names {what} {_short(strange)}, of which no spectra are here; corebank check "
            "asks what is to become of those rows"
        )
    ]


def _short(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
