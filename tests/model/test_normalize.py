"""Normalizations: invertible, blind to what was not measured, one spectrum at a time."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from corebank.errors import RecipeError
from corebank.normalize import KINDS, SMALLEST_SCALE, Kind, Normalization

kinds = st.sampled_from(KINDS).map(lambda kind: Normalization(kind=kind))


@st.composite
def rates(draw: st.DrawFn) -> np.ndarray:
    values = draw(arrays(np.float32, (3, 20), elements=st.floats(0, 2**17, width=32)))
    return np.where(draw(arrays(np.bool_, (3, 20))), values, np.float32(np.nan))


@given(kinds, rates())
@settings(deadline=None)
def test_what_was_measured_comes_back(norm: Normalization, values: np.ndarray) -> None:
    normalised, measured = norm(values)
    np.testing.assert_array_equal(measured, np.isfinite(values))
    back = norm.inverse(normalised, norm.statistics(values))
    scale = max(float(np.nanmax(values, initial=0)), 1.0)
    np.testing.assert_allclose(back[measured], values[measured], rtol=1e-3, atol=1e-4 * scale)


@given(kinds, rates())
@settings(deadline=None)
def test_values_are_finite_and_unmeasured_bins_are_zero(norm: Normalization, values: np.ndarray) -> None:
    normalised, measured = norm(values)
    assert normalised.dtype == np.float32
    assert np.isfinite(normalised).all()
    assert (normalised[~measured] == 0).all()


@given(kinds, rates())
@settings(deadline=None)
def test_a_spectrum_does_not_depend_on_its_neighbours(norm: Normalization, values: np.ndarray) -> None:
    np.testing.assert_array_equal(norm(values)[0][:1], norm(values[:1])[0])


@given(
    st.sampled_from(KINDS),
    arrays(
        st.sampled_from([np.dtype(np.float32), np.dtype(np.float64)]),
        (3, 7),
        elements=st.one_of(st.floats(-1024, 2**20, width=32), st.sampled_from([np.nan, np.inf, -np.inf])),
    ),
)
@settings(deadline=None)
def test_every_bit_is_that_of_the_formula_written_out(kind: Kind, values: np.ndarray) -> None:
    """Also what is not measured, flat or below zero."""
    measured = np.isfinite(values)
    known = np.where(measured, values, 0).astype(np.float32)
    transform = {"standardise": known, "sqrt": np.sqrt(np.maximum(known, 0)), "log": np.log1p(np.maximum(known, 0))}[
        kind
    ]
    count = np.maximum(measured.sum(axis=1, keepdims=True), 1)
    mean = (np.where(measured, transform, 0).sum(axis=1, keepdims=True, dtype=np.float64) / count).astype(np.float32)
    away = np.where(measured, transform - mean, np.float32(0))
    scale = np.sqrt(np.square(away).sum(axis=1, keepdims=True, dtype=np.float64) / count).astype(np.float32)
    scale = np.maximum(scale, np.float32(SMALLEST_SCALE))

    found, mask, taken = Normalization(kind=kind).apply(values)
    np.testing.assert_array_equal(mask, measured)
    np.testing.assert_array_equal(found.view(np.int32), (away / scale).view(np.int32) * measured)
    np.testing.assert_array_equal(taken.mean, mean)
    np.testing.assert_array_equal(taken.scale, scale)
    marked, _, _ = Normalization(kind=kind).marked(values)
    np.testing.assert_array_equal(np.isfinite(marked), measured)


@given(kinds, rates(), st.sampled_from([np.float32, np.float64]))
@settings(deadline=None)
def test_tensors_give_what_arrays_give(norm: Normalization, values: np.ndarray, dtype: type) -> None:
    """To 1e-6 of the transformed rates; in a nearly flat spectrum rounding of the mean is large beside the scale."""
    wanted, measured, statistics = norm.apply(values.astype(dtype))
    found = norm.tensors(torch.from_numpy(values.astype(dtype)))
    assert [one.dtype for one in found] == [torch.float32, torch.bool, torch.float32, torch.float32]
    np.testing.assert_array_equal(found[1], measured)
    np.testing.assert_allclose(found[2], statistics.mean, rtol=1e-6)
    assert (np.abs(found[3].numpy() - statistics.scale) <= 1e-6 * (statistics.scale + np.abs(statistics.mean))).all()
    taken = zip(found[0].numpy(), wanted, statistics.mean, statistics.scale, strict=True)
    for mine, theirs, mean, scale in taken:
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-6 * (1 + abs(float(mean[0])) / float(scale[0])))


@given(kinds, st.floats(0, 2**17, width=32))
def test_flat_dead_and_no_spectra_become_zeros_in_tensors_too(norm: Normalization, level: float) -> None:
    rates = torch.full((2, 20), level)
    rates[1] = torch.nan
    values, measured, mean, scale = norm.tensors(rates)
    assert (values == 0).all()
    assert torch.equal(measured, rates.isfinite())
    assert mean[1] == 0
    assert (scale == np.float32(SMALLEST_SCALE)).all()
    assert [tuple(one.shape) for one in norm.tensors(torch.empty((0, 20)))] == [(0, 20), (0, 20), (0, 1), (0, 1)]


def test_a_normalization_costs_no_torch() -> None:
    code = "import sys, corebank.normalize, corebank.augment; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(kinds)
def test_a_normalization_survives_json(norm: Normalization) -> None:
    assert Normalization.from_json(norm.to_json()) == norm


def test_a_standardised_spectrum_has_mean_zero_and_spread_one() -> None:
    normalised, _ = Normalization(kind="standardise")(np.array([[1.0, 2.0, 3.0, np.nan]], dtype=np.float32))
    np.testing.assert_allclose(normalised, [[-1.224745, 0, 1.224745, 0]], rtol=1e-6)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"kind is 'minmax'\. Choose one of standardise"):
        Normalization(kind="minmax")  # type: ignore[arg-type]  # what a hand-written bundle may hold
