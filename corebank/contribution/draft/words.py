"""Lines of a drafted ``contribution.toml``: values, and comments that say where a guess came from."""

from __future__ import annotations

import json
import re

BLANK = "# fill in"
"""What only a person can know."""

GUESS = "# guess"
"""What the folder suggests."""

_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def quoted(text: str) -> str:
    """`text` as a TOML string; halves of characters, which no TOML file can hold, become question marks."""
    whole = re.sub(r"[\ud800-\udfff]", "?", text)
    return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")


def key(name: str) -> str:
    """`name` as a TOML key."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else quoted(name)


def comment(text: str) -> str:
    """`text` in one line of a comment."""
    return "# " + _UNSEEN.sub(" ", text)


def fact(name: str, value: str) -> str:
    """A line that the folder itself states."""
    return f"{key(name)} = {quoted(value)}"


def guess(name: str, value: str, why: str) -> str:
    """A line that the folder suggests, with the reason."""
    return f"{fact(name, value)}  {GUESS}: {_UNSEEN.sub(' ', why)}"


def blank(name: str, what: str) -> str:
    """A line that a person must fill in."""
    return f'{key(name)} = ""  {BLANK}: {what}'


def length(millimetres: float) -> str:
    """A length for the file; scanners place a spectrum to a tenth of a millimetre."""
    return f"{round(millimetres, 1):g} mm" if abs(millimetres) < 1e5 else f"{millimetres:.1f} mm"
