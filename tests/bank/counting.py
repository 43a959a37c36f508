"""Which objects of a bank are asked for: the keys that Zarr reads, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from zarr.storage import WrapperStore

from corebank.bank.repository import Repository

_ASKED: list[str] = []

WHOLE: list[str] = []
"""Of these keys those that were read whole, not a part of them."""


class Counting(WrapperStore):  # type: ignore[type-arg] - whatever store a bank has
    """A store that notes what it is asked for. Not local to `counted`: Dask copies classes that it cannot import."""

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        _ASKED.append(key)
        if byte_range is None:
            WHOLE.append(key)
        return await self._store.get(key, prototype, byte_range)

    async def get_partial_values(self, prototype: Any, key_ranges: Any) -> Any:
        wanted = list(key_ranges)
        _ASKED.extend(key for key, _ in wanted)
        return await self._store.get_partial_values(prototype, wanted)


@contextmanager
def counted() -> Iterator[list[str]]:
    """The keys read through any bank opened inside, in order; a part of an object counts as a reading of it."""
    whole = Repository.store
    _ASKED.clear()
    WHOLE.clear()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Repository, "store", lambda self, snapshot: Counting(whole(self, snapshot)))
        yield _ASKED
