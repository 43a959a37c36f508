"""A card as Markdown, as MLflow shows it beside a version and GitHub in ``registry/cards``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from registry.card_blocks import Block, Card, Code, Command, Picture, Points, Strong, Table, Words

_MARKUP = re.compile(r"([\\`*_\[\]<>|#~])")
"""What Markdown would take for its own."""


def markdown(card: Card) -> str:
    """The card as one Markdown document; pictures are left out, their numbers stand in its tables."""
    parts = [f"# {_text(card.title)}", _text(card.summary), _text(card.standing)]
    for section in card.sections:
        parts.append(f"## {_text(section.title)}")
        parts += [_block(block) for block in section.blocks if not isinstance(block, Picture)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(block: Block) -> str:
    match block:
        case Words(text, strong):
            return f"**{_text(text)}**" if strong else _text(text)
        case Command(text):
            return "\n".join(f"    {line}" for line in text.splitlines())
        case Points(items):
            return "\n".join(f"- {_text(item)}" for item in items)
        case Table(caption, head, rows):
            lines = [_line(head), _line(["---"] * len(head), raw=True), *(_line(row) for row in rows)]
            return "\n\n".join(filter(None, (_text(caption), "\n".join(lines))))
    raise AssertionError(block)


def _line(cells: Sequence[str], *, raw: bool = False) -> str:
    return f"| {' | '.join(cell if raw else _text(cell) for cell in cells)} |"


def _text(text: str) -> str:
    """`text` on one line, with nothing in it that Markdown or HTML would take for its own."""
    line = " ".join(text.split())
    if isinstance(text, Code):
        return f"`{line.replace('`', chr(39)).replace('|', '/')}`" if line else ""
    escaped = _MARKUP.sub(r"\\\1", line)
    return f"**{escaped}**" if isinstance(text, Strong) and escaped else escaped
