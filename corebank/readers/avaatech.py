"""Avaatech ``.spe``: a ``$KEY:`` line, then its value on the next line, then ``$DATA:`` and the counts.

Layout after the public description of the format (brianlevay/xrf-filetools) and the archives behind MAX (arXiv
2410.12330); the family is that of the IAEA's SPE files. Fields without a value are left out, keys and all, so nothing
is found by its line number; numbers may have a decimal comma. The files carry no energy calibration: it comes from
``contribution.toml``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from corebank.errors import ReadError
from corebank.readers.files import File

_FIX_COPY = "Copy it from the scanner again; it was cut short or changed"

_NAME_DEPTH = re.compile(r"(?P<depth>\d+(?:[.,]\d+)?)\s*mm\b")
_NAME_FILTER = re.compile(r"\d\s*uA[ !]+(?P<filter>[A-Za-z][\w-]*)")


@dataclass(frozen=True, slots=True)
class Spectrum:
    """One spectrum file, as found: ``$`` keys without the ``$`` and the colon, counts (channel,) uint32."""

    file: File
    header: Mapping[str, str]
    counts: np.ndarray

    def number(self, key: str, field: int = 0) -> float:
        """Number `field` of header value `key`, NaN when absent; raises `ReadError` when it is not a number."""
        parts = self.header.get(key, "").replace(",", ".").split()
        if len(parts) <= field:
            return float("nan")
        try:
            return float(parts[field])
        except ValueError as error:
            raise ReadError(self.file.name, f"${key}: holds {self.header[key]!r}, not a number", _FIX_COPY) from error

    @property
    def position(self) -> float:
        """Position inside the section [mm]: ``$Depth``, or the first length in the file's name; NaN when neither."""
        depth = self.number("Depth")
        named = _NAME_DEPTH.search(self.file.stem)
        return depth if np.isfinite(depth) or not named else float(named["depth"].replace(",", "."))

    @property
    def filter(self) -> str:
        """Primary filter, which only the file's name tells: ``none``, ``Pd-Thin`` ..., or "" where it does not."""
        named = _NAME_FILTER.search(self.file.stem)
        return "" if not named else "none" if named["filter"].lower() == "no-filter" else named["filter"]


def is_spectrum(content: bytes) -> bool:
    """True for the bytes of an Avaatech spectrum: the first line is a ``$KEY:``, and counts follow a ``$DATA:``."""
    return re.match(rb"\s*\$\w+:", content) is not None and re.search(rb"^\$DATA:", content, re.MULTILINE) is not None


def parse(file: File) -> Spectrum:
    """Read one Avaatech spectrum; counts (channel,) uint32 [count], bit for bit what the file holds.

    Raises `ReadError` when the file is no such spectrum, was cut short, or holds something that is no count.
    """
    where = file.name
    if not is_spectrum(file.content):
        raise ReadError(where, "no $DATA: section under $KEY: lines", "Give the raw .spe of the scanner")
    # Lines that end in CRLF must not pass for whole when the last LF is gone.
    if not file.content.endswith(b"\n" if b"\n" in file.content else b"\r"):
        raise ReadError(where, "the file ends in the middle of a line", _FIX_COPY)
    header: dict[str, str] = {}
    data: list[str] = []
    key = ""
    for line in file.content.decode("latin-1").splitlines():
        if line.startswith("$"):
            key = line[1:].strip().rstrip(":")
        elif key == "DATA":
            data.extend(line.split())
        elif key and key not in header:
            header[key] = line.strip()
    return Spectrum(file, header, _counts(data, where))


def _counts(fields: list[str], where: str) -> np.ndarray:
    try:
        first, last = int(fields[0]), int(fields[1])
        counts = np.array(fields[2:], dtype=np.int64)
    except (IndexError, ValueError, OverflowError) as error:
        raise ReadError(where, f"$DATA: holds no channel range and whole counts ({error})", _FIX_COPY) from error
    if first != 0 or counts.size != last - first + 1:
        raise ReadError(where, f"{counts.size} of {last - first + 1} channels from channel {first}", _FIX_COPY)
    if counts.size == 0 or counts.min() < 0 or counts.max() > np.iinfo(np.uint32).max:
        raise ReadError(where, "$DATA: holds a number that is no count", _FIX_COPY)
    return counts.astype(np.uint32)
