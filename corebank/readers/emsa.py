"""EMSA/MAS text (ISO 22029; ``.msa``, also under ``.txt``): ``#KEY : value`` lines, then one spectrum or several.

Read off the 36 spectra of reference sediments of a Horiba XGT-7200 (``keV, counts`` pairs, ``NPOINTS : 4096.``) and
the description of the files of PIXL (``#SPECTRUM`` without a colon, no energy axis, one file per detector, or both
detectors beside one another as ``YY``). ``##`` marks keys that the standard does not know; a unit may stand behind a
key (``#BEAMKV -kV:``, ``#XPOSITION mm:``) or behind a value (``10.0 eV per channel``).

A cut shows by ``#NPOINTS`` or ``#ENDOFDATA`` (PIXL writes the former alone, so a file with it is whole without the
other) and by the end of the last line. Files with neither key are taken only with a number of channels that detectors
have (`corebank.readers.counts.is_detector_size`): a power of two. Blank lines after the data are no part of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import numpy as np

from corebank.errors import ReadError
from corebank.readers.counts import FIX_COPY, exact, is_detector_size, number, require_line_end
from corebank.readers.files import File
from corebank.readers.spectrum import NAN, Spectrum

_FIRST_LINE = re.compile(rb"(?:\xef\xbb\xbf)?\s*#FORMAT[^\r\n:]*:[^\r\n]*EMSA/MAS", re.IGNORECASE)
_SPECTRUM = re.compile(rb"(?<=[\r\n])[ \t]*#SPECTRUM[^\r\n]*[\r\n]", re.IGNORECASE)
_END = re.compile(rb"(?:(?<=[\r\n])|\A)[ \t]*#ENDOFDATA", re.IGNORECASE)
_ITEM = re.compile(r"(##?)\s*([^\s:]+)\s*([^:]*?)\s*(?::(.*))?")
_VALUE = re.compile(r"[+-]?[\d.]+(?:[eE][+-]?\d+)?")
_UNIT = re.compile(r"[A-Za-zµ]+")
_RATE = re.compile(r"cps|/\s*s|per\s+s|s\^?-1", re.IGNORECASE)

MILLIMETRES = {"mm": 1.0, "cm": 10.0, "um": 1e-3, "µm": 1e-3, "m": 1000.0}
SECONDS = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3}
MILLIAMPERES = {"na": 1e-6, "ua": 1e-3, "µa": 1e-3, "ma": 1.0, "a": 1000.0}
"""``PROBECUR`` is in nA by the standard: the 714000 of an XGT-7200 are 0.714 mA."""
KILOVOLTS = {"kv": 1.0, "v": 1e-3}
KILOELECTRONVOLTS = {"kev": 1.0, "ev": 1e-3}
_BEYOND_XRAYS = 1e9
"""Larger energies, in eV or keV, are damage."""


def is_spectrum(head: bytes) -> bool:
    """True for the first bytes of an EMSA/MAS file: its first line is ``#FORMAT : EMSA/MAS ...``."""
    return _FIRST_LINE.match(head) is not None


def parse(file: File) -> list[Spectrum]:
    """Read one EMSA/MAS file.

    Returns
    -------
    list of Spectrum
        One, or for data of type ``YY`` one per column, whose ``source`` is ``name!A``, ``name!B`` ... and whose hash
        is that of the file and the letter. ``counts`` (channel,) uint32 [count]; ``gain`` and ``offset`` [keV] from
        ``XPERCHAN`` and ``OFFSET``, or from the energies beside the counts, NaN where the file has neither;
        ``position`` from ``XPOSITION`` (``DEPTH`` or ``POSITION`` among the ``##`` keys come first); ``detector`` from
        ``##DETECTOR_ID``. Energies without a unit are keV where a channel is narrower than one, eV otherwise: detector
        channels are 2 to 100 eV wide. ``header`` has every key in capitals, ``##`` included.

    Raises `ReadError` when the file is no such spectrum, was cut short, holds something that is no count, or holds
    energies that contradict its own header.
    """
    where = file.name
    if not is_spectrum(file.content):
        raise ReadError(where, "does not begin with #FORMAT : EMSA/MAS", "Give the .msa or .txt of the instrument")
    require_line_end(file.content, where)
    header, units, data, ended = _parts(file.content, where)
    if _RATE.search(header.get("YUNITS", "")):
        raise ReadError(where, f"YUNITS is {header['YUNITS']!r}: rates, not counts", "Export the counts themselves")
    columns, energies = _columns(header, data, ended, where)
    settings = _Settings(header, units, len(columns), where)
    found = []
    for column, words in enumerate(columns):
        detector = header.get("##DETECTOR_ID", "")
        letter = chr(ord("A") + column) if len(columns) > 1 else ""
        gain, offset = _axis(settings, energies, column, len(words))
        found.append(
            Spectrum(
                source=f"{where}!{letter}" if letter else where,
                sha256=hashlib.sha256(file.content + letter.encode()).hexdigest() if letter else file.sha256,
                counts=exact(words, where),
                position=settings.first(("##DEPTH", "##POSITION", "XPOSITION", "##XPOSITION"), MILLIMETRES, "mm"),
                live_time=settings.get("LIVETIME", SECONDS, "s", column),
                real_time=settings.get("REALTIME", SECONDS, "s", column),
                tube_voltage=settings.get("BEAMKV", KILOVOLTS, "kv", column),
                tube_current=settings.get("PROBECUR", MILLIAMPERES, "na", column),
                gain=gain,
                offset=offset,
                day=header.get("DATE", ""),
                clock=header.get("TIME", ""),
                detector=letter or detector,
                header=header,
            )
        )
    return found


class _Settings:
    """The header's numbers in units of the bank."""

    def __init__(self, header: Mapping[str, str], units: Mapping[str, str], columns: int, where: str) -> None:
        self.header, self.units, self.columns, self.where = header, units, columns, where

    def get(self, key: str, known: Mapping[str, float], usual: str, column: int = 0) -> float:
        """Number of `key` for one column of data, NaN where the file does not say; `usual` where it has no unit."""
        value, unit = self.parts(key, column)
        factor = known.get(unit.lower() or usual)
        if factor is None:
            raise ReadError(self.where, f"#{key} is in {unit!r}", f"Give it in one of {', '.join(known)}")
        return value * factor

    def first(self, keys: tuple[str, ...], known: Mapping[str, float], usual: str) -> float:
        """The first of `keys` that the file has."""
        return next((self.get(key, known, usual) for key in keys if self.header.get(key)), NAN)

    def parts(self, key: str, column: int = 0) -> tuple[float, str]:
        """Number of `key` and its unit: one value for all columns of data, or one for each between commas."""
        text = self.header.get(key, "")
        if self.columns == 1:
            text = re.sub(r"(\d),(\d)", r"\1.\2", text)  # a decimal comma
        behind = _VALUE.sub("", text).replace(",", " ").split()
        values = [part.split()[0] for part in text.split(",") if part.split()]
        value = values[min(column, len(values) - 1)] if values else ""
        unit = next((word for word in behind if _UNIT.fullmatch(word)), "")
        return number(value, self.where, f"#{key}"), self.units.get(key, "") or unit


def _parts(content: bytes, where: str) -> tuple[dict[str, str], dict[str, str], bytes, bool]:
    """The header's values and units by key, the data, and whether the file says that they ended."""
    begin = _SPECTRUM.search(content)
    if begin is None:
        raise ReadError(where, "there is no #SPECTRUM line above the data", FIX_COPY)
    header: dict[str, str] = {}
    units: dict[str, str] = {}
    for line in content[: begin.start()].removeprefix(b"\xef\xbb\xbf").splitlines():
        found = _ITEM.fullmatch(line.decode("latin-1").strip())
        if found:
            mark, key, unit, value = found.groups(default="")
            key = ("##" if mark == "##" else "") + key.upper()
            header.setdefault(key, value.strip())
            units.setdefault(key, unit.strip(" -()"))
    data = content[begin.end() :]
    at = data.find(b"#")  # searching from there saves a walk through all the data
    end = _END.search(data, max(0, at - 20)) if at >= 0 else None
    return header, units, data[: end.start()] if end else data, end is not None


def _columns(
    header: Mapping[str, str], data: bytes, ended: bool, where: str
) -> tuple[list[list[bytes]], np.ndarray | None]:
    """The counts' text, one list per detector, and the energies beside them as written (None where there are none)."""
    words = data.replace(b",", b" ").split()
    kind, points = header.get("DATATYPE", "").upper(), number(header.get("NPOINTS", ""), where, "#NPOINTS")
    first, *_ = [line for line in data[:1000].replace(b",", b" ").splitlines() if line.strip()] or [b""]
    wide = len(first.split())
    if not kind and wide == 2 and points != len(words):
        kind = "XY"
    if kind != "YY":
        wide = 2 if kind == "XY" else 1  # a single spectrum may fill several columns
    wide = max(wide, 1)
    if len(words) % wide:
        raise ReadError(where, f"the data are not in {'pairs' if kind == 'XY' else 'equal columns'}", FIX_COPY)
    columns = [words[column::wide] for column in range(wide)]
    channels = len(columns[-1])
    if points == points and points != channels:
        raise ReadError(where, f"{channels} of {points:.0f} channels", FIX_COPY)
    if points != points and not ended and not is_detector_size(channels):
        raise ReadError(
            where, f"{channels} channels, and neither #NPOINTS nor #ENDOFDATA to say whether these are all", FIX_COPY
        )
    return (columns[1:], _energies(columns[0], where)) if kind == "XY" else (columns, None)


def _energies(words: list[bytes], where: str) -> np.ndarray:
    try:
        energies = np.array(words, dtype=np.float64)
    except ValueError as error:
        raise ReadError(where, f"the energies beside the counts are no numbers ({error})", FIX_COPY) from error
    known = energies.size >= 2 and bool((np.abs(energies) < _BEYOND_XRAYS).all())  # which no NaN is
    even = np.linspace(energies[0], energies[-1], len(energies)) if known else energies
    # As written they are rounded; half a channel is more than that.
    if not known or not (np.abs(energies - even) < 0.5 * (even[1] - even[0])).all():
        raise ReadError(where, "the energies beside the counts do not rise evenly", FIX_COPY)
    return energies


def _axis(settings: _Settings, energies: np.ndarray | None, column: int, channels: int) -> tuple[float, float]:
    """Gain and offset [keV], NaN where the file has none."""
    gain, unit = settings.parts("XPERCHAN", column)
    offset, _ = settings.parts("OFFSET", column)
    if energies is not None:
        step = (energies[-1] - energies[0]) / (channels - 1)
        gain, offset = (gain if gain > 0 else step), (offset if offset == offset else energies[0])
        if abs(offset - energies[0]) > gain or abs(offset + gain * (channels - 1) - energies[-1]) > gain:
            raise ReadError(
                settings.where,
                f"energies run from {energies[0]:g} to {energies[-1]:g}, but XPERCHAN and OFFSET make that "
                f"{offset:g} to {offset + gain * (channels - 1):g}",
                "Find out which is right and correct the file",
            )
    if not gain > 0:
        return NAN, NAN
    unit = next((unit for unit in (unit, settings.header.get("XUNITS", "")) if unit.lower() in KILOELECTRONVOLTS), "")
    factor = KILOELECTRONVOLTS[unit.lower()] if unit else (1.0 if gain < 1 else 1e-3)
    return gain * factor, offset * factor
