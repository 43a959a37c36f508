"""What a card is made of, whatever it is written as: sections of paragraphs, commands, lists, tables and pictures.

All text in them is plain text. Names of cores, licences and citations are a stranger's words, and only who writes the
card (`registry.card_markdown`, `registry.card_html`) knows what must be escaped there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup


class Strong(str):
    """A word that must not be overlooked."""

    __slots__ = ()


class Code(str):
    """A word that is typed, or an identifier."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Words:
    """A paragraph."""

    text: str
    strong: bool = False
    """True where it must not be overlooked."""


@dataclass(frozen=True, slots=True)
class Command:
    """What is typed in a shell, or text that keeps its lines."""

    text: str


@dataclass(frozen=True, slots=True)
class Points:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; its first column names the rows."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: int = 0
    """So many of the last columns are numbers."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing; `caption` says in words what it shows, for who cannot see it."""

    svg: Markup
    caption: str


Block = Words | Command | Points | Table | Picture


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what stands below it."""

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        """Its name in a link."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A whole card."""

    title: str
    summary: str
    """What the model is, in a sentence."""
    standing: str
    """What the gate said and which alias it has, in a sentence."""
    refused: bool
    """Whether the gate had refused it."""
    sections: Sequence[Section]
