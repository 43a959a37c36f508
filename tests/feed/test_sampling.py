"""How often each spectrum appears in an epoch: laws that hold for any wanted numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from corebank.errors import FeedError
from corebank.feed.sampling import Sampling

wanted = st.lists(
    st.one_of(st.floats(0, 5), st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 1.0, 3.0])), min_size=1, max_size=60
).map(np.array)


@given(wanted, st.integers(0, 9), st.integers(0, 500))
def test_each_number_is_rounded_down_or_up_and_all_together_to_the_nearest(
    times: np.ndarray, seed: int, epoch: int
) -> None:
    assume(round(float(times.sum())) > 0)
    drawn = Sampling(times, seed).draw(epoch)
    assert ((drawn == np.floor(times)) | (drawn == np.ceil(times))).all()
    assert drawn.sum() == Sampling(times, seed).total == round(float(times.sum()))


@given(wanted, st.integers(0, 9), st.integers(0, 50))
def test_over_any_epochs_a_spectrum_has_come_as_often_as_wanted(times: np.ndarray, seed: int, first: int) -> None:
    """The rounding of the whole may add or take half an appearance an epoch, shared by the rows that are not whole."""
    assume(round(float(times.sum())) > 0)
    epochs, sampling = 30, Sampling(times, seed)
    come = sum(sampling.draw(first + epoch) for epoch in range(epochs))
    rounding = abs(times.sum() - sampling.total) * epochs
    assert (abs(come - epochs * times) <= 3 + rounding).all()


@given(st.floats(0.01, 4), st.integers(2, 40), st.integers(0, 9))
def test_rows_wanted_alike_come_alike(times: float, rows: int, seed: int) -> None:
    """Also where the whole had to be rounded: nobody is left out for it."""
    assume(round(times * rows) > 0)
    sampling = Sampling(np.full(rows, times), seed)
    come = sum(sampling.draw(epoch) for epoch in range(60))
    assert np.ptp(come) <= 4


def test_a_third_of_a_core_is_every_third_spectrum_and_other_ones_in_the_next_epoch() -> None:
    sampling = Sampling(np.full(300, 1 / 3), seed=0)
    first, second = np.flatnonzero(sampling.draw(0)), np.flatnonzero(sampling.draw(1))
    assert set(np.diff(first).tolist()) == {3}
    assert not set(first) & set(second)


def test_seeds_differ() -> None:
    times = np.random.default_rng(0).random(50)
    draws = {tuple(Sampling(times, seed).draw(0)) for seed in range(8)}
    assert len(draws) >= 6


@pytest.mark.parametrize("bad", [[1.0, -0.1], [1.0, np.nan], [1.0, np.inf], [[1.0]]])
def test_what_is_no_weight_is_refused(bad: list[float]) -> None:
    with pytest.raises(FeedError, match="not a finite number from 0 on"):
        Sampling(np.array(bad), 0)


def test_an_epoch_of_nothing_is_refused() -> None:
    with pytest.raises(FeedError, match="would hold no spectrum"):
        Sampling(np.array([0.0, 0.4]), 0)
