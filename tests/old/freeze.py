"""Freeze a small bank of today's layout: ``python tests/old/freeze.py tests/old/v2``, from the root of a checkout.

The corebank that is imported makes it, so an older one is frozen with ``PYTHONPATH`` on its checkout (README.md). All
spectra are made up by `tests.scanner`. The bank has three expeditions' worth of everything that a layout must carry
on: a run of two chunks, runs that came in later, laboratory values that were appended to, evaluations beside the
spectra, an amendment with its reason, a release, and one detector size more.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # last, so that PYTHONPATH chooses the version

import facts  # beside this file: today's, whatever version is frozen
import numpy as np

import corebank
from corebank import bank as banks
from corebank import contribution
from corebank.schema import EnergyGrid
from tests import scanner

GRID = EnergyGrid(start=0.0, step=0.1, bins=80)


def long_section(folder: Path, rows: int) -> None:
    """A section of two chunks whose counts are few, so that they take little room."""
    counts = np.random.default_rng(7).poisson(0.2, (rows, 48)).astype(np.uint32)
    counts[:, :2] = 0
    counts[:, 20] += 40
    scanner.write_itrax(folder, counts, gain=0.09, zipped=True)


def fill(bank: banks.Bank) -> str:
    """Bring everything into an empty bank; returns the snapshot before the amendment."""
    with TemporaryDirectory() as scratch:
        raw = Path(scratch)
        first = scanner.write_expedition(raw / "cruise1")
        bank.add(contribution.checked(first))
        bank.tag("release-1")
        more = scanner.write_expedition(
            raw / "more",
            sections=["S1", "S2", "S3"],
            laboratory="depth_cm,TOC,CaCO3\n0.1,1.5,30\n0.3,b.d.l.,-4.6\n20.1,2,3\n",
        )
        bank.add(contribution.checked(more))
        second = scanner.write_expedition(raw / "cruise2", name="cruise2", sections=["S1"], seed=2, laboratory=None)
        long_section(second / "L1", 260)
        words = (second / "contribution.toml").read_text()
        words += scanner.SECTION.format(section="L1", top="1 m", run="l1")
        (second / "contribution.toml").write_text(words)
        bank.add(contribution.checked(second))
        before = bank.snapshot
        toml = first / "contribution.toml"
        toml.write_text(toml.read_text().replace('top = "10 cm"', 'top = "12 cm"'))
        bank.amend(contribution.checked(first), "S2 starts at 12 cm")
    return before


def freeze(folder: Path) -> None:
    """Make ``bank`` and ``expected.json`` in `folder`, which must not be there."""
    folder.mkdir()
    bank = banks.create(folder / "bank", site="lab", grid=GRID)
    before = fill(bank)
    told = facts.of_bank(folder / "bank", ["release-1", before, "main"])
    for left in (folder / "bank").glob(".*"):
        left.unlink()  # the lock
    about = {"made_by": bank.about["written_by"], "schema_version": bank.about["schema_version"]}
    (folder / "expected.json").write_text(_lines(about | told) + "\n", encoding="utf-8")


def _lines(value: Any, depth: int = 0) -> str:
    """`value` as JSON with one line for each thing that is no object, so that a change is read as a line."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value, sort_keys=True)
    space = " " * depth
    inner = (f"{space} {json.dumps(key)}: {_lines(value[key], depth + 1)}" for key in sorted(value))
    return "{\n" + ",\n".join(inner) + f"\n{space}}}"


if __name__ == "__main__":
    print(f"with {Path(corebank.__file__).parent}")
    freeze(Path(sys.argv[1]))
