"""Addresses of banks: how they are written, which kind each is, and what the environment says of reaching it.

A bank lies on a local path, on ``s3://bucket/path`` (Amazon's or any store that speaks the same protocol), in
``memory://name`` (this process only), or behind ``http(s)://server/path``, where it can only be read. Who may read and
write is said by the environment alone, in the variables that Amazon's own tools use; an address that carries a name
and a password is refused, since addresses are written into catalogs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

from corebank.errors import BankError

Kind = Literal["local", "s3", "memory", "web"]

_KINDS: dict[str, Kind] = {"s3": "s3", "memory": "memory", "http": "web", "https": "web"}

_WHO = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
"""Variables of which one at least says who is asking; without any, requests are anonymous."""


def resolved(address: str | Path) -> str:
    """`address` in the one way it is written: an absolute local path, or a URL without a slash at its end.

    Raises `BankError` for a URL that no bank can have, or that holds what should stay secret.
    """
    text = str(address)
    if "://" not in text:
        return str(Path(text).absolute())
    parts = urlsplit(text)
    if "@" in parts.netloc or parts.query or parts.fragment:
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        raise BankError(
            shown,
            "carries a password or a query, which a catalog would show to everyone",
            "Give the plain address; credentials for S3 stand in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    if parts.scheme not in _KINDS:
        raise BankError(
            text,
            f"{parts.scheme}:// is no place for a bank",
            "Give a local path, an s3:// address, or http(s):// to read",
        )
    if not parts.netloc or (parts.scheme == "s3" and not parts.path.strip("/")):
        raise BankError(text, "names no place within it", f"Write it like {parts.scheme}://name/my-bank")
    if _KINDS[parts.scheme] == "web":
        text = f"{parts.scheme}://{parts.netloc}{quote(unquote(parts.path), safe='/~()+,;=:@!$&*')}"
    return text.rstrip("/")


def kind(address: str) -> Kind:
    """The kind of a resolved address."""
    return _KINDS[address.partition("://")[0]] if "://" in address else "local"


def folder(address: str) -> Path | None:
    """The folder of a local address; None for the others."""
    return Path(address) if kind(address) == "local" else None


@dataclass(frozen=True, slots=True)
class S3:
    """How an S3 store is reached; never the credentials themselves, which the clients take from the environment."""

    endpoint: str | None
    """URL of a store that is not Amazon's, such as MinIO's; None for Amazon's."""
    region: str
    """Amazon's region of the bucket; other stores mostly ignore it."""
    anonymous: bool
    """True when the environment names nobody."""

    @classmethod
    def from_environment(cls) -> S3:
        """As the environment says: AWS_ENDPOINT_URL, AWS_REGION or AWS_DEFAULT_REGION (us-east-1), and `_WHO`."""
        return cls(
            os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None,
            os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
            not any(os.environ.get(name) for name in _WHO),
        )
