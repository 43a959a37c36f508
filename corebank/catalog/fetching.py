"""Fetch a small file of a member, from wherever it lies, within a few seconds or not at all.

A member that is away must cost a reader seconds, not minutes. Each library has time-outs of its own, and none of them
covers looking up a name, connecting, and a server that sends a byte now and then; so the whole of it runs in a thread
that is waited for no longer than the time allowed.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from corebank import __version__
from corebank.bank import addresses
from corebank.errors import CatalogError, EntryError, OfflineError

MAX_BYTES = 16 * 2**20
"""Largest catalog that is read [bytes]: that of a bank with 1,000 expeditions has 1.6 MB."""

TIMEOUT = 5.0
"""How long a member may take [s] where neither the federation nor COREBANK_TIMEOUT says otherwise."""

SCHEMES = ("", "file", "http", "https", "s3", "memory")
"""Where a catalog may lie; "" is a local path."""

_CHUNK = 2**16

_Result = TypeVar("_Result")


def timeout() -> float:
    """How long a member may take [s]: COREBANK_TIMEOUT, or `TIMEOUT`; raises `CatalogError` for what is no duration."""
    said = os.environ.get("COREBANK_TIMEOUT", "")
    if not said:
        return TIMEOUT
    try:
        seconds = float(said)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 86400:
        raise CatalogError("COREBANK_TIMEOUT", f"is {said!r}", "Give it in seconds, such as 5")
    return seconds


def scheme(address: str) -> str:
    """``s3`` of ``s3://bucket/path``; "" of a local path."""
    return address.partition("://")[0].lower() if "://" in address else ""


def folder_of(address: str) -> str:
    """The folder that a catalog lies in, as an absolute local path or a URL, without a slash at its end."""
    if scheme(address) in ("", "file"):
        return str(Path(address.removeprefix("file://")).absolute().parent)
    return address.partition("?")[0].partition("#")[0].rpartition("/")[0]


def fetch(
    address: str,
    *,
    seconds: float | None = None,
    limit: int = MAX_BYTES,
    storage_options: Mapping[str, Any] | None = None,
) -> bytes:
    """The bytes of a small file at a local path, ``http(s)://``, ``s3://`` or ``memory://``.

    Parameters
    ----------
    address
        Where it lies. Credentials come from the environment, never from the address.
    seconds
        How long all of it may take; `timeout` by default.
    limit
        The most bytes that are taken.
    storage_options
        What fsspec is to know of an s3 server besides.

    Raises `OfflineError` when it is not there, or not whole in time; `EntryError` when it is larger than `limit`, or
    when its address is of another kind, or carries credentials.
    """
    check(address)
    allowed = timeout() if seconds is None else seconds
    read: Callable[[], bytes]
    match scheme(address):
        case "" | "file":
            read = lambda: _local(address, limit)  # noqa: E731 - one of three, chosen here
        case "http" | "https":
            read = lambda: _http(address, limit, allowed)  # noqa: E731
        case _:
            read = lambda: _fsspec(address, limit, allowed, storage_options or {})  # noqa: E731
    try:
        content = within(allowed, read)
    except TimeoutError as error:
        raise _offline(address, f"did not answer within {allowed:g} s") from error
    except ImportError as error:
        raise _offline(address, f"needs {error.name}, which is not installed: pip install 'corebank[s3]'") from error
    except EntryError:
        raise
    except Exception as error:  # requests, botocore and the system each have kinds of their own for "not there"
        raise _offline(address, f"cannot be read ({_said(error)})") from error
    if len(content) > limit:
        raise EntryError(
            address, f"has more than {limit:,} bytes", "Ask its owner; corebank's own catalogs are smaller"
        )
    return content


def check(address: str) -> None:
    """Raise `EntryError` for an address that no catalog may have."""
    if scheme(address) not in SCHEMES:
        raise EntryError(
            address, f"{scheme(address)}:// is no place for a catalog", "Give a path, or an http(s):// or s3:// address"
        )
    if scheme(address) and "@" in urlsplit(address).netloc:
        hidden = address.replace(urlsplit(address).netloc.rpartition("@")[0], "...")
        raise EntryError(hidden, "carries credentials", "Take them out; they come from the environment")


def within(seconds: float, work: Callable[[], _Result]) -> _Result:
    """What `work` returns or raises, or `TimeoutError` after `seconds`; the thread it runs in is left behind then."""
    done: queue.SimpleQueue[tuple[_Result | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put((work(), None))
        except BaseException as error:  # handed to who waits, whatever it is
            done.put((None, error))

    threading.Thread(target=run, daemon=True, name="corebank-fetch").start()
    try:
        result, error = done.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # it is None only where work returned None


def _local(address: str, limit: int) -> bytes:
    path = Path(address.removeprefix("file://"))
    if not path.is_file():  # a named pipe or a device would never end
        raise FileNotFoundError("there is no such file")
    with path.open("rb") as file:
        return file.read(limit + 1)


def _http(address: str, limit: int, seconds: float) -> bytes:
    import requests  # 60 ms, and many a catalog is local

    ends = time.monotonic() + seconds
    headers = {"User-Agent": f"corebank/{__version__}", "Accept-Encoding": "identity"}
    try:
        opened = requests.get(address, timeout=seconds, stream=True, headers=headers)
    except requests.Timeout:
        raise TimeoutError from None
    except requests.ConnectionError as error:
        raise ConnectionError("no server answers there") from error
    with opened as answer:
        if not answer.ok:
            raise ConnectionError(f"the server says {answer.status_code} {answer.reason}")
        if answer.headers.get("Content-Encoding", "identity") != "identity":  # a small file may unpack to any size
            raise EntryError(address, "is sent compressed, unasked", "Have its owner switch that off for catalogs")
        content = bytearray()
        while len(content) <= limit and (chunk := answer.raw.read(min(_CHUNK, limit + 1))):
            content += chunk
            if time.monotonic() > ends:  # nobody waits any more; stop taking what the server goes on sending
                raise TimeoutError
        return bytes(content)


def _fsspec(address: str, limit: int, seconds: float, storage_options: Mapping[str, Any]) -> bytes:
    import fsspec

    options: dict[str, Any] = {}
    if scheme(address) == "s3":
        where = addresses.S3.from_environment()
        options = {
            "anon": where.anonymous,
            "endpoint_url": where.endpoint,
            "client_kwargs": {"region_name": where.region},
            "config_kwargs": {"connect_timeout": seconds, "read_timeout": seconds, "retries": {"max_attempts": 1}},
            "use_listings_cache": False,
            **storage_options,
        }
    with fsspec.filesystem(scheme(address), **options).open(address, "rb") as file:
        return bytes(file.read(limit + 1))


def _offline(address: str, found: str) -> OfflineError:
    return OfflineError(address, found, "Try again later, or ask its owner where it is")


def _said(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."
