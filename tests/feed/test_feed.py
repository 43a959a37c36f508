"""The feed: what a batch holds, in an order that can be taken up anywhere and shared among any number of ranks."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import feed
from corebank.augment import Augmentation
from corebank.errors import FeedError
from corebank.feed import Batch, slots
from corebank.normalize import KINDS, Normalization
from tests.feed.selections import Noting, flat, make, rates, same, selection, sizes
from tests.model.cores import cores

VARIED = Augmentation(thinning=0.5, gain=0.01, offset=0.1, resolution=0.5, cut=0.5)

kept = st.booleans()
"""Whether the selection fits into memory."""


def chosen(times: str, rows: int) -> dict[str, Any]:
    """Arguments of feeds of some kinds."""
    numbers = np.random.default_rng(1).choice([0.0, 0.3, 1.0, 2.5], rows)
    numbers[0] = 1
    return {"plain": {}, "times": {"times": numbers}, "varied": {"times": numbers, "augmentation": VARIED}}[times]


@pytest.fixture(params=["kept", "streamed"])
def memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "streamed":
        monkeypatch.setattr(slots, "MEMORY", 0)


@given(sizes, st.integers(1, 30), st.integers(0, 40), st.integers(0, 5), st.integers(0, 3))
@settings(max_examples=25)
def test_every_spectrum_comes_exactly_once_an_epoch(
    blocks: list[int], batch_size: int, buffer: int, seed: int, epoch: int
) -> None:
    one = make(selection(blocks), batch_size=batch_size, buffer=buffer, seed=seed)
    batches = list(one.epoch(epoch))
    assert sorted(flat(batches)) == list(range(sum(blocks)))
    assert len(batches) == len(one)
    assert one.spectra_per_epoch == one.rows == sum(blocks)
    assert {len(batch.row_B) for batch in batches[:-1]} <= {batch_size}


@pytest.mark.parametrize("kind", ["plain", "times"])
@pytest.mark.parametrize("world", [2, 3, 5])
@given(blocks=sizes, batch_size=st.integers(1, 12), kept=kept, start=st.integers(0, 2))
@settings(max_examples=12)
def test_ranks_together_get_what_one_process_gets(
    kind: str, world: int, blocks: list[int], batch_size: int, kept: bool, start: int
) -> None:
    """In the same steps and to the same bits; where rows do not suffice for all, some get a batch of none."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(slots, "MEMORY", slots.MEMORY * kept)
        spectra, given = selection(blocks), {"batch_size": batch_size} | chosen(kind, sum(blocks))
        alone = list(make(spectra, **given).epoch(1, start=start))
        ranks = [list(make(spectra, rank=rank, world=world, **given).epoch(1, start=start)) for rank in range(world)]
    assert {len(one) for one in ranks} == {len(alone)}
    for whole, *parts in zip(alone, *ranks, strict=True):
        for rank, part in enumerate(parts):
            assert same(part, Batch(*(tensor[rank::world] for tensor in whole)))


@pytest.mark.parametrize("kind", ["plain", "times", "varied"])
@given(blocks=sizes, start=st.integers(0, 6), kept=kept, world=st.sampled_from([1, 2]))
@settings(max_examples=12)
def test_an_epoch_goes_on_where_it_was_left(kind: str, blocks: list[int], start: int, kept: bool, world: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(slots, "MEMORY", slots.MEMORY * kept)
        given = chosen(kind, sum(blocks)) | {"rank": world - 1, "world": world}
        whole = list(make(selection(blocks), **given).epoch(3))[start:]
        again = list(make(selection(blocks), **given).epoch(3, start=start))
    assert len(whole) == len(again)
    assert all(same(one, other) for one, other in zip(whole, again, strict=True))


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("kind", KINDS)
def test_rows_arrive_with_their_own_values_and_settings(kind: Any) -> None:
    spectra, normalization = cores(6), Normalization(kind=kind)
    values, measured, taken = normalization.apply(spectra["intensity"].values)
    known = feed.settings(spectra)
    one = make(spectra, normalization=normalization, times=np.full(24, 1.5))
    for batch in [*one.epoch(0), *one.epoch(1)]:
        rows = batch.row_B.numpy()
        np.testing.assert_array_equal(batch.values_BE.numpy(), values[rows])
        np.testing.assert_array_equal(batch.measured_BE.numpy(), measured[rows])
        np.testing.assert_array_equal(batch.mean_B1.numpy(), taken.mean[rows])
        np.testing.assert_array_equal(batch.scale_B1.numpy(), taken.scale[rows])
        np.testing.assert_array_equal(batch.settings_BS.numpy(), known[rows])
        assert batch.values_BE.dtype == batch.mean_B1.dtype == batch.scale_B1.dtype == torch.float32


def test_a_selection_too_large_to_keep_gives_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    first = make(selection([9, 4, 11]))
    held = [batch for epoch in (0, 1) for batch in first.epoch(epoch)]
    monkeypatch.setattr(slots, "MEMORY", 0)
    again = make(selection([9, 4, 11]))
    streamed = [batch for epoch in (0, 1) for batch in again.epoch(epoch)]
    assert all(same(one, other) for one, other in zip(held, streamed, strict=True))


@pytest.mark.usefixtures("memory")
def test_epochs_side_by_side_do_not_disturb_each_other() -> None:
    one = make(selection([9, 4, 11]))
    alone = {epoch: list(one.epoch(epoch)) for epoch in (0, 1)}
    pairs = list(zip(one.epoch(0), one.epoch(1), strict=True))
    for first, second, *expected in ((*pair, alone[0][n], alone[1][n]) for n, pair in enumerate(pairs)):
        assert same(first, expected[0])
        assert same(second, expected[1])


def test_a_batch_is_varied_before_it_is_normalised_and_its_settings_say_so() -> None:
    spectra = selection([20, 20])
    plain, varied = make(spectra), make(spectra, augmentation=VARIED)
    off = make(spectra, augmentation=Augmentation())
    live = list(feed.settings(spectra)[:, 3])
    for one, other, same_again in zip(plain.epoch(0), varied.epoch(0), off.epoch(0), strict=True):
        assert same(one, same_again)
        assert torch.equal(one.row_B, other.row_B)
        assert not torch.equal(one.values_BE, other.values_BE)
        assert (other.measured_BE <= one.measured_BE).all(), "nothing is measured that was not"
        share = other.settings_BS[:, 3].numpy() / np.array(live)[one.row_B.numpy()]
        assert (share >= 0.5).all()
        assert (share < 1).any()
        sums = (other.values_BE * other.measured_BE).sum(dim=1)
        np.testing.assert_allclose(sums.numpy(), 0, atol=1e-4)


def test_variations_differ_by_epoch_batch_and_rank() -> None:
    """The share of the live time that stays, by place in the batch: the spectra there differ in any case."""
    spectra = selection([24])
    live = torch.from_numpy(feed.settings(spectra)[:, 3])

    def shares(epoch: int, number: int, rank: int) -> tuple[float, ...]:
        one = make(spectra, augmentation=Augmentation(thinning=0.3), batch_size=12, rank=rank, world=2)
        batch = next(one.epoch(epoch, start=number))
        return tuple((batch.settings_BS[:, 3] / live[batch.row_B]).round(decimals=4).tolist())

    drawn = {shares(epoch, number, rank) for epoch in (0, 1) for number in (0, 1) for rank in (0, 1)}
    assert len(drawn) == 8


def test_energy_in_chunks_and_arrays_in_memory_are_fed_as_well() -> None:
    spectra = selection([2_000, 600])
    whole = list(make(spectra, batch_size=700).epoch(0))
    cut = spectra.assign(intensity=spectra["intensity"].chunk(energy=5))
    turned = spectra.assign(intensity=spectra["intensity"].transpose("energy", "spectrum"))
    for other in (cut, turned):
        assert all(same(a, b) for a, b in zip(whole, make(other, batch_size=700).epoch(0), strict=True))
    loaded = list(make(spectra.load(), batch_size=700).epoch(0))
    assert sorted(flat(loaded)) == list(range(2_600))


@pytest.mark.usefixtures("memory")
def test_a_block_that_cannot_be_read_is_told_of_with_its_own_kind() -> None:
    noting = Noting(rates(60), broken=33)
    batches = make(selection([10] * 6, array=noting)).epoch(0)
    with pytest.raises(OSError, match="row 33 cannot be read"):
        list(batches)
    assert not _threads()


@pytest.mark.usefixtures("memory")
def test_a_reader_may_leave_in_the_middle_and_takes_its_threads_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corebank.feed.streaming.AHEAD_ROWS", 10)
    noting = Noting(rates(1_000))
    batches = make(selection([10] * 100, array=noting)).epoch(0)
    next(batches)
    assert _threads()
    batches.close()
    assert not _threads()
    assert len(noting.asked) < 20, "and the rest of the epoch is not read"


def _threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("feed")]


def test_an_empty_selection_and_one_of_raw_counts_are_refused() -> None:
    with pytest.raises(FeedError, match="holds no spectrum"):
        make(cores().isel(spectrum=[]))
    with pytest.raises(FeedError, match="no intensity"):
        make(cores().drop_vars("intensity"))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"rank": 2, "world": 2}, "rank 2 of 2"),
        ({"rank": -1}, "rank -1 of 1"),
        ({"times": np.ones(3)}, r"\(3,\) for 4 spectra"),
        ({"times": np.zeros(4)}, "would hold no spectrum"),
    ],
)
def test_what_fits_no_feed_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(FeedError, match=why):
        make(selection([4]), **changes)


def test_augmentation_needs_an_energy_axis() -> None:
    spectra: xr.Dataset = selection([4]).drop_attrs()
    with pytest.raises(FeedError, match="no energy grid"):
        make(spectra, augmentation=VARIED)


def test_settings_are_numbers_and_unknown_ones_nan() -> None:
    spectra = cores(1, names=("A", "B")).assign(head=("spectrum", np.array(["Low", "low"], dtype=object)))
    known = feed.settings(spectra)
    np.testing.assert_array_equal(known[:, :4], [[42, 30, 30, 10], [45, 10, 30, 10]])
    assert np.isnan(known[:, 4]).all()
    assert known[0, 5] == known[1, 5]
    assert np.isnan(feed.settings(spectra.drop_vars(["anode", "live_time"]))[:, [0, 3]]).all()


def test_an_anode_that_is_no_element_is_refused() -> None:
    with pytest.raises(FeedError, match="anode 'Cr-HE' is no element"):
        make(cores(1).assign(anode=("spectrum", np.full(4, "Cr-HE", dtype=object))))
