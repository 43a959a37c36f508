"""What every format says of one spectrum: its counts, and the settings it was measured with, in the bank's units."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

NAN = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spectrum:
    """One spectrum as its file gives it; NaN and "" mean that the file does not say."""

    source: str
    """File inside the folder; ``!`` separates an archive's member, or a table's row."""
    sha256: str
    """Hash of the bytes that the spectrum was read from."""
    counts: np.ndarray
    """(channel,) uint32 [count], bit for bit what the file holds."""
    position: float = NAN
    """Position inside the section [mm]."""
    depth: float = NAN
    """Composite depth [mm], where the file gives it beside the position."""
    live_time: float = NAN
    """[s]"""
    real_time: float = NAN
    """[s]"""
    tube_voltage: float = NAN
    """[kV]"""
    tube_current: float = NAN
    """[mA]"""
    gain: float = NAN
    """Energy width of a channel [keV]; a placeholder in the file is not a gain."""
    offset: float = NAN
    """Energy at the centre of the first channel [keV]."""
    total: float = NAN
    """Counts in all, by the file's own account."""
    day: str = ""
    """Date as written in the file."""
    clock: str = ""
    """Time of day as written in the file."""
    anode: str = ""
    """Element symbol of the tube's anode."""
    filter: str = ""
    """Primary filter; ``none`` where there is none."""
    detector: str = ""
    """Which of several detectors, where a scanner has more than one."""
    core: str = ""
    """Core as the file names it."""
    section: str = ""
    """Section as the file names it."""
    replicate: int = 0
    """Number of the repeat at this position, by the file's own account."""
    in_position: bool = True
    """False where the file says that the detector did not reach its place."""
    header: Mapping[str, str] = field(default_factory=dict)
    """Every field of the file, as text."""

    @property
    def counts_sha256(self) -> str:
        """Hash of the counts alone: the same for a copy under another header."""
        return hashlib.sha256(self.counts.tobytes()).hexdigest()
