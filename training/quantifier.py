"""Train a quantifier on examples, ask it, and look at its embeddings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from corebank.bundle import Bundle, Proxy
from corebank.feed import settings
from corebank.labels import Labels
from corebank.model import Quantifier, encoder_weights
from corebank.normalize import Normalization
from training.examples import Examples, Floats
from training.recipe import Finetuning
from training.run import device_of
from training.schedule import adamw, descend, factor

BATCH = 256
"""Spectra at once where nothing is learnt."""


def proxies_of(labels: Labels, logarithm: Sequence[str]) -> tuple[Proxy, ...]:
    """The scale of each proxy from its training labels; those named in `logarithm` are learnt as logarithms.

    The floor of a logarithm is half the smallest positive label, as is usual for values below detection. A proxy whose
    labels do not vary is divided by 1.
    """
    made = []
    for name, unit, column in zip(labels.proxies, labels.units, labels.values.T, strict=True):
        values = column[np.isfinite(column)]
        positive = values[values > 0]
        log = name in logarithm and positive.size > 0
        floor = float(positive.min() / 2) if log else 0.0
        transformed = np.log(np.maximum(values, floor)) if log else values
        mean, std = (float(transformed.mean()), float(transformed.std())) if values.size else (0.0, 1.0)
        made.append(
            Proxy(
                name=name,
                unit=unit,
                transform="log" if log else "identity",
                mean=mean,
                std=std or 1.0,
                floor=floor,
                low=float(values.min(initial=math.inf)),
                high=float(values.max(initial=-math.inf)),
            )
        )
    return tuple(made)


def fit(
    parent: Bundle,
    examples: Examples,
    proxies: Sequence[Proxy],
    recipe: Finetuning,
    members: int,
) -> Quantifier:
    """Fine-tune the parent's encoder with a new head.

    The members start from the same weights and see other variations of the labels in another order; their weights are
    averaged, which costs nothing when the model is used.
    """
    average: dict[str, torch.Tensor] = {}
    for member in range(members):
        network = _train(parent, examples, proxies, recipe, recipe.seed + member)
        for name, weight in network.state_dict().items():
            average[name] = average.get(name, torch.zeros_like(weight)) + weight / members
    network.load_state_dict(average)
    return network.eval()


def predict(
    network: Quantifier,
    normalization: Normalization,
    proxies: Sequence[Proxy],
    examples: Examples,
) -> list[Floats]:
    """Values of each spectrum of each interval, n arrays of (its spectra, k)."""
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
        rates = spectra["intensity"].isel(spectrum=at).values
        with torch.inference_mode():
            parts.append(network.embed(*_tensors(network, normalization, rates, known[at])).cpu().numpy())
    return np.concatenate(parts)


def _train(
    parent: Bundle,
    examples: Examples,
    proxies: Sequence[Proxy],
    recipe: Finetuning,
    seed: int,
) -> Quantifier:
    torch.manual_seed(recipe.seed)  # one head for all members: only networks that start together can be averaged
    network = Quantifier(parent.config, len(proxies))
    network.load_state_dict(encoder_weights(dict(parent.weights)), strict=False)  # the head is new
    network.to(device_of(recipe)).train()
    head = list(network.head.parameters())
    encoder = [one for name, one in network.named_parameters() if not name.startswith("head.")]
    optimiser = adamw({recipe.optimiser.rate: encoder, recipe.head_rate: head}, recipe.optimiser)
    random = np.random.default_rng(seed)
    batches = math.ceil(len(examples) / recipe.batch_size)
    for epoch in range(recipe.epochs):
        order = random.permutation(len(examples))
        for number, which in enumerate(np.array_split(order, batches)):
            rates, known, values = examples.vary(which, random, recipe.mixup)
            target = (
                torch.from_numpy(
                    np.stack(
                        [proxy.forward(column) for proxy, column in zip(proxies, values.T, strict=True)],
                        axis=1,
                    )
                )
                .float()
                .to(network.cls_token.device)
            )
            error = network(*_tensors(network, parent.normalization, rates, known)) - target.nan_to_num(0)
            labelled = target.isfinite()
            loss = (error.square() * labelled).sum() / labelled.sum().clamp(min=1)
            share = factor(epoch * batches + number, recipe.epochs * batches, recipe.optimiser.warmup)
            descend(network, optimiser, loss, share, recipe.optimiser.clip)
    return network


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
