"""A card as one HTML page that a browser opens from a disk or an e-mail: nothing in it comes from elsewhere.

It looks like the page of ``corebank check`` and uses its style sheet and its drawing (`corebank.page`). Names and
citations are a stranger's words: the template engine escapes everything, control characters are replaced, and the
page's own security policy forbids scripts, requests and every style sheet but its own.
"""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from registry.card_blocks import Block, Card, Code, Strong

_UNSEEN = {"Cc", "Cs", "Cf", "Cn", "Zl", "Zp"}
"""Kinds of characters that are no text: control characters, halves of characters, marks that turn the direction."""


def html(card: Card) -> str:
    """The card as one HTML document; it has no script and no link out, follows the reader's scheme, and prints."""
    style = files("corebank.page").joinpath("report.css").read_text(encoding="utf-8")
    style += Path(__file__).with_name("card.css").read_text(encoding="utf-8")
    page = _template().render(
        card=card,
        style=Markup(style),  # noqa: S704 - our own files, not a stranger's words
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )
    return "".join(_seen(letter) for letter in page)


def _seen(letter: str) -> str:
    visible = letter == "\n" or unicodedata.category(letter) not in _UNSEEN
    return letter if visible else "\N{REPLACEMENT CHARACTER}"


def _kind(block: Block) -> str:
    """Name of a block's class, which the template asks for."""
    return type(block).__name__


def _word(text: str) -> Markup:
    """A cell, with its emphasis as an element."""
    if isinstance(text, Strong):
        return Markup("<strong>{}</strong>").format(str(text))
    return Markup("<code>{}</code>").format(str(text)) if isinstance(text, Code) and text else Markup.escape(text)


@lru_cache(maxsize=1)
def _template() -> Template:
    folder = Path(__file__).parent
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8")),
    )
    environment.filters.update(kind=_kind, word=_word)
    return environment.get_template("card.html")
