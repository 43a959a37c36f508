"""Intervals hold their share on new cores; foreign spectra stand out and known ones do not."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank.uncertainty import Outlier, fit_outlier, guaranteed, half_width

residuals = st.lists(st.floats(-100, 100), min_size=10, max_size=60)


@given(residuals, st.floats(0.5, 0.9))
@settings(deadline=None)
def test_with_one_residual_a_core_it_is_the_split_conformal_quantile(values: list[float], coverage: float) -> None:
    rank = math.ceil((len(values) + 1) * coverage - 1e-9)
    width = half_width(values, range(len(values)), coverage=coverage)
    assert width == (sorted(map(abs, values))[rank - 1] if rank <= len(values) else np.inf)


@given(residuals, st.integers(1, 12), st.floats(0.01, 100), st.randoms())
@settings(deadline=None)
def test_it_scales_with_the_residuals_and_ignores_their_order_and_sign(
    values: list[float],
    cores: int,
    factor: float,
    random: Random,
) -> None:
    groups = [i % cores for i in range(len(values))]
    order = random.sample(range(len(values)), len(values))
    width = half_width(values, groups)
    assert half_width([-values[i] for i in order], [groups[i] for i in order]) == width
    np.testing.assert_allclose(half_width([factor * value for value in values], groups), factor * width, rtol=1e-9)


def test_on_new_cores_it_holds_its_share_on_average_although_rows_of_a_core_belong_together() -> None:
    random, held = np.random.default_rng(0), []
    for _ in range(300):
        cores = random.normal(0, 1, (20, 1)) + random.normal(0, 0.3, (20, 15))  # each core is off in its own way
        width = half_width(cores[:19].ravel(), np.repeat(np.arange(19), 15))
        held.append((np.abs(cores[19]) <= width).mean())
    assert 0.88 < np.mean(held) < 0.96


def test_few_cores_get_the_worst_core_s_width_and_are_told_that_it_is_no_guarantee() -> None:
    calm, wild = np.linspace(0, 1, 50), np.linspace(0, 5, 20)
    width = half_width(np.concatenate((calm, wild)), ["calm"] * 50 + ["wild"] * 20)
    assert width == half_width(wild, ["wild"] * 20) > half_width(calm, ["calm"] * 50)
    assert not guaranteed(8)
    assert guaranteed(9)


def test_too_few_residuals_give_nan_and_nan_residuals_do_not_count() -> None:
    assert np.isnan(half_width([1.0] * 8, ["a"] * 8))
    assert np.isnan(half_width([1.0] * 8 + [np.nan] * 8, ["a"] * 16))
    assert half_width([1.0] * 9 + [np.nan], ["a"] * 9 + ["only nan"]) == 1.0


@given(st.integers(0, 1000), st.integers(2, 40), st.integers(1, 40))
@settings(deadline=None, max_examples=50)
def test_at_most_one_in_twenty_of_the_spectra_it_was_calibrated_on_is_an_outlier(
    seed: int,
    rows: int,
    cores: int,
) -> None:
    random = np.random.default_rng(seed)
    held_out = random.normal(size=(120, 12)) * random.uniform(0.1, 3, 12)
    groups = np.arange(120) % cores
    score = fit_outlier(random.normal(size=(rows, 12)), held_out, groups).score(held_out)
    assert np.mean([(score[groups == core] > 1).mean() for core in range(cores)]) <= 0.05


@given(st.integers(0, 1000))
@settings(deadline=None, max_examples=20)
def test_a_detector_survives_being_written_down(seed: int) -> None:
    random = np.random.default_rng(seed)
    detector = fit_outlier(random.normal(size=(50, 8)), random.normal(size=(30, 8)), np.arange(30) % 3)
    again = Outlier.from_arrays({name: array.tolist() for name, array in detector.arrays().items()})
    embeddings = random.normal(size=(5, 8))
    np.testing.assert_array_equal(again.score(embeddings), detector.score(embeddings))


def test_rare_mixtures_and_unknown_patterns_both_stand_out() -> None:
    random = np.random.default_rng(1)
    known = random.normal(size=(400, 3)) @ random.normal(size=(3, 32)) + random.normal(0, 0.05, (400, 32))
    detector = fit_outlier(known[:200], known[200:], np.repeat(np.arange(20), 10))
    assert (detector.score(10 * known[:5] - 9 * known.mean(0)) > 1).all()  # far along known directions
    assert (detector.score(known[:5] + np.eye(32)[:5]) > 1).all()  # off them
    assert detector.score(known[:5]) == pytest.approx(detector.score(np.float32(known[:5])), rel=1e-3)


def test_identical_training_spectra_and_a_handful_of_held_out_ones_still_give_a_detector() -> None:
    score = fit_outlier(np.ones((4, 6)), np.ones((3, 6)) + 0.1, ["a", "b", "c"]).score(np.ones((1, 6)))
    assert np.isfinite(score).all()
    assert score[0] < 1
