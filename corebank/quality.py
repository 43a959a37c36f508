"""Quality flags: the statistic and the threshold that each bit of `corebank.schema.Flag` rests on.

Flags mark; nothing is deleted.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from corebank.schema import Flag

LOW_COUNTS = 1_000
"""Total counts below this are flagged: the 3,418 real spectra looked at hold 31,778 to 815,917."""

HIGH_DEAD_TIME = 0.5
"""Share of the clock time in which the detector was blind; up to here the scanners' own correction is trusted."""


def flags(run: xr.Dataset) -> np.ndarray:
    """Flags of each spectrum of `run`, (spectrum,) uint32: those it came with, and those its counts show."""
    total = run["counts"].sum("channel", dtype=np.int64).values
    with np.errstate(divide="ignore", invalid="ignore"):
        dead = 1 - run["live_time"].values / run["real_time"].values  # no flag where the clock time is unknown or 0
    found = run["flags"].values.astype(np.uint32)
    for bit, hit in (
        (Flag.EMPTY, total == 0),
        (Flag.LOW_COUNTS, total < LOW_COUNTS),
        (Flag.HIGH_DEAD_TIME, dead > HIGH_DEAD_TIME),
    ):
        found |= np.where(hit, int(bit), 0).astype(np.uint32)
    return found


def names(bits: int) -> list[str]:
    """Names of the flags in `bits`, in words: ``["low counts"]``."""
    return [str(flag.name).lower().replace("_", " ") for flag in Flag if bits & flag]
