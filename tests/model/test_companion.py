"""The linear model beside the network: what it says, how it is fitted, and how the two are mixed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from corebank.bundle import Proxy
from corebank.companion import Companion, log_rates
from training import evidence
from training.examples import Examples

SECONDS = 10.0


def examples(rates: np.ndarray, values: np.ndarray, repeats: int = 3) -> Examples:
    """Intervals of a few equal spectra each."""
    return Examples(
        rates=tuple(np.repeat(one[None], repeats, axis=0).astype(np.float32) for one in rates),
        live_time=tuple(np.full(repeats, SECONDS) for _ in rates),
        settings=tuple(np.zeros((repeats, 6), np.float32) for _ in rates),
        values=values,
    )


def planted(count: int = 60, bins: int = 40, noise: float = 0.0, seed: int = 0) -> tuple[Examples, np.ndarray]:
    """Spectra whose second proxy is a known linear function of two log rates, the first one noise."""
    random = np.random.default_rng(seed)
    rates = np.exp(random.normal(2, 1, (count, bins)))
    logs = log_rates(rates, 0.5 / SECONDS)
    value = 3 * logs[:, 5] - 2 * logs[:, 20] + 10 + noise * random.normal(size=count)
    return examples(rates, np.column_stack([random.normal(size=count), value])), value


def scales(some: Examples) -> tuple[Proxy, ...]:
    return tuple(
        Proxy(
            name=f"p{row}",
            unit="wt%",
            transform="identity",
            mean=float(np.nanmean(column)),
            std=float(np.nanstd(column)),
        )
        for row, column in enumerate(some.values.T)
    )


def test_a_linear_relation_is_found_and_noise_is_not() -> None:
    known, _ = planted(noise=0.05)
    asked, truth = planted(count=30, noise=0.0, seed=1)
    proxies = scales(known)
    fitted = evidence.fit(known, proxies)
    said = fitted.say(np.stack([one[0] for one in asked.rates]))
    assert np.corrcoef(proxies[1].inverse(said[:, 1]), truth)[0, 1] > 0.95
    assert np.abs(said[:, 0]).max() < 1  # what is noise is told as its mean, more or less


def test_more_noise_means_smaller_weights() -> None:
    sizes = []
    for noise in (1.0, 10.0, 100.0):
        known, _ = planted(noise=noise)
        sizes.append(np.abs(evidence.fit(known, scales(known)).weight[1]).sum())
    assert sizes == sorted(sizes, reverse=True)


def test_missing_labels_are_left_out_proxy_by_proxy() -> None:
    known, _ = planted(noise=0.05)
    holes = known.values.copy()
    holes[::3, 0] = np.nan
    whole, part = (
        evidence.fit(known, scales(known)),
        evidence.fit(
            Examples(rates=known.rates, live_time=known.live_time, settings=known.settings, values=holes), scales(known)
        ),
    )
    np.testing.assert_array_equal(whole.weight[1], part.weight[1])


def test_a_proxy_with_hardly_any_labels_is_told_as_its_mean() -> None:
    known, _ = planted()
    few = known.values.copy()
    few[2:, 0] = np.nan
    some = Examples(rates=known.rates, live_time=known.live_time, settings=known.settings, values=few)
    fitted = evidence.fit(some, scales(some))
    assert not fitted.weight[0].any()
    assert fitted.intercept[0] == 0


def test_a_bin_that_one_interval_lacks_is_not_looked_at() -> None:
    known, _ = planted()
    known.rates[7][:, 20] = np.nan
    assert not evidence.fit(known, scales(known)).weight[:, 20].any()


def test_bins_that_were_not_measured_do_not_matter() -> None:
    known, _ = planted(noise=0.05)
    fitted = evidence.fit(known, scales(known))
    rate = known.rates[0][:1].copy()
    usual = np.exp(fitted.middle) - fitted.offset
    rate[:, 5] = usual[5]
    gap = rate.copy()
    gap[:, 5] = np.nan
    np.testing.assert_allclose(fitted.say(gap), fitted.say(rate), rtol=1e-5)
    assert np.isnan(fitted.say(np.full_like(rate, np.nan))).all()


def test_the_offset_is_half_a_count() -> None:
    known, _ = planted()
    assert evidence.fit(known, scales(known)).offset == pytest.approx(0.5 / SECONDS)


@given(hnp.arrays(np.float64, (8, 2), elements=st.floats(-3, 3)), st.floats(0, 1))
def test_the_share_of_a_planted_mixture_is_found(network: np.ndarray, share: float) -> None:
    companion = network[::-1] + 1.5
    found = evidence.shares((1 - share) * network + share * companion, network, companion)
    apart = np.square(companion - network).sum(axis=0)
    np.testing.assert_allclose(found[apart > 1e-3], share, atol=1e-6)
    assert ((found >= 0) & (found <= 1)).all()


@given(st.floats(0, 1), st.floats(-5, 5))
def test_together_lies_between_the_two_and_falls_back_on_the_one_that_speaks(share: float, network: float) -> None:
    pair = Companion(
        weight=np.array([[0.5, 0.0]]),
        intercept=np.array([1.0]),
        middle=np.zeros(2),
        offset=np.asarray(0.05),
        share=np.array([share]),
    )
    rates = np.array([[4.0, 1.0], [np.nan, 1.0]])
    own = pair.say(rates)
    both = pair.together(np.array([[network], [network]]), rates)
    assert min(network, own[0, 0]) - 1e-9 <= both[0, 0] <= max(network, own[0, 0]) + 1e-9
    assert both[1, 0] == network  # it looks at the first bin alone, which this spectrum lacks
    assert pair.together(np.array([[np.nan], [np.nan]]), rates)[0, 0] == own[0, 0]


def test_arrays_come_back_as_they_went() -> None:
    known, _ = planted()
    fitted = evidence.fit(known, scales(known))
    again = Companion.from_arrays(fitted.arrays())
    rates = np.stack([one[0] for one in known.rates])
    np.testing.assert_array_equal(again.say(rates), fitted.say(rates))
