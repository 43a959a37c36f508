"""The index of a whole catalog: every member's ``index.json``, side by side in memory.

A member without one (its bank was written by an older corebank) is known by its catalog's entries: names, titles,
licences and numbers of spectra, nothing of machines and depths.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corebank.bank import descriptor, listing
from corebank.bank import index as files
from corebank.catalog import fetching
from corebank.catalog.drivers import Catalog, SpectraSource
from corebank.catalog.members import Member
from corebank.catalog.opening import catalogs, open_catalog
from corebank.errors import CorebankError

AT_ONCE = 16
"""Members asked at the same time; they answer from elsewhere, and we wait."""

MAX_BYTES = 256 * 2**20
"""Largest index that is read [bytes]; a run takes about 600."""

NUMBERS = (
    *("tube_voltage", "spectra", "depth_top", "depth_bottom", "energy_min", "energy_max"),
    *("south", "west", "north", "east"),
)
"""Columns held as float64, NaN where unknown."""

NAMES = ("site", "expedition", "scanner", "anode", "licence")
"""Columns held as codes, so that a name is compared once and not once a run."""


_COLUMNS = tuple(name for name in files.COLUMNS if name != "descriptor")


@dataclass(frozen=True, eq=False, repr=False)
class Index:
    """Every run of a catalog, held ready to be searched; made by `index`."""

    columns: Mapping[str, Sequence[Any]]
    """``entry``, ``site`` and `corebank.bank.index.COLUMNS`, each with one value per run."""
    away: Mapping[str, str]
    """Member that did not answer -> why."""
    partly: Mapping[str, str]
    """Member that is known in part only -> why."""
    numbers: Mapping[str, np.ndarray]
    """`NUMBERS` (run,) float64."""
    proxies: Mapping[str, np.ndarray]
    """Proxy -> number of measurements where each run was scanned, (run,) int64."""
    labels: np.ndarray
    """Number of measurements of all proxies, (run,) int64."""
    codes: Mapping[str, tuple[np.ndarray, Mapping[str, list[int]]]]
    """`NAMES` -> code of each run (run,), and the codes of each name in lower case."""
    descriptors: np.ndarray
    """Descriptions of the mean spectra, (run, band) float32, see `corebank.bank.descriptor`."""
    texts: Sequence[tuple[np.ndarray, Sequence[str]]]
    """What words are looked for in, in lower case: texts that stand in many runs once, and which a run has (run,)."""

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"<corebank index of {len(self)} runs; {len(self.away)} members away, {len(self.partly)} known in part>"

    def says(self, word: str) -> np.ndarray:
        """Which runs have a word, in lower case, in one of their texts: (run,) bool."""
        keep = np.zeros(len(self), dtype=bool)
        for codes, known in self.texts:
            keep |= np.array([word in said for said in known], dtype=bool)[codes]
        return keep

    def holds(self, column: str, names: Sequence[str]) -> np.ndarray:
        """Which runs have one of `names` in a column of `NAMES`, whatever its case: (run,) bool."""
        codes, known = self.codes[column]
        wanted = {code for name in names for code in known.get(name.lower(), ())}
        keep = np.zeros(len(codes), dtype=bool)
        for code in wanted:
            keep |= codes == code
        return keep

    def table(self, rows: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
        """Rows (run,) of the columns `names` as a table; a name that is no column gives an empty one."""
        found = pd.DataFrame(
            {
                name: self.numbers[name][rows] if name in self.numbers else self._plain(name)[rows]
                for name in names
                if name in self.columns
            },
            columns=list(names),
        )
        return found.astype({"spectra": np.int64}) if "spectra" in found else found

    def _plain(self, name: str) -> np.ndarray:
        if name not in self._objects:
            values = np.empty(len(self), dtype=object)
            values[:] = list(self.columns[name])
            self._objects[name] = values
        return self._objects[name]

    @cached_property
    def _objects(self) -> dict[str, np.ndarray]:
        return {}


@dataclass(frozen=True, eq=False)
class _Bank:
    """What is known of the runs of one bank."""

    columns: Mapping[str, list[Any]]
    """`corebank.bank.index.COLUMNS` but for the descriptor."""
    descriptors: np.ndarray
    """(run, band) int16, as the index keeps them."""
    site: str
    reason: str = ""
    """Why it is not all that could be known."""


def index(catalog: str | Path | Catalog) -> Index:
    """Load the index of every member of a catalog that answers, many at once.

    Raises `CatalogError` when the catalog itself cannot be read. Members that cannot are in ``away``.
    """
    missing: list[Member] = []
    found = list(catalogs(open_catalog(catalog), missing))
    away = {one.site: one.problem for one in missing if not one.entries}
    partly = {one.site: one.problem for one in missing if one.entries}
    columns: dict[str, list[Any]] = {name: [] for name in ("entry", "site", *_COLUMNS)}
    descriptors = [np.empty((0, len(descriptor.bands())), dtype=np.int16)]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for bank in threads.map(_loaded, found):
            if bank.reason and len(bank.descriptors):
                partly.setdefault(bank.site, bank.reason)
            for column in _COLUMNS:
                columns[column] += bank.columns[column]
            named = zip(bank.columns["expedition"], bank.columns["run"], strict=True)
            columns["entry"] += ["/".join((bank.site, *both)) for both in named]
            columns["site"] += [bank.site] * len(bank.descriptors)
            descriptors.append(bank.descriptors)
    return _made(columns, np.concatenate(descriptors), away, partly)


def _loaded(catalog: Catalog) -> _Bank:
    """What the index beside a catalog says; what the catalog's entries say where there is none, or none of ours."""
    about = catalog.metadata
    site, bank = str(about.get("site", "")), str(about.get("bank", ""))
    if not bank:
        return _from_entries(catalog, site, "its catalog was written by an older corebank, without an index")
    try:
        address = f"{bank.replace(listing.HERE, fetching.folder_of(str(catalog.path)))}/{files.FILE_NAME}"
        content = fetching.fetch(
            address,
            seconds=getattr(catalog, "timeout", None),
            limit=MAX_BYTES,
            storage_options=catalog.storage_options,
        )
        document = json.loads(content)
        columns, descriptors = _checked(document)
    except Exception as error:  # not there, cut short, not ours: its entries are what is left
        why = error.found if isinstance(error, CorebankError) else str(error)
        return _from_entries(catalog, site, f"its index cannot be read ({why}); its catalog alone was searched")
    behind = document["snapshot"] != about.get("snapshot", document["snapshot"])
    return _Bank(columns, descriptors, site, "its index is of another snapshot than its catalog" if behind else "")


def _checked(document: Any) -> tuple[dict[str, list[Any]], np.ndarray]:
    """Columns and descriptors of an index file; raises `ValueError` unless they are what we would have written."""
    if not isinstance(document, dict) or document.get("corebank_index") != files.FORMAT:
        raise ValueError("no index of this format")
    columns = {name: document["columns"][name] for name in _COLUMNS}
    count = len(columns["run"])
    for name, values in columns.items():
        kind = _KINDS.get(name, str)
        if not isinstance(values, list) or len(values) != count or not all(isinstance(one, kind) for one in values):
            raise ValueError(f"{name} holds other things than it should")
    descriptors = np.array(document["columns"]["descriptor"], dtype=np.int16)
    return columns, descriptors.reshape(count, len(descriptor.bands()))


_KINDS: dict[str, Any] = {
    **dict.fromkeys(NUMBERS, (int, float, type(None))),
    "synthetic": bool,
    "cores": list,
    "core_depths": list,
    "proxies": dict,
}


def _from_entries(catalog: Catalog, site: str, reason: str) -> _Bank:
    """What a catalog's own entries say of its runs."""
    unknown = {**dict.fromkeys(_COLUMNS, ""), **dict.fromkeys(NUMBERS), "synthetic": False}
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for name in list(catalog):
        source = catalog[name]
        if not isinstance(source, SpectraSource):
            continue
        about = source.metadata
        cores = [str(core["name"]) for core in about.get("cores", [])]
        said = {key: str(about.get(key, "")) for key in files.SAID}
        for run, spectra in dict(about.get("runs", {})).items():
            named = {"expedition": source.expedition, "run": str(run), "spectra": int(spectra), "cores": cores}
            for column, value in {**unknown, "proxies": {}, "core_depths": [], **said, **named}.items():
                columns[column].append(value)
    descriptors = np.full((len(columns["run"]), len(descriptor.bands())), -1, dtype=np.int16)
    return _Bank(columns, descriptors, site, reason)


def _made(
    columns: dict[str, list[Any]], descriptors: np.ndarray, away: Mapping[str, str], partly: Mapping[str, str]
) -> Index:
    count = len(columns["entry"])
    numbers = {name: np.array(columns[name], dtype=np.float64) for name in NUMBERS}
    proxies: dict[str, np.ndarray] = {}
    for row, here in enumerate(columns["proxies"]):
        for proxy, number in here.items():
            proxies.setdefault(proxy, np.zeros(count, dtype=np.int64))[row] = number
    codes: dict[str, tuple[np.ndarray, Mapping[str, list[int]]]] = {}
    for name in NAMES:
        values, known = pd.factorize(np.array(columns[name], dtype=object))
        lower: dict[str, list[int]] = {}
        for code, value in enumerate(known.tolist()):
            lower.setdefault(value.lower(), []).append(code)
        codes[name] = (values, lower)
    said = ("title", "region", "steward", "doi", "citation", "site", "expedition")
    own = zip(columns["run"], columns["cores"], strict=True)
    texts = [
        _shared(["\n".join(words).lower() for words in zip(*(columns[name] for name in said), strict=True)]),
        _shared(["\n".join((run, *map(str, cores))).lower() for run, cores in own]),
    ]
    labels = np.zeros(count, dtype=np.int64)
    for counted in proxies.values():
        labels += counted
    described = descriptor.from_integers(descriptors)
    return Index(columns, dict(away), dict(partly), numbers, proxies, labels, codes, described, texts)


def _shared(texts: list[str]) -> tuple[np.ndarray, list[str]]:
    """Which text each run has, and every text once."""
    codes, known = pd.factorize(np.array(texts, dtype=object))
    return codes, known.tolist()
