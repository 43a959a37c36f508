"""Scanner dates: three spellings, one of them ambiguous, resolved by the whole run or left unknown.

Itrax writes ``17-Sep-20``, ``8/20/2008`` (US) or ``21/02/2008`` (EU), with ``11:02 PM`` or ``01:34``, by the regional
setting of the computer beside it. Whether ``05/06/2008`` is in May or June is decided by the other dates of the same
run, or by the scan's own record of year, month and day; where neither tells, the time is NaT, never a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache

import numpy as np

_CLOCKS = ("%I:%M %p", "%I:%M:%S %p", "%H:%M", "%H:%M:%S")


SAID = {"day-first": "%d/%m/%Y", "month-first": "%m/%d/%Y", "unknown": None, "": None}
"""What contribution.toml may say of an ambiguous date -> its pattern."""


def parse(days: Sequence[str], clocks: Sequence[str], known: date | None = None, said: str = "") -> np.ndarray:
    """Times of the spectra of one run, (spectrum,) datetime64[s]; NaT where the text is empty, odd or ambiguous.

    Parameters
    ----------
    days, clocks
        Date and time of each spectrum as written in its file.
    known
        Day on which the scan began, when a record beside the spectra says so.
    said
        ``day-first`` or ``month-first``, which a person may know where nothing else tells.
    """
    spelling = _spelling(days, known) or SAID[said]
    out = np.full(len(days), np.datetime64("NaT", "s"), dtype="datetime64[s]")
    for row, (day, clock) in enumerate(zip(days, clocks, strict=True)):
        moment = _moment(day.strip(), clock.strip(), spelling)
        if moment is not None:
            out[row] = np.datetime64(moment, "s")
    return out


def ambiguous(days: Sequence[str], known: date | None = None) -> str:
    """The first of `days` whose day and month cannot be told apart by the others or by `known`; "" where all can."""
    return "" if _spelling(days, known) else next((day for day in days if _is_slashed(day)), "")


def _spelling(days: Sequence[str], known: date | None) -> str | None:
    slashed = [[int(part) for part in day.split("/")] for day in set(days) if _is_slashed(day)]
    if any(first > 12 for first, _, _ in slashed):
        return "%d/%m/%Y"
    if any(second > 12 for _, second, _ in slashed) or all(first == second for first, second, _ in slashed):
        return "%m/%d/%Y"
    if known is not None:
        for spelling in ("%m/%d/%Y", "%d/%m/%Y"):
            if any((_day(day, spelling) or date.min) == known for day in days if _is_slashed(day)):
                return spelling
    return None


def _is_slashed(day: str) -> bool:
    parts = day.strip().split("/")
    return len(parts) == 3 and all(part.isdecimal() for part in parts)


def _day(day: str, spelling: str | None) -> date | None:
    for form in ("%d-%b-%y", "%d-%b-%Y", "%Y-%m-%d", "%m-%d-%Y", spelling):
        try:
            if form:
                return datetime.strptime(day.strip(), form).date()  # noqa: DTZ007 - scanners write local time, no zone
        except ValueError:
            continue
    return None


@lru_cache(maxsize=4096)
def _moment(day: str, clock: str, spelling: str | None) -> datetime | None:
    on = _day(day, spelling)
    if on is None:
        return None
    for form in _CLOCKS:
        try:
            return datetime.combine(on, datetime.strptime(clock, form).time())  # noqa: DTZ007 - local time, no zone
        except ValueError:
            continue
    return None
