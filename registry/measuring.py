"""Judge a model on cores that its bundle does not record: on what a catalog holds of them today.

A champion and a candidate were often made with other splits, or by an older corebank that kept no labels. Where neither
has been trained on a core, both can be asked about it again, and the gate compares them label by label.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from registry import judged
from registry.standing import expedition, seen

if TYPE_CHECKING:
    import pandas as pd

    from corebank.bundle import Bundle
    from corebank.labels import Labels


def completed(candidate: Bundle, champion: Bundle, catalog: str) -> tuple[Bundle, Bundle]:
    """Both models, judged on every core that judges the champion, as far as neither they nor a parent has seen it.

    What their bundles record with labels is kept as it is; the bundles on disk do not change. Foundation models come
    back as they are.

    Raises `CatalogError` when the catalog, or an expedition in it, cannot be read; `PredictError` when it holds spectra
    on another energy grid than a model reads.
    """
    if champion.kind == "foundation" or candidate.kind == "foundation":
        return candidate, champion
    wanted = {
        proxy: [unit for unit, one in judged.primary(champion, proxy).items() if one.count]
        for proxy in judged.proxies(champion)
    }
    return _completed(candidate, wanted, catalog), _completed(champion, wanted, catalog)


def _completed(model: Bundle, wanted: Mapping[str, Sequence[str]], catalog: str) -> Bundle:
    """The model with a record of each unit, by proxy, that it has not seen and keeps no labels of."""
    given = {proxy.name for proxy in model.proxies}
    missing = {
        proxy: [unit for unit in units if not _recorded(model, proxy, unit) and not seen(model, unit)]
        for proxy, units in wanted.items()
        if proxy in given
    }
    units = sorted({unit for several in missing.values() for unit in several})
    if not units:
        return model
    held_out = {proxy: {**record} for proxy, record in judged.recorded(model, "held_out").items()}
    for unit, records in measured(model, catalog, units):
        for proxy, record in records.items():
            if unit in missing.get(proxy, ()):
                before = held_out.get(proxy, {})
                held_out[proxy] = {**before, "by_core": {**before.get("by_core", {}), unit: record}}
    return replace(model, metrics={**model.metrics, "held_out": held_out})


def _recorded(model: Bundle, proxy: str, unit: str) -> bool:
    found = judged.units(model, proxy).get(unit)
    return found is not None and found.labels is not None


def measured(model: Bundle, catalog: str, units: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each of `units` with what the model says of its labels, as a bundle records it: proxy -> scores and labels.

    The value of a label is the mean over the spectra in its depth interval, and so are the ends of its interval, as
    `training.finetune` has them. Cores and sections that the catalog does not hold, or that have no labels, are left
    out.
    """
    from corebank import labels, predict, split
    from training import data
    from training.recipe import Data

    parts = sorted({tuple(expedition(unit).split("/")) for unit in units})
    selected = Data(sites=tuple(site for site, _ in parts), expeditions=tuple(name for _, name in parts))
    spectra, laboratory = data.spectra(catalog, selected), data.measurements(catalog, selected)
    names = {kind: split.unit_names(spectra, kind) for kind in ("core", "section")}
    known = set(laboratory.loc[laboratory["value"].notna(), "proxy"])
    proxies = [proxy for proxy in model.proxies if proxy.name in known]
    for unit in units:
        rows = np.flatnonzero((names["core"] == unit) | (names["section"] == unit))
        if not len(rows) or not proxies:
            continue
        here = spectra.isel(spectrum=rows)
        matched = labels.match(here, laboratory, [proxy.name for proxy in proxies])
        matched = matched[matched.matched]
        if not len(matched):
            continue
        asked = np.unique(np.concatenate(matched.rows))
        said = predict.quantify(model, here.isel(spectrum=asked))
        inside = [np.searchsorted(asked, row) for row in matched.rows]
        yield unit, _records(said, inside, matched, unit)


def _records(said: pd.DataFrame, inside: Sequence[Any], matched: Labels, unit: str) -> dict[str, Any]:
    """The record of `unit` for each proxy, from the values of spectra and the rows that each of n labels lies over."""
    from training.scores import by_unit

    depth = matched.intervals[["depth_top", "depth_bottom"]].mean(axis=1).to_numpy()
    records = {}
    for column, proxy in enumerate(matched.proxies):
        predicted, lower, upper = (
            np.array([said[f"{proxy}{end}"].to_numpy()[rows].mean() for rows in inside])
            for end in ("", "_lower", "_upper")
        )
        names = np.full(len(inside), unit)
        found = by_unit(matched.values[:, column], predicted, names, depth, (lower, upper))["by_core"]
        if unit in found:
            records[proxy] = found[unit]
    return records
