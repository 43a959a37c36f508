"""Chunks and shards are made without zarr, and no byte of them differs from what zarr would have written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import MemoryStore

from corebank.bank import filling, layout
from tests.bank.conftest import made

NUMBERS = st.sampled_from(["<u4", "<u8", "<i8", "<f4", "<f8"])


def objects(store: MemoryStore) -> dict[str, bytes]:
    """Key -> bytes of every chunk or shard."""

    async def read() -> dict[str, bytes]:
        found = {key: await store.get(key, default_buffer_prototype()) async for key in store.list_prefix("")}
        return {key: one.to_bytes() for key, one in found.items() if one is not None and not key.endswith("zarr.json")}

    return sync(read())


def by_zarr(run: xr.Dataset) -> dict[str, bytes]:
    """The objects of a group whose arrays zarr itself fills."""
    store = MemoryStore()
    layout.write(store, {"e/run": run})
    for key in objects(store):
        sync(store.delete(key))
    held = zarr.open_group(store, path="e/run", mode="r+")
    for name, array in layout._with_digests(run).variables.items():
        held[str(name)].with_config({"write_empty_chunks": True})[...] = layout._encoded(array).values
    return objects(store)


def by_us(run: xr.Dataset) -> dict[str, bytes]:
    store = MemoryStore()
    layout.write(store, {"e/run": run})
    return objects(store)


@settings(deadline=None, max_examples=40)
@given(st.data(), st.integers(0, 600), st.integers(1, 5), NUMBERS, st.booleans())
def test_tables_of_numbers_lie_as_zarr_lays_them(
    data: st.DataObject, rows: int, columns: int, dtype: str, lazy: bool
) -> None:
    """By channel (in shards, the last chunk filled up) and by column of an evaluation, none to more than two chunks."""
    values = data.draw(hnp.arrays(dtype, (rows, columns), fill=st.just(0), unique=False))
    run = xr.Dataset({"table": (("spectrum", "channel"), values), "values": (("spectrum", "column"), values)})
    assert by_us(run.chunk(spectrum=200) if lazy else run) == by_zarr(run)


@settings(deadline=None, max_examples=40)
@given(st.data(), st.integers(0, 50), NUMBERS)
def test_columns_lie_as_zarr_lays_them(data: st.DataObject, rows: int, dtype: str) -> None:
    numbers = data.draw(hnp.arrays(dtype, rows))
    words = np.array(data.draw(st.lists(st.text(max_size=8), min_size=rows, max_size=rows)), dtype=object)
    times = data.draw(hnp.arrays("datetime64[s]", rows))
    run = xr.Dataset({name: ("spectrum", one) for name, one in (("a", numbers), ("b", words), ("c", times))})
    assert by_us(run) == by_zarr(run)


@pytest.mark.parametrize("rows", [filling.SHARD, filling.SHARD + 300, 2 * filling.SHARD + 1])
def test_a_run_of_several_shards_lies_as_zarr_lays_it(rows: int) -> None:
    """The last shard has places for chunks that no spectrum reaches; the index says that they are not there."""
    counts = np.random.default_rng(0).poisson(3, (rows, 4)).astype(np.uint32)
    run = xr.Dataset({"counts": (("spectrum", "channel"), counts), "depth": ("spectrum", np.arange(float(rows)))})
    assert by_us(run.chunk(spectrum=256)) == by_zarr(run)


def test_a_checked_run_lies_as_zarr_lays_it(tmp_path: Path) -> None:
    run = next(iter(made(tmp_path / "raw").runs.values()))
    assert by_us(run) == by_zarr(run)
