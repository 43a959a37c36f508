"""The energy axis from the lines: found without a guess, refused where it is not there, and a false one is caught."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import readers, virtual
from corebank.calibrate import lines
from corebank.errors import CalibrationError
from corebank.virtual import INSTRUMENTS
from corebank.virtual.expedition import scan
from tests import scanner

MACHINES = {"itrax-mo-2020": "vm1", "itrax-mo-2008": "vl1", "avaatech-rh-10kv": "vs1", "itrax-mo-2020-b": "vc1"}


@lru_cache(maxsize=8)
def section(expedition: str) -> np.ndarray:
    """Counts of one virtual section, (spectrum, channel)."""
    return np.asarray(scan(virtual.named(expedition), 0, 0).spectra["counts"].values)


def apart(fit: lines.Fit, gain: float, offset: float) -> float:
    """How far the fitted axis puts Ca and Fe K alpha from where the true one has them [eV], at most."""
    return max(abs(1000 * (fit.gain * (energy - offset) / gain + fit.offset - energy)) for energy in (3.69, 6.40))


@pytest.mark.parametrize("machine", MACHINES)
def test_the_axis_of_a_run_is_found_from_its_sum(machine: str) -> None:
    true, counts = INSTRUMENTS[machine], section(MACHINES[machine]).sum(axis=0)
    fit = lines.find(counts, true.anode, true.tube_voltage)
    assert abs(fit.gain / true.gain - 1) < 0.005
    assert apart(fit, true.gain, true.offset) < 10
    assert {"Ca Ka", "Fe Ka", "Fe Kb", "Ti Ka"} <= {line.name for line in fit.lines}
    assert fit.gain_error < 1e-3 * fit.gain * 5


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(sorted(MACHINES)), st.floats(0.7, 1.6), st.integers(-12, 12))
def test_the_axis_is_found_whatever_the_amplifier_was_set_to(machine: str, stretch: float, shift: int) -> None:
    """The same photons through another gain and another zero: channels are cut and joined, counts kept."""
    true, counts = INSTRUMENTS[machine], section(MACHINES[machine]).sum(axis=0).astype(float)
    edges = np.interp(
        np.arange(counts.size + 1) / stretch - shift, np.arange(counts.size + 1), np.r_[0, counts.cumsum()]
    )
    try:
        fit = lines.find(np.diff(edges), true.anode, true.tube_voltage)
    except CalibrationError:  # rather none than a wrong one: at 10 kV there are few lines
        assert machine == "avaatech-rh-10kv"
        return
    gain = true.gain / stretch
    # Edge i of the new channels lies at edge i / stretch - shift of the old ones; centres lie half a channel on.
    offset = true.offset + true.gain * (0.5 / stretch - 0.5 - shift)
    assert apart(fit, gain, offset) < 15


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([64, 1024, 2048]), st.sampled_from([3, 300, 30_000]))
def test_noise_has_no_axis(seed: int, channels: int, level: int) -> None:
    counts = np.random.default_rng(seed).poisson(level, channels)
    with pytest.raises(CalibrationError, match="too few to fit an energy axis to"):
        lines.find(counts, "Mo", 30.0)
    assert lines.check(counts, 0.02, 0.0, "Mo", 30.0).verdict == "unchecked"


def test_peaks_at_random_places_have_none_either() -> None:
    """One in two hundred is taken for an axis by chance; here fifty are tried."""
    drawn, channel = np.random.default_rng(1), np.arange(2048)
    taken = 0
    for _ in range(50):
        counts = np.full(2048, 200.0)
        for place in drawn.uniform(60, 1900, drawn.integers(5, 25)):
            counts += drawn.uniform(300, 20_000) * np.exp(-0.5 * ((channel - place) / 7) ** 2)
        try:
            lines.find(drawn.poisson(counts), "Mo", 30.0)
            taken += 1
        except CalibrationError:
            pass
    assert taken <= 1


@pytest.mark.parametrize("machine", MACHINES)
def test_a_false_axis_is_contradicted_and_the_true_one_agrees(machine: str) -> None:
    true, counts = INSTRUMENTS[machine], section(MACHINES[machine]).sum(axis=0)

    def verdict(gain: float, offset: float) -> lines.Verdict:
        return lines.check(counts, gain, offset, true.anode, true.tube_voltage)

    assert verdict(true.gain, true.offset).verdict == "agrees"
    for gain, offset in (
        (1.0, 0.0),
        (2 * true.gain, true.offset),
        (true.gain, true.offset + 0.1),
        (0.97 * true.gain, true.offset),
    ):
        found = verdict(gain, offset)
        assert found.verdict == "contradicted", (gain, offset)
        assert "would stand at" in found.about
    assert verdict(2 * true.gain, true.offset).lines, "the residuals are shown"


def test_the_anode_need_not_be_known() -> None:
    true, counts = INSTRUMENTS["itrax-mo-2020"], section("vm1").sum(axis=0)
    assert apart(lines.find(counts, "", float("nan")), true.gain, true.offset) < 10


@pytest.mark.real
@pytest.mark.parametrize("folder", ["itrax-cd166", "itrax-ardley", "itrax-lagopato", "xrflab-reference-sediments"])
def test_the_lines_of_real_runs_agree_with_their_files(data: Path, folder: str) -> None:
    for one in readers.survey(data / folder).scans[:3]:
        run = readers.read_scan(one).runs[0]
        counts = run["counts"].sum("spectrum").values
        gain, offset = float(run["energy_gain"].median()), float(run["energy_offset"].median())
        fit = lines.find(counts, run.attrs["anode"], run.attrs["tube_voltage"])
        assert abs(fit.gain / gain - 1) < 0.005, one.folder
        assert apart(fit, gain, offset) < 10, one.folder
        assert lines.check(counts, gain, offset, run.attrs["anode"], run.attrs["tube_voltage"]).verdict == "agrees"


@pytest.mark.real
def test_the_mean_of_the_published_corpus_stands_on_twenty_electronvolt(data: Path) -> None:
    mean = np.load(data / "avaatech-nwp" / "nwp_caco3.npz")["corpus_mean"]
    assert apart(lines.find(mean, "Rh", 10.0), 0.02, 0.0) < 10


def test_the_tests_own_small_detector_shows_no_lines() -> None:
    assert lines.check(scanner.spectra(50).sum(axis=0), scanner.GAIN, scanner.OFFSET, "Mo", 30.0).verdict == "unchecked"
