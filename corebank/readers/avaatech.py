"""Avaatech ``.spe``: a ``$KEY:`` line, then its value on the next line, then ``$DATA:`` and the counts.

Layout after the public description of the format (brianlevay/xrf-filetools) and the archives behind MAX (arXiv
2410.12330); the family is that of the IAEA's SPE files. Fields without a value are left out, keys and all, and the
headers of the older measuring head have other keys than those of the newer, so nothing is found by its line number.
Numbers may have a decimal comma. The files carry neither the energy calibration nor the anode: both come from
``contribution.toml``. The file's name (`corebank.readers.avaatech_names`) tells what the header leaves out, and the
filter, which no header has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from corebank.errors import ReadError
from corebank.readers import avaatech_names
from corebank.readers.avaatech_names import section_start
from corebank.readers.counts import FIX_COPY, exact, number, plain, require_line_end, total
from corebank.readers.files import File
from corebank.readers.spectrum import NAN, Spectrum

__all__ = ["is_spectrum", "parse", "section_start"]

_KEY = re.compile(rb"\s*\$\w+:")
_DATA = re.compile(rb"(?:(?<=[\r\n])|\A)\$DATA:[^\r\n]*(?:[\r\n]|\Z)")
_MORE = re.compile(rb"(?<=[\r\n])\$")


def is_spectrum(head: bytes) -> bool:
    """True for the first bytes of an Avaatech spectrum: the first line is a ``$KEY:``, and a ``$DATA:`` follows."""
    return _KEY.match(head) is not None and _DATA.search(head) is not None


def parse(file: File) -> list[Spectrum]:
    """Read one Avaatech spectrum.

    Returns
    -------
    list of one Spectrum
        ``counts`` (channel,) uint32 [count], bit for bit what the file holds. Settings are those of the header; those
        that it leaves out are taken from the file's name. ``header`` has every ``$`` key without the ``$`` and the
        colon, and what the name tells of core, section, run and setting under ``name core``, ``name section`` ..., so
        that a core that is called otherwise inside the file than outside can be seen.

    Notes
    -----
    Two lengths circulate: ``$Depth`` (third field of a ``!`` name) and the place on the stage (``$X_Position``, the
    first length of a blank-separated name). Where they agree, or only one is there, it is the position in the section.
    Where ``$Depth`` is the larger, it is the composite depth (section start + position) and the other the position;
    where it is the smaller, the stage has a zero of its own and ``$Depth`` is the position.

    ``$TUBE_CUR`` is in mA and the name in uA; a ``$TUBE_CUR`` that repeats the name's number is taken as uA, and any
    other is left as written, for the check of settings to doubt.

    ``total`` is what ``$TotalCPS`` says by `corebank.readers.counts.total`: equal to the sum of the channels where the
    two agree. If they do in most files of a run, one in which they do not was changed.

    Raises `ReadError` when the file is no such spectrum, was cut short, or holds something that is no count.
    """
    where = file.name
    if not _KEY.match(file.content):
        raise ReadError(where, "does not begin with a $KEY: line", "Give the raw .spe of the scanner")
    require_line_end(file.content, where)
    header, data = _sections(file.content, where)
    counts = _counts(data, where)
    name = avaatech_names.parse(file.name)
    live, real = _times(header, where)
    position, depth = _places(_number(header, "Depth", where), _number(header, "X_Position", where), name)
    day, _, clock = header.get("DATE_MEA", "").partition(" ")
    live = live if live == live else name.live_time  # NaN is what differs from itself
    return [
        Spectrum(
            source=where,
            sha256=file.sha256,
            counts=counts,
            position=position,
            depth=depth,
            live_time=live,
            real_time=real,
            tube_voltage=_first(_number(header, "ACC_VOLT", where), name.tube_voltage),
            tube_current=_current(_number(header, "TUBE_CUR", where), name.tube_current),
            total=total(header.get("TotalCPS", ""), counts, live, real, where, "$TotalCPS:"),
            day=day or name.day,
            clock=clock.strip() or name.clock,
            filter=name.filter,
            core=header.get("Core_ID", "") or name.core,
            section=header.get("Section_ID", "") or name.section,
            replicate=avaatech_names.replicate(header.get("Replicate_ID", "")) or name.replicate,
            header={**header, **name.header},
        )
    ]


def _sections(content: bytes, where: str) -> tuple[dict[str, str], bytes]:
    """The header's values by key, and all that stands under ``$DATA:``."""
    found = _DATA.search(content)
    if found is None:
        raise ReadError(where, "no $DATA: section under $KEY: lines", "Give the raw .spe of the scanner")
    data, rest = content[found.end() :], b""
    if b"$" in data and (more := _MORE.search(data)):  # others of the family have further keys behind the counts
        data, rest = data[: more.start()], data[more.start() :]
    if _DATA.search(rest):
        raise ReadError(where, "two $DATA: sections", "Give one file per spectrum")
    header: dict[str, str] = {}
    key = ""
    for line in [*content[: found.start()].splitlines(), *rest.splitlines()]:  # of bytes: only CR and LF end a line
        if line.startswith(b"$"):
            key = line[1:].decode("latin-1").strip().rstrip(":")
        elif key and key not in header:
            header[key] = line.decode("latin-1").strip()
    return header, data


def _counts(data: bytes, where: str) -> np.ndarray:
    values, fields = plain(data), list[bytes]()
    if values is None:
        fields = data.split()
        begin = plain(b" ".join(fields[:2]))
        size = len(fields) - 2
    else:
        begin, size = values[:2], values.size - 2
    if begin is None or begin.size < 2:
        raise ReadError(where, "$DATA: does not begin with the first and the last channel", FIX_COPY)
    first, last = map(int, begin)
    if first != 0 or size != last - first + 1:
        raise ReadError(where, f"{size} of {last - first + 1} channels from channel {first}", FIX_COPY)
    if values is not None and size and values[2:].max() <= np.iinfo(np.uint32).max:
        return values[2:].astype(np.uint32)
    return exact(data.split()[2:], where)


def _number(header: Mapping[str, str], key: str, where: str) -> float:
    return number(header.get(key, ""), where, f"${key}:")


def _times(header: Mapping[str, str], where: str) -> tuple[float, float]:
    """Live and real time [s] of ``$MEAS_TIM``, NaN where they are not there."""
    values = [number(text, where, "$MEAS_TIM:") for text in header.get("MEAS_TIM", "").split()[:2]]
    live, real, *_ = [*values, NAN, NAN]
    return live, real


def _first(*values: float) -> float:
    """The first of `values` that is known."""
    return next((value for value in values if value == value), NAN)


def _places(depth: float, stage: float, name: avaatech_names.Name) -> tuple[float, float]:
    """Position inside the section and composite depth [mm]; NaN for what is not told."""
    depth, stage = _first(depth, name.depth), _first(name.position, stage)
    if depth > stage:
        return stage, depth
    return _first(depth, stage), NAN


def _current(milliamperes: float, named: float) -> float:
    """Tube current [mA] from what the header says in mA, or in uA as the name (given in mA) does."""
    if named > 0 and milliamperes == round(1000 * named, 6):
        return named
    return _first(milliamperes, named)
