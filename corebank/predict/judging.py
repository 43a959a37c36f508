"""From what the network says to a table: values and intervals in their units, and every reason to doubt them in words.

A value and the bounds of its interval stay in the range that is possible: a share of mass is neither below nothing nor
above the whole. An interval is as wide as the bundle says for machines that the model has seen; for others, and where
the machine is not known, as wide as the bundle says for those, which may be: not known.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from corebank import bundle, quality, schema, transfer, uncertainty, units

ORIGIN = ("site", "expedition", "run")
"""Columns that stand in front where the spectra have them: several expeditions may meet in a selection."""

PLACE = ("core", "section", "section_position", "depth")
"""Columns that say where a value belongs; empty or NaN where the spectra do not say."""


@lru_cache
def possible(unit: str) -> tuple[float, float]:
    """Smallest and largest value that a proxy in `unit` can have: 0 and the whole for shares of mass, else no limit.

    Permille is no share here: isotope ratios are given in it, and may be negative.
    """
    if not units.is_share(unit) or unit == "permille":
        return -np.inf, np.inf
    return 0.0, round(100 * units.factor("wt%", unit, "unit of a proxy"), 6)


def machines(spectra: xr.Dataset) -> NDArray[np.object_]:
    """The machine behind each spectrum in words, ``"Mo 30 kV"``; empty where anode or tube voltage is unknown."""
    n = spectra.sizes["spectrum"]
    anode = spectra["anode"].values if "anode" in spectra else np.full(n, "")
    voltage = spectra["tube_voltage"].values if "tube_voltage" in spectra else np.full(n, np.nan)
    words = [f"{a} {v:g} kV" if a and np.isfinite(v) else "" for a, v in zip(anode, voltage, strict=True)]
    return np.array(words, dtype=object)


def judged(
    model: bundle.Bundle, columns: xr.Dataset, network: NDArray[Any], score: NDArray[Any], cause: NDArray[np.object_]
) -> pd.DataFrame:
    """What `corebank.predict.quantify` returns of some spectra.

    Parameters
    ----------
    model
        A quantifier.
    columns
        Of n spectra, in memory.
    network
        What its network says of them, (n, proxies) in network units; NaN where it could say nothing.
    score
        How unlike the known spectra each is, (n,); NaN where it cannot be told.
    cause
        In which of `corebank.uncertainty.PARTS` it is so the most, (n,); "" where it cannot be told.
    """
    machine = machines(columns)
    foreign = ~np.isin(machine, model.lineage.machines) if model.lineage.machines else np.zeros(len(machine), bool)
    doubts = _Doubts(len(machine))
    table: dict[str, Any] = {}
    for name in (*ORIGIN, *PLACE):
        if name in columns:
            table[name] = columns[name].values
        elif name in PLACE:
            table[name] = np.full(len(machine), "" if schema.SPECTRUM[name].dtype == "str" else np.nan)
    _general(doubts, model, columns, machine, foreign, score, cause, np.isnan(network).all(axis=1))
    for proxy, z in zip(model.proxies, network.T, strict=True):
        value, lower, upper = _values(proxy, z, foreign)
        low, high = possible(proxy.unit)
        table[proxy.name] = np.clip(value, low, high)
        table[f"{proxy.name}_lower"], table[f"{proxy.name}_upper"] = (
            np.clip(lower, low, high),
            np.clip(upper, low, high),
        )
        table[f"{proxy.name}_unit"] = np.full(len(z), proxy.unit, dtype=object)
        for beyond, edge, side in ((value < low, low, "below"), (value > high, high, "above")):
            doubts(beyond, f"{proxy.name} came out {side} {edge:g} {proxy.unit} and is given as that", proxy.name)
        labels = f"the training labels ({proxy.low:.4g} to {proxy.high:.4g} {proxy.unit})"
        outside = (table[proxy.name] < proxy.low) | (table[proxy.name] > proxy.high)
        doubts(outside, f"value of {proxy.name} is beyond {labels}", proxy.name)
        if np.isfinite(proxy.half_width) and np.isnan(proxy.half_width_unseen):
            doubts(foreign, f"no interval of {proxy.name} can be given for a machine never seen", proxy.name)
        table[f"{proxy.name}_warning"] = doubts.sentences(proxy.name)
    return pd.DataFrame(table | {"outlier_score": score, "warning": doubts.sentences()})


def _values(proxy: bundle.Proxy, z: NDArray[Any], foreign: NDArray[np.bool_]) -> tuple[NDArray[np.float64], ...]:
    """Value, lower and upper bound [unit] of network units (n,), not yet limited to what is possible."""
    half = np.where(foreign, proxy.half_width_unseen, proxy.half_width)
    with np.errstate(over="ignore"):  # the exponential of what no spectrum should give; the limits catch it
        return proxy.inverse(z), proxy.inverse(z - half), proxy.inverse(z + half)


def _general(
    doubts: _Doubts,
    model: bundle.Bundle,
    columns: xr.Dataset,
    machine: NDArray[np.object_],
    foreign: NDArray[np.bool_],
    score: NDArray[Any],
    cause: NDArray[np.object_],
    unsaid: NDArray[np.bool_],
) -> None:
    """The reasons to doubt whatever is said of a spectrum."""
    doubts(unsaid, "no patch of the energy axis was measured as a whole")
    for part, words in uncertainty.PARTS.items():
        doubts((score > 1) & (cause == part), f"unlike the spectra the model has seen ({words})")
    if transfer.COLUMN in columns:
        origin = columns[transfer.COLUMN].values.astype(str)
        for one in sorted(set(origin.tolist()) - {""}):
            doubts(origin == one, f"not measured on this machine but mapped from {one}")
    known = ", ".join(model.lineage.machines)
    for one in sorted(set(machine[foreign].tolist())):
        why = f"the model has never seen {one}, only {known}" if one else f"the machine is not known; seen were {known}"
        doubts(foreign & (machine == one), why)
    flags = columns["flags"].values if "flags" in columns else np.zeros(len(machine), np.uint32)
    for bits in np.unique(flags[flags != 0]):
        doubts(flags == bits, f"flagged: {', '.join(quality.names(int(bits)))}")


class _Doubts:
    """Reasons not to trust the values of n spectra: of all proxies, or of one."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._found: list[tuple[NDArray[np.bool_], str, str]] = []

    def __call__(self, where: NDArray[np.bool_], why: str, proxy: str = "") -> None:
        """Add the reason `why` for the spectra `where` (n,), and for one proxy only if it is named."""
        if where.any():
            self._found.append((where, why, proxy))

    def sentences(self, proxy: str = "") -> NDArray[np.object_]:
        """All reasons for each spectrum as one sentence, "" where there is none; those of other proxies left out."""
        reasons: list[list[str]] = [[] for _ in range(self._count)]
        for where, why, whose in self._found:
            if not proxy or whose in ("", proxy):
                for row in np.flatnonzero(where):
                    reasons[row].append(why)
        texts = ["; ".join(some) for some in reasons]
        return np.array([text[:1].upper() + text[1:] for text in texts], dtype=object)
