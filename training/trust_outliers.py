"""How many spectra of known and of foreign cores the outlier score flags, over collections of virtual cores; rows.

A quantifier learns from two kinds of sediment off one scanner, whose tubes shine 0.25 to 4 times as bright as usual. It
is asked about new cores of these kinds, then about others: another lithology, another machine, or both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from corebank import bundle, predict, uncertainty
from corebank.model import Quantifier, encoder_weights
from training.finetune import finetune
from training.quantifier import embeddings
from training.trust_intervals import SEEDS_APART, recipe
from training.virtual_cores import cores, measurements

KINDS = (("hemipelagic", 14), ("siliceous", 8))
"""Sediments that are learnt from, and how many cores of each."""

KNOWN = "new cores of known kind"

BRIGHTNESS = (0.25, 4.0)
"""How much brighter or darker the tube of a known core may be."""

ASKED = 6
"""Cores of each foreign kind."""

PROXIES = ("CaCO3", "TOC")

FOREIGN: dict[str, tuple[tuple[str, str, str], ...]] = {
    "itrax-mo-2020": (
        ("itrax-mo-2020", "lake", "lithology"),
        ("itrax-mo-2020", "carbonate", "lithology"),
        ("itrax-mo-2020-b", "hemipelagic", "machine"),
        ("itrax-cr-2020", "hemipelagic", "machine"),
        ("itrax-mo-2008", "hemipelagic", "machine"),
        ("avaatech-rh-10kv", "hemipelagic", "machine"),
        ("itrax-mo-2020-b", "lake", "both"),
        ("itrax-cr-2020", "lake", "both"),
        ("itrax-mo-2008", "lake", "both"),
        ("avaatech-rh-10kv", "lake", "both"),
    ),
    "avaatech-rh-10kv": (
        ("avaatech-rh-10kv", "lake", "lithology"),
        ("avaatech-rh-10kv", "carbonate", "lithology"),
        ("itrax-mo-2020", "hemipelagic", "machine"),
        ("itrax-mo-2020", "lake", "both"),
        ("itrax-mo-2020-b", "carbonate", "both"),
    ),
}
"""Scanner learnt on -> scanner and sediment asked about, and what of it is new."""


def foreign(collections: int, first: int, parent: Path) -> list[dict[str, Any]]:
    """A row for each scanner, collection and kind of core asked about.

    ``flagged`` is the share of its spectra above 1; ``inside`` the share all of whose channels lie between the smallest
    and largest training rate, where both are measured; ``X found`` and ``X said`` are medians [wt%]; ``X held``
    is the share of true values inside the interval for machines seen.
    """
    rows = []
    for scanner in FOREIGN:
        for collection in range(first, first + collections):
            known, new = (kinds(scanner, collection, part) for part in (0, 500))
            model, _ = finetune(recipe(parent, PROXIES, folds=6), known, measurements(known))
            rates = known["intensity"].values
            low, high = rates.min(axis=0), rates.max(axis=0)
            for machine, setting, what, spectra in [("", KNOWN, "", new), *others(scanner, collection)]:
                said, asked = predict.quantify(model, spectra), spectra["intensity"].values
                row: dict[str, Any] = {
                    "learnt on": scanner,
                    "collection": collection,
                    "machine": machine,
                    "asked about": setting,
                    "new": what,
                    "flagged": float((said["outlier_score"] > 1).mean()),
                    "inside": _inside(asked, low, high),
                }
                for proxy in model.proxies:
                    values = spectra[proxy.name].values
                    below, above = proxy.bounds(said[proxy.name].to_numpy(), proxy.half_width)
                    row[f"{proxy.name} found"] = float(np.median(values))
                    row[f"{proxy.name} said"] = float(said[proxy.name].median())
                    row[f"{proxy.name} held"] = float(((below <= values) & (values <= above)).mean())
                rows.append(row)
    return rows


def limits(
    shares: Iterable[float], collections: int, first: int, parent: Path, scanner: str = "itrax-mo-2020"
) -> list[dict[str, Any]]:
    """A row for each limit, collection and kind of core: what the score flags when the limit is set for such a share.

    The encoder of `parent` is taken as it is: nothing is learnt but what known cores look like.
    """
    start = bundle.load(parent)
    network = Quantifier(start.config, 1).eval()
    network.load_state_dict(encoder_weights(start.weights), strict=False)  # the head is not looked at

    def points(spectra: xr.Dataset) -> uncertainty.Points:
        seen = embeddings(network, start.normalization, spectra)
        return uncertainty.Points(seen, *start.normalization(spectra["intensity"].values))

    rows = []
    for collection in range(first, first + collections):
        known, new = (kinds(scanner, collection, part) for part in (0, 500))
        asked = [(KNOWN, points(new))]
        for machine, setting, _, spectra in others(scanner, collection):
            asked.append((f"{setting}, {machine}", points(spectra)))
        learnt, cores_known = points(known), known["core"].values.tolist()
        for share in shares:
            detector = uncertainty.cross_fit_outlier(learnt, cores_known, flagged=share)
            for kind, seen in asked:
                flagged = float((detector.score(*seen) > 1).mean())
                rows.append({"limit": share, "collection": collection, "asked about": kind, "flagged": flagged})
    return rows


def kinds(scanner: str, collection: int, part: int) -> xr.Dataset:
    """The cores of `KINDS` off one scanner; another `part` of a collection, other cores."""
    first = SEEDS_APART * (20_000 + collection) + part
    made = [
        cores(scanner, setting, range(first + 1_000 * place, first + 1_000 * place + count), brightness=BRIGHTNESS)
        for place, (setting, count) in enumerate(KINDS)
    ]
    return xr.concat(made, "spectrum", combine_attrs="override")


def others(scanner: str, collection: int) -> Iterator[tuple[str, str, str, xr.Dataset]]:
    """Machine, sediment, what is new and spectra of each foreign kind; brighter than usual, so that none is darker."""
    first = SEEDS_APART * (20_000 + collection) + 5_000
    for place, (machine, setting, what) in enumerate(FOREIGN[scanner]):
        seeds = range(first + 50 * place, first + 50 * place + ASKED)
        yield machine, setting, what, cores(machine, setting, seeds, brightness=(1.2, 1.2))


def _inside(asked: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> float:
    """Share of the spectra that an envelope test passes; a channel that one side has not measured is not tested."""
    return float((~((asked < low) | (asked > high))).all(axis=1).mean())
