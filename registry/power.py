"""How often the gate refuses an equally good candidate, and how often it catches one that is worse on one core.

    python -m registry.power [--candidates 1000] [--cores 5] [--labels 20] [--alike 0.7]

Made-up errors, the gate's own comparison (`registry.comparing.compared`). On each core the two models have errors that
correlate with each other (both find the same sediment hard), and with their neighbours along the core; each model has
an offset of its own on each core, so that of two equally good models one is better here and the other there.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from cyclopts import App, Parameter
from numpy.typing import NDArray

from corebank.cli import run
from registry.comparing import Pair, compared
from registry.standing import CORE_COVERAGE, COVERAGE, POOLED_COVERAGE

WORSE = (1.0, 1.1, 1.25, 1.5, 2.0)
"""RMSE of the candidate on one core over that of the champion; 1 is an equally good candidate."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What errors are like; standard deviation 1 before the offsets."""

    cores: int = 5
    labels: int = 20
    """On each core."""
    models: float = 0.7
    """Correlation of the errors of the two models at a label."""
    neighbours: float = 0.5
    """Correlation of the errors of a model at neighbouring labels."""
    offset: float = 0.3
    """Standard deviation of a model's mean error on a core."""

    def errors(self, random: np.random.Generator) -> tuple[Floats, Floats]:
        """Errors of the champion and of an equally good candidate, (cores, labels) each."""
        noise = _series(random, (3, self.cores, self.labels), self.neighbours)
        noise += self.offset * random.standard_normal((3, self.cores, 1))
        shared, own = math.sqrt(self.models), math.sqrt(1 - self.models)
        return shared * noise[0] + own * noise[1], shared * noise[0] + own * noise[2]


def refused(world: World, worse: float, candidates: int, seed: int = 0) -> float:
    """Share of candidates that the gate refuses, whose errors on the first core are `worse` times as large."""
    random = np.random.default_rng(seed)
    count = 0
    for _ in range(candidates):
        champion, candidate = world.errors(random)
        candidate[0] *= worse
        pairs = {
            f"core {number}": Pair(champion=old**2, candidate=new**2)
            for number, (old, new) in enumerate(zip(champion, candidate, strict=True))
        }
        count += not all(row.passed for row in compared({"proxy": pairs}))
    return count / candidates


def uncovered(world: World, candidates: int, seed: int = 0) -> tuple[float, float]:
    """Share of models with honest intervals whose coverage is below the bounds: over all labels, and on any core."""
    random = np.random.default_rng(seed)
    half = float(np.quantile(np.abs(np.concatenate([world.errors(random)[0].ravel() for _ in range(500)])), COVERAGE))
    inside = np.array([(np.abs(world.errors(random)[0]) <= half).mean(axis=1) for _ in range(candidates)])
    return float((inside.mean(axis=1) < POOLED_COVERAGE).mean()), float((inside < CORE_COVERAGE).any(axis=1).mean())


def _series(random: np.random.Generator, shape: tuple[int, ...], correlation: float) -> Floats:
    """Standard normal numbers, each correlated with the one before it along the last axis (autoregression)."""
    drawn = random.standard_normal(shape)
    for place in range(1, shape[-1]):
        fresh = math.sqrt(1 - correlation**2) * drawn[..., place]
        drawn[..., place] = correlation * drawn[..., place - 1] + fresh
    return drawn


app = App(name="python -m registry.power", help=__doc__, result_action="return_value")


@app.default
def main(
    *,
    candidates: int = 1_000,
    cores: Annotated[tuple[int, ...], Parameter(negative="")] = (5, 20),
    labels: Annotated[tuple[int, ...], Parameter(negative="")] = (10, 20, 50),
    alike: Annotated[tuple[float, ...], Parameter(negative="")] = (0.7, 0.9),
) -> None:
    """Print the shares as a table.

    Parameters
    ----------
    candidates
        Made-up candidates behind each number.
    cores
        Held-out cores; repeat it for several.
    labels
        Labels on each core; repeat it for several.
    alike
        Correlation of the errors of the two models; repeat it for several.
    """
    print("alike  cores  labels  " + "  ".join("equal" if one == 1 else f"x{one:<4g}" for one in WORSE))
    for models, few, many in itertools.product(alike, cores, labels):
        world = World(cores=few, labels=many, models=models)
        shares = (refused(world, worse, candidates) for worse in WORSE)
        print(f"{models:<7}{few:<7}{many:<8}" + "  ".join(f"{share:5.0%}" for share in shares), flush=True)
    for kind in (World(), World(offset=1.0)):
        every, one = uncovered(kind, candidates)
        print(f"honest intervals below the bounds, offsets of {kind.offset}: {every:.1%} over all, {one:.1%} on a core")


if __name__ == "__main__":
    run(app)
