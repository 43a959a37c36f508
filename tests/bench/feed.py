"""What the feed gives beside the published loader and a plain read of the bank: ``python -m tests.bench.feed``.

All in one run, in turn, on the same virtual spectra (synthetic): the published loader (`tests.bench.published`) without
workers and with two; the bank's intensity read in order, bare and through the catalog's dask, not shuffled and not
normalised; `corebank.feed.Feed` streaming a selection that is too large to be kept in memory, the same from its second
epoch on with a scratch file, and from memory, each also as one rank of two (its own spectra are counted), and from
memory with augmentation. The large selection is the bank several times over: its blocks are read from the bank again
each time, out of the system's file cache as those of every other way.

Then the share of a training step of `tiny` that waits for the feed, and the largest resident memory of a process that
streams the large selection, and one twice as large.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
import zarr

from corebank import bank as banks
from corebank import catalog, contribution, feed, parallel
from corebank.augment import Augmentation
from corebank.bank import chunks
from corebank.feed import Feed, slots
from corebank.model import PRESETS, SpectrumMAE
from corebank.normalize import Kind, Normalization
from tests import memory as resident
from tests.bench import contribute, published
from tests.bench.bank import called
from training.recipe import Optimiser
from training.schedule import adamw, descend

BATCH = 256
"""Spectra of a batch, as in the published study."""

EXPEDITION = 2000
"""Virtual spectra that are made; the bank holds them as several expeditions, for making them takes longest."""

AUGMENTED = Augmentation(thinning=0.25, gain=0.002, offset=0.02, resolution=0.05, cut=0.2)

STEP = 64
"""Spectra of a training step, as in the recipes of `tiny`."""

Way = Callable[[], Iterator[int]]
"""Starts an epoch; gives the number of spectra of each batch or block as it comes."""


def made(at: Path, spectra: int) -> Path:
    """Write a bank of about `spectra` spectra, and ``csv``, a folder with those of one of its expeditions.

    Returns the bank's catalog. Two thousand files are enough to time a loader that reads each by itself.
    """
    raw = contribute.raw_folder(at / "raw", min(spectra, EXPEDITION))
    contribute.published(raw, at / "csv")
    bank = banks.create(at / "bank", site="virtual-ocean")
    with parallel.scheduler(""):
        given = contribution.checked(raw)
    for number in range(-(-spectra // EXPEDITION)):
        bank.add(called(given, f"e{number}"))
    return bank.path / "catalog.yaml"


def selected(path: Path) -> xr.Dataset:
    """All spectra of a catalog, columns in memory and intensity lazy, as `training.data.spectra` has them."""
    lazy = catalog.select(path)
    return lazy.drop_vars("intensity").load().assign(intensity=lazy["intensity"])


def too_many(spectra: xr.Dataset) -> int:
    """How often `spectra` must be repeated until the feed cannot keep them in memory."""
    return int(slots.MEMORY // spectra["intensity"].nbytes) + 1


def repeated(spectra: xr.Dataset, often: int) -> xr.Dataset:
    """`spectra` several times over."""
    return xr.concat([spectra] * often, dim="spectrum")


def fed(spectra: xr.Dataset, kind: Kind = "standardise", **chosen: Any) -> Way:
    """A feed's epochs, one after the other."""
    source = Feed(spectra, normalization=Normalization(kind=kind), batch_size=BATCH, seed=0, **chosen)
    epochs = itertools.count()
    return lambda: (len(batch.row_B) for batch in source.epoch(next(epochs)))


def in_order(path: Path) -> Way:
    """The bank's intensity from the first run to the last, a shard at a time, with nothing between it and Zarr."""
    store = chunks.strict(banks.open_bank(path.parent)._store)
    arrays: list[Any] = [
        array
        for _, expedition in sorted(zarr.open_group(store, mode="r").groups())
        for _, run in sorted(expedition.groups())
        for name, array in run.arrays()
        if name == "intensity"
    ]

    def read() -> Iterator[int]:
        for array in arrays:
            shard = (array.shards or array.chunks)[0]
            for first in range(0, array.shape[0], shard):
                yield len(array[first : first + shard])

    return read


def by_dask(spectra: xr.Dataset) -> Way:
    """The selection's intensity, one dask block after the other."""
    blocks = spectra["intensity"].data.blocks
    return lambda: (len(blocks[number].compute()) for number in range(blocks.shape[0]))


def lengths(batches: Iterable[torch.Tensor]) -> Iterator[int]:
    """Spectra of each batch."""
    return (len(batch) for batch in batches)


def ways(at: Path, path: Path, workers: tuple[int, ...] = (0, 2)) -> dict[str, Way]:
    """Name to way, in the order in which they take turns."""
    some = selected(path)
    many = repeated(some, too_many(some))
    found: dict[str, Way] = {}
    for number in workers:
        source = published.loader(at / "csv", batch_size=BATCH, workers=number)
        found[f"published, {number} workers"] = partial(lengths, source)
    return found | {
        "in order, bare": in_order(path),
        "in order, dask": by_dask(some),
        "streamed": fed(many),
        "streamed, log": fed(many, "log"),
        "streamed, scratch": fed(many, scratch=at),
        "streamed, rank 0 of 2": fed(many, rank=0, world=2),
        "from memory": fed(some),
        "from memory, rank 0 of 2": fed(some, rank=0, world=2),
        "from memory, augmented": fed(some, augmentation=AUGMENTED),
    }


def rates(found: dict[str, Way], turns: int) -> dict[str, float]:
    """Spectra per second of each way, the median of `turns` in which all take part one after the other."""
    took: dict[str, list[float]] = {name: [] for name in found}
    for name, way in found.items():  # starts workers, fills caches; and what is to be kept is read once
        for rows in way():
            if not ("memory" in name or "scratch" in name) and rows:
                break
    for _ in range(turns):
        for name, way in found.items():
            start = time.perf_counter()
            rows = sum(way())
            took[name].append(rows / (time.perf_counter() - start))
    return {name: float(np.median(each)) for name, each in took.items()}


def factors(rate: dict[str, float]) -> dict[str, float]:
    """What the goals are about: at least 50 and at least 0.5."""
    slow = [name for name in rate if name.startswith("published")]
    against = {f"streamed / {name}": rate["streamed"] / rate[name] for name in (*slow, "in order, bare")}
    return against | {
        "streamed / in order, dask": rate["streamed"] / rate["in order, dask"],
        f"streamed, scratch / {slow[0]}": rate["streamed, scratch"] / rate[slow[0]],
        "streamed, scratch / in order, bare": rate["streamed, scratch"] / rate["in order, bare"],
        f"from memory / {slow[0]}": rate["from memory"] / rate[slow[0]],
    }


def waiting(spectra: xr.Dataset, steps: int, **chosen: Any) -> dict[str, float]:
    """Train `tiny` on a feed and tell how long it waited.

    Returns seconds until the first batch (of a streamed selection: until the shuffle buffer is full), the share of the
    other steps' time spent waiting for a batch, and how much longer they took than steps on one batch that lies ready,
    which also counts the processors that the feed takes from the model.
    """
    torch.manual_seed(0)
    network = SpectrumMAE(replace(PRESETS["tiny"], patch=32))
    optimiser, generator = adamw({1e-3: network.parameters()}, Optimiser()), torch.Generator().manual_seed(0)

    def step(batch: feed.Batch) -> float:
        """Its seconds."""
        start = time.perf_counter()
        loss = network(batch.values_BE, batch.measured_BE, batch.settings_BS, 0.5, generator).loss
        descend(network, optimiser, loss, 1.0, 1.0)
        return time.perf_counter() - start

    source = Feed(spectra, normalization=Normalization(), batch_size=STEP, seed=0, **chosen)
    batches = itertools.chain.from_iterable(source.epoch(number) for number in itertools.count())
    start = time.perf_counter()
    ready = next(batches)
    first = time.perf_counter() - start
    step(ready)
    alone, worked, waited = [], [], []
    for _ in range(steps):
        start = time.perf_counter()
        batch = next(batches)
        waited.append(time.perf_counter() - start)
        worked.append(step(batch))
    for _ in range(steps):
        alone.append(step(ready))
    whole = sum(waited) + sum(worked)
    return {
        "seconds to the first batch": first,
        "share of steps that waits": sum(waited) / whole,
        "steps longer by": whole / steps / float(np.mean(alone)) - 1,
        "spectra/s": steps * STEP / whole,
    }


def peak(path: Path, often: int) -> int:
    """Stream an epoch of the repeated selection; the largest resident memory of this process [MB]."""
    for _ in fed(repeated(selected(path), often))():
        pass
    return resident.peak() // 2**20


def memory(path: Path, repeats: Sequence[int]) -> dict[int, int]:
    """How often the selection is repeated -> peak [MB], each in a process of its own."""
    found = {}
    for often in repeats:
        code = f"from tests.bench import feed; print(feed.peak(feed.Path({str(path)!r}), {often}))"
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        found[often] = int(said)
    return found


def main(spectra: int, turns: int, steps: int) -> None:
    """Measure everything and print it as JSON."""
    with tempfile.TemporaryDirectory() as scratch:
        at = Path(scratch)
        path = made(at, spectra)
        some = selected(path)
        often, rows = too_many(some), some.sizes["spectrum"]
        many = repeated(some, often)
        rate = rates(ways(at, path), turns)
        told = {
            "spectra": {"from memory": rows, "streamed": often * rows},
            "spectra/s": {name: round(value) for name, value in rate.items()},
            "factors": factors(rate),
            "training": {
                "streamed": waiting(many, steps),
                "from memory": waiting(some, steps),
                "from memory, augmented": waiting(some, steps, augmentation=AUGMENTED),
            },
            "peak [MB] by streamed spectra": {
                str(times * rows): peaked for times, peaked in memory(path, (often, 2 * often)).items()
            },
        }
        print(json.dumps(told, indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spectra", type=int, default=16_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    said = parser.parse_args()
    main(said.spectra, said.turns, said.steps)
