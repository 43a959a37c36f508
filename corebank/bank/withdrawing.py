"""Withdrawals and their end: what is hidden from now on, or seen again, with the reason; nothing is ever deleted.

A withdrawal is one entry among the attributes of its expedition (see `corebank.bank.hiding`), so it costs one commit
of a few hundred bytes whatever it hides, and older snapshots and releases show what they always showed.
"""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from corebank.bank import chunks, hiding, layout
from corebank.bank.records import CONTRIBUTIONS, Kind, Withdrawal, Withdrawn
from corebank.contribution import Contribution
from corebank.errors import BankError, BankNotFoundError

if TYPE_CHECKING:
    from corebank.bank import Bank


def chosen(address: str, core: str | None, run: str | None, contribution: str | None) -> tuple[Kind, str]:
    """The one of three that was named; raises `BankError` when none was, or several were."""
    kinds: dict[Kind, str | None] = {"core": core, "run": run, "contribution": contribution}
    named = [(kind, name) for kind, name in kinds.items() if name is not None]
    if len(named) != 1:
        raise BankError(address, f"{len(named)} things were named", "Name one core, one run or one contribution")
    return named[0]


def withdraw(bank: Bank, expedition: str, kind: Kind, name: str, because: str) -> Withdrawn:
    """Hide a core, run or contribution, as one commit on the head that `bank` shows whole.

    Raises `BankNotFoundError` for what is not there, `BankError` when it is withdrawn already or no reason is given.
    """
    _refuse_without(because, bank)
    before = bank.withdrawals(expedition)
    known = _known(bank, expedition, kind)
    if name not in known:
        raise BankNotFoundError(
            f"{bank.address}, {expedition}", f"there is no {kind} {name!r}", f"It has {', '.join(known) or 'none'}"
        )
    if held := [one for one in before if (one.kind, one.name) == (kind, name)]:
        raise BankError(
            f"{bank.address}, {expedition}",
            f"{kind} {name} is withdrawn already, since {held[0].at} ({held[0].because})",
            "Nothing needs to be done",
        )
    now = datetime.now(UTC).isoformat(timespec="seconds")
    labels = _own_labels(bank, expedition, name) if kind == "contribution" else ()
    after = (*before, Withdrawal(kind, name, because, now, labels))
    return _write(bank, expedition, "withdraw", after[-1], before, after, because)


def restore(bank: Bank, expedition: str, kind: Kind, name: str, because: str) -> Withdrawn:
    """Show again what `withdraw` hid, as one commit on the head that `bank` shows whole.

    What another withdrawal hides, too, stays hidden. Raises `BankError` when it is not withdrawn, or without a reason.
    """
    _refuse_without(because, bank)
    before = bank.withdrawals(expedition)
    held = [one for one in before if (one.kind, one.name) == (kind, name)]
    if not held:
        there = ", ".join(f"{one.kind} {one.name}" for one in before) or "nothing"
        raise BankError(
            f"{bank.address}, {expedition}", f"{kind} {name!r} is not withdrawn", f"What is withdrawn: {there}"
        )
    after = tuple(one for one in before if one != held[0])
    return _write(bank, expedition, "restore", held[0], before, after, because)


def hidden(bank: Bank, contribution: Contribution) -> dict[str, int]:
    """Run of a contribution -> number of its spectra that `bank`, shown whole, hides or would hide if it held them."""
    expedition = contribution.metadata.expedition.name
    withdrawals = bank.withdrawals(expedition) if expedition in bank.expeditions() else ()
    if not withdrawals:
        return {}
    gone = set[str]()
    for name in bank.runs(expedition):
        held = bank.run(expedition, name, "counts")
        gone |= set(held["source_sha256"].values.astype(str)[~hiding.seen(name, held, withdrawals)])
    cores = [one.name for one in withdrawals if one.kind == "core"]
    counts = {
        name: int(
            (np.isin(run["source_sha256"].values.astype(str), list(gone)) | np.isin(run["core"].values, cores)).sum()
        )
        for name, run in contribution.runs.items()
    }
    return {name: count for name, count in counts.items() if count}


def _write(
    bank: Bank,
    expedition: str,
    verb: str,
    one: Withdrawal,
    before: tuple[Withdrawal, ...],
    after: tuple[Withdrawal, ...],
    because: str,
) -> Withdrawn:
    session = bank._repository.session()
    layout.describe(session.store, expedition, {hiding.ATTRIBUTE: hiding.listed(after)})
    touched = set(bank.about.get(hiding.ATTRIBUTE, ()))
    if (now := touched | {expedition} if after else touched - {expedition}) != touched:
        layout.describe(session.store, "", {hiding.ATTRIBUTE: sorted(now)})
    spectra, cores = _difference(bank, expedition, before, after)
    labels = 0
    if bank.attributes(expedition)["measurements"]:
        table = bank.measurements(expedition)
        labels = int((hiding.labels(table, before) != hiding.labels(table, after)).sum())
    snapshot = bank._repository.commit(
        session,
        f"{verb} {one.kind} {one.name} of {expedition}: {because}",
        {
            f"{verb}s": expedition,
            "kind": one.kind,
            "name": one.name,
            "because": because,
            "spectra": spectra,
            "labels": labels,
        },
    )
    return Withdrawn(snapshot, expedition, one.kind, one.name, spectra, labels, cores)


def _difference(
    bank: Bank, expedition: str, before: tuple[Withdrawal, ...], after: tuple[Withdrawal, ...]
) -> tuple[int, tuple[str, ...]]:
    """How many spectra are seen under one list of withdrawals and not under the other, and of which cores they are."""
    changed, cores = 0, set[str]()
    for name in bank.runs(expedition):
        run = bank.run(expedition, name, "counts")
        differs = hiding.seen(name, run, before) != hiding.seen(name, run, after)
        if differs.any():
            changed += int(differs.sum())
            cores |= set(run["core"].values[differs].astype(str).tolist())
    return changed, tuple(sorted(cores))


def _known(bank: Bank, expedition: str, kind: Kind) -> list[str]:
    """Names of what there is to withdraw."""
    if kind == "run":
        return list(bank.runs(expedition))
    if kind == "core":
        return [str(core["name"]) for core in bank.attributes(expedition)["cores"]]
    return sorted(_contributions(bank, expedition))


def _contributions(bank: Bank, expedition: str) -> dict[str, dict[str, Any]]:
    """What came into an expedition, by identifier, as it was written down; what only amended has no report."""
    store = bank._store
    held = {name: layout.attributes(store, f"{CONTRIBUTIONS}/{name}") for name in chunks.groups(store, CONTRIBUTIONS)}
    return {name: said for name, said in held.items() if said["expedition"] == expedition and "report" in said}


def _own_labels(bank: Bank, expedition: str, name: str) -> tuple[str, ...]:
    """Keys of the laboratory values that a contribution brought in.

    The table does not say where a value came from, but from which file and core: values of files and cores that the
    contribution names are its own, unless another one that is not withdrawn names both, too; those stay to be seen.
    """
    if not bank.attributes(expedition)["measurements"]:
        return ()
    withdrawn = {one.name for one in bank.withdrawals(expedition) if one.kind == "contribution"}
    contributions = _contributions(bank, expedition)
    ours = _places(contributions[name])
    theirs = [_places(said) for other, said in contributions.items() if other not in {name, *withdrawn}]
    table = bank.measurements(expedition)
    own = [
        place in ours and not any(place in places for places in theirs)
        for place in zip(table["source"], table["core"], strict=True)
    ]
    return tuple(hiding.keys(table[own]))


def _places(said: dict[str, Any]) -> set[tuple[str, str]]:
    """(file, core) of every laboratory value that a contribution may have brought in."""
    words = tomllib.loads(said["toml"])  # as it was; today's checks need not accept the words of years ago
    return {(one["file"], core["name"]) for one in words.get("measurements", ()) for core in words.get("core", ())}


def _refuse_without(because: str, bank: Bank) -> None:
    if not because.strip():
        raise BankError(bank.address, "a withdrawal, and its end, need a reason", 'Say why, as in --because "wet core"')
