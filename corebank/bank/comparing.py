"""What came between two snapshots of a bank, by expedition and core: spectra, what is said of them, labels and words.

Spectra are told by their hashes and compared column by column, whatever the commits between say of themselves. Where
Icechunk still holds the record of every commit between the two, only what these touched is opened at all, so the cost
follows what came and not what the bank holds; else both are read, but for counts, which nothing alters.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from corebank.bank import adding, hiding, rebuilding
from corebank.bank.records import MEASUREMENTS, Difference
from corebank.bank.view import View
from corebank.schema import RUN_ATTRIBUTES, SPECTRUM

_NUMBERED = {"runs", "measurements", "cores", hiding.ATTRIBUTE}
"""Attributes of an expedition that are told in other ways."""


@dataclass(slots=True)
class _Tally:
    """Numbers of one expedition, by what came and core, while they are counted."""

    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    amended: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    words: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, what: str, cores: Iterable[str]) -> None:
        self.counts[what].update(str(core) for core in cores)

    def told(self, expedition: str) -> list[Difference]:
        cores = {*self.amended, *self.words, *(core for counts in self.counts.values() for core in counts)}
        return [
            Difference(
                expedition,
                core,
                amended=dict(self.amended[core]),
                words=tuple(self.words[core]),
                **{what: counts[core] for what, counts in self.counts.items()},
            )
            for core in sorted(cores)
        ]


def diff(before: View, after: View) -> tuple[Difference, ...]:
    """What `after` holds, says and shows that `before` does not, and the other way round.

    Returns one `Difference` for each core of each expedition that anything came to, in alphabetical order, and one with
    an empty core for what is said of the expedition and its machines. Works for any two snapshots, releases or
    branches, also of two banks.
    """
    touched = _touched(before, after)
    old, new = before.whole(), after.whole()
    found: list[Difference] = []
    for expedition in sorted({*old.expeditions(), *new.expeditions()}):
        if touched is not None and not _below(touched, expedition):
            continue
        tally = _Tally()
        _spectra(tally, old, new, expedition, touched)
        _labels(tally, old, new, expedition, touched)
        _words(tally, old, new, expedition)
        found += tally.told(expedition)
    return tuple(found)


def _spectra(tally: _Tally, old: View, new: View, expedition: str, touched: frozenset[str] | None) -> None:
    withdrawals = [view.withdrawals(expedition) if _holds(view, expedition) else () for view in (old, new)]
    held = [view.runs(expedition) if _holds(view, expedition) else {} for view in (old, new)]
    for name in dict.fromkeys([*held[0], *held[1]]):
        group = f"{expedition}/{name}"
        if touched is not None and not _below(touched, group) and withdrawals[0] == withdrawals[1]:
            continue
        runs = [
            view.run(expedition, name, "counts") if name in names else None
            for view, names in zip((old, new), held, strict=True)
        ]
        hashes = [[] if run is None else run["source_sha256"].values.astype(str).tolist() for run in runs]
        hidden = [
            np.zeros(0, bool) if run is None else ~hiding.seen(name, run, gone)
            for run, gone in zip(runs, withdrawals, strict=True)
        ]
        was = {sha: row for row, sha in enumerate(hashes[0])}
        now = {sha: row for row, sha in enumerate(hashes[1])}
        both = [(was[sha], row) for sha, row in now.items() if sha in was]
        first, second = (np.array(rows, dtype=int) for rows in (zip(*both, strict=True) if both else ((), ())))
        if runs[0] is not None:
            cores = runs[0]["core"].values.astype(str)
            tally.add("removed", cores[[row for sha, row in was.items() if sha not in now]])
        if runs[1] is not None:
            cores = runs[1]["core"].values.astype(str)
            was_hidden = np.zeros(len(cores), bool)
            was_hidden[second] = hidden[0][first]
            fresh = np.ones(len(cores), bool)
            fresh[second] = False
            tally.add("added", cores[fresh])
            tally.add("withdrawn", cores[hidden[1] & ~was_hidden])
            tally.add("restored", cores[~hidden[1] & was_hidden])
        if runs[0] is not None and runs[1] is not None:
            columns = [name for name in SPECTRUM if touched is None or f"{group}/{name}" in touched]
            _amended(tally, runs[0], runs[1], (first, second), columns)
            tally.words[""] += [
                f"{name}: {key}" for key in RUN_ATTRIBUTES if not _same(runs[0].attrs.get(key), runs[1].attrs.get(key))
            ]
    if not tally.words[""]:
        del tally.words[""]


def _amended(
    tally: _Tally,
    old: xr.Dataset,
    new: xr.Dataset,
    rows: tuple[np.ndarray, np.ndarray],
    columns: Iterable[str],
) -> None:
    """Compare columns of spectra that both hold, in these rows of each."""
    cores = new["core"].values.astype(str)[rows[1]]
    for column in columns:
        differs = _differs(old[column].values[rows[0]], new[column].values[rows[1]])
        for core, number in Counter(cores[differs].tolist()).items():
            tally.amended[core][column] += number
    if old.attrs.get(rebuilding.VERSION) != new.attrs.get(rebuilding.VERSION):
        tally.add("rebuilt", cores)


def _labels(tally: _Tally, old: View, new: View, expedition: str, touched: frozenset[str] | None) -> None:
    """Compare the laboratory values that readers see."""
    withdrawals = [view.withdrawals(expedition) if _holds(view, expedition) else () for view in (old, new)]
    same = withdrawals[0] == withdrawals[1]
    if touched is not None and same and not _below(touched, f"{expedition}/{MEASUREMENTS}"):
        return
    was, now = (Counter(_seen_labels(View(view._repository, view.snapshot), expedition)) for view in (old, new))
    tally.add("labels_removed", [str(row[0]) for row in (was - now).elements()])
    tally.add("labels_added", [str(row[0]) for row in (now - was).elements()])


def _seen_labels(shown: View, expedition: str) -> list[tuple[Any, ...]]:
    """Laboratory values, the core of each first."""
    if expedition not in shown.expeditions() or not shown.attributes(expedition)["measurements"]:
        return []
    return adding.said(shown.measurements(expedition))


def _words(tally: _Tally, old: View, new: View, expedition: str) -> None:
    """Attributes of the expedition and its cores, where both snapshots hold it."""
    if not (_holds(old, expedition) and _holds(new, expedition)):
        return
    was, now = old.attributes(expedition), new.attributes(expedition)
    if words := [key for key in {**was, **now} if key not in _NUMBERED and not _same(was.get(key), now.get(key))]:
        tally.words[""] = [*words, *tally.words.get("", [])]
    known = {core["name"]: core for core in was["cores"]}
    for core in now["cores"]:
        former = known.get(core["name"], core)
        if words := [key for key in {**former, **core} if not _same(former.get(key), core.get(key))]:
            tally.words[core["name"]] += words


def _differs(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    if one.dtype.kind in "OUT":
        return np.asarray(one.astype(str) != other.astype(str))
    if one.dtype.kind in "fM":  # NaN and NaT stand for unknown
        return np.asarray((one != other) & ~(np.isnan(one) & np.isnan(other)))
    return np.asarray(one != other)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other or (one != one and other != other))  # NaN stands for unknown


def _holds(view: View, expedition: str) -> bool:
    return expedition in view.expeditions()


def _below(touched: frozenset[str], group: str) -> bool:
    return any(path == group or path.startswith(f"{group}/") for path in touched)


def _touched(before: View, after: View) -> frozenset[str] | None:
    """Paths (``expedition/run/array``) that any commit between two snapshots touched, or None where nobody knows.

    Icechunk answers only for a snapshot and its ancestor; `compact` cuts a history such that what is left of it is
    whole.
    """
    if before.address != after.address:
        return None
    if before.snapshot == after.snapshot:
        return frozenset()
    for one, other in ((before.snapshot, after.snapshot), (after.snapshot, before.snapshot)):
        found = after._repository.touched(one, other)
        if found is not None:
            return found
    return None
