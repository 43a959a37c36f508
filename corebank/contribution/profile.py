"""What a run looks like, in a few numbers and three spectra: for the report and its page."""

from __future__ import annotations

from collections.abc import Mapping

import dask
import numpy as np
import xarray as xr

from corebank import quality
from corebank.contribution.axis import Axis
from corebank.contribution.report import Profile, Sample
from corebank.schema import Flag

POINTS = 512
"""Most points that a spectrum in a report is drawn with."""


def profiles(
    runs: Mapping[str, xr.Dataset], axes: Mapping[str, Axis], folders: Mapping[str, str]
) -> tuple[Profile, ...]:
    """A profile of each run; three of its spectra are read."""
    return tuple(_profile(name, run, axes[name], folders.get(name, "")) for name, run in runs.items())


def _profile(name: str, run: xr.Dataset, axis: Axis, folder: str) -> Profile:
    depth, repeats = run["depth"].values, run["replicate_of"].values != ""
    bits = run["flags"].values
    flags = {
        quality.names(int(flag))[0]: int(((bits & int(flag)) > 0).sum()) for flag in Flag if (bits & int(flag)).any()
    }
    return Profile(
        run=name,
        folder=folder,
        core=str(run["core"].values[0]),
        section=str(run["section"].values[0]),
        spectra=run.sizes["spectrum"],
        replicates=int(repeats.sum()),
        settings=_settings(run),
        depths=tuple(float(one) for one in np.sort(depth[~repeats])),
        replicate_depths=tuple(float(one) for one in np.sort(depth[repeats])),
        calibration=axis.about,
        lines=axis.lines,
        flags=flags,
        samples=_samples(run),
    )


def _settings(run: xr.Dataset) -> dict[str, str]:
    live, real = _middle(run["live_time"].values), _middle(run["real_time"].values)
    when = run["scanned_at"].values
    said = {
        "scanner": str(run.attrs["scanner"]),
        "model": str(run.attrs["model"]),
        "head": str(run.attrs["head"]),
        "anode": str(run.attrs["anode"]),
        "tube voltage": _with_unit(float(run.attrs["tube_voltage"]), "kV"),
        "tube current": _with_unit(float(run.attrs["tube_current"]), "mA"),
        "filter": str(run.attrs["filter"]),
        "channels": str(run.attrs["channels"]),
        "live time": _with_unit(live, "s"),
        "real time": _with_unit(real, "s"),
        "scanned": str(np.datetime_as_string(np.nanmin(when), unit="m")) if not np.isnat(when).all() else "",
    }
    return {key: value for key, value in said.items() if value}


def _samples(run: xr.Dataset) -> tuple[Sample, ...]:
    size, channels = run.sizes["spectrum"], run.sizes["channel"]
    rows = sorted({size // 6, size // 2, size - 1 - size // 6})
    with dask.config.set(scheduler="threads"):  # the counts are in this machine's scratch
        counts = run["counts"].isel(spectrum=rows).values
    width = -(-channels // POINTS)
    starts = np.arange(0, channels, width)
    middle = np.minimum(starts + (width - 1) / 2, channels - 1)
    return tuple(
        Sample(
            source=str(run["source"].values[row]),
            depth=float(run["depth"].values[row]),
            energy=tuple(
                float(one)
                for one in np.round(run["energy_offset"].values[row] + middle * run["energy_gain"].values[row], 4)
            ),
            counts=tuple(float(one) for one in np.maximum.reduceat(counts[number], starts)),
        )
        for number, row in enumerate(rows)
    )


def _middle(values: np.ndarray) -> float:
    return float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")


def _with_unit(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}" if np.isfinite(value) else ""
