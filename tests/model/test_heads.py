"""Modes of fine-tuning: what may change does, what may not does not, and a bundle holds plain weights either way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils import parametrize

from corebank import bundle, labels
from corebank.bundle import Bundle, Proxy
from corebank.errors import TrainingError
from corebank.model import Quantifier, SpectrumMAE, encoder_weights, first_outputs, hidden_width
from corebank.normalize import Normalization
from tests.model.cores import CONFIG, cores, laboratory
from training import evidence, heads
from training.examples import Examples, collect, shares
from training.quantifier import fit, predict, proxies_of, proxy_of
from training.recipe import Finetuning, Mode, Optimiser

RECIPE = Finetuning(
    name="q",
    epochs=3,
    batch_size=8,
    members=1,
    proxies=("CaCO3", "TOC"),
    head_width=8,
    rank=2,
    head_rate=3e-2,
    optimiser=Optimiser(rate=1e-2),
)
PLAIN = Proxy(name="a", unit="wt%", transform="identity", mean=0.0, std=1.0)


def parent() -> Bundle:
    torch.manual_seed(3)
    return Bundle(
        kind="foundation",
        name="f",
        config=CONFIG,
        normalization=Normalization(kind="log"),
        weights=SpectrumMAE(CONFIG).state_dict(),
    )


def labelled() -> tuple[Examples, labels.Labels]:
    found = labels.match(cores(), laboratory(cores()), ["CaCO3", "TOC"])
    return collect(cores(), found), found


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    values, measured = Normalization(kind="log")(cores(5)["intensity"].values)
    return torch.from_numpy(values), torch.from_numpy(measured)


def trained(mode: Mode, *, balance: float = 0.0) -> Quantifier:
    examples, found = labelled()
    recipe = replace(RECIPE, mode=mode, balance=balance)
    return fit(parent(), examples, proxies_of(found, ()), recipe, 2)


def with_random_head(hidden: int = 0) -> Quantifier:
    torch.manual_seed(0)
    network = Quantifier(CONFIG, 2, hidden=hidden).eval()
    for parameter in network.head.parameters():
        torch.nn.init.normal_(parameter)
    return network


@pytest.mark.parametrize("mode", ["probe", "frozen", "adapters", "full"])
def test_a_mode_changes_what_it_says_and_nothing_else(mode: Mode) -> None:
    before, after = encoder_weights(parent().weights), encoder_weights(trained(mode).state_dict())
    assert before.keys() == after.keys()
    changed = {name for name, weight in before.items() if not torch.equal(weight, after[name])}
    matrices = {
        f"blocks.{block}.{matrix}.weight"
        for block in range(CONFIG.depth)
        for matrix in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    }
    if mode == "full":
        assert changed > matrices
    else:
        assert changed == (matrices if mode == "adapters" else set())


@pytest.mark.parametrize("mode", ["probe", "frozen", "adapters", "full"])
def test_whatever_the_mode_the_bundle_gives_the_same_values(mode: Mode, tmp_path: Path) -> None:
    network, (examples, found) = trained(mode), labelled()
    proxies = proxies_of(found, ())
    model = replace(parent(), kind="quantifier", proxies=proxies[:1], weights=first_outputs(network.state_dict(), 1))
    again = bundle.build(bundle.load(bundle.save(model, tmp_path)))
    assert isinstance(again, Quantifier)
    assert hidden_width(model.weights) == (8 if mode == "frozen" else 0)
    said, read = (
        predict(one, model.normalization, some, examples) for one, some in ((network, proxies), (again, proxies[:1]))
    )
    np.testing.assert_allclose(np.concatenate(read)[:, 0], np.concatenate(said)[:, 0], rtol=1e-4, atol=1e-4)
    assert np.std(np.concatenate(said)[:, 0]) > 0.005  # it says something


@given(st.integers(1, 64), st.integers(0, 9))
@settings(deadline=None, max_examples=15)
def test_adapters_start_as_nothing_and_merge_without_a_trace(rank: int, seed: int) -> None:
    network = with_random_head()
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    values, measured = inputs()
    untouched = network(values, measured)
    adapters = heads.adapt(network, rank)
    torch.testing.assert_close(network(values, measured), untouched)
    torch.manual_seed(seed)
    for adapter in adapters:
        torch.nn.init.normal_(adapter, std=0.05)
    adapted = network(values, measured)
    assert not torch.allclose(adapted, untouched, atol=1e-3)
    merged = heads.plain(network)
    torch.testing.assert_close(merged(values, measured), adapted)
    assert not any(parametrize.is_parametrized(module) for module in merged.modules())
    after = merged.state_dict()
    assert after.keys() == before.keys()
    for name, weight in before.items():
        change = (after[name] - weight).double()
        if name.startswith("blocks.") and name.endswith("weight") and change.ndim == 2:
            scale = float(torch.linalg.matrix_norm(change, 2))
            assert int((torch.linalg.svdvals(change) > 1e-4 * scale).sum()) <= rank
        else:
            assert not change.any()


def test_only_adapters_and_the_head_are_trained() -> None:
    network = with_random_head()
    adapters = heads.adapt(network, 4)
    open_to_training = {id(one) for one in network.parameters() if one.requires_grad}
    assert open_to_training == {id(one) for one in (*adapters, *network.head.parameters())}
    assert sum(one.numel() for one in adapters) < 0.5 * sum(one.numel() for one in network.parameters())


@pytest.mark.parametrize("hidden", [0, 8])
def test_a_standardised_head_becomes_a_plain_one_that_says_the_same(hidden: int) -> None:
    network, (values, measured) = with_random_head(hidden), inputs()
    embeddings = network.embed(values, measured).detach().double().numpy()
    heads.standardise(network, embeddings)
    np.testing.assert_allclose(network.head[0](network.embed(values, measured)).detach().std(0), 1, rtol=0.2)
    said = network(values, measured)
    names = Quantifier(CONFIG, 2, hidden=hidden).state_dict().keys()
    assert network.state_dict().keys() != names
    assert heads.plain(network).state_dict().keys() == names
    torch.testing.assert_close(network(values, measured), said, rtol=1e-4, atol=1e-4)


def test_a_probe_finds_a_line_and_what_is_missing_of_one_proxy_is_nothing_to_another() -> None:
    random = np.random.default_rng(0)
    embeddings = random.normal(3, 1, (90, 16)) * np.logspace(-3, 3, 16)  # directions of very different size
    embeddings[:, 5] = 7.0  # one that never varies
    slopes = random.normal(size=(16, 2)) / np.logspace(-3, 3, 16)[:, None]
    targets = embeddings @ slopes + 4
    weights = np.ones(90)
    weight, bias = heads.probe(embeddings, targets, weights)
    np.testing.assert_allclose(embeddings @ weight.double().numpy().T + bias.double().numpy(), targets, atol=0.1)
    holes = targets.copy()
    holes[::3, 1] = np.nan
    again, also = heads.probe(embeddings, holes, weights)
    assert torch.equal(again[0], weight[0])
    assert also[0] == bias[0]
    assert not torch.equal(again[1], weight[1])
    np.testing.assert_allclose(embeddings @ again[1].double().numpy() + float(also[1]), targets[:, 1], atol=0.2)


def test_a_probe_of_noise_says_little_more_than_the_mean() -> None:
    random = np.random.default_rng(1)
    targets = random.normal(5, 1, (60, 1))
    weight, bias = heads.probe(random.normal(size=(60, 128)), targets, np.ones(60))
    said = random.normal(size=(200, 128)) @ weight.double().numpy().T + bias.double().numpy()
    assert said.std() < 0.3
    assert abs(said.mean() - 5) < 0.5


@given(st.integers(2, 5), st.floats(0.01, 100), st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_an_interval_that_counts_twice_is_learnt_as_if_it_stood_there_twice(
    times: int, ratio: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    features = random.normal(size=(30, 8))
    target = features[:, 0] + random.normal(0, 0.3, 30)
    counts = np.where(np.arange(30) < 10, times, 1)
    repeated = np.repeat(np.arange(30), counts)
    with pytest.MonkeyPatch.context() as patch:  # counts have a mean of 1, so the same penalty is another ratio
        patch.setattr(evidence, "RATIOS", np.array([ratio * counts.mean()]))
        weight, level = evidence.regression(features, target, counts.astype(float))
        patch.setattr(evidence, "RATIOS", np.array([ratio]))
        again, also = evidence.regression(features[repeated], target[repeated])
        once, _ = evidence.regression(features, target)
    np.testing.assert_allclose(weight, again, atol=1e-9)
    assert level == pytest.approx(also)
    assert not np.allclose(weight, once, atol=1e-4)


@given(st.floats(0, 1), st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_rare_values_are_drawn_as_often_as_the_recipe_says(balance: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = np.concatenate([random.uniform(0, 1, 50), random.uniform(9, 10, 5), [0.0, 10.0]])
    drawn = shares(values[:, None], (PLAIN,), balance)
    assert drawn.sum() == pytest.approx(1)
    common = values < 5
    wanted = 51 ** (1 - balance) / (51 ** (1 - balance) + 6 ** (1 - balance))
    assert drawn[common].sum() == pytest.approx(wanted)
    assert np.ptp(drawn[common]) == pytest.approx(0, abs=1e-12)
    assert len(set(shares(values[:, None], (PLAIN,), 0.0).tolist())) == 1


def test_several_proxies_share_a_draw_and_unlabelled_intervals_are_not_forgotten() -> None:
    values = np.full((12, 2), np.nan)
    values[:8, 0] = [0, 0, 0, 0, 0, 0, 0, 10]
    values[4:10, 1] = [1, 1, 1, 1, 1, 9]
    drawn = shares(values, (PLAIN, replace(PLAIN, name="b")), 1.0) * 12
    assert drawn[10] == drawn[11] > 0
    assert drawn[9] > drawn[8] > 0  # rare and common among the labels of the second
    assert drawn[7] > drawn[6]
    one = shares(values[:, :1], (PLAIN,), 1.0)
    assert one[7] == pytest.approx(one[:7].sum())


def test_drawing_follows_the_shares() -> None:
    counts: list[np.ndarray] = []
    examples, found = labelled()
    vary = Examples.vary

    class Counted(Examples):
        def vary(self, which, random, mixup):  # type: ignore[no-untyped-def]
            counts.append(which)
            return vary(self, which, random, mixup)

    watched = Counted(**{name: getattr(examples, name) for name in ("rates", "live_time", "settings", "values")})
    proxies = proxies_of(found, ("CaCO3",))
    recipe = replace(RECIPE, mode="frozen", balance=1.0, epochs=150, batch_size=len(examples))
    fit(parent(), watched, proxies, recipe, 1)
    drawn = np.bincount(np.concatenate(counts), minlength=len(examples)) / (150 * len(examples))
    expected = shares(examples.values, proxies, 1.0)
    error = np.sqrt(expected * (1 - expected) / (150 * len(examples)))
    assert (np.abs(drawn - expected) < 4.5 * error).all()
    assert np.ptp(expected) > 3 * error.max()  # uniform draws would be told apart


@given(
    st.lists(st.floats(0, 100).map(lambda value: round(value, 4)), min_size=2, max_size=20),
    st.sampled_from(["identity", "log", "logit"]),
)
@settings(deadline=None)
def test_a_scale_brings_values_back_and_bounds_hold_them(values: list[float], transform: str) -> None:
    column = np.array(values)
    proxy = proxy_of("CaCO3", "wt%", column, transform)  # type: ignore[arg-type]  # one of the three
    back = proxy.inverse(proxy.forward(column))
    expected = column
    if proxy.transform != "identity":
        expected = np.clip(column, proxy.floor, proxy.ceiling if proxy.transform == "logit" else None)
        assert proxy.floor > 0
        assert proxy.floor <= column[column > 0].min()
    if proxy.transform == "logit":
        assert proxy.ceiling < 100
    np.testing.assert_allclose(back, expected, rtol=1e-6, atol=1e-6)
    low, high = proxy.bounds(back, 0.7)
    assert ((low <= back + 1e-9) & (back <= high + 1e-9)).all()
    np.testing.assert_allclose(proxy.bounds(back, 0.0), [back, back], rtol=1e-6, atol=1e-6)
    if proxy.transform == "logit":
        assert ((low >= 0) & (high <= 100)).all()


def test_a_logit_is_for_shares() -> None:
    _, found = labelled()
    made = proxies_of(found, ("TOC",), ("CaCO3",))
    assert [proxy.transform for proxy in made] == ["logit", "log"]
    with pytest.raises(TrainingError, match=r"logit of CaCO3: it is measured in ppm\. Name it in logarithm"):
        proxies_of(replace(found, units=("ppm", "wt%")), (), ("CaCO3",))
    assert proxy_of("x", "wt%", np.zeros(3), "log").transform == "identity"  # nothing positive has no logarithm


def test_a_head_and_encoder_of_one_rate_are_both_trained() -> None:
    examples, found = labelled()
    recipe = replace(RECIPE, head_rate=RECIPE.optimiser.rate)
    network = fit(parent(), examples, proxies_of(found, ()), recipe, 1)
    assert not torch.equal(network.cls_token, parent().weights["cls_token"])
    assert network.head.weight.any()
