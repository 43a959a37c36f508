"""How long a federation of 1,000 expeditions takes to open, no spectra written: ``python -m tests.bench.federation``.

As a thousand members of one expedition, and as ten members of a hundred; catalogs are written as banks write them.
Timed are, each on its own and with nothing kept from before: opening and listing the members; looking into every
member and listing its entries; one entry by its name; and the same listing through `intake.open_catalog`, which is how
a user without corebank's own `open_catalog` does it. Best and median of several.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import intake

from corebank import catalog
from corebank.bank import listing

SHAPES = {"1000 members of 1 expedition": (1000, 1), "10 members of 100 expeditions": (10, 100)}


def expedition(name: str) -> dict[str, Any]:
    """What a bank knows of an expedition: two cores in two runs, laboratory values, as contributions give it."""
    cores = [{"name": f"{name}-{one}", "latitude": 54.5, "longitude": -20.25, "water_depth": 1200.0} for one in (1, 2)]
    about = {"name": name, "title": f"Cruise {name} to the margin", "site": "", "steward": "A. Steward"}
    about |= {"licence": "CC-BY-4.0", "doi": "10.1594/0000", "citation": "Steward (2020)", "region": "Bay of Biscay"}
    return {**about, "embargo_until": "", "cores": cores, "runs": {"s1": 700, "s2": 650}, "measurements": 40}


def write(root: Path, members: int, each: int) -> Path:
    """A federation of so many members with so many expeditions each; returns its file. There are no repositories."""
    paths: dict[str, str | Path] = {}
    for number in range(members):
        site = f"site-{number:04d}"
        paths[site] = root / site / listing.FILE_NAME
        (root / site).mkdir(parents=True)
        names = [f"{site}-e{one:03d}" for one in range(each)]
        listing.write(root / site / listing.FILE_NAME, listing.text(site, {name: expedition(name) for name in names}))
    catalog.write_federation(root / "federation.yaml", paths)
    return root / "federation.yaml"


def measured(path: Path, times: int) -> Mapping[str, tuple[float, float]]:
    """What was done -> best and median seconds."""
    last = sorted(one.parent.name for one in path.parent.glob(f"*/{listing.FILE_NAME}"))[-1]
    ways: dict[str, Callable[[], Any]] = {
        "open and list the members": lambda: list(catalog.open_catalog(path)),
        "open and list every entry of every member": lambda: list(catalog.sources(catalog.open_catalog(path))),
        "open and ask how every member stands": lambda: catalog.members(path),
        "open one entry by its name": lambda: catalog.open_catalog(path)[last][f"{last}-e000"],
        "intake.open_catalog and list the members": lambda: list(intake.open_catalog(str(path))),
        "intake.open_catalog and one entry": lambda: intake.open_catalog(str(path))[last][f"{last}-e000"],
    }
    told = {}
    for name, work in ways.items():
        took = []
        for _ in range(times):
            start = time.perf_counter()
            work()
            took.append(time.perf_counter() - start)
        told[name] = (min(took), statistics.median(took))
    return told


def main(shapes: Mapping[str, tuple[int, int]] = SHAPES, times: int = 5) -> dict[str, Any]:
    """Write each federation, open it, and return the figures."""
    found: dict[str, Any] = {}
    for shape, (members, each) in shapes.items():
        with tempfile.TemporaryDirectory() as scratch:
            path = write(Path(scratch), members, each)
            assert len(list(catalog.sources(path))) == members * each
            found[shape] = {
                name: {"best_ms": round(1000 * best, 1), "median_ms": round(1000 * middle, 1)}
                for name, (best, middle) in measured(path, times).items()
            }
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    print(json.dumps(main(times=parser.parse_args().times), indent=2))
