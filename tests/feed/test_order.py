"""The order of an epoch, on numbers alone: nothing here reads a spectrum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corebank.feed.order import BUFFER, Order, order
from tests.feed.selections import sizes

CORES, LONG, BLOCK, BATCH = 100, 600, 4_096, 256
"""Spectra of a bank, core after core: 100 cores of 600 in blocks of 4,096, as the page in docs/explanation says."""


def edges(blocks: list[int]) -> np.ndarray:
    return np.concatenate(([0], np.cumsum(blocks)))


def make(blocks: list[int], *, seed: int = 0, epoch: int = 0, buffer: int = 10, times: object = None) -> Order:
    drawn = None if times is None else np.asarray(times, dtype=np.int64)
    return order(edges(blocks), seed, epoch, buffer=buffer, times=drawn)


@given(sizes, st.integers(0, 30), st.integers(0, 5), st.integers(0, 3))
def test_every_row_is_read_once_and_leaves_once(blocks: list[int], buffer: int, seed: int, epoch: int) -> None:
    made = make(blocks, buffer=buffer, seed=seed, epoch=epoch)
    assert sorted(made.rows[made.leaving].tolist()) == list(range(sum(blocks)))
    assert sorted(made.blocks.tolist()) == list(range(len(blocks)))


@given(sizes, st.data(), st.integers(0, 5))
def test_rows_come_as_often_as_they_are_wanted(blocks: list[int], data: st.DataObject, seed: int) -> None:
    rows = sum(blocks)
    times = data.draw(st.lists(st.integers(0, 6), min_size=rows, max_size=rows).filter(any))
    made = make(blocks, times=times, seed=seed)
    assert np.bincount(made.rows[made.leaving], minlength=rows).tolist() == times
    for visit, block in enumerate(made.blocks.tolist()):
        here = made.rows[made.ends[visit] : made.ends[visit + 1]]
        assert len(here), "no visit for nothing"
        assert (np.diff(here) > 0).all(), "no row twice in a visit"
        assert (edges(blocks)[block] <= here).all()
        assert (here < edges(blocks)[block + 1]).all()


@given(sizes, st.integers(0, 30), st.integers(0, 5))
def test_once_each_is_the_same_order_whether_asked_for_or_not(blocks: list[int], buffer: int, seed: int) -> None:
    plain = make(blocks, buffer=buffer, seed=seed)
    asked = make(blocks, buffer=buffer, seed=seed, times=np.ones(sum(blocks)))
    np.testing.assert_array_equal(plain.rows[plain.leaving], asked.rows[asked.leaving])


@given(sizes, st.integers(0, 30), st.integers(1, 9), st.sampled_from([1, 2, 3, 5]), st.integers(0, 20))
def test_ranks_take_every_worldth_row_of_each_batch(
    blocks: list[int], buffer: int, batch_size: int, world: int, start: int
) -> None:
    made = make(blocks, buffer=buffer)
    shares = [made.share(batch_size, rank=rank, world=world, start=start) for rank in range(world)]
    batches = max(-(-sum(blocks) // batch_size) - start, 0)
    assert {len(share.ends) - 1 for share in shares} == {batches}
    for batch in range(batches):
        one = made.leaving[(start + batch) * batch_size : (start + batch + 1) * batch_size]
        for rank, share in enumerate(shares):
            mine = share.numbers[share.ends[batch] : share.ends[batch + 1]]
            assert mine.tolist() == one[rank::world].tolist()


def test_epochs_and_seeds_differ() -> None:
    orders = {tuple(make([7] * 4, seed=seed, epoch=epoch).leaving) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def mixed(buffer: int, seed: int) -> float:
    """Mean number of cores in the full batches of an epoch."""
    total = CORES * LONG
    made = order(np.append(np.arange(0, total, BLOCK), total), seed, 0, buffer=buffer, times=None)
    cores = (made.rows[made.leaving] // LONG)[: total // BATCH * BATCH].reshape(-1, BATCH)
    return float(np.mean([len(np.unique(batch)) for batch in cores]))


@pytest.mark.parametrize(
    ("buffer", "cores"), [(0, 8), (4_096, 36), (8_192, 49), (BUFFER, 67), (32_768, 85), (CORES * LONG, 92)]
)
def test_a_batch_mixes_so_many_cores(buffer: int, cores: int) -> None:
    """The table of docs/explanation/feed.md, from three seeds; a full permutation gives 92.4."""
    assert np.mean([mixed(buffer, seed) for seed in range(3)]) == pytest.approx(cores, abs=1.5)


def test_short_blocks_mix_no_worse() -> None:
    short = order(np.arange(0, 60_001, 200), 0, 0, buffer=BUFFER, times=None)
    cores = (short.rows[short.leaving] // LONG)[: 234 * BATCH].reshape(-1, BATCH)
    assert np.mean([len(np.unique(batch)) for batch in cores]) > 67


def test_appearances_of_a_spectrum_are_spread_over_the_epoch() -> None:
    """Two small expeditions wanted 10 and 4 times beside a large one: seldom close together, never out for long."""
    blocks, wanted = [1_000] * 22, np.repeat([10, 4, 1], [1_000, 1_000, 20_000])
    made = make(blocks, times=wanted, buffer=1_000)
    leaving = made.rows[made.leaving]
    chance = np.random.default_rng(0).permutation(leaving)
    for expedition, times in ((0, 10), (1, 4)):
        rows = np.arange(expedition * 1_000, expedition * 1_000 + 1_000)
        assert together(leaving, rows) < 0.5 * together(chance, rows)
        parts = np.isin(leaving, rows).reshape(times, -1).sum(axis=1)
        assert (parts > 400).all(), "of each part of the epoch a thousand are its own"


def together(leaving: np.ndarray, rows: np.ndarray) -> float:
    """Share of neighbouring appearances of one row that lie less than a batch apart."""
    apart = np.concatenate([np.diff(np.flatnonzero(leaving == row)) for row in rows[::5]])
    return float(np.mean(apart < BATCH))


def test_a_row_wanted_less_often_than_its_neighbours_skips_visits_evenly() -> None:
    made = make([100], times=np.repeat([12, 3], 50), buffer=0)
    for row in range(50, 100):
        visits = [visit for visit in range(12) if row in made.rows[made.ends[visit] : made.ends[visit + 1]]]
        assert np.diff(visits).tolist() == [4, 4]
