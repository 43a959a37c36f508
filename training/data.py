"""From a recipe and a catalog to the spectra of a run: what may be seen, what is held out, and the record of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from numpy.typing import NDArray

from corebank import catalog as catalogs
from corebank import predict, split
from corebank.bundle import Bundle, DataLineage
from corebank.errors import TrainingError
from corebank.rows import aligned
from corebank.schema import Flag
from training import continual
from training.recipe import Data, Pretraining, Probe, Split


class Sides(NamedTuple):
    """What each spectrum of a pretraining is for: whole units, never single spectra."""

    names: NDArray[np.str_]
    """(spectrum,) the unit of each, as `corebank.split.unit_names` has them."""

    trained: NDArray[np.bool_]
    """(spectrum,)"""

    held: NDArray[np.bool_]
    """(spectrum,) what is reported."""

    stop: NDArray[np.bool_]
    """(spectrum,) what only stops the training."""

    known: NDArray[np.bool_]
    """(spectrum,) what the parent was trained on, see `training.continual.known`; nothing where there is no parent."""


def sides(spectra: xr.Dataset, recipe: Pretraining, parent: Bundle | None) -> Sides:
    """Divide `spectra` by the recipe's rules.

    Raises `RecipeError` for a named unit that is not there; `TrainingError` when nothing is left to train on or to stop
    by, or the parent was trained on what is to judge its child, whatever that is called now.
    """
    names = split.unit_names(spectra, recipe.split.unit)
    held = held_out(names, recipe.split)
    before = np.full(len(names), "", dtype=object)
    if parent is not None:
        before = continual.trained_as(spectra, parent.lineage)
    refuse_seen(names[held], recipe.split, parent, before[held])
    stop = stopping(names, held, recipe.split, recipe.probe)
    return Sides(names, ~held & ~stop, held, stop, before != "")


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
    kept = selected if keep.all() else aligned(selected, np.flatnonzero(keep))
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


def stopping(names: NDArray[np.str_], held: NDArray[np.bool_], rule: Split, probe: Probe) -> NDArray[np.bool_]:
    """Which of the units (n,) neither train nor are reported, but only stop the training: (n,) bool.

    They are chosen among those that are not `held` out. None without `Probe.patience`, or where the held-out ones are
    to stop it.

    Raises `RecipeError` for a named unit that is not there, `TrainingError` when none or nothing but they are left.
    """
    chosen = np.zeros(len(names), dtype=bool)
    if not probe.patience or not (probe.stop_share or probe.stop_units):
        return chosen
    # With the seed of the split itself, a share of the rest would be no share at all: the hash has chosen already.
    by_hash = Split(unit=rule.unit, held_out=probe.stop_units, share=probe.stop_share, seed=rule.seed + 1)
    chosen[~held] = held_out(names[~held], by_hash)
    if not chosen.any():
        raise TrainingError(
            "probe.stop_share",
            f"no {rule.unit} of {len(set(names[~held].tolist()))} is left to stop the training",
            "Name some in probe.stop_units, raise probe.stop_share, or set it to 0 to stop by what is held out",
        )
    return chosen


def refuse_seen(
    names: NDArray[np.str_],
    rule: Split,
    parent: Bundle | None,
    before: NDArray[np.object_] | None = None,
) -> None:
    """Raise `TrainingError` when the parent was trained on one of the units (n,) that are to judge its child.

    Told by their names, and by their spectra where `before` is given: (n,) what `training.continual.trained_as` says of
    a spectrum of each unit. A unit that was renamed since is known by its spectra only.
    """
    if parent is None:
        return
    lineage = parent.lineage
    # Models from before lineages named sections: a section counts as seen when its core was.
    within = tuple(f"{core}/" for core in lineage.cores) if rule.unit == "section" and not lineage.sections else ()
    seen = set(lineage.sections if rule.unit == "section" else lineage.cores)
    both: dict[str, list[str]] = {}
    earlier = [""] * len(names) if before is None else before.tolist()
    for name, then in sorted(set(zip(names.tolist(), earlier, strict=True))):
        if then or name in seen or name.startswith(within):
            renamed = then and not f"{then}/".startswith(f"{name}/") and not f"{name}/".startswith(f"{then}/")
            both.setdefault(name, []).extend([then] if renamed else [])
    if both:
        told = [f"{name} (then {', '.join(then[:8])})" if then else name for name, then in both.items()]
        raise TrainingError(
            "split",
            f"{', '.join(told[:8])} was already trained on by {parent.name}",
            "Hold out what the parent held out; data.exclude_cores and data.exclude_sections leave out the rest",
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
