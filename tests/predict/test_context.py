"""Running means along the depth: the same whatever the pieces, and never across a section's border."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from corebank.predict.context import Said, running_mean, with_neighbours

VALUES = hnp.arrays(np.float64, st.tuples(st.integers(1, 30), st.just(2)), elements=st.floats(-10, 10))


@given(VALUES, st.floats(0, 60), st.randoms(use_true_random=False))
def test_a_running_mean_is_the_mean_of_the_neighbours(values: np.ndarray, reach: float, random: object) -> None:
    position = np.random.default_rng(len(values)).permutation(len(values)) * 2.0
    found = running_mean(values, position, reach)
    for row in range(len(values)):
        near = np.abs(position - position[row]) <= reach + 1e-6
        np.testing.assert_allclose(found[row], values[near].mean(axis=0), atol=1e-9)


@given(VALUES, st.floats(0.1, 60))
def test_what_is_not_known_stays_unknown_and_spoils_nothing(values: np.ndarray, reach: float) -> None:
    holes = values.copy()
    holes[::3, 0] = np.nan
    found = running_mean(holes, np.arange(len(values)) * 2.0, reach)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(holes))


def test_a_value_without_a_position_stays_as_it_is() -> None:
    found = running_mean(np.array([[1.0], [2.0], [9.0]]), np.array([0.0, 2.0, np.nan]), 5.0)
    np.testing.assert_allclose(found[:, 0], [1.5, 1.5, 9.0])


def selection(sections: list[str]) -> Said:
    count = len(sections)
    random = np.random.default_rng(count)
    columns = xr.Dataset(
        {
            "core": ("spectrum", np.full(count, "C1", dtype=object)),
            "section": ("spectrum", np.array(sections, dtype=object)),
            "section_position": ("spectrum", np.arange(count) * 2.0),
        }
    )
    return Said(columns, random.normal(size=(count, 2)), random.random(count), np.full(count, "", dtype=object))


def cut(whole: Said, places: list[int]) -> list[Said]:
    edges = sorted({0, len(whole.score), *places})
    return [
        Said(whole.columns.isel(spectrum=slice(a, b)), whole.network[a:b], whole.score[a:b], whole.cause[a:b])
        for a, b in pairwise(edges)
    ]


@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=5),
    st.integers(1, 8),
    st.lists(st.integers(0, 40), max_size=4),
)
def test_pieces_do_not_matter(names: list[str], each: int, places: list[int]) -> None:
    whole = selection([name for name in names for _ in range(each)])
    places = [place for place in places if place < len(whole.score)]
    once, twice = (list(with_neighbours(cut(whole, some), 6.0)) for some in ([], places))
    for name in ("network", "score"):
        np.testing.assert_allclose(
            np.concatenate([getattr(one, name) for one in twice]), np.concatenate([getattr(one, name) for one in once])
        )
    assert sum(one.columns.sizes["spectrum"] for one in twice) == len(whole.score)


def test_a_section_does_not_look_into_the_next() -> None:
    whole = selection(["a"] * 4 + ["b"] * 4)
    found = np.concatenate([one.network for one in with_neighbours([whole], 1_000.0)])
    np.testing.assert_allclose(found[:4], np.broadcast_to(whole.network[:4].mean(axis=0), (4, 2)))
    np.testing.assert_allclose(found[4:], np.broadcast_to(whole.network[4:].mean(axis=0), (4, 2)))


def test_only_one_section_is_held() -> None:
    whole = selection(["a"] * 40 + ["b"] * 40 + ["c"] * 40)
    taken = 0

    def coming() -> object:
        nonlocal taken
        for part in cut(whole, list(range(0, 120, 10))):
            taken += 1
            yield part

    first = next(iter(with_neighbours(coming(), 4.0)))  # type: ignore[arg-type]  # a generator of Said
    assert len(first.score) == 40
    assert taken == 5  # the four of section a, and the one that shows that it is over


@pytest.mark.parametrize("reach", [0.0])
def test_without_reach_nothing_changes(reach: float) -> None:
    whole = selection(["a"] * 5)
    assert list(with_neighbours([whole], reach)) == [whole]
