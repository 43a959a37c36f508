"""From spectra and a bundle to values with intervals and warnings; refuses what the bundle was not made for.

A prediction comes with the reasons to doubt it: a spectrum unlike any that the model has seen, a machine it has never
seen, a flag of the bank, a value beyond the training labels. The warning says so in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from tqdm import tqdm

from corebank import bundle
from corebank.predict import explaining
from corebank.predict.averaging import by_interval
from corebank.predict.context import Said, with_neighbours
from corebank.predict.judging import judged, machines
from corebank.predict.reading import pieces
from corebank.predict.refusing import PICTURES, refuse, refuse_ending, refuse_proxies
from corebank.predict.sources import laboratory, load, opened
from corebank.predict.tables import from_table, to_table
from corebank.predict.writing import refuse as refuse_out
from corebank.predict.writing import to_dataset, write

BATCH = 256
"""Spectra that go through the network at once."""


def quantify(model: bundle.Bundle, spectra: xr.Dataset | pd.DataFrame) -> pd.DataFrame:
    """Quantify every spectrum, in blocks: of the spectra no more than a block or two is in memory.

    Parameters
    ----------
    model
        A quantifier.
    spectra
        A run at intensity level on the model's energy grid [count/s], dask-backed or not, or such a run as a table
        (see `from_table`).

    Returns
    -------
    DataFrame
        A row per spectrum, in order: ``site``, ``expedition``, ``run`` where the spectra have them; ``core``,
        ``section``, ``section_position`` [mm], ``depth`` [mm]; for each proxy P ``P``, ``P_lower`` and ``P_upper``
        (90 % interval, NaN where the model knows none), ``P_unit`` and ``P_warning``, every reason to doubt this value;
        ``outlier_score`` (above 1: unlike the training spectra; NaN where the model cannot tell); ``warning``, every
        reason to doubt a value of any proxy. Warnings are empty or a sentence. A spectrum without one whole patch of
        measured energies gets NaN and says so. Shares of mass are between nothing and the whole.

    Raises `PredictError` for a foundation model, another energy grid, another unit, rates that are none, or no spectra.
    """
    return pd.concat(stream(model, spectra), ignore_index=True)


def stream(model: bundle.Bundle, spectra: xr.Dataset | pd.DataFrame) -> Iterator[pd.DataFrame]:
    """As `quantify`, table by table in order, so that the values need not be in memory together either."""
    ds = from_table(spectra) if isinstance(spectra, pd.DataFrame) else spectra
    refuse(model, ds)
    with tqdm(total=ds.sizes["spectrum"], unit=" spectra", delay=2, disable=None) as bar:
        for said in with_neighbours(_answers(model, ds), model.reach):
            yield judged(model, said.columns, said.network, said.score, said.cause)
            bar.update(len(said.score))


def _answers(model: bundle.Bundle, spectra: xr.Dataset) -> Iterator[Said]:
    """What is said of each spectrum by itself, piece by piece."""
    import torch

    from corebank.companion import Companion
    from corebank.model import Quantifier
    from corebank.uncertainty import Outlier

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = bundle.build(model, device)
    assert isinstance(network, Quantifier)
    detector = Outlier.from_arrays(dict(model.outlier)) if model.outlier else None
    companion = Companion.from_arrays(dict(model.companion)) if model.companion else None
    for values, measured, rates, columns in pieces(model, spectra):
        said = np.full((len(values), len(model.proxies)), np.nan)
        score = np.full(len(values), np.nan)
        cause = np.full(len(values), "", dtype=object)
        settings = None
        if model.config.settings:
            from corebank import feed

            settings = torch.from_numpy(feed.settings(columns))
        patches = measured.reshape(len(values), model.config.patches, model.config.patch)
        usable = np.flatnonzero(np.any(np.all(patches, axis=2), axis=1))  # the others have no token at all
        for at in (usable[start : start + BATCH] for start in range(0, len(usable), BATCH)):
            with torch.inference_mode():
                embedding = network.embed(
                    torch.from_numpy(values[at]).to(device),
                    torch.from_numpy(measured[at]).to(device),
                    None if settings is None else settings[at].to(device),
                )
                said[at] = network.head(embedding).cpu().numpy()
            if companion is not None:
                said[at] = companion.together(said[at], rates[at])
            if detector is not None:
                parts = detector.parts(embedding.cpu().numpy(), values[at], measured[at])
                distances = np.stack(list(parts.values()))
                score[at], cause[at] = (
                    distances.max(axis=0),
                    np.array(list(parts), dtype=object)[distances.argmax(axis=0)],
                )
        yield Said(columns, said, score, cause)


class Quantified(NamedTuple):
    """What came of `run`."""

    spectra: int
    warned: int
    """Spectra with a warning."""

    files: tuple[Path, ...]
    """What was written."""


def run(
    model: str,
    source: str,
    out: Path,
    *,
    toml: Path | None = None,
    plot: Path | None = None,
    explain: Path | None = None,
    proxies: Sequence[str] = (),
) -> Quantified:
    """Quantify `source` with `model`, and write the values to `out` as they come.

    Parameters
    ----------
    model
        Folder of a bundle, ``models:/name@alias`` or ``models:/name/number``.
    source, toml
        See `corebank.predict.sources.opened`.
    out
        See `write`.
    plot
        Picture of `proxies` (all of the model's if empty) against depth, with laboratory values where `source` comes
        with some: .png, .pdf or .svg. The values, not the spectra, are then held in memory.
    explain
        What each value rests on, element by element, see `corebank.predict.explaining.write`.

    Raises what `hub.resolve`, `opened`, `quantify` and `write` raise; `PredictError` for a proxy that is not given.
    """
    from corebank import hub

    quantifier = bundle.load(hub.resolve(model))
    refuse_out(out)
    for picture, endings in ((plot, PICTURES), (explain, explaining.ENDINGS)):
        if picture is not None:
            refuse_ending(picture, endings)
    chosen = refuse_proxies(quantifier, proxies)
    come = opened(source, quantifier.grid, toml)
    spectra = warned = 0
    kept: list[pd.DataFrame] = []

    def counted() -> Iterator[pd.DataFrame]:
        nonlocal spectra, warned
        for table in stream(quantifier, come.spectra):
            spectra, warned = spectra + len(table), warned + int((table["warning"] != "").sum())
            if plot is not None:
                kept.append(table)
            yield table

    write(counted(), out)
    files = [out]
    if plot is not None:
        from corebank.plot import depth_profile

        files.append(plot)
        values = pd.concat(kept, ignore_index=True)
        depth_profile(values, come.laboratory(), chosen).savefig(plot, dpi=200)
    if explain is not None:
        files += explaining.write(quantifier, come.spectra, explain, chosen)
    return Quantified(spectra, warned, tuple(files))


__all__ = [
    "Quantified",
    "by_interval",
    "from_table",
    "laboratory",
    "load",
    "machines",
    "quantify",
    "run",
    "stream",
    "to_dataset",
    "to_table",
    "write",
]
