"""The chunks and documents of a bank, one by one: what a check of all of them, and a reader that trusts none, need.

Icechunk keeps no checksum of its snapshots and manifests. A byte that flips in one of them can make a chunk absent,
which Zarr reads as fill values (zeros, for counts), or change what the document of an array says of shape, type and
codecs. From version 2 of the layout on every chunk is written, so an absent one is a fault and `strict` raises; and a
hash of the documents of its arrays stands among the attributes of each group. Beside `corebank.bank.layout` the only
importer of zarr.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import WrapperStore

from corebank.errors import BankError

DOCUMENTS = "documents"
"""Attribute of a group that has arrays: `documents_digest` of them."""


class _Strict(WrapperStore[Store]):
    """A store that raises for a chunk that is not there, where Zarr would read fill values."""

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        return _present(key, await self._store.get(key, prototype, byte_range))

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        wanted = list(key_ranges)
        found = await self._store.get_partial_values(prototype, wanted)
        return [_present(key, value) for (key, _), value in zip(wanted, found, strict=True)]

    async def _get_many(
        self, requests: Iterable[tuple[str, BufferPrototype, ByteRequest | None]]
    ) -> AsyncGenerator[tuple[str, Buffer | None], None]:
        async for key, value in self._store._get_many(requests):
            yield key, _present(key, value)


def strict(store: Any) -> Any:
    """`store`, read-only, such that reading a chunk that is not there raises `BankError`; for version 2 and later."""
    return store if isinstance(store, _Strict) else _Strict(store)


def checked(store: Any, group: str) -> Any:
    """`store`, strict where every chunk of this group is known to have been written, as from version 2 on."""
    return strict(store) if DOCUMENTS in sync(_document(store, group)).get("attributes", {}) else store


def documents_digest(arrays: Mapping[str, Any]) -> str:
    """64 hexadecimal digits over the documents (shape, type, codecs, fill value, attributes) of a group's arrays.

    Parameters
    ----------
    arrays
        Name -> metadata of an array as zarr has it, before it is written.
    """
    documents = {
        name: json.loads(metadata.to_buffer_dict(default_buffer_prototype())["zarr.json"].to_bytes())
        for name, metadata in arrays.items()
    }
    return _digest(documents)


def refuse_changed(store: Any, group: str, about: Mapping[str, Any]) -> None:
    """Raise `BankError` unless the documents of a group's arrays are those that `DOCUMENTS` among `about` stands for.

    A group without it, as banks of version 1 have, passes. Costs a few ms: documents lie in the snapshot, in memory.
    """
    if DOCUMENTS in about and about[DOCUMENTS] != stored_digest(store, group):
        raise BankError(
            f"/{group}",
            "what it says of its arrays is not what was written",
            "The repository's files are damaged; restore them from a copy, or open an older snapshot",
        )


def stored_digest(store: Any, group: str) -> str:
    """`documents_digest` of the arrays that a group holds now."""
    below = sync(_documents(store, group))[1]
    return _digest({name: document for name, document in below.items() if document.get("node_type") == "array"})


def names(store: Any, group: str) -> list[str]:
    """Names of what lies right below a group, in alphabetical order; no document is read."""
    return sorted(sync(_names(store, group)))


def groups(store: Any, group: str) -> list[str]:
    """Names of the groups below a group, in alphabetical order; raises `BankError` when a document cannot be read."""
    below = sync(_documents(store, group))[1]
    return sorted(name for name, document in below.items() if document.get("node_type") == "group")


def arrays(store: Any, group: str) -> list[str]:
    """Names of the arrays of a group, in alphabetical order; raises `BankError` when a document cannot be read."""
    below = sync(_documents(store, group))[1]
    return sorted(name for name, document in below.items() if document.get("node_type") == "array")


def array(store: Any, path: str) -> zarr.Array[Any]:
    """One array, without reading any of it; raises whatever a damaged document makes zarr raise."""
    return zarr.open_array(store, path=path, mode="r", zarr_format=3)


def blocks(one: zarr.Array[Any], rows: int) -> Iterator[tuple[int, int]]:
    """First row, and the row after the last, of pieces of at least so many rows that share no chunk."""
    chunk = one.chunks[0] if one.chunks else 1
    step = chunk * max(rows // chunk, 1)
    yield from ((start, min(start + step, one.shape[0])) for start in range(0, one.shape[0], step))


def read(one: zarr.Array[Any], start: int, stop: int) -> np.ndarray[Any, Any]:
    """Rows of an array as they are stored, text as objects; raises whatever damaged bytes make zarr raise."""
    found = np.asarray(one[start:stop])
    return found.astype(object) if found.dtype.kind == "T" else found


def damaged(
    one: zarr.Array[Any], start: int, stop: int
) -> Iterator[tuple[tuple[int, ...], tuple[int, int], Exception]]:
    """Of the chunks that hold these rows those that cannot be read: place in the grid of chunks, first and last row."""
    chunk = one.chunks[0]
    for first in range(start - start % chunk, stop, chunk):
        last = min(first + chunk, one.shape[0])
        try:
            read(one, first, last)
        except Exception as error:  # a codec may raise anything over bytes that are not its own
            yield (first // chunk, *(0,) * (one.ndim - 1)), (first, last - 1), error


def stored(one: zarr.Array[Any]) -> int:
    """Number of chunks of an array: what a check that reads all of it has read."""
    return int(np.prod([-(-size // chunk) for size, chunk in zip(one.shape, one.chunks, strict=True)], initial=1))


def _present(key: str, value: Buffer | None) -> Buffer | None:
    path, mark, place = key.rpartition("/c/")
    if value is None and mark and not key.endswith("zarr.json"):
        raise BankError(path, f"chunk {place} is not there", "Restore the bank from a copy; corebank verify lists all")
    return value


async def _names(store: Any, group: str) -> list[str]:
    return [key async for key in store.list_dir(group) if not key.endswith("zarr.json")]


async def _documents(store: Any, group: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The document of a group, and those of what lies right below it."""
    names = sorted(await _names(store, group))
    prefix = f"{group}/" if group else ""
    own, *below = await asyncio.gather(
        *(_document(store, path) for path in (group, *(f"{prefix}{name}" for name in names)))
    )
    return own, dict(zip(names, below, strict=True))


async def _document(store: Any, path: str) -> dict[str, Any]:
    try:
        found = await store.get(f"{path}/zarr.json" if path else "zarr.json", default_buffer_prototype())
        document = json.loads(found.to_bytes()) if found is not None else None
    except Exception as error:  # damaged bytes make icechunk or json raise what they will
        raise BankError(
            path or "the root", f"its document cannot be read ({error})", "Restore it from a copy"
        ) from error
    if not isinstance(document, dict):
        raise BankError(path or "the root", "its document is not there", "Restore it from a copy")
    return document


def _digest(documents: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(documents, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
