"""The channel table of an Itrax spectrum as the scanner itself spells it, read in words of 8 bytes.

Each line is ``31.000<TAB>4711.000<CR><LF>``, the channels numbered from 1. All lines are looked at side by side: the 8
bytes in front of the last decimal point hold the count's digits, and arithmetic on whole words makes a number of them
(as in Lemire 2022, https://lemire.me/blog/2022/01/21/swar-explained-parsing-eight-digits/). Read one by one, as text,
they were the largest part of reading a file, and took more than twice as long.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

_WORD = 8
"""Bytes of a word, and the most digits that a count may have here."""

_MOST = 9999
"""Channels, so that a line's beginning is one word and a tab."""


class _Beginnings(NamedTuple):
    """How the lines of a table begin, up to the count; all over (channel,)."""

    length: np.ndarray
    """Bytes, the tab included."""
    word: np.ndarray
    """The first 8 of them, little-endian; 0 where there are fewer."""
    mask: np.ndarray
    """The bits of `word` that belong to the beginning."""


def usual_table(content: bytes, start: int, channels: int) -> np.ndarray | None:
    """The counts (channel,) uint32 of the table that begins at byte `start`, or None where it is spelt otherwise.

    None says no more than that: the numbers may be written as ``12``, have nine digits, or be damaged. What is returned
    is what stands there: each line was seen to be its channel's number, a tab and a count, and nothing else.
    """
    text = np.frombuffer(content, dtype=np.uint8)
    ends = np.flatnonzero(text[start:] == ord("\n")) + start
    if ends.size != channels or channels > _MOST or start < _WORD:
        return None
    begins = np.empty_like(ends)
    begins[0], begins[1:] = start, ends[:-1] + 1
    line = _beginnings(channels)
    behind = b".000\r\n" if content[ends[0] - 1 : ends[0]] == b"\r" else b".000\n"
    point = ends + 1 - len(behind)
    digits = point - begins - line.length
    if digits.min() < 1 or digits.max() > _WORD or (text[begins + line.length - 1] != ord("\t")).any():
        return None
    words = np.ndarray(text.size - _WORD + 1, dtype="S8", buffer=content, strides=(1,))  # one from each byte on
    if ((_numbers(words[begins]) & line.mask) != line.word).any():
        return None
    if (_numbers(words[ends + 1 - _WORD]) >> np.uint64(8 * (_WORD - len(behind))) != _number(behind)).any():
        return None
    unused = (8 * (_WORD - digits)).astype(np.uint64)  # bits of what stands in front of the count
    values = (_numbers(words[point - _WORD]) ^ np.uint64(0x3030303030303030)) >> unused << unused
    if ((values | values + np.uint64(0x7676767676767676)) & np.uint64(0x8080808080808080)).any():
        return None  # a byte above 9 was no digit
    for power, mask in ((1, 0x00FF00FF00FF00FF), (2, 0x0000FFFF0000FFFF), (4, 0x00000000FFFFFFFF)):
        values = (values * np.uint64(10**power) + (values >> np.uint64(8 * power))) & np.uint64(mask)
    counts: np.ndarray = values.astype(np.uint32)
    return counts


@lru_cache(maxsize=8)
def _beginnings(channels: int) -> _Beginnings:
    lines = [b"%d.000\t" % channel for channel in range(1, channels + 1)]
    return _Beginnings(
        np.array([len(line) for line in lines]),
        np.array([_number(line[:_WORD]) for line in lines]),
        np.array([_number(b"\xff" * len(line[:_WORD])) for line in lines]),
    )


def _number(word: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(word, "little"))


def _numbers(words: np.ndarray) -> np.ndarray:
    return words.view("<u8")
