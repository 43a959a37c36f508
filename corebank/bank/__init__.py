"""A bank: a lab's spectra in one versioned Icechunk repository (Zarr format 3), with a ``catalog.yaml`` beside it.

Layout: ``/<expedition>`` carries who, where and the licence; ``/<expedition>/<run>`` one scan series, its counts
exactly as measured and its intensity on the bank's energy grid; ``/<expedition>/measurements`` the laboratory values;
``/contributions/<id>`` what each contributor said. A contribution is one commit: a reader sees all of it or nothing,
and a process killed at any moment leaves the last commit. This package is the only importer of zarr and icechunk.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from filelock import FileLock

from corebank import __version__, calibrate
from corebank.contribution import Contribution, with_provenance
from corebank.errors import BankError, BankNotFoundError
from corebank.schema import EnergyGrid

os.environ.setdefault("ICECHUNK_LOG", "error")      # icechunk logs to stdout otherwise, into people's --json

import icechunk  # noqa: E402 - after the line above, which it reads when imported
import zarr  # noqa: E402

from corebank.bank import layout, listing  # noqa: E402

SCHEMA_VERSION = 1
"""Version of the layout; written into every bank."""

Level = Literal["intensity", "counts"]

_REPOSITORY = "repository"
_CONTRIBUTIONS = "contributions"
_MEASUREMENTS = "measurements"


@dataclass(frozen=True, slots=True)
class Added:
    """What one `Bank.add` did."""

    snapshot: str
    """The commit that holds it; the bank's head when nothing was new."""
    contribution: str
    runs: dict[str, int]
    """Run -> number of spectra that went in."""
    measurements: int
    already: dict[str, int]
    """Run -> number of spectra that were in the bank before."""

    @property
    def nothing_new(self) -> bool:
        """True when the bank held all of it, and no commit was made."""
        return not self.runs and not self.measurements


@dataclass(frozen=True, slots=True)
class Commit:
    """One line of a bank's log."""

    snapshot: str
    written_at: datetime
    message: str
    about: dict[str, Any]


def create(path: str | Path, *, site: str, grid: EnergyGrid | None = None) -> Bank:
    """Make an empty bank for `site` at a local path; raises `BankError` when something is there already."""
    folder = _local(path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BankError(folder, "is there already and not empty", "Choose a new folder, or add to the bank that is there")
    folder.mkdir(parents=True, exist_ok=True)
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(folder / _REPOSITORY)))
    session = repository.writable_session("main")
    zarr.group(session.store, attributes={
        "site": site, "energy_grid": (grid or EnergyGrid()).to_json(), "schema_version": SCHEMA_VERSION, "written_by": f"corebank {__version__}",
    })
    session.commit(f"a new bank for {site}")
    bank = open_bank(folder)
    bank.write_catalog()
    return bank


def open_bank(path: str | Path, at: str = "main") -> Bank:
    """Open a bank at a branch, a release (tag) or a snapshot; raises `BankNotFoundError` when either is not there."""
    folder = _local(path)
    try:
        repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(folder / _REPOSITORY)))
    except icechunk.IcechunkError as error:
        raise BankNotFoundError(folder, "there is no bank", f"Make one with: corebank init {folder} --site NAME") from error
    return Bank(folder, repository, _snapshot(folder, repository, at))


class Bank:
    """A bank as it was at one snapshot; made by `create` and `open_bank`."""

    def __init__(self, path: Path, repository: icechunk.Repository, snapshot: str) -> None:
        self.path, self.snapshot = path, snapshot
        self._repository = repository

    @cached_property
    def _store(self) -> Any:
        return self._repository.readonly_session(snapshot_id=self.snapshot).store

    @cached_property
    def _root(self) -> zarr.Group:
        root = zarr.open_group(self._store, mode="r")
        if int(str(root.attrs["schema_version"])) > SCHEMA_VERSION:
            raise BankError(self.path, f"was written by {root.attrs['written_by']}, with a newer layout", "Install a newer corebank")
        return root

    @property
    def site(self) -> str:
        """Name of the lab that owns the bank."""
        return str(self._root.attrs["site"])

    @cached_property
    def grid(self) -> EnergyGrid:
        """The energy axis that all its spectra are on."""
        return EnergyGrid.from_json(str(self._root.attrs["energy_grid"]))

    def expeditions(self) -> list[str]:
        """Names of the expeditions, in alphabetical order."""
        return sorted(name for name in self._root.group_keys() if name != _CONTRIBUTIONS)

    def attributes(self, expedition: str) -> dict[str, Any]:
        """What the contributor said of an expedition, its cores, and its ``runs`` with their numbers of spectra."""
        return dict(self._expedition(expedition).attrs)

    def runs(self, expedition: str) -> dict[str, int]:
        """Run -> number of spectra, in the order in which they came in."""
        return {str(name): int(count) for name, count in dict(self.attributes(expedition)["runs"]).items()}

    def run(self, expedition: str, run: str, level: Level = "intensity") -> xr.Dataset:
        """One run, lazy (dask): `level` ``counts`` (spectrum, channel) as measured, or ``intensity`` (spectrum, energy).

        Columns as in `corebank.schema.SPECTRUM`, attributes as in `RUN_ATTRIBUTES`.
        Raises `BankNotFoundError` for an expedition or run that is not there, `BankError` for an unknown level.
        """
        if level not in ("intensity", "counts"):
            raise BankError(self.path, f"level is {level!r}", "Ask for intensity or counts")
        if run not in (known := self.runs(expedition)):
            raise BankNotFoundError(f"{self.path}, {expedition}", f"there is no run {run!r}", f"Its runs are {', '.join(known)}")
        whole = layout.open_run(self._store, f"{expedition}/{run}")
        return whole.drop_vars("counts") if level == "intensity" else whole.drop_vars(["intensity", "energy"])

    def spectra(self, expedition: str, run: str = "", level: Level = "intensity") -> xr.Dataset:
        """Spectra of one run, or of all runs of an expedition one after the other, lazy, with `PROVENANCE` columns.

        Attributes: ``site``, ``bank`` and ``snapshot`` (what was read) and ``grid``. Counts can be read of several runs
        together only where their detectors have the same number of channels; `BankError` otherwise.
        """
        parts = [with_provenance(self.run(expedition, name, level), self.site, expedition, name) for name in ([run] if run else self.runs(expedition))]
        if level == "counts" and len({part.sizes["channel"] for part in parts}) > 1:
            raise BankError(f"{self.path}, {expedition}", "its runs have different numbers of channels", f"Name one run: {', '.join(self.runs(expedition))}")
        whole = parts[0] if len(parts) == 1 else xr.concat(parts, dim="spectrum", combine_attrs="drop_conflicts", join="exact", coords="minimal", compat="override")
        return whole.assign_attrs(site=self.site, bank=str(self.path), snapshot=self.snapshot, grid=self.grid.to_json())

    def measurements(self, expedition: str) -> pd.DataFrame:
        """Laboratory values of an expedition, columns as in `corebank.contribution.laboratory.COLUMNS`."""
        group = self._expedition(expedition)
        if _MEASUREMENTS not in group:
            raise BankNotFoundError(f"{self.path}, {expedition}", "has no laboratory values", "Bring some in with [[measurements]] in a contribution.toml")
        return layout.read_measurements(self._store, f"{expedition}/{_MEASUREMENTS}")

    def log(self) -> list[Commit]:
        """Every commit up to this snapshot, newest first."""
        return [
            Commit(entry.id, entry.written_at, entry.message, dict(entry.metadata))
            for entry in self._repository.ancestry(snapshot_id=self.snapshot) if not entry.metadata.get("__root")
        ]

    def tag(self, name: str) -> None:
        """Make this snapshot a release; a release is never moved, so `BankError` when the name is taken."""
        try:
            self._repository.create_tag(name, self.snapshot)
        except icechunk.IcechunkError as error:
            raise BankError(self.path, f"there is, or was, a release {name!r}", "Choose a new name; releases are never moved") from error

    def add(self, contribution: Contribution) -> Added:
        """Bring a checked contribution in, as one commit on ``main``.

        Runs that the bank holds already, spectrum by spectrum, are left as they are, and so are measurements; when
        nothing is new, no commit is made. Raises `BankError` when the contribution belongs to another site, or a run
        of the same name holds other spectra; nothing is changed then.
        """
        metadata = contribution.metadata
        if metadata.expedition.site != self.site:
            raise BankError(self.path, f"belongs to {self.site}, the contribution to {metadata.expedition.site}", "Correct site in contribution.toml, or choose that site's bank")
        if metadata.expedition.name == _CONTRIBUTIONS:
            raise BankError(self.path, f"an expedition cannot be called {_CONTRIBUTIONS}", "Choose another name in contribution.toml")
        with self._writing():
            head = open_bank(self.path)
            runs, already = head._new_runs(contribution)
            measurements = head._new_measurements(contribution)
            identifier = _identifier(contribution)
            if runs or len(measurements):
                snapshot = head._commit(contribution, runs, measurements, identifier)
            else:
                snapshot = head.snapshot
        self._become(snapshot)
        self.write_catalog()
        return Added(snapshot, identifier, {name: run.sizes["spectrum"] for name, run in runs.items()}, len(measurements), already)

    def write_catalog(self) -> None:
        """Write ``catalog.yaml`` beside the repository: one entry per expedition, and one for its measurements."""
        listing.write(self.path / listing.FILE_NAME, self.catalog_text())

    def catalog_text(self, bank: str = "{{ CATALOG_DIR }}") -> str:
        """The catalog's YAML, with `bank` as the bank's address seen from where the file will lie."""
        return listing.text(self.site, {name: self.attributes(name) for name in self.expeditions()}, bank)

    def _expedition(self, name: str) -> zarr.Group:
        if name not in self.expeditions():
            raise BankNotFoundError(self.path, f"there is no expedition {name!r}", f"It holds {', '.join(self.expeditions()) or 'none yet'}")
        group = self._root[name]
        assert isinstance(group, zarr.Group)
        return group

    def _new_runs(self, contribution: Contribution) -> tuple[dict[str, xr.Dataset], dict[str, int]]:
        expedition = contribution.metadata.expedition.name
        held = self.runs(expedition) if expedition in self.expeditions() else {}
        # One column is read per run that is there; which spectra are the same is a matter of their bytes, not their names.
        hashes = {name: set(self.run(expedition, name)["source_sha256"].values) for name in held}
        new, already = {}, {}
        for name, run in contribution.runs.items():
            ours = set(run["source_sha256"].values)
            elsewhere = next((other for other, theirs in hashes.items() if ours & theirs), None)
            if elsewhere is not None and ours <= hashes[elsewhere]:
                already[name] = len(ours)
            elif elsewhere is not None or name in held:
                raise BankError(
                    f"{self.path}, {expedition}/{elsewhere or name}", f"shares {len(ours & hashes[elsewhere or name])} of {len(ours)} spectra with run {name}",
                    "Give the scan a run name of its own, and leave out the spectra that are in the bank",
                )
            else:
                new[name] = run
        return new, already

    def _new_measurements(self, contribution: Contribution) -> pd.DataFrame:
        expedition = contribution.metadata.expedition.name
        table = contribution.measurements
        if expedition not in self.expeditions() or _MEASUREMENTS not in self._expedition(expedition) or table.empty:
            return table
        held = set(_keys(self.measurements(expedition)))
        return table[[key not in held for key in _keys(table)]]

    def _commit(self, contribution: Contribution, runs: dict[str, xr.Dataset], measurements: pd.DataFrame, identifier: str) -> str:
        metadata, expedition = contribution.metadata, contribution.metadata.expedition.name
        session = self._repository.writable_session("main")
        known = expedition in self.expeditions()
        before = self.attributes(expedition) if known else {}
        cores = {core["name"]: core for core in [*before.get("cores", []), *(asdict(core) for core in metadata.cores)]}
        group = zarr.open_group(session.store, path=expedition, mode="a")
        group.attrs.update({
            **asdict(metadata.expedition), "cores": list(cores.values()),
            "runs": {**before.get("runs", {}), **{name: run.sizes["spectrum"] for name, run in runs.items()}},
            "measurements": before.get("measurements", 0) + len(measurements),
        })
        for name, run in runs.items():
            on_grid = calibrate.intensity(run, self.grid, name)
            whole = run.assign(intensity=on_grid["intensity"]).assign_coords(energy=on_grid["energy"])
            whole["contribution"] = whole["contribution"].copy(data=np.full(run.sizes["spectrum"], identifier, dtype=object))
            layout.write_run(session.store, f"{expedition}/{name}", whole.assign_attrs(calibration_version=calibrate.CALIBRATION_VERSION))
        if len(measurements):
            layout.append_measurements(session.store, f"{expedition}/{_MEASUREMENTS}", measurements, exists=bool(before.get("measurements")))
        zarr.open_group(session.store, path=f"{_CONTRIBUTIONS}/{identifier}", mode="a").attrs.update({
            "expedition": expedition, "toml": metadata.text, "report": json.loads(contribution.report.to_json()), "written_by": f"corebank {__version__}",
        })
        count = sum(run.sizes["spectrum"] for run in runs.values())
        return str(session.commit(
            f"add {expedition}: {count} spectra in {len(runs)} runs, {len(measurements)} measurements",
            metadata={"contribution": identifier, "expedition": expedition, "runs": sorted(runs), "spectra": count, "measurements": len(measurements)},
        ))

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
        for cached in ("_store", "_root"):
            self.__dict__.pop(cached, None)


def _local(path: str | Path) -> Path:
    if "://" in str(path):
        raise BankError(str(path), "is not a local path", "Copy the bank to a local folder; remote banks are not read yet")
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
        raise BankNotFoundError(folder, f"there is no snapshot, release or branch {at!r}", f"Known are {known}; corebank log lists the snapshots") from error
    return at


def _identifier(contribution: Contribution) -> str:
    """Sixteen hexadecimal digits of a hash over what the contribution holds, whatever its folder is called."""
    digest = hashlib.sha256(contribution.metadata.expedition.name.encode())
    for sha in sorted(sha for run in contribution.runs.values() for sha in run["source_sha256"].values):
        digest.update(str(sha).encode())
    digest.update(contribution.measurements.to_csv(index=False).encode())
    return digest.hexdigest()[:16]


def _keys(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Rows as hashable values that compare equal when they say the same, NaN included."""
    said = table.drop(columns="source")            # a renamed file says nothing new
    return [tuple(None if isinstance(value, float) and np.isnan(value) else value for value in row) for row in said.itertuples(index=False)]
