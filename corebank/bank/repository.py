"""Where a bank's commits are kept: an Icechunk repository. With `corebank.bank.storage` the only importer of icechunk.

Writers of a local bank hold a file lock, since Icechunk alone loses acknowledged commits there where writers meet; S3
and memory refuse a commit whose parent is no longer the head, and the work is done again (`Repository.atomically`).
What goes wrong below is told as `corebank.bank.faults` reads it, also while a lazy array is read.
"""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import icechunk

from corebank.bank import addresses, beside, damage, faults, stores, writers
from corebank.bank.addresses import resolved
from corebank.bank.records import Commit
from corebank.bank.storage import IN_MEMORY, patience, storage
from corebank.bank.writers import ConflictError
from corebank.errors import BankError, BankNotFoundError

__all__ = ["ConflictError", "Repository", "create", "open_repository", "resolved"]

RELEASES = "releases.json"
"""Small file with the releases of a bank: a web server cannot list them."""

_NAME = "repository"

_MAIN = f"{_NAME}/refs/branch.main/ref.json"

_SPEAKS = (icechunk.IcechunkError, UnicodeError)
"""How icechunk tells that something is wrong; the second where a text of a damaged snapshot is none."""

_EMPTY = "1CECHNKREP0F1RSTCMT0"
"""The snapshot that every Icechunk repository begins with; a bank whose head it is was never made to its end."""

T = TypeVar("T")


class Repository:
    """The commits of one bank; made by `create` and `open_repository`."""

    def __init__(self, address: str, opened: icechunk.Repository) -> None:
        self.address, self._opened = address, opened
        self._main = ""

    @property
    def folder(self) -> Path | None:
        """The bank's folder where it is a local one."""
        return addresses.folder(self.address)

    @property
    def writable(self) -> bool:
        """False behind a web server."""
        return addresses.kind(self.address) != "web"

    def snapshot(self, at: str = "main") -> str:
        """Identifier of the snapshot that a branch, a release or a snapshot names; raises `BankNotFoundError`."""
        for look in (self._opened.lookup_branch, self._opened.lookup_tag, self._looked_up):
            try:
                found = str(look(at))
            except (icechunk.IcechunkError, ValueError) as error:
                if not _names_nothing(error):
                    raise faults.told(self.address, error) from error
                continue
            if at == "main":
                if found == _EMPTY:
                    raise _missing(self.address)
                self._main = found
            return found
        raise BankNotFoundError(
            self.address,
            f"there is no snapshot, release or branch {at!r}",
            f"Known are {', '.join(['main', *self.releases()])}; corebank log lists the snapshots",
        )

    def _looked_up(self, snapshot: str) -> str:
        self._opened.readonly_session(snapshot_id=snapshot)
        return snapshot

    def releases(self) -> dict[str, str]:
        """Release -> snapshot."""
        if not self.writable:
            told = beside.read_text(self.address, RELEASES)
            return {} if told is None else {str(name): str(snapshot) for name, snapshot in json.loads(told).items()}
        with self._telling():
            return {name: str(self._opened.lookup_tag(name)) for name in sorted(self._opened.list_tags())}

    def store(self, snapshot: str) -> Any:
        """The Zarr store of a snapshot, read-only."""
        with self._telling():
            return _Store.of(self._opened.readonly_session(snapshot_id=snapshot).store, self.address)

    def log(self, snapshot: str) -> list[Commit]:
        """Every commit up to a snapshot, newest first."""
        with self._telling():
            return [
                Commit(entry.id, entry.written_at, entry.message, dict(entry.metadata))
                for entry in self._opened.ancestry(snapshot_id=snapshot)
                if entry.id != _EMPTY and not entry.metadata.get("__root")
            ]

    def tag(self, name: str, snapshot: str) -> None:
        """Make a snapshot a release; raises `BankError` when the name is, or ever was, taken."""
        with self.writing():
            try:
                if name in self._opened.list_branches():
                    raise BankError(self.address, f"{name!r} is a branch", "Choose another name for the release")
                self._opened.create_tag(name, snapshot)
            except icechunk.IcechunkError as error:
                if "already exists" in str(error):
                    raise BankError(
                        self.address,
                        f"there is, or was, a release {name!r}",
                        "Choose a new name; releases are never moved",
                    ) from error
                if "invalid ref name" in str(error):
                    raise BankError(
                        self.address, f"{name!r} cannot name a release", "Choose a name without a slash"
                    ) from error
                raise faults.told(self.address, error) from error
            self.list_releases()

    def list_releases(self) -> None:
        """Write the small file that tells web servers' readers of the releases."""
        listed = None
        while (releases := self.releases()) != listed:  # once more where another writer's release came in between
            self.write_text(RELEASES, json.dumps(releases, indent=1) + "\n")
            listed = releases

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One writer at a time, where the address cannot see to that itself; a thread that has the lock keeps it.

        Raises `BankError` for a bank behind a web server.
        """
        with writers.alone(self.address):
            yield

    def atomically(self, work: Callable[[], T]) -> T:
        """Do one unit of work that ends in a commit, and return what it returns.

        `work` opens the head itself and may be called again: where another writer's commit came in between (on an
        address without a lock), all of it is done once more on the new head. Raises `ConflictError` after
        `writers.TRIES` times.
        """
        with self.writing():
            return writers.again(work)

    def session(self) -> Any:
        """A writable session on ``main``; its ``store`` is written to, and nothing is seen before `commit`.

        Raises `ConflictError` when ``main`` is no longer where this object last told that it was: what was decided
        there may not be written here.
        """
        with self._telling():
            session = self._opened.writable_session("main")
        if self._main not in ("", session.snapshot_id):
            raise ConflictError(self.address)
        return _Session(session, self.address)

    def commit(self, session: Any, message: str, about: Mapping[str, Any] | None = None) -> str:
        """Commit a session; returns the snapshot. Raises `ConflictError` when another writer committed in between."""
        with self._telling(writing=True):
            writers.onto_disk(self.address)  # the chunks, before anything names them
            try:
                snapshot = str(session.commit(message, metadata=damage.signed(message, about or {})))
            except icechunk.ConflictError as error:
                raise ConflictError(self.address) from error
            writers.onto_disk(self.address)
        self._main = snapshot
        return snapshot

    def touched(self, before: str, after: str) -> frozenset[str] | None:
        """Paths (``expedition/run/array``) that the commits after one snapshot and up to another touched.

        Read from Icechunk's record of the commits, whatever the size of the bank. None where that is not known: the
        first is no ancestor of the second, or their history was cut.
        """
        if before == after:
            return frozenset()
        try:
            found = self._opened.diff(from_snapshot_id=before, to_snapshot_id=after)
        except (icechunk.IcechunkError, ValueError):
            return None
        groups = found.new_groups | found.updated_groups | found.deleted_groups
        arrays = found.new_arrays | found.updated_arrays | found.deleted_arrays | set(found.updated_chunks)
        return frozenset(str(path).strip("/") for path in groups | arrays)

    def branches(self) -> dict[str, str]:
        """Branch -> snapshot."""
        with self._telling():
            return {name: str(self._opened.lookup_branch(name)) for name in self._opened.list_branches()}

    def expire(self, until: datetime) -> None:
        """Take snapshots from before a time out of the history; branches and releases keep theirs."""
        with self._telling():
            self._opened.expire_snapshots(older_than=until)

    def collect(self, until: datetime, *, dry_run: bool) -> tuple[int, int]:
        """Delete what no snapshot refers to and was written before a time; returns numbers of files and of bytes."""
        with self._telling():
            gone = self._opened.garbage_collect(until, dry_run=dry_run)
        files = (
            gone.chunks_deleted
            + gone.manifests_deleted
            + gone.snapshots_deleted
            + gone.attributes_deleted
            + gone.transaction_logs_deleted
        )
        return int(files), int(gone.bytes_deleted)

    def read_text(self, name: str) -> str | None:
        """A small file beside the repository; None where there is none."""
        return beside.read_text(self.address, name)

    def write_text(self, name: str, text: str) -> None:
        """Replace a small file beside the repository in one step."""
        beside.write_text(self.address, name, text)

    @contextmanager
    def _telling(self, writing: bool = False) -> Iterator[None]:
        with _asking_why(self.address, writing), faults.telling(self.address, *_SPEAKS, OSError):
            yield


def create(address: str, describe: Callable[[Any], None], message: str) -> Repository:
    """Make a repository with one commit of what `describe` puts into its store.

    Raises `BankError` when something is at `address`, `StorageError` when it cannot be written to.
    """
    occupied = BankError(
        address, "is there already and not empty", "Choose a new folder, or add to the bank that is there"
    )
    if addresses.kind(address) == "web":
        raise BankError(address, "a bank cannot be made behind a web server", "Give a local path or an s3:// address")
    with _asking_why(address, writing=True), faults.telling(address, *_SPEAKS, OSError):
        if (folder := addresses.folder(address)) is None:
            _make_remote(address, describe, message, occupied)
        else:
            making = folder / f".{_NAME}"  # renamed when it is whole: a killed process leaves nothing half made
            if folder.exists() and (not folder.is_dir() or set(folder.iterdir()) - {making}):
                raise occupied
            folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            _describe(_new(storage(str(making))), describe, message)
            making.rename(folder / _NAME)
    made = open_repository(address)
    made.list_releases()
    return made


def open_repository(address: str) -> Repository:
    """Open what `create` made.

    Raises `BankNotFoundError` when there is none, `StorageError` when that cannot be told, or it cannot be used.
    """
    kind = addresses.kind(address)
    if kind == "local" and not (Path(address) / _NAME).is_dir():  # icechunk would make the folder it looks into
        raise _missing(address)
    if kind == "memory" and f"{address}/{_NAME}" not in IN_MEMORY:
        raise _missing(address)
    if kind == "s3":
        beside.knock(address)
    if kind == "web":
        try:
            if '"snapshot"' not in beside.ask_for_a_part(address, _MAIN):
                raise _missing(address)
        except FileNotFoundError as error:
            raise _missing(address) from error
    try:
        return Repository(address, icechunk.Repository.open(storage(f"{address}/{_NAME}"), config=patience()))
    except _SPEAKS as error:
        if "doesn't exist" in str(error):
            raise _missing(address) from error
        with _asking_why(address, writing=False):
            raise faults.told(address, error) from error


@contextmanager
def _asking_why(address: str, writing: bool) -> Iterator[None]:
    """Ask an S3 store for the reason where icechunk was given none, or kept none."""
    try:
        yield
    except faults.UnexplainedError:
        if addresses.kind(address) == "s3":
            beside.ask_why(address, _MAIN, writing=writing)
        raise


def _make_remote(address: str, describe: Callable[[Any], None], message: str, occupied: BankError) -> None:
    """Make a repository that cannot be renamed; one whose making was cut short is finished."""
    lies, there = storage(f"{address}/{_NAME}"), beside.names(address)
    if addresses.kind(address) == "memory" and _NAME not in there:
        there |= {_NAME} if f"{address}/{_NAME}" in IN_MEMORY and icechunk.Repository.exists(lies) else set()
    if there - {_NAME}:
        raise occupied
    if not there:
        opened = _new(lies)
    elif (opened := icechunk.Repository.open(lies, config=patience())).lookup_branch("main") != _EMPTY:
        raise occupied
    try:
        _describe(opened, describe, message)
    except icechunk.ConflictError as error:
        raise occupied from error


def _new(lies: icechunk.Storage) -> icechunk.Repository:
    newer = "spec_version" in inspect.signature(icechunk.Repository.create).parameters
    oldest: dict[str, Any] = {"spec_version": 1} if newer else {}  # icechunk 1.x opens no other
    return icechunk.Repository.create(lies, **oldest)


def _describe(opened: icechunk.Repository, describe: Callable[[Any], None], message: str) -> None:
    session = opened.writable_session("main")
    describe(session.store)
    session.commit(message, metadata=damage.signed(message, {}))


def _missing(address: str) -> BankNotFoundError:
    return BankNotFoundError(address, "there is no bank", f"Make one with: corebank init {address} --site NAME")


def _names_nothing(error: Exception) -> bool:
    """True when a name was looked up and is not there, rather than that it could not be looked up."""
    said = ("ref not found", "invalid ref name", "invalid snapshot id", "snapshot not found", "object not found")
    return isinstance(error, ValueError) or any(words in str(error) for words in said)


class _Session:
    """An Icechunk session whose store tells what goes wrong."""

    def __init__(self, session: Any, address: str) -> None:
        self._session, self.store = session, _Store.of(session.store, address)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


class _Store(stores.Telling, icechunk.IcechunkStore):
    """An Icechunk store whose errors are corebank's own."""

    kinds = _SPEAKS
