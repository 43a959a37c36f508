"""A bank: a lab's spectra in one versioned Icechunk repository (Zarr format 3), with a ``catalog.yaml`` beside it.

Layout: ``/<expedition>`` carries who, where and the licence; ``/<expedition>/<run>`` one scan series, its counts
exactly as measured and its intensity on the bank's energy grid; ``/<expedition>/measurements`` the laboratory values;
``/contributions/<id>`` what each contributor said. A contribution is one commit: a reader sees all of it or nothing,
and a process killed at any moment leaves the last commit. This package is the only importer of zarr and icechunk.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr
from filelock import FileLock

from corebank import __version__
from corebank.contribution import Contribution, with_provenance
from corebank.contribution.toml import is_slug, slugged
from corebank.errors import BankError, BankNotFoundError
from corebank.schema import EnergyGrid

os.environ.setdefault("ICECHUNK_LOG", "error")  # icechunk logs to stdout otherwise, into people's --json

import icechunk

from corebank.bank import adding, amending, layout, listing
from corebank.bank.records import SCHEMA_VERSION, Added, Amended, Commit, Level

_REPOSITORY = "repository"


def create(path: str | Path, *, site: str, grid: EnergyGrid | None = None) -> Bank:
    """Make an empty bank for `site` at a local path; raises `BankError` if something is there or `site` is no slug."""
    folder = _local(path)
    if not is_slug(site):
        raise BankError(
            folder,
            f"{site!r} is no name for a site",
            f"Use small letters, digits and hyphens, such as {slugged(site) or 'my-lab'}",
        )
    making = folder / f".{_REPOSITORY}"  # renamed when it is whole, so that a killed process leaves nothing half made
    if folder.exists() and (not folder.is_dir() or set(folder.iterdir()) - {making}):
        raise BankError(
            folder, "is there already and not empty", "Choose a new folder, or add to the bank that is there"
        )
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(making, ignore_errors=True)
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(making)))
    session = repository.writable_session("main")
    layout.describe(
        session.store,
        "",
        {
            "site": site,
            "energy_grid": (grid or EnergyGrid()).to_json(),
            "schema_version": SCHEMA_VERSION,
            "written_by": f"corebank {__version__}",
        },
    )
    session.commit(f"a new bank for {site}")
    making.rename(folder / _REPOSITORY)
    bank = open_bank(folder)
    bank.write_catalog()
    return bank


def open_bank(path: str | Path, at: str = "main") -> Bank:
    """Open a bank at a branch, a release (tag) or a snapshot.

    Raises `BankNotFoundError` when either is not there, `BankError` when a newer corebank wrote the bank.
    """
    folder = _local(path)
    missing = BankNotFoundError(folder, "there is no bank", f"Make one with: corebank init {folder} --site NAME")
    if not (folder / _REPOSITORY).is_dir():  # icechunk would make the folder that it looks into
        raise missing
    try:
        repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(folder / _REPOSITORY)))
    except icechunk.IcechunkError as error:
        raise missing from error
    bank = Bank(folder, repository, _snapshot(folder, repository, at))
    _ = bank.about  # refuses a newer layout
    return bank


class Bank:
    """A bank as it was at one snapshot; made by `create` and `open_bank`."""

    def __init__(self, path: Path, repository: icechunk.Repository, snapshot: str) -> None:
        self.path, self.snapshot = path, snapshot
        self._repository = repository

    @cached_property
    def _store(self) -> Any:
        store = self._repository.readonly_session(snapshot_id=self.snapshot).store
        about = layout.attributes(store)
        if about["schema_version"] > SCHEMA_VERSION:  # here, so that nothing of such a bank is read
            raise BankError(
                self.path, f"was written by {about['written_by']}, with a newer layout", "Install a newer corebank"
            )
        return store

    @cached_property
    def about(self) -> dict[str, Any]:
        """The bank's own attributes: site, energy grid, version of the layout, what wrote it."""
        return layout.attributes(self._store)

    @cached_property
    def _expeditions(self) -> list[str]:
        return [name for name in layout.groups(self._store) if name != adding.CONTRIBUTIONS]

    @cached_property
    def _attributes(self) -> dict[str, dict[str, Any]]:
        return {}  # of each expedition asked for: one read a snapshot, not one a run

    @property
    def site(self) -> str:
        """Name of the lab that owns the bank."""
        return str(self.about["site"])

    @cached_property
    def grid(self) -> EnergyGrid:
        """The energy axis that all its spectra are on."""
        return EnergyGrid.from_json(str(self.about["energy_grid"]))

    def expeditions(self) -> list[str]:
        """Names of the expeditions, in alphabetical order."""
        return list(self._expeditions)

    def attributes(self, expedition: str) -> dict[str, Any]:
        """What the contributor said of an expedition, its cores, and its ``runs`` with their numbers of spectra."""
        if expedition not in self._expeditions:
            known = ", ".join(self._expeditions) or "none yet"
            raise BankNotFoundError(self.path, f"there is no expedition {expedition!r}", f"It holds {known}")
        if expedition not in self._attributes:
            self._attributes[expedition] = layout.attributes(self._store, expedition)
        return dict(self._attributes[expedition])

    def runs(self, expedition: str) -> dict[str, int]:
        """Run -> number of spectra, in the order in which they came in."""
        return {str(name): int(count) for name, count in dict(self.attributes(expedition)["runs"]).items()}

    def run(self, expedition: str, run: str, level: Level = "intensity") -> xr.Dataset:
        """One run, lazy (dask): level ``counts`` (spectrum, channel) as measured, or ``intensity`` (spectrum, energy).

        Columns as in `corebank.schema.SPECTRUM`, attributes as in `RUN_ATTRIBUTES`.
        Raises `BankNotFoundError` for an expedition or run that is not there, `BankError` for an unknown level.
        """
        if level not in ("intensity", "counts"):
            raise BankError(self.path, f"level is {level!r}", "Ask for intensity or counts")
        self._require(expedition, run)
        whole = layout.open_run(self._store, f"{expedition}/{run}")
        return whole.drop_vars("counts") if level == "intensity" else whole.drop_vars(["intensity", "energy"])

    def spectra(self, expedition: str, run: str = "", level: Level = "intensity") -> xr.Dataset:
        """Spectra of one run, or of all runs of an expedition one after the other, lazy, with `PROVENANCE` columns.

        Attributes: ``site``, ``bank`` and ``snapshot`` (what was read) and ``grid``. Counts can be read of several runs
        together only where their detectors have the same number of channels; `BankError` otherwise.
        """
        parts = [
            with_provenance(self.run(expedition, name, level), self.site, expedition, name)
            for name in ([run] if run else self.runs(expedition))
        ]
        if level == "counts" and len({part.sizes["channel"] for part in parts}) > 1:
            raise BankError(
                f"{self.path}, {expedition}",
                "its runs have different numbers of channels",
                f"Name one run: {', '.join(self.runs(expedition))}",
            )
        whole = (
            parts[0]
            if len(parts) == 1
            else xr.concat(
                parts, dim="spectrum", combine_attrs="drop_conflicts", join="exact", coords="minimal", compat="override"
            )
        )
        return whole.assign_attrs(site=self.site, bank=str(self.path), snapshot=self.snapshot, grid=self.grid.to_json())

    def measurements(self, expedition: str) -> pd.DataFrame:
        """Laboratory values of an expedition, columns as in `corebank.contribution.laboratory.COLUMNS`."""
        if not self.attributes(expedition)["measurements"]:
            raise BankNotFoundError(
                f"{self.path}, {expedition}",
                "has no laboratory values",
                "Bring some in with [[measurements]] in a contribution.toml",
            )
        return layout.read_measurements(self._store, f"{expedition}/{adding.MEASUREMENTS}")

    def log(self) -> list[Commit]:
        """Every commit up to this snapshot, newest first."""
        return [
            Commit(entry.id, entry.written_at, entry.message, dict(entry.metadata))
            for entry in self._repository.ancestry(snapshot_id=self.snapshot)
            if not entry.metadata.get("__root")
        ]

    def tag(self, name: str) -> None:
        """Make this snapshot a release; a release is never moved, so `BankError` when the name is taken."""
        if name in self._repository.list_branches():
            raise BankError(self.path, f"{name!r} is a branch", "Choose another name for the release")
        try:
            self._repository.create_tag(name, self.snapshot)
        except icechunk.IcechunkError as error:
            raise BankError(
                self.path, f"there is, or was, a release {name!r}", "Choose a new name; releases are never moved"
            ) from error

    def add(self, contribution: Contribution) -> Added:
        """Bring a checked contribution in, as one commit on ``main``.

        Runs that the bank holds already, spectrum by spectrum, are left as they are, and so are measurements; when
        nothing is new, no commit is made. Raises `BankError` when the contribution belongs to another site, or a run
        of the same name holds other spectra; nothing is changed then.
        """
        self._refuse_foreign(contribution)
        with self._writing():
            head = open_bank(self.path)
            runs, already = adding.new_runs(head, contribution)
            measurements = adding.new_measurements(head, contribution)
            snapshot = head.snapshot
            if runs or len(measurements):
                snapshot = adding.write(
                    head._repository.writable_session("main"), head, contribution, runs, measurements
                )
            self._become(snapshot)
            self.write_catalog()
        return Added(
            snapshot,
            adding.identifier(contribution),
            {name: run.sizes["spectrum"] for name, run in runs.items()},
            len(measurements),
            already,
        )

    def _refuse_foreign(self, contribution: Contribution) -> None:
        """Raise `BankError` for another site's contribution, and for names that the bank uses itself."""
        metadata = contribution.metadata
        if metadata.expedition.site != self.site:
            raise BankError(
                self.path,
                f"belongs to {self.site}, the contribution to {metadata.expedition.site}",
                "Correct site in contribution.toml, or choose that site's bank",
            )
        for name, reserved in (
            (metadata.expedition.name, adding.CONTRIBUTIONS),
            *((run, adding.MEASUREMENTS) for run in contribution.runs),
        ):
            if name == reserved:
                raise BankError(
                    self.path,
                    f"nothing can be called {reserved}, which the bank uses itself",
                    "Choose another name in contribution.toml",
                )

    def amend(self, contribution: Contribution, because: str) -> Amended:
        """Replace what the bank says of spectra that it holds by what a checked contribution says of them now.

        Words about the expedition, its cores and its machine, places and depths, energy axes (and with them the
        intensities), flags, replicates and laboratory values change; raw counts never do, and earlier snapshots stay
        as they were. One commit on ``main``, or none when nothing differs. Raises `BankError` when the contribution
        holds spectra that the bank does not, or no reason is given; nothing is changed then.
        """
        self._refuse_foreign(contribution)
        with self._writing():
            head = open_bank(self.path)
            changes = amending.changes(head, contribution, because)
            snapshot = head.snapshot
            if not changes.nothing:
                session = head._repository.writable_session("main")
                snapshot = amending.write(session, head, contribution, changes, because)
            self._become(snapshot)
            self.write_catalog()
        return Amended(snapshot, changes.told())

    def evaluations(self, expedition: str, run: str) -> dict[str, pd.DataFrame]:
        """Every evaluation that lay beside the spectra of a run: file name -> peak areas, row by row with the spectra.

        The one that calibrates the run is first, and ``attrs["calibrates"]`` of its table is true.
        """
        self._require(expedition, run)
        tables = layout.read_evaluations(self._store, f"{expedition}/{run}/{adding.EVALUATIONS}")
        return dict(sorted(tables.items(), key=lambda item: not item[1].attrs["calibrates"]))

    def _require(self, expedition: str, run: str) -> None:
        if run not in (known := self.runs(expedition)):
            raise BankNotFoundError(
                f"{self.path}, {expedition}", f"there is no run {run!r}", f"Its runs are {', '.join(known)}"
            )

    def write_catalog(self) -> None:
        """Write ``catalog.yaml`` beside the repository: one entry per expedition, and one for its measurements."""
        listing.write(self.path / listing.FILE_NAME, self.catalog_text())

    def catalog_text(self, bank: str = "{{ CATALOG_DIR }}") -> str:
        """The catalog's YAML, with `bank` as the bank's address seen from where the file will lie."""
        return listing.text(self.site, {name: self.attributes(name) for name in self.expeditions()}, bank)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One writer at a time: on a local path Icechunk alone loses acknowledged commits where writers meet."""
        lock = FileLock(self.path / ".writing.lock", timeout=0)
        try:
            lock.acquire()
        except TimeoutError:
            print(f"corebank: waiting for another writer of {self.path}", file=sys.stderr)
            lock.acquire(timeout=-1)
        try:
            yield
        finally:
            lock.release()

    def _become(self, snapshot: str) -> None:
        self.snapshot = snapshot
        for cached in ("_store", "about", "_expeditions", "_attributes"):
            self.__dict__.pop(cached, None)


def _local(path: str | Path) -> Path:
    if "://" in str(path):
        raise BankError(
            str(path), "is not a local path", "Copy the bank to a local folder; remote banks are not read yet"
        )
    return Path(path).absolute()


def _snapshot(folder: Path, repository: icechunk.Repository, at: str) -> str:
    if at in (branches := repository.list_branches()):
        return str(repository.lookup_branch(at))
    if at in (releases := repository.list_tags()):
        return str(repository.lookup_tag(at))
    try:
        repository.readonly_session(snapshot_id=at)
    except (icechunk.IcechunkError, ValueError) as error:
        known = ", ".join([*sorted(branches), *sorted(releases)])
        raise BankNotFoundError(
            folder,
            f"there is no snapshot, release or branch {at!r}",
            f"Known are {known}; corebank log lists the snapshots",
        ) from error
    return at
