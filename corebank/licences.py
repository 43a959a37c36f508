"""What the licence of data allows, whether licences can be joined in one work, and when an embargo is over.

A selection that trains a model, or leaves a bank as one file, is a pooled and derived work. Data go into one only where
their licence is known and allows to redistribute and to derive; silence is no permission. Licences are named by SPDX
identifiers (https://spdx.org/licenses), which are compared whatever their case, as SPDX Annex D asks. This is the
reading of people who care for sediment cores, not legal advice.

Sources: the texts behind the SPDX identifiers; Creative Commons' chart of which licences can be remixed
(https://wiki.creativecommons.org/wiki/Wiki/cc_license_compatibility) and its list of compatible licences for
ShareAlike (https://creativecommons.org/share-your-work/licensing-considerations/compatible-licenses), on which ODbL and
CDLA-Sharing do not stand; ODbL 1.0, section 4.4; CDLA-Sharing 1.0, section 3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from corebank.errors import LicenceError

_CREATIVE_COMMONS = re.compile(r"CC-BY(-NC)?(-SA|-ND)?-(1\.0|2\.0|2\.1|2\.5|3\.0|4\.0)(-[A-Z]{2,3})?")

_FREE = ("CC0-1.0", "CC-PDDC", "PDDL-1.0", "DL-DE-ZERO-2.0", "MIT-0", "0BSD", "Unlicense")
"""Ask for nothing, not even to be named."""

_NAMED = (
    *("ODC-By-1.0", "OGL-UK-1.0", "OGL-UK-2.0", "OGL-UK-3.0", "OGL-Canada-2.0", "etalab-2.0", "DL-DE-BY-2.0"),
    *("NLOD-1.0", "NLOD-2.0", "CDLA-Permissive-1.0", "CDLA-Permissive-2.0"),
    *("MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause"),
)
"""Ask to name the source, or to keep the notice, and for nothing else."""

_SHARE_ALIKE = ("ODbL-1.0", "CDLA-Sharing-1.0")
"""Ask that what is derived be under the same terms, beside Creative Commons' own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """What a licence allows and asks for."""

    identifier: str
    """SPDX identifier or expression, spelled as SPDX does where it is known."""
    redistribution: bool = False
    """May be handed on."""
    derivatives: bool = False
    """May become part of something else."""
    commercial: bool = False
    attribution: bool = True
    """Its source must be named."""
    share_alike: str = ""
    """Family of licences that the derived work must be under, such as CC-BY-SA; empty where any will do."""
    why_not: str = ""
    """Why it does not go into a pooled, derived work; empty where it does."""

    @property
    def usable(self) -> bool:
        """True when data under it may go into a pooled, derived work."""
        return not self.why_not


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a selection as a whole is under: the strictest of each obligation."""

    licences: tuple[str, ...]
    """All of them, in alphabetical order."""
    attribution: bool
    """At least one source must be named."""
    commercial: bool
    """No licence among them forbids commercial use."""
    share_alike: str
    """Family of licences that the whole must be under, or empty."""

    def __str__(self) -> str:
        asked = [
            "name the sources" if self.attribution else "",
            "" if self.commercial else "no commercial use",
            f"share alike, under {self.share_alike}" if self.share_alike else "",
        ]
        return f"{', '.join(self.licences) or 'no licence'}: {'; '.join(filter(None, asked)) or 'no obligations'}"


def verdict(expression: str) -> Licence:
    """What an SPDX identifier, or identifiers joined by OR or by AND, allows and asks for.

    Of a choice (OR) the one that asks for least is taken; of licences that hold together (AND) each obligation counts.
    Empty, unknown, ``LicenseRef-...`` and "all rights reserved" are not usable, and neither is what forbids derived
    works (ND).
    """
    words = " ".join(expression.split())
    choices = [_together(part) for part in re.split(r"\s+OR\s+", words)]
    chosen = min(choices, key=lambda one: (not one.usable, bool(one.share_alike), not one.commercial, one.attribution))
    return chosen if chosen.usable or len(choices) == 1 else replace(chosen, identifier=words)


def combined(licences: Mapping[str, str]) -> Terms:
    """What a work made of data under several licences is under.

    Parameters
    ----------
    licences
        What is under each licence (such as ``site/expedition``) -> its SPDX identifier or expression.

    Raises `LicenceError` when one of them is not usable, when two ask that the whole be under their own, each other
    excluding terms (CC-BY-SA and ODbL), or when one forbids commercial use and another forbids to forbid it.
    """
    found = {where: verdict(licence) for where, licence in licences.items()}
    for where, one in found.items():
        if not one.usable:
            raise LicenceError(where, one.why_not, "Leave it out, or ask its steward")
    sharing = {where: one for where, one in found.items() if one.share_alike}
    first = next(iter(sharing.items()), None)
    for where, one in found.items():
        if first is None or where == first[0]:
            continue
        other, asks = first
        if one.share_alike and one.share_alike != asks.share_alike:
            raise LicenceError(
                f"{other} and {where}",
                f"{asks.identifier} and {one.identifier} cannot be joined: each asks that the whole be under itself",
                "Select one of the two",
            )
        if not one.commercial and asks.commercial:
            raise LicenceError(
                f"{other} and {where}",
                f"{asks.identifier} and {one.identifier} cannot be joined: the first asks that the whole be free for "
                "commercial use, the second forbids it",
                "Select one of the two",
            )
    return Terms(
        licences=tuple(sorted({one.identifier for one in found.values()})),
        attribution=any(one.attribution for one in found.values()),
        commercial=all(one.commercial for one in found.values()),
        share_alike=first[1].share_alike if first else "",
    )


def embargoed(until: str, today: date | None = None) -> bool:
    """Whether data are under embargo still.

    Parameters
    ----------
    until
        ISO date, or empty where there is no embargo. On that day, by UTC, the embargo is over. What is no date keeps
        the data back, since nobody can say that it has passed.
    today
        The day to ask for; the present one by UTC where None.
    """
    if not until:
        return False
    try:
        over = date.fromisoformat(until)
    except ValueError:
        return True
    return (today or datetime.now(UTC).date()) < over


def refusal(
    licence: str,
    embargo_until: str,
    *,
    include_embargoed: bool = False,
    any_licence: bool = False,
    today: date | None = None,
) -> str:
    """Why data under a licence and an embargo do not leave where they lie; empty where they do."""
    if not include_embargoed and embargoed(embargo_until, today):
        return f"under embargo until {embargo_until}"
    return "" if any_licence else verdict(licence).why_not


def _together(words: str) -> Licence:
    """Licences joined by AND: each permission must be given by all, each obligation counts."""
    parts = [_one(part.strip("() ")) for part in re.split(r"\s+AND\s+", words)]
    if len(parts) == 1:
        return parts[0]
    families = sorted({one.share_alike for one in parts} - {""})
    why_not = next((one.why_not for one in parts if one.why_not), "")
    if not why_not and len(families) > 1:
        why_not = f"{words} asks for two terms of sharing alike that exclude each other"
    return Licence(
        identifier=" AND ".join(one.identifier for one in parts),
        redistribution=all(one.redistribution for one in parts),
        derivatives=all(one.derivatives for one in parts),
        commercial=all(one.commercial for one in parts),
        attribution=any(one.attribution for one in parts),
        share_alike=families[0] if families else "",
        why_not=why_not,
    )


def _one(identifier: str) -> Licence:
    """A single licence; "CC BY 4.0" is read as CC-BY-4.0."""
    spelled = identifier.replace(" ", "-")
    if listed := _LISTED.get(spelled.lower()):
        return listed
    if match := _CREATIVE_COMMONS.fullmatch(spelled.upper()):
        non_commercial, kind, version, _ = match.groups()
        # Version 1.0 knows no later version: what derives from it stays under it.
        family = f"CC-BY{non_commercial or ''}-SA{'-1.0' if version == '1.0' else ''}" if kind == "-SA" else ""
        return Licence(
            identifier=spelled.upper(),
            redistribution=True,
            derivatives=kind != "-ND",
            commercial=not non_commercial,
            share_alike=family,
            why_not=f"{spelled.upper()} allows no derived works" if kind == "-ND" else "",
        )
    if not identifier:
        return Licence(identifier="", why_not="has no licence")
    return Licence(identifier=identifier, why_not=f"licence {identifier!r} is not known to allow derived works")


_OPEN = Licence(identifier="", redistribution=True, derivatives=True, commercial=True)

_LISTED = {
    **{name.lower(): replace(_OPEN, identifier=name, attribution=False) for name in _FREE},
    **{name.lower(): replace(_OPEN, identifier=name) for name in _NAMED},
    **{name.lower(): replace(_OPEN, identifier=name, share_alike=name.rpartition("-")[0]) for name in _SHARE_ALIKE},
}
