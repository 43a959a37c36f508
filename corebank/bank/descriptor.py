"""A small description of a spectrum by which like ones are found: shares of its counts in bands of energy.

The axis from 1 to 40 keV is cut into bands that touch and do not overlap: a window around the K-alpha line of each of
`ELEMENTS`, and what lies between the windows. The description of a spectrum is the share of its counts in each band,
the shares of the measured bands summing to one; a band is measured where every bin that it touches is. Two
descriptions p and q are compared by the Hellinger distance over the bands that both measured, their shares made to sum
to one again over those:

    d = sqrt(1 - sum_b sqrt(p_b q_b)),   0 (alike) to 1 (nothing in common).

The square root is what makes the noise of counts the same in small and large bands (it stabilises the variance of a
Poisson count, Anscombe 1948, doi:10.1093/biomet/35.3-4.246), so that the tube's scattered lines do not drown the
elements; the distance is that of Hellinger (1909, doi:10.1515/crll.1909.136.210). Shares do not change with tube
current or live time. They do change with the anode and the voltage: like spectra are like in machine and sediment.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import xraylib

ELEMENTS = (
    *("Al", "Si", "P", "S", "Cl", "Ar", "K", "Ca", "Ti", "Cr", "Mn", "Fe", "Ni", "Cu", "Zn", "Ga"),
    *("Se", "Br", "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Ag", "Ba"),
)
"""Elements with a K-alpha line that core scanners see in sediment, air or their own tube."""

RANGE = (1.0, 40.0)
"""Energies described [keV]: below, detectors see little but noise; the bank's default grid ends at 41."""

HALF_WIDTH = 0.09
"""Half the width of a window [keV]: about the full width at half maximum of silicon detectors, 0.13 to 0.2 keV."""

SCALE = 10_000
"""Square roots of shares are kept as whole numbers of 1/10,000, so that an index stays small; unmeasured is -1."""

FEWEST = 8
"""Bands that two descriptions must share to be compared."""


@lru_cache(maxsize=1)
def bands() -> tuple[tuple[str, float, float], ...]:
    """The bands as (name, lower end, upper end [keV]): ``Ca`` for a window, ``3.40-3.60`` between windows."""
    out = []
    below = RANGE[0]
    for symbol in ELEMENTS:
        centre = round(line_energy(symbol), 2)  # another edition of xraylib's tables must not move the bands
        low, high = centre - HALF_WIDTH, centre + HALF_WIDTH
        out += [(f"{below:.2f}-{low:.2f}", below, low), (symbol, low, high)]
        below = high
    out.append((f"{below:.2f}-{RANGE[1]:.2f}", below, RANGE[1]))
    return tuple(out)


def line_energy(symbol: str) -> float:
    """Energy of an element's K-alpha line [keV], by xraylib; raises `ValueError` for what is no element with one."""
    return float(xraylib.LineEnergy(xraylib.SymbolToAtomicNumber(symbol), xraylib.KA_LINE))


def described(intensity: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Describe spectra.

    Parameters
    ----------
    intensity
        (spectrum, bin) or (bin,), counts or counts per second in each bin; NaN where not measured.
    edges
        (bin + 1,) bin edges [keV], rising.

    Returns
    -------
    (spectrum, band) or (band,) float32: square roots of shares, NaN in bands that were not measured, and everywhere
    for a spectrum without counts.
    """
    values = np.atleast_2d(np.asarray(intensity, dtype=np.float64))
    ends = np.array([[low, high] for _, low, high in bands()])
    inside = np.isfinite(values)
    sums = _between(np.where(inside, np.maximum(values, 0), 0), edges, ends)
    covered = _between(inside * np.diff(edges), edges, ends)
    sums[covered < (1 - 1e-6) * np.diff(ends, axis=1)[:, 0]] = np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = sums / np.nansum(sums, axis=1, keepdims=True)
    found: np.ndarray = np.sqrt(shares).astype(np.float32)
    return found if np.ndim(intensity) == 2 else np.asarray(found[0])


def to_integers(found: np.ndarray) -> list[int]:
    """A description (band,) as an index file keeps it."""
    whole = np.where(np.isnan(found), -1, np.rint(np.nan_to_num(found) * SCALE))
    return [int(value) for value in whole]


def from_integers(kept: np.ndarray) -> np.ndarray:
    """(run, band) float32 of what `to_integers` made, NaN where not measured."""
    whole = np.asarray(kept, dtype=np.float32)
    return np.asarray(np.where(whole < 0, np.float32(np.nan), whole / np.float32(SCALE)))


def distances(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Hellinger distances of a description (band,) to others (run, band): (run,) float64.

    NaN where the two share fewer than `FEWEST` measured bands, or have no counts in those.
    """
    measured, asked = np.isfinite(others), np.isfinite(one)
    theirs, ours = np.where(measured, others, 0), np.where(asked, one, 0)
    counted = measured.astype(np.float32)
    # Products of matrices, not arrays of pairs: 100,000 runs take some 20 ms.
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = (theirs @ ours) / np.sqrt((theirs**2 @ asked.astype(np.float32)) * (counted @ ours**2))
    found = np.sqrt(np.clip(1 - alike.astype(np.float64), 0, 1))
    return np.asarray(np.where(counted @ asked.astype(np.float32) < FEWEST, np.nan, found))


def _between(values: np.ndarray, edges: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Sums of values (spectrum, bin) between pairs of energies (band, 2), bins cut where an end falls inside them."""
    running = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    at = np.interp(ends.ravel(), edges, np.arange(len(edges)))  # in bins from the low end of the axis
    left = np.minimum(at.astype(np.intp), len(edges) - 2)
    share = at - left
    sums = running[:, left] * (1 - share) + running[:, left + 1] * share
    pairs = sums.reshape(len(values), len(ends), 2)
    # A difference of sums may end a rounding below nothing.
    return np.asarray(np.maximum(pairs[:, :, 1] - pairs[:, :, 0], 0))
