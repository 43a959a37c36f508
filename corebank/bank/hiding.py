"""What withdrawals hide: rows of runs and laboratory values, told from what the expedition says of itself.

Attribute ``withdrawn`` of an expedition lists them. A withdrawn run hides all its spectra; a withdrawn core those of
that core, and its laboratory values; a withdrawn contribution the spectra that came in with it, and the laboratory
values that were its own when it was withdrawn. Nothing here reads more columns than the kinds of withdrawals ask for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from corebank.bank import adding
from corebank.bank.records import Withdrawal

ATTRIBUTE = "withdrawn"
"""Of an expedition: its withdrawals. Of the bank: the expeditions that have any, so that others need not be read."""


def withdrawals(said: Mapping[str, Any]) -> tuple[Withdrawal, ...]:
    """The withdrawals that an expedition's attributes list, in the order in which they were made."""
    return tuple(
        Withdrawal(one["kind"], one["name"], one["because"], one["at"], tuple(one.get("labels", ())))
        for one in said.get(ATTRIBUTE, ())
    )


def listed(withdrawals: Iterable[Withdrawal]) -> list[dict[str, Any]]:
    """The withdrawals as the attribute holds them."""
    return [
        {"kind": one.kind, "name": one.name, "because": one.because, "at": one.at}
        | ({"labels": list(one.labels)} if one.labels else {})
        for one in withdrawals
    ]


def rows(run: str, spectra: Callable[[], xr.Dataset], withdrawals: Sequence[Withdrawal]) -> np.ndarray | None:
    """Positions of the spectra of a run that stay to be seen, (spectrum,) int64, or None where all do.

    `spectra` opens the run; it is called where a core or a contribution is withdrawn and the run itself is not.
    """
    if any((one.kind, one.name) == ("run", run) for one in withdrawals):
        return np.empty(0, dtype=np.int64)
    names = {column: [one.name for one in withdrawals if one.kind == column] for column in ("core", "contribution")}
    if not any(names.values()):
        return None
    opened = spectra()
    hidden = np.zeros(opened.sizes["spectrum"], dtype=bool)
    for column, gone in names.items():
        if gone:
            hidden |= np.isin(opened[column].values.astype(str), gone)
    return np.flatnonzero(~hidden) if hidden.any() else None


def seen(run: str, spectra: xr.Dataset, withdrawals: Sequence[Withdrawal]) -> np.ndarray:
    """Which spectra of an opened run stay to be seen, (spectrum,) bool."""
    shown = np.zeros(spectra.sizes["spectrum"], dtype=bool)
    kept = rows(run, lambda: spectra, withdrawals)
    shown[slice(None) if kept is None else kept] = True
    return shown


def any_label(withdrawals: Iterable[Withdrawal]) -> bool:
    """True where a withdrawal may hide laboratory values; a run's never does."""
    return any(one.kind == "core" or one.labels for one in withdrawals)


def labels(table: pd.DataFrame, withdrawals: Sequence[Withdrawal]) -> np.ndarray:
    """Which laboratory values stay to be seen, (row,) bool."""
    cores = [one.name for one in withdrawals if one.kind == "core"]
    kept = ~table["core"].isin(cores).to_numpy(dtype=bool)
    if gone := {key for one in withdrawals for key in one.labels}:
        kept &= np.array([key not in gone for key in keys(table)], dtype=bool)
    return kept


def keys(table: pd.DataFrame) -> list[str]:
    """Sixteen hexadecimal digits for each laboratory value, the same for values that say the same."""
    return [hashlib.blake2b(json.dumps(row).encode(), digest_size=8).hexdigest() for row in adding.said(table)]
