"""Numbers as files write them: counts, which must come out exactly, and settings, which may have a decimal comma."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from corebank.errors import ReadError
from corebank.readers.spectrum import NAN

FIX_COPY = "Copy it from the scanner again; it was cut short or changed"

_NUMBER = re.compile(r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_BYTES_OF_NUMBERS = b"0123456789+-.eE \t\r\n\v\f"


def exact(fields: Sequence[bytes], where: str) -> np.ndarray:
    """Counts (channel,) uint32 [count] from their text: ``12``, ``12.`` and ``12.000`` are twelve.

    Raises `ReadError` that names the first channel (from 0) whose text is no count: no number, not whole, below 0, or
    more than 32 bits hold.
    """
    if not fields:
        raise ReadError(where, "holds no counts", FIX_COPY)
    text = b" ".join(fields)
    values = plain(text)
    if values is None:
        values = _floats(fields, where)
    elif values.size != len(fields):  # an empty cell of a table, or two numbers in one
        raise _no_count(next(i for i, one in enumerate(fields) if not one.isdigit()), fields, where)
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
    if not text.strip():
        return NAN
    if not _NUMBER.fullmatch(text.strip()):
        raise ReadError(where, f"{field} holds {text.strip()!r}, not a number", FIX_COPY)
    return float(text.replace(",", "."))


def total(text: str, counted: np.ndarray, times: Sequence[float], where: str, field: str) -> float:
    """Counts in all by a rate in the file, taken over the one of `times` [s] that fits best; NaN where it has none.

    Where rate and counts agree to the last digit that the file writes, the sum of `counted` itself.
    """
    rate, sum_ = number(text, where, field), float(counted.sum(dtype=np.int64))
    readings = [(abs(rate * time - sum_), rate * time, time) for time in times if time > 0]
    if not rate >= 0 or not readings:
        return NAN
    decimals = len(re.split("[.,]", text.strip())[1]) if re.fullmatch(r"\d+[.,]\d+", text.strip()) else 0
    away, nearest, time = min(readings)
    return sum_ if away <= 0.5 * 10**-decimals * time else nearest


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
    for channel, field in enumerate(fields):
        if field.translate(None, _BYTES_OF_NUMBERS):
            raise _no_count(channel, fields, where)
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
