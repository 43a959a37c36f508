"""Search over 100,000 runs of 100 members, no spectra written: ``python -m tests.bench.search [RUNS] [MEMBERS]``.

Every member is a folder with ``catalog.yaml`` and ``index.json`` of invented runs. What is timed: opening (every index
read and held ready), then each kind of search, the best and the median of twenty, and the processor time it took.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from corebank import catalog
from corebank.bank import descriptor, listing
from corebank.bank import index as files
from corebank.schema import EnergyGrid
from tests import memory as resident

ROUNDS = 20


def write_member(folder: Path, site: str, runs: int, seed: int) -> Path:
    """A bank's two files as they would be with so many runs, ten to an expedition; there is no repository."""
    random = np.random.default_rng(seed)
    names = [f"{site}-e{number // 10:05d}" for number in range(runs)]
    latitude, longitude = (
        random.uniform(-80, 80, runs).round(3).tolist(),
        random.uniform(-180, 180, runs).round(3).tolist(),
    )
    top = random.uniform(0, 9000, runs).round(1)
    voltage = random.choice([10.0, 30.0, 50.0], runs)
    shares = random.dirichlet(np.ones(len(descriptor.bands())), runs)
    columns: dict[str, list[Any]] = {
        "expedition": names,
        "run": [f"s{number % 10}" for number in range(runs)],
        "title": [f"Cruise {name} to the margin of somewhere" for name in names],
        **{name: [""] * runs for name in ("steward", "doi", "citation", "embargo_until", "model", "head", "filter")},
        "region": random.choice(["Bay of Biscay", "Southern Ocean", "Lake Ohrid"], runs).tolist(),
        "licence": random.choice(["CC-BY-4.0", "CC0-1.0", "OGL-UK-3.0"], runs).tolist(),
        "synthetic": [False] * runs,
        "scanner": random.choice(["itrax", "avaatech"], runs).tolist(),
        "anode": random.choice(["Mo", "Rh", "Cr"], runs).tolist(),
        "tube_voltage": voltage.tolist(),
        "spectra": random.integers(50, 3000, runs).tolist(),
        "cores": [[f"C-{number // 5}"] for number in range(runs)],
        "core_depths": [[[low, low + 1000.0]] for low in top.tolist()],
        "depth_top": top.tolist(),
        "depth_bottom": (top + 1000).tolist(),
        "energy_min": [0.8] * runs,
        "energy_max": np.minimum(voltage, 40).tolist(),
        "descriptor": [descriptor.to_integers(one) for one in np.sqrt(shares)],
        "south": latitude,
        "west": longitude,
        "north": latitude,
        "east": longitude,
        "proxies": [{"CaCO3": 12, "TOC": 7} if number % 3 == 0 else {} for number in range(runs)],
    }
    folder.mkdir(parents=True)
    document = {"corebank_index": files.FORMAT, "site": site, "snapshot": "S", "columns": columns}
    (folder / files.FILE_NAME).write_text(files.text(document), encoding="utf-8")
    path = folder / listing.FILE_NAME
    listing.write(path, listing.text(site, {}, snapshot="S"))
    return path


def main(runs: int = 100_000, members: int = 100) -> dict[str, Any]:
    """Write the members, open them, search them; returns seconds and milliseconds."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        paths = {
            f"site-{number}": write_member(root / f"site-{number}", f"site-{number}", runs // members, number)
            for number in range(members)
        }
        catalog.write_federation(root / "federation.yaml", paths)
        start, busy = time.perf_counter(), time.process_time()
        opened = catalog.index(root / "federation.yaml")
        opening, opening_cpu = time.perf_counter() - start, time.process_time() - busy
        assert len(opened) == runs
        assert not opened.partly
        assert not opened.away
    spectrum = np.random.default_rng(0).poisson(100, EnergyGrid().bins).astype(np.float64)
    searches: dict[str, Callable[[], Any]] = {
        "everything (100,000 hits)": lambda: catalog.search(opened),
        "everything, as a table": lambda: catalog.search(opened).table,
        "text": lambda: catalog.search(opened, "biscay margin"),
        "text of one expedition": lambda: catalog.search(opened, "site-7-e00042"),
        "proxy": lambda: catalog.search(opened, proxy="CaCO3", min_labels=5),
        "element line": lambda: catalog.search(opened, element="Sr"),
        "scanner, anode, kV": lambda: catalog.search(opened, scanner="itrax", anode="Mo", tube_voltage=(25, 35)),
        "region": lambda: catalog.search(opened, region=(40, -20, 60, 10)),
        "depth": lambda: catalog.search(opened, depth=(0, 500)),
        "licence, spectra": lambda: catalog.search(opened, licence="CC0-1.0", min_spectra=2500),
        "all of these": lambda: catalog.search(
            opened,
            "biscay",
            proxy="TOC",
            element="Fe",
            scanner="itrax",
            region=(0, -90, 80, 90),
            depth=(0, 4000),
            licence="CC-BY-4.0",
        ),
        "similar spectrum": lambda: catalog.nearest(opened, spectrum),
    }
    told: dict[str, Any] = {
        "runs": runs,
        "members": members,
        "opening_s": round(opening, 2),
        "opening_cpu_s": round(opening_cpu, 2),
        "memory_mb": resident.peak() // 2**20,
        "search_ms": {},
    }
    for name, search in searches.items():
        took, used = [], []
        for _ in range(ROUNDS):
            start, busy = time.perf_counter(), time.process_time()
            found = search()
            took.append(1000 * (time.perf_counter() - start))
            used.append(1000 * (time.process_time() - busy))
        told["search_ms"][name] = {
            "best": round(min(took), 1),
            "median": round(statistics.median(took), 1),
            "cpu": round(statistics.median(used), 1),
            "hits": len(found),
        }
    return told


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:])), indent=2))
