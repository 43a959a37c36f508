"""What quantifying costs beside the bare network, and what it holds in memory: ``python -m tests.bench.predict``.

Rate: the preset ``tiny`` (0.9 M parameters) on batches that lie normalised in memory, beside the whole way out of a
bank: read, normalise, quantify, judge, write to Parquet. Both in turn in one run; the figures are spectra per second of
the clock and of processor time, which other work on the machine does not change, and the ratios of their medians.

Memory: the largest resident memory of a process that quantifies a lazy selection and writes it to Zarr, for a tenth of
the spectra and for all of them; the spectra are made block by block as a bank would be read, and the network is the
smallest, so that the machine is busy with what is not the network.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import torch
import xarray as xr

from corebank import bundle, predict, schema, uncertainty
from corebank.bank import layout
from corebank.model import PRESETS, ModelConfig, Quantifier
from corebank.normalize import Normalization
from tests import memory as resident
from tests.bench import export

SMALLEST = ModelConfig(patch=128, width=16, depth=1, heads=2, settings=False)
"""Sixteen tokens of sixteen numbers."""


def model(config: ModelConfig) -> bundle.Bundle:
    """A quantifier of two proxies with random weights, and a detector that has seen random embeddings."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    known = random.normal(size=(400, config.width))
    values = random.normal(size=(400, config.bins)).astype(np.float32)
    points = uncertainty.Points(known, values, np.ones(values.shape, dtype=bool))
    detector = uncertainty.cross_fit_outlier(points, np.repeat(np.arange(20), 20).tolist())
    proxies = tuple(
        bundle.Proxy(name=name, unit="wt%", transform="identity", mean=30, std=20, half_width=0.5, low=0, high=90)
        for name in ("CaCO3", "TOC")
    )
    return bundle.Bundle(
        kind="quantifier",
        name="bench",
        config=config,
        normalization=Normalization(),
        weights=Quantifier(config, 2).state_dict(),
        proxies=proxies,
        outlier={name: torch.from_numpy(np.asarray(array)) for name, array in detector.arrays().items()},
        lineage=bundle.DataLineage(machines=("Mo 30 kV",)),
    )


def lazy(spectra: int, bins: int = 2048) -> xr.Dataset:
    """A selection of so many spectra, in blocks of a shard, each of which is made when it is asked for."""

    def made(_: Any, block_info: Any = None) -> np.ndarray:
        (first, last), *_ = block_info[None]["array-location"]
        return np.random.default_rng(first).exponential(50, (last - first, bins)).astype(np.float32)

    rows = da.zeros((spectra, bins), chunks=(layout.SHARD, bins), dtype=np.float32)
    intensity = rows.map_blocks(made, dtype=np.float32)
    columns = {"depth": np.arange(spectra, dtype=np.float64), "core": np.full(spectra, "A", dtype=object)}
    return xr.Dataset(
        {"intensity": (("spectrum", "energy"), intensity, {"units": "count/s"}), **schema.spectrum_columns(columns)},
        coords={"energy": ("energy", SMALLEST.grid.centres)},
    )


def peak(spectra: int, out: Path) -> int:
    """Quantify so many spectra to `out`, and return the largest resident memory of this process [MB]."""
    predict.write(predict.stream(model(SMALLEST), lazy(spectra)), out)
    return resident.peak() // 2**20


def memory(spectra: int) -> dict[int, int]:
    """Spectra -> largest resident memory [MB], each in a process of its own."""
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for many in (layout.SHARD, spectra // 10, spectra):
            out = f"{scratch}/{many}.zarr"
            code = f"from tests.bench import predict; print(predict.peak({many}, predict.Path({out!r})))"
            said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
            found[many] = int(said)
    return found


def rates(spectra: int, turns: int) -> dict[str, dict[str, float]]:
    """Way -> spectra per second, of the clock and of processor time."""
    made, found = model(PRESETS["tiny"]), {}
    with tempfile.TemporaryDirectory() as scratch:
        bank = export.stored(Path(scratch) / "bank", spectra)
        whole = bank.spectra("e")
        spectra = whole.sizes["spectrum"]
        network = bundle.build(made)
        values, measured = made.normalization(whole["intensity"].values)
        batches = [
            (torch.from_numpy(values[at : at + predict.BATCH]), torch.from_numpy(measured[at : at + predict.BATCH]))
            for at in range(0, spectra, predict.BATCH)
        ]

        def bare() -> None:
            with torch.inference_mode():
                for some, known in batches:
                    network(some, known)

        ways: dict[str, Callable[[], object]] = {
            "bare network": bare,
            "bank to values": lambda: [len(table) for table in predict.stream(made, bank.spectra("e"))],
            "bank to Parquet": lambda: predict.write(
                predict.stream(made, bank.spectra("e")), Path(scratch) / "values.parquet"
            ),
        }
        took: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for turn in range(turns + 1):
            for way, work in ways.items():
                clock, processor = time.perf_counter(), time.process_time()
                work()
                if turn:  # the first one imports, and waits for the disk
                    took[way].append((time.perf_counter() - clock, time.process_time() - processor))
    for way, each in took.items():
        clock, processor = np.median(each, axis=0)
        found[way] = {"clock": round(spectra / clock, 1), "processor": round(spectra / processor, 1)}
    for way in list(found)[1:]:
        found[way] |= {
            f"{kind} against bare": round(found[way][kind] / found["bare network"][kind], 3)
            for kind in ("clock", "processor")
        }
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spectra", type=int, default=4096)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--many", type=int, default=200_000)
    said = parser.parse_args()
    print(json.dumps({"rates": rates(said.spectra, said.turns), "memory": memory(said.many)}, indent=2))
