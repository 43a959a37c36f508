"""Each defect of a spectrum is named for what it is, alone or in half a run, and a clean run gets no flag."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import quality, readers, virtual
from corebank.quality import THRESHOLDS
from corebank.schema import Flag
from corebank.testing import runs
from corebank.virtual import EXPEDITIONS, INSTRUMENTS, simulate
from corebank.virtual.expedition import scan

SECTIONS = ("vm1", "vl1", "vs1")
"""Expeditions of three machines: 2,048 channels of 10 eV, 1,024 of 18 eV, 2,048 of 20 eV."""

MATTER = {
    "nodule": {"Mn": 0.3, "Fe": 0.2, "O": 0.5},
    "wire": {"Fe": 0.7, "Cr": 0.2, "Ni": 0.1},
    "foil": {"C": 0.85, "H": 0.15},
    "pyrite": {"Fe": 0.46, "S": 0.54},
    "shell": {"Ca": 0.4, "C": 0.12, "O": 0.48},
}


def run_of(counts: np.ndarray, instrument: virtual.Instrument, *, anode: str = "") -> xr.Dataset:
    """Spectra of one virtual machine as a run, with as much around them as `quality.assess` asks for."""
    size = len(counts)
    columns = {
        "energy_gain": instrument.gain, "energy_offset": instrument.offset, "live_time": 9.0, "real_time": 10.0,
    }  # fmt: skip
    return xr.Dataset(
        {
            "counts": (("spectrum", "channel"), counts.astype(np.uint32)),
            "flags": ("spectrum", np.zeros(size, dtype=np.uint32)),
            **{name: ("spectrum", np.full(size, value)) for name, value in columns.items()},
        },
        attrs={"anode": anode or instrument.anode},
    )


@lru_cache(maxsize=8)
def clean(expedition: str) -> xr.Dataset:
    """The first virtual section of an expedition, without any defect."""
    made = virtual.named(expedition)
    return run_of(scan(made, 0, 0).spectra["counts"].values, INSTRUMENTS[made.instrument])


@lru_cache(maxsize=2)
def under(anode: str) -> np.ndarray:
    """The same sediments under a tube of this anode, counts (spectrum, channel)."""
    shares = scan(virtual.named("vm1"), 0, 0).spectra["mass_fraction"]
    expected = simulate(shares, INSTRUMENTS[{"Mo": "itrax-mo-2020", "Cr": "itrax-cr-2020"}[anode]])
    return np.asarray(np.random.default_rng(ord(anode[0])).poisson(expected))


def on_another_axis(counts: np.ndarray, run: xr.Dataset, stretch: float, shift: float, seed: int) -> np.ndarray:
    """The photons of one spectrum through another gain and zero [keV]: whole counts, as near to Poisson as before."""
    gain, offset = float(run["energy_gain"][0]), float(run["energy_offset"][0])
    zero, edges = 0.5 - offset / gain, np.arange(counts.size + 1)
    expected = np.diff(np.interp((edges - zero - shift / gain) / stretch + zero, edges, np.r_[0, counts.cumsum()]))
    whole: np.ndarray = np.floor(expected + np.random.default_rng(seed).random(counts.size)).astype(np.uint32)
    return whole


def planted(run: xr.Dataset, rows: dict[int, np.ndarray]) -> xr.Dataset:
    """`run` with other counts in some rows."""
    counts = run["counts"].values.copy()
    for row, spectrum in rows.items():
        counts[row] = spectrum
    return run.assign(counts=(("spectrum", "channel"), counts))


def flagged(run: xr.Dataset) -> dict[int, Flag]:
    """Row -> its flags, where there are any."""
    bits, _ = quality.assess(run)
    return {int(row): Flag(int(bits[row])) for row in np.flatnonzero(bits)}


rows = st.integers(0, 79)
seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(SECTIONS), rows, st.sampled_from([-1, 1]), st.floats(0.015, 0.1), seeds)
def test_another_gain_is_a_gain_jump_and_nothing_else(name: str, row: int, side: int, by: float, seed: int) -> None:
    run = clean(name)
    moved = on_another_axis(run["counts"].values[row], run, 1 + side * by, 0.0, seed)
    assert flagged(planted(run, {row: moved})) == {row: Flag.GAIN_JUMP}


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(SECTIONS), rows, st.sampled_from([-1, 1]), st.floats(0.08, 0.35), seeds)
def test_another_zero_is_a_line_shift_of_that_spectrum_alone(
    name: str, row: int, side: int, by: float, seed: int
) -> None:
    run = clean(name)
    moved = on_another_axis(run["counts"].values[row], run, 1.0, side * by, seed)
    found = flagged(planted(run, {row: moved}))
    assert set(found) == {row}
    # Of 600 tried, two were told to be outliers as well: shifted back they are not quite like their neighbours.
    assert found[row] & ~Flag.OUTLIER == Flag.LINE_SHIFT


@pytest.mark.parametrize("name", SECTIONS)
def test_a_gain_that_stays_changed_is_found_in_every_spectrum_after(name: str) -> None:
    run = clean(name)
    size = run.sizes["spectrum"]
    after = range(size - size // 4, size)
    counts = run["counts"].values
    later = {row: on_another_axis(counts[row], run, 1.03, 0.0, row) for row in after}
    assert flagged(planted(run, later)) == dict.fromkeys(after, Flag.GAIN_JUMP)


@settings(deadline=None, max_examples=15)
@given(st.sampled_from(SECTIONS), st.sampled_from(sorted(MATTER)), rows)
def test_other_matter_is_an_outlier(name: str, matter: str, row: int) -> None:
    shares = xr.DataArray(
        [list(MATTER[matter].values())], dims=("spectrum", "element"), coords={"element": list(MATTER[matter])}
    )
    other = simulate(shares, INSTRUMENTS[virtual.named(name).instrument])[0]
    found = flagged(planted(clean(name), {row: np.random.default_rng(row).poisson(other)}))
    assert set(found) == {row}
    assert found[row] & Flag.OUTLIER
    # Of 1,200 tried, 16, all of foil, had their axis doubted as well: its few lines may lie where others are sought.
    assert matter == "foil" or not found[row] & (Flag.GAIN_JUMP | Flag.LINE_SHIFT)
    # At 10 kV, where the tube's own K lines are not excited, a chromium steel looks as under a tube of chromium.
    assert bool(found[row] & Flag.WRONG_ANODE) == ((name, matter) == ("vs1", "wire"))


@settings(deadline=None, max_examples=6)
@given(st.sampled_from([("Cr", "Mo"), ("Mo", "Cr")]), st.sets(rows, max_size=30))
def test_the_tube_of_another_anode_is_seen_among_those_of_the_declared_one(
    anodes: tuple[str, str], among: set[int]
) -> None:
    declared, hidden = anodes
    own = run_of(under(declared), INSTRUMENTS["itrax-mo-2020"], anode=declared)
    found = flagged(planted(own, {row: under(hidden)[row] for row in among}))
    assert {row for row, bits in found.items() if bits & Flag.WRONG_ANODE} == among
    whole = run_of(under(hidden), INSTRUMENTS["itrax-mo-2020"], anode=declared)
    assert flagged(whole) == dict.fromkeys(range(len(under(hidden))), Flag.WRONG_ANODE)


@settings(deadline=None, max_examples=15)
@given(st.sampled_from(SECTIONS), st.sets(rows, min_size=2, max_size=2), seeds)
def test_a_copy_is_flagged_where_it_stands_later_and_a_second_exposure_is_not(
    name: str, pair: set[int], seed: int
) -> None:
    run, (first, later), rng = clean(name), sorted(pair), np.random.default_rng(seed)
    counts = run["counts"].values[first]
    copied = flagged(planted(run, {later: counts}))[later]
    assert copied & (Flag.DUPLICATE | Flag.NEAR_DUPLICATE) == Flag.DUPLICATE
    thinned = flagged(planted(run, {later: rng.binomial(counts, 0.999)}))[later]
    assert thinned & (Flag.DUPLICATE | Flag.NEAR_DUPLICATE) == Flag.NEAR_DUPLICATE
    again = flagged(planted(run, {later: rng.poisson(counts)})).get(later, Flag(0))
    assert not again & (Flag.DUPLICATE | Flag.NEAR_DUPLICATE)


@settings(deadline=None, max_examples=20)
@given(runs(), st.integers(1, 3))
def test_a_lazy_run_in_blocks_of_any_size_gets_the_same_flags_and_statistics(run: xr.Dataset, block: int) -> None:
    bits, table = quality.assess(run)
    lazy_bits, lazy_table = quality.assess(run.chunk(spectrum=block))
    np.testing.assert_array_equal(bits, lazy_bits)
    np.testing.assert_allclose(table.to_numpy(float), lazy_table.to_numpy(float), rtol=1e-9, atol=1e-9)
    assert bits.dtype == np.uint32


def test_a_lazy_run_with_a_moved_spectrum_is_read_in_blocks() -> None:
    run = clean("vl1")
    moved = on_another_axis(run["counts"].values[40], run, 1.05, 0.0, 1)
    assert flagged(planted(run, {40: moved}).chunk(spectrum=16)) == {40: Flag.GAIN_JUMP}


@pytest.mark.parametrize("name", EXPEDITIONS)
def test_a_clean_section_gets_no_flag(name: str) -> None:
    assert flagged(clean(name)) == {}


def test_each_flag_that_counts_can_show_has_one_threshold_on_a_column_of_the_table() -> None:
    _, table = quality.assess(clean("vl1"))
    assert {one.statistic for one in THRESHOLDS.values()} <= set(table.columns)
    assert set(THRESHOLDS) == set(Flag) - {Flag.NOT_IN_POSITION, Flag.OUTSIDE_SECTION}


@pytest.mark.real
@pytest.mark.parametrize(("folder", "most"), [("itrax-cd166", 0), ("itrax-lagopato", 1)])
def test_real_runs_get_few_flags_and_all_when_their_anode_is_misnamed(data: Path, folder: str, most: int) -> None:
    for one in readers.survey(data / folder).scans[:2]:
        run = readers.read_scan(one).runs[0]
        bits = quality.flags(run) & ~np.uint32(Flag.NOT_IN_POSITION)
        assert np.count_nonzero(bits) <= most, one.folder
        for anode in ("Cr", "Rh"):
            assert (quality.flags(run.assign_attrs(anode=anode)) & int(Flag.WRONG_ANODE)).all(), one.folder
