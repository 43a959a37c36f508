"""What was last seen of each member, so that one that is away can be said to be so since when.

One small JSON file per member in COREBANK_CACHE, or in the user's cache folder. Losing them loses nothing but these
times; a folder that cannot be written to is no reason for a catalog not to open. Members on a local path are
remembered only while they are away.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import platformdirs

from corebank.bank import listing
from corebank.catalog.fetching import scheme

_FRESH = 3600
"""A member that answers as before is written down again after this long [s]: opening a catalog writes little."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One member as it was last seen from this machine."""

    url: str
    answered: str = ""
    """When it last answered, ISO 8601 in UTC; empty when it never did."""
    offline: str = ""
    """Since when it does not; empty while it does."""
    sha256: str = ""
    """Hash of the catalog that it answered with last."""
    entries: tuple[str, ...] = ()
    """Names of the entries that it had then."""


def folder() -> Path:
    """Where it is remembered."""
    return Path(os.environ.get("COREBANK_CACHE") or platformdirs.user_cache_dir("corebank")) / "members"


def recall(url: str) -> Seen:
    """What is known of a member; of one that was never seen, its address only."""
    try:
        found = json.loads(_file(url).read_text(encoding="utf-8"))
        return Seen(url, found["answered"], found["offline"], found["sha256"], tuple(found["entries"]))
    except (OSError, ValueError, KeyError, TypeError):  # none, or not ours
        return Seen(url)


def answered(url: str, sha256: str, entries: tuple[str, ...]) -> Seen:
    """Write down that a member answered just now."""
    before, now = recall(url), datetime.now(UTC)
    seen = Seen(url, now.isoformat(timespec="seconds"), "", sha256, entries)
    if scheme(url) in ("", "file", "memory"):
        if before.offline:
            with suppress(OSError):
                _file(url).unlink()
    elif replace(before, answered=seen.answered) != seen or _age(before.answered, now) > _FRESH:
        _write(seen)
    return seen


def silent(url: str) -> Seen:
    """Write down that a member did not answer just now; returns since when it does not."""
    before = recall(url)
    if before.offline:
        return before
    seen = replace(before, offline=datetime.now(UTC).isoformat(timespec="seconds"))
    _write(seen)
    return seen


def _file(url: str) -> Path:
    return folder() / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"


def _write(seen: Seen) -> None:
    with suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True)
        listing.write(_file(seen.url), json.dumps(asdict(seen)))


def _age(written: str, now: datetime) -> float:
    try:
        return (now - datetime.fromisoformat(written)).total_seconds()
    except (ValueError, TypeError):
        return float("inf")
