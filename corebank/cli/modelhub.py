"""Command of who asks the registry: which models there are, which data they saw, and who was in use when."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from corebank.errors import RegistryError

if TYPE_CHECKING:
    from corebank.hub import Event, Model, Version

Flag = Annotated[bool, Parameter(negative="")]


def models(
    name: str = "",
    /,
    *,
    core: str = "",
    snapshot: str = "",
    history: Flag = False,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
) -> None:
    """Say which registered models there are: who is champion since when and why, and which data each has seen.

    Parameters
    ----------
    name
        Every version of this model; without it, the versions of all models that have an alias, or the newest.
    core
        Only versions that have seen this core, themselves or through a parent: SITE/EXPEDITION/CORE.
    snapshot
        Only versions that have seen this snapshot of a bank, or one whose name begins so.
    history
        Also every move of an alias.
    as_json
        One JSON document instead of tables, with the cores by name and what the gate had found.
    """
    from corebank import hub

    if not hub.exists():
        raise RegistryError(
            hub.tracking_uri(),
            "no registry of models is there",
            "Set MLFLOW_TRACKING_URI to the registry that you want to ask",
        )
    found = hub.models(name or None)
    if name and not found:
        names = ", ".join(one.name for one in hub.models()) or "nothing yet"
        raise RegistryError(name, f"no such model; {hub.tracking_uri()} holds {names}", "Choose one of these")
    seen = _seen(core)
    chosen = [
        (model, [one for one in model.versions if _wanted(one, seen, snapshot)])
        for model in found
        if not (seen or snapshot) or any(_wanted(one, seen, snapshot) for one in model.versions)
    ]
    if as_json:
        told = [_document(model, versions) for model, versions in chosen]
        print(json.dumps({"registry": hub.tracking_uri(), "models": told}, indent=2, ensure_ascii=False))
        return
    if not chosen:
        print(f"no registered model has seen it; {hub.tracking_uri()} was asked" if found else "no model is registered")
        return
    everything = bool(name or seen or snapshot)
    print(_table(_versions(chosen if everything else [(model, _in_use(model)) for model, _ in chosen])))
    moves = [line for model, _ in chosen for line in _in_words(model)]
    print("\n" + "\n".join(moves) if moves else "\nno model has an alias")
    if history:
        print("\n" + _table(_history(model for model, _ in chosen)))


def _seen(core: str) -> tuple[str, str, str] | None:
    """Site, expedition and core of what ``--core`` names; a core may be called CD166/19."""
    site, _, rest = core.partition("/")
    expedition, _, one = rest.partition("/")
    if not core:
        return None
    if not (site and expedition and one):
        raise RegistryError(f"--core {core}", "not the name of a core", "Write it as SITE/EXPEDITION/CORE")
    return site, expedition, one


def _wanted(version: Version, seen: tuple[str, str, str] | None, snapshot: str) -> bool:
    """Whether a version has seen the core and the snapshot that are asked for, if any."""
    saw_core = seen is None or version.has_seen(*seen)
    return saw_core and (not snapshot or any(one.startswith(snapshot) for one in version.snapshots.values()))


def _in_use(model: Model) -> list[Version]:
    """The versions that have an alias, or the newest one."""
    return [one for one in model.versions if one.aliases] or list(model.versions[-1:])


def _versions(chosen: Sequence[tuple[Model, list[Version]]]) -> Iterator[tuple[str, ...]]:
    """A row for each expedition that a version has seen, newest version first; what repeats is left empty."""
    yield "model", "version", "alias", "registered", "parent", "gate", "expedition", "cores", "licence", "snapshot"
    for model, versions in chosen:
        first = model.name
        for version in reversed(versions):
            whose = (
                str(version.number),
                ", ".join(version.aliases),
                _day(version.registered),
                version.parent.removeprefix("models:/")[:24],
                _gate(version),
            )
            for row in _data(version) or [{"expedition": "nothing recorded", "cores": (), "licence": ""}]:
                synthetic = ", synthetic" if row.get("synthetic") else ""
                licence = f"{row['licence'] or '?'}{synthetic}" if row["cores"] else ""
                yield first, *whose, row["expedition"], str(len(row["cores"])), licence, row.get("snapshot", "")
                first, whose = "", ("", "", "", "", "")


def _history(models: Iterable[Model]) -> Iterator[tuple[str, ...]]:
    """A row for each move of an alias, oldest first."""
    yield "when", "who", "model", "alias", "from", "to", "why"
    for model in models:
        for event in model.history:
            before = "" if event.former is None else str(event.former)
            yield _minute(event.when), event.who, model.name, event.alias, before, str(event.version), _why(event)


def _in_words(model: Model) -> Iterator[str]:
    """A sentence for each alias: who has it, since when, by whom, why, and who had it before."""
    for alias, event in _held(model):
        before = "" if event.former is None else f"; before: version {event.former}"
        yield (
            f"{alias} of {model.name}: version {event.version} since {_minute(event.when)} "
            f"by {event.who}, {_why(event)}{before}"
        )


def _held(model: Model) -> Iterator[tuple[str, Event]]:
    """Each alias that a version has, with the move that brought it there."""
    for alias in sorted({alias for version in model.versions for alias in version.aliases}):
        if event := model.came(alias):
            yield alias, event


def _data(version: Version) -> list[dict[str, Any]]:
    """What a version has seen, by expedition."""
    licences, snapshots, synthetic = version.licences, version.snapshots, version.synthetic
    return [
        {
            "expedition": expedition,
            "cores": cores,
            "licence": licences.get(expedition, ""),
            "snapshot": snapshots.get(expedition.partition("/")[0], ""),
            "synthetic": expedition in synthetic,
        }
        for expedition, cores in version.cores.items()
    ]


def _document(model: Model, versions: Sequence[Version]) -> dict[str, Any]:
    """A model and the chosen ones of its versions as JSON holds them."""
    from corebank.hub.tags import GATE, KIND, MADE_BY, PROXIES, RECIPE

    def moves(version: Version, *, gained: bool) -> list[dict[str, Any]]:
        return [asdict(one) for one in model.history if (one.version if gained else one.former) == version.number]

    return {
        "name": model.name,
        "aliases": {alias: asdict(event) for alias, event in _held(model)},
        "versions": [
            {
                "version": version.number,
                "uri": version.uri,
                "aliases": version.aliases,
                "registered": version.registered,
                "kind": version.tags.get(KIND, ""),
                "proxies": [one for one in version.tags.get(PROXIES, "").split(", ") if one],
                "parent": version.parent,
                "recipe": version.tags.get(RECIPE, ""),
                "code_version": version.tags.get(MADE_BY, ""),
                "gate": version.tags.get(GATE, ""),
                "snapshots": version.snapshots,
                "data": _data(version),
                "gained": moves(version, gained=True),
                "lost": moves(version, gained=False),
            }
            for version in versions
        ],
        "history": [asdict(event) for event in model.history],
    }


def _gate(version: Version) -> str:
    """What the gate said in one word: passed, overridden, none; empty when it was not asked."""
    from corebank.hub.tags import GATE

    return version.tags.get(GATE, "").partition(":")[0]


def _why(event: Event) -> str:
    return f"rolled back: {event.why}" if event.rollback else event.why


def _minute(when: str) -> str:
    return f"{when[:10]} {when[11:16]} UTC" if when else "an unknown time"


def _day(when: str) -> str:
    return when[:10]


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    """Rows in columns as wide as their widest cell; the first row is the head."""
    cells = [tuple(" ".join(cell.split()) for cell in row) for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
