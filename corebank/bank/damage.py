"""One thing that is wrong with what a bank holds, and how it is told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from corebank.errors import CorebankError

DIGEST = "digest"
"""Key of a commit's metadata: the hash that `signed` puts there."""

_HEX = 64
"""Hexadecimal digits of a SHA-256."""

_LONGEST = 300
"""Characters of another library's message that are told; some print what they were given."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One place of a bank that does not hold what was written there."""

    where: str
    """``expedition/run``, or another group, commit or release."""
    array: str
    """Array or column of the group; empty where the group itself is wrong."""
    chunk: tuple[int, ...] | None
    """Place of the chunk in the array's grid of chunks; None where no single chunk is at fault."""
    rows: tuple[int, int] | None
    """First and last row that are at fault, both counted from 0; None where no rows are."""
    found: str

    def __str__(self) -> str:
        place = [self.where, *([self.array] if self.array else [])]
        if self.chunk is not None:
            place.append(f"chunk {'/'.join(map(str, self.chunk))}")
        if self.rows is not None:
            first, last = self.rows
            place.append(f"row {first}" if first == last else f"rows {first} to {last}")
        return f"{', '.join(place)}: {self.found}"


def told(error: Exception) -> str:
    """An error as words on one line; of a `CorebankError` what was found, since a fault says where itself."""
    text = error.found if isinstance(error, CorebankError) else f"cannot be read ({type(error).__name__}: {error})"
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def signed(message: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """A commit's metadata, with a hash over them and its message as `DIGEST`; Icechunk keeps no checksum of either."""
    return {**about, DIGEST: _digest(message, about)}


def is_changed(message: str, about: Mapping[str, Any]) -> bool:
    """Whether a commit says anything else than what was `signed`; one that never was passes."""
    texts = [one for one in about.values() if isinstance(one, str) and len(one) == _HEX]
    held = about.get(DIGEST, texts[0] if texts else None)  # the name of a key can change, too
    return held is not None and held != _digest(message, about)


def _digest(message: str, about: Mapping[str, Any]) -> str:
    said = {key: value for key, value in about.items() if key != DIGEST}
    return hashlib.sha256(json.dumps([message, said], sort_keys=True, separators=(",", ":")).encode()).hexdigest()
