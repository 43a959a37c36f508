"""Numbers as files write them: counts, which must come out exactly, and settings, which may have a decimal comma."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from corebank.errors import ReadError
from corebank.readers.spectrum import NAN

FIX_COPY = "Copy it from the scanner again; it was cut short or changed"

_NUMBER = re.compile(r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_LARGEST = 1e30
"""No setting or area is larger; anything below can be multiplied with another without leaving float64."""
_BYTES_OF_NUMBERS = b"0123456789+-.eE \t\r\n\v\f"


def exact(fields: Sequence[bytes], where: str) -> np.ndarray:
    """Counts (channel,) uint32 [count] from their text: ``12``, ``12.`` and ``12.000`` are twelve.

    Raises `ReadError` that names the first channel (from 0) whose text is no count: no number, not whole, below 0, or
    more than 32 bits hold.
    """
    if not fields:
        raise ReadError(where, "holds no counts", FIX_COPY)
    text = b" ".join(fields) + b" "
    points = text.count(b".")
    for end in (b".000 ", b".0 ", b". "):
        if points and text.count(end) == points:  # all written in one way, so that nothing else has a point
            text = text.replace(end, b" ")
            break
    values = plain(text)
    if values is None or values.size != len(fields):  # fewer: an empty cell of a table; more: two numbers in one
        values = _floats(fields, where)
    whole = np.isfinite(values) & (values >= 0) & (values <= np.iinfo(np.uint32).max) & (values == np.floor(values))
    if not whole.all():
        raise _no_count(int(np.argmin(whole)), fields, where)
    return values.astype(np.uint32)


def plain(text: bytes) -> np.ndarray | None:
    """The numbers of a text that is nothing but digits and white space, int64; None for any other text.

    Ten times as fast as floats one by one. A number beyond int64 reads as its largest, which is no count either.
    """
    if text.translate(None, b"0123456789 \t\r\n") or not text.strip():
        return None
    return np.fromstring(text, dtype=np.int64, sep=" ")


def number(text: str, where: str, field: str) -> float:
    """A setting: NaN for empty text; ``0,150`` is 0.15. Raises `ReadError` naming `field` when it is no number."""
    text = text.strip()
    if not text:
        return NAN
    if not _NUMBER.fullmatch(text) or abs(value := float(text.replace(",", "."))) > _LARGEST:
        raise ReadError(where, f"{field} holds {text[:40]!r}, not a number", FIX_COPY)
    return value


def total(text: str, counted: np.ndarray, live: float, real: float, where: str, field: str) -> float:
    """Counts in all by a rate in the file, NaN where it has none.

    Archives do not agree over which time the rate is taken, or whether it is one: of rate times live time [s], rate
    times real time [s] and the number itself, the one that lies nearest to the sum of `counted` is meant. Where that
    agrees with the sum as exactly as the file writes it, the sum is returned, so that agreement can be tested by
    equality: a live time is preset and exact, a real time is rounded and its rate comes from a counter of its own.
    """
    rate, counts = number(text, where, field), float(counted.sum(dtype=np.int64))
    if not rate >= 0:
        return NAN
    exact_to = 0.5 * 10.0 ** -_decimals(text)
    blurred = 0.5 * 10.0 ** -_decimals(f"{real:g}") * rate + 4 * np.sqrt(counts)
    readings = [(live, exact_to * live), (1.0, exact_to), (real, exact_to * real + blurred)]
    time, within = min(
        ((time, within) for time, within in readings if time > 0), key=lambda one: abs(rate * one[0] - counts)
    )
    return counts if abs(rate * time - counts) <= within else rate * time


def _decimals(text: str) -> int:
    """Digits behind the decimal sign."""
    found = re.fullmatch(r"\s*\d+[.,](\d+)\s*", text)
    return len(found[1]) if found else 0


def require_line_end(content: bytes, where: str) -> None:
    """Raise `ReadError` when the last line has no end: its last number may have lost digits, and no one could tell."""
    if not content.endswith(b"\n" if b"\n" in content else b"\r"):
        raise ReadError(
            where,
            "the file ends in the middle of a line",
            "Copy it from the scanner again; if it is whole, save it with a line end after its last line",
        )


def is_detector_size(channels: int) -> bool:
    """True for the numbers of channels that multichannel analysers have: powers of two from 64 up.

    Files that tell neither how many channels follow nor where they end are held against this.
    """
    return channels >= 64 and channels & (channels - 1) == 0


def _floats(fields: Sequence[bytes], where: str) -> np.ndarray:
    # float() takes more than files write: underscores, "infinity", digits of every script.
    if b"".join(fields).translate(None, _BYTES_OF_NUMBERS):
        raise _no_count(
            next(i for i, one in enumerate(fields) if one.translate(None, _BYTES_OF_NUMBERS)), fields, where
        )
    try:
        return np.array(fields, dtype=np.float64)
    except ValueError:
        raise _no_count(next(i for i, one in enumerate(fields) if not _is_float(one)), fields, where) from None


def _is_float(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _no_count(channel: int, fields: Sequence[bytes], where: str) -> ReadError:
    shown = fields[channel][:40].decode("latin-1")
    return ReadError(where, f"channel {channel} holds {shown!r}, which is no count", FIX_COPY)
