"""The mapping is linear in the rate, never negative, silent on what was not measured, and finds a known truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank.transfer.mapping import FORMS, RIDGES, Fitter, Form, Mapping, smoothed
from corebank.transfer.pairing import Pairs

BINS = 60


def pairs(first: np.ndarray, second: np.ndarray) -> Pairs:
    seconds = np.full(len(first), 10.0)
    return Pairs(
        first=first,
        second=second,
        first_seconds=seconds,
        second_seconds=seconds,
        section=np.full(len(first), "C/S"),
        position=np.arange(len(first), dtype=float),
        alignments={},
    )


def spectra(count: int, seed: int) -> np.ndarray:
    """Smooth positive spectra that differ in several ways, so that every weight can be told."""
    random = np.random.default_rng(seed)
    return np.exp(random.normal(2, 0.5, (count, BINS)))


@st.composite
def mappings(draw: st.DrawFn) -> Mapping:
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mapped = random.random(BINS) < 0.8
    weights = np.where(mapped[:, None], random.normal(0, 1, (BINS, 5)), 0.0)
    for side, edge in ((np.arange(2), slice(None)), (np.arange(BINS - 2, BINS), slice(None))):
        weights[side, edge] = 0.0  # a window that leaves the axis holds nothing there
    return Mapping(form="piecewise", ridge=0.1, mapped=mapped, weights=weights)


@settings(deadline=None, max_examples=30)
@given(mappings(), st.floats(0.1, 100), st.integers(0, 99))
def test_twice_the_rate_is_twice_the_mapped_rate(mapping: Mapping, factor: float, seed: int) -> None:
    rates = spectra(4, seed)
    np.testing.assert_allclose(mapping(factor * rates), factor * mapping(rates), rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(mappings(), st.integers(0, BINS - 1))
def test_a_bin_without_a_measurement_silences_just_the_bins_made_from_it(mapping: Mapping, gap: int) -> None:
    rates = spectra(3, 0)
    whole = mapping(rates)
    rates[1, gap] = np.nan
    found = mapping(rates)
    made_from_it = np.array(
        [abs(bin_ - gap) <= 2 and mapping.weights[bin_, gap - bin_ + 2] != 0 for bin_ in range(BINS)]
    )
    assert np.isnan(found[1, made_from_it]).all()
    np.testing.assert_array_equal(found[1, ~made_from_it], whole[1, ~made_from_it])
    np.testing.assert_array_equal(found[[0, 2]], whole[[0, 2]])
    assert np.nanmin(found) >= 0
    assert np.isnan(found[:, ~mapping.mapped]).all()


def test_each_form_finds_what_it_can_hold() -> None:
    """Noise-free pairs of known relation: the form that can hold it gives it back on spectra it has not seen."""
    known, asked = spectra(400, 1), spectra(20, 2)
    slope = np.linspace(0.5, 2.0, BINS)
    blur = np.array([0.2, 0.6, 0.2])
    truths = {
        "factor": lambda rates: 0.7 * rates,
        "gain": lambda rates: slope * rates,
        "piecewise": lambda rates: np.apply_along_axis(np.convolve, 1, slope * rates, blur, "same"),
    }
    off: dict[tuple[str, str], float] = {}
    for truth, seen in truths.items():
        fitter = Fitter(pairs(seen(known), known), np.zeros(len(known), int), step=0.05)
        for form in FORMS:
            said = fitter.fit(form, 1e-6, [0])(asked)[:, 3:-3]
            off[truth, form] = float(np.abs(said / seen(asked)[:, 3:-3] - 1).max())
    for place, truth in enumerate(FORMS):
        assert all(off[truth, form] < 0.02 for form in FORMS[place:]), off
        assert all(off[truth, form] > 0.1 for form in FORMS[:place]), off


@settings(deadline=None, max_examples=10)
@given(st.sampled_from(FORMS), st.sampled_from(RIDGES), st.integers(0, 99))
def test_fits_to_parts_add_up_to_the_fit_to_all(form: Form, ridge: float, seed: int) -> None:
    known, seen = spectra(40, seed), spectra(40, seed + 1)
    whole = Fitter(pairs(seen, known), np.zeros(40, int), step=0.05).fit(form, ridge, [0])
    parts = Fitter(pairs(seen, known), np.arange(40) % 3, step=0.05).fit(form, ridge, [0, 1, 2])
    np.testing.assert_allclose(parts.weights, whole.weights, rtol=1e-6, atol=1e-9)


def test_a_strong_pull_leaves_the_gain_and_few_pairs_are_pulled_to_it() -> None:
    known = spectra(10, 3)
    fitter = Fitter(pairs(2 * known, known), np.zeros(10, int), step=0.05)
    gain = fitter.fit("gain", np.nan, [0])
    np.testing.assert_allclose(fitter.fit("piecewise", 1e9, [0]).weights, gain.weights, atol=1e-6)
    np.testing.assert_allclose(gain.weights[:, 2][3:-3], 2.0, rtol=1e-9)


def test_bins_that_one_pair_did_not_measure_are_not_mapped() -> None:
    known, seen = spectra(10, 4), spectra(10, 5)
    known[3, 10], seen[5, 20] = np.nan, np.nan
    mapping = Fitter(pairs(seen, known), np.zeros(10, int), step=0.05).fit("piecewise", 0.1, [0])
    assert np.flatnonzero(~mapping.mapped).tolist() == [10, 20]
    assert (mapping.weights[9:12, [3, 2, 1]].diagonal() == 0).all()  # nor is anything made from them
    assert np.isfinite(mapping(known)[3, mapping.mapped]).all()


def test_smoothing_keeps_sums_inside_the_axis() -> None:
    values = np.zeros((2, 101))
    values[:, 50] = [1.0, 3.0]
    assert smoothed(values, 3.0).sum(axis=1) == pytest.approx([1.0, 3.0])
