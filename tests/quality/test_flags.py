"""Quality flags: a full counter, and the figures that the table of thresholds gives for spectra without a defect."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import xarray as xr

from corebank import quality, schema, virtual
from corebank.quality.thresholds import COUNTER
from corebank.virtual import INSTRUMENTS
from corebank.virtual.expedition import scan

MACHINES = {"itrax-mo-2020": "vm1", "itrax-mo-2008": "vl1", "avaatech-rh-10kv": "vs1"}


@lru_cache(maxsize=4)
def section(machine: str) -> xr.Dataset:
    """A virtual section without a defect, as a run; only what quality looks at."""
    instrument = INSTRUMENTS[machine]
    seen = scan(virtual.named(MACHINES[machine]), 0, 0).spectra
    size = seen.sizes["spectrum"]
    columns: dict[str, object] = {
        "live_time": seen["live_time"].values,
        "real_time": seen["real_time"].values,
        "energy_gain": np.full(size, instrument.gain),
        "energy_offset": np.full(size, instrument.offset),
        "flags": np.zeros(size),
    }
    counts = (schema.COUNTS.dims, seen["counts"].values.astype(np.uint32))
    return xr.Dataset({"counts": counts, **schema.spectrum_columns(columns)}, attrs={"anode": instrument.anode})


def changed(machine: str, row: int, counts: np.ndarray) -> dict[int, list[str]]:
    """Flags of the section in which spectrum `row` has other counts: row -> names."""
    run = section(machine)
    table = run["counts"].values.copy()
    table[row] = counts
    bits = quality.flags(run.assign(counts=(schema.COUNTS.dims, table)))
    return {int(at): quality.names(int(bits[at])) for at in np.flatnonzero(bits)}


@pytest.mark.parametrize("machine", MACHINES)
def test_a_full_counter_is_told_from_a_high_peak(machine: str) -> None:
    counts = section(machine)["counts"].values[20]
    end = np.sort(counts)[-5]
    assert end >= 1
    factor = -(-COUNTER // int(end)) + 1
    high = np.random.default_rng(0).poisson(counts.astype(float) * factor)
    assert "saturated" not in changed(machine, 20, high.astype(np.uint32)).get(20, [])
    cut = np.minimum(high, np.sort(high)[-5]).astype(np.uint32)
    assert "saturated" in changed(machine, 20, cut)[20]


@pytest.mark.parametrize("machine", MACHINES)
def test_the_reasons_hold_for_sections_without_a_defect(machine: str) -> None:
    """What the table of thresholds says of virtual spectra."""
    found = quality.assess(section(machine))[1]
    assert found["at_peak"].max() <= 2
    assert found["twin_distance"].min() > 46
    assert found["unlike"].max() < 0.36
    assert found["other_tube"].max() < 0.002
    assert found["argon"].max() < 4.5
