"""The small files beside a bank's repository, on every kind of address: its catalog, its index, its releases.

Each is written in one step, so that no reader meets half of it, and each can be made again from the repository.
"""

from __future__ import annotations

import os
import socket
import urllib.request
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec

from corebank.bank import addresses, faults
from corebank.errors import BankError

_PATIENCE = (5, 20)
"""Seconds to wait for a web server to take the call, and between two pieces of its answer."""


_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE")


def read_text(address: str, name: str) -> str | None:
    """A small file beside the repository; None where there is none. Raises `StorageError` when that cannot be told."""
    kind = addresses.kind(address)
    with faults.telling(address, Exception):
        if kind == "web":
            return _fetched(f"{address}/{name}")
        try:
            if kind == "local":
                return (Path(address) / name).read_text(encoding="utf-8")
            return str(_files(address).cat_file(f"{address}/{name}").decode("utf-8"))
        except FileNotFoundError as error:
            if "bucket does not exist" in str(error):
                raise
            return None


def write_text(address: str, name: str, text: str) -> None:
    """Replace a small file beside the repository in one step; raises `StorageError` when it cannot be written."""
    with faults.telling(address, Exception):
        if (folder := addresses.folder(address)) is None:
            _files(address).pipe_file(f"{address}/{name}", text.encode("utf-8"))
            return
        scratch = folder / f".{name}.{os.getpid()}"
        try:
            scratch.write_text(text, encoding="utf-8")
            scratch.replace(folder / name)
        finally:
            scratch.unlink(missing_ok=True)


def names(address: str) -> set[str]:
    """What lies directly at an address on S3 or in memory, folders and files; raises `StorageError`."""
    with faults.telling(address, Exception):
        try:
            found = _files(address).ls(address, detail=False)
        except FileNotFoundError as error:
            if "bucket does not exist" in str(error):
                raise
            return set()
    return {path.rstrip("/").rpartition("/")[2] for path in found}


def knock(address: str) -> None:
    """Raise `StorageError` when the S3 store of an address takes no call; icechunk alone would try for half a minute.

    Nothing is asked where a proxy stands between.
    """
    where = addresses.S3.from_environment()
    china = ".cn" if where.region.startswith("cn-") else ""
    server = urlsplit(where.endpoint or f"https://s3.{where.region}.amazonaws.com{china}")
    if server.scheme in urllib.request.getproxies():
        return
    port = server.port or {"http": 80}.get(server.scheme, 443)
    with faults.telling(address, OSError):
        socket.create_connection((str(server.hostname), port), timeout=_PATIENCE[0]).close()


def ask_why(address: str, name: str, *, writing: bool) -> None:
    """Raise the `StorageError` for which an S3 store refuses to let a file be read, or one be written beside it.

    Icechunk asks with HEAD, whose refusals carry no reason, and keeps none when a commit fails.
    """
    files, (bucket, _, path) = _files(address), address.removeprefix("s3://").partition("/")
    with faults.telling(address, Exception):
        try:
            files.call_s3("get_object", Bucket=bucket, Key=f"{path}/{name}", Range="bytes=0-0")["Body"].close()
        except FileNotFoundError as error:
            if "bucket does not exist" in str(error):
                raise
        if writing:
            files.call_s3("put_object", Bucket=bucket, Key=f"{path}/.asked", Body=b"")
            files.call_s3("delete_object", Bucket=bucket, Key=f"{path}/.asked")


def ask_for_a_part(address: str, name: str) -> str:
    """The first 1,000 bytes of a file behind a web server, asked for as a range.

    Raises `FileNotFoundError` when it is not there, `StorageError` when the server cannot be reached, or sends whole
    files where a part was asked for.
    """
    import requests

    with faults.telling(address, requests.RequestException):
        answer = requests.get(
            f"{address}/{name}", headers={"Range": "bytes=0-999", "Accept-Encoding": "identity"}, timeout=_PATIENCE
        )
        if answer.status_code in (404, 410):
            raise FileNotFoundError(name)
        answer.raise_for_status()
    if answer.status_code != 206:
        raise faults.told(address, ValueError("Range"))
    return answer.text


def _fetched(url: str) -> str | None:
    import requests

    answer = requests.get(url, timeout=_PATIENCE)
    if answer.status_code in (404, 410):
        return None
    answer.raise_for_status()
    return answer.content.decode("utf-8")


def _files(address: str) -> Any:
    """The fsspec file system of an S3 or memory address, without any memory of what was listed before."""
    if addresses.kind(address) == "memory":
        return fsspec.filesystem("memory")
    try:
        return _s3_files(os.getpid(), addresses.S3.from_environment(), *map(os.environ.get, _SECRETS))
    except ImportError as error:
        raise BankError(address, "s3fs is not installed", 'Install it with: pip install "corebank[s3]"') from error


@lru_cache(maxsize=4)
def _s3_files(_: int, where: addresses.S3, *_who: str | None) -> Any:
    """A file system of this process and of who is asking; to make one takes half a second."""
    return fsspec.filesystem(
        "s3",
        anon=where.anonymous,
        endpoint_url=where.endpoint,
        client_kwargs={"region_name": where.region},
        config_kwargs={"connect_timeout": _PATIENCE[0], "retries": {"max_attempts": 2}},
        use_listings_cache=False,
        skip_instance_cache=True,
    )
