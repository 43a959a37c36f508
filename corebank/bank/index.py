"""``index.json``: what can be searched of a bank, one row per run, beside its ``catalog.yaml``.

The file is columnar JSON: ``columns`` holds one list per name of `COLUMNS`, all of one length. It is made of
attributes, of the columns that each spectrum carries, and of a sample of the intensities; what takes reading is read
once per run and taken over from the former index as long as no commit has touched the run. What a rebuild from nothing
would give is what stands in it, always.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from corebank import __version__
from corebank.bank import descriptor
from corebank.errors import BankNotFoundError

if TYPE_CHECKING:
    import pandas as pd

    from corebank.bank.view import View

FILE_NAME = "index.json"

FORMAT = 1
"""Goes up when the same bank would give another index; one of another format is made anew."""

READ = {
    "scanner": "kind of scanner",
    "model": "maker's model name",
    "head": "measuring head or detector unit",
    "anode": "element symbol of the tube's anode",
    "filter": "primary filter",
    "tube_voltage": "median over the spectra, or the nominal one [kV]; null where unknown",
    "spectra": "number of spectra",
    "cores": "names of its cores, in order of their first spectrum",
    "core_depths": "composite depth of the first and the last spectrum of each of `cores` [mm]",
    "depth_top": "smallest composite depth [mm]; null where unknown",
    "depth_bottom": "largest composite depth [mm]; null where unknown",
    "energy_min": "lower end of what all (sampled) spectra measured [keV]; null where there is nothing",
    "energy_max": "upper end of it [keV]",
    "descriptor": "the mean spectrum in a few numbers, see corebank.bank.descriptor",
}
"""Columns that take reading the run."""

SAID = ("title", "region", "steward", "doi", "citation", "licence", "embargo_until")
"""Columns that repeat the expedition's attributes, as text."""

COLUMNS: dict[str, str] = {
    "expedition": "expedition the run belongs to",
    "run": "run inside the expedition",
    **{name: f"the expedition's {name.replace('_', ' ')}, empty where unknown" for name in SAID},
    "synthetic": "true for spectra that no scanner measured",
    **READ,
    "south": "smallest latitude of its cores [degrees north]; null where none is known",
    "west": "western end of the box around its cores [degrees east, -180 to 180]; east of `east` across the date line",
    "north": "largest latitude of its cores",
    "east": "eastern end of the box",
    "proxies": "proxy -> number of measurements whose interval meets the run's depths in the same core",
}
"""Every column of the index."""

_BLOCK, _APART, _MOST = 256, 1_024, 8
"""The mean spectrum is that of blocks of so many neighbours, one in so many spectra, and no more than so many."""


def made(view: View, before: Mapping[str, Any] | None = None, touched: Collection[str] | None = None) -> dict[str, Any]:
    """The index of what `view` shows.

    Parameters
    ----------
    before
        A former index of the same bank, or None.
    touched
        Paths (``expedition/run/array``) that commits since `before` touched; None where that is not known, and then
        everything is read anew.
    """
    kept = rows_of(before) if before and touched is not None else {}
    groups = {path.partition("/")[0] for path in touched or ()}
    runs = {"/".join(path.split("/")[:2]) for path in touched or ()}
    hidden: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    for expedition in view.expeditions():
        if expedition in kept and expedition not in groups:
            hidden[expedition] = dict(before or {})["hidden"][expedition]
            rows += kept[expedition].values()
            continue
        about = view.attributes(expedition)
        hidden[expedition] = _sha256(json.dumps(about.get("withdrawn", []), sort_keys=True))
        # A withdrawal or its end changes which spectra are seen in runs that no commit has touched.
        same = expedition in kept and dict(before or {})["hidden"][expedition] == hidden[expedition]
        facts = {}
        for run, spectra in view.runs(expedition).items():
            if not spectra:
                continue
            row = kept[expedition].get(run) if same and f"{expedition}/{run}" not in runs else None
            facts[run] = {name: row[name] for name in READ} if row else _read(view, expedition, run)
        rows += _said(view, expedition, about, facts)
    return {
        "corebank_index": FORMAT,
        "written_by": f"corebank {__version__}",
        "site": view.site,
        "snapshot": view.snapshot,
        "grid": json.loads(view.grid.to_json()),
        "hidden": hidden,
        "columns": {name: [row[name] for row in rows] for name in COLUMNS},
    }


def text(document: Mapping[str, Any]) -> str:
    """The file of an index; it ends with a hash over the rest."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return f'{body[:-1]},"digest":"{_sha256(body)}"}}\n'


def parsed(content: str | None) -> dict[str, Any] | None:
    """The index in a file; None where there is no file, or it is none of this format, or was changed by hand."""
    body, _, end = (content or "").rpartition(',"digest":"')
    if end != f'{_sha256(body + "}")}"}}\n':
        return None
    try:
        document: Any = json.loads(body + "}")
    except ValueError:
        return None
    return document if isinstance(document, dict) and document.get("corebank_index") == FORMAT else None


def rows_of(document: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Expedition -> run -> row."""
    columns = document["columns"]
    found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in document["hidden"]}
    for values in zip(*(columns[name] for name in COLUMNS), strict=True):
        row = dict(zip(COLUMNS, values, strict=True))
        found[row["expedition"]][row["run"]] = row
    return found


def _read(view: View, expedition: str, name: str) -> dict[str, Any]:
    """The columns `READ` of one run."""
    run = view.run(expedition, name)
    core, depth = run["core"].values.astype(str), np.asarray(run["depth"].values, dtype=np.float64)
    cores = list(dict.fromkeys(core.tolist()))
    depths = [_ends(depth[core == one]) for one in cores]
    voltage = np.asarray(run["tube_voltage"].values, dtype=np.float64)
    nominal = float(run.attrs.get("tube_voltage", np.nan))
    mean = _mean(run["intensity"])
    measured, edges = np.flatnonzero(np.isfinite(mean)), view.grid.edges
    return {
        **{key: str(run.attrs.get(key, "")) for key in ("scanner", "model", "head", "anode", "filter")},
        "tube_voltage": _number(np.nanmedian(voltage) if np.isfinite(voltage).any() else nominal),
        "spectra": int(run.sizes["spectrum"]),
        "cores": cores,
        "core_depths": depths,
        "depth_top": _ends(depth)[0],
        "depth_bottom": _ends(depth)[1],
        "energy_min": _number(edges[measured[0]]) if measured.size else None,
        "energy_max": _number(edges[measured[-1] + 1]) if measured.size else None,
        "descriptor": descriptor.to_integers(descriptor.described(mean, edges)),
    }


def _mean(intensity: Any) -> np.ndarray:
    """Mean spectrum (bin,) of a run's intensity (spectrum, energy), NaN in bins that not every spectrum measured."""
    count = intensity.sizes["spectrum"]
    if count > _BLOCK:
        blocks = min(-(-count // _APART), _MOST)
        middles = (np.arange(blocks) + 0.5) / blocks  # as shares of the run
        starts = np.unique((middles * (count // _BLOCK)).astype(int)) * _BLOCK  # whole chunks
        intensity = intensity.isel(spectrum=(starts[:, None] + np.arange(_BLOCK)).ravel())
    mean: np.ndarray = np.asarray(intensity.values, dtype=np.float64).mean(axis=0)
    return mean


def _said(
    view: View, expedition: str, about: Mapping[str, Any], facts: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The rows of an expedition: what was read of each run, and what the expedition's attributes and tables say."""
    places = {core["name"]: (core.get("latitude"), core.get("longitude")) for core in about.get("cores", [])}
    try:
        table = view.measurements(expedition) if facts and about.get("measurements") else None
    except BankNotFoundError:  # all that there were are withdrawn
        table = None
    rows = []
    for run, read in facts.items():
        said = {name: str(about.get(name) or "") for name in SAID}
        row = {
            "expedition": expedition,
            "run": run,
            **said,
            "synthetic": bool(about.get("synthetic", False)),
            **read,
            **_box([places[core] for core in read["cores"] if core in places]),
            "proxies": {} if table is None else _labels(table, read["cores"], read["core_depths"]),
        }
        rows.append({name: row[name] for name in COLUMNS})
    return rows


def _labels(table: pd.DataFrame, cores: list[str], depths: list[list[float | None]]) -> dict[str, int]:
    """Proxy -> number of rows of a table of measurements that lie where a run was scanned."""
    top, bottom = table["depth_top"].to_numpy(float), table["depth_bottom"].to_numpy(float)
    core, here = table["core"].to_numpy(str), np.zeros(len(table), dtype=bool)
    for name, (first, last) in zip(cores, depths, strict=True):
        if first is not None and last is not None:
            here |= (core == name) & (top <= last) & (bottom >= first)
    counted = table["proxy"][here].value_counts()
    return {str(proxy): int(counted[proxy]) for proxy in sorted(counted.index)}


def _box(places: list[tuple[float | None, float | None]]) -> dict[str, float | None]:
    """The box around some places, the narrower way around the globe."""
    known = [(lat, (lon + 180) % 360 - 180) for lat, lon in places if lat is not None and lon is not None]
    if not known:
        return dict.fromkeys(("south", "west", "north", "east"))
    latitudes, longitudes = (np.array(values, dtype=np.float64) for values in zip(*known, strict=True))
    around = np.sort(np.unique(longitudes))
    gaps = np.diff(np.concatenate([around, around[:1] + 360]))
    widest = int(np.argmax(gaps))  # the box is what the widest gap leaves
    return {
        "south": _number(latitudes.min()),
        "west": _number(around[(widest + 1) % around.size]),
        "north": _number(latitudes.max()),
        "east": _number(around[widest]),
    }


def _ends(depth: np.ndarray) -> list[float | None]:
    known = depth[np.isfinite(depth)]
    return [_number(known.min()), _number(known.max())] if known.size else [None, None]


def _number(value: Any) -> float | None:
    """A number as it stands in the file: six decimals, more than any of them means; null where unknown."""
    return round(float(value), 6) if np.isfinite(value) else None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
