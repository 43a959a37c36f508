"""What a model must be by itself, whoever the champion is: honest, allowed, traceable, and sure of itself by right.

Each rule looks at one thing and returns its rows; `rows` is all of them. Banks are opened, spectra are not read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from corebank import licences
from corebank.errors import BankNotFoundError, CorebankError, LicenceError
from registry import judged
from registry.noise import FEWEST
from registry.verdict import Row

if TYPE_CHECKING:
    from corebank import bank as banks
    from corebank.bundle import Bundle

COVERAGE = 0.9
"""Share of laboratory values that an interval is to hold, see `corebank.uncertainty`."""

POOLED_COVERAGE, FEW_COVERAGE, FEW = 0.75, 0.6, 3
"""Smallest share over all held-out labels of a proxy, the same on fewer cores than `FEW`, and that number.

Honest intervals fall below it in 0.1 % of cases where cores differ little (offsets a third of the noise; 5 cores of 20
labels, errors correlated by 0.5 along the core), and in 3 % where they differ as much as the noise
(``python -m registry.power``); on a single core of 20 labels, with the lower bound, in 0.3 and 5 %."""

CORE_COVERAGE = 0.3
"""Smallest share on one of several cores, of at least `FEWEST` labels. Some cores must do worse than 90 %, since the
promise is one over cores; honest intervals have one below this among five in 0 and 4 % of the same cases."""

WIDE_COVERAGE, MANY = 0.995, 100
"""A share above this over so many labels is noted: the intervals are wider than they need to be."""

OUTLIERS = 0.2
"""Largest mean share of the spectra of held-out cores of known expeditions that the detector may flag: four times what
it is calibrated for (5 %), since a handful of held-out cores scatters. Beyond it, warnings are no information."""


def rows(candidate: Bundle, catalog: str = "") -> Iterator[Row]:
    """Every rule that asks the candidate alone.

    Parameters
    ----------
    candidate
        The model.
    catalog
        Where a bank is looked for that is no longer where the model's record says; empty for nowhere.
    """
    yield from unseen(candidate)
    yield from coverage(candidate)
    yield from outliers(candidate)
    yield from licence(candidate)
    yield from snapshots(candidate, catalog)


def unseen(candidate: Bundle) -> Iterator[Row]:
    """Nothing that judges the model altogether may have been seen in training, by itself or by a parent."""
    units = {
        one.name: None
        for proxy in judged.proxies(candidate)
        for one in judged.units(candidate, proxy).values()
        if one.side == "held_out"
    }
    if candidate.kind == "foundation":
        units = {unit: None for one in candidate.metrics.get("validation", {}).values() for unit in one["cores"]}
    if not units:
        return
    learnt = [unit for unit in units if seen(candidate, unit)]
    reason = f"it was trained on {', '.join(sorted(learnt))}, which judges it" if learnt else ""
    yield Row(rule="unseen", what=f"{len(units)} held-out cores or sections", reason=reason)


def seen(model: Bundle, unit: str) -> bool:
    """Whether the model or a parent was trained on a core, or on a section (of a core, where none are recorded)."""
    lineage = model.lineage
    if unit in lineage.cores or unit in lineage.sections:
        return True
    return not lineage.sections and any(unit.startswith(f"{core}/") for core in lineage.cores)


def coverage(candidate: Bundle) -> Iterator[Row]:
    """Intervals hold about as many of the held-out laboratory values as they promise: over all, and on each core."""
    for proxy in judged.proxies(candidate):
        units = [one for one in judged.primary(candidate, proxy).values() if one.count]
        known = [one for one in units if not math.isnan(one.coverage)]
        if not known:
            yield Row(rule="coverage", what=f"intervals of {proxy}", note="no coverage is recorded")
            continue
        count = sum(one.count for one in known)
        share = sum(one.coverage * one.count for one in known) / count
        what = f"coverage of {proxy}, {count} labels"
        if count < FEWEST:
            yield Row(rule="coverage", what=what, candidate=share, note="too few labels to tell")
            continue
        wide = share > WIDE_COVERAGE and count >= MANY
        note = f"wider than they need to be: meant for {COVERAGE:.0%}" if wide else ""
        bound = POOLED_COVERAGE if len(known) >= FEW else FEW_COVERAGE
        yield Row(rule="coverage", what=what, candidate=share, allowed=bound, at_least=True, note=note)
        if len(known) == 1:
            continue
        for one in known:
            if one.count >= FEWEST:
                yield Row(
                    rule="coverage",
                    what=f"coverage of {proxy} on {one.name}, {one.count} labels",
                    candidate=one.coverage,
                    allowed=CORE_COVERAGE,
                    at_least=True,
                )


def outliers(candidate: Bundle) -> Iterator[Row]:
    """Held-out cores of expeditions that the model knows are not called foreign; every core weighs the same."""
    recorded: Mapping[str, Mapping[str, float]] = candidate.metrics.get("outliers") or {}
    if candidate.kind == "foundation":
        return
    if not recorded:
        yield Row(rule="outliers", what="spectra flagged as outliers", note="no rate is recorded")
        return
    expeditions = {expedition(core) for core in candidate.lineage.cores}
    known = {unit: judged.number(one["flagged"]) for unit, one in recorded.items() if expedition(unit) in expeditions}
    if known:
        yield Row(
            rule="outliers",
            what=f"spectra flagged on {len(known)} held-out units of known expeditions",
            candidate=float(np.mean(list(known.values()))),
            allowed=OUTLIERS,
        )
    for unit in sorted(set(recorded) - set(known)):
        share = judged.number(recorded[unit]["flagged"])
        note = "of an expedition that it does not know: not judged"
        yield Row(rule="outliers", what=f"spectra flagged on {unit}", candidate=share, note=note)


def licence(candidate: Bundle) -> Iterator[Row]:
    """Every expedition seen is under a licence that allows it, and all of them can be joined in one work."""
    said = {expedition(core): "" for core in candidate.lineage.cores} | dict(candidate.lineage.licences)
    if not said:
        yield Row(rule="licences", what="licences of the data", note="no data are recorded")
        return
    usable = {where: one for where, one in said.items() if not licences.verdict(one).why_not}
    for where in sorted(set(said) - set(usable)):
        yield Row(rule="licences", what=f"licence of {where}", reason=licences.verdict(said[where]).why_not)
    try:
        terms = licences.combined(usable)
    except LicenceError as error:
        yield Row(rule="licences", what=f"licences of {error.where}", reason=error.found)
    else:
        if usable:
            yield Row(rule="licences", what=f"data under {terms}")


def snapshots(candidate: Bundle, catalog: str = "") -> Iterator[Row]:
    """Every bank still holds the snapshot that the model has seen; not every byte of it is checked.

    A bank that is away is noted, since nothing can be told. One that is there and does not know the snapshot, or that
    belongs to another site, refuses: nobody can train this model again.
    """
    for site, snapshot in sorted(candidate.lineage.snapshots.items()):
        addresses = [
            address for address in (candidate.lineage.bank_urls.get(site, ""), *_listed(catalog, site)) if address
        ]
        found = [_at(address, site, snapshot) for address in addresses]
        known = [one for one in found if one is not None]
        what = f"snapshot {snapshot} of {site}"
        if "" in known:
            yield Row(rule="snapshots", what=what)
        elif known:
            yield Row(rule="snapshots", what=what, reason=known[0])
        elif addresses:
            yield Row(rule="snapshots", what=what, note=f"could not be checked, {', '.join(addresses)} is away")
        else:
            yield Row(rule="snapshots", what=what, note="could not be checked, no address of the bank is recorded")


def expedition(unit: str) -> str:
    """``site/expedition`` of a core or section."""
    return "/".join(unit.split("/", 2)[:2])


def _at(address: str, site: str, snapshot: str) -> str | None:
    """Empty where the bank holds the snapshot, why not where it is there without, None where it is away."""
    from corebank import bank as banks
    from corebank.catalog import fetching

    def look() -> banks.Bank:
        return banks.open_bank(address)

    def look_back() -> banks.Bank:
        return banks.open_bank(address, snapshot)

    try:
        found = fetching.within(fetching.timeout(), look)
    except (CorebankError, OSError, TimeoutError):
        return None
    if found.site != site:
        return f"the bank at {address} belongs to {found.site}"
    try:
        then = fetching.within(fetching.timeout(), look_back)
    except BankNotFoundError:
        return f"the bank at {address} holds no such snapshot"
    except (CorebankError, OSError, TimeoutError):
        return None
    return "" if then.snapshot == snapshot else f"{snapshot} is a name, not a snapshot, and may move"


def _listed(catalog: str, site: str) -> list[str]:
    """Addresses at which a catalog lists the bank of a site."""
    if not catalog:
        return []
    from corebank import catalog as catalogs

    return list(dict.fromkeys(source.bank for name, _, source in catalogs.sources(catalog) if name == site))
