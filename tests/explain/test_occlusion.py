"""Occlusion takes lines out and leaves the background, and a model whose working is known is explained as it works."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from corebank.explain.lines import fwhm, windows
from corebank.explain.occlusion import Effects, background, effects, straightened
from tests.explain.networks import GRID, MACHINE, mixtures

WINDOWS = windows(MACHINE, GRID)
LINES = {"Si": 1.740, "Ca": 3.691, "Fe": 6.404}
"""K alpha energies [keV]."""


def read(rates: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """No normalization: what a linear model of count rates reads."""
    return np.nan_to_num(rates), np.isfinite(rates)


def occlude(weights: NDArray[np.float64], rates: NDArray[np.float32]) -> Effects:
    """Explain the model ``rates @ weights``."""

    def ask(values: NDArray[np.float32], *_: NDArray[Any]) -> NDArray[np.float64]:
        return values.astype(np.float64) @ weights[:, None]

    return effects(ask, read, rates, np.isfinite(rates), WINDOWS)


def spectra(n: int = 6) -> NDArray[np.float32]:
    return np.asarray(mixtures()["intensity"].values[:n])


@given(st.sets(st.sampled_from(range(-1, len(WINDOWS.groups))), min_size=1), st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_a_linear_model_is_explained_by_exactly_the_elements_it_uses(used: set[int], seed: int) -> None:
    """-1 stands for what lies outside of all windows."""
    weights = np.random.default_rng(seed).uniform(1, 2, GRID.bins) * np.isin(WINDOWS.owner, list(used))
    found = occlude(weights, spectra())
    sizes = np.nan_to_num(np.abs(found.intact[..., None] - found.occluded)).max(axis=(0, 1))
    named = {part if part < len(WINDOWS.groups) else -1 for part in np.flatnonzero(sizes > 0)}
    seen = {part for part in used if np.isfinite(spectra()[:, WINDOWS.owner == part]).any()}
    assert named == seen
    assert np.nan_to_num(found.interaction).max() < 1e-6


def test_the_effect_of_a_line_is_its_net_area_times_its_weight() -> None:
    iron = WINDOWS.owner == WINDOWS.groups.index("Fe")
    found = occlude(3.0 * iron, spectra())
    net = np.nansum((spectra() - background(spectra(), WINDOWS))[:, iron], axis=1, dtype=np.float64)
    effect = found.intact[:, 0] - found.occluded[:, 0, WINDOWS.groups.index("Fe")]
    np.testing.assert_allclose(effect, 3 * net, rtol=1e-5)
    assert (effect > 0).all()


def test_two_elements_that_only_work_together_are_told_as_interaction() -> None:
    ca, fe = (WINDOWS.owner == WINDOWS.groups.index(name) for name in ("Ca", "Fe"))

    def both(values: NDArray[np.float32], *_: NDArray[Any]) -> NDArray[np.float64]:
        return (values[:, ca].sum(axis=1) * values[:, fe].sum(axis=1))[:, None].astype(np.float64)

    found = effects(both, read, spectra(), np.isfinite(spectra()), WINDOWS)
    assert (found.interaction > 0.3).all()


@given(st.floats(-0.3, 0.3), st.floats(1, 1e4))
def test_what_has_no_lines_stays_as_it_is(slope: float, height: float) -> None:
    """Bremsstrahlung over a few keV: an exponential of the energy [1/keV]."""
    rates = (height * np.exp(slope * GRID.centres))[None].astype(np.float32)
    for without in (background, straightened):
        np.testing.assert_allclose(without(rates, WINDOWS), rates, rtol=0.05)


@given(st.sampled_from(sorted(LINES)), st.floats(10, 1e4))
def test_a_line_is_taken_out_whatever_its_height(name: str, height: float) -> None:
    sigma = float(fwhm(LINES[name], MACHINE.scanner)) / 2.355
    peak = np.exp(-0.5 * ((GRID.centres - LINES[name]) / sigma) ** 2)
    left = background((10 + height * peak)[None].astype(np.float32), WINDOWS)[0, WINDOWS.owner >= 0]
    assert left.max() < 10 + 0.15 * height


@given(st.integers(0, 200), st.integers(1, 60))
def test_only_windows_change_and_what_was_not_measured_stays_unmeasured(start: int, length: int) -> None:
    rates = spectra().copy()
    rates[:, start : start + length] = np.nan
    for changed, where in (
        (background(rates, WINDOWS), WINDOWS.owner < 0),
        (straightened(rates, WINDOWS), WINDOWS.owner >= 0),
    ):
        np.testing.assert_array_equal(changed[:, where], rates[:, where])
        np.testing.assert_array_equal(np.isnan(changed), np.isnan(rates))


def test_a_group_that_the_network_does_not_see_has_no_effect_to_tell() -> None:
    visible = np.isfinite(spectra())
    visible[:2, WINDOWS.owner == WINDOWS.groups.index("Fe")] = False
    found = effects(lambda values, *_: values.sum(axis=1, keepdims=True), read, spectra(), visible, WINDOWS)
    known = np.isfinite(found.occluded[:, 0, WINDOWS.groups.index("Fe")])
    assert known.tolist() == [False, False, True, True, True, True]
    assert found.shares.shape == (6, 1, len(WINDOWS.groups) + 1)
    np.testing.assert_allclose(np.nansum(found.shares, axis=2), 1)


def test_a_model_that_says_the_same_of_everything_has_no_shares() -> None:
    found = occlude(np.zeros(GRID.bins), spectra())
    assert np.isnan(found.shares).all()
    assert found.interaction == pytest.approx(np.nan, nan_ok=True)
