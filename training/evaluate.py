"""Measure a model again, on cores of a catalog that it has not seen.

    python -m training.evaluate MODEL --catalog CATALOG [--core NAME ...] [--section CORE/SECTION ...] [--seen]

A quantifier and its intervals are compared with the laboratory values, section by section; a foundation model fills in
hidden patches, expedition by expedition. What the model or its parents trained on is left out unless ``--seen`` asks
for it.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pandas as pd
import xarray as xr
from cyclopts import App, Parameter
from numpy.typing import NDArray

from corebank import hub, labels, predict, split
from corebank.bundle import Bundle, build, load
from corebank.cli import run as run_program
from corebank.errors import TrainingError
from corebank.model import SpectrumMAE
from training import continual, data, judging, scores
from training.examples import middles, of_one_unit
from training.recipe import Data
from training.reconstruction import errors
from training.task import NETWORK, STACK

app = App(name="python -m training.evaluate", help=__doc__, result_action="return_value")


@app.default
def main(
    model: str,
    /,
    *,
    catalog: str,
    core: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    section: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    seen: bool = False,
) -> None:
    """Print how good a model is.

    Parameters
    ----------
    model
        A run, a bundle, models:/name@alias or models:/name/3.
    catalog
        Catalog of a bank or a federation.
    core
        Only this core; repeat it for several.
    section
        Only this section, as core/section; repeat it for several.
    seen
        Measure on training data too.
    """
    bundle = load(hub.resolve(model))
    spectra = data.spectra(catalog, Data())
    wanted = _wanted(bundle, spectra, (*core, *section), seen=seen)
    if not wanted.any():
        raise TrainingError(model, "has trained on everything that was asked for", "Add --seen, or name other cores")
    chosen = spectra.isel(spectrum=np.flatnonzero(wanted))
    if bundle.kind == "foundation":
        print(reconstruction(bundle, chosen))
    else:
        print(values(bundle, chosen, data.measurements(catalog, Data())))


def reconstruction(model: Bundle, spectra: xr.Dataset) -> str:
    """A line per expedition: mean squared error of hidden patches, in normalised units."""
    network = build(model)
    assert isinstance(network, SpectrumMAE)
    share = float(model.recipe.get("mask_ratio", 0.5))
    found = errors(network, model.normalization, spectra, share)
    return "\n".join(f"{name}  {one['loss']:.4f}  ({one['spectra']} spectra)" for name, one in found.items())


def values(model: Bundle, spectra: xr.Dataset, measurements: pd.DataFrame) -> str:
    """The table of scores, pooled and by section; the value of an interval is the mean over its spectra.

    Raises `SchemaError` when nothing was measured of a proxy, `TrainingError` when no label has a spectrum.
    """
    wanted = [proxy.name for proxy in model.proxies]
    found = labels.match(spectra, measurements, wanted)  # values are means over the model's reach already
    matched = found[found.matched]
    if not len(matched):
        raise TrainingError(model.name, "no label has a spectrum in its depth interval", "Name cores with measurements")
    names = split.unit_names(spectra, "section")
    matched = of_one_unit(matched, spectra["depth"].values, names)
    predicted = predict.quantify(model, spectra)
    units, depth = names[[rows[0] for rows in matched.rows]], middles(matched)
    results = {}
    for proxy, measured in zip(model.proxies, matched.values.T, strict=True):
        value, lower, upper = (
            np.array([answers[rows].mean() for rows in matched.rows])
            for answers in (predicted[f"{proxy.name}{end}"].to_numpy() for end in ("", "_lower", "_upper"))
        )
        results[proxy.name] = {
            STACK if model.companion else NETWORK: scores.by_unit(measured, value, units, depth, (lower, upper))
        }
    return judging.table(results, {proxy.name: proxy.unit for proxy in model.proxies}, "section")


def _wanted(model: Bundle, spectra: xr.Dataset, listed: tuple[str, ...], *, seen: bool) -> NDArray[np.bool_]:
    """(spectrum,) which spectra to measure on."""
    sections = split.unit_names(spectra, "section")
    wanted = np.ones(len(sections), dtype=bool)
    if listed:
        wanted = split.held_out(sections, [name for name in listed if "/" in name])
        wanted |= split.held_out(split.unit_names(spectra, "core"), [name for name in listed if "/" not in name])
    return wanted if seen else wanted & ~continual.known(spectra, model.lineage)


if __name__ == "__main__":
    run_program(app)
