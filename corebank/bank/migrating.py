"""An older layout made today's, in one commit: what is read stays the same, and older snapshots stay as they were.

Today's code reads every layout that was ever published (``tests/old/``) and writes one, its own. So a bank is brought
up to date by reading it as it is read and writing that as it is written; nothing is known here of what the older
layouts looked like, and the next one needs no new code. What version 2 added: docs/decisions/0012-layout-2.md.

Nothing writes into an older layout before that. The older corebank that made it may still read the bank, and would
show what a newer one withdrew, or miss what else it cannot know; a version in the root says so to it, half a version
could not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from corebank import __version__
from corebank.bank import layout
from corebank.bank.records import SCHEMA_VERSION
from corebank.errors import BankError

if TYPE_CHECKING:
    from corebank.bank.view import View


def is_current(bank: View) -> bool:
    """True when the snapshot that `bank` shows is written in today's layout."""
    return int(bank.about["schema_version"]) == SCHEMA_VERSION


def require_current(bank: View) -> None:
    """Raise `BankError` before anything is written into an older layout; every writer calls this with its head."""
    if not is_current(bank):
        raise BankError(
            bank.address,
            f"is of layout {bank.about['schema_version']}, and this corebank writes layout {SCHEMA_VERSION}",
            f"Bring it up to date with: corebank migrate {bank.address}",
        )


def migrate(bank: View) -> str | None:
    """Write all that `bank`, the head of ``main``, holds in today's layout, as one commit.

    Counts, columns, measurements, evaluations and attributes read afterwards as they read before; the counts are
    compared before the commit, and `BankError` is raised where they differ. Arrays travel shard by shard, so memory
    does not grow with the bank; room for a second copy of the bank is needed. Releases and older snapshots stay in the
    layout they were written in.

    The caller holds the writers' lock (`Repository.writing`) and gives the head that it opened inside it.

    Returns
    -------
    str or None
        The snapshot, or None, and no commit, when the bank is of today's layout already.
    """
    if is_current(bank):
        return None
    before = int(bank.about["schema_version"])
    session = bank._repository.session()
    for name in layout.groups(bank._store):
        _rewritten(bank._store, session.store, name)
    layout.describe(session.store, "", {"schema_version": SCHEMA_VERSION, "written_by": f"corebank {__version__}"})
    return bank._repository.commit(
        session,
        f"migrate from layout {before} to layout {SCHEMA_VERSION}",
        {"migrates": [before, SCHEMA_VERSION], "written_by": f"corebank {__version__}"},
    )


def _rewritten(old: Any, new: Any, group: str) -> None:
    """Replace a group of the root, with all below it, in the store `new` by what the store `old` holds there."""
    below = xr.open_groups(old, engine="zarr", group=group, chunks=None, consolidated=False)
    paths = [f"{group}/{path}".removesuffix("/.") for path in below]
    # Each opened by itself: xarray 2026.9's open_groups gives arrays of one name in all groups the same dask name.
    nodes = {path: xr.open_zarr(old, group=path, chunks={}, consolidated=False) for path in paths}
    for path, node in nodes.items():
        node.attrs = layout.attributes(old, path)  # which refuses damaged ones, and leaves out how they were signed
    xr.Dataset().to_zarr(new, group=group, mode="w", consolidated=False, zarr_format=3)  # "w" empties the group first
    layout.write(new, {path: node for path, node in nodes.items() if node.variables})
    for path, node in nodes.items():
        if "counts" in node:
            _compared(node, new, path)
    for path, node in nodes.items():
        if node.attrs and not node.variables:
            layout.describe(new, path, node.attrs)


def _compared(old: xr.Dataset, new: Any, path: str) -> None:
    """Raise `BankError` unless the digests that were just written are those of the counts that were held before."""
    digests = xr.open_zarr(new, group=path, chunks=None, consolidated=False)[layout.COUNTS_DIGEST].values
    first = 0
    for rows in old["counts"].chunksizes["spectrum"]:  # block by block: memory does not grow with the run
        held = old["counts"].isel(spectrum=slice(first, first + rows)).values
        if not np.array_equal(layout.digests(held), digests[first : first + rows]):
            raise BankError(path, "other counts would be written than were held", "Nothing was changed; report this")
        first += rows
