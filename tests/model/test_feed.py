"""The feed: every spectrum once an epoch, in an order that the seed decides and that can be taken up anywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import feed
from corebank.errors import FeedError
from corebank.feed import Feed
from corebank.normalize import Normalization
from tests.model.cores import cores


def make(spectra: xr.Dataset | None = None, **changes: int) -> Feed:
    chosen = {"batch_size": 5, "seed": 0, "buffer": 10} | changes
    return Feed(cores(6) if spectra is None else spectra, normalization=Normalization(), **chosen)


@given(st.integers(1, 30), st.integers(0, 40), st.integers(0, 5), st.integers(0, 3))
@settings(deadline=None, max_examples=30)
def test_every_spectrum_comes_exactly_once_an_epoch(batch_size: int, buffer: int, seed: int, epoch: int) -> None:
    one = make(batch_size=batch_size, buffer=buffer, seed=seed)
    batches = list(one.epoch(epoch))
    assert sorted(torch.cat([batch.row_B for batch in batches]).tolist()) == list(range(24))
    assert len(batches) == len(one)
    assert {len(batch.row_B) for batch in batches[:-1]} <= {batch_size}


@given(st.integers(0, 5), st.integers(0, 40), st.integers(0, 3))
@settings(deadline=None, max_examples=30)
def test_an_epoch_goes_on_where_it_was_left(start: int, buffer: int, epoch: int) -> None:
    whole = list(make(buffer=buffer).epoch(epoch))[start:]
    again = list(make(buffer=buffer).epoch(epoch, start=start))
    assert len(whole) == len(again)
    for one, other in zip(whole, again, strict=True):
        assert all(a.equal(b) or torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(one, other, strict=True))


def test_rows_arrive_with_their_own_values_and_settings() -> None:
    spectra = cores(6)
    values, measured = Normalization()(spectra["intensity"].values)
    known = feed.settings(spectra)
    for batch in make(spectra).epoch(0):
        rows = batch.row_B.numpy()
        np.testing.assert_array_equal(batch.values_BE.numpy(), values[rows])
        np.testing.assert_array_equal(batch.measured_BE.numpy(), measured[rows])
        np.testing.assert_array_equal(batch.settings_BS.numpy(), known[rows])


def test_epochs_and_seeds_differ_in_their_order() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        rows: list[int] = torch.cat([batch.row_B for batch in make(seed=seed).epoch(epoch)]).tolist()
        return rows

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_a_selection_too_large_to_keep_gives_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [batch.row_B.tolist() for epoch in (0, 1) for batch in make().epoch(epoch)]
    monkeypatch.setattr(feed, "MEMORY", 0)
    streamed = make()
    assert kept == [batch.row_B.tolist() for epoch in (0, 1) for batch in streamed.epoch(epoch)]


def test_a_reader_may_leave_in_the_middle() -> None:
    for _ in make().epoch(0):
        break


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


def test_an_empty_selection_and_one_of_raw_counts_are_refused() -> None:
    with pytest.raises(FeedError, match="holds no spectrum"):
        make(cores().isel(spectrum=[]))
    with pytest.raises(FeedError, match="no intensity"):
        make(cores().drop_vars("intensity"))
