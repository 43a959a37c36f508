"""Network and companion mixed: for each proxy in the share that labels which neither had learnt from ask for.

Stacked regression after Breiman (1996), doi:10.1007/BF00117832, with two models whose shares add up to one. In a
cross-validation the shares for a unit come from the other units alone, or it would have a hand in its own score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from corebank.bundle import Proxy
from corebank.companion import Companion
from training import evidence
from training.examples import Floats
from training.task import COMPANION, NETWORK, STACK, Task

_FAR = 1e3
"""Standard deviations from the labels' mean beyond which it does not matter how far."""

Said = dict[str, list[Floats]]
"""What each model says of the spectra of each of n intervals, (spectra, k) [unit], as `Task.ask` has it."""


def shares(
    task: Task, asked: NDArray[np.intp], proxies: Sequence[Proxy], said: Mapping[str, Sequence[Floats]]
) -> Floats:
    """(k,) share of the companion, from what both models say of the intervals `asked` that they have not learnt."""
    truth = np.stack([one.forward(task.examples.values[asked, row]) for row, one in enumerate(proxies)], axis=1)
    return evidence.shares(truth, *(_means(proxies, said[name]) for name in (NETWORK, COMPANION)))


def mixed(proxies: Sequence[Proxy], said: Said, share: Floats) -> Said:
    """The same answers, those of the mixture first."""
    both = zip(said[NETWORK], said[COMPANION], strict=True)
    together = [
        _units(proxies, (1 - share) * _network(proxies, one) + share * _network(proxies, own)) for one, own in both
    ]
    return {STACK: together, **said}


def crossed(task: Task, training: NDArray[np.intp], proxies: Sequence[Proxy], said: Said) -> Said:
    """What a cross-validation said, with the mixture: its shares for each unit from the other units."""
    units = task.units[training]
    together: list[Floats] = [np.empty((0, len(proxies)))] * len(training)
    for unit in sorted(set(units.tolist())):
        here, others = np.flatnonzero(units == unit).tolist(), np.flatnonzero(units != unit)
        rest = {name: [said[name][row] for row in others.tolist()] for name in (NETWORK, COMPANION)}
        share = shares(task, training[others], proxies, rest)
        own = {name: [said[name][row] for row in here] for name in (NETWORK, COMPANION)}
        for row, answer in zip(here, mixed(proxies, own, share)[STACK], strict=True):
            together[row] = answer
    return {STACK: together, **said}


def stacked(
    task: Task,
    training: NDArray[np.intp],
    proxies: Sequence[Proxy],
    linear: Companion,
    crossed_over: Sequence[Said],
    answers: Sequence[Said],
) -> tuple[Companion, list[Said], list[Said]]:
    """The companion with its shares, and what was said in cross-validation and of what is held out, with the mixture.

    Further entries are repetitions with other seeds, which do not change what the companion says. Without a
    cross-validation (a single unit) the two weigh the same.
    """
    asked, first = proxies[: task.count], crossed_over[0]
    share = shares(task, training, asked, first) if first else np.full(task.count, 0.5)
    own = {
        name: said[0][COMPANION] for name, said in (("crossed", crossed_over), ("held", answers)) if said and said[0]
    }
    return (
        replace(linear, share=share),
        [crossed(task, training, asked, {**one, COMPANION: own["crossed"]}) if one else one for one in crossed_over],
        [mixed(asked, {**one, COMPANION: own["held"]}, share) for one in answers],
    )


def _means(proxies: Sequence[Proxy], said: Sequence[Floats]) -> Floats:
    """(n, k) mean of each interval's spectra in network units; NaN where nothing was said."""
    empty = np.full(len(proxies), np.nan)
    return np.stack([_network(proxies, one).mean(axis=0) if len(one) else empty for one in said])


def _network(proxies: Sequence[Proxy], values: Floats) -> Floats:
    """Network units (n, k) of values [unit]; not `Proxy.forward`, whose floor is for labels. Nothing is infinite."""
    return np.clip(np.stack([one.network(values[:, row]) for row, one in enumerate(proxies)], axis=1), -_FAR, _FAR)


def _units(proxies: Sequence[Proxy], network: Floats) -> Floats:
    return np.stack([proxy.inverse(network[:, row]) for row, proxy in enumerate(proxies)], axis=1)
