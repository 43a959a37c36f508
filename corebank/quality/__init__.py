"""Quality flags: the statistic and the threshold that each bit of `corebank.schema.Flag` rests on.

Flags mark; nothing is deleted. Statistics are worked out block by block, so a run may be larger than memory; what is
compared across a run is a signature of at most 48 numbers a spectrum.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from corebank.quality import statistics as st
from corebank.quality.realigned import Realigned, realigned
from corebank.quality.thresholds import (
    COUNTER,
    ENOUGH,
    FITS_BETTER,
    FITS_FAR_BETTER,
    REALIGNED,
    SUSPECT,
    THRESHOLDS,
    Threshold,
)
from corebank.schema import Flag

__all__ = ["THRESHOLDS", "Threshold", "assess", "flags", "names"]


def assess(run: xr.Dataset) -> tuple[np.ndarray, pd.DataFrame]:
    """Look at each spectrum of `run` and at all of them together.

    Parameters
    ----------
    run
        ``counts`` (spectrum, channel), numpy or dask in chunks of spectra, in order of position; ``live_time``,
        ``real_time``, ``energy_gain``, ``energy_offset`` and ``flags``; attribute ``anode``.

    Returns
    -------
    flags
        (spectrum,) uint32: those it came with, and those its counts show.
    statistics
        One row per spectrum, one column per statistic that `THRESHOLDS` names, and ``total`` [count], ``dead_time``
        (share of the clock time; NaN where the clock is not known), ``copy_of`` and ``twin_of`` (rows, or -1).
    """
    counts = run["counts"].data
    alone, total = st.alone(counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        dead = 1 - run["live_time"].values / run["real_time"].values  # no flag where the clock time is unknown or 0
    gain, offset = (float(np.median(run[name].values)) for name in ("energy_gain", "energy_offset"))
    table = pd.DataFrame(
        {"total": alone.total, "dead_time": dead, "at_peak": alone.at_peak, "copy_of": _copies(alone.digest)}
    )
    bits = run["flags"].values.astype(np.uint32)
    limit = {flag: one.value for flag, one in THRESHOLDS.items()}
    hits: dict[Flag, np.ndarray] = {
        Flag.EMPTY: alone.total == 0,
        Flag.LOW_COUNTS: alone.total < limit[Flag.LOW_COUNTS],
        Flag.HIGH_DEAD_TIME: (dead > limit[Flag.HIGH_DEAD_TIME]) | _half_as_live(dead),
        Flag.SATURATED: (alone.at_peak > limit[Flag.SATURATED]) & (alone.peak >= COUNTER),
        Flag.DUPLICATE: (table["copy_of"].to_numpy() >= 0) & (alone.total > 0),
    }
    if total.any() and np.isfinite([gain, offset]).all():
        reference = st.reference(total, gain, offset)
        beside = st.beside(counts, reference)
        table = table.assign(**_compared(run, alone, beside, np.asarray(hits[Flag.DUPLICATE])))
        hits |= _hits(table, beside, limit)
        hits = _told_apart(hits, table, realigned(counts, _suspects(table), beside.bands, reference), limit)
    for flag, hit in hits.items():
        bits |= np.where(hit, int(flag), 0).astype(np.uint32)
    return bits, table


def flags(run: xr.Dataset) -> np.ndarray:
    """Flags of each spectrum of `run`, (spectrum,) uint32, as `assess` finds them."""
    return assess(run)[0]


def names(bits: int) -> list[str]:
    """Names of the flags in `bits`, in words: ``["low counts"]``."""
    return [str(flag.name).lower().replace("_", " ") for flag in Flag if bits & flag]


def _compared(run: xr.Dataset, alone: st.Alone, beside: st.Beside, exact: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics of each spectrum against the others of its run."""
    faint = alone.total < ENOUGH
    # In counts per second and as a share of all counts: a brighter beam raises the one, a duller sample the other.
    rate = _above(beside.argon / run["live_time"].values)
    share = _above(beside.argon / np.maximum(alone.total, 1))
    distance, twin = _twins(beside.bands, alone.total, faint | exact)
    return {
        "argon": np.where(faint, 0.0, np.minimum(rate, share)),
        "stretch": np.where(faint, 0.0, beside.stretch - 1),
        "shift_eV": np.where(faint, 0.0, 1000 * beside.shift),
        "twin_of": twin,
        "twin_distance": distance,
        "unlike": np.where(faint, 0.0, _unlike(beside.bands)),
        "other_tube": np.where(faint, 0.0, _other_tube(beside, alone.total, run)),
    }


def _hits(table: pd.DataFrame, beside: st.Beside, limit: dict[Flag, float]) -> dict[Flag, np.ndarray]:
    argon, unlike = table["argon"].to_numpy(), table["unlike"].to_numpy()
    # Other matter has other lines, which may lie a little better elsewhere; those of a moved axis lie far better.
    by_gain, fits = beside.stretched > beside.shifted, np.maximum(beside.stretched, beside.shifted)
    other_tube = table["other_tube"].to_numpy() > limit[Flag.WRONG_ANODE]  # excites argon, and all else, otherwise
    better = fits > np.where((unlike > limit[Flag.OUTLIER]) | other_tube, FITS_FAR_BETTER, FITS_BETTER)
    return {
        # As sure in itself as against the run: a few counts more than none are no gap.
        Flag.AIR_GAP: ~other_tube & (argon > limit[Flag.AIR_GAP]) & (beside.argon > 5 * beside.argon_noise),
        Flag.GAIN_JUMP: better & by_gain & (np.abs(table["stretch"].to_numpy()) >= limit[Flag.GAIN_JUMP]),
        Flag.LINE_SHIFT: better & ~by_gain & (np.abs(table["shift_eV"].to_numpy()) >= limit[Flag.LINE_SHIFT]),
        Flag.NEAR_DUPLICATE: table["twin_distance"].to_numpy() < limit[Flag.NEAR_DUPLICATE],
        Flag.OUTLIER: unlike > limit[Flag.OUTLIER],
        Flag.WRONG_ANODE: other_tube & ~better,  # the tube's line is where a moved axis puts it, not missing
    }


def _half_as_live(dead: np.ndarray) -> np.ndarray:
    """Where the live share of the clock time is less than half of what is usual in the run."""
    live = 1 - dead
    usual = np.median(live[np.isfinite(live)]) if np.isfinite(live).any() else np.nan
    return np.asarray(live < 0.5 * usual)


def _above(values: np.ndarray) -> np.ndarray:
    """How far each value lies above the median, in robust standard deviations (1.4826 median absolute deviations)."""
    middle = np.median(values)
    return np.asarray((values - middle) / max(1.4826 * np.median(np.abs(values - middle)), 1e-12))


def _suspects(table: pd.DataFrame) -> np.ndarray:
    """Rows so unlike their neighbours that their matter, their tube or their axis must be another."""
    return np.flatnonzero(table["unlike"].to_numpy() > SUSPECT)


def _told_apart(
    hits: dict[Flag, np.ndarray], table: pd.DataFrame, tried: Realigned, limit: dict[Flag, float]
) -> dict[Flag, np.ndarray]:
    """Suspects that another axis makes like their neighbours: the axis moved, the rest is void."""
    rows = _suspects(table)
    by_gain, left = tried.by_stretch < tried.by_shift, np.minimum(tried.by_stretch, tried.by_shift)
    far = np.where(
        by_gain,
        np.abs(tried.stretch - 1) / limit[Flag.GAIN_JUMP],
        1000 * np.abs(tried.shift) / limit[Flag.LINE_SHIFT],
    )
    moved = (left < REALIGNED[0]) & (left < REALIGNED[1] * tried.as_it_is) & (far >= 1)
    told = {flag: hit.copy() for flag, hit in hits.items()}
    told[Flag.GAIN_JUMP][rows[moved]] = by_gain[moved]
    told[Flag.LINE_SHIFT][rows[moved]] = ~by_gain[moved]
    for flag in (Flag.OUTLIER, Flag.AIR_GAP, Flag.WRONG_ANODE):
        told[flag][rows[moved]] = False
    table.loc[rows[moved], "stretch"] = tried.stretch[moved] - 1
    table.loc[rows[moved], "shift_eV"] = 1000 * tried.shift[moved]
    return told


def _copies(digests: np.ndarray) -> np.ndarray:
    """Row of the first spectrum with the same digest, (spectrum,) int64; -1 for that first one itself."""
    _, first, member = np.unique(digests, return_index=True, return_inverse=True)
    copy_of = first[member.reshape(-1)]
    return np.asarray(np.where(copy_of == np.arange(digests.size), -1, copy_of))


def _twins(bands: np.ndarray, total: np.ndarray, left_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the most alike earlier spectrum, and its row; infinite and -1 where none comes near.

    Bands are put on the scale of their noise (2 sqrt(n + 3/8), Anscombe 1948). Only spectra of nearly equal totals can
    be near, so in order of their totals each is compared with the few that follow.
    """
    scaled = 2 * np.sqrt(bands + 0.375)
    distance, twin = np.full(total.size, np.inf), np.full(total.size, -1)
    rows = np.flatnonzero(~left_out)
    rows = rows[np.argsort(total[rows], kind="stable")]
    size = 2 * np.sqrt(total[rows] + 0.375)
    for step in range(1, rows.size):
        near = np.flatnonzero(size[step:] - size[:-step] < 2.0)
        if not near.size:
            break
        one, other = rows[near], rows[near + step]
        apart = ((scaled[one] - scaled[other]) ** 2).sum(axis=1)
        first, later = np.minimum(one, other), np.maximum(one, other)
        for place in np.flatnonzero(apart < distance[later]):
            if apart[place] < distance[later[place]]:
                distance[later[place]], twin[later[place]] = apart[place], first[place]
    return distance, twin


def _unlike(bands: np.ndarray) -> np.ndarray:
    """How unlike both its sides a spectrum is: each side is the mean of two neighbours.

    The first and last two have one side only, and the two spectra beyond it stand for the other: one strange spectrum
    among four does not make its neighbours strange.
    """
    share = np.log((bands + 1) / (bands.sum(axis=1, keepdims=True) + bands.shape[1]))
    size = share.shape[0]
    if size < 5:
        return np.zeros(size)
    row = np.arange(size)

    def against(near: int, far: int) -> np.ndarray:
        mean = (share[np.clip(row + near, 0, size - 1)] + share[np.clip(row + far, 0, size - 1)]) / 2
        return np.asarray(np.sqrt(((share - mean) ** 2).mean(axis=1)))

    above, below = against(-1, -2), against(1, 2)
    above[:2], below[-2:] = against(3, 4)[:2], against(-3, -4)[-2:]
    return np.asarray(np.minimum(above, below))


def _other_tube(beside: st.Beside, total: np.ndarray, run: xr.Dataset) -> np.ndarray:
    """K line of the strongest other anode, in least shares of a tube's, where the declared anode's is not seen."""
    anodes = list(st.TUBE_LINES)
    declared = str(run.attrs["anode"])
    if not declared:
        return np.zeros(total.size)
    least = np.array([st.TUBE_SHARES[anode] for anode in anodes])
    times = np.where(beside.tube > 8 * beside.tube_noise, beside.tube / np.maximum(total, 1)[:, None], 0.0) / least
    if declared in anodes:
        own = anodes.index(declared)
        # Matter has chromium of its own, a tube of chromium far more; the other lines come from a tube or not at all.
        there = (beside.tube[:, own] > 8 * beside.tube_noise[:, own]) & (declared != "Cr")
        times[there | (times[:, own] >= 1)] = 0.0
        times[:, own] = 0.0
    return np.asarray(times.max(axis=1))
