"""What no reader can ask for any more is deleted: leftovers of writers that never committed, and old snapshots.

A commit is never deleted by itself. Only with `keep_days` are snapshots given up: those of the history that are older
and that nothing refers to. Releases and heads of branches stay whatever their age; so does each snapshot that the
caller names, such as those that registered models were trained on, which get a release ``kept-<snapshot>`` of their
own. Measured with Icechunk 1.1.21: expiry leaves every snapshot's identifier as it is and makes the oldest one that
stays follow the empty beginning; a snapshot in the middle of the history is dropped unless a release holds it; and
collection deletes what an open session has written and not committed yet, so that its commit would then hold less than
it says. Hence the lock on a local bank, and the grace everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from corebank.bank.records import Compacted
from corebank.bank.repository import Repository
from corebank.bank.view import View
from corebank.errors import BankError, BankNotFoundError

GRACE = timedelta(days=1)
"""Age below which nothing is deleted: a writer may be at work on it."""

LEAST = timedelta(hours=1)
"""Grace that cannot be undercut where no lock keeps writers out: an hour is more than a large contribution takes."""

KEPT = "kept-"
"""Before a snapshot's identifier: the release that holds what a caller named."""


def compact(
    bank: View,
    *,
    keep_days: float | None = None,
    keep: Mapping[str, str] | None = None,
    grace: timedelta = GRACE,
    dry_run: bool = False,
) -> Compacted:
    """Delete what no snapshot of a bank refers to any more.

    Parameters
    ----------
    keep_days
        Give up older snapshots that nothing refers to; None gives up none. What they alone hold is deleted once it is
        older than `grace`.
    keep
        Snapshots that stay -> why, such as ``models:/quantify-caco3/3``; those that the bank does not hold are passed
        over.
    grace
        Nothing younger is deleted.
    dry_run
        Change nothing, and tell what would go; of files, those that are left over as it is.

    Raises `BankError` for a negative age, and for a grace under an hour where no lock keeps writers out.
    """
    repository = bank._repository
    if grace < timedelta(0) or (keep_days is not None and not keep_days >= 0):
        raise BankError(bank.address, "an age cannot be negative", "Give days to keep of 0 or more")
    if repository.folder is None and grace < LEAST:
        raise BankError(
            bank.address,
            "nothing keeps other writers out here, and what they are writing would be deleted",
            f"Give a grace of at least {LEAST}",
        )
    with repository.writing():
        now = datetime.now(UTC)
        until = now - timedelta(days=keep_days) if keep_days is not None else None
        old = _older(repository, until)
        referred = _referred(repository, keep or {})
        if not dry_run and until is not None:
            _hold(repository, referred, old)
            repository.expire(until)
        files, size = repository.collect(now - grace, dry_run=dry_run)
    return Compacted(
        tuple(snapshot for snapshot in old if snapshot not in referred),
        {snapshot: referred[snapshot] for snapshot in old if snapshot in referred},
        files,
        size,
    )


def _older(repository: Repository, until: datetime | None) -> list[str]:
    """Snapshots in the history of any branch or release that were written before a time, oldest first."""
    if until is None:
        return []
    found: dict[str, Any] = {}
    for snapshot in {**repository.branches(), **repository.releases()}.values():
        found |= {commit.snapshot: commit.written_at for commit in repository.log(snapshot)}
    return sorted((snapshot for snapshot, at in found.items() if at < until), key=lambda snapshot: found[snapshot])


def _referred(repository: Repository, keep: Mapping[str, str]) -> dict[str, str]:
    """Snapshots that must stay -> why."""
    why = {}
    for name, reason in keep.items():
        try:
            why[repository.snapshot(name)] = reason
        except BankNotFoundError:
            continue  # of another bank of this site, or dropped before anybody knew of it
    why |= {snapshot: f"release {name}" for name, snapshot in repository.releases().items()}
    return why | {snapshot: f"branch {name}" for name, snapshot in repository.branches().items()}


def _hold(repository: Repository, referred: Mapping[str, str], old: list[str]) -> None:
    """Make releases of what must stay and would not by itself, also of what an earlier expiry has cut off already."""
    held = {*repository.releases().values(), *repository.branches().values()}
    history = {commit.snapshot for commit in repository.log(repository.snapshot())}
    for snapshot in referred:
        if snapshot not in held and (snapshot in old or snapshot not in history):
            repository.tag(f"{KEPT}{snapshot}", snapshot)
