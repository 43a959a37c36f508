"""The published networks: the same weights in a textbook's network and in ours give the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from corebank import bundle
from corebank.bundle import MAX, Proxy
from corebank.errors import BundleError
from corebank.model import SETTINGS, Chance, ModelConfig, Quantifier, SpectrumMAE
from tests.bench import textbook

CACO3 = Proxy(name="CaCO3", unit="wt%", transform="identity", mean=12.49, std=19.68)


def axis_of_max(config: ModelConfig) -> ModelConfig:
    """The same sizes on bins of 0.32 keV / patch, where the number of a patch means the same energy as in MAX."""
    step = 0.32 / config.patch
    return replace(config, settings=False, energy_step=step, energy_start=0.15 - step * (config.patch - 1) / 2)


SMALL = axis_of_max(
    ModelConfig(patch=4, width=24, depth=2, heads=2, decoder_width=16, decoder_depth=2, decoder_heads=4, bins=48)
)


@st.composite
def sizes(draw: st.DrawFn) -> ModelConfig:
    """Small networks of every shape that a preset could have."""
    heads, decoder_heads, patch = (draw(st.sampled_from([1, 2, 3])) for _ in range(3))
    return axis_of_max(
        ModelConfig(
            patch=patch,
            bins=patch * draw(st.integers(2, 12)),
            heads=heads,
            width=heads * draw(st.sampled_from([4, 8])),
            depth=draw(st.integers(1, 3)),
            decoder_heads=decoder_heads,
            decoder_width=decoder_heads * draw(st.sampled_from([2, 6])),
            decoder_depth=draw(st.integers(1, 3)),
            mlp_ratio=draw(st.sampled_from([1, 4])),
        )
    )


def shaken(network: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """Random weights, biases and norms of `network`: a checkpoint of somebody who trained it."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.requires_grad:
                scale = weight.shape[-1] ** -0.5 if weight.ndim > 1 else 0.1
                weight.add_(scale * torch.randn(weight.shape, generator=generator))
    return network.state_dict()


def spectra(config: ModelConfig, n: int, seed: int = 0) -> Tensor:
    return torch.randn((n, config.bins), generator=torch.Generator().manual_seed(seed))


def compare(config: ModelConfig, n: int, ratio: float, seed: int) -> None:
    """The textbook's autoencoder against the bundle that its state dict becomes, with the same mask."""
    theirs, values = textbook.Autoencoder(config).eval(), spectra(config, n, seed)
    ours = bundle.build(bundle.from_max(shaken(theirs, seed), config))
    assert isinstance(ours, SpectrumMAE)
    for name in ("pos_embed", "decoder_pos_embed"):
        torch.testing.assert_close(dict(ours.named_buffers())[name], getattr(theirs, name).data, rtol=0, atol=1e-5)
    noise = torch.rand((n, config.patches), generator=torch.Generator().manual_seed(seed))
    everything = torch.ones_like(values, dtype=torch.bool)
    with torch.no_grad():
        expected = theirs(values, ratio, noise)
        found = ours(values, everything, None, ratio, Chance(noise, torch.zeros(n, len(SETTINGS), dtype=torch.bool)))
    assert torch.equal(found.masked_BP, expected.hidden.bool())
    hidden = found.masked_BP
    torch.testing.assert_close(found.prediction_BPp[hidden], expected.prediction[hidden], rtol=1e-5, atol=1e-5)
    # a residual is a difference: what is 1e-5 of an output is more than 1e-5 of the square of a small one
    torch.testing.assert_close(found.loss, expected.loss, rtol=1e-5, atol=1e-5)


@given(sizes(), st.integers(1, 5), st.floats(0.05, 0.95), st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_the_autoencoder_fills_in_what_the_textbooks_does(config: ModelConfig, n: int, ratio: float, seed: int) -> None:
    compare(config, n, ratio, seed)


@pytest.mark.slow
def test_at_the_published_size_too() -> None:
    compare(MAX, 2, 0.5, 0)


def regressor(config: ModelConfig, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """What the textbook's regressor tells of some spectra [wt%], and what its bundle does."""
    theirs, values = textbook.Regressor(config).eval(), spectra(config, n, seed)
    model = bundle.from_max(shaken(theirs, seed), config, proxy=CACO3)
    ours = bundle.build(model)
    with torch.no_grad():
        expected = theirs(values)[:, 0] * CACO3.std + CACO3.mean
        network = ours(values, torch.ones_like(values, dtype=torch.bool))[:, 0]
    return expected, torch.from_numpy(model.proxies[0].inverse(network.numpy())).float()


@given(sizes(), st.integers(1, 5), st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_the_regressor_tells_what_the_textbooks_does(config: ModelConfig, n: int, seed: int) -> None:
    expected, found = regressor(config, n, seed)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * CACO3.std)


@pytest.mark.slow
def test_the_regressor_at_the_published_size_too() -> None:
    expected, found = regressor(MAX, 2, 0)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * CACO3.std)


def test_a_regressor_is_saved_and_comes_back_as_a_quantifier(tmp_path: Path) -> None:
    model = bundle.from_max(shaken(textbook.Regressor(SMALL)), SMALL, proxy=CACO3)
    back = bundle.load(bundle.save(model, tmp_path))
    assert (back.kind, back.name, [one.unit for one in back.proxies]) == ("quantifier", "max-caco3", ["wt%"])
    assert isinstance(bundle.build(back), Quantifier)


WRAPPED: dict[str, Callable[[dict[str, Tensor]], dict[str, Any]]] = {
    "beside an optimiser's state": lambda one: {"model": one, "optimizer": {"state": {}}, "epoch": 99},
    "data parallel": lambda one: {f"module.{name}": weight for name, weight in one.items()},
    "compiled": lambda one: {f"_orig_mod.{name}": weight for name, weight in one.items()},
    "both, and wrapped": lambda one: {"state_dict": {f"module._orig_mod.{name}": w for name, w in one.items()}},
    "double precision": lambda one: {name: weight.double() for name, weight in one.items()},
    "positions as parameters": lambda one: {name: nn.Parameter(weight) for name, weight in one.items()},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_what_a_checkpoint_carries_around_its_weights_is_taken_off(
    wrap: Callable[[dict[str, Tensor]], dict[str, Any]], tmp_path: Path
) -> None:
    bare = shaken(textbook.Autoencoder(SMALL))
    torch.save(wrap(bare), tmp_path / "checkpoint.pth")
    model = bundle.from_max(torch.load(tmp_path / "checkpoint.pth", weights_only=True), SMALL)
    assert model.weights.keys() == bare.keys()
    assert all(torch.equal(model.weights[name], weight) for name, weight in bare.items())


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    halves = {name: weight.half() for name, weight in shaken(textbook.Autoencoder(SMALL)).items()}
    model = bundle.from_max(halves, SMALL)
    assert {weight.dtype for weight in model.weights.values()} == {torch.float32}


def autoencoder() -> dict[str, Any]:
    return shaken(textbook.Autoencoder(SMALL))


def test_weights_that_would_mean_something_else_are_refused() -> None:
    regresses = shaken(textbook.Regressor(SMALL))
    squeezed = {name.replace("fc.", "fc.0."): weight for name, weight in regresses.items()}
    for weights, proxy, found in (
        (regresses, None, "outputs are z-scores"),
        (autoencoder(), CACO3, "there is no fc.weight"),
        (squeezed, CACO3, "ended in a sigmoid"),
        (autoencoder() | {"epoch": 3}, None, "'epoch' is a int, no weight"),
        (autoencoder() | {"pos_embed": 1 + SpectrumMAE(SMALL).pos_embed}, None, "positions differ by up to 1 from"),
        (autoencoder() | {"pos_embed": torch.zeros(1, 4, 24)}, None, "weights do not fit"),
        (autoencoder() | {"gate.weight": torch.zeros(1)}, None, "weights do not fit"),
        ({}, None, "weights do not fit"),
        (nn.Linear(1, 1), None, "a Linear, no state dict"),
    ):
        with pytest.raises(BundleError, match=found):
            bundle.from_max(weights, SMALL, proxy=proxy)  # type: ignore[arg-type]  # one is no mapping at all


def test_the_live_time_makes_no_difference_to_what_max_reads() -> None:
    counts = np.random.default_rng(0).poisson(50, (3, SMALL.bins)).astype(np.float32)
    scale = bundle.from_max(autoencoder(), SMALL).normalization
    np.testing.assert_allclose(scale(counts)[0], scale(counts / 10)[0], rtol=1e-4, atol=1e-5)
