"""Commands that change what a bank shows or keeps, and tell what has changed: withdraw, rebuild, compare, compact."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from corebank.errors import RegistryError

if TYPE_CHECKING:
    from types import ModuleType

    from corebank.bank.records import Difference, Withdrawn

JsonFlag = Annotated[bool, Parameter("--json", negative="")]


def withdraw(
    bank: str,
    expedition: str,
    /,
    *,
    because: str,
    core: str | None = None,
    run: str | None = None,
    contribution: str | None = None,
) -> None:
    """Hide a core, run or contribution from now on. Nothing is deleted; older snapshots and releases show it.

    Parameters
    ----------
    bank
        The bank.
    expedition
        The expedition that it belongs to.
    because
        Why; it stays in the log.
    core
        The core to hide, with its laboratory values.
    run
        The run to hide.
    contribution
        The contribution to hide, by its identifier in corebank log --json.
    """
    from corebank import bank as banks

    opened = banks.open_bank(bank)
    done = opened.withdraw(expedition, core=core, run=run, contribution=contribution, because=because)
    print(f"withdrew {_told(done)} hidden, snapshot {done.snapshot}")
    hub = _registry()
    if hub is None:
        return
    try:
        models = {
            version.uri: version for name in done.cores for version in hub.trained_on(opened.site, expedition, name)
        }
    except RegistryError as error:  # it is withdrawn all the same
        print(f"corebank: which models have seen it is not known. {error}", file=sys.stderr)
        return
    for uri, version in sorted(models.items()):
        print(f"seen by {uri}{''.join(f' @{alias}' for alias in version.aliases)}")
    if not models:
        print("no registered model has seen it")


def restore(
    bank: str,
    expedition: str,
    /,
    *,
    because: str,
    core: str | None = None,
    run: str | None = None,
    contribution: str | None = None,
) -> None:
    """Show again a core, run or contribution that was withdrawn.

    Parameters
    ----------
    bank
        The bank.
    expedition
        The expedition that it belongs to.
    because
        Why; it stays in the log.
    core
        The withdrawn core.
    run
        The withdrawn run.
    contribution
        The withdrawn contribution.
    """
    from corebank import bank as banks

    done = banks.open_bank(bank).restore(expedition, core=core, run=run, contribution=contribution, because=because)
    print(f"restored {_told(done)} seen again, snapshot {done.snapshot}")


def rebuild(bank: str, /, *, expedition: str | None = None) -> None:
    """Make intensities anew from the raw counts, where corebank's calibration has improved since they were made.

    Parameters
    ----------
    bank
        The bank.
    expedition
        Only this one.
    """
    from corebank import bank as banks

    done = banks.open_bank(bank).rebuild(expedition)
    for name, spectra in done.runs.items():
        print(f"rebuilt {name}: {spectra} intensities")
    current = "" if done.runs else "nothing to rebuild: every intensity is current, at "
    print(f"{current}snapshot {done.snapshot}")


def diff(bank: str, before: str, after: str = "main", /, *, as_json: JsonFlag = False) -> None:
    """Say what came to a bank between two snapshots, by expedition and core.

    Parameters
    ----------
    bank
        The bank.
    before
        Snapshot, release or branch.
    after
        Snapshot, release or branch.
    as_json
        One JSON document instead of lines.
    """
    from corebank import bank as banks
    from corebank.bank import comparing

    found = comparing.diff(banks.open_bank(bank, before), banks.open_bank(bank, after))
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False))
        return
    for one in found:
        print(f"{one.expedition}{f', {one.core}' if one.core else ''}: {'; '.join(_changes(one))}")
    if not found:
        print(f"nothing differs between {before} and {after}")


def compact(
    bank: str,
    /,
    *,
    expire_older_than: float | None = None,
    keep: tuple[str, ...] = (),
    grace_hours: float = 24.0,
    without_models: Annotated[bool, Parameter(negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Delete files that no snapshot of a bank refers to; with --expire-older-than, give up old snapshots, too.

    Releases, and what registered models were trained on, always stay.

    Parameters
    ----------
    bank
        The bank.
    expire_older_than
        Age in days from which on snapshots are given up that nothing refers to.
    keep
        Snapshots that stay as well.
    grace_hours
        Nothing younger is deleted, since a writer may be at work on it.
    without_models
        Give up old snapshots though no registry of models can be asked: no model was trained on this bank.
    dry_run
        Change nothing, and say what would go.
    """
    from corebank import bank as banks
    from corebank.bank import compacting

    opened = banks.open_bank(bank)
    named = {banks.open_bank(bank, one).snapshot: f"--keep {one}" for one in keep}
    if expire_older_than is not None:
        named |= _of_models(opened.site, without_models)
    done = compacting.compact(
        opened, keep_days=expire_older_than, keep=named, grace=timedelta(hours=grace_hours), dry_run=dry_run
    )
    would = "would go" if dry_run else "is gone"
    for snapshot in done.expired:
        print(f"{would}: snapshot {snapshot}")
    for snapshot, why in done.kept.items():
        print(f"stays: snapshot {snapshot} ({why})")
    left = ", and what the snapshots that would go hold alone" if dry_run and done.expired else ""
    print(f"{would}: {done.objects} files, {done.bytes / 1e6:.1f} MB{left}")


def migrate(bank: str, /) -> None:
    """Bring a bank of an older layout up to date, as one commit; older snapshots stay as they are.

    Parameters
    ----------
    bank
        The bank.
    """
    from corebank import bank as banks

    opened = banks.open_bank(bank)
    before, snapshot = opened.about["schema_version"], opened.migrate()
    if snapshot is None:
        print(f"nothing to migrate: layout {before} is today's")
    else:
        print(f"migrated from layout {before} to layout {opened.about['schema_version']}, snapshot {snapshot}")


def _told(done: Withdrawn) -> str:
    return f"{done.kind} {done.name} of {done.expedition}: {done.spectra} spectra and {done.labels} laboratory values"


def _changes(one: Difference) -> Iterator[str]:
    """What came to a core, in words."""
    for what in ("added", "removed", "withdrawn", "restored", "rebuilt"):
        if number := getattr(one, what):
            yield f"{number} spectra {what}"
    if one.amended:
        yield f"amended {', '.join(f'{column} of {number}' for column, number in sorted(one.amended.items()))}"
    for what, number in (("added", one.labels_added), ("removed", one.labels_removed)):
        if number:
            yield f"{number} laboratory values {what}"
    if one.words:
        yield f"says something else of {', '.join(one.words)}"


def _registry() -> ModuleType | None:
    """`corebank.hub` where there is a registry of models to ask, else None: no MLflow, or no store where it looks."""
    from importlib.util import find_spec
    from pathlib import Path

    if any(find_spec(name) is None for name in ("mlflow", "safetensors", "torch")):
        return None
    from corebank import hub

    uri = hub.tracking_uri()
    there = not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///").partition("?")[0]).is_file()
    return hub if there else None


def _of_models(site: str, without: bool) -> dict[str, str]:
    """Snapshots of a site's bank -> registered model that was trained on it.

    Raises `RegistryError` when no registry can be asked, unless the bank is said to have been used `without` models.
    """
    hub = _registry()
    if hub is None:
        if without:
            return {}
        raise RegistryError(
            "the registry of models",
            "is not where MLFLOW_TRACKING_URI, or runs/mlflow.db in this folder, says",
            "Set MLFLOW_TRACKING_URI, or say --without-models if no model was trained on this bank",
        )
    from corebank.hub.tags import SNAPSHOT, key

    tag = key(f"{SNAPSHOT}{site}")
    return {version.tags[tag]: version.uri for version in hub.versions() if tag in version.tags}
