"""Values of a section as running means along its depth, where a model was made to be read like that.

A scanner counts for seconds what a laboratory weighs from a slice of a centimetre: neighbours along the depth hold most
of what one spectrum lacks. A model says how far it looks (`Bundle.reach`, in mm up and down); its intervals were found
at that reach. Rows of a section are held until the section is whole, never more than that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

PLACE = ("site", "expedition", "run", "core", "section")
"""Columns that tell one section from the next, as far as a selection has them."""


class Said(NamedTuple):
    """Some neighbouring spectra, and what was said of them; n spectra, k proxies."""

    columns: xr.Dataset
    network: NDArray[np.float64]
    """(n, k) network units, NaN where nothing could be said."""
    score: NDArray[np.float64]
    """(n,) how unlike the known spectra."""
    cause: NDArray[np.object_]
    """(n,) which of `corebank.uncertainty.PARTS` is the least known; empty where nobody can tell."""


def running_mean(values: NDArray[Any], position: NDArray[Any], reach: float) -> NDArray[np.float64]:
    """Mean of the values (n, k) whose positions (n,) [mm] lie within `reach` mm, NaN left out; n, k stay.

    A value that is NaN stays NaN, and one whose position is not known stays as it is.
    """
    given = np.asarray(values, dtype=np.float64)
    found = given.copy()
    placed = np.flatnonzero(np.isfinite(position))
    order = placed[np.argsort(position[placed], kind="stable")]
    along, there = np.asarray(position, dtype=np.float64)[order], np.isfinite(given[order])
    # Float noise of positions must not decide whether a neighbour exactly at the reach counts.
    first = np.searchsorted(along, along - reach - 1e-6, side="left")
    last = np.searchsorted(along, along + reach + 1e-6, side="right")
    sums = np.concatenate([np.zeros((1, given.shape[1])), np.cumsum(np.where(there, given[order], 0.0), axis=0)])
    counts = np.concatenate([np.zeros((1, given.shape[1])), np.cumsum(there, axis=0)])
    number = np.maximum(counts[last] - counts[first], 1)
    found[order] = np.where(there, (sums[last] - sums[first]) / number, np.nan)
    return found


def with_neighbours(parts: Iterable[Said], reach: float) -> Iterator[Said]:
    """The same parts in other pieces, values as running means within each section; with a reach of 0 as they are."""
    if not reach:
        yield from parts
        return
    held: list[Said] = []
    section = None
    for part in parts:
        names = _sections(part.columns)
        starts = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(names)]
        for start, stop in pairwise(starts):
            if held and names[start] != section:
                yield _smoothed(held, reach)
                held = []
            section = names[start]
            rows = slice(start, stop)
            held.append(Said(part.columns.isel(spectrum=rows), part.network[rows], part.score[rows], part.cause[rows]))
    if held:
        yield _smoothed(held, reach)


def _smoothed(held: list[Said], reach: float) -> Said:
    columns = xr.concat([one.columns for one in held], dim="spectrum") if len(held) > 1 else held[0].columns
    network, score, cause = (
        np.concatenate([getattr(one, name) for one in held]) for name in ("network", "score", "cause")
    )
    name = next((one for one in ("section_position", "depth") if one in columns), None)
    if name is None:
        return Said(columns, network, score, cause)
    return Said(columns, running_mean(network, columns[name].values, reach), score, cause)


def _sections(columns: xr.Dataset) -> NDArray[np.object_]:
    """The section of each spectrum as one text."""
    names = np.full(columns.sizes["spectrum"], "", dtype=object)
    for name in PLACE:
        if name in columns:
            names = names + "\x1f" + columns[name].values.astype(str).astype(object)
    return names
