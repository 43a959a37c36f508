"""A TOML table being taken apart: typed reads that collect every problem instead of stopping at the first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from corebank import units
from corebank.errors import UnitError

_SLUG = re.compile(r"[a-z0-9]+(?:[-.][a-z0-9]+)*")


class Table:
    """A TOML table being taken apart; problems are collected in one list that all its children share."""

    def __init__(self, path: Path, raw: Mapping[str, Any], name: str = "", problems: list[str] | None = None) -> None:
        self.path, self.raw, self.name = path, raw, name
        self.problems: list[str] = [] if problems is None else problems
        self._taken: set[str] = set()

    def say(self, key: str, found: str) -> None:
        """Record a problem at `key`."""
        self.problems.append(f"{self.name}{'.' if self.name and key else ''}{key}: {found}")

    def text(self, key: str, *, needed: bool = False, slug: bool = False, exact: bool = False) -> str:
        """Text at `key`; dates count as text, and `slug` asks for small letters, digits and hyphens.

        Blanks at the ends are dropped, unless the text must be `exact`: folders begin and end with blanks, too.
        """
        self._taken.add(key)
        value = self.raw.get(key, "")
        if isinstance(value, date):
            value = value.isoformat()
        if not isinstance(value, str):
            self.say(key, f"is {value!r}, should be text between quotes")
            return ""
        if needed and not value.strip():
            self.say(key, "is missing")
        elif slug and value and not is_slug(value):
            self.say(key, f'is {value!r}, should be small letters, digits and hyphens, such as "{slugged(value)}"')
        return value if exact else value.strip()

    def choice(self, key: str, known: tuple[str, ...]) -> str:
        """Text at `key`, one of `known` or empty."""
        value = self.text(key)
        if value and value not in known:
            self.say(key, f"is {value!r}, should be {' or '.join(known)}")
            return ""
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """List of text at `key`."""
        self._taken.add(key)
        value = self.raw.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.say(key, f'is {value!r}, should be a list of text, such as ["s1-rep1"]')
            return ()
        return tuple(value)

    def flag(self, key: str) -> bool:
        """True or false at `key`; false where it is missing."""
        self._taken.add(key)
        value = self.raw.get(key, False)
        if not isinstance(value, bool):
            self.say(key, f"is {value!r}, should be true or false")
        return bool(value)

    def number(self, key: str, low: float, high: float) -> float | None:
        """Number at `key` from `low` to `high`, or None."""
        self._taken.add(key)
        value = self.raw.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.say(key, f"is {value!r}, should be a number from {low:g} to {high:g}")
            return None
        return float(value)

    def quantity(self, key: str, unit: str, *, needed: bool = False) -> float | None:
        """Quantity at `key`, written with a unit, as a number in `unit`; None where it is missing or wrong."""
        text = self.text(key, needed=needed)
        try:
            return units.quantity(text, unit, key) if text else None
        except UnitError as error:
            self.say(key, f"{error.found}. {error.fix}")
            return None

    def column(self, key: str) -> tuple[str, str] | None:
        """``"name [unit]"`` at `key` as a pair, or None."""
        text = self.text(key)
        try:
            return units.column(text, key) if text else None
        except UnitError as error:
            self.say(key, f"{error.found}. {error.fix}")
            return None

    def child(self, key: str) -> Table:
        """The table at `key`, empty where it is missing."""
        self._taken.add(key)
        value = self.raw.get(key, {})
        if not isinstance(value, dict):
            self.say(key, "should be a table")
            value = {}
        return Table(self.path, value, f"{self.name}.{key}".strip("."), self.problems)

    def children(self, key: str) -> list[Table]:
        """The tables written as ``[[key]]``."""
        self._taken.add(key)
        value = self.raw.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.say(key, f"should be written as [[{key}]]")
            value = []
        return [
            Table(self.path, item, f"{self.name}.{key}[{number}]".strip("."), self.problems)
            for number, item in enumerate(value, 1)
        ]

    def done(self) -> None:
        """Record every key that nobody asked for."""
        for key in sorted(self.raw.keys() - self._taken):
            self.say(key, f"is unknown; known here are {', '.join(sorted(self._taken))}")


def is_slug(name: str) -> bool:
    """True for small letters and digits, with single hyphens or dots between them."""
    return _SLUG.fullmatch(name) is not None


def slugged(name: str) -> str:
    """`name` in small letters, digits and hyphens: ``CD166/19 S1`` becomes ``cd166-19-s1``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
