"""How many values of new cores the intervals hold, over many collections of virtual cores; rows for the tables.

A model made here is the delivered one, network and companion, and its widths come from the same cross-validation
(`training.finetune`). Only what a machine is called differs: the bundle knows anode and voltage, of which the virtual
scanners have three; here each scanner is a machine of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from corebank.bundle import Proxy
from corebank.uncertainty import COVERAGE, half_width
from training import crossing, finetune, judging, run, stacking, trust
from training.examples import Floats, match
from training.recipe import Finetuning, Split
from training.task import STACK
from training.virtual_cores import PROXIES, cores, measurements

Row = dict[str, Any]

MACHINES = ("itrax-mo-2020", "itrax-mo-2020-b", "itrax-cr-2020", "itrax-mo-2008", "avaatech-rh-10kv")
"""Scanners that are left out in turn."""

SIMULATED = ((2, 2.0), (3, 1.0), (3, 2.0), (5, 1.0), (10, 1.0), (24, 0.0))
"""Cores of a collection, and how far a core is off in its own way, in the scatter of its rows."""

ROWS = 12
"""Values of each simulated core."""

SEEDS_APART = 100_000
"""Between the first cores of two collections, so that none is in two."""


def recipe(parent: Path | str, proxies: tuple[str, ...] = PROXIES, **changes: Any) -> Finetuning:
    """A quickly trained quantifier: linear head on the frozen encoder of `parent`, and its companion."""
    return Finetuning(
        name="trusting",
        parent=str(parent),
        proxies=proxies,
        logarithm=proxies,
        mode="probe",
        members=1,
        auxiliary=False,
        scratch=False,
        baselines=(),
        **changes,
    )


def simulated(collections: int, first: int) -> list[Row]:
    """What three kinds of half width hold of new cores, of normal errors: no spectra, no model.

    ``guarantee`` is `promised`; ``worst`` the quantile of the worst core. Widths are in that of the plain quantile.
    """
    rows: list[Row] = []
    for count, off in SIMULATED:
        for seed in range(first, first + collections):
            random = np.random.default_rng((seed, count, round(10 * off)))
            known, new = (off * random.normal(size=(n, 1)) + random.normal(size=(n, ROWS)) for n in (count, 200))
            names = np.repeat(np.arange(count), ROWS).tolist()
            plain = float(np.quantile(np.abs(known), COVERAGE))
            widths = {
                "here": half_width(known.ravel(), names),
                "guarantee": promised(known),
                "worst": float(np.quantile(np.abs(known), COVERAGE, axis=1).max()),
            }
            for name, width in widths.items():
                held = float((np.abs(new) <= width).mean())
                rows.append(
                    {"cores": count, "off": off, "collection": seed, "width": name, "held": held, "wide": width / plain}
                )
    return rows


def promised(errors: Floats) -> float:
    """Half width of hierarchical conformal prediction from errors (cores, rows); infinite where it promises nothing.

    Lee, Barber & Willett (2023), arXiv 2306.06342: the quantile of all errors where a further core is infinitely off.
    """
    ascending = np.sort(np.abs(errors).ravel())
    wanted = math.ceil(COVERAGE * (len(errors) + 1) * errors.shape[1] - 1e-9)
    return float(ascending[wanted - 1]) if wanted <= len(ascending) else math.inf


def new_cores(counts: Iterable[int], collections: int, first: int, parent: Path, asked: int = 25) -> list[Row]:
    """A row for each number of cores learnt from, collection, proxy and new core: the share that its interval holds.

    ``width`` is half of the interval in natural logarithms. Cores are hemipelagic, off one Itrax.
    """
    rows: list[Row] = []
    for count in counts:
        for collection in range(first, first + collections):
            start = SEEDS_APART * (100 * count + collection)
            known = cores(MACHINES[0], "hemipelagic", range(start, start + count))
            new = cores(MACHINES[0], "hemipelagic", range(start + 1_000, start + 1_000 + asked))
            proxies, units, held = judged(known, new, parent)
            for column, proxy in enumerate(proxies):
                for unit in sorted(set(units.tolist())):
                    rows.append(
                        {
                            "cores": count,
                            "collection": collection,
                            "proxy": proxy.name,
                            "core": unit,
                            "held": float(held[units == unit, column, 0].mean()),
                            "width": proxy.half_width * proxy.std,
                        }
                    )
    return rows


def new_machines(counts: Iterable[int], collections: int, first: int, parent: Path) -> list[Row]:
    """A row for each number of machines learnt from, collection, machine left out and proxy.

    ``seen`` and ``unseen`` are the shares that the interval for machines seen, and that for others, hold of eight new
    cores of the machine left out; five hemipelagic cores of each of the others were learnt from.
    """
    rows: list[Row] = []
    for collection in range(first, first + collections):
        for place, out in enumerate(MACHINES):
            others = [one for one in MACHINES if one != out]
            for count in counts:
                start = SEEDS_APART * (10_000 + 10 * collection)
                known = xr.concat(
                    [
                        cores(one, "hemipelagic", range(start + 100 * number, start + 100 * number + 5))
                        for number, one in enumerate(others[:count])
                    ],
                    "spectrum",
                    combine_attrs="override",
                )
                new = cores(out, "hemipelagic", range(start + 1_000 + 100 * place, start + 1_008 + 100 * place))
                proxies, _, held = judged(known, new, parent)
                for column, proxy in enumerate(proxies):
                    seen, unseen = held[:, column].mean(axis=0).tolist()
                    rows.append(
                        {
                            "machines": count,
                            "collection": collection,
                            "machine": out,
                            "proxy": proxy.name,
                            "seen": seen,
                            "unseen": unseen if math.isfinite(proxy.half_width_unseen) else math.nan,
                        }
                    )
    return rows


def judged(
    known: xr.Dataset, new: xr.Dataset, parent: Path
) -> tuple[tuple[Proxy, ...], NDArray[np.str_], NDArray[np.bool_]]:
    """Learn from the cores `known` and ask about the cores `new`.

    Returns the proxies with their half widths, the core of each of the n labels of `new`, and which of them the
    interval for machines seen and the one for others hold, (n, k, 2).
    """
    spectra = xr.concat([known, new], "spectrum", combine_attrs="override")
    held = tuple(dict.fromkeys(new["core"].values.tolist()))
    settings = recipe(parent, split=Split(held_out=held), folds=6)
    network_parent, _ = run.parent_for(settings, spectra)
    found = match(spectra, measurements(spectra), settings.proxies, settings.within)
    task, sides = finetune.prepare(settings, network_parent, spectra, found[found.matched])
    names = np.array([unit.rpartition("/")[2] for unit in task.units.tolist()])
    task = replace(task, machines=np.array([_machine(name) for name in names.tolist()], dtype=object))
    training, test = sides.training, sides.test
    network, proxies = task.learn(training, 1)
    crossed = crossing.cross_validate(task, training)
    linear, (said, *_), (answers, *_) = stacking.stacked(
        task,
        training,
        proxies,
        task.linear(proxies, training),
        [crossed],
        [task.ask(network, proxies, training, test)],
    )
    elsewhere = crossing.across_machines(task, training)
    values, machines = task.examples.values, task.machines[training]
    proxies = trust.half_widths(
        proxies,
        values[training],
        said[STACK],
        task.units[training],
        machines,
        unseen=stacking.mixed(proxies, elsewhere, linear.share)[STACK] if elsewhere else (),
    )
    held_by = []
    for foreign in (False, True):
        low, high = judging.ends(proxies, answers[STACK], np.full(len(test), foreign))
        held_by.append((low <= values[test]) & (values[test] <= high))
    return proxies, names[test], np.stack(held_by, axis=-1)


def _machine(core: str) -> str:
    """The scanner of a core of `training.virtual_cores`, whose name begins with it."""
    return next(one for one in sorted(MACHINES, key=len, reverse=True) if core.startswith(f"{one}-"))
