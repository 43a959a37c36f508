"""Channel -> keV -> grid: no count is lost or made, and what was not measured is NaN, never zero."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from corebank import calibrate
from corebank.errors import CalibrationError, CorebankError, SchemaError
from corebank.schema import EnergyGrid
from corebank.testing import counts, runs

ROWS = 3
WIDE = EnergyGrid(start=-1.0, step=0.05, bins=400)
"""-1 to 19 keV: holds every channel that `corebank.testing.runs` draws."""


@settings(deadline=None)
@given(
    hnp.arrays(np.uint32, (ROWS, 64), elements=st.integers(0, 2**32 - 1)),
    hnp.arrays(np.float64, ROWS, elements=st.floats(*calibrate.GAIN_RANGE)),
    hnp.arrays(np.float64, ROWS, elements=st.floats(-0.4, 1.0)),
)
def test_counts_are_conserved_whatever_the_energy_axis(table: np.ndarray, gain: np.ndarray, offset: np.ndarray) -> None:
    binned = calibrate.rebin(table, gain, offset, WIDE)
    np.testing.assert_allclose(binned.sum(axis=1), table.sum(axis=1, dtype=np.float64), rtol=1e-9)
    assert (binned >= -1e-6).all()


@settings(deadline=None)
@given(counts(largest=10**6), st.floats(*calibrate.GAIN_RANGE), st.floats(-1, 1))
def test_a_grid_that_is_the_detectors_own_changes_nothing(one: np.ndarray, gain: float, offset: float) -> None:
    own = EnergyGrid(start=offset, step=gain, bins=one.size)
    np.testing.assert_allclose(
        calibrate.rebin(one[None], np.array([gain]), np.array([offset]), own)[0], one, rtol=1e-9, atol=1e-5
    )


@settings(deadline=None)
@given(st.integers(0, 2047), st.floats(0.008, 0.02), st.floats(-0.4, 0.1))
def test_a_line_lands_in_the_bin_of_its_energy(channel: int, gain: float, offset: float) -> None:
    energy, grid = offset + channel * gain, EnergyGrid()
    assume(grid.edges[0] < energy - gain and energy + gain < grid.edges[-1])
    one = np.zeros((1, 2048))
    one[0, channel] = 1000
    binned = calibrate.rebin(one, np.array([gain]), np.array([offset]), grid)[0]
    assert abs((binned * grid.centres).sum() / 1000 - energy) <= grid.step / 2
    assert abs(grid.centres[np.argmax(binned)] - energy) <= grid.step


@settings(deadline=None)
@given(runs())
def test_intensity_is_measured_or_nan_and_what_is_measured_is_what_was_counted(run: xr.Dataset) -> None:
    on_grid = calibrate.intensity(run, WIDE, "drawn")
    values, inside = on_grid["intensity"].values, calibrate.measured(run, WIDE)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(values), ~inside)
    rate = (
        calibrate.rebin(run["counts"].values, run["energy_gain"].values, run["energy_offset"].values, WIDE)
        / run["live_time"].values[:, None]
    )
    np.testing.assert_allclose(values[inside], rate[inside], rtol=1e-6, atol=1e-6)
    assert set(on_grid.data_vars) == {"intensity", *(set(run.data_vars) - {"counts"})}
    assert on_grid["energy"].attrs["units"] == "keV"


@settings(deadline=None)
@given(runs())
def test_no_bin_counts_as_measured_beyond_the_detector_or_the_tube(run: xr.Dataset) -> None:
    inside = calibrate.measured(run, WIDE)
    gain, offset = run["energy_gain"].values[:, None], run["energy_offset"].values[:, None]
    low, high = offset + (run.attrs["first_channel"] - 0.5) * gain, offset + (run.attrs["last_channel"] + 0.5) * gain
    slack = 1e-5
    assert not (inside & (WIDE.edges[:-1] < low - slack)).any(), "below the discriminator"
    assert not (inside & (WIDE.edges[1:] > high + slack)).any(), "above the last channel"
    assert not (inside & (WIDE.edges[1:] > run["tube_voltage"].values[:, None] + slack)).any(), "above the tube voltage"


def one_run(**changed: float) -> xr.Dataset:
    """One spectrum of 1,000 channels of 20 eV, flat from channel 30 on, at 10 kV."""
    flat = np.where(np.arange(1000) < 30, 0, 200).astype(np.uint32)[None]
    columns = {"energy_gain": 0.02, "energy_offset": 0.0, "live_time": 10.0, "tube_voltage": 10.0} | changed
    run = xr.Dataset(
        {"counts": (("spectrum", "channel"), flat), **{name: ("spectrum", [value]) for name, value in columns.items()}}
    )
    return run.assign(source=("spectrum", ["L0.spe"]), energy_source=("spectrum", ["header"])).assign_attrs(
        first_channel=30, last_channel=999
    )


def test_a_spectrum_at_ten_kilovolts_is_measured_from_its_discriminator_to_ten_kev() -> None:
    values = calibrate.intensity(one_run(), EnergyGrid(), "run")["intensity"].values[0]
    known = np.flatnonzero(np.isfinite(values))
    assert (known[0], known[-1]) == (30, 499), "0.60 to 9.98 keV"
    assert np.isfinite(values[30:500]).all()
    np.testing.assert_allclose(values[30:500], 20, rtol=1e-6)  # 200 counts in 10 s


def test_without_a_voltage_the_detector_alone_is_the_limit() -> None:
    values = calibrate.intensity(one_run(tube_voltage=float("nan")), EnergyGrid(), "run")["intensity"].values[0]
    assert np.flatnonzero(np.isfinite(values))[-1] == 999


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        (
            {"energy_gain": 1.0},
            r"L0\.spe would have 1 keV per channel from 0 keV \(by header\)\. Give a gain of 0\.001 to 0\.1 keV",
        ),
        ({"energy_gain": -0.02}, r"-0\.02 keV per channel"),
        ({"energy_offset": 5.0}, r"from 5 keV"),
        (
            {"energy_gain": float("nan")},
            r"1 of 1 spectra have no energy calibration, the first is L0\.spe\. Put .* or write calibration = ",
        ),
        ({"energy_offset": float("inf")}, "no energy calibration"),
        ({"live_time": 0.0}, r"L0\.spe has a live time of 0 s\. Correct the file's header"),
        ({"live_time": float("nan")}, r"L0\.spe has a live time of nan s"),
    ],
)
def test_an_energy_axis_that_cannot_be_is_refused(changed: dict[str, float], found: str) -> None:
    with pytest.raises(CalibrationError, match=found):
        calibrate.intensity(one_run(**changed), EnergyGrid(), "S1")


@settings(deadline=None)
@given(st.floats(), st.floats(-10, 10) | st.sampled_from([float("nan"), float("inf")]), st.integers(-3, 5000))
def test_an_energy_grid_is_a_grid_and_comes_back_from_its_json_or_is_refused(
    start: float, step: float, bins: int
) -> None:
    try:
        grid = EnergyGrid(start=start, step=step, bins=bins)
    except CorebankError as error:
        assert (type(error), "positive step" in error.fix) == (SchemaError, True)  # noqa: PT017 - some are grids
        return
    assert EnergyGrid.from_json(grid.to_json()) == grid
    assert grid.centres.shape == (bins,)
    assert grid.edges.shape == (bins + 1,)


@settings(deadline=None, max_examples=30)
@given(runs(), st.integers(1, 3))
def test_a_lazy_run_stays_lazy_and_gives_the_same_intensity(run: xr.Dataset, block: int) -> None:
    lazy = calibrate.intensity(run.chunk(spectrum=block), WIDE, "drawn")["intensity"]
    assert lazy.chunksizes["spectrum"] == run.chunk(spectrum=block).chunksizes["spectrum"]
    np.testing.assert_array_equal(lazy.values, calibrate.intensity(run, WIDE, "drawn")["intensity"].values)


def test_a_run_longer_than_one_block_is_rebinned_as_its_spectra_are() -> None:
    table = np.random.default_rng(0).poisson(50, (1100, 64))
    gain, offset = np.linspace(0.01, 0.03, 1100), np.linspace(-0.3, 0.1, 1100)
    binned = calibrate.rebin(table, gain, offset, WIDE)
    for row in (0, 511, 512, 1099):
        alone = calibrate.rebin(table[row : row + 1], gain[row : row + 1], offset[row : row + 1], WIDE)
        np.testing.assert_array_equal(binned[row], alone[0])
    np.testing.assert_allclose(binned.sum(axis=1), table.sum(axis=1), rtol=1e-9)
