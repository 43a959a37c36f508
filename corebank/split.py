"""Which cores a model trains on, and which only judge it: decided by the name alone, so that it never changes.

Spectra millimetres apart are almost copies of each other: a split by row lets a model look up its answers (worth up to
+0.57 R2 on 100 labels in the published study). Whole units (cores, or sections where a single core is all there is)
stay on one side, and a unit stays on its side whatever else joins the collection and whoever computes the split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from corebank.errors import RecipeError

Unit = Literal["core", "section"]


def assign(units: Iterable[str], *, fractions: Mapping[str, float], seed: int = 0) -> dict[str, str]:
    """Give each unit a side.

    Parameters
    ----------
    units
        Names; repeats count once.
    fractions
        Side to its expected share of the units, in order, adding up to 1: ``{"train": 0.9, "validation": 0.1}``. A
        side that grows takes units from its neighbours in this order only.
    seed
        Another seed is another split.

    Returns
    -------
    dict
        Unit to side. The share of a side is exact only for many units: a handful may all land on one.

    Raises
    ------
    RecipeError
        When the fractions do not add up to 1 or one is negative.
    """
    total = sum(fractions.values())
    if not abs(total - 1) < 1e-9 or min(fractions.values()) < 0:
        found = ", ".join(f"{side} {share}" for side, share in fractions.items())
        raise RecipeError("split", f"the shares {found} add up to {total:g}", "Give shares from 0 that add up to 1")
    sides, ends = list(fractions), np.cumsum(list(fractions.values()))
    ends[-1] = 1.0  # a sum such as 0.1 + 0.2 + 0.7 may end just below 1 and leave a unit without a side
    return {unit: sides[int(np.searchsorted(ends, _place(unit, seed), side="right"))] for unit in units}


def unit_names(spectra: xr.Dataset, unit: Unit | Literal["expedition"]) -> NDArray[np.str_]:
    """The unit each spectrum belongs to, (spectrum,): ``site/expedition/core``, with ``/section`` or without ``/core``.

    Variables of `spectra` that are missing count as empty. A core's name may hold a slash: never take these apart.
    """
    parts = ("site", "expedition", "core", "section")
    empty = np.full(spectra.sizes["spectrum"], "")
    wanted = parts[: parts.index(unit) + 1]
    columns = [spectra[part].values.astype(str) if part in spectra else empty for part in wanted]
    return np.array(["/".join(names) for names in zip(*columns, strict=True)], dtype=np.str_)


def held_out(names: NDArray[np.str_], listed: Iterable[str]) -> NDArray[np.bool_]:
    """Which unit names end in a `listed` one, whole parts only: ``ARD1/ARD1E`` is the end of ``lab/ardley/ARD1/ARD1E``.

    Raises `RecipeError` for a listed name that is nowhere: a misspelt test core would be trained on.
    """
    unique, inverse = np.unique(names, return_inverse=True)
    chosen = np.zeros(len(unique), dtype=bool)
    for name in listed:
        match = np.array([f"/{one}".endswith(f"/{name}") for one in unique], dtype=bool)
        if not match.any():
            raise RecipeError(f"held-out unit {name}", "not in the selection", f"Name one of {', '.join(unique[:8])}")
        chosen |= match
    return np.asarray(chosen[inverse])


def _place(unit: str, seed: int) -> float:
    """A number in [0, 1) that depends on the name and the seed only."""
    digest = hashlib.sha256(f"{seed}/{unit}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
