"""From a recipe and a catalog to the spectra of a run: what may be seen, what is held out, and the record of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from numpy.typing import NDArray

from corebank import catalog as catalogs
from corebank import predict, split
from corebank.bundle import Bundle, DataLineage
from corebank.errors import TrainingError
from corebank.schema import Flag
from training.recipe import Data, Split


def spectra(catalog: str, data: Data) -> xr.Dataset:
    """The spectra that `data` selects from `catalog`, columns in memory and intensity lazy.

    See `corebank.catalog.select` for what is in it.

    Raises `CatalogError` for names that are not there, `TrainingError` when the flags leave nothing.
    """
    selected = catalogs.select(
        catalog,
        sites=data.sites or None,
        expeditions=data.expeditions or None,
        exclude_cores=data.exclude_cores,
        exclude_sections=data.exclude_sections,
    )
    skipped = sum(int(Flag[flag]) for flag in set(data.skip_flags))
    keep = (selected["flags"].values & skipped) == 0
    if not keep.any():
        raise TrainingError(catalog, f"all {len(keep)} spectra are flagged", "Shorten data.skip_flags")
    kept = selected if keep.all() else selected.isel(spectrum=np.flatnonzero(keep))
    # The columns are looked at again and again (splits, labels, every validation): read them once, the spectra later.
    return kept.drop_vars("intensity").load().assign(intensity=kept["intensity"])


def measurements(catalog: str, data: Data) -> pd.DataFrame:
    """All laboratory values of the sites and expeditions of `data`."""
    return catalogs.measurements(catalog, sites=data.sites or None, expeditions=data.expeditions or None)


def held_out(names: NDArray[np.str_], rule: Split) -> NDArray[np.bool_]:
    """Which of the units (n,), named as `corebank.split.unit_names` does, are held out of training: (n,) bool.

    Raises `RecipeError` for a named unit that is not there, `TrainingError` when nothing is left to train on.
    """
    sides = split.assign(names.tolist(), fractions={"held out": rule.share, "train": 1 - rule.share}, seed=rule.seed)
    chosen = split.held_out(names, rule.held_out) | np.array([sides[name] == "held out" for name in names.tolist()])
    if chosen.all():
        units = ", ".join(sorted(set(names.tolist()))[:8])
        raise TrainingError("split", f"every {rule.unit} is held out: {units}", "Hold out less")
    return np.asarray(chosen)


def refuse_seen(names: NDArray[np.str_], rule: Split, parent: Bundle | None) -> None:
    """Raise `TrainingError` when the parent was trained on one of the units (n,) that are to judge its child."""
    if parent is None:
        return
    seen = set(parent.lineage.sections if rule.unit == "section" else parent.lineage.cores)
    if both := sorted(seen & set(names.tolist())):
        raise TrainingError(
            "split",
            f"{', '.join(both[:8])} was already trained on by {parent.name}",
            "Hold out what the parent held out",
        )


def lineage(trained: xr.Dataset, parent: Bundle | None, parent_name: str) -> DataLineage:
    """The record of the spectra in `trained`, joined to what the parent has seen."""
    before = parent.lineage if parent else DataLineage()
    expeditions = set(split.unit_names(trained, "expedition").tolist())

    def joined(name: str, keys: set[str]) -> Mapping[str, str]:
        here: dict[str, str] = json.loads(trained.attrs.get(name, "{}"))
        return {**getattr(before, name), **{key: value for key, value in here.items() if key in keys}}

    sites = set(trained["site"].values.astype(str).tolist())
    return DataLineage(
        snapshots=joined("snapshots", sites),
        bank_urls=joined("bank_urls", sites),
        licences=joined("licences", expeditions),
        citations=joined("citations", expeditions),
        dois={entry: doi for entry, doi in joined("dois", expeditions).items() if doi},
        synthetic=tuple(
            sorted({*before.synthetic, *(expeditions & json.loads(trained.attrs.get("synthetic", "{}")).keys())})
        ),
        cores=_union(before.cores, split.unit_names(trained, "core")),
        sections=_union(before.sections, split.unit_names(trained, "section")),
        machines=_union(before.machines, predict.machines(trained)),
        parent=parent_name,
    )


def _union(before: tuple[str, ...], here: NDArray[Any]) -> tuple[str, ...]:
    return tuple(sorted({*before, *here.tolist()} - {""}))


def tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
    """Arrays as a bundle holds them."""
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
