"""The classical models: each finds what was planted, says nothing it cannot know, and never learns from the asked."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from training import baselines
from training.quantifier import proxy_of
from training.recipe import BASELINES

Floats = NDArray[np.float64]


def planted(n: int = 60, *, seed: int = 0, exponential: bool = False) -> tuple[Floats, Floats]:
    """Spectra (n, 24) [count/s] with one line whose height tells the value (n,), beside one that means nothing."""
    random = np.random.default_rng(seed)
    values = random.uniform(0, 2, n)
    bins = np.arange(24)
    lines = [np.exp(-0.5 * ((bins - at) / 1.5) ** 2) for at in (6, 16)]
    height = values / 2 if not exponential else (np.exp(values) - 1) / 6
    rates = 20 + 400 * np.outer(height, lines[0]) + 200 * np.outer(random.uniform(0, 1, n), lines[1])
    return random.poisson(50 * rates) / 50.0, values


def test_the_recipe_knows_every_baseline() -> None:
    assert tuple(baselines.BASELINES) == BASELINES
    assert {*baselines.RANDOM, *baselines.LOGARITHMIC} <= {*BASELINES}


@pytest.mark.parametrize("name", ["ridge", "pls"])
def test_linear_baselines_find_a_line_and_forgive_a_missing_bin(name: str) -> None:
    random = np.random.default_rng(0)
    values = random.uniform(0, 2, 40)
    rates = np.expm1(np.outer(values, np.linspace(0.5, 1, 12)) + random.normal(0, 0.01, (40, 12)))
    rates[35, 3] = np.nan
    found = baselines.BASELINES[name](rates[:30], values[:30], rates[30:], baselines.Fold())
    np.testing.assert_allclose(found, values[30:], atol=0.1)


@pytest.mark.parametrize("name", ["ridge", "pls", "nmf-svr", "forest"])
def test_every_baseline_finds_the_line_that_tells_the_value(name: str) -> None:
    rates, values = planted()
    rates[50, 20] = np.nan
    units = np.repeat(list("ABCDE"), 9)
    found = baselines.BASELINES[name](rates[:45], values[:45], rates[45:], baselines.Fold(units=units))
    error, spread = found - values[45:], values[45:].std()
    assert np.sqrt(np.mean(error**2)) < 0.35 * spread
    blind = baselines.BASELINES[name](rates[:45], values[:45][::-1], rates[45:], baselines.Fold(units=units))
    assert np.sqrt(np.mean((blind - values[45:]) ** 2)) > 0.8 * spread  # with shuffled labels there is nothing to find


@pytest.mark.parametrize("name", BASELINES)
def test_what_is_said_of_a_spectrum_does_not_depend_on_what_else_is_asked(name: str) -> None:
    rates, values = planted(30)
    fold = baselines.Fold(units=np.repeat(list("ABC"), 6))
    together = baselines.BASELINES[name](rates[:18], values[:18], rates[18:], fold)
    alone = baselines.BASELINES[name](rates[:18], values[:18], rates[20:21], fold)
    np.testing.assert_allclose(alone, together[2:3], rtol=1e-9)


def test_a_forest_alone_depends_on_the_seed() -> None:
    rates, values = planted(30)
    changed = {
        name
        for name, model in baselines.BASELINES.items()
        if not np.array_equal(
            *(model(rates[:20], values[:20], rates[20:], baselines.Fold(seed=seed)) for seed in (0, 1))
        )
    }
    assert changed == set(baselines.RANDOM)


def test_the_predecessor_learns_logarithms_whatever_the_recipe_says() -> None:
    rates, values = planted(45)
    measured = np.stack([np.exp(3 * values), 5 + values], axis=1)
    measured[::4, 1] = np.nan
    scales = {
        transform: tuple(
            proxy_of(name, "wt%", column, transform) for name, column in zip("ab", measured[:36].T, strict=True)
        )
        for transform in ("identity", "log")
    }
    units = np.repeat(list("ABC"), 12)
    said = {
        transform: baselines.answers(BASELINES, rates[:36], measured[:36], proxies, units, rates[36:], 0)
        for transform, proxies in scales.items()
    }
    np.testing.assert_array_equal(said["identity"]["nmf-svr"], said["log"]["nmf-svr"])
    assert not np.array_equal(said["identity"]["ridge"], said["log"]["ridge"])
    error = np.log(said["log"]["nmf-svr"][:, 0]) / 3 - values[36:]
    assert np.sqrt(np.mean(error**2)) < 0.4 * values[36:].std()


def test_too_few_labels_or_no_common_bin_give_no_answer() -> None:
    rates, values = planted(20)
    measured = np.stack([values, np.where(np.arange(20) < 2, values, np.nan)], axis=1)
    proxies = tuple(proxy_of(name, "wt%", column, "identity") for name, column in zip("ab", measured.T, strict=True))
    units = np.repeat(list("AB"), 10)
    said = baselines.answers(("mean", "ridge"), rates, measured, proxies, units, rates[:3], 0)
    assert np.isfinite(said["ridge"][:, 0]).all()
    assert np.isnan(said["ridge"][:, 1]).all()
    rates[:10, :12], rates[10:, 12:] = np.nan, np.nan  # two machines that have no energy in common
    said = baselines.answers(("mean", "ridge"), rates, measured, proxies, units, rates[:3], 0)
    assert np.isnan(said["ridge"]).all()


def test_parts_of_spectra_are_found_once_for_all_proxies_of_the_same_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.decomposition import NMF

    fits = []
    fit = NMF.fit
    monkeypatch.setattr(NMF, "fit", lambda self, rates: (fits.append(self.n_components), fit(self, rates))[1])
    rates, values = planted(30)
    measured = np.stack([values, 2 - values, values**2], axis=1)
    proxies = tuple(proxy_of(name, "wt%", column, "identity") for name, column in zip("abc", measured.T, strict=True))
    baselines.answers(("nmf-svr",), rates, measured, proxies, np.repeat(list("ABC"), 10), rates[:2], 0)
    assert fits == list(baselines.NMF_COMPONENTS)
