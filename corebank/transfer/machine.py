"""Which machine, at which setting, a set of spectra was measured with; several at once are refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import xarray as xr

from corebank.errors import TransferError

NUMBERS = ("tube_voltage", "tube_current")
"""The settings that are numbers; the others are names."""

ALIKE = 0.01
"""Relative difference up to which two voltages or currents are one setting: files state some as they were read off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A measuring head at one setting. Live time is no part of it: count rates do not depend on it."""

    scanner: str = ""
    """Kind of scanner, "" where unknown, as for all names here."""

    head: str = ""
    """Measuring head or detector unit."""

    anode: str = ""
    """Element symbol of the X-ray tube's anode."""

    filter: str = ""
    """Primary filter."""

    tube_voltage: float = math.nan
    """[kV]; NaN where unknown."""

    tube_current: float = math.nan
    """[mA]; NaN where unknown."""

    def differences(self, other: Machine) -> list[str]:
        """What is not the same in `other`, in words; empty for the same machine at the same setting."""
        pairs = ((one.name, getattr(self, one.name), getattr(other, one.name)) for one in fields(self))
        return [
            f"{name} {_said(mine)} against {_said(theirs)}" for name, mine, theirs in pairs if not _alike(mine, theirs)
        ]

    def __str__(self) -> str:
        head = f"head {self.head}" if self.head else "unknown head"
        numbers = [
            f"{value:g} {unit}"
            for value, unit in ((self.tube_voltage, "kV"), (self.tube_current, "mA"))
            if math.isfinite(value)
        ]
        tube = " ".join([self.anode or "unknown anode", *numbers])
        return ", ".join([self.scanner or "unknown scanner", head, tube, *([self.filter] if self.filter else [])])


def machine_of(spectra: xr.Dataset, where: str) -> Machine:
    """The one machine that all of `spectra` were measured with, from their columns, or from attributes without any.

    Raises `TransferError` when a setting differs among them.
    """
    found: dict[str, Any] = {}
    for one in fields(Machine):
        if one.name in NUMBERS:
            found[one.name] = _number(spectra, one.name, where)
            continue
        column = spectra[one.name].values if one.name in spectra else [spectra.attrs.get(one.name, "")]
        names = sorted({str(name) for name in column})
        if len(names) > 1:
            raise _mixed(where, one.name, [_said(name) for name in names])
        found[one.name] = names[0] if names else ""
    return Machine(**found)


def _number(spectra: xr.Dataset, name: str, where: str) -> float:
    column = spectra[name].values if name in spectra else [spectra.attrs.get(name, math.nan)]
    values = np.asarray(column, dtype=np.float64)
    known = values[np.isfinite(values)]
    if not known.size:
        return math.nan
    middle = float(np.median(known))
    if known.size < values.size or not np.allclose(known, middle, rtol=ALIKE, atol=0):
        raise _mixed(where, name, [f"{value:g}" for value in np.unique(values.round(2))[:8]])
    return round(middle, 3)


def _mixed(where: str, name: str, values: list[str]) -> TransferError:
    return TransferError(
        where, f"{name} differs among its spectra: {', '.join(values)}", "Give spectra of one machine at one setting"
    )


def _alike(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, str):
        return bool(mine == theirs)
    return math.isclose(mine, theirs, rel_tol=ALIKE) or (math.isnan(mine) and math.isnan(theirs))


def _said(value: Any) -> str:
    if isinstance(value, str):
        return repr(value) if value else "unknown"
    return f"{value:g}" if math.isfinite(value) else "unknown"
