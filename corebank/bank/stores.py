"""A Zarr store whose errors are sentences, whenever they happen: an array is read long after its bank was opened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, ClassVar, Self

from corebank.bank import faults

if TYPE_CHECKING:
    _Beside = Any  # the store's own class, which stands beside this one
else:
    _Beside = object


class Telling(_Beside):  # type: ignore[misc]  # zarr's class, which this module may not import
    """Mixed into a Zarr store before its own class: what the store raises is told as `corebank.bank.faults` reads it.

    A pickled store carries this with it, so that an error on a Dask worker is a sentence too.
    """

    kinds: ClassVar[tuple[type[BaseException], ...]]
    """Errors of the store's own kind."""

    address: str
    """The bank that the errors are to name."""

    @classmethod
    def of(cls, store: Any, address: str) -> Self:
        """The same store, with errors that name the bank at `address`."""
        told = cls.__new__(cls)
        told.__dict__.update(store.__dict__)
        told.address = address
        return told

    def with_read_only(self, read_only: bool = False) -> Self:
        """The same store, read-only or not."""
        return self.of(super().with_read_only(read_only), self.address)

    def _telling(self) -> Any:
        return faults.telling(self.address, *self.kinds)

    async def get(self, *what: Any, **how: Any) -> Any:
        with self._telling():
            return await super().get(*what, **how)

    async def get_partial_values(self, *what: Any, **how: Any) -> Any:
        with self._telling():
            return await super().get_partial_values(*what, **how)

    async def exists(self, *what: Any, **how: Any) -> Any:
        with self._telling():
            return await super().exists(*what, **how)

    async def set(self, *what: Any, **how: Any) -> Any:
        with self._telling():
            return await super().set(*what, **how)

    async def set_if_not_exists(self, *what: Any, **how: Any) -> Any:
        with self._telling():
            return await super().set_if_not_exists(*what, **how)

    async def delete(self, *what: Any, **how: Any) -> Any:
        with self._telling():
            return await super().delete(*what, **how)

    async def delete_dir(self, *what: Any, **how: Any) -> Any:
        with self._telling():
            return await super().delete_dir(*what, **how)

    async def list_dir(self, *what: Any, **how: Any) -> AsyncIterator[str]:
        with self._telling():
            async for name in super().list_dir(*what, **how):
                yield name
