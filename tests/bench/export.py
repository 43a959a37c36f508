"""A bank's spectra to plain Zarr, beside Zarr's own copy of the same arrays: ``python -m tests.bench.export``.

Zarr's copy reads each array of a plain store by shards and writes them into another one of the same chunks and codecs.
Ours goes through `corebank.bank.exporting.export`: out of Icechunk, through xarray and Dask, with checksums. Both start
from the same spectra, in turn, in one run; the figure is the ratio of the medians.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import xarray as xr
import zarr

from corebank import bank, calibrate
from corebank.bank import exporting, layout
from corebank.schema import SPECTRUM, EnergyGrid

RUN = 4000
"""Spectra of one run: two metres of core at half a millimetre."""


def stored(where: Path, spectra: int) -> bank.Bank:
    """A bank of runs of virtual counts on 2,048 channels, written as an added contribution's are."""
    made = bank.create(where, site="bench")
    rng, grid = np.random.default_rng(0), EnergyGrid()
    mean = 40 * np.exp(-np.linspace(0, 6, 2048)) + 0.5
    sizes = {f"r{number}": RUN for number in range(-(-spectra // RUN))}
    with made._repository.writing():
        session = made._repository.session()
        layout.describe(
            session.store, "e", {"title": "bench", "licence": "CC0-1.0", "cores": [], "runs": sizes, "measurements": 0}
        )
        for name in sizes:
            run = _run(rng.poisson(mean, (RUN, 2048)).astype(np.uint32), name)
            on_grid = calibrate.intensity(run, grid, name)
            whole = run.assign(intensity=on_grid["intensity"]).assign_coords(energy=on_grid["energy"])
            layout.write(session.store, {f"e/{name}": whole})
        made._repository.commit(session, "spectra to time")
    return bank.open_bank(where)


def _run(counts: np.ndarray, name: str) -> xr.Dataset:
    rows = len(counts)
    columns = {
        column: (
            "spectrum",
            np.array([f"{column} {name} {row}" for row in range(rows)], dtype=object)
            if variable.dtype == "str"
            else np.ones(rows).astype(variable.dtype),
        )
        for column, variable in SPECTRUM.items()
    }
    columns["energy_gain"] = ("spectrum", np.full(rows, 0.02))
    columns["energy_offset"] = ("spectrum", np.zeros(rows))
    columns["tube_voltage"] = ("spectrum", np.full(rows, 30.0))
    about = {"scanner": "itrax", "head": "", "anode": "Mo", "filter": "", "first_channel": 0, "last_channel": 2047}
    return xr.Dataset({"counts": (("spectrum", "channel"), counts), **columns}, attrs=about)


def copied(plain: Path, out: Path) -> None:
    """Zarr's own copy: every array by shards, arrays one after the other, two shards at once."""
    source, target = zarr.open_group(plain, mode="r"), zarr.open_group(out, mode="w")
    for name, array in source.arrays():
        made = zarr.from_array(target.store, data=array, name=name, write_data=False)
        rows = (array.shards or array.chunks)[0]

        def copy(start: int, array: zarr.Array = array, made: zarr.Array = made, rows: int = rows) -> None:
            made[start : start + rows] = array[start : start + rows]

        with ThreadPoolExecutor(2) as crew:
            list(crew.map(copy, range(0, array.shape[0], rows)))


def main(spectra: int = 24000, turns: int = 3) -> None:
    """Time both in turn; print the medians and their ratio, for intensities and for counts."""
    with tempfile.TemporaryDirectory() as scratch:
        at = Path(scratch)
        held = stored(at / "bank", spectra)
        for level in ("intensity", "counts"):
            plain, seconds = at / f"{level}.zarr", {"zarr": [], "corebank": []}  # type: ignore[var-annotated]
            exporting.export(held.spectra("e", level=level), plain)
            for turn in range(turns):
                for who, work in (
                    ("zarr", lambda out, plain=plain: copied(plain, out)),
                    ("corebank", lambda out, level=level: exporting.export(held.spectra("e", level=level), out)),
                ):
                    out = at / f"{who}-{turn}.zarr"
                    start = time.perf_counter()
                    work(out)
                    seconds[who].append(time.perf_counter() - start)
                    shutil.rmtree(out)
            middle = {who: float(np.median(values)) for who, values in seconds.items()}
            size = sum(path.stat().st_size for path in plain.rglob("*") if path.is_file()) / 1e6
            for who, value in middle.items():
                runs = ", ".join(f"{one:.1f}" for one in seconds[who])
                print(f"{level}, {who}: {spectra / value:.0f} spectra/s ({runs} s; {size:.0f} MB)")
            print(f"{level}, ratio: {middle['zarr'] / middle['corebank']:.2f}")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
