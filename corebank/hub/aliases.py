"""Who may be used: move an alias, tell its history, and go back."""

from __future__ import annotations

from datetime import UTC, datetime

from corebank import bundle
from corebank.errors import RegistryError
from corebank.hub import events, searching, store
from corebank.hub.events import Event
from corebank.hub.fetching import resolve
from corebank.hub.tags import Version


def point(alias: str, version: Version, *, why: str, report: str = "") -> None:
    """Move `alias` to `version` and record who did so, when, why, and the gate's `report`; no move, no record.

    The record comes after the move: whoever is stopped between the two leaves a move that `history` tells as not
    recorded, and never the record of a move that was not made. Raises `RegistryError`.
    """
    _move(alias, version, why, report, rollback=False)


def history(name: str) -> tuple[Event, ...]:
    """Every move of the aliases of the model `name`, oldest first; raises `RegistryError` when there is none."""
    return _model(name).history


def rollback(name: str, alias: str = "champion", *, because: str) -> Version:
    """Give `alias` back to the version that had it before, and return that version.

    The next rollback goes further back. Versions that have been deleted since are passed over. The bundle of who gets
    the alias is fetched and checked first.

    Raises `RegistryError` when nobody has the alias or had it before, `BundleError` when the bundle is damaged.
    """
    model = _model(name)
    now = next((version for version in model.versions if alias in version.aliases), None)
    if now is None:
        others = sorted({one for version in model.versions for one in version.aliases})
        raise RegistryError(
            f"models:/{name}@{alias}",
            f"no version of {name} is {alias}; its aliases are {', '.join(others) or 'none'}",
            "Name one of these with --alias",
        )
    had = events.holders(model.history, alias)[:-1]
    there = {version.number: version for version in model.versions if version.number != now.number}
    if not (before := [number for number in had if number in there]):
        gone = sorted({number for number in had if number != now.number})
        deleted = f" but {', '.join(map(str, gone))}, which {'is' if len(gone) == 1 else 'are'} deleted" if gone else ""
        raise RegistryError(
            f"models:/{name}@{alias}",
            f"nobody to go back to: no version was {alias} before version {now.number}{deleted}",
            "Publish another version, or move the alias to one by name with corebank.hub.point",
        )
    version = there[before[-1]]
    bundle.load(resolve(version.uri))
    _move(alias, version, because, "", rollback=True)
    return searching.find(version.uri)


def _model(name: str) -> searching.Model:
    found = searching.models(name)
    if not found:
        names = ", ".join(model.name for model in searching.models()) or "nothing yet"
        raise RegistryError(name, f"no such model; {store.tracking_uri()} holds {names}", "Choose one of these")
    return found[0]


def _move(alias: str, version: Version, why: str, report: str, *, rollback: bool) -> None:
    """Move `alias`, then write the event, then the lines that MLflow's pages show beside the two versions."""
    with store.connect() as client:
        model = client.get_registered_model(version.name)
        holder = model.aliases.get(alias)
        former = None if holder is None else int(holder)
        if former == version.number:
            return
        moment = datetime.now(UTC)
        event = Event(
            alias=alias,
            version=version.number,
            former=former,
            who=store.who(),
            when=f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            why=why,
            report=report,
            rollback=rollback,
        )
        client.set_registered_model_alias(version.name, alias, str(version.number))
        written = events.to_tags(event, moment)
        for old in events.unrecorded(model.tags, [version]):  # its line is about to be replaced
            written |= events.to_tags(old, datetime.fromisoformat(old.when))
        for tag, text in written.items():
            client.set_registered_model_tag(version.name, tag, text)
        line = events.note(event)
        client.set_model_version_tag(version.name, str(version.number), f"{events.ALIAS}{alias}", line)
        if former is not None:
            lost = f"to version {version.number}, {line}"
            client.set_model_version_tag(version.name, str(former), f"{events.ALIAS}{alias}.lost", lost)
