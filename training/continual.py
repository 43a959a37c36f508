"""What a continued pretraining knows already, what is new to it, and how often it sees the one and the other.

Nobody has to remember what is new: a model's lineage names the sections that it was trained on and the snapshot of each
bank that they were read from, and the bank, which forgets nothing, shows what these sections held then.
Names as in `corebank.bundle.DataLineage`: a section is ``site/expedition/core/section``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from corebank import bank as banks
from corebank import predict, split
from corebank.bundle import DataLineage
from corebank.errors import CorebankError

MOST = 4.0
"""Times that a spectrum may be seen in an epoch, however small its stratum: with other patches hidden each time it is
not the same task, but a core of forty spectra that stands for a quarter of every epoch would be learnt by heart."""

Key = tuple[str, str]
"""Expedition, and hash of the bytes that a spectrum was read from."""


class _Held(NamedTuple):
    """What a bank held of some expeditions at a snapshot: key -> section, as it was named there."""

    shown: dict[Key, str]
    hidden: dict[Key, str]
    """Spectra that were withdrawn by then."""


def known(spectra: xr.Dataset, lineage: DataLineage) -> NDArray[np.bool_]:
    """(spectrum,) True where the model of `lineage` was trained on the spectrum, see `trained_as`."""
    return np.asarray(trained_as(spectra, lineage) != "", dtype=bool)


def trained_as(spectra: xr.Dataset, lineage: DataLineage) -> NDArray[np.object_]:
    """(spectrum,) the section that a spectrum was of when the model of `lineage`, or a parent, was trained on it.

    "" where the spectrum is new to the model. Of a lineage without sections, the core. Reads, once for each bank, what
    it held of these expeditions at the lineage's snapshot.

    A spectrum is known when the bank showed it, told by the hash of its bytes, at the snapshot that the lineage names,
    in a section that the lineage names. So these are new: a core, section or run that came in later, also of a section
    that is known; what was withdrawn then and is not now; what the model's recipe left out or held out, whose sections
    the lineage does not name. Renaming a core makes nothing new.

    By the names of the sections alone (of the cores, for a lineage without sections) where the selection is of that
    same snapshot, or the lineage names none; also, and stderr says so, where that snapshot cannot be read any more.
    Spectra of a known section that the recipe left out for their flags count as known. A lineage has one snapshot per
    bank, the latest: what came to a known section while a run continued on other expeditions of that bank counts as
    known.
    """
    sections, cores = split.unit_names(spectra, "section"), split.unit_names(spectra, "core")
    site = _texts(spectra, "site")
    names, before = (sections, lineage.sections) if lineage.sections else (cores, lineage.cores)
    found = np.where(np.isin(names, before), names, "").astype(object)
    if "source_sha256" not in spectra or not lineage.sections:
        return found
    expedition, sha = _texts(spectra, "expedition"), _texts(spectra, "source_sha256")
    now = _said(spectra, "snapshots")
    for name in sorted(set(site.tolist())):
        if not lineage.snapshots.get(name) or lineage.snapshots[name] == now.get(name):
            continue
        rows = np.flatnonzero(site == name)
        held = _then(spectra, lineage, name, set(expedition[rows].tolist()))
        if held is not None:
            seen = _seen(held, lineage)
            found[rows] = [seen.get(key, "") for key in zip(expedition[rows], sha[rows], strict=True)]
    return found


def mixture(
    spectra: xr.Dataset,
    known: NDArray[np.bool_],
    *,
    replay: float,
    balance: float,
) -> NDArray[np.float64]:
    """(spectrum,) how often each spectrum is to be seen in an epoch, for `corebank.feed.Feed`'s `times`.

    Parameters
    ----------
    known
        (spectrum,) as the function of that name gives it.
    replay
        Share of the epoch's spectra that are known ones, in [0, 1). As many new ones as there are fill the rest; the
        known are fewer than that share only where each of them would be seen more than `MOST` times.
    balance
        How the known share their part, and the new theirs, among strata (an expedition's machine): from 0, by size,
        each spectrum as often as any other, to 1, each stratum as often as any other.

    Returns
    -------
    array
        Of a mean of 1 over the new spectra, each exactly 1 with a balance of 0. With a balance a small stratum repeats
        within an epoch, up to `MOST` times a spectrum; what it cannot take goes to the others. Where everything is new,
        or everything is known, that is an ordinary epoch: as many spectra as there are.
    """
    strata = _strata(spectra)
    times = np.zeros(len(known))
    if known.all() or not known.any():
        return _spread(strata, float(len(known)), balance)
    new = int((~known).sum())
    times[~known] = _spread(strata[~known], float(new), balance)
    times[known] = _spread(strata[known], new * replay / (1 - replay), balance)
    return times


def departed(spectra: xr.Dataset, lineage: DataLineage) -> tuple[str, ...]:
    """Sections that the model of `lineage` was trained on and of which something is not shown any more, in order.

    Shown by the bank, not by the selection: what a recipe merely leaves out has not departed. A section has, when at
    least one of the spectra that the model saw of it is withdrawn, or its expedition is left out of the selection for
    its licence or embargo, or the bank that the selection was read from cannot be opened any more. A bank that the
    catalog names and that does not answer is away, not gone. Sections that were renamed are still there.

    A selection names only the banks that it has spectra of. A lab that it does not name may be left out by the recipe,
    may have withdrawn all that it had, or may have left the federation: the bank tells, where the lineage says that it
    lies. If there is none any more, because it was moved or is gone, nothing is said of that lab.

    Such spectra are in no selection, so they are never replayed; `corebank.hub.trained_on` tells which models saw them.
    """
    urls, now = _said(spectra, "bank_urls"), _said(spectra, "snapshots")
    dropped, offline = _said(spectra, "dropped"), _said(spectra, "offline")
    here = set(split.unit_names(spectra, "section").tolist())
    gone: set[str] = set()
    for site, sections in _by_site(lineage.sections).items():
        refused = {one for one in sections if "/".join(one.split("/", 2)[:2]) in dropped}
        gone |= refused
        if site in offline or (lineage.snapshots.get(site) and lineage.snapshots[site] == now.get(site)):
            continue
        wanted = {one.split("/", 2)[1] for one in sections}
        address = urls.get(site) or lineage.bank_urls.get(site, "")
        held = _held(address, now.get(site, "main"), wanted)
        if held is None and site not in urls:
            continue
        shown = held.shown if held else {}
        names = {*shown.values(), *here}
        before = _then(spectra, lineage, site, wanted) if held and lineage.snapshots.get(site) else None
        for section in sections - refused:
            were = {key for key, one in before.shown.items() if one == section} if before else set()
            if not (were <= shown.keys() if were else section in names):
                gone.add(section)
    return tuple(sorted(gone))


def expeditions(lineage: DataLineage) -> tuple[str, ...]:
    """What the model of `lineage` was trained on, as ``site/expedition``, in order."""
    names = lineage.sections or lineage.cores
    return tuple(sorted({"/".join(name.split("/", 2)[:2]) for name in names}))


def _then(spectra: xr.Dataset, lineage: DataLineage, site: str, expeditions: Iterable[str]) -> _Held | None:
    """What the bank of `site` held at the lineage's snapshot; None, said on stderr, where nobody can tell."""
    snapshot = lineage.snapshots[site]
    for address in dict.fromkeys((_said(spectra, "bank_urls").get(site, ""), lineage.bank_urls.get(site, ""))):
        if (held := _held(address, snapshot, expeditions)) is not None:
            return held
    print(
        f"corebank: the bank of {site} does not show its snapshot {snapshot} any more: what a model has seen of it is "
        "told by the names of the sections",
        file=sys.stderr,
    )
    return None


def _held(address: str, at: str, expeditions: Iterable[str]) -> _Held | None:
    """What a bank holds of some expeditions, the withdrawn too; None when it cannot be opened there."""
    if not address:
        return None
    try:
        bank = banks.open_bank(address, at)
        whole, there = bank.whole(), set(bank.expeditions())
        held = _Held({}, {})
        for expedition in sorted(set(expeditions) & set(whole.expeditions())):
            visible = _sections(bank, expedition) if expedition in there else {}
            held.shown.update(visible)
            every = visible if not whole.withdrawals(expedition) else _sections(whole, expedition)
            held.hidden.update({key: section for key, section in every.items() if key not in visible})
    except (CorebankError, OSError):
        return None
    return held


def _sections(view: Any, expedition: str) -> dict[Key, str]:
    """Every spectrum of an expedition and its section; reads three columns of each run."""
    found: dict[Key, str] = {}
    for run in view.runs(expedition):
        columns = view.run(expedition, run)
        parts = (_texts(columns, name).tolist() for name in ("source_sha256", "core", "section"))
        for sha, core, section in zip(*parts, strict=True):
            found[expedition, sha] = f"{view.site}/{expedition}/{core}/{section}"
    return found


def _seen(held: _Held, lineage: DataLineage) -> dict[Key, str]:
    """What a model has seen of what a bank held; a section all of which was hidden by then was seen before that."""
    named = set(lineage.sections)
    shown = {key: section for key, section in held.shown.items() if section in named}
    earlier = named - set(held.shown.values())
    return shown | {key: section for key, section in held.hidden.items() if section in earlier}


def _strata(spectra: xr.Dataset) -> NDArray[np.int64]:
    """(spectrum,) number of the stratum, an expedition's machine, that each spectrum belongs to."""
    machines = predict.machines(spectra).astype(str)
    names = np.char.add(np.char.add(split.unit_names(spectra, "expedition"), " "), machines)
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.int64)


def _spread(strata: NDArray[np.int64], total: float, balance: float) -> NDArray[np.float64]:
    """(spectrum,) times that add up to `total`, strata of n spectra weighing n^(1 - balance), none above `MOST`."""
    sizes = np.bincount(strata)
    weights = np.power(sizes, -balance, where=sizes > 0, out=np.zeros(len(sizes)))
    times = np.zeros(len(sizes))
    open_, left = sizes > 0, total
    while open_.any():
        times[open_] = left * weights[open_] / (sizes[open_] * weights[open_]).sum()
        over = open_ & (times > MOST)
        if not over.any():
            break
        times[over] = MOST
        left -= MOST * sizes[over].sum()
        open_ &= ~over
    return np.asarray(times[strata])


def _by_site(sections: Sequence[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for section in sections:
        found.setdefault(section.partition("/")[0], set()).add(section)
    return found


def _texts(spectra: xr.Dataset, name: str) -> NDArray[np.str_]:
    """(spectrum,) a column of texts, empty where the dataset lacks it."""
    if name not in spectra:
        return np.full(spectra.sizes["spectrum"], "", dtype=np.str_)
    return np.asarray(spectra[name].values.astype(np.str_))


def _said(spectra: xr.Dataset, name: str) -> dict[str, str]:
    """An attribute of a selection, see `corebank.catalog.select`."""
    said: dict[str, str] = json.loads(spectra.attrs.get(name, "{}"))
    return said
