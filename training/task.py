"""The labels of a run and the models that learn from parts of them: the network, the same from scratch, the baselines.

Whatever judges models, a held-out set or a cross-validation, asks a `Task`: it trains on some intervals and answers for
others, one entry a model. A model that is added to `Task.ask` stands in every table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from corebank import labels
from corebank.bundle import Bundle, Proxy
from corebank.companion import Companion
from corebank.model import Quantifier
from training import baselines, evidence
from training.examples import Examples, Floats
from training.quantifier import fit, predict, proxies_of
from training.recipe import Finetuning

NETWORK = "network"
"""What the fine-tuned network is called in tables, beside the names of the baselines."""

SCRATCH = "scratch"
"""What the same network from random weights is called there."""

COMPANION = "linear"
"""What the linear model beside the network is called there, see `training.evidence`."""

STACK = "stack"
"""What both say together is called there, see `training.stacking`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """What every training within a run shares: cross-validation trains many models on parts of the same labels."""

    recipe: Finetuning
    parent: Bundle
    labels: labels.Labels
    """Intervals with spectra, n of them; the recipe's proxies come first, auxiliary ones follow."""
    examples: Examples
    """The same n intervals with their spectra."""
    units: NDArray[np.str_]
    """(n,) the core or section of each."""
    machines: NDArray[np.object_]
    """(n,) the machine of each in words, as `corebank.predict.machines` has them; "" where unknown."""
    registered: Examples | None = None
    """The same n intervals with the spectra that they were brought to, where the recipe asks for that."""

    @property
    def delivered(self) -> str:
        """Which of the models becomes the quantifier."""
        return STACK if self.recipe.companion else NETWORK

    @property
    def lessons(self) -> Examples:
        """The intervals as models learn from them; what is asked for is in `examples`."""
        return self.examples if self.registered is None else self.registered

    @property
    def count(self) -> int:
        """How many proxies are asked for, k: the columns of every answer."""
        return len(self.recipe.proxies)

    def learn(
        self, known: NDArray[np.intp], members: int, *, scratch: bool = False
    ) -> tuple[Quantifier, tuple[Proxy, ...]]:
        """Train on the intervals `known`, from the parent's weights or from scratch."""
        chosen = self.labels[np.isin(np.arange(len(self.labels)), known)]
        proxies = proxies_of(chosen, self.recipe.logarithm, self.recipe.logit)
        return fit(self.parent, self.lessons[known], proxies, self.recipe, members, scratch=scratch), proxies

    def ask(
        self,
        network: Quantifier,
        proxies: tuple[Proxy, ...],
        known: NDArray[np.intp],
        asked: NDArray[np.intp],
        *,
        random: bool = False,
    ) -> dict[str, list[Floats]]:
        """Values of the spectra of the intervals `asked`, (spectra, k) each, by the network and what it has to beat.

        The others learn from the intervals `known`, too; the baselines say one thing for all spectra of an interval.
        With `random` only those answer whom another seed changes.
        """
        answers = {NETWORK: self.said(network, proxies, asked)}
        if self.recipe.scratch:
            answers[SCRATCH] = self.said(*self.learn(known, 1, scratch=True), asked)
        if self.recipe.companion and not random:
            answers[COMPANION] = self.companion(self.linear(proxies, known), proxies, asked)
        names = [name for name in self.recipe.baselines if not random or name in baselines.RANDOM]
        found = baselines.answers(
            names,
            self.lessons[known].means,
            self.examples.values[known, : self.count],
            proxies[: self.count],
            self.units[known],
            self.examples[asked].means,
            self.recipe.seed,
        )
        return answers | {name: list(values[:, None]) for name, values in found.items()}

    def linear(self, proxies: tuple[Proxy, ...], known: NDArray[np.intp]) -> Companion:
        """The linear model that the intervals `known` give, its shares still to be found."""
        return evidence.fit(self.lessons[known], proxies[: self.count])

    def companion(self, linear: Companion, proxies: tuple[Proxy, ...], asked: NDArray[np.intp]) -> list[Floats]:
        """What a linear model says of each spectrum of the intervals `asked`, (spectra, k) each."""
        said = [linear.say(rates) for rates in self.examples[asked].rates]
        wanted = list(enumerate(proxies[: self.count]))
        return [np.stack([proxy.inverse(one[:, row]) for row, proxy in wanted], axis=1) for one in said]

    def said(self, network: Quantifier, proxies: tuple[Proxy, ...], asked: NDArray[np.intp]) -> list[Floats]:
        """What a network says of each spectrum of the intervals `asked`, (spectra, k) each."""
        values = predict(network, self.parent.normalization, proxies, self.examples[asked])
        return [one[:, : self.count] for one in values]
