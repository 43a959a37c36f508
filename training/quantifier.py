"""Train a quantifier on examples, ask it, and look at its embeddings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from corebank.bundle import Bundle, Proxy
from corebank.errors import TrainingError
from corebank.feed import settings
from corebank.labels import Labels
from corebank.model import Quantifier, encoder_weights
from corebank.normalize import Normalization
from training import heads
from training.examples import Examples, Floats, shares
from training.recipe import Finetuning
from training.run import device_of
from training.schedule import adamw, descend, factor

FINEST = 1e-6
"""[wt%] No laboratory tells shares nearer than this from 0 or 100 %."""

BATCH = 256
"""Spectra at once where nothing is learnt."""


def proxies_of(labels: Labels, logarithm: Sequence[str], logit: Sequence[str] = ()) -> tuple[Proxy, ...]:
    """The scale of each proxy from its training labels; those in `logarithm` or `logit` are learnt transformed.

    Raises `TrainingError` for a logit of something that is no share in wt%.
    """
    for name, unit in zip(labels.proxies, labels.units, strict=True):
        if name in logit and unit != "wt%":
            raise TrainingError(f"logit of {name}", f"it is measured in {unit}", "Name it in logarithm, or not at all")
    return tuple(
        proxy_of(name, unit, column, "log" if name in logarithm else "logit" if name in logit else "identity")
        for name, unit, column in zip(labels.proxies, labels.units, labels.values.T, strict=True)
    )


def proxy_of(name: str, unit: str, column: Floats, transform: Literal["identity", "log", "logit"]) -> Proxy:
    """The scale of one proxy from its labels (n,), NaN where there is none.

    The floor of a logarithm or logit is half the smallest positive label, as is usual for values below detection; the
    ceiling of a logit lies as far below 100 % as half of what the largest label below that leaves. Without labels that
    can be transformed the values are taken as they are; one whose labels do not vary is divided by 1.
    """
    values = column[np.isfinite(column)]
    positive, partial = values[values > 0], values[values < 100]
    if not positive.size or (transform == "logit" and not partial.size):
        transform = "identity"
    ends: dict[str, float] = {}
    if transform == "log":
        ends = {"floor": float(positive.min() / 2)}
    elif transform == "logit":
        floor, ceiling = float(positive.min() / 2), float(50 + partial.max() / 2)
        ends = {"floor": max(floor, FINEST), "ceiling": min(ceiling, 100 - FINEST)}
    raw = Proxy(name=name, unit=unit, transform=transform, mean=0.0, std=1.0, **ends)
    transformed = raw.forward(values)
    return replace(
        raw,
        mean=float(transformed.mean()) if values.size else 0.0,
        std=(float(transformed.std()) if values.size else 1.0) or 1.0,
        low=float(values.min(initial=math.inf)),
        high=float(values.max(initial=-math.inf)),
    )


def fit(
    parent: Bundle,
    examples: Examples,
    proxies: Sequence[Proxy],
    recipe: Finetuning,
    members: int,
    *,
    scratch: bool = False,
) -> Quantifier:
    """Train a quantifier from the parent's encoder, in the recipe's mode.

    The members start from the same weights and see other variations of the labels in another order; their weights are
    averaged, which costs nothing when the model is used. A probe leaves nothing to chance and has no members.

    Parameters
    ----------
    parent
        Foundation model, or a quantifier whose head is not used.
    examples
        Labelled intervals, n of them.
    proxies
        What is learnt, k of them; those of the recipe come first.
    recipe
        How.
    members
        How many networks to average.
    scratch
        Start from random weights instead, and train all of them.
    """
    if scratch:
        rate = recipe.scratch_rate or recipe.optimiser.rate
        recipe = replace(recipe, mode="full", optimiser=replace(recipe.optimiser, rate=rate))
    network = _untrained(parent, len(proxies), recipe, scratch=scratch)
    drawn = shares(examples.values[:, : len(recipe.proxies)], proxies[: len(recipe.proxies)], recipe.balance)
    if recipe.mode == "probe":
        embedding = interval_embeddings(network, parent.normalization, examples)
        head = heads.probe(embedding, _targets(proxies, examples.values), drawn)
        network.load_state_dict({**network.state_dict(), "head.weight": head[0], "head.bias": head[1]})
        return network.eval()
    average: dict[str, torch.Tensor] = {}
    for member in range(members):
        start = network if member == 0 else _untrained(parent, len(proxies), recipe, scratch=scratch)
        trained = _train(start, parent.normalization, examples, proxies, recipe, drawn, recipe.seed + member)
        for name, weight in trained.state_dict().items():
            average[name] = average.get(name, torch.zeros_like(weight)) + weight / members
    trained.load_state_dict(average)
    return trained.eval()


def predict(
    network: Quantifier,
    normalization: Normalization,
    proxies: Sequence[Proxy],
    examples: Examples,
) -> list[Floats]:
    """Values of each spectrum of each interval, n arrays of (its spectra, k), possible or not."""
    rates, known = np.concatenate(examples.rates), np.concatenate(examples.settings)
    parts = []
    for first in range(0, len(rates), BATCH):
        at = slice(first, first + BATCH)
        with torch.inference_mode():
            parts.append(network(*_tensors(network, normalization, rates[at], known[at])).cpu().numpy())
    network_units = np.concatenate(parts)
    values = np.stack([proxy.inverse(z) for proxy, z in zip(proxies, network_units.T, strict=True)], axis=1)
    return list(np.split(values, np.cumsum([len(one) for one in examples.rates])[:-1]))


def embeddings(network: Quantifier, normalization: Normalization, spectra: xr.Dataset) -> NDArray[np.float32]:
    """The encoder's summary of each of `spectra`, (spectrum, W)."""
    known, parts = settings(spectra), []
    for first in range(0, spectra.sizes["spectrum"], BATCH):
        at = slice(first, first + BATCH)
        parts.append(_embed(network, normalization, spectra["intensity"].isel(spectrum=at).values, known[at]))
    return np.concatenate(parts)


def interval_embeddings(network: Quantifier, normalization: Normalization, examples: Examples) -> Floats:
    """The mean of the encoder's summaries of the spectra of each interval, (n, W)."""
    rates, known = np.concatenate(examples.rates), np.concatenate(examples.settings)
    points = _embed(network, normalization, rates, known).astype(np.float64)
    ends = np.cumsum([len(one) for one in examples.rates])[:-1]
    return np.stack([one.mean(axis=0) for one in np.split(points, ends)])


def _embed(
    network: Quantifier, normalization: Normalization, rates: NDArray[Any], known: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Embeddings (spectrum, W) of rates (spectrum, E) [count/s] with their settings."""
    parts = []
    for first in range(0, len(rates), BATCH):
        at = slice(first, first + BATCH)
        with torch.inference_mode():
            parts.append(network.embed(*_tensors(network, normalization, rates[at], known[at])).cpu().numpy())
    return np.concatenate(parts)


def _untrained(parent: Bundle, outputs: int, recipe: Finetuning, *, scratch: bool) -> Quantifier:
    """The parent's encoder, or one with random weights, and a new head; the recipe's seed decides what is random."""
    torch.manual_seed(recipe.seed)  # one head for all members: only networks that start together can be averaged
    network = Quantifier(parent.config, outputs, hidden=recipe.head_width if recipe.mode == "frozen" else 0)
    if not scratch:
        network.load_state_dict(encoder_weights(parent.weights), strict=False)  # the head is new
    return network.to(device_of(recipe))


def _train(
    network: Quantifier,
    normalization: Normalization,
    examples: Examples,
    proxies: Sequence[Proxy],
    recipe: Finetuning,
    drawn: Floats,
    seed: int,
) -> Quantifier:
    """Train `network`; interval i is drawn with probability ``drawn[i]`` where the recipe balances, else each once."""
    encoder = [one for name, one in network.named_parameters() if not name.startswith("head.")]
    if recipe.mode == "frozen":
        heads.freeze(network)
        heads.standardise(network, interval_embeddings(network, normalization, examples))
        encoder = []
    elif recipe.mode == "adapters":
        encoder = heads.adapt(network, recipe.rank)
    network.to(device_of(recipe)).train()
    peaks: dict[float, list[torch.nn.Parameter]] = {}
    for rate, parameters in ((recipe.optimiser.rate, encoder), (recipe.head_rate, list(network.head.parameters()))):
        peaks.setdefault(rate, []).extend(parameters)
    optimiser = adamw({rate: parameters for rate, parameters in peaks.items() if parameters}, recipe.optimiser)
    random = np.random.default_rng(seed)
    batches = math.ceil(len(examples) / recipe.batch_size)
    for epoch in range(recipe.epochs):
        if recipe.balance:
            order = random.choice(len(examples), len(examples), p=drawn)
        else:
            order = random.permutation(len(examples))
        for number, which in enumerate(np.array_split(order, batches)):
            rates, known, values = examples.vary(which, random, recipe.mixup)
            target = torch.from_numpy(_targets(proxies, values)).float().to(network.cls_token.device)
            error = network(*_tensors(network, normalization, rates, known)) - target.nan_to_num(0)
            labelled = target.isfinite()
            loss = (error.square() * labelled).sum() / labelled.sum().clamp(min=1)
            share = factor(epoch * batches + number, recipe.epochs * batches, recipe.optimiser.warmup)
            descend(network, optimiser, loss, share, recipe.optimiser.clip)
    return heads.plain(network)


def _targets(proxies: Sequence[Proxy], values: Floats) -> Floats:
    """Network units of values (n, k) [unit]."""
    return np.stack([proxy.forward(column) for proxy, column in zip(proxies, values.T, strict=True)], axis=1)


def _tensors(
    network: Quantifier,
    normalization: Normalization,
    rates: NDArray[Any],
    known: NDArray[np.float32],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Normalised rates, the mask of measured bins and the settings, where the network is."""
    device = network.cls_token.device
    values, measured = (torch.from_numpy(one).to(device) for one in normalization(rates))
    return values, measured, torch.from_numpy(known).to(device)
