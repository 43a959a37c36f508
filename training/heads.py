"""What is trained on top of an encoder, or beside it: low-rank adapters, a standardised head, a ridge probe.

All of them end as plain weights of a `corebank.model.Quantifier`: a bundle does not tell how its model was trained.

Sources: Hu et al. (2021), LoRA, arXiv 2106.09685 (adapters); Alain & Bengio (2016), arXiv 1610.01644 (probes).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from corebank.model import Quantifier
from training import evidence

Floats = NDArray[np.float64]

ALPHA = 16.0
"""An adapter's product is scaled by ALPHA / rank, so that another rank needs no other learning rate (LoRA, 4.1)."""

FLATTEST = 1e-6
"""Directions of the embedding that vary less than this say nothing and are not blown up to a variance of 1."""


class LowRank(nn.Module):
    """A matrix that is left alone, plus the product of two thin ones that are trained; the product starts at zero."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.shape
        rank = min(rank, rows, columns)
        self.down = nn.Parameter(torch.randn(rank, columns) / columns**0.5)
        self.up = nn.Parameter(torch.zeros(rows, rank))
        self.scale = ALPHA / rank

    def forward(self, weight: Tensor) -> Tensor:
        """The matrix that is used in place of `weight`."""
        return weight + self.scale * self.up @ self.down


class Standardised(nn.Module):
    """Gives each direction of an embedding mean 0 and standard deviation 1 over the training intervals."""

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.mean: Tensor
        self.scale: Tensor

    def forward(self, embedding: Tensor) -> Tensor:
        """Standardise embeddings (B, W)."""
        return (embedding - self.mean) / self.scale


def adapt(network: Quantifier, rank: int) -> list[nn.Parameter]:
    """Give every matrix of every block an adapter, and return what is to be trained of the encoder: the adapters."""
    freeze(network)
    adapters: list[nn.Parameter] = []
    for linear in _matrices(network):
        adapter = LowRank(linear.weight, rank)
        parametrize.register_parametrization(linear, "weight", adapter)
        adapters += adapter.parameters()
    return adapters


def freeze(network: Quantifier) -> None:
    """Train nothing but the head."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith("head."))


def standardise(network: Quantifier, embeddings: Floats) -> None:
    """Let the head see embeddings of mean 0 and standard deviation 1, as those of the training intervals, (n, W)."""
    mean, scale = (torch.from_numpy(one).float() for one in _moments(embeddings))
    network.head = nn.Sequential(Standardised(mean, scale), network.head)


def plain(network: Quantifier) -> Quantifier:
    """Put adapters and standardisation into the weights that they stand before; the outputs stay the same."""
    for linear in _matrices(network):
        if parametrize.is_parametrized(linear):
            parametrize.remove_parametrizations(linear, "weight", leave_parametrized=True)
    if isinstance(network.head, nn.Sequential) and isinstance(network.head[0], Standardised):
        standard, head = network.head
        first = head[0] if isinstance(head, nn.Sequential) else head
        assert isinstance(standard, Standardised), "just looked at"
        assert isinstance(first, nn.Linear), "a head begins with a matrix"
        with torch.no_grad():
            first.weight.div_(standard.scale)
            first.bias.sub_(first.weight @ standard.mean)
        network.head = head
    return network


def probe(embeddings: Floats, targets: Floats, weights: Floats) -> tuple[Tensor, Tensor]:
    """The weight (k, W) and bias (k,) of a linear head by ridge regression on standardised embeddings.

    Its penalty is the one under which the labels are most likely (`training.evidence`). Chosen by leaving out units
    instead, it was as good from a hundred labels on, but ran away with thirty (virtual cores, R2 of TOC 0.59 in place
    of 0.80).

    Parameters
    ----------
    embeddings
        Mean embedding of each interval, (n, W).
    targets
        Labels in network units, (n, k); NaN where there is none. A proxy with fewer than `training.evidence.FEWEST`
        labels gets their mean, one without any gets 0.
    weights
        How much each interval counts, (n,), positive.
    """
    mean, scale = _moments(embeddings)
    standard = (embeddings - mean) / scale
    rows, biases = [], []
    for target in targets.T:
        labelled = np.isfinite(target)
        row, bias = np.zeros(embeddings.shape[1]), 0.0
        if labelled.sum() >= evidence.FEWEST:
            slope, level = evidence.regression(standard[labelled], target[labelled], weights[labelled])
            row, bias = slope / scale, level - float(slope @ (mean / scale))
        elif labelled.any():
            bias = float(np.average(target[labelled], weights=weights[labelled]))
        rows.append(row)
        biases.append(bias)
    return torch.from_numpy(np.stack(rows)).float(), torch.tensor(biases)


def _matrices(network: Quantifier) -> list[nn.Linear]:
    """The matrices of the encoder's blocks: qkv, proj, fc1 and fc2 of each."""
    return [module for module in network.blocks.modules() if isinstance(module, nn.Linear)]


def _moments(embeddings: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each direction, (W,) both."""
    scale = embeddings.std(axis=0)
    return embeddings.mean(axis=0), np.where(scale > FLATTEST, scale, 1.0)
