"""Entries of a catalog that we read ourselves: no template of Intake's is run, only our own parameters are put in.

Intake expands every text of an entry as a Jinja template with functions that read the environment and start programs,
and imports whatever class an entry names. An `Entry` has one of corebank's own drivers, arguments that were checked
before (`corebank.catalog.foreign`), and takes ``run``, ``level`` and ``at`` as values, never as text to expand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from corebank.bank.records import Level
from corebank.catalog.drivers import CatalogEntry, DataSource, UserParameter
from corebank.errors import EntryError

PARAMETERS = {"corebank_spectra": ("run", "level", "at"), "corebank_measurements": ("at",), "corebank_member": ()}
"""Driver -> what a reader may say when opening an entry."""

LEVELS: tuple[Level, ...] = ("intensity", "counts")


class Entry(CatalogEntry):  # type: ignore[misc]  # intake ships no types
    """One entry: what it is called and says of itself, and how it is opened.

    Parameters
    ----------
    name
        What it is called in its catalog.
    driver
        Our own class that opens it.
    args
        What the class is given: checked, and free of templates.
    runs
        Runs that the catalog knows of; None when it does not say.
    where
        The catalog, for errors.
    """

    def __init__(
        self,
        name: str,
        driver: type[DataSource],
        args: Mapping[str, Any],
        *,
        description: str = "",
        metadata: Mapping[str, Any] | None = None,
        runs: Sequence[str] | None = None,
        where: str = "",
    ) -> None:
        super().__init__(getenv=False, getshell=False)
        self._default_source: DataSource | None = None
        self.name, self.driver, self.args = name, driver, dict(args)
        self.description, self.metadata, self.runs, self.where = description, dict(metadata or {}), runs, where
        self._metadata = self.metadata  # as Intake calls it
        self._container = driver.container
        self._catalog: Any = None
        self._takes = [self._parameter(key) for key in PARAMETERS[driver.name]]
        self._user_parameters: list[Any] = list(self._takes)  # Intake sets this; what is taken stays as it is

    def _parameter(self, key: str) -> UserParameter:
        about = {
            "run": "one run, or empty for all of them",
            "level": "intensity on the common grid, or counts by detector channel",
            "at": "snapshot, release or branch of the bank",
        }[key]
        allowed = {"run": None if self.runs is None else ["", *self.runs], "level": list(LEVELS)}.get(key)
        return UserParameter(key, about, "str", self.args.get(key, ""), allowed=allowed)

    def describe(self) -> dict[str, Any]:
        """What the entry says of itself, in Intake's words."""
        return {
            "name": self.name,
            "container": self._container,
            "plugin": [self.driver.name],
            "driver": [self.driver.name],
            "description": self.description,
            "direct_access": "forbid",
            "user_parameters": [parameter.describe() for parameter in self._takes],
            "metadata": self.metadata,
            "args": self.args,
        }

    def get(self, **said: Any) -> DataSource:
        """Open it, with ``run``, ``level`` and ``at`` as said; raises `EntryError` for what it does not take.

        Runs are held against the catalog's list at ``main`` only: an older snapshot may have others, and the bank
        itself refuses what is not there.
        """
        if not said and self._default_source is not None:
            return self._default_source
        known = [parameter.name for parameter in self._takes]
        for key, value in said.items():
            if key not in known:
                raise self._refused(f"takes no {key}", f"It takes {', '.join(known) or 'nothing'}")
            if not isinstance(value, str):
                raise self._refused(f"{key} is {value!r}", "Give a name")
        now = {**self.args, **said}
        if "level" in said and now["level"] not in LEVELS:
            raise self._refused(f"level is {now['level']!r}", f"Ask for {' or '.join(LEVELS)}")
        if self.runs is not None and now.get("at") == "main" and said.get("run") and now["run"] not in self.runs:
            raise self._refused(f"there is no run {now['run']!r}", f"Its runs are {', '.join(self.runs)}")
        source = self.driver(**now, metadata=dict(self.metadata))
        source.name, source.description = self.name, self.description
        source.cat = source.catalog_object = self._catalog
        if not said:
            self._default_source = source
        return source

    def _refused(self, found: str, fix: str) -> EntryError:
        return EntryError(f"{self.where}, {self.name}", found, fix)
