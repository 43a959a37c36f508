"""Intervals hold their share on new cores, whatever the residuals look like, and say so when they cannot."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank.uncertainty import half_width

residuals = st.lists(st.floats(-100, 100), min_size=10, max_size=60)


@given(residuals, st.integers(2, 12), st.floats(0.01, 100), st.randoms())
@settings(deadline=None)
def test_it_scales_with_the_residuals_and_ignores_their_order_and_sign(
    values: list[float], cores: int, factor: float, random: Random
) -> None:
    groups = [i % cores for i in range(len(values))]
    order = random.sample(range(len(values)), len(values))
    width = half_width(values, groups)
    assert half_width([-values[i] for i in order], [groups[i] for i in order]) == pytest.approx(width)
    assert half_width([factor * value for value in values], groups) == pytest.approx(factor * width)


@given(residuals, st.integers(2, 10), st.floats(0.5, 0.9))
@settings(deadline=None)
def test_it_holds_its_share_of_the_cores_it_was_made_from(values: list[float], cores: int, coverage: float) -> None:
    groups = np.arange(len(values)) % cores
    held = np.abs(values) <= half_width(values, groups.tolist(), coverage=coverage) * (1 + 1e-12)
    assert np.mean([held[groups == core].mean() for core in range(cores)]) >= coverage - 1e-12


@given(residuals, st.integers(2, 5), st.integers(2, 9))
@settings(deadline=None)
def test_a_core_weighs_the_same_however_often_it_was_measured(values: list[float], cores: int, times: int) -> None:
    groups = [i % cores for i in range(len(values))]
    first = [value for value, core in zip(values, groups, strict=True) if core == 0]
    again = half_width(values + first * (times - 1), groups + [0] * len(first) * (times - 1))
    assert again == pytest.approx(half_width(values, groups))


@pytest.mark.parametrize("cores", [3, 6, 10, 24])
@pytest.mark.parametrize("apart", [0.0, 1.0])
def test_on_new_cores_it_holds_ninety_percent_give_or_take_three(cores: int, apart: float) -> None:
    """Residuals with heavy tails; `apart`: each core is off in its own way, by as much as its rows scatter."""
    random, held = np.random.default_rng(cores), []

    def core() -> np.ndarray:
        return apart * random.normal() + random.standard_t(5, random.integers(6, 20))

    for _ in range(400):
        known = [core() for _ in range(cores)]
        width = half_width(np.concatenate(known), np.repeat(np.arange(cores), [len(one) for one in known]).tolist())
        held += [(np.abs(core()) <= width).mean() for _ in range(10)]
    assert np.mean(held) == pytest.approx(0.9, abs=0.03)


def test_one_core_that_is_off_widens_the_interval_beyond_what_is_pooled() -> None:
    random = np.random.default_rng(0)
    alike = random.normal(size=(4, 50))
    apart = alike + np.array([-4, 4, -4, 4])[:, None]
    cores = np.repeat(np.arange(4), 50).tolist()
    assert half_width(alike.ravel(), cores) < 1.3 * np.quantile(np.abs(alike), 0.9)
    assert half_width(apart.ravel(), cores) > half_width(alike.ravel(), cores)
    # The others never saw anything like core 0: it takes more than the quantile of all to hold a core like it.
    lone = np.where(np.arange(4)[:, None] == 0, 10 * alike, alike)
    assert half_width(lone.ravel(), cores) > 2 * np.sort(np.abs(lone).ravel())[int(0.9 * lone.size)]


def test_one_core_or_too_few_residuals_give_nan_and_nan_residuals_do_not_count() -> None:
    assert math.isnan(half_width(np.ones(100), ["a"] * 100))
    assert math.isnan(half_width([1.0] * 8, ["a", "b"] * 4))
    assert math.isnan(half_width([1.0] * 8 + [np.nan] * 8, ["a", "b"] * 8))
    assert math.isnan(half_width([1.0] * 9 + [np.nan], ["a"] * 9 + ["only nan"]))
    assert half_width([1.0] * 9 + [np.nan], ["a", "b", "c"] * 3 + ["a"]) == 1.0


def test_residuals_of_nothing_give_a_width_of_nothing_or_of_the_exception() -> None:
    assert half_width(np.zeros(20), ["a", "b"] * 10) == 0
    assert half_width([0.0] * 10 + [2.0] * 10, ["a"] * 10 + ["b"] * 10) == 2
