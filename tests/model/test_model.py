"""The networks: blind to what was not measured, the same alone as in company, repeatable to the bit, and MAX."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from corebank import feed
from corebank.errors import RecipeError
from corebank.model import (
    PRESETS,
    SETTINGS,
    SETTINGS_DROPPED,
    Chance,
    ModelConfig,
    Quantifier,
    Reconstruction,
    SpectrumMAE,
    alike,
    layers,
    positions,
)
from corebank.normalize import Normalization
from tests.model.cores import CONFIG, cores

Inputs = tuple[Tensor, Tensor, Tensor]


def inputs(n: int = 3) -> Inputs:
    spectra = cores(n, names=("A", "B"))
    values, measured = Normalization()(spectra["intensity"].values)
    return torch.from_numpy(values), torch.from_numpy(measured), torch.from_numpy(feed.settings(spectra))


def autoencoder(config: ModelConfig = CONFIG) -> SpectrumMAE:
    torch.manual_seed(0)
    return SpectrumMAE(config).eval()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def reconstruct(network: SpectrumMAE, of: Inputs, ratio: float = 0.5, seed: int = 0) -> Reconstruction:
    with torch.no_grad():
        result: Reconstruction = network(*of, ratio, seeded(seed))
    return result


@given(st.sampled_from([0.0, 1e30, float("inf"), float("nan")]), st.floats(0.1, 0.9), st.integers(0, 5))
@settings(deadline=None, max_examples=20)
def test_what_stands_in_unmeasured_bins_changes_nothing(anything: float, ratio: float, seed: int) -> None:
    values, measured, known = inputs()
    network, other = autoencoder(), torch.where(measured, values, torch.tensor(anything))
    for one, two in zip(
        reconstruct(network, (values, measured, known), ratio, seed),
        reconstruct(network, (other, measured, known), ratio, seed),
        strict=True,
    ):
        torch.testing.assert_close(one, two, rtol=0, atol=0, equal_nan=True)
    with torch.no_grad():
        torch.testing.assert_close(
            network.embed(values, measured, known), network.embed(other, measured, known), rtol=0, atol=0
        )


@given(st.integers(0, 63))
@settings(deadline=None, max_examples=20)
def test_a_patch_with_one_unmeasured_bin_is_no_token(gap: int) -> None:
    values, measured, known = inputs()
    network, patch = autoencoder(), gap // CONFIG.patch
    measured[:, gap] = False
    one = network.embed(values, measured, known)
    values[:, patch * CONFIG.patch : (patch + 1) * CONFIG.patch] = 7
    torch.testing.assert_close(one, network.embed(values, measured, known), rtol=0, atol=0)


def test_a_spectrum_has_the_same_embedding_alone_and_among_other_machines() -> None:
    values, measured, known = inputs()
    network = autoencoder()
    with torch.no_grad():
        together = network.embed(values, measured, known)
        for i in range(len(values)):
            alone = network.embed(values[i : i + 1], measured[i : i + 1], known[i : i + 1])
            torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-5)


@given(st.floats(0.01, 0.99), st.integers(0, 9))
@settings(deadline=None, max_examples=20)
def test_only_measured_patches_are_hidden_and_only_hidden_ones_predicted(ratio: float, seed: int) -> None:
    values, measured, known = inputs()
    result = reconstruct(autoencoder(), (values, measured, known), ratio, seed)
    whole = measured.reshape(len(measured), -1, CONFIG.patch).all(-1)
    assert not (result.masked_BP & ~whole).any()
    assert torch.equal(result.prediction_BPp.isfinite().all(-1), result.masked_BP)
    visible = (whole & ~result.masked_BP).sum(1)
    assert visible.tolist() == [int(n * (1 - ratio)) for n in whole.sum(1).tolist()]


def test_the_loss_is_the_error_of_the_hidden_patches_alone() -> None:
    values, measured, known = inputs()
    result = reconstruct(autoencoder(), (values, measured, known))
    patches = values.reshape(result.prediction_BPp.shape)
    error = (result.prediction_BPp - patches)[result.masked_BP]
    torch.testing.assert_close(result.loss, error.square().mean())


def test_the_same_seed_gives_the_same_bits() -> None:
    def trained() -> list[Tensor]:
        network = autoencoder().train()
        optimiser = torch.optim.AdamW(network.parameters())
        generator = seeded()
        for _ in range(2):
            network(*inputs(), 0.5, generator).loss.backward()
            optimiser.step()
        return list(network.parameters())

    assert all(torch.equal(one, two) for one, two in zip(trained(), trained(), strict=True))
    assert not torch.equal(
        reconstruct(autoencoder(), inputs(), seed=0).masked_BP, reconstruct(autoencoder(), inputs(), seed=1).masked_BP
    )


def chance(n: int, seed: int = 0, *, training: bool = False) -> Chance:
    return autoencoder().train(training).draw(n, seeded(seed))


@pytest.mark.parametrize("training", [True, False])
def test_a_draw_made_beforehand_is_the_one_that_a_pass_would_make(training: bool) -> None:
    network, generator = autoencoder().train(training), seeded(3)
    passed = network(*inputs(), 0.5, generator)
    drawn = network(*inputs(), 0.5, chance(6, 3, training=training))
    assert torch.equal(passed.loss, drawn.loss)
    assert torch.equal(passed.masked_BP, drawn.masked_BP)
    follows, by_hand = torch.rand(1, generator=generator), seeded(3)
    chance_of_hand = (torch.rand(6, len(SETTINGS), generator=by_hand) < SETTINGS_DROPPED) if training else None
    noise = torch.rand(6, CONFIG.patches, generator=by_hand)
    assert torch.equal(follows, torch.rand(1, generator=by_hand))  # nothing else was drawn
    assert torch.equal(chance(6, 3, training=training).noise_BP, noise)
    if chance_of_hand is not None:
        assert torch.equal(chance(6, 3, training=True).dropped_BS, chance_of_hand)


@given(st.integers(1, 7), st.integers(0, 9))
@settings(deadline=None, max_examples=20)
def test_processes_that_share_a_batch_hide_and_lose_what_one_process_does(world: int, seed: int) -> None:
    """Losses weighted by their bins, and gradients too, add up to those of the whole batch; a rank may have no row."""
    of, network = inputs(), autoencoder().train()
    drawn = chance(6, seed, training=True)
    whole = network(*of, 0.5, drawn)
    whole.loss.backward()
    expected = torch.cat([one.grad.flatten() for one in network.parameters() if one.grad is not None])
    network.zero_grad()
    parts = [network(*(one[rank::world] for one in of), 0.5, drawn.rows(rank, world)) for rank in range(world)]
    assert sum(int(one.bins) for one in parts) == int(whole.bins)
    total = sum((one.loss * one.bins for one in parts), torch.zeros(())) / whole.bins
    torch.testing.assert_close(total, whole.loss)
    total.backward()
    found = torch.cat([one.grad.flatten() for one in network.parameters() if one.grad is not None])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    for rank, one in enumerate(parts):
        assert torch.equal(one.masked_BP, whole.masked_BP[rank::world])


def test_an_empty_batch_loses_nothing_and_gives_every_weight_a_gradient_of_zero() -> None:
    network = autoencoder().train()
    nothing = network(*(one[:0] for one in inputs()), 0.5, seeded())
    nothing.loss.backward()
    assert (nothing.loss, int(nothing.bins)) == (0, 0)
    assert all(one.grad is not None and not one.grad.any() for one in network.parameters())
    assert Quantifier(CONFIG, 2)(*(one[:0] for one in inputs())).shape == (0, 2)


@given(st.lists(st.integers(0, 128), max_size=80))
@settings(deadline=None)
def test_a_batch_is_cut_into_parts_of_nearly_one_length(counts: list[int]) -> None:
    parts = alike.cut(torch.tensor(counts, dtype=torch.int64))
    assert sorted(row for part in parts for row in part.tolist()) == list(range(len(counts)))
    lengths = [[counts[row] for row in part.tolist()] for part in parts]
    assert all(part.tolist() == sorted(part.tolist()) for part in parts)
    assert all(sum(max(one) - count for count in one) < alike.WORTH_A_CUT for one in lengths if one)
    assert all(min(one) >= max(after) for one, after in itertools.pairwise(lengths))
    assert len(parts) == 1 or all(lengths)


@pytest.mark.parametrize("worth", [1, 8, 10_000])
def test_how_a_batch_is_cut_changes_no_value(worth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values, measured, known = inputs(8)
    measured[3, :40] = False  # three lengths, and one in neither machine's rank
    network = autoencoder()
    together, whole = network.embed(values, measured, known), network(values, measured, known, 0.5, chance(16))
    monkeypatch.setattr(alike, "WORTH_A_CUT", worth)
    torch.testing.assert_close(network.embed(values, measured, known), together, rtol=0, atol=1e-5)
    again = network(values, measured, known, 0.5, chance(16))
    torch.testing.assert_close(again.loss, whole.loss)
    torch.testing.assert_close(again.prediction_BPp, whole.prediction_BPp, rtol=0, atol=1e-5, equal_nan=True)
    assert torch.equal(again.masked_BP, whole.masked_BP)


def test_tokens_that_nobody_asks_for_are_not_worked_on_and_change_nothing() -> None:
    torch.manual_seed(0)
    blocks = torch.nn.ModuleList(layers.Block(8, 2, 4) for _ in range(2))
    tokens, attend = torch.randn(3, 7, 8), torch.rand(3, 7) < 0.7
    attend[:, 0] = True
    worked_on: list[int] = []
    blocks[-1].mlp.fc1.register_forward_hook(lambda _, given, __: worked_on.append(given[0].shape[1]))
    for wanted in (slice(0, 1), slice(3, None), slice(0, 0)):
        found = layers.run(blocks, tokens, attend, wanted)
        torch.testing.assert_close(found, layers.run(blocks, tokens, attend, None)[:, wanted], rtol=0, atol=1e-6)
    assert worked_on == [1, 7, 4, 7, 0, 7]


def test_bfloat16_is_close_and_its_loss_is_float32() -> None:
    network, of = autoencoder().train(), inputs(8)
    plain = network(*of, 0.5, chance(16))
    with torch.autocast("cpu", torch.bfloat16):
        half = network(*of, 0.5, chance(16))
        assert network.embed(*of).isfinite().all()
    half.loss.backward()
    assert half.loss.dtype == half.prediction_BPp.dtype == torch.float32
    torch.testing.assert_close(half.loss, plain.loss, rtol=0.02, atol=0)
    assert torch.equal(half.masked_BP, plain.masked_BP)
    rounded = (half.prediction_BPp - plain.prediction_BPp)[plain.masked_BP]
    assert 0 < rounded.abs().max() < 0.1
    assert all(one.grad is not None and one.grad.isfinite().all() for one in network.parameters())


@given(st.integers(0, 99), st.booleans())
@settings(deadline=None, max_examples=20)
def test_attention_written_out_is_that_of_the_fused_kernel(seed: int, masked: bool) -> None:
    random = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn((2, 3, 5, 8), generator=random) for _ in range(3))
    mask = (torch.rand((2, 1, 1, 5), generator=random) < 0.6) if masked else None
    if mask is not None:
        mask[..., 0] = True
    found = layers.attention(q.bfloat16(), k.bfloat16(), v.bfloat16(), mask)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), layers.attention(q, k, v, mask), rtol=0.05, atol=0.05)


def test_a_dropped_setting_is_one_that_is_not_known() -> None:
    values, measured, known = inputs()
    network, drawn = autoencoder(), chance(6)
    dropped = torch.zeros_like(drawn.dropped_BS)
    dropped[:, :3] = True
    lost = network(values, measured, known, 0.5, drawn._replace(dropped_BS=dropped)).loss
    assert torch.equal(lost, network(values, measured, known.masked_fill(dropped, torch.nan), 0.5, drawn).loss)
    assert lost != network(values, measured, known, 0.5, drawn).loss


def test_every_weight_learns() -> None:
    network = autoencoder().train()
    values, measured, known = inputs(40)
    known[::2, 4:] = 3.0  # some filters and heads are known
    network(values, measured, known, 0.5, seeded()).loss.backward()
    idle = [name for name, one in network.named_parameters() if one.grad is None or not one.grad.any()]
    assert idle == []


def test_a_spectrum_without_a_whole_patch_harms_nobody() -> None:
    values, measured, known = inputs()
    measured[0] = False
    result = reconstruct(autoencoder(), (values, measured, known))
    assert result.loss.isfinite()
    assert not result.masked_BP[0].any()
    assert reconstruct(autoencoder(), (values, torch.zeros_like(measured), known)).loss == 0


def test_unknown_settings_are_those_that_are_not_given() -> None:
    values, measured, known = inputs()
    network = autoencoder()
    nothing = network.embed(values, measured, torch.full_like(known, torch.nan))
    torch.testing.assert_close(network.embed(values, measured), nothing)
    assert not torch.allclose(nothing, network.embed(values, measured, known))
    known[:, 1:4] = 0.0  # no tube runs at 0 kV: a zero is a missing entry
    known[:, [0, 4, 5]] = torch.nan
    torch.testing.assert_close(network.embed(values, measured, known), nothing)


def test_without_settings_tokens_settings_are_not_looked_at() -> None:
    values, measured, known = inputs()
    network = autoencoder(replace(CONFIG, settings=False))
    torch.testing.assert_close(network.embed(values, measured, known), network.embed(values, measured), rtol=0, atol=0)


def test_positions_are_those_of_max_on_its_axis() -> None:
    config = replace(PRESETS["base"], settings=False)
    omega = 1.0 / 10000 ** (np.arange(384) / 384.0)
    angle = np.arange(128)[:, None] * omega[None]
    published = np.concatenate([np.zeros((1, 768)), np.concatenate([np.sin(angle), np.cos(angle)], axis=1)])
    np.testing.assert_allclose(positions(config, 768)[0].numpy(), published, atol=1e-5)


def test_one_energy_has_one_position_on_every_grid() -> None:
    fine = ModelConfig(bins=4096, energy_start=-0.005, energy_step=0.01, patch=32)  # the same patches, half the step
    torch.testing.assert_close(positions(fine, 64), positions(ModelConfig(), 64), rtol=0, atol=1e-5)


def test_base_without_settings_is_max_by_size_and_names() -> None:
    with torch.device("meta"):
        network = SpectrumMAE(replace(PRESETS["base"], settings=False))
    assert sum(one.numel() for one in network.parameters()) == 110_692_368  # as the authors print it
    names = set(network.state_dict())
    assert {
        "cls_token",
        "pos_embed",
        "mask_token",
        "decoder_pos_embed",
        "patch_embed.proj.weight",
        "norm.bias",
        "blocks.11.attn.qkv.bias",
        "blocks.0.norm1.weight",
        "blocks.0.attn.proj.weight",
        "blocks.0.mlp.fc1.weight",
        "blocks.0.mlp.fc2.bias",
        "blocks.0.norm2.bias",
        "decoder_embed.weight",
        "decoder_blocks.7.mlp.fc2.weight",
        "decoder_norm.weight",
        "decoder_pred.bias",
    } <= names


def test_a_new_quantifier_predicts_the_mean() -> None:
    torch.manual_seed(0)
    assert not Quantifier(CONFIG, 2)(*inputs()).any()


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"patch": 5}, "64 bins are no multiple of 5"),
        ({"width": 30}, "no multiple of twice its 2 heads"),
        ({"depth": 0}, "is 0"),
        ({"energy_step": 0.0}, "is 0.0"),
    ],
)
def test_impossible_sizes_are_refused(changes: dict[str, int], found: str) -> None:
    with pytest.raises(RecipeError, match=found):
        replace(CONFIG, **changes)  # type: ignore[arg-type]  # one field of many types
