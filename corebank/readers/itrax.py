"""Cox Analytical Itrax: single spectra (``L000000.spe``, also under ``.txt`` names), as the scanner writes them.

Layout and traps were read off 3,418 real spectra of two scanner set-ups (2008, 1024 channels; 2020, 2048 channels):
header items end in a bare CR, table lines in CRLF or LF; the header's keV/channel is a placeholder (0 and 1), so the
energy axis comes from the result table or the settings file (`corebank.readers.itrax_tables`); project, sample and
section names are constants, so core and section come from the folder; the ``comments`` field does not always agree
with the result table's ``validity``, which is the one to use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from corebank.errors import ReadError
from corebank.readers.files import File

_TABLE = b"channel\tcontent"
_FIX_COPY = "Copy it from the scanner again; it was cut short or changed"


@dataclass(frozen=True, slots=True)
class Spectrum:
    """One spectrum file, as found: header fields as text, counts (channel,) uint32."""

    file: File
    header: Mapping[str, str]
    counts: np.ndarray

    def number(self, key: str) -> float:
        """Header field `key` as a number, NaN when it is empty or absent; raises `ReadError` when it is no number."""
        text = self.header.get(key, "").strip()
        try:
            return float(text) if text else float("nan")
        except ValueError as error:
            raise ReadError(self.file.name, f"header field {key!r} is {text!r}, not a number", _FIX_COPY) from error


def is_spectrum(content: bytes) -> bool:
    """True for the bytes of an Itrax spectrum, whatever its name: a header item per CR, then a channel table."""
    return content.startswith(b"Date:\t") and _TABLE in content[:8192]


def is_sum(file: File) -> bool:
    """True for a sum spectrum: it has the layout of a scan point, and the settings and position of none."""
    return file.stem.lower().startswith("sumspectra")


def parse(file: File) -> Spectrum:
    """Read one Itrax spectrum.

    Returns
    -------
    Spectrum
        ``counts`` (channel,) uint32 [count], bit for bit what the file holds, and the header's fields as text
        (colons and blanks after a key removed).

    Raises
    ------
    ReadError
        The file is not an Itrax spectrum, was cut short, holds a count that is negative or no whole number, or adds
        up to more than its own ``events_in_run``.
    """
    content, where = file.content, file.name
    start = content.find(_TABLE)
    end_of_header = content.find(b"\r", start)
    if not is_spectrum(content) or end_of_header < 0:
        raise ReadError(
            where,
            "no Itrax header with a 'channel content' table",
            "Give the raw .spe; Results.txt holds peak areas only",
        )
    header = _header(content[:start])
    counts = _counts(content[end_of_header + 1 :].removeprefix(b"\n"), header, where)
    spectrum = Spectrum(file, header, counts)
    events = spectrum.number("events_in_run")
    if counts.sum(dtype=np.int64) > events:  # events above the last channel are counted too, so a sum may be smaller
        raise ReadError(
            where,
            f"the channels add up to {counts.sum(dtype=np.int64)}, more than events_in_run = {events:.0f}",
            "Copy it from the scanner again; a sum of several spectra is no scan point",
        )
    return spectrum


def _header(content: bytes) -> dict[str, str]:
    header: dict[str, str] = {}
    for item in re.split(rb"[\r\n]+", content):
        key, _, rest = item.decode("latin-1").partition("\t")
        if key.strip():
            header[key.rstrip(": ")] = rest.split("\t")[0].strip()
    return header


def _counts(body: bytes, header: Mapping[str, str], where: str) -> np.ndarray:
    try:
        expected = int(float(header["number_mca_channels"]))
    except (KeyError, ValueError, OverflowError) as error:
        raise ReadError(where, "the header has no number_mca_channels", _FIX_COPY) from error
    if expected < 1:
        raise ReadError(where, f"the header says number_mca_channels = {expected}", _FIX_COPY)
    # A prefix that ends inside the last number, or just before its line end, must not pass for a whole file.
    if not body.endswith(b"\n"):
        raise ReadError(where, "the channel table ends in the middle of a line", _FIX_COPY)
    fields = body.split()
    if len(fields) != 2 * expected:
        raise ReadError(where, f"{len(fields) / 2:g} of {expected} channels", _FIX_COPY)
    try:
        table = np.array(fields, dtype=np.float64).reshape(expected, 2)
    except ValueError as error:
        raise ReadError(where, f"the channel table holds something that is no number ({error})", _FIX_COPY) from error
    if not np.array_equal(table[:, 0], np.arange(1, expected + 1)):
        raise ReadError(where, f"the channels are not numbered 1 to {expected}", _FIX_COPY)
    counts = table[:, 1]
    whole = np.isfinite(counts) & (counts >= 0) & (counts <= np.iinfo(np.uint32).max) & (counts == np.floor(counts))
    if not whole.all():
        channel = int(np.argmin(whole))
        raise ReadError(where, f"channel {channel + 1} holds {counts[channel]:g}, which is no count", _FIX_COPY)
    return counts.astype(np.uint32)
