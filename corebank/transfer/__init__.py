"""Calibration transfer: what a section that was scanned on two machines tells of how one sees what the other saw.

`learn` pairs the spectra of both scans by position, learns a mapping of count rates from the second machine to the
first, judges it on parts that it was not learnt from, and refuses when it does not help. `Transfer.apply` then maps any
spectra of the second machine, so that a model of the first can be asked about them.

What it can do is what a section scanned twice can show. It holds for these two heads at these settings, for sediments
like the one that was scanned, and until either machine is changed.
"""

from __future__ import annotations

import hashlib

import xarray as xr

from corebank.errors import TransferError
from corebank.transfer.judging import Differences, Judge, Verdict, refuse_useless
from corebank.transfer.machine import Machine, machine_of
from corebank.transfer.mapping import Mapping
from corebank.transfer.pairing import Alignment, Pairs, pair
from corebank.transfer.stored import COLUMN, Transfer, grid_of, load, refuse_axis, save, table


def learn(
    first: xr.Dataset,
    second: xr.Dataset,
    *,
    tolerance: float | None = None,
    shift: float | None = None,
    reach: float = 20.0,
) -> Transfer:
    """Learn to turn spectra of the second machine into what the first would have measured.

    Parameters
    ----------
    first, second
        Scans of at least one common section, each by one machine at one setting, at intensity level [count/s] on one
        energy axis; ``core``, ``section``, ``section_position`` [mm] and ``live_time`` [s] are needed.
    tolerance
        How far from a scanned position another may be paired [mm]; None for half a step of the finer scan.
    shift
        What is added to the second scan's positions [mm]; None to look for it, section by section.
    reach
        Largest shift that is looked for, up or down [mm].

    Raises
    ------
    TransferError
        When the axes or units differ, a setting differs within one side, both sides are one machine, no section was
        scanned twice, the scans do not rise and fall together, there are fewer than 40 pairs, or mapped spectra are no
        nearer to the first machine's than unmapped ones by more than chance (see `corebank.transfer.judging`).
    """
    grid = grid_of(first)
    refuse_axis(first, grid, "first scan")
    refuse_axis(second, grid, "second scan")
    one, other = machine_of(first, "first scan"), machine_of(second, "second scan")
    if not one.differences(other):
        raise TransferError(
            "transfer",
            f"both scans say that they are of one machine, {one}",
            "Name the heads apart (head under [scanner] in contribution.toml), so that a mapping is never applied to "
            "the wrong one",
        )
    pairs = pair(first, second, tolerance=tolerance, shift=shift, reach=reach)
    judge = Judge(pairs, grid.step)
    verdict = judge.verdict()
    refuse_useless(verdict, "; ".join(line.strip() for line in table(verdict).splitlines()))
    return Transfer(
        first=one,
        second=other,
        grid=grid,
        mapping=judge.choose(list(range(len(judge.names)))),
        alignments=pairs.alignments,
        verdict=verdict,
        sources={"first": _sources(first), "second": _sources(second)},
    )


def _sources(spectra: xr.Dataset) -> dict[str, str]:
    """Where spectra came from, as far as they say."""
    said = {
        name: str(spectra.attrs[name]) for name in ("site", "bank", "snapshot", "snapshots") if name in spectra.attrs
    }
    if "source_sha256" in spectra:
        hashes = sorted(set(spectra["source_sha256"].values.astype(str).tolist()))
        said["sources_sha256"] = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    return said | {"spectra": str(spectra.sizes["spectrum"])}


__all__ = [
    "COLUMN",
    "Alignment",
    "Differences",
    "Machine",
    "Mapping",
    "Pairs",
    "Transfer",
    "Verdict",
    "grid_of",
    "learn",
    "load",
    "machine_of",
    "save",
]
