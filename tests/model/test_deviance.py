"""The Poisson deviance: what a likelihood of counts should be, and a loss that can be learnt from anywhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from corebank.model import Chance, RateScale, SpectrumMAE, alike
from corebank.model.deviance import deviance, log_expected
from corebank.normalize import KINDS, Normalization
from tests.model.cores import CONFIG, cores

counts = st.floats(0, 3e5, width=32)
kinds = st.sampled_from(KINDS)


def told(kind: str, normalised: Tensor, live_time: float, mean: float = 0.0, scale: float = 1.0) -> Tensor:
    """ln of the expected counts of one normalised value."""
    return log_expected(kind, normalised * scale + mean, torch.tensor(live_time))


@given(counts, st.floats(-20, 15))
@settings(deadline=None)
def test_it_is_nowhere_negative(observed: float, log_mu: float) -> None:
    found = deviance(torch.tensor(observed, dtype=torch.float64), torch.tensor(log_mu, dtype=torch.float64))
    assert found >= -1e-9 * max(observed, 1)
    expected = 2 * ((observed * (math.log(observed) - log_mu) if observed else 0) - (observed - math.exp(log_mu)))
    assert float(found) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(st.floats(1e-3, 3e5))
@settings(deadline=None)
def test_it_is_zero_where_the_counts_are_as_expected_and_curved_like_chi_square(mu: float) -> None:
    at = torch.tensor(mu, dtype=torch.float64)
    assert abs(float(deviance(at, at.log()))) < 1e-9 * max(mu, 1)
    near = at * 1.001
    assert float(deviance(near, at.log())) == pytest.approx(float((near - at) ** 2 / at), rel=1e-3)


def test_the_true_expectation_has_a_deviance_of_about_one_per_bin() -> None:
    mu = torch.full((200_000,), 30.0, dtype=torch.float64)
    observed = torch.poisson(mu, generator=torch.Generator().manual_seed(0))
    assert float(deviance(observed, mu.log()).mean()) == pytest.approx(1, abs=0.02)


@given(kinds, st.floats(0.5, 100), st.lists(st.floats(0, 1e4, width=32), min_size=8, max_size=8))
@settings(deadline=None)
def test_from_one_count_on_the_expectation_is_the_inverse_of_the_normalization(
    kind: str, live_time: float, rates: list[float]
) -> None:
    scaled, row = Normalization(kind=kind), np.array([rates], dtype=np.float32)  # type: ignore[arg-type]  # one of KINDS
    values, _ = scaled(row)
    mean, scale = (torch.from_numpy(one) for one in scaled.statistics(row))
    expected = log_expected(kind, torch.from_numpy(values) * scale + mean, torch.tensor(live_time)).exp()
    enough = row[0] * live_time > 1.01
    tolerance = live_time * 1e-5 * max(rates)  # of values that are rounded to float32
    np.testing.assert_allclose(expected[0][enough], live_time * row[0][enough], rtol=2e-3, atol=tolerance)


@given(kinds, st.floats(0.5, 100), st.floats(-1e4, 1e4, width=32), counts)
@settings(deadline=None)
def test_wherever_a_prediction_is_there_is_a_way_to_what_was_counted(
    kind: str, live_time: float, start: float, observed: float
) -> None:
    value = torch.tensor(start, requires_grad=True)
    log_mu = told(kind, value, live_time)
    deviance(torch.tensor(observed), log_mu).backward()
    assert value.grad is not None
    assert value.grad.isfinite()
    slope = float(value.grad)
    if log_mu.exp() < 0.9 * observed:
        assert slope < 0  # too little: more would be better
    if log_mu.exp() > 1.1 * observed + 0.1:
        assert slope > 0


@given(kinds, st.floats(-50, 40, width=32), st.floats(0.5, 100))
@example("log", 18.0, 1.0)  # where exp ends
@settings(deadline=None)
def test_more_is_more_and_the_pieces_fit_together(kind: str, value: float, live_time: float) -> None:
    step = 1e-6
    points = torch.tensor([value - step, value, value + step], dtype=torch.float64)
    low, middle, high = told(kind, points, live_time).tolist()
    assert low < middle < high
    left, right = (middle - low) / step, (high - middle) / step  # the slopes of both sides are the same
    assert right == pytest.approx(left, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_learning_it_finds_the_mean_of_the_counts(kind: str) -> None:
    """A free number for each bin, started where it says no photon at all, ends at the bins' mean counts."""
    random = np.random.default_rng(0)
    mu = torch.tensor([0.2, 3.0, 50.0, 800.0])
    observed = torch.from_numpy(random.poisson(mu.numpy(), (500, 4))).float()
    value = torch.full((4,), -3.0, requires_grad=True)
    optimiser = torch.optim.Adam([value], lr=0.1, betas=(0.9, 0.95))

    def log_mu() -> Tensor:
        return told(kind, value, 10.0, mean=20.0 if kind == "standardise" else 2.0, scale=30.0)

    for step in range(800):
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / 800)
        optimiser.zero_grad()
        deviance(observed, log_mu()).mean().backward()
        optimiser.step()
    torch.testing.assert_close(log_mu().exp(), observed.mean(0), rtol=0.02, atol=0.02)


def inputs(kind: str) -> tuple[Tensor, Tensor, RateScale]:
    rates = cores(8, names=("A", "B"))["intensity"].values
    scaled = Normalization(kind=kind)  # type: ignore[arg-type]  # one of KINDS
    values, measured = (torch.from_numpy(one) for one in scaled(rates))
    mean, scale = (torch.from_numpy(one) for one in scaled.statistics(rates))
    return values, measured, RateScale(kind, mean, scale, torch.linspace(5, 20, len(rates)))


def chance(n: int, seed: int = 0) -> Chance:
    return SpectrumMAE(CONFIG).eval().draw(n, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_mean_deviance_of_the_counts_of_the_hidden_bins(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alike, "WORTH_A_CUT", 1)  # a part for each machine
    values, measured, scale = inputs(kind)
    torch.manual_seed(0)
    network = SpectrumMAE(CONFIG).eval()
    with torch.no_grad():
        found = network(values, measured, None, 0.5, chance(len(values)), rate_scale=scale)
    hidden = found.masked_BP.repeat_interleave(CONFIG.patch, dim=1)
    transformed = found.prediction_BPp.reshape(values.shape) * scale.scale_B1 + scale.mean_B1
    log_mu = log_expected(kind, transformed, scale.live_time_B[:, None])[hidden].double()
    counted = torch.from_numpy(cores(8, names=("A", "B"))["intensity"].values)[hidden].double()
    counted *= scale.live_time_B[:, None].expand_as(values)[hidden]
    torch.testing.assert_close(found.loss.double(), deviance(counted, log_mu).mean(), rtol=1e-4, atol=0)
    assert int(found.bins) == int(hidden.sum())


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_learns_by_it(kind: str) -> None:
    values, measured, scale = inputs(kind)
    torch.manual_seed(0)
    network = SpectrumMAE(CONFIG)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for step in range(40):
        loss = network(values, measured, None, 0.5, chance(len(values), step), rate_scale=scale).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_longer_measurements_weigh_more_and_an_unknown_time_counts_as_a_second() -> None:
    values, measured, scale = inputs("standardise")
    network, n = SpectrumMAE(CONFIG).eval(), len(values)

    def loss(live_time: float) -> Tensor:
        timed = scale._replace(live_time_B=torch.full((n,), live_time))
        return network(values, measured, None, 0.5, chance(n), rate_scale=timed).loss

    assert loss(float("nan")) == loss(0.0) == loss(1.0)
    assert loss(1.0) < loss(10.0) < loss(100.0)
