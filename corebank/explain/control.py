"""What an untrained network would have said: the control without which no explanation means anything.

A tall line changes a spectrum more than a small one, and so moves the output of *any* network more. Adebayo et al.
(2018, arXiv 1810.03292) showed that popular explanations of images stay the same when the weights are replaced by
random ones: they told of the image and not of the model. So the same occlusion is done with networks that have learnt
nothing, and what they say is reported beside what the model says.
"""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import nn

UNTRAINED = 5
"""Untrained networks that are asked: the mean of their rank correlations is then known to about 0.1."""

FEWEST = 4
"""Elements from which on a rank correlation is worth a number."""


def untrained(network: nn.Module, seed: int) -> nn.Module:
    """A copy of `network` in which every weight is drawn anew: as large as before on average, and nothing learnt.

    Each tensor gets normal random numbers of its own mean and standard deviation; the same seed gives the same weights.
    """
    other = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in other.parameters():
            spread = weight.std(correction=0).cpu()
            weight.copy_(weight.mean().cpu() + spread * torch.randn(weight.shape, generator=generator))
    return other


def rank_correlation(one: ArrayLike, other: ArrayLike) -> float:
    """Spearman's rank correlation over the places where both are known; NaN for fewer than `FEWEST`, or no variation.

    Ties get their mean rank.
    """
    table = pd.DataFrame({"one": np.asarray(one, dtype=np.float64), "other": np.asarray(other, dtype=np.float64)})
    ranks = table.dropna().rank()
    if len(ranks) < FEWEST or (ranks.nunique() < 2).any():
        return float("nan")
    return float(np.corrcoef(ranks["one"], ranks["other"])[0, 1])
