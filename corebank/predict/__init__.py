"""From spectra and a bundle to values with intervals and warnings; refuses what the bundle was not made for.

A prediction comes with the reasons to doubt it: a spectrum unlike any that the model has seen, a machine it has never
seen, a flag of the bank, a value beyond the training labels. The warning says so in words.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from corebank import bundle, quality, schema
from corebank.errors import PredictError
from corebank.predict.tables import from_table, to_dataset, to_table, write
from corebank.schema import EnergyGrid

BATCH = 256
"""Spectra that go through the network at once."""

PLACE = ("core", "section", "section_position", "depth")
"""Columns that say where a value belongs; empty or NaN where the spectra do not say."""


def quantify(model: bundle.Bundle, spectra: xr.Dataset | pd.DataFrame) -> pd.DataFrame:
    """Quantify every spectrum, in blocks, so that memory does not grow with their number.

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
        A row per spectrum, in order: ``core``, ``section``, ``section_position`` [mm], ``depth`` [mm]; for each proxy P
        ``P``, ``P_lower`` and ``P_upper`` (90 % interval, NaN where the model knows none) and ``P_unit``;
        ``outlier_score`` (above 1: unlike the training spectra; NaN where the model cannot tell); ``warning``, empty or
        a sentence. A spectrum without one whole patch of measured energies gets NaN and says so.

    Raises `PredictError` for a foundation model, another energy grid, another unit, or no spectra.
    """
    import torch

    from corebank.model import Quantifier
    from corebank.uncertainty import Outlier

    ds = from_table(spectra) if isinstance(spectra, pd.DataFrame) else spectra
    _refuse(model, ds)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = bundle.build(model, device)
    assert isinstance(network, Quantifier)
    settings = None
    if model.config.settings:
        from corebank import feed

        settings = torch.from_numpy(feed.settings(ds))
    detector = Outlier.from_arrays(dict(model.outlier)) if model.outlier else None
    rows = ds.sizes["spectrum"]
    network_units = np.full((rows, len(model.proxies)), np.nan)
    score = np.full(rows, np.nan)
    with torch.inference_mode(), tqdm(total=rows, unit=" spectra", delay=2, disable=None) as bar:
        for first, block in _blocks(ds["intensity"]):
            values, measured = model.normalization(block)
            patches = measured.reshape(len(block), model.config.patches, model.config.patch)
            usable = np.flatnonzero(np.any(np.all(patches, axis=2), axis=1))  # the others have no token at all
            for at in (usable[start : start + BATCH] for start in range(0, len(usable), BATCH)):
                embedding = network.embed(
                    torch.from_numpy(values[at]).to(device),
                    torch.from_numpy(measured[at]).to(device),
                    None if settings is None else settings[first + at].to(device),
                )
                network_units[first + at] = network.head(embedding).cpu().numpy()
                if detector is not None:
                    score[first + at] = detector.score(embedding.cpu().numpy())
            bar.update(len(block))
    return _table(model, ds, network_units, score)


def run(model: str, source: str, out: Path, *, plot: Path | None = None, proxy: str | None = None) -> pd.DataFrame:
    """Quantify `source` with `model`, write the values to `out`, a depth profile to `plot`, and return the values.

    Parameters
    ----------
    model
        Folder of a bundle, ``models:/name@alias`` or ``models:/name/number``.
    source
        See `load`.
    out
        See `write`.
    plot
        Picture of `proxy` (the model's first one if None) against depth, with laboratory values where `source` comes
        with some: .png, .pdf or .svg.

    Raises what `hub.resolve`, `load`, `quantify` and `write` raise.
    """
    from corebank import hub

    quantifier = bundle.load(hub.resolve(model))
    values = quantify(quantifier, load(source, quantifier.grid))
    write(values, out)
    if plot is not None:
        from corebank.plot import depth_profile

        depth_profile(values, laboratory(source), proxy or quantifier.proxies[0].name).savefig(plot, dpi=200)
    return values


def load(source: str, grid: EnergyGrid) -> xr.Dataset:
    """Spectra from wherever a user has them.

    Parameters
    ----------
    source
        A folder of scanner files; a table of spectra (``.csv`` or ``.parquet``, see `from_table`); or
        ``BANK::expedition`` or ``BANK::expedition/run``, which stays lazy.
    grid
        Energy grid that scanner files are brought to; tables and banks keep theirs.

    Raises `PredictError` when `source` is none of these, and what the readers, the bank or the table raise.
    """
    bank, entry, name = source.partition("::")
    path = Path(source)
    if entry:
        from corebank.bank import open_bank

        expedition, _, one_run = name.partition("/")
        return open_bank(bank).spectra(expedition, one_run)
    if path.is_dir():
        from corebank.contribution import spectra

        if (path / "catalog.yaml").is_file():
            raise PredictError(source, "a bank, which holds several expeditions", f"Name one: {source}::EXPEDITION")
        return spectra(path, grid)
    if not path.is_file() or path.suffix not in (".csv", ".parquet"):
        raise PredictError(
            source, "neither a folder, nor a .csv or .parquet table, nor BANK::expedition", "Name one of these"
        )
    table = pd.read_csv(path, dtype={"core": str, "section": str}) if path.suffix == ".csv" else pd.read_parquet(path)
    return from_table(table, where=source)


def laboratory(source: str) -> pd.DataFrame | None:
    """Laboratory values that lie with what `load` reads, in the bank or beside the folder; None without any."""
    bank, entry, name = source.partition("::")
    if entry:
        from corebank.bank import open_bank

        opened, expedition = open_bank(bank), name.partition("/")[0]
        return opened.measurements(expedition) if opened.attributes(expedition).get("measurements") else None
    if Path(source).is_dir():
        from corebank.contribution import measurements

        return measurements(Path(source))
    return None


def machines(spectra: xr.Dataset) -> NDArray[np.object_]:
    """The machine behind each spectrum in words, ``"Mo 30 kV"``; empty where anode or tube voltage is unknown."""
    n = spectra.sizes["spectrum"]
    anode = spectra["anode"].values if "anode" in spectra else np.full(n, "")
    voltage = spectra["tube_voltage"].values if "tube_voltage" in spectra else np.full(n, np.nan)
    words = [f"{a} {v:g} kV" if a and np.isfinite(v) else "" for a, v in zip(anode, voltage, strict=True)]
    return np.array(words, dtype=object)


def _refuse(model: bundle.Bundle, spectra: xr.Dataset) -> None:
    """Raise `PredictError` unless `model` can quantify `spectra`."""
    if model.kind != "quantifier":
        raise PredictError(
            model.name,
            "a foundation model, which gives no values",
            "Fine-tune it with python -m training.finetune, or choose a quantifier",
        )
    if "intensity" not in spectra:
        raise PredictError(
            model.name,
            f"the spectra hold {', '.join(map(str, spectra)) or 'nothing'}, no intensity",
            "Open them at level intensity",
        )
    if not spectra.sizes["spectrum"]:
        raise PredictError(model.name, "there are no spectra", "Check the folder or the selection")
    unit, wanted = spectra["intensity"].attrs.get("units"), schema.INTENSITY.units
    if unit != wanted:
        raise PredictError(
            model.name,
            f"the intensity is in {unit or 'no unit'}, the model reads {wanted}",
            "Divide counts by the live time and set the attribute units",
        )
    energy, centres = spectra["energy"].values, model.grid.centres
    if energy.shape != centres.shape or not np.allclose(energy, centres, rtol=0, atol=model.grid.step / 100):
        raise PredictError(
            model.name,
            f"the spectra are on {_axis(energy)}, the model reads {_axis(centres)}",
            "Read the scanner's own files, or bring them to the model's grid with corebank.calibrate",
        )


def _blocks(intensity: xr.DataArray) -> Iterator[tuple[int, NDArray[Any]]]:
    """First row and values of each dask block along ``spectrum``; all at once where there are none."""
    sizes = intensity.chunksizes.get("spectrum", (intensity.sizes["spectrum"],))
    for first, size in zip(np.cumsum((0, *sizes[:-1])), sizes, strict=True):
        yield int(first), intensity.isel(spectrum=slice(first, first + size)).values


def _table(
    model: bundle.Bundle,
    spectra: xr.Dataset,
    network_units: NDArray[Any],
    score: NDArray[Any],
) -> pd.DataFrame:
    """Network units (spectrum, proxy) and outlier scores (spectrum,) as what `quantify` returns."""
    rows = spectra.sizes["spectrum"]
    columns: dict[str, Any] = {}
    for name in PLACE:
        empty = "" if schema.SPECTRUM[name].dtype == "str" else np.nan
        columns[name] = spectra[name].values if name in spectra else np.full(rows, empty)
    for proxy, z in zip(model.proxies, network_units.T, strict=True):
        columns[proxy.name] = proxy.inverse(z)
        columns[f"{proxy.name}_lower"] = proxy.inverse(z - proxy.half_width)
        columns[f"{proxy.name}_upper"] = proxy.inverse(z + proxy.half_width)
        columns[f"{proxy.name}_unit"] = proxy.unit
    columns["outlier_score"] = score
    table = pd.DataFrame(columns)
    return table.assign(warning=_doubts(model, spectra, table))


def _doubts(model: bundle.Bundle, spectra: xr.Dataset, table: pd.DataFrame) -> list[str]:
    """For each spectrum, every reason not to trust its values as one sentence; "" where there is none."""
    found: list[list[str]] = [[] for _ in range(len(table))]

    def doubt(where: NDArray[np.bool_], why: str) -> None:
        for row in np.flatnonzero(where):
            found[row].append(why)

    score, machine = table["outlier_score"].to_numpy(), machines(spectra)
    doubt(table[model.proxies[0].name].isna().to_numpy(), "no patch of the energy axis was measured as a whole")
    doubt(score > 1, "unlike the spectra the model has seen")
    for proxy in model.proxies:
        value = table[proxy.name].to_numpy()
        labels = f"the training labels ({proxy.low:.4g} to {proxy.high:.4g} {proxy.unit})"
        doubt((value < proxy.low) | (value > proxy.high), f"value of {proxy.name} is beyond {labels}")
    for unseen in sorted(set(machine) - {"", *model.lineage.machines}) if model.lineage.machines else ():
        doubt(machine == unseen, f"the model has never seen {unseen}, only {', '.join(model.lineage.machines)}")
    flags = spectra["flags"].values if "flags" in spectra else np.zeros(len(table), np.uint32)
    for bits in np.unique(flags[flags != 0]):
        doubt(flags == bits, f"flagged: {', '.join(quality.names(int(bits)))}")
    return [text[:1].upper() + text[1:] for text in map("; ".join, found)]


def _axis(energy: NDArray[Any]) -> str:
    step = f" of {1000 * (energy[-1] - energy[0]) / (len(energy) - 1):.6g} eV" if len(energy) > 1 else ""
    return f"{len(energy)} bins{step} from {energy[0]:.6g} keV"


__all__ = ["from_table", "laboratory", "load", "machines", "quantify", "run", "to_dataset", "to_table", "write"]
