"""Writers that meet: one at a time under a lock where a bank is local, and again from the start where it is not."""

from __future__ import annotations

import ctypes
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from filelock import FileLock

from corebank.bank import addresses, faults
from corebank.errors import BankError

LOCK = ".writing.lock"
"""File that the writer of a local bank holds locked; the lock ends with its process."""

TRIES = 12
"""Commits of other writers that one unit of work gives way to before it is given up."""

T = TypeVar("T")


class ConflictError(BankError):
    """Another writer committed to the bank in between; `again` does the work once more."""

    def __init__(self, address: str, *_: str) -> None:
        super().__init__(address, "other writers committed in between", "Nothing was changed by this one; try again")


@contextmanager
def alone(address: str) -> Iterator[None]:
    """One writer at a time, where the address cannot see to that itself; a thread that has the lock keeps it.

    Raises `BankError` for a bank behind a web server, `StorageError` where the lock cannot be written.
    """
    if addresses.kind(address) == "web":
        raise BankError(
            address,
            "a bank behind a web server can only be read",
            "Write to it where it lies, by its local path or its s3:// address",
        )
    if (folder := addresses.folder(address)) is None:
        yield
        return
    lock = FileLock(folder / LOCK, timeout=0, is_singleton=True)
    with faults.telling(address, OSError):
        try:
            lock.acquire()
        except TimeoutError:
            print(f"corebank: waiting for another writer of {address}", file=sys.stderr)
            lock.acquire(timeout=-1)
    try:
        yield
    finally:
        lock.release()


def onto_disk(address: str) -> None:
    """Wait until all that was written to a local bank is on its disk; raises `OSError` where the disk fails.

    Icechunk does not: after a power cut a branch could name a snapshot that never arrived.
    """
    if (folder := addresses.folder(address)) is None:
        return
    if sys.platform != "linux":
        getattr(os, "sync", lambda: None)()
        return
    system, place = ctypes.CDLL(None, use_errno=True), os.open(folder, os.O_RDONLY)
    try:
        if system.syncfs(place):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(place)


def again(work: Callable[[], T]) -> T:
    """Do `work`, and again where it raises `ConflictError`, after a short pause; the last of `TRIES` is raised."""
    for attempt in range(1, TRIES):
        try:
            return work()
        except ConflictError:
            time.sleep(random.uniform(0, min(0.1 * 2**attempt, 5)))  # noqa: S311 - to part writers, not to hide
    return work()
