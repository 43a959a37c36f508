"""What the registry holds: models, their versions, and which of them have seen an expedition or a core.

Two requests bring everything, one for the models with their aliases and one for the versions with their tags, and not
one for each: a registry of thousands of versions answers in about a second.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from corebank.errors import RegistryError
from corebank.hub import store
from corebank.hub.events import Event, recorded
from corebank.hub.tags import CORES, DIGEST, Version, key

if TYPE_CHECKING:
    from corebank.hub.store import MlflowClient

MODEL = re.compile(r"models:/(?P<name>[^@/]+)(@(?P<alias>[^@/]+)|/(?P<number>\d+))")

MODELS_AT_ONCE, VERSIONS_AT_ONCE = 1000, 10_000
"""Sizes of a page: the largest that MLflow takes, and the largest that every kind of server takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A registered model: its versions, and every move of its aliases."""

    name: str
    versions: tuple[Version, ...]
    """Oldest first."""

    history: tuple[Event, ...]
    """Oldest first; the last move of an alias is the one that put it where it is."""

    def came(self, alias: str) -> Event | None:
        """The move that gave `alias` to who has it now; None when nobody has."""
        moves = [event for event in self.history if event.alias == alias]
        return moves[-1] if moves and any(alias in version.aliases for version in self.versions) else None


def models(name: str | None = None) -> tuple[Model, ...]:
    """Every registered model, or the one called `name`, by name; empty when there is none.

    Two requests, and one more for each further 1,000 models or 10,000 versions.
    """
    with store.connect() as client:
        wanted = f"name = '{name}'" if name else None
        held = registered(client, wanted)
        found: dict[str, list[Version]] = {one: [] for one in held}
        for version in _versions(client, wanted, held):
            found[version.name].append(version)
    return tuple(
        Model(name=one, versions=tuple(found[one]), history=recorded(held[one].tags, held[one].aliases, found[one]))
        for one in sorted(held)
    )


def versions(name: str | None = None) -> list[Version]:
    """All versions of a model, or of all models, oldest first; none when there is no such model."""
    with store.connect() as client:
        wanted = f"name = '{name}'" if name else None
        return list(_versions(client, wanted, registered(client, wanted)))


def holding(client: MlflowClient, name: str, digest: str) -> Version | None:
    """The version of the model `name` that holds the bundle of this digest."""
    found = list(_versions(client, f"name = '{name}' and tags.`{DIGEST}` = '{digest}'", {}))
    return found[0] if found else None


def trained_on(site: str, expedition: str, core: str = "") -> list[Version]:
    """Registered versions that have seen an expedition, or one core of it, themselves or through a parent."""
    tag = key(f"{CORES}{site}/{expedition}")
    with store.connect() as client:
        seen = list(_versions(client, f"tags.`{tag}` LIKE '%'", {}))  # only these versions are fetched
        if not any(one.has_seen(site, expedition, core) for one in seen):
            return []
        held = registered(client, None)
        return [_with_aliases(one, held) for one in seen if one.has_seen(site, expedition, core)]


def find(model: str) -> Version:
    """The version that ``models:/name@alias`` or ``models:/name/number`` names; `RegistryError` lists what there is."""
    wanted = MODEL.fullmatch(model)
    if wanted is None:
        raise RegistryError(
            model,
            "neither the folder of a bundle nor models:/name@alias nor models:/name/number",
            "Give one of the three",
        )
    name, alias, number = wanted["name"], wanted["alias"], wanted["number"]
    with store.connect() as client:
        try:
            found = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, number)
            return _version(found, tuple(found.aliases))
        except store.mlflow().exceptions.MlflowException as error:
            if not store.missing(error):
                raise
    held = versions(name)
    if not held:
        names = ", ".join(sorted({version.name for version in versions()})) or "nothing yet"
        raise RegistryError(
            model,
            f"no model {name}; {store.tracking_uri()} holds {names}",
            "Choose one of these, or set MLFLOW_TRACKING_URI to the registry that has it",
        )
    there = ", ".join(f"{version.number}" + "".join(f" @{one}" for one in version.aliases) for version in held)
    missing = f"alias {alias}" if alias else f"version {number}"
    raise RegistryError(model, f"no {missing}; {name} has versions {there}", "Choose one of these")


def registered(client: MlflowClient, wanted: str | None) -> dict[str, Any]:
    """MLflow's records of the models that `wanted` (MLflow's filter) takes, by name, with their tags and aliases."""
    pages = _pages(lambda token: client.search_registered_models(wanted, MODELS_AT_ONCE, page_token=token))
    return {one.name: one for one in pages}


def _versions(client: MlflowClient, wanted: str | None, held: Mapping[str, Any]) -> Iterator[Version]:
    """Versions that `wanted` takes, by name and number, with the aliases that the models in `held` have."""
    pages = _pages(lambda token: client.search_model_versions(wanted, VERSIONS_AT_ONCE, page_token=token))
    for one in sorted(pages, key=lambda version: (version.name, int(version.version))):
        yield _with_aliases(_version(one, ()), held)


def _version(found: Any, aliases: tuple[str, ...]) -> Version:
    """MLflow's record of a version as ours."""
    when = datetime.fromtimestamp(found.creation_timestamp / 1000, UTC)
    return Version(
        name=found.name,
        number=int(found.version),
        aliases=aliases,
        tags=found.tags,
        registered=f"{when:%Y-%m-%dT%H:%M:%SZ}",
        run=found.run_id or "",
    )


def _with_aliases(version: Version, held: Mapping[str, Any]) -> Version:
    """`version` with the aliases that its model's record says point at it."""
    from dataclasses import replace

    record = held.get(version.name)
    aliases = record.aliases.items() if record is not None else ()
    return replace(version, aliases=tuple(sorted(name for name, number in aliases if int(number) == version.number)))


def _pages(ask: Callable[[str | None], Any]) -> Iterator[Any]:
    """Everything that a search finds, page by page."""
    page = ask(None)
    yield from page
    while page.token:
        page = ask(page.token)
        yield from page
