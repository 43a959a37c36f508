"""Quality flags: the statistic and the threshold that each bit of `corebank.schema.Flag` rests on.

Flags mark; nothing is deleted. Statistics are worked out block by block, so a run may be larger than memory; what is
compared across a run is a signature of 64 numbers a spectrum.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from corebank.quality.statistics import collected
from corebank.quality.thresholds import THRESHOLDS, Threshold
from corebank.schema import Flag

__all__ = ["THRESHOLDS", "Threshold", "assess", "flags", "names"]


def assess(run: xr.Dataset) -> tuple[np.ndarray, pd.DataFrame]:
    """Look at each spectrum of `run` and at all of them together.

    Parameters
    ----------
    run
        ``counts`` (spectrum, channel), numpy or dask in chunks of spectra, in order of position; ``live_time``,
        ``real_time`` and ``flags``.

    Returns
    -------
    flags
        (spectrum,) uint32: those it came with, and those its counts show.
    statistics
        One row per spectrum. ``total`` [count], ``dead_time`` (share of the clock time; NaN where the clock is not
        known), ``copy_of`` (row of the first spectrum with the same counts, or -1).
    """
    found = collected(run["counts"].data)
    with np.errstate(divide="ignore", invalid="ignore"):
        dead = 1 - run["live_time"].values / run["real_time"].values  # no flag where the clock time is unknown or 0
    copy_of = _copies(found.digest)
    statistics = pd.DataFrame({"total": found.total, "dead_time": dead, "copy_of": copy_of})
    bits = run["flags"].values.astype(np.uint32)
    for flag, hit in (
        (Flag.EMPTY, found.total == 0),
        (Flag.LOW_COUNTS, found.total < THRESHOLDS[Flag.LOW_COUNTS].value),
        (Flag.HIGH_DEAD_TIME, dead > THRESHOLDS[Flag.HIGH_DEAD_TIME].value),
        (Flag.DUPLICATE, (copy_of >= 0) & (found.total > 0)),
    ):
        bits |= np.where(hit, int(flag), 0).astype(np.uint32)
    return bits, statistics


def flags(run: xr.Dataset) -> np.ndarray:
    """Flags of each spectrum of `run`, (spectrum,) uint32, as `assess` finds them."""
    return assess(run)[0]


def names(bits: int) -> list[str]:
    """Names of the flags in `bits`, in words: ``["low counts"]``."""
    return [str(flag.name).lower().replace("_", " ") for flag in Flag if bits & flag]


def _copies(digests: np.ndarray) -> np.ndarray:
    """Row of the first spectrum with the same digest, (spectrum,) int64; -1 for that first one itself."""
    _, first, member = np.unique(digests, return_index=True, return_inverse=True)
    copy_of = first[member.reshape(-1)]
    return np.asarray(np.where(copy_of == np.arange(digests.size), -1, copy_of))
