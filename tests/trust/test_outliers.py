"""What holds of every outlier score: order, masks and scale cannot fool it, and the known region has no holes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank.uncertainty import PARTS, Outlier, Points, cross_fit_outlier, fit_outlier, outliers, shapes

BINS, WIDTH = 40, 6
PATTERNS = np.stack([np.exp(-0.5 * ((np.arange(BINS) - line) / 2) ** 2) for line in (8, 16, 30)])
"""Three lines that known spectra mix."""


def spectra(rows: int, *, seed: int, offset: np.ndarray | float = 0.0, lines: np.ndarray = PATTERNS) -> Points:
    """Mixtures of `lines` with noise, a third of them from a detector that sees half the axis; linear embeddings."""
    random = np.random.default_rng(seed)
    amounts = 1 + 0.3 * random.normal(size=(rows, len(lines)))
    values = amounts @ lines + offset + random.normal(0, 0.02, (rows, BINS))
    measured = np.ones((rows, BINS), dtype=bool)
    measured[::3, BINS // 2 :] = False
    embedding = values[:, : BINS // 2] @ np.random.default_rng(0).normal(size=(BINS // 2, WIDTH))
    return Points(embedding, np.where(measured, values, 0), measured)


KNOWN = spectra(240, seed=1)
CORES = (np.arange(240) // 20).tolist()
DETECTOR = cross_fit_outlier(KNOWN, CORES)

seeds = st.integers(0, 10_000)


@given(seeds)
@settings(deadline=None, max_examples=20)
def test_what_a_bin_that_was_not_measured_holds_never_matters(seed: int) -> None:
    random = np.random.default_rng(seed)
    asked = spectra(12, seed=seed)
    measured = asked.measured & (random.random(asked.measured.shape) < 0.8)
    junk = random.choice([np.nan, np.inf, -np.inf, 1e9], measured.shape)
    clean, dirty = (np.where(measured, asked.values, other) for other in (0.0, junk))
    np.testing.assert_array_equal(
        DETECTOR.score(asked.embeddings, clean, measured), DETECTOR.score(asked.embeddings, dirty, measured)
    )
    clean_known, dirty_known = (
        cross_fit_outlier(KNOWN._replace(values=np.where(KNOWN.measured, KNOWN.values, other)), CORES)
        for other in (0.0, np.nan)
    )
    np.testing.assert_array_equal(
        clean_known.score(asked.embeddings, clean, measured), dirty_known.score(asked.embeddings, clean, measured)
    )


@given(seeds)
@settings(deadline=None, max_examples=20)
def test_the_order_of_spectra_changes_nothing(seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(CORES))
    shuffled = cross_fit_outlier(KNOWN.at(order), [CORES[i] for i in order])
    asked = spectra(12, seed=seed)
    np.testing.assert_allclose(shuffled.score(*asked), DETECTOR.score(*asked), rtol=1e-6)
    np.testing.assert_array_equal(DETECTOR.score(*asked.at(np.arange(12)[::-1])), DETECTOR.score(*asked)[::-1])


@given(seeds, st.floats(1, 1000))
@settings(deadline=None, max_examples=60)
def test_a_score_never_decreases_on_the_way_out_in_any_direction(seed: int, factor: float) -> None:
    assert DETECTOR.shape is not None
    random = np.random.default_rng(seed)
    embedding, values = random.normal(size=(1, WIDTH)), random.normal(size=(1, BINS))
    measured = random.random((1, BINS)) < random.uniform(0, 1)
    near, far = (
        DETECTOR.score(DETECTOR.mean + size * embedding, DETECTOR.shape.mean + size * values, measured)
        for size in (1.0, factor)
    )
    assert far[0] == pytest.approx(factor * near[0], rel=1e-6)
    assert near[0] > 0


@given(seeds, st.floats(0, 1))
@settings(deadline=None, max_examples=60)
def test_nothing_between_two_known_spectra_is_more_foreign_than_both(seed: int, share: float) -> None:
    random = np.random.default_rng(seed)
    measured = random.random((1, BINS)) < random.uniform(0.1, 1)
    ends = [(3 * random.normal(size=(1, WIDTH)), 3 * random.normal(size=(1, BINS))) for _ in range(2)]
    embedding, values = (share * one + (1 - share) * other for one, other in zip(*ends, strict=True))
    worst = max(DETECTOR.score(*end, measured)[0] for end in ends)
    assert DETECTOR.score(embedding, values, measured)[0] <= worst * (1 + 1e-9)


@given(seeds, st.integers(2, 40), st.integers(2, 40))
@settings(deadline=None, max_examples=30)
def test_at_most_one_in_twenty_of_the_spectra_it_was_calibrated_on_is_an_outlier(
    seed: int, rows: int, cores: int
) -> None:
    held_out, groups = spectra(120, seed=seed), np.arange(120) % cores
    for training, asked in (
        (spectra(rows, seed=seed + 1), held_out),
        (held_out.embeddings[:rows], held_out.embeddings),
    ):
        detector = fit_outlier(training, asked, groups.tolist())
        score = detector.score(*asked) if isinstance(asked, Points) else detector.score(asked)
        assert np.mean([(score[groups == core] > 1 + 1e-9).mean() for core in range(cores)]) <= 0.05 + 1e-9


def test_new_cores_of_known_kind_are_rarely_flagged_although_each_is_off_in_its_own_way() -> None:
    random, flagged = np.random.default_rng(2), []
    for seed in range(20):
        own = np.repeat(0.05 * random.normal(size=(24, 3)) @ PATTERNS, 10, axis=0)
        points = spectra(240, seed=100 + seed, offset=own)
        old, new = np.arange(120), np.arange(120, 240)
        detector = cross_fit_outlier(points.at(old), (old // 10).tolist())
        flagged.append((detector.score(*points.at(new)) > 1).mean())
    assert np.mean(flagged) < 0.06


def test_each_way_of_being_foreign_has_a_part_that_says_so() -> None:
    plain, ones = spectra(30, seed=5), np.ones((30, BINS), dtype=bool)
    values = plain.values + np.where(plain.measured, 0, PATTERNS.sum(0))
    known = np.broadcast_to(DETECTOR.mean, (30, WIDTH))
    mixed = DETECTOR.parts(known, values + 10 * PATTERNS[0] - 8 * PATTERNS[1], ones)
    strange = DETECTOR.parts(known, values + np.exp(-0.5 * ((np.arange(BINS) - 23) / 2) ** 2), ones)
    far = DETECTOR.parts(known + 100, values, ones)
    assert list(mixed) == list(PARTS)
    assert (mixed["mixture"] > 1).all()
    assert (strange["remainder"] > 1).all()
    assert (far["embedding"] > 1).all()
    for one in (mixed, strange):
        assert (one["embedding"] < 1).all()
    assert (far["mixture"] < 1).mean() > 0.9
    np.testing.assert_array_equal(
        DETECTOR.score(known + 100, values, ones), np.maximum.reduce([far[name] for name in PARTS])
    )


def test_a_single_core_of_a_second_kind_does_not_make_everything_known() -> None:
    random = np.random.default_rng(7)
    second, third = (3 * random.normal(size=BINS) for _ in range(2))
    plain, lone, foreign = (spectra(n, seed=n, offset=o) for n, o in ((200, 0.0), (20, second), (30, third)))
    both = Points(*(np.concatenate(pair) for pair in zip(plain, lone, strict=True)))
    detector = cross_fit_outlier(both, [*(np.arange(200) // 40).tolist(), *["lone"] * 20])
    assert (detector.score(*foreign) > 1).all()
    assert (detector.score(*lone) > 1).mean() <= 0.1  # it is known now
    assert (detector.score(*spectra(100, seed=9)) > 1).mean() <= 0.1


def test_one_core_alone_is_judged_by_its_own_stretches() -> None:
    detector = cross_fit_outlier(KNOWN, ["only"] * len(CORES))
    assert (detector.score(*spectra(200, seed=11)) > 1).mean() < 0.1
    assert (detector.score(*spectra(30, seed=12, lines=PATTERNS[::-1] + np.roll(PATTERNS, 5))) > 1).all()


@given(seeds)
@settings(deadline=None, max_examples=20)
def test_a_detector_survives_being_written_down(seed: int) -> None:
    points = spectra(50, seed=seed)
    for detector in (
        cross_fit_outlier(points, (np.arange(50) % 5).tolist()),
        fit_outlier(points.embeddings[:30], points.embeddings[30:], (np.arange(20) % 3).tolist()),
    ):
        again = Outlier.from_arrays({name: array.tolist() for name, array in detector.arrays().items()})
        np.testing.assert_array_equal(again.score(*points), detector.score(*points))


def test_a_spectrum_without_a_measured_bin_is_judged_by_its_embedding_alone() -> None:
    asked = spectra(5, seed=3)
    parts = DETECTOR.parts(asked.embeddings, asked.values, np.zeros_like(asked.measured))
    assert (parts["mixture"] == 0).all()
    assert (parts["remainder"] == 0).all()


def test_bins_that_no_training_spectrum_measured_say_nothing() -> None:
    blind = KNOWN.measured & (np.arange(BINS) < 30)
    detector = cross_fit_outlier(Points(KNOWN.embeddings, KNOWN.values, blind), CORES)
    asked = spectra(9, seed=4)
    strange = asked.values + np.where(np.arange(BINS) < 30, 0, 50.0)
    np.testing.assert_array_equal(detector.score(asked.embeddings, strange, asked.measured), detector.score(*asked))


@pytest.mark.parametrize("rows", [2, 3, 7])
def test_identical_or_few_training_spectra_still_give_a_detector(rows: int) -> None:
    same = Points(np.ones((rows, WIDTH)), np.ones((rows, BINS)), np.ones((rows, BINS), dtype=bool))
    for cores in (["a"] * rows, list(range(rows))):
        detector = cross_fit_outlier(same, cores)
        assert (detector.score(*same) <= 1).all()
        assert (detector.score(same.embeddings, same.values + 1, same.measured) > 1).all()


def test_long_axes_are_looked_at_in_groups_that_a_line_still_fills() -> None:
    values, measured = np.tile(np.arange(2048.0), (2, 1)), np.ones((2, 2048), dtype=bool)
    measured[1, 100] = False
    grouped, whole = shapes.group(values, measured)
    assert grouped.shape == (2, shapes.GROUPS)
    assert grouped[0, 12] == np.arange(96, 104).mean()
    assert whole.sum(axis=1).tolist() == [256, 255]  # a group with a hole is not compared


def test_the_detector_of_an_earlier_bundle_still_works() -> None:
    arrays = fit_outlier(KNOWN.embeddings[:120], KNOWN.embeddings[120:], CORES[120:]).arrays()
    assert set(arrays) == {"mean", "axes", "spread", "noise", "threshold"}
    assert arrays["threshold"].shape == ()
    asked = spectra(9, seed=4)
    old = Outlier.from_arrays(arrays)
    np.testing.assert_array_equal(old.score(*asked), old.score(asked.embeddings))
    assert list(old.parts(*asked)) == ["embedding"]
    assert len(arrays["axes"]) <= outliers.AXES
