"""Where a bank lies and how its commits are kept: an Icechunk repository, and small files beside it.

An address is a local path, ``s3://bucket/path`` (credentials from the environment) or ``memory://name`` (for this
process only). On a local path writers hold a file lock, since Icechunk alone loses acknowledged commits there where
writers meet; S3 refuses a commit whose parent is no longer the head. This module is the only importer of icechunk.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from filelock import FileLock

from corebank.bank import listing
from corebank.bank.records import Commit
from corebank.errors import BankError, BankNotFoundError

os.environ.setdefault("ICECHUNK_LOG", "error")  # icechunk logs to stdout otherwise, into people's --json

import icechunk

_NAME = "repository"

_IN_MEMORY: dict[str, icechunk.Storage] = {}


class Repository:
    """The commits of one bank; made by `create` and `open_repository`."""

    def __init__(self, address: str, opened: icechunk.Repository) -> None:
        self.address, self._opened = address, opened

    @property
    def folder(self) -> Path | None:
        """The bank's folder where it is a local one."""
        return None if "://" in self.address else Path(self.address)

    def snapshot(self, at: str = "main") -> str:
        """Identifier of the snapshot that a branch, a release or a snapshot names; raises `BankNotFoundError`."""
        branches, releases = self._opened.list_branches(), self._opened.list_tags()
        if at in branches:
            return str(self._opened.lookup_branch(at))
        if at in releases:
            return str(self._opened.lookup_tag(at))
        try:
            self._opened.readonly_session(snapshot_id=at)
        except (icechunk.IcechunkError, ValueError) as error:
            known = ", ".join([*sorted(branches), *sorted(releases)])
            raise BankNotFoundError(
                self.address,
                f"there is no snapshot, release or branch {at!r}",
                f"Known are {known}; corebank log lists the snapshots",
            ) from error
        return at

    def releases(self) -> dict[str, str]:
        """Release -> snapshot."""
        return {name: str(self._opened.lookup_tag(name)) for name in sorted(self._opened.list_tags())}

    def store(self, snapshot: str) -> Any:
        """The Zarr store of a snapshot, read-only."""
        return self._opened.readonly_session(snapshot_id=snapshot).store

    def log(self, snapshot: str) -> list[Commit]:
        """Every commit up to a snapshot, newest first."""
        return [
            Commit(entry.id, entry.written_at, entry.message, dict(entry.metadata))
            for entry in self._opened.ancestry(snapshot_id=snapshot)
            if not entry.metadata.get("__root")
        ]

    def tag(self, name: str, snapshot: str) -> None:
        """Make a snapshot a release; raises `BankError` when the name is, or ever was, taken."""
        if name in self._opened.list_branches():
            raise BankError(self.address, f"{name!r} is a branch", "Choose another name for the release")
        try:
            self._opened.create_tag(name, snapshot)
        except icechunk.IcechunkError as error:
            raise BankError(
                self.address, f"there is, or was, a release {name!r}", "Choose a new name; releases are never moved"
            ) from error

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One writer at a time, where the address cannot see to that itself."""
        if self.folder is None:
            yield
            return
        lock = FileLock(self.folder / ".writing.lock", timeout=0)
        try:
            lock.acquire()
        except TimeoutError:
            print(f"corebank: waiting for another writer of {self.address}", file=sys.stderr)
            lock.acquire(timeout=-1)
        try:
            yield
        finally:
            lock.release()

    def session(self) -> Any:
        """A writable session on ``main``; its ``store`` is written to, and nothing is seen before `commit`."""
        return self._opened.writable_session("main")

    def commit(self, session: Any, message: str, about: Mapping[str, Any] | None = None) -> str:
        """Commit a session; returns the snapshot."""
        return str(session.commit(message, metadata=dict(about or {})))

    def write_text(self, name: str, text: str) -> None:
        """Replace a small file beside the repository in one step."""
        if self.folder is not None:
            listing.write(self.folder / name, text)
        else:
            with fsspec.open(f"{self.address}/{name}", "w", encoding="utf-8") as file:
                file.write(text)


def create(address: str, describe: Callable[[Any], None], message: str) -> Repository:
    """Make a repository with one commit of what `describe` puts into its store.

    Raises `BankError` when something is at `address`.
    """
    folder = None if "://" in address else Path(address)
    if folder is None:
        _made(f"{address}/{_NAME}", describe, message)
        return open_repository(address)
    making = folder / f".{_NAME}"  # renamed when it is whole, so that a killed process leaves nothing half made
    if folder.exists() and (not folder.is_dir() or set(folder.iterdir()) - {making}):
        raise BankError(
            folder, "is there already and not empty", "Choose a new folder, or add to the bank that is there"
        )
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(making, ignore_errors=True)
    _made(str(making), describe, message)
    making.rename(folder / _NAME)
    return open_repository(address)


def open_repository(address: str) -> Repository:
    """Open what `create` made; raises `BankNotFoundError` when there is none."""
    missing = BankNotFoundError(address, "there is no bank", f"Make one with: corebank init {address} --site NAME")
    if "://" not in address and not (Path(address) / _NAME).is_dir():  # icechunk would make the folder it looks into
        raise missing
    try:
        return Repository(address, icechunk.Repository.open(_storage(f"{address}/{_NAME}")))
    except icechunk.IcechunkError as error:
        raise missing from error


def resolved(address: str | Path) -> str:
    """`address` in the one way it is written: an absolute local path, or a URL without a slash at its end."""
    text = str(address)
    if "://" not in text:
        return str(Path(text).absolute())
    scheme = text.partition("://")[0]
    if scheme not in ("s3", "memory"):
        raise BankError(text, f"{scheme}:// is no place for a bank", "Give a local path or an s3:// address")
    return text.rstrip("/")


def _made(address: str, describe: Callable[[Any], None], message: str) -> None:
    session = icechunk.Repository.create(_storage(address)).writable_session("main")
    describe(session.store)
    session.commit(message)


def _storage(address: str) -> icechunk.Storage:
    scheme, _, rest = address.rpartition("://")
    if scheme == "memory":
        if rest not in _IN_MEMORY:
            _IN_MEMORY[rest] = icechunk.in_memory_storage()
        return _IN_MEMORY[rest]
    if scheme == "s3":
        bucket, _, prefix = rest.partition("/")
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        return icechunk.s3_storage(
            bucket=bucket,
            prefix=prefix,
            endpoint_url=endpoint,
            allow_http=bool(endpoint and endpoint.startswith("http://")),
            force_path_style=endpoint is not None,
            from_env=True,
        )
    return icechunk.local_filesystem_storage(address)
