"""A bank's spectra to plain Zarr, beside Zarr's own copy of the same arrays: ``python -m tests.bench.export``.

Zarr's copy reads each array of a plain store by shards and writes them into another one of the same chunks and codecs.
Ours goes through `corebank.bank.exporting.export`: out of Icechunk, through xarray and Dask, with checksums. Both start
from the same spectra, in turn, in one run; the figures are the ratios of the medians, by the clock and by the seconds
that the processors worked, which other work on the machine does not change.
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

from corebank import bank, calibrate, schema
from corebank.bank import exporting, layout
from corebank.schema import EnergyGrid

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
            whole = whole.assign_attrs(calibration_version=calibrate.CALIBRATION_VERSION)
            layout.write(session.store, {f"e/{name}": whole})
        made._repository.commit(session, "spectra to time")
    return bank.open_bank(where)


def _run(counts: np.ndarray, name: str) -> xr.Dataset:
    """A run of these counts with columns as a reader leaves them."""
    rows = len(counts)
    columns = {
        column: np.array([f"{column} {name} {row}" for row in range(rows)], dtype=object)
        if variable.dtype == "str"
        else np.ones(rows).astype(variable.dtype)
        for column, variable in schema.SPECTRUM.items()
    }
    columns |= {"energy_gain": np.full(rows, 0.02), "energy_offset": np.zeros(rows)}
    columns["tube_voltage"] = np.full(rows, 30.0)
    about = {"scanner": "itrax", "head": "", "anode": "Mo", "filter": "", "first_channel": 0, "last_channel": 2047}
    wide = (schema.COUNTS.dims, counts, schema.attributes(schema.COUNTS))
    return xr.Dataset({"counts": wide, **schema.spectrum_columns(columns)}, attrs=about)


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
            plain = at / f"{level}.zarr"
            taken: dict[str, list[tuple[float, float]]] = {"zarr": [], "corebank": []}
            exporting.export(held.spectra("e", level=level), plain)
            for turn in range(turns):
                for who, work in (
                    ("zarr", lambda out, plain=plain: copied(plain, out)),
                    ("corebank", lambda out, level=level: exporting.export(held.spectra("e", level=level), out)),
                ):
                    out = at / f"{who}-{turn}.zarr"
                    start = time.perf_counter(), time.process_time()
                    work(out)
                    taken[who].append((time.perf_counter() - start[0], time.process_time() - start[1]))
                    shutil.rmtree(out)
            middle = {who: np.median(values, axis=0) for who, values in taken.items()}
            size = sum(path.stat().st_size for path in plain.rglob("*") if path.is_file()) / 1e6
            for who, (clock, worked) in middle.items():
                print(f"{level}, {who}: {spectra / clock:.0f} spectra/s, {worked:.1f} s of processors ({size:.0f} MB)")
            print("{}, ratio: {:.2f} by the clock, {:.2f} by work".format(level, *middle["zarr"] / middle["corebank"]))


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
