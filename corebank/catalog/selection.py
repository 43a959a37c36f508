"""One lazy dataset, or one table, over any selection of a federation.

Here data leave the bank that they lie in, so here licences and embargoes are kept: what is under embargo, or under a
licence that does not allow pooled and derived works, is left out unless it is asked for, and what was left out is told.
The catalog's word counts, which is the bank's latest, also for older snapshots: an embargo that was lifted is lifted
for them too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd
import xarray as xr

from corebank import bank as banks
from corebank import licences
from corebank.bank.records import Level
from corebank.catalog.drivers import Catalog, MeasurementsSource, SpectraSource
from corebank.catalog.indexing import index
from corebank.catalog.members import Member
from corebank.catalog.opening import leaves, named, open_catalog, sources
from corebank.catalog.searching import Conditions, Hits, search
from corebank.errors import CatalogError
from corebank.rows import aligned

At = str | Mapping[str, str]
"""A snapshot or release for every site, or each site's own; empty: as each entry of the catalog says."""

_SAID = {"licences": "licence", "citations": "citation", "dois": "doi"}
"""Attribute of a selection -> attribute of an expedition that it repeats."""


def select(
    catalog: str | Path | Catalog,
    *,
    sites: Sequence[str] | None = None,
    expeditions: Sequence[str] | None = None,
    runs: Sequence[str] | None = None,
    cores: Sequence[str] | None = None,
    exclude_cores: Sequence[str] = (),
    exclude_sections: Sequence[str] = (),
    among: Hits | None = None,
    level: Level = "intensity",
    at: At = "",
    include_embargoed: bool = False,
    any_licence: bool = False,
    **conditions: Unpack[Conditions],
) -> xr.Dataset:
    """Spectra of a whole federation on the common energy grid, lazy, with where each came from.

    Neither intensity nor counts are read, and the columns ``core`` and ``section`` only where they are asked for.

    Parameters
    ----------
    catalog
        A federation or a single bank's catalog.
    sites, expeditions, runs, cores
        Names to keep; None keeps all.
    exclude_cores, exclude_sections
        Cores, and sections written ``core/section``, to leave out.
    among
        Keep only runs that `corebank.catalog.search` or `nearest` found.
    level
        ``intensity`` on the common grid, or ``counts`` by detector channel, where all runs have the same number.
    at
        Snapshot or release to read: one for all sites, or site -> its own, as attribute ``snapshots`` has them. What is
        not there at that snapshot is left out.
    include_embargoed, any_licence
        Also take what is under embargo, or under a licence that is unknown or forbids derived works.
    conditions
        As for `corebank.catalog.search`: ``scanner="itrax"``, ``proxy="CaCO3"`` ...; whole runs are kept.

    Returns
    -------
    Dataset
        ``intensity`` (spectrum, energy) [count/s], the columns of `corebank.schema.SPECTRUM` and `PROVENANCE`.
        Attributes, as JSON: ``snapshots`` and ``bank_urls`` by site, ``licences``, ``citations`` and ``dois`` by
        ``site/expedition``, ``synthetic`` (those that no scanner measured), ``dropped`` (``site/expedition`` -> why),
        ``offline`` (member -> why); ``grid``; ``terms``, what the whole is under, in words.

    Raises `CatalogError` when nothing is left, a name is not there, or members are on different energy grids;
    `LicenceError` when two licences cannot be joined.
    """
    opened = open_catalog(catalog)
    wanted = _wanted(among, search(index(opened), **conditions) if conditions else None)
    parts: list[xr.Dataset] = []
    about: dict[str, dict[str, str]] = {key: {} for key in ("snapshots", "bank_urls", "synthetic", *_SAID)}
    seen: dict[str, set[str]] = {kind: set() for kind in ("sites", "expeditions", "runs", "cores", "sections")}
    dropped: dict[str, str] = {}
    away: list[Member] = []
    banks_at: dict[tuple[str, str], banks.Bank] = {}
    for site, expedition, source in sources(opened, away):
        seen["sites"].add(site)
        seen["expeditions"].add(expedition)
        entry, said = f"{site}/{expedition}", source.metadata
        if not _asked(site, sites) or not _asked(expedition, expeditions) or not _asked(entry, wanted):
            continue
        if reason := _refused(said, include_embargoed, any_licence):
            dropped[entry] = reason
            seen["runs"].update(map(str, said.get("runs", ())))
            seen["cores"].update(str(core["name"]) for core in said.get("cores", ()))
            continue
        key = (source.bank, _snapshot(at, site) or source.at)
        bank = banks_at[key] if key in banks_at else banks_at.setdefault(key, banks.open_bank(*key))
        if at and expedition not in bank.expeditions():
            continue
        there = [source.run] if source.run else list(bank.runs(expedition))
        seen["runs"].update(there)
        seen["cores"].update(str(core["name"]) for core in bank.attributes(expedition)["cores"])
        names = [name for name in there if _asked(name, runs) and (wanted is None or name in wanted[entry])]
        for name in [""] if names == there and not source.run else names:
            spectra = bank.spectra(expedition, name, level)
            kept = _rows(spectra, cores, exclude_cores, exclude_sections, seen)
            if kept is not None and not kept.any():
                continue
            parts.append(spectra if kept is None or kept.all() else aligned(spectra, np.flatnonzero(kept)))
            about["snapshots"][site], about["bank_urls"][site] = spectra.attrs["snapshot"], spectra.attrs["bank"]
            for told, name in _SAID.items():
                about[told][entry] = str(said.get(name, ""))
            if bank.attributes(expedition).get("synthetic"):
                about["synthetic"][entry] = "true"
    unread = tuple(f"{core}/" for core in seen["cores"]) if dropped else ()  # nobody looked for their sections
    offline = {member.site: member.problem for member in away}
    wished = {"sites": sites, "expeditions": expeditions, "runs": runs, "cores": [*(cores or ()), *exclude_cores]}
    sections = [one for one in exclude_sections if not one.startswith(unread)]
    _refuse_unknown(catalog, seen, offline, **wished, sections=sections)
    _tell(dropped, offline)
    if not parts:
        raise _empty(catalog, dropped)
    whole = _joined(catalog, parts, level)
    terms = "" if any_licence else str(licences.combined(about["licences"]))
    also = {**about, "dropped": dropped, "offline": offline}
    return whole.assign_attrs(terms=terms, **{name: json.dumps(value) for name, value in also.items()})


def measurements(
    catalog: str | Path | Catalog,
    *,
    sites: Sequence[str] | None = None,
    expeditions: Sequence[str] | None = None,
    proxies: Sequence[str] | None = None,
    at: At = "",
    include_embargoed: bool = False,
    any_licence: bool = False,
) -> pd.DataFrame:
    """Laboratory values of a whole federation: columns ``site``, ``expedition`` and those of each bank's table.

    What `select` would leave out for its licence or embargo is left out here too; ``attrs["dropped"]`` says why, and
    ``attrs["offline"]`` which members did not answer. `at` is as for `select`.

    Raises `CatalogError` for a site or expedition that is not there, or when there are none of the proxies asked for.
    """
    parts: list[pd.DataFrame] = []
    seen: dict[str, set[str]] = {"sites": set(), "expeditions": set()}
    dropped: dict[str, str] = {}
    away: list[Member] = []
    every = leaves(open_catalog(catalog), away)
    entries = [one for one in every if isinstance(one, SpectraSource | MeasurementsSource)]
    # The entry of the spectra says what the measurements are under; older catalogs do not repeat it.
    terms = {(_site(one), one.expedition): dict(one.metadata) for one in entries if isinstance(one, SpectraSource)}
    for source in entries:
        site, expedition = _site(source), source.expedition
        seen["sites"].add(site)
        seen["expeditions"].add(expedition)
        if isinstance(source, SpectraSource) or not _asked(site, sites) or not _asked(expedition, expeditions):
            continue
        said = terms.get((site, expedition)) or source.metadata
        if reason := _refused(said, include_embargoed, any_licence):
            dropped[f"{site}/{expedition}"] = reason
            continue
        bank = banks.open_bank(source.bank, _snapshot(at, site) or source.at)
        if at and (expedition not in bank.expeditions() or not bank.attributes(expedition)["measurements"]):
            continue
        table = bank.measurements(expedition)
        table.insert(0, "site", site)
        table.insert(1, "expedition", expedition)
        parts.append(table)
    offline = {member.site: member.problem for member in away}
    _refuse_unknown(catalog, seen, offline, sites=sites, expeditions=expeditions)
    _tell(dropped, offline)
    whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["site", "expedition", "proxy"])
    known = sorted(set(whole["proxy"]))
    if missing := sorted(set(proxies or ()) - set(known)):
        raise CatalogError(
            named(catalog),
            f"has no measurements of {', '.join(missing)}{_left_out(dropped)}",
            f"It has {', '.join(known) or 'none at all'}",
        )
    chosen = whole if proxies is None else whole[whole["proxy"].isin(proxies)].reset_index(drop=True)
    chosen.attrs |= {"dropped": dropped, "offline": offline}
    return chosen


def _wanted(*found: Hits | None) -> dict[str, set[str]] | None:
    """``site/expedition`` -> runs that every search found; None where there was no search."""
    kept: set[tuple[str, str]] | None = None
    for hits in found:
        if hits is not None:
            columns = (hits.index.columns[name] for name in ("site", "expedition", "run"))
            every = [(f"{site}/{expedition}", run) for site, expedition, run in zip(*columns, strict=True)]
            here = {every[row] for row in hits.rows.tolist()}
            kept = here if kept is None else kept & here
    if kept is None:
        return None
    runs: dict[str, set[str]] = {}
    for entry, run in kept:
        runs.setdefault(entry, set()).add(run)
    return runs


def _rows(
    spectra: xr.Dataset,
    cores: Sequence[str] | None,
    exclude_cores: Sequence[str],
    exclude_sections: Sequence[str],
    seen: dict[str, set[str]],
) -> np.ndarray | None:
    """Which spectra to keep (spectrum,), None for all; reads a column only where it decides."""
    if cores is None and not exclude_cores and not exclude_sections:
        return None
    core = spectra["core"].values.astype(str)
    seen["cores"].update(core)
    keep = ~np.isin(core, list(exclude_cores))
    if cores is not None:
        keep &= np.isin(core, list(cores))
    if exclude_sections:
        names = np.char.add(np.char.add(core, "/"), spectra["section"].values.astype(str))
        seen["sections"].update(names)
        keep &= ~np.isin(names, list(exclude_sections))
    return np.asarray(keep)


def _joined(catalog: str | Path | Catalog, parts: list[xr.Dataset], level: Level) -> xr.Dataset:
    """The parts one after the other; raises `CatalogError` where their axes differ."""
    grids = {part.attrs["grid"] for part in parts}
    if len(grids) > 1 and level == "intensity":
        raise CatalogError(
            named(catalog),
            f"its banks are on {len(grids)} different energy grids: {'; '.join(sorted(grids))}",
            "Select banks that share one",
        )
    if level == "counts" and len({part.sizes["channel"] for part in parts}) > 1:
        raise CatalogError(
            named(catalog), "its runs have different numbers of channels", "Select runs of one kind, or intensity"
        )
    whole = (
        parts[0]
        if len(parts) == 1
        else xr.concat(
            parts, dim="spectrum", combine_attrs="override", join="exact", coords="minimal", compat="override"
        )
    )
    return whole.drop_attrs(deep=False).assign_attrs(grid=parts[0].attrs["grid"])


def _asked(name: str, names: Collection[str] | None) -> bool:
    return names is None or name in names


def _site(source: SpectraSource | MeasurementsSource) -> str:
    return str(source.metadata.get("site", ""))


def _snapshot(at: At, site: str) -> str:
    return at if isinstance(at, str) else at.get(site, "")


def _refused(said: Mapping[str, Any], include_embargoed: bool, any_licence: bool) -> str:
    return licences.refusal(
        str(said.get("licence", "")),
        str(said.get("embargo_until", "")),
        include_embargoed=include_embargoed,
        any_licence=any_licence,
    )


def _tell(dropped: Mapping[str, str], offline: Mapping[str, str]) -> None:
    """Say on stderr what is not there: nobody should find out from a table that is too short."""
    if dropped:
        print(f"corebank: left out {_listed(dropped)}", file=sys.stderr)
    for member, problem in offline.items():
        print(f"corebank: {member} is not in it, or not in full: {problem}", file=sys.stderr)


def _listed(dropped: Mapping[str, str]) -> str:
    return ", ".join(f"{entry} ({reason})" for entry, reason in dropped.items())


def _left_out(dropped: Mapping[str, str]) -> str:
    return f"; left out were {_listed(dropped)}" if dropped else ""


def _empty(catalog: str | Path | Catalog, dropped: Mapping[str, str]) -> CatalogError:
    fix = "Leave fewer out, or name other sites, expeditions or cores"
    if dropped:
        fix = "Ask their stewards; include_embargoed and any_licence (--include-embargoed, --any-licence) take them in"
    return CatalogError(named(catalog), f"the selection holds no spectra{_left_out(dropped)}", fix)


def _refuse_unknown(
    catalog: str | Path | Catalog,
    seen: Mapping[str, set[str]],
    offline: Mapping[str, str],
    **wished: Iterable[str] | None,
) -> None:
    """Raise `CatalogError` for names that are not there, kind by kind."""
    missing = "".join(f"; {member}: {problem}" for member, problem in offline.items())
    for kind, names in wished.items():
        if unknown := sorted(set(names or ()) - seen[kind]):
            raise CatalogError(
                named(catalog),
                f"has no {kind} {', '.join(unknown)}{missing}",
                f"It has {', '.join(sorted(seen[kind])) or 'none'}",
            )
