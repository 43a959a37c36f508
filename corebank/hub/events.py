"""The moves of aliases as the registry keeps them: who, when, why, and what the gate had said. Pure; no MLflow.

Each move is a tag, or several, of the registered model: ``corebank.event.<when>.<random>.<part>of<parts>``, whose
values joined are one JSON document. One tag for each move, not one list of all: two people who move at the same time
both write, and neither overwrites the other. Tags of the model and not of its versions: they outlive a version that
is deleted. In parts, since a PostgreSQL or MySQL server takes 5,000 characters.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from corebank.hub.tags import Version

PART = 4000
"""Characters of a tag's value; the column of MLflow's table holds 5,000."""

ALIAS = "corebank.alias."
"""Prefix of a version's own tag that tells how an alias came to it, for readers of MLflow's pages."""

ELSEWHERE = "moved by other means than corebank, which leave no record"

_KEY = re.compile(r"corebank\.event\.(?P<event>\d{8}T\d{6}\.\d{6}Z\.[0-9a-f]+)\.(?P<part>\d+)of(?P<parts>\d+)")
_NOTE = re.compile(r"(?P<when>\S+Z) by (?P<who>.*?): (?P<why>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One move of an alias."""

    alias: str
    version: int
    """Who has it from now on."""

    former: int | None = None
    """Who had it before; None when nobody had."""

    who: str = ""
    when: str = ""
    """In UTC: ``2026-03-01T09:30:00Z``; empty when nobody recorded the move."""

    why: str = ""
    report: str = ""
    """What the gate had found, as it was told; empty when there was no gate."""

    rollback: bool = False
    """Whether it went back to a version that had the alias before."""


def note(event: Event) -> str:
    """A move as one line."""
    return f"{event.when} by {event.who}: {event.why}"


def to_tags(event: Event, moment: datetime) -> dict[str, str]:
    """`event`, which happened at `moment`, as tags of the registered model, the last part first.

    Whoever is stopped between two of them leaves an event without its first part, and `recorded` passes over it.
    """
    text = json.dumps({name: value for name, value in asdict(event).items() if value}, ensure_ascii=False)
    parts = [text[first : first + PART] for first in range(0, len(text), PART)]
    name = f"corebank.event.{moment.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}.{secrets.token_hex(3)}"
    return {f"{name}.{at}of{len(parts)}": part for at, part in reversed(list(enumerate(parts, 1)))}


def recorded(tags: Mapping[str, str], aliases: Mapping[str, object], versions: Sequence[Version]) -> tuple[Event, ...]:
    """Every move of the aliases of a model, oldest first.

    Parameters
    ----------
    tags
        Those of the registered model.
    aliases
        Who has which alias now.
    versions
        The model's versions. Their own tags tell of moves from before events were kept, the last one of each version.

    A move that nobody recorded, made on MLflow's own page for one, comes last and says so.
    """
    told = [*unrecorded(tags, versions), *_events(tags)]
    told.sort(key=lambda event: event.when)  # stable: events of one second keep their order
    for alias, number in sorted(aliases.items()):
        last = next((event.version for event in reversed(told) if event.alias == alias), None)
        if last != int(str(number)):
            told.append(Event(alias=alias, version=int(str(number)), former=last, who="unknown", why=ELSEWHERE))
    return tuple(told)


def unrecorded(tags: Mapping[str, str], versions: Sequence[Version]) -> list[Event]:
    """Moves that the versions' own tags tell of, and the tags of their model do not."""
    known = {(event.alias, event.version, event.when) for event in _events(tags)}
    return [event for event in _notes(versions) if (event.alias, event.version, event.when) not in known]


def holders(history: Iterable[Event], alias: str) -> list[int]:
    """The versions that have had `alias`, as a stack: who has it now is last, who a rollback goes to before it.

    A rollback takes from the stack what it undid, so that the next one goes further back.
    """
    stack: list[int] = []
    for event in history:
        if event.alias != alias:
            continue
        if event.rollback and event.version in stack:
            while stack[-1] != event.version:
                stack.pop()
        elif stack[-1:] != [event.version]:
            stack.append(event.version)
    return stack


def _events(tags: Mapping[str, str]) -> list[Event]:
    """The events that a model's tags hold in full, oldest first."""
    parts: dict[str, dict[int, str]] = {}
    expected: dict[str, int] = {}
    for name, text in tags.items():
        if found := _KEY.fullmatch(name):
            parts.setdefault(found["event"], {})[int(found["part"])] = text
            expected[found["event"]] = int(found["parts"])
    whole = sorted(event for event, some in parts.items() if len(some) == expected[event])
    return [Event(**json.loads("".join(text for _, text in sorted(parts[event].items())))) for event in whole]


def _notes(versions: Sequence[Version]) -> list[Event]:
    """Moves as the versions' own tags tell them; who had the alias before is not in there."""
    told = []
    for version in versions:
        for tag, text in version.tags.items():
            if tag.startswith(ALIAS) and not tag.endswith(".lost") and (found := _NOTE.fullmatch(text)):
                when, who, why = found["when"], found["who"], found["why"]
                alias = tag.removeprefix(ALIAS)
                told.append(Event(alias=alias, version=version.number, who=who, when=when, why=why))
    return told
