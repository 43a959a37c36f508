"""The energy axis of a run: from its files, from contribution.toml or from its lines, and checked against the lines."""

from __future__ import annotations

from dataclasses import dataclass

import dask
import numpy as np
import xarray as xr

from corebank import calibrate, schema
from corebank.calibrate import lines
from corebank.contribution import metadata
from corebank.contribution.findings import Finding, finding
from corebank.contribution.metadata import Scanner
from corebank.errors import CalibrationError


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """The energy axis of each spectrum of a run, and what speaks for it."""

    gain: np.ndarray
    """(spectrum,) [keV per channel]"""
    offset: np.ndarray
    """(spectrum,) [keV at the centre of channel 0]"""
    source: np.ndarray
    """(spectrum,) where they came from."""
    about: str
    """A sentence for people."""
    lines: tuple[tuple[str, float, float], ...] = ()
    """Line, energy [keV], distance of its peak from there [eV]."""

    def applied(self, run: xr.Dataset) -> xr.Dataset:
        """`run` on this axis."""
        return run.assign(
            schema.spectrum_columns(
                {"energy_gain": self.gain, "energy_offset": self.offset, "energy_source": self.source}
            )
        )


def settle(name: str, run: xr.Dataset, scanner: Scanner) -> tuple[Axis, list[Finding]]:
    """Choose the energy axis of a run and hold it against the lines in the sum of its spectra.

    A calibration in the files comes first, then one in contribution.toml, then the lines themselves; where
    contribution.toml says ``calibration_from = "lines"``, those come first.
    """
    gain, offset = run["energy_gain"].values.copy(), run["energy_offset"].values.copy()
    source = run["energy_source"].values.astype(object)
    if scanner.gain is not None and scanner.offset is not None:
        unknown = ~np.isfinite(gain)
        gain, offset = np.where(unknown, scanner.gain, gain), np.where(unknown, scanner.offset, offset)
        source = np.where(unknown, metadata.FILE_NAME, source)
    unknown = ~(np.isfinite(gain) & np.isfinite(offset))
    if unknown.any() and not unknown.all():
        gain[unknown], offset[unknown] = np.median(gain[~unknown]), np.median(offset[~unknown])
        source = np.where(unknown, f"median of {name}", source)
    total = _sum(run)
    if unknown.all() or scanner.calibration_from == "lines":
        return _from_lines(name, run, total)
    given = Axis(
        gain, offset, source, f"{np.median(gain):.6g} keV/channel from {np.median(offset):.4g} keV, by {source[0]}"
    )
    low, high = calibrate.GAIN_RANGE
    first, last = calibrate.OFFSET_RANGE
    wrong = np.flatnonzero(~((gain >= low) & (gain <= high) & (offset >= first) & (offset <= last)))
    if wrong.size:
        row = int(wrong[0])
        what = (
            f"{gain[row]:g} keV per channel from {offset[row]:g} keV "
            f"in {wrong.size} of {gain.size} spectra, by {source[row]}"
        )
        sources = run["source"].values
        return given, [finding("calibration-impossible", name, what, items=tuple(str(sources[one]) for one in wrong))]
    return _checked(name, run, total, given, scanner)


def _from_lines(name: str, run: xr.Dataset, total: np.ndarray) -> tuple[Axis, list[Finding]]:
    size = run.sizes["spectrum"]
    try:
        fit = lines.find(total, str(run.attrs["anode"]), float(run.attrs["tube_voltage"]))
    except CalibrationError as error:
        nowhere = Axis(np.full(size, np.nan), np.full(size, np.nan), np.full(size, "", dtype=object), "none")
        return nowhere, [finding("calibration-missing", name, error.found)]
    words = (
        f"{fit.gain:.6g} keV/channel (+- {fit.gain_error:.1g}) from {fit.offset:.4g} keV (+- {fit.offset_error:.1g}), "
        f"fitted to {len(fit.lines)} lines"
    )
    found = Axis(
        np.full(size, fit.gain),
        np.full(size, fit.offset),
        np.full(size, "lines in the spectra", dtype=object),
        words,
        tuple((line.name, line.energy, line.residual) for line in fit.lines),
    )
    return found, [finding("calibration-from-lines", name, words)]


def _checked(
    name: str, run: xr.Dataset, total: np.ndarray, given: Axis, scanner: Scanner
) -> tuple[Axis, list[Finding]]:
    gain, offset = float(np.median(given.gain)), float(np.median(given.offset))
    verdict = lines.check(total, gain, offset, str(run.attrs["anode"]), float(run.attrs["tube_voltage"]))
    seen = tuple((line.name, line.energy, line.residual) for line in verdict.lines)
    about = {
        "agrees": f"{given.about}; {len(seen)} lines agree",
        "unchecked": f"{given.about}; too few sure lines to check it",
        "contradicted": f"{given.about}; the lines contradict it",
    }[verdict.verdict]
    axis = Axis(given.gain, given.offset, given.source, about, seen)
    if verdict.verdict == "unchecked":
        return axis, [finding("calibration-unchecked", name, f"too few sure lines to check {given.about}")]
    if verdict.verdict == "contradicted" and scanner.calibration_from != "file":
        return axis, [finding("calibration-contradicted", name, f"{given.about}, but {verdict.about}")]
    return axis, []


def _sum(run: xr.Dataset) -> np.ndarray:
    """Sum of a run's spectra, (channel,) int64 [count]."""
    with dask.config.set(scheduler="threads"):  # the counts are in this machine's scratch
        return np.asarray(run["counts"].sum("spectrum", dtype=np.int64).values)
