"""How often an epoch of a continued run sees what it knows and what is new: the recipe's share, and no stratum lost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.continual import MOST, mixture


class Collection:
    """Strata of some sizes, and which of their spectra are known."""

    def __init__(self, sizes: Sequence[int], known: Sequence[int]) -> None:
        self.stratum = np.repeat(np.arange(len(sizes)), sizes)
        self.known = np.concatenate([np.arange(size) < old for size, old in zip(sizes, known, strict=True)])

    @property
    def spectra(self) -> xr.Dataset:
        """Two strata per expedition, of different machines."""
        columns = {
            "site": np.full(len(self.stratum), "lab", dtype=object),
            "expedition": np.array([f"e{one // 2}" for one in self.stratum], dtype=object),
            "anode": np.where(self.stratum % 2 == 1, "Rh", "Mo").astype(object),
            "tube_voltage": np.full(len(self.stratum), 30.0),
        }
        return xr.Dataset({name: ("spectrum", values) for name, values in columns.items()})

    def times(self, replay: float, balance: float) -> NDArray[np.float64]:
        return mixture(self.spectra, self.known, replay=replay, balance=balance)


@st.composite
def collections(draw: st.DrawFn) -> Collection:
    sizes = draw(st.lists(st.integers(1, 60), min_size=1, max_size=6))
    return Collection(sizes, [draw(st.integers(0, size)) for size in sizes])


@given(collections(), st.floats(0, 0.95), st.floats(0, 1))
def test_an_epoch_holds_as_many_new_spectra_as_there_are_and_the_share_of_old_ones(
    one: Collection, replay: float, balance: float
) -> None:
    times, known = one.times(replay, balance), one.known
    assert (times >= 0).all()
    assert (times <= MOST + 1e-9).all()
    if known.all() or not known.any():
        assert times.sum() == pytest.approx(len(known))
        return
    new = int((~known).sum())
    assert times[~known].sum() == pytest.approx(new)
    wanted = min(new * replay / (1 - replay), MOST * known.sum())
    assert times[known].sum() == pytest.approx(wanted)


@given(collections(), st.floats(0, 0.95), st.floats(0, 1))
def test_a_stratum_is_seen_evenly_and_a_small_one_no_less_often(one: Collection, replay: float, balance: float) -> None:
    times = one.times(replay, balance)
    for part in (one.known, ~one.known):
        found = {}
        for stratum in set(one.stratum[part].tolist()):
            of_it = times[part & (one.stratum == stratum)]
            assert (of_it == of_it[0]).all()
            found[len(of_it)] = of_it[0]
        by_size = [found[size] for size in sorted(found)]
        assert all(small >= large - 1e-9 for small, large in pairwise(by_size))


@given(collections(), st.floats(0, 0.95))
def test_without_balance_each_new_spectrum_comes_exactly_once_and_all_old_ones_alike(
    one: Collection, replay: float
) -> None:
    times = one.times(replay, 0.0)
    assert (times[~one.known] == 1).all()
    assert len(set(times[one.known].tolist())) <= 1
    if one.known.all():
        assert (times == 1).all()


def test_full_balance_gives_each_machine_of_each_expedition_the_same_number() -> None:
    one = Collection([30, 10, 20], [30, 10, 0])
    times = one.times(0.5, 1.0)
    assert [times[one.stratum == stratum].sum() for stratum in range(3)] == pytest.approx([10, 10, 20])


def test_a_stratum_too_small_for_its_part_leaves_the_rest_to_the_others() -> None:
    one = Collection([2, 98], [0, 0])
    times = one.times(0.5, 1.0)
    assert times[:2].tolist() == [MOST, MOST]
    assert times.sum() == pytest.approx(100)


def test_no_replay_shows_nothing_old() -> None:
    one = Collection([30, 10], [30, 0])
    assert one.times(0.0, 0.5)[one.known].sum() == 0
