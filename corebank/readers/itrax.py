"""Cox Analytical Itrax: single spectra (``L000000.spe``, also under ``.txt`` names), as the scanner writes them.

Layout and traps were read off 3,418 real spectra of two scanner set-ups (2008, 1024 channels; 2020, 2048 channels):
header items end in a bare CR, table lines in CRLF or LF; the header's keV/channel is a placeholder (0 and 1), so the
energy axis comes from the result table or the settings file (`corebank.readers.itrax_tables`); project, sample and
section names are constants, so core and section come from the folder; the ``comments`` field does not always agree
with the result table's ``validity``, which is the one to use.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from corebank.errors import ReadError
from corebank.readers.counts import FIX_COPY, plain
from corebank.readers.counts import number as setting
from corebank.readers.files import File, stem
from corebank.readers.itrax_counts import usual_table
from corebank.readers.spectrum import Spectrum

_TABLE = b"channel\tcontent"


def is_spectrum(head: bytes) -> bool:
    """True for the first bytes of an Itrax spectrum, whatever its name: a header item per CR, then a channel table."""
    return head.startswith(b"Date:\t") and _TABLE in head[:8192]


def is_sum(name: str) -> bool:
    """True for the name of a sum spectrum: it has the layout of a scan point, and the settings and position of none."""
    return stem(name).lower().startswith("sumspectra")


def parse(file: File) -> list[Spectrum]:
    """Read one Itrax spectrum.

    Returns
    -------
    list of one Spectrum
        ``counts`` (channel,) uint32 [count], bit for bit what the file holds; ``total`` is ``events_in_run``. The
        header's fields are kept as text, colons and blanks after a key removed.

    Raises `ReadError` when the file is no Itrax spectrum, was cut short, or holds something that is no count.
    """
    where, at = file.name, file.content.find(_TABLE)
    start = file.content.find(b"\r", at) + 1
    if at < 0 or start == 0:
        raise ReadError(where, "no 'channel, content' table under a header", "Give the raw .spe, not the result table")
    header = _header(file.content[:at])

    def number(key: str) -> float:
        return setting(header.get(key, ""), where, f"header field {key!r}")

    return [
        Spectrum(
            source=where,
            sha256=file.sha256,
            counts=_counts(file.content, start, header, where),
            position=number("Position"),
            live_time=number("livetime"),
            real_time=number("runtime"),
            tube_voltage=number("Tube voltage"),
            tube_current=number("Tube current"),
            total=number("events_in_run"),
            day=header.get("Date", ""),
            clock=header.get("Time", ""),
            anode=header.get("Tube anode", ""),
            in_position=header.get("comments", "") != "not in position",
            header=header,
        )
    ]


def rates_mislabelled(spectrum: Spectrum) -> bool:
    """True when the header's ``input_count_rate``, always labelled cps, is plainly in thousands per second.

    A detector's input rate is never below what it counted, dead time or not; the files of 2008 say 1/1000 of it.
    """
    try:
        rate = float(spectrum.header.get("input_count_rate", ""))
    except ValueError:
        return False
    counted = float(spectrum.counts.sum(dtype=np.int64)) / spectrum.real_time if spectrum.real_time > 0 else 0.0
    return 0 < rate < counted / 100


def _header(content: bytes) -> dict[str, str]:
    header: dict[str, str] = {}
    for item in content.decode("latin-1").replace("\n", "\r").split("\r"):
        key, _, rest = item.partition("\t")
        if key.strip():
            header[key.rstrip(": ")] = rest.partition("\t")[0].strip()
    return header


def _counts(content: bytes, start: int, header: Mapping[str, str], where: str) -> np.ndarray:
    try:
        expected = int(float(header["number_mca_channels"]))
    except (KeyError, ValueError, OverflowError) as error:
        raise ReadError(where, "the header has no number_mca_channels", FIX_COPY) from error
    if expected < 1:
        raise ReadError(where, f"the header says number_mca_channels = {expected}", FIX_COPY)
    # A prefix that ends inside the last number, or just before its line end, must not pass for a whole file.
    if not content.endswith(b"\n", start):
        raise ReadError(where, "the channel table ends in the middle of a line", FIX_COPY)
    counts = usual_table(content, start, expected)
    if counts is not None:
        return counts
    table = plain(content[start:])
    if table is None or table.size != 2 * expected:
        table = _careful(content[start:], expected, where)
    channels, counts = table.reshape(expected, 2).T
    if not np.array_equal(channels, np.arange(1, expected + 1)):
        raise ReadError(where, f"the channels are not numbered 1 to {expected}", FIX_COPY)
    if counts.max() > np.iinfo(np.uint32).max:
        raise ReadError(where, f"channel {int(np.argmax(counts)) + 1} holds more than a bank can", FIX_COPY)
    return counts.astype(np.uint32)


def _careful(body: bytes, expected: int, where: str) -> np.ndarray:
    """The table's numbers, however they are written; raises `ReadError` that says what is wrong with them."""
    fields = body.split()
    if len(fields) != 2 * expected:
        raise ReadError(where, f"{len(fields) / 2:g} of {expected} channels", FIX_COPY)
    try:
        table = np.array(fields, dtype=np.float64).reshape(expected, 2)
    except ValueError as error:
        raise ReadError(where, f"the channel table holds something that is no number ({error})", FIX_COPY) from error
    counts = table[:, 1]
    whole = ((table >= 0) & (table < 2**63) & (table == np.floor(table))).all(axis=1)  # NaN is not >= 0
    if not whole.all():
        channel = int(np.argmin(whole))
        raise ReadError(
            where, f"line {channel + 1} of the table holds {counts[channel]:g}, which is no count", FIX_COPY
        )
    return table.astype(np.int64)
