"""Scores: identities that hold for any numbers, and intervals that count cores, not labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from training import scores

VALUES = st.floats(-1e3, 1e3).map(lambda value: round(value, 3))
PAIRS = st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=40).map(np.array)


@st.composite
def judged(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measured and predicted values, and the core of each."""
    pairs = draw(PAIRS)
    units = draw(st.lists(st.sampled_from("ABCDE"), min_size=len(pairs), max_size=len(pairs)))
    return pairs[:, 0], pairs[:, 1], np.array(units)


def test_scores_compare_with_the_mean_of_the_very_values() -> None:
    one = scores.score(np.array([1.0, 2.0, 3.0, np.nan]), np.array([1.0, 2.0, 4.0, 9.0]))
    third = pytest.approx(1 / 3)
    assert one == {
        "r2": 0.5,
        "rmse": pytest.approx(3**-0.5),
        "mae": third,
        "bias": third,
        "rpiq": pytest.approx(3**0.5),
        "n": 3,
    }
    assert math.isnan(scores.score(np.array([np.nan]), np.array([1.0]))["rmse"])
    flat = scores.score(np.array([2.0, 2.0]), np.array([1.0, 2.0]))
    assert math.isnan(flat["r2"])
    assert math.isnan(flat["rpiq"])
    assert scores.score(np.array([1.0, 2.0]), np.array([1.0, 2.0]))["rpiq"] == math.inf


@given(PAIRS)
@settings(deadline=None)
def test_no_score_contradicts_another(pairs: np.ndarray) -> None:
    measured, predicted = pairs.T
    one = scores.score(measured, predicted)
    assert one["rmse"] >= one["mae"] * (1 - 1e-9)
    assert one["mae"] >= abs(one["bias"]) * (1 - 1e-9)
    assert one["rmse"] ** 2 == pytest.approx(one["bias"] ** 2 + np.var(predicted - measured), abs=1e-6)
    assume(np.std(measured) > 1e-3)
    assert one["r2"] == pytest.approx(1 - one["rmse"] ** 2 / np.var(measured), rel=1e-6)
    other = scores.score(1000 * measured, 1000 * predicted)  # g/kg for permille: no unit changes how good a model is
    assert other["r2"] == pytest.approx(one["r2"], rel=1e-6)
    assert other["rmse"] == pytest.approx(1000 * one["rmse"], rel=1e-6, abs=1e-9)


@given(judged())
@settings(deadline=None, max_examples=50)
def test_the_whole_is_made_of_its_cores(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    measured, predicted, units = data
    bounds = (predicted - 1, predicted + 1)
    whole = scores.by_unit(measured, predicted, units, np.arange(len(units)) * 10.0, bounds)
    parts = whole["by_core"]
    assert whole["cores"] == list(parts) == sorted(set(units.tolist()))
    assert whole["n"] == sum(one["n"] for one in parts.values())
    for number in ("bias", "mae", "coverage"):
        assert whole[number] == pytest.approx(
            sum(one["n"] * one[number] for one in parts.values()) / whole["n"], abs=1e-9
        )
    squares = sum(one["n"] * one["rmse"] ** 2 for one in parts.values())
    assert whole["rmse"] ** 2 == pytest.approx(squares / whole["n"], abs=1e-6)
    labels = [one["labels"] for one in parts.values()]
    assert sorted(value for one in labels for value in one["measured"]) == sorted(measured.tolist())
    assert all({len(values) for values in one.values()} == {len(one["depth"])} for one in labels)


@given(judged())
@settings(deadline=None, max_examples=50)
def test_an_interval_holds_its_number_and_needs_three_cores(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    measured, predicted, units = data
    found, point = scores.bootstrap(measured, predicted, units), scores.score(measured, predicted)
    if len(set(units.tolist())) < 3:
        assert found == {"r2": None, "rmse": None}
        return
    low, high = found["rmse"] or pytest.fail("three cores give an interval")
    assert low <= point["rmse"] <= high
    if found["r2"]:
        assert found["r2"][0] <= point["r2"] <= found["r2"][1]
    else:
        assert math.isnan(point["r2"])


def test_equal_values_have_no_r2_however_their_mean_is_rounded() -> None:
    found = scores.score(np.full(3, 682.961), np.zeros(3))
    assert math.isnan(found["r2"])
    assert math.isnan(found["rpiq"])
    assert found["rmse"] == pytest.approx(682.961)


def test_an_interval_holds_its_number_even_where_no_draw_reaches_it() -> None:
    measured = np.tile([-1.0, 1.0], 500)  # one label a core: any other draw varies less, and has the same error
    found = scores.bootstrap(measured, measured + 0.5, np.arange(1000).astype(str))
    assert found["r2"] is not None
    assert found["r2"][1] == scores.score(measured, measured + 0.5)["r2"] == 0.75
    assert found["r2"][0] < 0.75


def test_more_labels_of_the_same_cores_make_no_narrower_interval() -> None:
    random = np.random.default_rng(1)
    units = np.repeat(list("ABCDEFGH"), 5)
    measured = random.normal(size=40)
    predicted = measured + 0.5 * random.normal(size=8).repeat(5)  # each core is wrong in its own way
    once = scores.bootstrap(measured, predicted, units)
    often = scores.bootstrap(np.tile(measured, 20), np.tile(predicted, 20), np.tile(units, 20))
    assert once["r2"] is not None
    np.testing.assert_allclose(often["r2"], once["r2"], rtol=1e-9)
    np.testing.assert_allclose(often["rmse"], once["rmse"], rtol=1e-9)
    rows = scores.bootstrap(measured, predicted, np.arange(40).astype(str))
    assert rows["rmse"] is not None
    assert np.ptp(rows["rmse"]) < 0.8 * np.ptp(once["rmse"])  # as if neighbours were independent


def test_an_interval_is_what_drawing_cores_again_gives() -> None:
    errors = np.arange(1.0, 21.0)  # one label a core
    found = scores.bootstrap(np.zeros(20), errors, np.arange(20).astype(str))
    draws = np.random.default_rng(5).choice(errors, (4_000, 20))
    expected = np.quantile(np.sqrt((draws**2).mean(axis=1)), (0.05, 0.95))
    np.testing.assert_allclose(found["rmse"], expected, rtol=0.02)
    assert found["r2"] is None  # the values do not vary


def test_bounds_that_are_not_known_are_not_counted_as_missed() -> None:
    measured, units = np.array([1.0, 2.0, 3.0]), np.array(["A", "A", "B"])
    lower, upper = np.array([0.0, 2.5, np.nan]), np.array([2.0, 3.0, np.nan])
    one = scores.by_unit(measured, measured, units, np.zeros(3), (lower, upper))
    assert one["coverage"] == 0.5
    assert math.isnan(one["by_core"]["B"]["coverage"])
    assert "coverage" not in scores.by_unit(measured, measured, units, np.zeros(3))
