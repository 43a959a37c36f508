"""What a prediction rests on, element by element: occlusion of emission-line windows, with its own sanity checks.

The windows stand where physics puts the lines, whatever the network's patches (`corebank.explain.lines`); occlusion
takes a line out and leaves the background (`corebank.explain.occlusion`); untrained networks of the same kind show how
much of an explanation the height of the lines alone would give (`corebank.explain.control`). What an explanation says,
and what it does not: docs/explanation/explanations.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from corebank import bundle, feed, schema
from corebank.companion import Companion
from corebank.errors import PredictError
from corebank.explain.control import UNTRAINED, rank_correlation, untrained
from corebank.explain.drawing import draw
from corebank.explain.lines import Machine, windows
from corebank.explain.occlusion import Effects, Floats, effects
from corebank.explain.tables import summary, to_table, write

BATCH = 128
"""Spectra that go through the network at once."""

SAMPLE = 64
"""Spectra, evenly spread, on which the model is compared with untrained networks."""

REMAINDER = "remainder"
"""What the part outside of all windows is called: continuum, escape and sum peaks, whatever has no window."""

PLACE = ("site", "expedition", "core", "section", "section_position", "depth")
"""Columns that say where a spectrum was measured; those that the spectra have are kept."""


class _Explained(NamedTuple):
    """Effects in the units of k proxies on L parts over n spectra."""

    value: Floats
    """(k, n)"""
    effect: Floats
    """(k, L, n)"""
    share: Floats
    """(k, L, n)"""
    interaction: Floats
    """(k, n)"""
    sensitivity: Floats
    """(k, L) Mean size of the effect over mean change of what the network reads."""


def explain(model: bundle.Bundle, spectra: xr.Dataset) -> xr.Dataset:
    """Tell what each predicted value rests on, in blocks, so that memory grows with the answer only.

    Parameters
    ----------
    model
        A quantifier.
    spectra
        A run at intensity level on the model's energy grid [count/s], dask-backed or not; ``anode``, ``tube_voltage``
        [kV] and ``scanner`` decide the windows, and may be missing.

    Returns
    -------
    Dataset
        Over ``proxy``, ``element`` (names of `corebank.explain.lines.Windows.groups` by energy, then ``remainder``) and
        ``spectrum``:

        ``value`` (proxy, spectrum)
            what the model says [unit of the proxy], not clipped;
        ``effect`` (proxy, element, spectrum)
            value less what it says without the element [unit of the proxy]: positive where the element raises it;
        ``share`` (proxy, element, spectrum)
            size of the effect over the sum of all sizes, on the scale on which the model was taught (`bundle.Proxy`):
            there, a logarithm for instance, effects may be compared. For a proxy taught as it is, that of ``effect``;
        ``interaction`` (proxy, spectrum)
            how far the effects of the elements fail to add up, see `corebank.explain.occlusion.Effects.interaction`;
        ``sensitivity`` (proxy, element)
            size of the effect per change of what the network reads, in network units;
        ``untrained`` (proxy, element)
            mean share by networks that have learnt nothing;
        ``control`` (proxy, measure)
            rank correlation over elements with those networks, mean over them, of ``share`` and of ``sensitivity``;

        and coordinates ``unit`` (proxy), ``lines`` and ``also`` (element), and what the spectra have of `PLACE`. NaN
        where a spectrum's machine shows nothing of an element, or no patch of it was measured as a whole.

    Raises `PredictError` for a foundation model, another energy grid, another unit, no spectra, or an unknown anode.
    """
    _refuse(model, spectra)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = bundle.build(model, device)
    elements, lines, also = _elements(model, spectra)
    companion = Companion.from_arrays(dict(model.companion)) if model.companion else None
    found = _explained(network, model, spectra, elements, companion, quiet=False)
    some = np.unique(np.linspace(0, spectra.sizes["spectrum"] - 1, SAMPLE).astype(int))
    sample = spectra.isel(spectrum=some).compute()
    own = _explained(network, model, sample, elements, companion)
    others = [_explained(untrained(network, seed), model, sample, elements) for seed in range(UNTRAINED)]
    control = np.array(
        [
            [
                _mean([rank_correlation(mine[proxy], one[proxy]) for one in theirs])
                for mine, theirs in (
                    (_mean(own.share, 2), [_mean(one.share, 2) for one in others]),
                    (own.sensitivity, [one.sensitivity for one in others]),
                )
            ]
            for proxy in range(len(model.proxies))
        ]
    )
    ds = xr.Dataset(
        {
            "value": (("proxy", "spectrum"), found.value),
            "effect": (("proxy", "element", "spectrum"), found.effect),
            "share": (("proxy", "element", "spectrum"), found.share),
            "interaction": (("proxy", "spectrum"), found.interaction),
            "sensitivity": (("proxy", "element"), found.sensitivity),
            "untrained": (("proxy", "element"), _mean([_mean(one.share, 2) for one in others], 0)),
            "control": (("proxy", "measure"), control),
        },
        coords={
            "proxy": [proxy.name for proxy in model.proxies],
            "element": elements,
            "measure": ["share", "sensitivity"],
            "unit": ("proxy", [proxy.unit for proxy in model.proxies]),
            "lines": ("element", lines),
            "also": ("element", also),
            **{name: ("spectrum", spectra[name].values) for name in PLACE if name in spectra},
        },
        attrs={"model": model.name, "method": "occlusion of emission-line windows, corebank.explain"},
    )
    for name, unit in (("section_position", "mm"), ("depth", "mm")):
        if name in ds:
            ds[name].attrs["units"] = unit
    return ds.isel(
        element=np.flatnonzero(np.isfinite(found.share).any(axis=(0, 2)) | (np.array(elements) == REMAINDER))
    )


def _explained(
    network: nn.Module,
    model: bundle.Bundle,
    spectra: xr.Dataset,
    elements: Sequence[str],
    companion: Companion | None = None,
    *,
    quiet: bool = True,
) -> _Explained:
    """The effects of `elements` on what `network`, with the `companion`, says in the place of that of `model`."""
    k, n, place = len(model.proxies), spectra.sizes["spectrum"], {name: at for at, name in enumerate(elements)}
    out = _Explained(
        value=np.full((k, n), np.nan),
        effect=np.full((k, len(elements), n), np.nan),
        share=np.full((k, len(elements), n), np.nan),
        interaction=np.full((k, n), np.nan),
        sensitivity=np.zeros((k, len(elements))),
    )
    change = np.zeros(len(elements))
    with tqdm(total=n, unit=" spectra", desc="explain", delay=2, disable=quiet or None) as bar:
        for rows, names, one in _asked(network, companion, model, spectra):
            parts = np.array([place[name] for name in names])
            out.interaction[:, rows] = one.interaction.T
            out.share[:, parts[:, None], rows] = one.shares.transpose(1, 2, 0)
            for number, proxy in enumerate(model.proxies):
                out.value[number, rows] = value = proxy.inverse(one.intact[:, number])
                out.effect[number, parts[:, None], rows] = value - proxy.inverse(one.occluded[:, number]).T
            out.sensitivity[:, parts] += np.nansum(np.abs(one.intact[..., None] - one.occluded), axis=0)
            change[parts] += np.nansum(one.change, axis=0)
            bar.update(len(rows))
    return out._replace(sensitivity=out.sensitivity / np.where(change > 0, change, np.nan))


def _asked(
    network: nn.Module, companion: Companion | None, model: bundle.Bundle, spectra: xr.Dataset
) -> Iterator[tuple[NDArray[np.intp], tuple[str, ...], Effects]]:
    """Rows, names of the parts and effects, batch by batch; a batch is of one machine, and of one dask block."""
    machines, known = _machines(spectra), None
    if model.config.settings:
        known = torch.from_numpy(feed.settings(spectra))
    device = next(network.parameters()).device
    intensity = spectra["intensity"].transpose("spectrum", "energy")
    sizes = intensity.chunksizes.get("spectrum", (intensity.sizes["spectrum"],))
    for first, size in zip(np.cumsum((0, *sizes[:-1])), sizes, strict=True):
        block = intensity.isel(spectrum=slice(first, first + size)).values
        patches = np.isfinite(block).reshape(size, model.config.patches, model.config.patch).all(axis=2)
        usable = patches.any(axis=1)  # the others have no token at all
        for machine in dict.fromkeys(machines[first : first + size]):
            its = [row for row in range(size) if usable[row] and machines[first + row] == machine]
            here = windows(machine, model.grid)
            for at in (np.array(its[start : start + BATCH]) for start in range(0, len(its), BATCH)):
                settings = None if known is None else known[first + at].to(device)

                def ask(values: Any, measured: Any, rates: Any, settings: torch.Tensor | None = settings) -> Floats:
                    with torch.inference_mode():
                        said = network(
                            torch.from_numpy(values).to(device), torch.from_numpy(measured).to(device), settings
                        )
                    own = np.asarray(said.cpu().numpy(), dtype=np.float64)
                    return own if companion is None else companion.together(own, rates)

                visible = np.repeat(patches[at], model.config.patch, axis=1)
                yield first + at, (*here.groups, REMAINDER), effects(ask, model.normalization, block[at], visible, here)


def _machines(spectra: xr.Dataset) -> list[Machine]:
    """The machine behind each spectrum."""
    n = spectra.sizes["spectrum"]
    anode, voltage, scanner = (
        spectra[name].values if name in spectra else np.full(n, empty)
        for name, empty in (("anode", ""), ("tube_voltage", np.nan), ("scanner", ""))
    )
    # An unknown voltage is infinite, which is equal to itself, as NaN is not: spectra are gathered by machine.
    return [
        Machine(str(a), float(v) if np.isfinite(v) else np.inf, str(s))
        for a, v, s in zip(anode, voltage, scanner, strict=True)
    ]


def _elements(model: bundle.Bundle, spectra: xr.Dataset) -> tuple[list[str], list[str], list[str]]:
    """Names, lines and foreign lines of all groups of all machines, by energy; the remainder comes last."""
    first: dict[str, int] = {}
    lines: dict[str, dict[str, None]] = {}
    also: dict[str, dict[str, None]] = {}
    for machine in dict.fromkeys(_machines(spectra)):
        try:
            here = windows(machine, model.grid)
        except ValueError as error:
            found = f"anode {machine.anode!r} is no element"
            raise PredictError(model.name, found, "Correct the anode in the contribution") from error
        for place, name in enumerate(here.groups):
            first[name] = min(int(np.argmax(here.owner == place)), first.get(name, model.grid.bins))
            lines.setdefault(name, {}).update(dict.fromkeys(filter(None, here.lines[place].split(", "))))
            also.setdefault(name, {}).update(dict.fromkeys(filter(None, here.also[place].split(", "))))
    names = sorted(first, key=lambda name: (first[name], name))
    return (
        [*names, REMAINDER],
        [*(", ".join(lines[name]) for name in names), ""],
        [*(", ".join(also[name]) for name in names), ""],
    )


def _mean(values: Any, axis: int | None = None) -> Any:
    """Mean of what is known, NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    return np.where(known, values, 0).sum(axis=axis) / np.where(count > 0, count, np.nan)


def _refuse(model: bundle.Bundle, spectra: xr.Dataset) -> None:
    """Raise `PredictError` unless `spectra` are what `model` reads; `corebank.predict` says in detail why not."""
    unit, wanted = spectra["intensity"].attrs.get("units") if "intensity" in spectra else None, schema.INTENSITY.units
    if model.kind != "quantifier":
        raise PredictError(model.name, "a foundation model, which gives no values", "Choose a quantifier")
    if unit != wanted or not spectra.sizes["spectrum"]:
        found = f"{spectra.sizes.get('spectrum', 0)} spectra with an intensity in {unit or 'no unit'}"
        raise PredictError(model.name, found, f"Give spectra in {wanted}")
    energy, centres = spectra["energy"].values, model.grid.centres
    if energy.shape != centres.shape or not np.allclose(energy, centres, rtol=0, atol=model.grid.step / 100):
        raise PredictError(model.name, "the spectra are on another energy axis", f"Bring them to {model.grid}")


__all__ = ["REMAINDER", "draw", "explain", "summary", "to_table", "write"]
