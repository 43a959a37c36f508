"""Laws that the virtual scanner's physics obeys."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank.errors import RecipeError, SchemaError
from corebank.virtual import INSTRUMENTS, physics, simulate
from corebank.virtual.spectra import ELEMENTS, expose

ITRAX, AVAATECH = INSTRUMENTS["itrax-mo-2020"], INSTRUMENTS["avaatech-rh-10kv"]
SHARES = {
    "calcite": {"Ca": 0.40, "C": 0.12, "O": 0.4786, "Sr": 0.0014},
    "clay": {"Si": 0.29, "Al": 0.10, "Fe": 0.06, "K": 0.03, "Ti": 0.006, "Zr": 0.0002, "Sr": 0.0003, "O": 0.5135},
    "water": {"H": 0.1119, "O": 0.8881},
}


def mixture(**parts: float) -> xr.DataArray:
    """A sediment of the named parts, as one row of mass fractions."""
    row = dict.fromkeys(ELEMENTS, 0.0)
    for part, weight in parts.items():
        for element, share in SHARES[part].items():
            row[element] += weight * share
    values = np.array([list(row.values())])
    return xr.DataArray(values / values.sum(), dims=("spectrum", "element"), coords={"element": list(ELEMENTS)})


def line(counts: np.ndarray, energy: float, instrument=ITRAX) -> float:
    """Net counts of a line of the first spectrum, above a straight line between its shoulders."""
    away = np.abs(instrument.energies - energy)
    peak, shoulders = away < 0.12, (away >= 0.12) & (away < 0.16)
    return float(counts[0, peak].sum() - counts[0, shoulders].mean() * peak.sum())


@given(st.floats(0.05, 0.8), st.floats(0.02, 0.15))
@settings(deadline=None, max_examples=25)
def test_more_carbonate_gives_more_calcium_and_less_iron(carbonate: float, more: float) -> None:
    less_of_it = simulate(mixture(calcite=carbonate, clay=1 - carbonate), ITRAX)
    more_of_it = simulate(mixture(calcite=carbonate + more, clay=1 - carbonate - more), ITRAX)
    assert line(more_of_it, 3.69) > line(less_of_it, 3.69)
    assert line(more_of_it, 6.40) < line(less_of_it, 6.40)


@given(st.sampled_from(sorted(INSTRUMENTS)), st.floats(0.1, 10), st.floats(0, 1))
@settings(deadline=None, max_examples=8)
def test_counts_grow_in_proportion_to_the_time(name: str, factor: float, carbonate: float) -> None:
    sediment, instrument = mixture(calcite=carbonate, clay=1 - carbonate), INSTRUMENTS[name]
    once = expose(sediment, instrument)
    longer = expose(sediment, replace(instrument, exposure=factor * instrument.exposure))
    np.testing.assert_allclose(longer.counts, factor * once.counts, rtol=1e-9)
    np.testing.assert_allclose(longer.live_time / longer.real_time, once.live_time / once.real_time)
    assert (once.live_time < once.real_time).all()


@given(st.floats(0.05, 0.5))
@settings(deadline=None, max_examples=25)
def test_water_damps_light_lines_more_than_strontium(water: float) -> None:
    dry = simulate(mixture(calcite=0.4, clay=0.6), ITRAX)
    wet = simulate(mixture(calcite=0.4 * (1 - water), clay=0.6 * (1 - water), water=water), ITRAX)
    filmed = simulate(mixture(calcite=0.4, clay=0.6), ITRAX, water_film=20 * water)
    for damped in (wet, filmed):
        silicon, strontium = (line(damped, energy) / line(dry, energy) for energy in (1.74, 14.14))
        assert silicon < 1
        assert silicon < strontium


@given(st.floats(0, 5), st.floats(0.1, 5))
@settings(deadline=None, max_examples=15)
def test_a_longer_way_through_air_takes_soft_photons_first(gap: float, more: float) -> None:
    sediment = mixture(calcite=0.4, clay=0.6)
    near, far = (simulate(sediment, ITRAX, gap=g) for g in (gap, gap + more))
    assert line(far, 1.74) / line(near, 1.74) < line(far, 6.40) / line(near, 6.40) < 1


@pytest.mark.parametrize("name", sorted(INSTRUMENTS))
def test_iron_stands_in_the_channel_its_energy_belongs_to(name: str) -> None:
    instrument = INSTRUMENTS[name]
    counts = simulate(mixture(clay=1.0), instrument)[0]
    inside = np.abs(instrument.energies - 6.4) < 0.3
    found = np.flatnonzero(inside)[counts[inside].argmax()]
    assert abs(found - (6.404 - instrument.offset) / instrument.gain) <= 1


def test_the_tube_shows_where_its_scattering_angle_says() -> None:
    """Molybdenum K alpha, 17.44 keV, loses 5.5 % when it is turned by 135 degrees (Compton 1923)."""
    assert physics.compton_energy(np.array(17.44), np.deg2rad(135)) == pytest.approx(16.48, abs=0.01)
    counts, energies = simulate(mixture(water=1.0), ITRAX)[0], ITRAX.energies
    hump = (energies > 15.5) & (energies < 17.2)
    assert energies[hump][counts[hump].argmax()] == pytest.approx(16.48, abs=0.06)


def test_calcium_leaves_an_escape_peak_and_a_sum_peak() -> None:
    counts, energies = simulate(mixture(calcite=1.0), ITRAX)[0], ITRAX.energies
    for energy in (3.692 - 1.740, 2 * 3.692):
        at = counts[np.abs(energies - energy) < 0.02].mean()
        beside = counts[np.abs(np.abs(energies - energy) - 0.17) < 0.02].mean()
        assert at > 1.05 * beside


def test_nothing_lies_above_the_tube_voltage_but_pile_up() -> None:
    sediment = mixture(calcite=0.4, clay=0.6)
    alone = replace(AVAATECH, pile_up_time=0.0)
    above = AVAATECH.energies > 10.6
    assert simulate(sediment, alone)[0, above].max() < 1e-3
    assert simulate(sediment, AVAATECH)[0, above].sum() > 100


def test_blind_and_absent_channels_stay_empty() -> None:
    counts = simulate(mixture(clay=1.0), ITRAX)[0]
    assert (counts[:30] == 0).all()
    assert counts[-1] == 0
    assert (counts[60:-1] > 0).all()


def test_ebel_s_tube_is_bremsstrahlung_up_to_the_voltage_and_lines_above_their_edges() -> None:
    edges = np.linspace(1, 30, 291)
    continuum = physics.tube("Mo", 30, edges)
    assert (continuum > 0).all()
    assert continuum[-1] < 0.05 * continuum.max()
    energies, _ = physics.tube_lines("Rh", 10)  # its K edge lies at 23.2 keV
    assert energies.max() < 3.5


def test_a_composition_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(SchemaError, match="add up to 1"):
        simulate(mixture(clay=1.0) * 0.5, ITRAX)
    with pytest.raises(SchemaError, match="unknown elements Og"):
        simulate(xr.DataArray([[1.0]], dims=("spectrum", "element"), coords={"element": ["Og"]}), ITRAX)
    with pytest.raises(SchemaError, match="dimensions"):
        simulate(mixture(clay=1.0).T, ITRAX)


@pytest.mark.parametrize("wrong", [{"kind": "bruker"}, {"filter": "Pd-Thin"}, {"exposure": 0.0}, {"gain": -0.02}])
def test_an_impossible_instrument_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match=next(iter(wrong))):
        replace(ITRAX, **wrong)
