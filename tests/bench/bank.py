"""What a bank costs beside plain Zarr, and what adding costs as it grows: ``python -m tests.bench.bank``.

Reading: counts and intensity of a run of 8,192 spectra of 2,048 channels through `Bank.run`, beside the same arrays in
plain Zarr with the same chunks, shards and codecs, and beside plain Zarr without the checksums; all written and read
in the same run, in turn, medians and their ratios. Adding: the same small contribution under a new name each time,
into a bank that holds nothing, ten, a hundred and three hundred expeditions; what is timed is the add, its commit and
the listing beside it, and what is counted is the objects and bytes of the repository that it wrote.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dask
import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec

from corebank import bank as banks
from corebank import contribution, schema
from corebank.bank import chunks, layout, listing, repository
from corebank.contribution import Contribution
from tests.conftest import GRID
from tests.scanner import write_expedition

CHANNELS = 2048


def realistic(spectra: int) -> xr.Dataset:
    """A run of `spectra` made-up spectra: a continuum and a dozen lines that change along the core, Poisson counts."""
    random, channel = np.random.default_rng(1), np.arange(CHANNELS)
    places, widths = random.uniform(100, 900, 12), random.uniform(4, 9, 12)
    lines = np.exp(-0.5 * ((channel - places[:, None]) / widths[:, None]) ** 2)
    heights = 40 * np.abs(np.cumsum(random.normal(0, 0.05, (spectra, 12)), axis=0) + 1)
    expected = heights @ lines + 3 * np.exp(-(((channel - 500) / 300) ** 2))
    counts = random.poisson(expected).astype(np.uint32)
    intensity = (counts / np.float32(9.5)).astype(np.float32)
    return xr.Dataset(
        {"counts": (("spectrum", "channel"), counts), "intensity": (("spectrum", "energy"), intensity)},
        coords={"energy": np.arange(CHANNELS) * 0.02},
    ).chunk(spectrum=layout.CHUNK)


def small(folder: Path) -> Contribution:
    """A contribution of two runs of five spectra, with laboratory values and evaluations."""
    return contribution.checked(write_expedition(folder))


def called(given: Contribution, name: str) -> Contribution:
    """The same contribution as another expedition."""
    expedition = replace(given.metadata.expedition, name=name)
    return replace(given, metadata=replace(given.metadata, expedition=expedition))


def median(work: Callable[[], object], times: int) -> float:
    """Median seconds of `work`."""
    return float(np.median(list(seconds(work, times))))


def seconds(work: Callable[[], object], times: int) -> Iterator[float]:
    """Seconds of each of `times` runs of `work`."""
    for _ in range(times):
        start = time.perf_counter()
        work()
        yield time.perf_counter() - start


def reading(spectra: int, turns: int) -> dict[str, float]:
    """Seconds by what is read and how, medians of `turns` in which all take part one after the other."""
    took: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        at, run = Path(scratch), realistic(spectra)
        in_bank = written(at, run, took)
        plain, bare = zarr.open_group(at / "plain.zarr", mode="r"), zarr.open_group(at / "bare.zarr", mode="r")
        ways: dict[str, Callable[[], Any]] = {}
        for name in ("counts", "intensity"):
            ways |= {
                f"read {name}: bank": lambda name=name: in_bank[name].compute(),
                f"read {name}: plain Zarr": lambda name=name: plain[f"run/{name}"][...],
                f"read {name}: plain Zarr by dask": lambda name=name: by_dask(at / "plain.zarr", name),
                f"read {name}: plain Zarr, no checksums": lambda name=name: bare[f"run/{name}"][...],
            }
        for name in ("counts", "intensity"):  # every way gives the same, and all files are in the system's memory
            first, *others = [np.asarray(work()) for way, work in ways.items() if f" {name}:" in way]
            assert all(np.array_equal(first, other) for other in others), name
        for _ in range(turns):
            for way, work in ways.items():
                took.setdefault(way, []).extend(seconds(work, 1))
        rows = run["counts"].values
        took["digests of counts"] = list(seconds(lambda: layout.digests(rows), turns))
    return {way: float(np.median(each)) for way, each in took.items()}


def by_dask(path: Path, name: str) -> xr.DataArray:
    """An array of a plain store through xarray and dask, as a reader without a bank would open it."""
    return xr.open_zarr(path, group="run", consolidated=False, chunks={})[name].compute()


def written(at: Path, run: xr.Dataset, took: dict[str, list[float]]) -> xr.Dataset:
    """Write `run` to a bank, to plain Zarr, and to plain Zarr without checksums; returns it as the bank reads it."""

    def bank() -> None:
        made = banks.create(at / "bank", site="lab")
        session = made._repository.session()
        layout.write(session.store, {"long/run": run})
        made._repository.commit(session, "a long run")

    def plain() -> None:
        layout.write(zarr.storage.LocalStore(at / "plain.zarr"), {"run": run})

    def bare() -> None:
        group = zarr.create_group(at / "bare.zarr").create_group("run")
        model = zarr.open_group(at / "plain.zarr", mode="r")
        for name in ("counts", "intensity"):
            of: Any = model[f"run/{name}"]
            codecs = [codec for codec in of.compressors if isinstance(codec, BloscCodec)]
            array = group.create_array(
                name, shape=of.shape, dtype=of.dtype, chunks=of.chunks, shards=of.shards, compressors=codecs
            )
            with dask.config.set(scheduler="threads"):
                run[name].data.rechunk({0: of.shards[0]}).store(array, lock=False)

    for name, work in (("bank", bank), ("plain Zarr", plain), ("plain Zarr, no checksums", bare)):
        took[f"write both: {name}"] = list(seconds(work, 1))
    store = banks.open_bank(at / "bank")._store
    group = zarr.open_group(chunks.strict(store), path="long/run", mode="r")
    named = {"counts": schema.COUNTS, "intensity": schema.INTENSITY}
    return xr.Dataset({name: layout._lazy(group[name], about) for name, about in named.items()})  # as Bank.run does


@dataclass
class Added:
    """What one add cost."""

    whole: float = 0.0
    processor: float = 0.0
    """Seconds of processor time, which other programs on the machine do not lengthen much."""
    commit: float = 0.0
    listed: float = 0.0
    """Seconds for ``catalog.yaml`` and ``index.json``."""
    objects: dict[str, int] = field(default_factory=dict)
    """Kind of object -> number that was written to the repository."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Kind of object -> bytes that were written to the repository."""


@contextmanager
def timed(owner: Any, name: str, told: list[float]) -> Iterator[None]:
    """Let every call of ``owner.name`` inside the block append its seconds to `told`."""
    whole = getattr(owner, name)

    def timing(*given: Any, **more: Any) -> Any:
        start = time.perf_counter()
        try:
            return whole(*given, **more)
        finally:
            told.append(time.perf_counter() - start)

    setattr(owner, name, timing)
    try:
        yield
    finally:
        setattr(owner, name, whole)


def stored(folder: Path) -> dict[str, int]:
    """Path -> size of every file of a repository."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def adding(marks: tuple[int, ...], times: int) -> dict[int, Added]:
    """The cost of one add to a bank that holds so many expeditions, medians of `times` adds at each mark."""
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        given = small(Path(scratch) / "raw")
        bank, held = banks.create(Path(scratch) / "bank", site="lab", grid=GRID), 0
        for mark in sorted(marks):
            while held < mark:
                bank.add(called(given, f"e{held:05d}"))
                held += 1
            before, many = stored(bank.path / "repository"), []
            for _ in range(times):
                processor, commits = time.process_time(), list[float]()
                listings: list[float] = []
                with timed(repository.Repository, "commit", commits), timed(listing, "publish", listings):
                    (whole,) = seconds(lambda held=held: bank.add(called(given, f"e{held:05d}")), 1)
                held += 1
                many.append((whole, time.process_time() - processor, sum(commits), sum(listings)))
            found[mark] = Added(*np.median(many, axis=0))
            new = {path: size for path, size in stored(bank.path / "repository").items() if path not in before}
            for path, size in new.items():
                kind = Path(path).parts[0]
                found[mark].objects[kind] = found[mark].objects.get(kind, 0) + 1
                found[mark].sizes[kind] = found[mark].sizes.get(kind, 0) + size
            found[mark].objects = {kind: -(-number // times) for kind, number in found[mark].objects.items()}
            found[mark].sizes = {kind: size // times for kind, size in found[mark].sizes.items()}
        shutil.rmtree(bank.path)
    return found


def main(spectra: int, turns: int, marks: tuple[int, ...], times: int) -> None:
    """Print both tables."""
    took = reading(spectra, turns)
    megabytes = spectra * CHANNELS * 4 / 1e6
    for way, value in took.items():
        rate = megabytes * (2 if way.startswith("write") else 1) / value
        print(f"{way}: {value * 1e3:.0f} ms, {rate:.0f} MB/s")
    for name in ("counts", "intensity"):
        bank, plain, dasks, bare = (
            took[f"read {name}: {way}"]
            for way in ("bank", "plain Zarr", "plain Zarr by dask", "plain Zarr, no checksums")
        )
        print(
            f"ratio {name}: bank at {plain / bank:.2f} of plain Zarr, {dasks / bank:.2f} of plain Zarr by dask; "
            f"checksums cost {plain / bare - 1:+.0%} on reading"
        )
    plain, bare = took["write both: plain Zarr"], took["write both: plain Zarr, no checksums"]
    bank = took["write both: bank"]
    print(f"ratio write: bank at {plain / bank:.2f} of plain Zarr; plain Zarr at {bare / plain:.2f} of none checked")
    for mark, one in adding(marks, times).items():
        spent = f"{one.whole * 1e3:.0f} ms ({one.processor * 1e3:.0f} ms of processor)"
        parts = f"commit {one.commit * 1e3:.0f} ms, listing {one.listed * 1e3:.0f} ms"
        print(f"add to {mark} expeditions: {spent}, of which {parts}; objects {one.objects}; bytes {one.sizes}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spectra", type=int, default=8192)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--marks", type=int, nargs="*", default=(0, 10, 100, 300))
    parser.add_argument("--times", type=int, default=5)
    said = parser.parse_args()
    main(said.spectra, said.turns, tuple(said.marks), said.times)
