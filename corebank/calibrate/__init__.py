"""Channel -> keV -> the bank's common energy grid: counts conserved, and what was not measured marked as such.

Channel i (from 0) of a detector counts photons around ``energy_offset + i * energy_gain`` keV, within half a channel's
width. Itrax result tables and settings files use this convention; with it the Fe K-alpha line (6.40 keV) stands at
channel 624 and 350 of the two real set-ups. Each channel's counts are spread evenly over its width and cut at the
grid's bin edges, so the sum over bins is the sum over channels.
"""

from __future__ import annotations

import dask.array as da
import numpy as np
import xarray as xr

from corebank import schema
from corebank.errors import CalibrationError
from corebank.schema import EnergyGrid

CALIBRATION_VERSION = 1
"""Stored with every run; raised when `intensity` would give other numbers from the same counts."""

GAIN_RANGE = (0.001, 0.1)
"""Energy width of a channel [keV] outside which a calibration is refused. Real ones are 0.008 to 0.02; the placeholder
of an Itrax header is 1.0."""

OFFSET_RANGE = (-1.0, 1.0)
"""Energy of the first channel [keV] outside which a calibration is refused. Real ones are -0.4 to 0.1."""

_ROWS = 64
"""Spectra rebinned at a time: their running sums, 1 MB for 2,048 channels, stay in a processor's cache. Of 512 they do
not, and each spectrum takes twice as long."""


def rebin(counts: np.ndarray, gain: np.ndarray, offset: np.ndarray, grid: EnergyGrid) -> np.ndarray:
    """Spread counts by channel over the bins of `grid`, conserving their sum.

    Parameters
    ----------
    counts
        (spectrum, channel) [count], any real dtype.
    gain, offset
        (spectrum,) [keV per channel, keV at the centre of channel 0].

    Returns
    -------
    (spectrum, bin) float64 [count]; counts outside the grid are lost, those inside are conserved.
    """
    binned = np.empty((counts.shape[0], grid.bins))
    for start in range(0, counts.shape[0], _ROWS):
        rows = slice(start, start + _ROWS)
        binned[rows] = _rebin(counts[rows], gain[rows], offset[rows], grid)
    return binned


def _rebin(counts: np.ndarray, gain: np.ndarray, offset: np.ndarray, grid: EnergyGrid) -> np.ndarray:
    channels = counts.shape[1]
    cumulative = np.zeros((counts.shape[0], channels + 1))
    np.cumsum(counts, axis=1, out=cumulative[:, 1:])
    binned = np.empty((counts.shape[0], grid.bins))
    # Fits give neighbouring spectra slightly different gains; rows that share one are interpolated together.
    pairs, members = np.unique(np.stack([gain, offset], axis=1), axis=0, return_inverse=True)
    for number, (width, first) in enumerate(pairs):
        rows = np.flatnonzero(members.reshape(-1) == number)
        at = np.clip(
            (grid.edges - first) / width + 0.5, 0, channels
        )  # bin edges in channels from the detector's low end
        left = np.minimum(at.astype(np.intp), channels - 1)
        share = at - left
        at_edges = cumulative[rows][:, left] * (1 - share) + cumulative[rows][:, left + 1] * share
        binned[rows] = np.diff(at_edges, axis=1)
    return binned


def measured(run: xr.Dataset, grid: EnergyGrid) -> np.ndarray:
    """Which bins each spectrum of `run` measured, (spectrum, bin) bool.

    A bin counts as measured when it lies wholly inside the channels that counted in any spectrum of the run (the
    discriminator silences the lowest, some detectors the last) and below the tube voltage, above which the tube emits
    nothing that the sample could answer to.
    """
    return _inside(_limits(run), grid)


def _limits(run: xr.Dataset) -> np.ndarray:
    """Lowest and highest energy that each spectrum measured, (spectrum, 2) float64 [keV]."""
    gain, offset = run["energy_gain"].values, run["energy_offset"].values
    low = offset + (run.attrs["first_channel"] - 0.5) * gain
    high = offset + (run.attrs["last_channel"] + 0.5) * gain
    voltage = run["tube_voltage"].values
    return np.stack([low, np.where(np.isfinite(voltage), np.minimum(high, voltage), high)], axis=1)


def _inside(limits: np.ndarray, grid: EnergyGrid) -> np.ndarray:
    # A tolerance of 1e-6 bins keeps a detector edge that meets a bin edge on the same side whatever the rounding.
    slack = 1e-6 * grid.step
    inside: np.ndarray = (grid.edges[:-1] >= limits[:, :1] - slack) & (grid.edges[1:] <= limits[:, 1:] + slack)
    return inside


def intensity(run: xr.Dataset, grid: EnergyGrid, where: str) -> xr.Dataset:
    """Put a run of raw counts onto the common energy grid.

    Returns
    -------
    Dataset
        ``intensity`` (spectrum, energy) float32 [count/s]: counts per bin by live time, NaN where not measured;
        coordinate ``energy`` [keV], the bin centres; every other variable and attribute of `run` but ``counts``.
        Lazy, in the same chunks of spectra, where ``counts`` is a dask array.

    Raises `CalibrationError` when a spectrum's calibration is missing or impossible, or its live time is not positive.
    """
    refuse_impossible(run, where)
    axis = np.stack([run[name].values for name in ("energy_gain", "energy_offset", "live_time")], axis=1)
    columns = np.concatenate([axis, _limits(run)], axis=1)
    counts = run["counts"].data
    values: np.ndarray | da.Array
    if isinstance(counts, da.Array):
        counts = counts.rechunk({1: -1})
        values = da.map_blocks(
            _rates,
            counts,
            da.from_array(columns, chunks=(counts.chunks[0], -1)),
            grid=grid,
            dtype=np.float32,
            chunks=(counts.chunks[0], (grid.bins,)),
            meta=np.empty((0, 0), dtype=np.float32),
        )
    else:
        values = _rates(counts, columns, grid)
    out = run.drop_vars("counts").assign(intensity=(schema.INTENSITY.dims, values, schema.attributes(schema.INTENSITY)))
    return out.assign_coords(energy=("energy", grid.centres, {"units": "keV", "long_name": "bin centre"}))


def _rates(counts: np.ndarray, columns: np.ndarray, grid: EnergyGrid) -> np.ndarray:
    """Counts (spectrum, channel) -> count/s (spectrum, bin) float32; columns are gain, offset, live time and limits."""
    values = np.empty((counts.shape[0], grid.bins), dtype=np.float32)
    for start in range(0, counts.shape[0], _ROWS):
        rows = slice(start, start + _ROWS)
        gain, offset, live = columns[rows, :3].T
        rate = _rebin(counts[rows], gain, offset, grid) / live[:, None]
        values[rows] = np.where(_inside(columns[rows, 3:], grid), rate, np.nan)
    return values


def refuse_impossible(run: xr.Dataset, where: str) -> None:
    """Raise `CalibrationError` unless every spectrum of `run` can be put on an energy axis."""
    gain, offset, live = (run[name].values for name in ("energy_gain", "energy_offset", "live_time"))
    unknown = ~(np.isfinite(gain) & np.isfinite(offset))
    if unknown.any():
        raise CalibrationError(
            where,
            f"{unknown.sum()} of {unknown.size} spectra have no energy calibration, "
            f"the first is {run['source'].values[np.argmax(unknown)]}",
            "Put the result table or the .dfl beside them, or write "
            'calibration = { gain = "20 eV", offset = "0 eV" } under [scanner] in contribution.toml',
        )
    wrong = ~(
        (gain >= GAIN_RANGE[0]) & (gain <= GAIN_RANGE[1]) & (offset >= OFFSET_RANGE[0]) & (offset <= OFFSET_RANGE[1])
    )
    if wrong.any():
        row = int(np.argmax(wrong))
        raise CalibrationError(
            where,
            f"{run['source'].values[row]} would have {gain[row]:g} keV per channel from {offset[row]:g} keV "
            f"(by {run['energy_source'].values[row]})",
            f"Give a gain of {GAIN_RANGE[0]} to {GAIN_RANGE[1]} keV per channel "
            f"and an offset of {OFFSET_RANGE[0]} to {OFFSET_RANGE[1]} keV",
        )
    if not (live > 0).all():
        row = int(np.argmin(live > 0))
        raise CalibrationError(
            where,
            f"{run['source'].values[row]} has a live time of {live[row]:g} s",
            "Correct the file's header, or take it out of the folder",
        )
