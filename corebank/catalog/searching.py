"""Search the runs of a whole federation: by words, machine, place, depth, licence, laboratory values.

`index` loads the ``index.json`` of every member that answers and holds it ready as arrays; `search` then looks through
them without opening a bank. A member that does not answer is named with what comes back, and so is one that is known
only in part: nothing pretends to be complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pandas as pd
import xraylib

from corebank.bank import descriptor
from corebank.catalog.drivers import Catalog
from corebank.catalog.indexing import Index, index
from corebank.errors import CatalogError

SHOWN = (
    *("entry", "title", "scanner", "anode", "tube_voltage", "spectra", "labels", "proxies", "cores"),
    *("depth_top", "depth_bottom", "south", "west", "north", "east", "energy_min", "energy_max"),
    *("licence", "embargo_until", "doi", "site", "expedition", "run"),
)
"""Columns of what a search finds."""

_L_LINES_ABOVE = 40
"""Elements beyond zirconium are measured by their L lines too; below, those lie under 2 keV, where air takes them."""


@dataclass(frozen=True, eq=False, repr=False)
class Hits:
    """What a search found."""

    index: Index
    """What was searched."""
    rows: np.ndarray
    """(run,) int64, positions of the hits in the index."""
    labels: np.ndarray
    """(run,) int64, laboratory values of the proxies asked for, or of all of them where none was."""
    distance: np.ndarray | None = None
    """(run,) float64, of a search by a spectrum."""
    searched: int = 0
    """Runs looked through."""

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<corebank hits: {len(self)} of {self.searched} runs; {len(self.away)} members away>"

    @property
    def away(self) -> Mapping[str, str]:
        """Member that did not answer -> why."""
        return self.index.away

    @property
    def partly(self) -> Mapping[str, str]:
        """Member that could not be searched in full -> why."""
        return self.index.partly

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row per run, columns `SHOWN`, with ``distance`` after a search by a spectrum.

        ``entry`` is ``site/expedition/run``, which opens as ``cat[site][expedition](run=run)`` in a federation.
        """
        found = self.index.table(self.rows, SHOWN).assign(labels=self.labels)
        if self.distance is not None:
            found.insert(1, "distance", self.distance)
        return found

    def to_json(self) -> dict[str, Any]:
        """As plain values; NaN becomes None."""
        records = self.table.astype(object).where(self.table.notna(), None).to_dict("records")
        return {"hits": records, "searched": self.searched, "away": dict(self.away), "partly": dict(self.partly)}


class Conditions(TypedDict, total=False):
    """What `search` can ask of a run, for those who hand it on."""

    text: str
    proxy: str | Sequence[str]
    element: str
    scanner: str
    anode: str
    tube_voltage: tuple[float, float] | None
    region: tuple[float, float, float, float] | None
    depth: tuple[float, float] | None
    licence: str | Sequence[str]
    min_spectra: int
    min_labels: int


def search(
    catalog: Index | str | Path | Catalog,
    text: str = "",
    *,
    sites: Sequence[str] | None = None,
    expeditions: Sequence[str] | None = None,
    proxy: str | Sequence[str] = (),
    element: str = "",
    scanner: str = "",
    anode: str = "",
    tube_voltage: tuple[float, float] | None = None,
    region: tuple[float, float, float, float] | None = None,
    depth: tuple[float, float] | None = None,
    licence: str | Sequence[str] = (),
    min_spectra: int = 0,
    min_labels: int = 0,
) -> Hits:
    """The runs that meet every condition; what is not known of a run meets none.

    Parameters
    ----------
    catalog
        What `index` returned, or a catalog, which is then indexed first.
    text
        Words that all stand somewhere in title, region, steward, DOI, citation, or the names of site, expedition, run
        and cores, whatever their case.
    sites, expeditions
        Names to look in; None takes all.
    proxy
        Laboratory values that lie where the run was scanned; of several, all of them.
    element
        Symbol of an element of which the run measured a line (K alpha, beyond zirconium also L alpha) that its tube
        could excite. Energies of lines and edges: xraylib.
    scanner, anode
        Kind of scanner (itrax, avaatech ...), element symbol of the anode.
    tube_voltage
        Lowest and highest [kV].
    region
        South, west, north, east [degrees] of a box that the run's cores' box meets; west may lie east of east, across
        the date line.
    depth
        Top and bottom [mm] of an interval that the run's depths meet.
    licence
        One or several SPDX identifiers.
    min_spectra, min_labels
        Fewest spectra of the run; fewest values of each proxy asked for, or of all together where none is.

    Raises `CatalogError` for an element that is none, or a range or box that is upside down.
    """
    found = catalog if isinstance(catalog, Index) else index(catalog)
    proxies = [proxy] if isinstance(proxy, str) and proxy else list(proxy)
    keep = np.ones(len(found), dtype=bool)
    for name, values in (("site", sites), ("expedition", expeditions)):
        if values is not None:
            keep &= found.holds(name, values)
    for name, value in (("scanner", scanner), ("anode", anode)):
        if value:
            keep &= found.holds(name, [value])
    if licences := [licence] if isinstance(licence, str) and licence else list(licence):
        keep &= found.holds("licence", licences)
    numbers = found.numbers
    if tube_voltage is not None:
        low, high = _rising(tube_voltage, "tube voltage", "kV")
        keep &= (numbers["tube_voltage"] >= low) & (numbers["tube_voltage"] <= high)
    if depth is not None:
        top, bottom = _rising(depth, "depth", "mm")
        keep &= (numbers["depth_top"] <= bottom) & (numbers["depth_bottom"] >= top)
    if region is not None:
        keep &= _inside(numbers, region)
    if element:
        keep &= _covers(numbers, element)
    keep &= numbers["spectra"] >= min_spectra
    every = {name.lower(): count for name, count in found.proxies.items()}
    none = np.zeros(len(found), dtype=np.int64)
    counts = [every.get(name.lower(), none) for name in proxies]
    for count in counts:
        keep &= count >= max(min_labels, 1)
    labels = np.sum(counts, axis=0) if counts else found.labels
    if min_labels:
        keep &= labels >= min_labels
    rows = np.flatnonzero(keep)
    for word in text.lower().split():
        rows = rows[found.says(word)[rows]]
    return Hits(found, rows, labels[rows], searched=len(found))


def lines(element: str) -> list[tuple[float, float]]:
    """Lines by which an element is measured, as (energy, absorption edge) [keV]; raises `CatalogError` for no element.

    K alpha, and L alpha beyond zirconium; lines outside `corebank.bank.descriptor.RANGE` are left out.
    """
    try:
        number = xraylib.SymbolToAtomicNumber(element)
    except ValueError as error:
        raise CatalogError("element", f"{element!r} is no element", "Give a symbol such as Fe") from error
    families = [(xraylib.KA_LINE, xraylib.K_SHELL)]
    if number > _L_LINES_ABOVE:
        families.append((xraylib.LA_LINE, xraylib.L3_SHELL))
    known = [
        (float(xraylib.LineEnergy(number, line)), float(xraylib.EdgeEnergy(number, edge))) for line, edge in families
    ]
    low, high = descriptor.RANGE
    return [(energy, edge) for energy, edge in known if low <= energy <= high]


def _covers(numbers: Mapping[str, np.ndarray], element: str) -> np.ndarray:
    keep = np.zeros(len(numbers["spectra"]), dtype=bool)
    voltage = numbers["tube_voltage"]
    for energy, edge in lines(element):
        excited = ~(voltage <= edge)  # where the voltage is not known, what was measured must do
        keep |= (numbers["energy_min"] <= energy) & (numbers["energy_max"] >= energy) & excited
    return keep


def _inside(numbers: Mapping[str, np.ndarray], region: tuple[float, float, float, float]) -> np.ndarray:
    south, west, north, east = region
    if not (-90 <= south <= north <= 90) or not all(-180 <= value <= 360 for value in (west, east)):
        raise CatalogError(
            "region",
            f"{south:g} {west:g} {north:g} {east:g} is no box",
            "Give south, west, north, east in degrees, south below north",
        )
    within = (numbers["south"] <= north) & (numbers["north"] >= south)
    if east - west >= 360:
        return np.asarray(within & np.isfinite(numbers["west"]))
    # Two arcs of a circle meet where one begins inside the other.
    begins, width = numbers["west"], (numbers["east"] - numbers["west"]) % 360
    with np.errstate(invalid="ignore"):
        meets = ((begins - west) % 360 <= (east - west) % 360) | ((west - begins) % 360 <= width)
    return np.asarray(within & meets)


def _rising(pair: Iterable[float], what: str, unit: str) -> tuple[float, float]:
    low, high = pair
    if not low <= high:
        raise CatalogError(what, f"{low:g} to {high:g} {unit} is no range", "Give the smaller number first")
    return low, high
