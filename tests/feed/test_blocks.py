"""What is read of a selection, and by whom: whole blocks, only those that matter, through whatever Dask uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from corebank import bank as banks
from corebank import contribution
from corebank.errors import FeedError
from corebank.feed import Feed, slots
from corebank.feed.blocks import Blocks
from corebank.normalize import Normalization
from corebank.rows import aligned
from tests.bank.stores import web
from tests.conftest import GRID
from tests.feed.selections import Noting, flat, make, rates, rows_of, same, selection, sizes
from tests.scanner import write_expedition


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "MEMORY", 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank whose expedition ``long`` has 1,200 spectra of two cores, in one shard of five chunks each."""
    root = tmp_path_factory.mktemp("feed")
    bank = banks.create(root / "bank", site="lab", grid=GRID)
    long = write_expedition(root / "long", name="long", sections=["L1", "L2"], count=600, laboratory=None)
    bank.add(contribution.checked(long))
    return bank.path


@given(sizes, st.data())
def test_aligned_rows_are_the_rows_of_isel_in_the_blocks_of_the_store(blocks: list[int], data: st.DataObject) -> None:
    spectra, rows = selection(blocks), np.arange(sum(blocks))
    chosen = np.array(sorted(data.draw(st.sets(st.sampled_from(rows.tolist()), min_size=1))))
    mine = aligned(spectra, chosen)
    xr.testing.assert_identical(mine.load(), spectra.isel(spectrum=chosen).load())
    block_of = np.repeat(np.arange(len(blocks)), blocks)
    held = np.bincount(block_of[chosen], minlength=len(blocks))
    assert aligned(spectra, chosen)["intensity"].chunks[0] == tuple(held[held > 0].tolist())


@pytest.mark.parametrize("rows", [[3, 2], [2, 2], [-1, 2], [False, True]])
def test_rows_that_do_not_rise_are_refused(rows: list[int]) -> None:
    with pytest.raises(FeedError, match="not rising row numbers"):
        aligned(selection([4]), rows)


def test_aligned_rows_of_a_core_read_its_rows_only_and_no_block_twice() -> None:
    noting = Noting(rates(40))
    spectra = selection([10] * 4, array=noting)
    list(make(aligned(spectra, np.r_[3:6, 12, 18, 30:40])).epoch(0))
    assert sorted(noting.asked) == [(3, 6), (12, 19), (30, 40)]


def test_a_block_is_read_once_and_the_rest_of_what_is_kept_never() -> None:
    noting = Noting(rates(60))
    one = make(selection([10] * 6, array=noting))
    for epoch in range(3):
        list(one.epoch(epoch))
    assert sorted(noting.asked) == [(first, first + 10) for first in range(0, 60, 10)]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_keep_no_more_in_memory_together_than_one_may(world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them would keep the whole selection: what just fits for so many is read again by one more."""
    noting = Noting(rates(60))
    spectra = selection([10] * 6, array=noting)
    monkeypatch.setattr("corebank.feed.slots.MEMORY", spectra["intensity"].nbytes * world)
    for processes, reads in ((world, 1), (world + 1, 2)):
        noting.asked.clear()
        one = make(spectra, world=processes)
        for epoch in range(2):
            list(one.epoch(epoch))
        assert sorted(noting.asked) == [(first, first + 10) for first in range(0, 60, 10) for _ in range(reads)]


@pytest.mark.usefixtures("streamed")
def test_blocks_that_matter_to_no_batch_that_is_left_are_not_read() -> None:
    noting = Noting(rates(60))
    one = make(selection([10] * 6, array=noting), buffer=0)
    list(one.epoch(0))
    assert len(noting.asked) == 6
    noting.asked.clear()
    assert rows_of(one.epoch(0, start=10))
    assert len(noting.asked) == 1
    noting.asked.clear()
    assert list(one.epoch(0, start=12)) == []
    assert noting.asked == []


@pytest.mark.usefixtures("streamed")
def test_blocks_that_bring_a_rank_nothing_are_not_read_by_it() -> None:
    noting, times = Noting(rates(60)), np.repeat([0.0, 1.0, 0.0], [20, 20, 20])
    list(make(selection([10] * 6, array=noting), times=times).epoch(0))
    assert sorted(noting.asked) == [(20, 30), (30, 40)]
    noting.asked.clear()
    one = make(selection([1] * 60, array=noting), rank=1, world=3, buffer=0)
    mine = flat(one.epoch(0))
    assert sorted(noting.asked) == [(row, row + 1) for row in sorted(mine)]
    assert len(mine) == 60 // 5 * 2, "of each batch of five the second and the last"


@given(sizes, st.integers(0, 20), st.sampled_from([1, 2, 3]))
def test_no_more_rows_wait_than_promised(blocks: list[int], buffer: int, world: int) -> None:
    """The buffer, what may be asked for ahead, and what is let in together; of that, each rank its share."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("corebank.feed.slots.MEMORY", 0)
        patched.setattr("corebank.feed.streaming.AHEAD_ROWS", 12)
        made: list[int] = []
        patched.setattr(Feed, "_slots", lambda self, n: (made.append(n), _slots(self, n))[1])
        list(make(selection(blocks), buffer=buffer, world=world, rank=world - 1, batch_size=6).epoch(0))
    together = max(buffer // 8, 1) + max(blocks)
    assert made[0] <= buffer + together + 12 + max(blocks) + 6
    if world == 3:
        assert made[0] <= sum(blocks) / 3 + 1


_slots = Feed._slots


@pytest.mark.usefixtures("streamed")
def test_a_remote_bank_is_asked_for_the_chunks_that_are_needed(folder: Path) -> None:
    """Rows of one run are in its object; that of the other run is left alone."""
    asked: list[tuple[str, str | None]] = []
    whole = banks.open_bank(folder).spectra("long")
    with web(folder, asked) as address:
        spectra = banks.open_bank(address).spectra("long")
        assert spectra["intensity"].chunks[0] == (600, 600)
        rows = np.arange(0, 200)

        def objects(one: Feed) -> set[str]:
            asked.clear()
            batches = list(one.epoch(0))
            assert sorted(flat(batches)) == list(range(one.rows))
            return {path for path, _ in asked if "/repository/chunks/" in path}

        first, second = (objects(make(aligned(spectra, rows + start))) for start in (100, 700))
        assert len(first) == len(second) == 1
        assert objects(make(spectra)) == first | second
        remote = list(make(aligned(spectra, rows)).epoch(0))
    local = list(make(aligned(whole, rows)).epoch(0))
    assert all(same(one, other) for one, other in zip(remote, local, strict=True))


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_whatever_dask_is_set_to_use_reads(scheduler: str) -> None:
    expected = list(make(selection([10] * 6)).epoch(0))
    noting = Noting(rates(60))
    with dask.config.set(scheduler=scheduler):
        found = list(make(selection([10] * 6, array=noting)).epoch(0))
    assert all(same(one, other) for one, other in zip(expected, found, strict=True))
    readers = {name.startswith("feed-reader") for name in noting.threads}
    assert readers == {scheduler == "synchronous"}


@pytest.mark.slow
@pytest.mark.usefixtures("streamed")
def test_a_cluster_reads(folder: Path) -> None:
    """Threads of another process compute the blocks; the batches are those that this process would have read."""
    from distributed import Client, LocalCluster

    spectra = banks.open_bank(folder).spectra("long")
    feed: dict[str, Any] = {"normalization": Normalization(), "batch_size": 64, "seed": 0, "buffer": 100}
    expected = list(Feed(spectra, **feed).epoch(0))
    one: dict[str, Any] = {"n_workers": 1, "threads_per_worker": 2, "dashboard_address": None}
    cluster = LocalCluster(**one, host="127.0.0.1", protocol="tcp")
    with cluster, Client(cluster, set_as_default=False) as client, client.as_current():
        found = list(Feed(spectra, **feed).epoch(0))
        done = sum(client.run(lambda dask_worker: len(dask_worker.state.log)).values())
        broken = selection([10] * 6, array=Noting(rates(60), broken=33))
        with pytest.raises(OSError, match="row 33 cannot be read"):
            list(make(broken).epoch(0))
    assert done > 0
    assert all(same(one, other) for one, other in zip(expected, found, strict=True))


def test_no_block_is_empty_and_an_unknown_length_is_refused() -> None:
    assert Blocks(selection([3, 0, 2])["intensity"]).edges.tolist() == [0, 3, 5]
    loaded = xr.DataArray(np.ones((2_048, 3), np.float32), dims=("spectrum", "energy"))
    assert Blocks(loaded).edges.tolist() == [0, 1_024, 2_048]
    lazy = selection([4])["intensity"].data
    unknown = xr.DataArray(lazy[lazy[:, 5] > 0], dims=("spectrum", "energy"))
    with pytest.raises(FeedError, match="does not know its length"):
        Blocks(unknown)
