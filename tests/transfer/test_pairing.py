"""Spectra of two scans meet at the same place of the sediment, and what they have no part in is left out."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank.errors import TransferError
from corebank.schema import Flag
from corebank.transfer.pairing import pair
from tests.transfer.twins import FIRST, SECOND, scan

ENERGY = np.linspace(1.0, 20.0, 40)


def ramp(position: np.ndarray, *, core: str = "C1", section: str = "S1") -> xr.Dataset:
    """A section whose spectra change in a straight line with depth, in every bin by another slope; no noise."""
    rates = 50 + np.outer(position, np.linspace(0.1, 2.0, ENERGY.size))
    text = {"core": core, "section": section}
    return xr.Dataset(
        {
            "intensity": (("spectrum", "energy"), rates, {"units": "count/s"}),
            "section_position": ("spectrum", position),
            "live_time": ("spectrum", np.full(position.size, 10.0)),
            **{name: ("spectrum", np.full(position.size, value, dtype=object)) for name, value in text.items()},
        },
        coords={"energy": ENERGY},
    )


@settings(deadline=None, max_examples=20)
@given(st.floats(1, 4), st.floats(1, 4), st.floats(-3, 3), st.integers(50, 80))
def test_pairs_are_of_one_place_whatever_the_steps_and_the_order(
    first_step: float, second_step: float, start: float, count: int
) -> None:
    """A straight profile is interpolated exactly, so that pairs of two perfect scans are equal to the sixth digit."""
    order = np.random.default_rng(count).permutation(count)
    first, second = ramp(first_step * np.arange(count)), ramp(start + second_step * np.arange(count))
    pairs = pair(first, second.isel(spectrum=order), shift=0.0)
    assert len(pairs.position) > 0
    inside = (pairs.position >= max(0, start)) & (
        pairs.position <= min(first_step * (count - 1), start + second_step * (count - 1))
    )
    np.testing.assert_allclose(pairs.first[inside], pairs.second[inside], rtol=1e-6)
    expected = 50 + np.outer(pairs.position[inside], np.linspace(0.1, 2.0, ENERGY.size))
    np.testing.assert_allclose(pairs.first[inside], expected, rtol=1e-6)
    assert (pairs.first_seconds >= 10 - 1e-9).all()  # a mean of two spectra is worth more than one, never less
    assert (pairs.first_seconds <= 20 + 1e-9).all()


def test_a_known_shift_moves_the_second_scan() -> None:
    first, second = ramp(np.arange(30.0)), ramp(np.arange(30.0))
    pairs = pair(first, second, shift=4.0)
    assert pairs.alignments["C1/S1"].shift == 4.0
    assert pairs.alignments["C1/S1"].pairs == len(pairs.position) == 26
    slope = np.linspace(0.1, 2.0, ENERGY.size)
    np.testing.assert_allclose(pairs.first - pairs.second, np.tile(4 * slope, (26, 1)))


@pytest.mark.parametrize(("start", "step"), [(0.0, 5.0), (9.0, 5.0), (-8.0, 4.0), (6.0, 2.0)])
def test_the_shift_between_two_scans_is_found_to_a_few_millimetres(start: float, step: float) -> None:
    first = scan(FIRST, "S3")
    second = scan(SECOND, "S3", start=start, step=step, spectra=int(300 / step))
    assert pair(first, second).alignments["C1/S3"].shift == pytest.approx(start, abs=4)


def test_scans_of_two_sections_are_not_taken_for_one() -> None:
    other = scan(SECOND, "S2").assign(section=scan(FIRST, "S1")["section"])
    with pytest.raises(TransferError, match=r"C1/S1: the two scans do not rise and fall together"):
        pair(scan(FIRST, "S1"), other)


def test_a_single_section_on_each_side_may_have_two_names() -> None:
    pairs = pair(ramp(np.arange(30.0)), ramp(np.arange(30.0), core="CORE 1", section="rescan"), shift=0.0)
    assert set(pairs.section.tolist()) == {"C1/S1"}
    two = xr.concat([ramp(np.arange(30.0), section="A"), ramp(np.arange(30.0), section="B")], dim="spectrum")
    with pytest.raises(TransferError, match=r"no section was scanned twice: C1/S1 against C1/A, C1/B"):
        pair(ramp(np.arange(30.0)), two)


def test_what_is_flagged_or_far_away_is_not_paired_and_repeats_are_averaged() -> None:
    first, second = ramp(np.arange(30.0)), ramp(np.arange(30.0))
    flags = np.zeros(30, np.uint32)
    flags[4] = int(Flag.NOT_IN_POSITION)
    flags[7] = int(Flag.OUTLIER)  # unlike its neighbours on both machines, if it is the sediment
    pairs = pair(first, second.assign(flags=("spectrum", flags)), shift=0.0)
    assert sorted(set(range(30)) - set(pairs.position.astype(int).tolist())) == [4]
    hole = first.isel(spectrum=[*range(10), *range(20, 30)])
    assert pair(hole, second, shift=0.0).position.tolist() == [*range(10), *range(20, 30)]
    twice = xr.concat([second, second.assign(intensity=second["intensity"] * 3)], dim="spectrum")
    pairs = pair(first, twice, shift=0.0)
    np.testing.assert_allclose(pairs.second, 2 * pairs.first)
    np.testing.assert_allclose(pairs.second_seconds, 20)


def test_a_section_with_few_pairs_is_left_out_and_one_alone_is_refused() -> None:
    long, short = np.arange(30.0), np.arange(8.0)
    both = xr.concat([ramp(long, section="A"), ramp(short, section="B")], dim="spectrum")
    assert set(pair(both, both, shift=0.0).section.tolist()) == {"C1/A"}
    with pytest.raises(TransferError, match=r"no section has 12 pairs of spectra \(C1/S1 30 and 8\)"):
        pair(ramp(long), ramp(short), shift=0.0)


def test_only_sections_that_both_scanned_are_read() -> None:
    """A bank holds many cores; what the other machine has not seen stays where it is."""
    both = xr.concat([ramp(np.arange(30.0)), ramp(np.arange(30.0), section="S2")], dim="spectrum")

    def read(block: np.ndarray, block_info: dict[int, dict[str, list[tuple[int, int]]]]) -> np.ndarray:
        assert block_info[0]["array-location"][0] == (0, 30), "a section of one machine alone was read"
        return block

    rates = da.from_array(both["intensity"].values, chunks=(30, -1)).map_blocks(read, dtype=float)
    lazy = both.assign(intensity=(both["intensity"].dims, rates, both["intensity"].attrs))
    assert len(pair(lazy, both.isel(spectrum=slice(0, 30)), shift=0.0).position) == 30
    with pytest.raises(AssertionError, match="one machine alone"):
        pair(lazy, both, shift=0.0)
