"""Quality flags: each is raised by its own defect and by nothing else, however the counts are cut into blocks."""

from __future__ import annotations

from functools import lru_cache

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import quality, schema, virtual
from corebank.quality.thresholds import COUNTER, THRESHOLDS
from corebank.schema import Flag
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
def test_a_section_without_a_defect_has_no_flag(machine: str) -> None:
    assert not quality.flags(section(machine)).any()


@settings(deadline=None, max_examples=15)
@given(st.sampled_from(sorted(MACHINES)), st.integers(1, 40), st.integers(0, 2**31 - 1))
def test_blocks_make_no_difference_and_no_flag_is_taken_away(machine: str, rows: int, seed: int) -> None:
    run = section(machine).isel(spectrum=slice(0, 40))
    before = np.random.default_rng(seed).integers(0, 2, 40).astype(np.uint32) * int(Flag.NOT_IN_POSITION)
    run = run.assign(flags=("spectrum", before))
    whole, table = quality.assess(run)
    lazy = run.assign(counts=(schema.COUNTS.dims, da.from_array(run["counts"].values, chunks=(rows, -1))))
    in_blocks, same = quality.assess(lazy)
    np.testing.assert_array_equal(in_blocks, whole)
    assert same.equals(table)
    assert ((whole & before) == before).all()


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(sorted(MACHINES)), st.integers(5, 60), st.integers(0, 2**31 - 1))
def test_counting_the_same_place_again_is_no_copy(machine: str, row: int, seed: int) -> None:
    """Two exposures of one place differ by counting noise, and that is told from a copy."""
    counts = section(machine)["counts"].values
    again = np.random.default_rng(seed).poisson(counts[row].astype(float)).astype(np.uint32)
    assert changed(machine, row + 1, again) == {}


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(sorted(MACHINES)), st.integers(0, 30), st.integers(31, 70), st.integers(0, 2**31 - 1))
def test_a_copy_is_flagged_at_its_later_place_changed_or_not(machine: str, row: int, to: int, seed: int) -> None:
    counts = section(machine)["counts"].values[row]
    assert changed(machine, to, counts).get(to) == ["duplicate"]
    thinned = np.random.default_rng(seed).binomial(counts, 0.999).astype(np.uint32)
    assert changed(machine, to, thinned).get(to) == ["near duplicate"]


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(sorted(MACHINES)), st.integers(5, 60), st.floats(0.012, 0.04), st.booleans())
def test_another_gain_or_zero_is_told_by_its_name(machine: str, row: int, share: float, of_gain: bool) -> None:
    counts = section(machine)["counts"].values[row]
    gain = INSTRUMENTS[machine].gain
    channel = np.repeat(np.arange(counts.size), counts) + np.random.default_rng(row).uniform(-0.5, 0.5, counts.sum())
    moved = channel * (1 + share) if of_gain else channel + (0.05 + 2 * share) / gain
    landed = np.rint(moved).astype(int)
    table = np.bincount(landed[landed < counts.size], minlength=counts.size).astype(np.uint32)
    wanted = "gain jump" if of_gain else "line shift"
    assert wanted in changed(machine, row, table).get(row, [])


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


def test_every_flag_that_rests_on_counts_has_a_threshold_with_a_reason() -> None:
    from_elsewhere = {Flag.NOT_IN_POSITION, Flag.OUTSIDE_SECTION}
    assert set(THRESHOLDS) == set(Flag) - from_elsewhere
    statistics = quality.assess(section("itrax-mo-2020"))[1]
    for flag, one in THRESHOLDS.items():
        assert one.statistic in statistics, flag
        assert len(one.source) > 10, flag


@pytest.mark.parametrize("machine", MACHINES)
def test_the_reasons_hold_for_sections_without_a_defect(machine: str) -> None:
    """What the table of thresholds says of virtual spectra."""
    found = quality.assess(section(machine))[1]
    assert found["at_peak"].max() <= 2
    assert found["twin_distance"].min() > 46
    assert found["unlike"].max() < 0.36
    assert found["other_tube"].max() < 0.002
    assert found["argon"].max() < 4.5
