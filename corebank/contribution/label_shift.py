"""Labels that lie a few millimetres beside their spectra: found by how well spectra predict the values when shifted.

For every shift of a table's depths the values are predicted from the spectra at the shifted depths, each value by all
others (ridge regression on a few principal components of 64 energy bands). A true shift shows as an error that is
smallest away from zero. Resampling the labels in runs of neighbours tells whether that is more than chance; only then a
shift is suggested. Nothing is shifted here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from corebank.contribution.findings import Finding, finding

Floats = NDArray[np.float64]

BAND_EDGES = np.geomspace(1.2, 20.0, 65)
"""Energy bands [keV]: Al K to Zr K, about the detector's resolution wide at the lower end."""

REACHES = (30, 20, 10)
"""Shifts tried, up and down [mm]; the widest at which enough labels stay inside what was scanned. 30 mm is three
samples of 1 cm; label centres off by half a sample (5 mm) are what archives show."""

FEWEST_LABELS = 36
"""Fewer labels inside the scanned depths do not tell a shift from chance: nearly four for each component."""

SMALLEST_SHIFT = 2
"""Smaller shifts [mm] are within what the method itself is off by."""

# The four numbers below were chosen on virtual cores, and tried on 40 others of each kind: no suggestion in 200 draws
# without a shift; 5 mm found in 118 of 120 ocean expeditions (vm1, vs1, vc1), at most 2 mm off, and in 8 of 80
# lake expeditions, whose spectra do not tell the values well enough.

WELL_PREDICTED = 0.9
"""Share of a proxy's variance that spectra must predict at the best shift; else it does not tell depths to mm."""

TELLING = 0.4
"""Share of a table's proxies that must be predicted that well: the one lucky proxy among many tells nothing."""

EVIDENCE = 3.7
"""Half the labels times the logarithm of squared error without over with the shift, a gain in log-likelihood."""

SURE = 0.95
"""Share of the resampled label sets that must agree that the shift is better, and to which side."""

# Components: the elements that vary in sediments, about ten; a ridge only against equal ones. Labels are drawn three
# neighbours at a time, because what is wrong with one sample is often wrong with the next.
_RESAMPLES, _NEIGHBOURS, _COMPONENTS, _RIDGE = 400, 3, 10, 0.0005


def findings(table: pd.DataFrame, runs: Mapping[str, xr.Dataset]) -> list[Finding]:
    """A finding of kind ``label-shift`` for each table that clearly follows the spectra better at other depths."""
    found = []
    for source, rows in table.groupby("source", sort=False):
        cores = set(rows["core"].astype(str))
        profiles = dict(_profiles(runs, cores))
        best = suggested(rows, profiles) if profiles else None
        if best is not None:
            shift, low, high, ratio, proxies = best
            say = (
                f"{', '.join(proxies)} follow the spectra better with every depth moved by {shift:+d} mm "
                f"({low:+d} to {high:+d} mm): the squared error of prediction falls by {100 * (1 - ratio):.0f} %"
            )
            fix = f'If that is so, write shift = "{shift} mm" in [[measurements]]'
            fix += ", added to the one that may stand there; nothing is shifted unasked"
            found.append(finding("label-shift", str(source), say, fix=fix))
    return found


def suggested(
    rows: pd.DataFrame, profiles: Mapping[str, tuple[Floats, Floats]]
) -> tuple[int, int, int, float, list[str]] | None:
    """The shift that one table's measurements ask for, or None.

    Parameters
    ----------
    rows
        Measurements of one table.
    profiles
        Core -> depths (n,) [mm] in order and features (n, k) of the spectra there.

    Returns
    -------
    shift, lowest, highest
        [mm], the latter two by resampling (5 % and 95 %).
    ratio
        Squared error at the shift relative to that without.
    proxies
        Those that told it.
    """
    wide = rows.pivot_table(index=["core", "depth_top", "depth_bottom"], columns="proxy", values="value")
    for reach in REACHES:
        shifts = np.arange(-reach, reach + 1)
        features, kept = _features(wide, profiles, shifts)
        if len(kept) >= FEWEST_LABELS:
            break
    else:
        return None
    errors, proxies, tried = [], [], 0
    for proxy in wide.columns:
        value = wide[proxy].to_numpy()[kept]
        has = np.isfinite(value)
        if has.sum() < FEWEST_LABELS or np.ptp(value[has]) == 0:
            continue
        tried += 1
        squared = _left_out(features[:, has], _even(value[has]))
        if 1 - squared.mean(axis=1).min() >= WELL_PREDICTED:
            full = np.full((len(shifts), len(kept)), np.nan)
            full[:, has] = squared
            errors.append(full)
            proxies.append(str(proxy))
    if not errors or len(errors) < TELLING * tried:
        return None
    return _judged(np.stack(errors), shifts, proxies)


def _judged(
    errors: Floats, shifts: NDArray[np.int64], proxies: list[str]
) -> tuple[int, int, int, float, list[str]] | None:
    """The verdict on squared errors (proxy, shift, label) of predictions."""
    count = errors.shape[2]
    generator = np.random.default_rng(0)  # the same table gets the same answer
    weights = np.zeros((_RESAMPLES, count))
    starts = generator.integers(0, count, (_RESAMPLES, -(-count // _NEIGHBOURS)))
    for neighbour in range(_NEIGHBOURS):
        for sample in range(_RESAMPLES):
            np.add.at(weights[sample], (starts[sample] + neighbour) % count, 1.0)
    known = np.isfinite(errors[:, 0])  # a label need not have a value of every proxy
    sums = np.einsum("psl,rl->rps", np.nan_to_num(errors), weights)
    totals = np.einsum("pl,rl->rp", known.astype(float), weights)
    costs = np.log(sums / np.maximum(totals, 1)[:, :, None] + 1e-12).mean(axis=1)  # (resample, shift)
    cost = np.log(np.nanmean(errors, axis=2)).mean(axis=0)
    best, zero = int(np.argmin(cost)), int(np.flatnonzero(shifts == 0)[0])
    shift, ratio = int(shifts[best]), float(np.exp(cost[best] - cost[zero]))
    evidence = count / 2 * float(cost[zero] - cost[best])
    if abs(shift) < SMALLEST_SHIFT or best in (0, len(shifts) - 1) or evidence < EVIDENCE:
        return None
    drawn = shifts[np.argmin(costs, axis=1)]
    if (costs[:, best] < costs[:, zero]).mean() < SURE or (np.sign(drawn) == np.sign(shift)).mean() < SURE:
        return None
    low, high = (int(value) for value in np.quantile(drawn, [0.05, 0.95], method="nearest"))
    return shift, low, high, ratio, proxies


def _features(
    wide: pd.DataFrame, profiles: Mapping[str, tuple[Floats, Floats]], shifts: NDArray[np.int64]
) -> tuple[Floats, NDArray[np.int64]]:
    """Features (shift, label, k) of the spectra in each shifted interval, and which labels have them at all shifts."""
    found, kept = [], []
    for number, (core, top, bottom) in enumerate(wide.index):
        if core not in profiles:
            continue
        depth, feature = profiles[core]
        step = float(np.median(np.diff(depth)))
        # Wide enough that a shift by half a step does not average more counting noise away than no shift does.
        half = max(bottom - top, 2 * step) / 2
        middle = (top + bottom) / 2 + shifts
        first, last = np.searchsorted(depth, [middle[0] - half - step, middle[-1] + half + step])
        near = depth[first:last]
        if not len(near) or near[0] > middle[0] - half + step or near[-1] < middle[-1] + half - step:
            continue
        if len(near) < 2 or np.diff(near).max() > 3 * step:
            continue
        fine = np.arange(middle[0] - half, middle[-1] + half + 0.5)
        filled = _between(fine, near, feature[first:last])
        area = np.concatenate([np.zeros((1, filled.shape[1])), np.cumsum(filled, axis=0)])
        begin = np.arange(len(shifts))
        width = len(fine) - len(shifts) + 1
        found.append((area[begin + width] - area[begin]) / width)
        kept.append(number)
    if not found:
        return np.empty((len(shifts), 0, 0)), np.empty(0, np.int64)
    return np.stack(found, axis=1), np.array(kept, dtype=np.int64)


def _between(wanted: Floats, places: Floats, values: Floats) -> Floats:
    """`values` (place, k) interpolated to the places `wanted`, those of the ends beyond them."""
    right = np.clip(np.searchsorted(places, wanted), 1, len(places) - 1)
    share = np.clip((wanted - places[right - 1]) / (places[right] - places[right - 1]), 0, 1)[:, None]
    between: Floats = values[right - 1] * (1 - share) + values[right] * share
    return between


def _left_out(features: Floats, value: Floats) -> Floats:
    """Squared error (shift, label) of each value (label,) predicted by all others; 1 is the error of the mean."""
    count = len(value)
    most = max(1, min(_COMPONENTS, count // 4, features.shape[2]))
    squared = np.empty((len(features), count))
    for number, raw in enumerate(features[:, :, :most]):
        scale = raw.std(axis=0)
        known = np.column_stack([np.ones(count), (raw - raw.mean(axis=0)) / np.where(scale > 0, scale, 1.0)])
        penalty = _RIDGE * count * np.eye(most + 1)
        penalty[0, 0] = 0.0
        hat = known @ np.linalg.solve(known.T @ known + penalty, known.T)
        squared[number] = ((value - hat @ value) / (1 - np.diag(hat))) ** 2
    return squared


def _even(value: Floats) -> Floats:
    """Values in units of their standard deviation, odd ones drawn in: a single one must not decide."""
    low, middle, high = np.quantile(value, [0.05, 0.5, 0.95])
    held = np.clip(value, middle - 2 * (middle - low), middle + 2 * (high - middle))
    even: Floats = (held - held.mean()) / (held.std() or 1.0)
    return even


def _profiles(runs: Mapping[str, xr.Dataset], cores: set[str]) -> Iterator[tuple[str, tuple[Floats, Floats]]]:
    """Depths and principal components of the spectra of each core, all of one machine setting: the commonest."""
    groups: dict[tuple[str, ...], list[xr.Dataset]] = {}
    for run in runs.values():
        if cores & set(run["core"].values.astype(str)):
            setting = tuple(str(run.attrs.get(key)) for key in ("scanner", "head", "anode", "filter", "tube_voltage"))
            groups.setdefault(setting, []).append(run)
    if not groups:
        return
    chosen = max(groups.values(), key=lambda group: sum(run.sizes["spectrum"] for run in group))
    bands = np.concatenate([_bands(run) for run in chosen])
    core = np.concatenate([run["core"].values.astype(str) for run in chosen])
    depth = np.concatenate([run["depth"].values for run in chosen])
    counts = np.concatenate([run["replicate_of"].values.astype(str) == "" for run in chosen]) & (bands.sum(axis=1) > 0)
    used = bands[counts].mean(axis=0) > 20 if counts.any() else np.zeros(bands.shape[1], bool)
    if used.sum() < 2:
        return
    logs = np.log(bands[counts][:, used] + 1.0)
    logs -= logs.mean(axis=1, keepdims=True)
    middle = np.median(logs, axis=0)
    spread = 1.4826 * np.median(np.abs(logs - middle), axis=0) + 1e-6
    even = np.clip((logs - middle) / spread, -5, 5)
    _, _, axes = np.linalg.svd(even - even.mean(axis=0), full_matrices=False)
    scores = even @ axes[:_COMPONENTS].T
    for name in sorted(cores):
        mine = core[counts] == name
        places, inverse = np.unique(depth[counts][mine], return_inverse=True)
        if len(places) > 2:  # two give no step
            sums = np.zeros((len(places), scores.shape[1]))
            np.add.at(sums, inverse, scores[mine])
            features: Floats = sums / np.bincount(inverse)[:, None]
            yield name, (places, features)


def _bands(run: xr.Dataset) -> Floats:
    """Counts (spectrum, band) in each of `BAND_EDGES`, read block by block."""
    gain, offset = float(np.nanmedian(run["energy_gain"].values)), float(np.nanmedian(run["energy_offset"].values))
    edges = np.clip(np.round((BAND_EDGES - offset) / gain).astype(int), 0, run.sizes["channel"])

    def summed(block: NDArray[np.uint32]) -> Floats:
        area = np.zeros((len(block), edges[-1] + 1))
        np.cumsum(block[:, : edges[-1]], axis=1, out=area[:, 1:])
        bands: Floats = np.diff(area[:, edges], axis=1)
        return bands

    counts = run["counts"].data
    if isinstance(counts, np.ndarray):
        return summed(counts)
    whole = counts.rechunk({1: -1})
    reduced = whole.map_blocks(summed, dtype=np.float64, chunks=(whole.chunks[0], (len(edges) - 1,)))
    result: Floats = reduced.compute()
    return result
