"""Addresses as Icechunk takes them: a folder, S3, a web server, this process's memory. Its log is kept still here."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable
from typing import Any

from corebank.bank import addresses

os.environ.setdefault("ICECHUNK_LOG", "off")  # icechunk logs to stdout, into people's --json; its errors we tell

import icechunk

icechunk.set_logs_filter(os.environ["ICECHUNK_LOG"])  # where somebody imported it before us

# Its threads let go of Python objects a moment after a read has returned. One that does so while the interpreter ends
# aborts the process (signal 6; 4 of 48 commands that failed at once did). A moment before the end lets them finish.
atexit.register(time.sleep, 0.05)

IN_MEMORY: dict[str, icechunk.Storage] = {}
"""Repositories of this process: address -> where its files are."""


def patience() -> icechunk.RepositoryConfig:
    """Five tries, some seconds in all: icechunk alone would ask a store that fails for half a minute."""
    retries = icechunk.StorageRetriesSettings(max_tries=5, initial_backoff_ms=100, max_backoff_ms=1_000)
    return icechunk.RepositoryConfig(storage=icechunk.StorageSettings(retries=retries))


def storage(address: str) -> icechunk.Storage:
    """Where the files of the repository at `address` lie; S3's credentials come from the environment."""
    kind, rest = addresses.kind(address), address.partition("://")[2]
    if kind == "local":
        return icechunk.local_filesystem_storage(address)
    if kind == "memory":
        return IN_MEMORY.setdefault(address, icechunk.in_memory_storage())
    if kind == "web":
        over_http: Callable[[str], icechunk.Storage] | None = getattr(icechunk, "http_storage", None)
        if over_http is not None:  # from icechunk 2
            return over_http(address)
        endpoint, _, bucket = address.rpartition("/")  # to its reader, a web server is a store that anyone may read
        options = icechunk.S3Options(
            region="us-east-1", endpoint_url=endpoint, allow_http=True, anonymous=True, force_path_style=True
        )
        return icechunk.Storage.new_s3_object_store(options, bucket, None, icechunk.s3_anonymous_credentials())
    where, (bucket, _, prefix) = addresses.S3.from_environment(), rest.partition("/")
    who: dict[str, Any] = {"anonymous": True} if where.anonymous else {"from_env": True}
    return icechunk.s3_storage(
        bucket=bucket,
        prefix=prefix,
        region=where.region,
        endpoint_url=where.endpoint,
        allow_http=bool(where.endpoint and where.endpoint.startswith("http://")),
        force_path_style=where.endpoint is not None,
        **who,
    )
