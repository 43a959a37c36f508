"""Normalizations: invertible, blind to what was not measured, one spectrum at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from corebank.errors import RecipeError
from corebank.normalize import KINDS, Normalization

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


@given(kinds)
def test_a_normalization_survives_json(norm: Normalization) -> None:
    assert Normalization.from_json(norm.to_json()) == norm


def test_a_standardised_spectrum_has_mean_zero_and_spread_one() -> None:
    normalised, _ = Normalization(kind="standardise")(np.array([[1.0, 2.0, 3.0, np.nan]], dtype=np.float32))
    np.testing.assert_allclose(normalised, [[-1.224745, 0, 1.224745, 0]], rtol=1e-6)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"kind is 'minmax'\. Choose one of standardise"):
        Normalization(kind="minmax")  # type: ignore[arg-type]  # what a hand-written bundle may hold
