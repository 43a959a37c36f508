"""Whether a bank holds what was written into it: every chunk read, every hash compared, every number counted.

`verify` walks all groups of one snapshot, those of withdrawn runs too, and reads each chunk once. A damaged chunk
stops nothing: it becomes a `Fault` that names the place, and the walk goes on. What is compared: counts with the
digests of their column, attributes and documents with theirs, intensities with what counts and calibration give (all
of them, see `corebank.bank.verifying_runs`), columns with the schema, the numbers that an expedition tells of its runs
and measurements with what is there, and everything that points somewhere with what it points to. Memory does not grow
with the bank: blocks of runs are read side by side in threads, and of each expedition the hashes of its files are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import pandas as pd

from corebank import parallel
from corebank.bank import chunks, layout, verifying_runs
from corebank.bank.damage import Fault, is_changed, told
from corebank.bank.records import CONTRIBUTIONS, MEASUREMENTS
from corebank.bank.repository import RELEASES
from corebank.bank.verifying_runs import Task
from corebank.bank.view import View
from corebank.contribution import laboratory
from corebank.contribution.toml import is_slug
from corebank.errors import CorebankError
from corebank.schema import EnergyGrid


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check of a whole bank found."""

    snapshot: str
    faults: tuple[Fault, ...]
    unchecked: tuple[str, ...]
    """What could not be checked, and why; empty for a bank that today's corebank wrote."""
    spectra: int
    chunks: int
    """Number of chunks that were read."""


@dataclass(slots=True)
class _Walk:
    """What has been found so far."""

    faults: list[Fault] = field(default_factory=list)
    old: list[str] = field(default_factory=list)
    """Runs that hold no digests of their counts."""
    other: list[str] = field(default_factory=list)
    """Runs whose intensities another version of the calibration made."""
    spectra: int = 0
    chunks: int = 0


def verify(bank: View) -> tuple[Fault, ...]:
    """Every fault of a bank at the snapshot that `bank` shows; empty for a sound one. See `examine`."""
    return examine(bank).faults


def examine(bank: View) -> Verified:
    """Read all of a bank at one snapshot and say what is wrong with it, and what could not be checked.

    Shows a progress bar on a terminal. Raises `BankError` only where nothing at all can be said, as for a bank that a
    newer corebank wrote.
    """
    store, walk = bank._store, _Walk()
    walk.faults += _root(bank)
    contributions = _names(store, CONTRIBUTIONS, walk) if CONTRIBUTIONS in _names(store, "", walk) else []
    stated: dict[str, dict[str, Any]] = {}
    for name in contributions:
        stated[name] = _attributes(store, f"{CONTRIBUTIONS}/{name}", walk) or {}
    expeditions = [name for name in _names(store, "", walk, again=True) if name != CONTRIBUTIONS]
    for expedition in expeditions:
        _expedition(store, expedition, bank.grid, frozenset(contributions), walk)
    for name, said in stated.items():
        if said and said.get("expedition") not in expeditions:
            found = f"belongs to expedition {said.get('expedition')!r}, which is not there"
            walk.faults.append(Fault(f"{CONTRIBUTIONS}/{name}", "", None, None, found))
    walk.faults += _history(bank, expeditions, contributions)
    return Verified(bank.snapshot, tuple(walk.faults), _unchecked(walk), walk.spectra, walk.chunks)


def _root(bank: View) -> list[Fault]:
    """Faults of what the bank says of itself."""
    found = []
    if not is_slug(bank.site):
        found.append(f"its site is {bank.site!r}")
    try:
        EnergyGrid.from_json(str(bank.about["energy_grid"]))
    except (CorebankError, KeyError, TypeError, ValueError) as error:
        found.append(f"its energy grid cannot be read ({error})")
    return [Fault("the bank", "", None, None, what) for what in found]


def _expedition(store: Any, expedition: str, grid: EnergyGrid, contributions: frozenset[str], walk: _Walk) -> None:
    """Check one expedition: its words, its runs, its measurements, and what its spectra point to."""
    said = _attributes(store, expedition, walk)
    below = _names(store, expedition, walk)
    stated = {str(name): int(rows) for name, rows in dict((said or {}).get("runs", {})).items()}
    if said is not None:
        for name in sorted(stated.keys() - set(below)):
            walk.faults.append(
                Fault(f"{expedition}/{name}", "", None, (0, stated[name] - 1), "the run is not there")
                if stated[name]
                else Fault(f"{expedition}/{name}", "", None, None, "the run is not there")
            )
        for name in sorted(set(below) - stated.keys() - {MEASUREMENTS}):
            walk.faults.append(Fault(f"{expedition}/{name}", "", None, None, "no run of this name is listed"))
    cores = frozenset(str(core.get("name")) for core in (said or {}).get("cores", ())) if said is not None else None
    runs = [name for name in below if name != MEASUREMENTS]
    tasks = [
        Task(store, f"{expedition}/{name}", stated.get(name) if said is not None else None, grid, cores, contributions)
        for name in runs
    ]
    hashes: set[str] = set()
    repeats: list[tuple[str, pd.Series[Any]]] = []
    about = f"verify {expedition}"
    for task, one in zip(
        tasks, parallel.each(verifying_runs.check, tasks, about, sizes=[task.rows or 1 for task in tasks]), strict=True
    ):
        walk.faults += one.faults
        walk.spectra, walk.chunks = walk.spectra + one.spectra, walk.chunks + one.chunks
        walk.old += [task.group] if one.old else []
        walk.other += [task.group] if one.other_calibration else []
        hashes.update(one.hashes)
        repeats.append((task.group, one.repeats))
    for group, of in repeats:
        if len(lost := of[~of.isin(hashes)]):
            walk.faults.append(
                Fault(
                    group,
                    "replicate_of",
                    None,
                    (int(lost.index.min()), int(lost.index.max())),
                    f"{len(lost)} spectra repeat one that the expedition does not hold, such as {lost.iloc[0][:16]}...",
                )
            )
    count = int((said or {}).get("measurements", 0))
    if MEASUREMENTS in below or count:
        _measurements(store, f"{expedition}/{MEASUREMENTS}", count if said is not None else None, walk)


def _measurements(store: Any, group: str, count: int | None, walk: _Walk) -> None:
    """Check the table of an expedition's laboratory values."""
    if _attributes(store, group, walk) is None:
        return
    sound = True
    for name in laboratory.COLUMNS:
        try:
            column = chunks.array(chunks.checked(store, group), f"{group}/{name}")
        except Exception as error:  # a damaged document makes zarr raise anything
            walk.faults.append(Fault(group, name, None, None, told(error)))
            sound = False
            continue
        walk.chunks += chunks.stored(column)
        try:
            chunks.read(column, 0, column.shape[0])
        except Exception:  # which chunks they are is found one by one
            sound = False
            for place, rows, why in chunks.damaged(column, 0, column.shape[0]):
                walk.faults.append(Fault(group, name, place, rows, told(why)))
    if not sound:
        return
    try:
        table = layout.read_measurements(store, group)
        laboratory.model().validate(table, lazy=True)
    except Exception as error:  # rows of different numbers, or pandera's report of all that is wrong
        walk.faults.append(Fault(group, "", None, None, f"breaks the schema: {told(error)}"))
        return
    if count is not None and len(table) != count:
        found = f"{len(table)} measurements are there, the expedition tells of {count}"
        walk.faults.append(Fault(group, "", None, None, found))


def _history(bank: View, expeditions: Iterable[str], contributions: Iterable[str]) -> list[Fault]:
    """Faults of the log, which tells what came in, and of the releases."""
    faults = []
    known, brought = set(expeditions), set(contributions)
    try:
        commits = bank._repository.log(bank.snapshot)
    except Exception as error:  # damaged bytes make icechunk raise what it will
        faults.append(Fault("the log", "", None, None, told(error)))
        commits = []
    for commit in commits:
        if is_changed(commit.message, commit.about):
            faults.append(Fault(f"commit {commit.snapshot}", "", None, None, "its words are not what was written"))
        for key, there, what in (("expedition", known, "expedition"), ("contribution", brought, "contribution")):
            name = commit.about.get(key)
            if isinstance(name, str) and name not in there:
                found = f"tells of {what} {name}, which is not there"
                faults.append(Fault(f"commit {commit.snapshot}", "", None, None, found))
    try:
        releases = bank._repository.releases()
    except Exception as error:  # as above
        return [*faults, Fault("the releases", "", None, None, told(error))]
    listed = bank._repository.read_text(RELEASES)  # icechunk skips a release whose file it cannot read
    for release, snapshot in json.loads(listed or "{}").items():
        if releases.get(release) != snapshot:
            faults.append(Fault(f"release {release}", "", None, None, f"{RELEASES} has it at {snapshot}, the bank not"))
    for release, snapshot in releases.items():
        try:
            layout.attributes(bank._repository.store(snapshot))
        except Exception as error:  # as above
            faults.append(Fault(f"release {release}", "", None, None, told(error)))
    return faults


def _names(store: Any, group: str, walk: _Walk, *, again: bool = False) -> list[str]:
    """Names of the groups below one; none, and a fault unless asked `again`, where they cannot be listed."""
    try:
        return chunks.groups(store, group)
    except CorebankError as error:
        if not again:
            walk.faults.append(Fault(group or "the bank", "", None, None, told(error)))
        return []


def _attributes(store: Any, group: str, walk: _Walk) -> dict[str, Any] | None:
    """The attributes of a group, or None and a fault where they are not what was written."""
    try:
        return layout.attributes(store, group)
    except Exception as error:  # BankError, or what zarr raises over a damaged document
        walk.faults.append(Fault(group, "", None, None, told(error)))
        return None


def _unchecked(walk: _Walk) -> tuple[str, ...]:
    """What the walk could not check, as sentences."""

    def some(groups: list[str]) -> str:
        return ", ".join(groups[:3]) + (f" and {len(groups) - 3} more" if len(groups) > 3 else "")

    lines = []
    if walk.old:
        lines.append(
            f"{some(walk.old)}: written by an early corebank, without digests: that the counts can be read and give "
            "the intensities was checked, not that each is what was written"
        )
    if walk.other:
        lines.append(
            f"{some(walk.other)}: another version of the calibration made the intensities, which were read and not "
            "compared; corebank rebuild makes them anew"
        )
    return tuple(lines)


def as_json(verified: Verified) -> dict[str, Any]:
    """The check as one JSON document."""
    faults: Iterable[Mapping[str, Any]] = (
        {"where": one.where, "array": one.array, "chunk": one.chunk, "rows": one.rows, "found": one.found}
        for one in verified.faults
    )
    return {
        "snapshot": verified.snapshot,
        "sound": not verified.faults,
        "spectra": verified.spectra,
        "chunks": verified.chunks,
        "faults": list(chain(faults)),
        "unchecked": list(verified.unchecked),
    }
