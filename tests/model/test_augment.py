"""Augmentation: what each variation conserves, what chance does to it, and that it is nothing at all when off."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from corebank import calibrate
from corebank.augment import FWHM, KEPT, LARGEST, Augmentation, blur, cut, recalibrate, thin
from corebank.errors import RecipeError
from corebank.schema import EnergyGrid

GRID = EnergyGrid(start=0.1, step=0.05, bins=80)
"""0.075 to 4.075 keV."""

EVERYTHING = Augmentation(thinning=0.3, gain=0.01, offset=0.05, resolution=0.3, cut=0.5)
FIELDS = sorted(LARGEST)


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@st.composite
def spectra(draw: st.DrawFn, rows: int = 4) -> torch.Tensor:
    """Rates (rows, 80) [count/s] with holes, low and high ends that were not measured; whole dead spectra too."""
    values = draw(arrays(np.float32, (rows, GRID.bins), elements=st.floats(0, 2**15, width=32)))
    holes = draw(arrays(np.bool_, (rows, GRID.bins), elements=st.sampled_from([False] * 15 + [True])))
    first, last = draw(st.integers(0, 10)), draw(st.integers(0, GRID.bins))
    values[:, :first], values[:, last:], values[holes] = np.nan, np.nan, np.nan
    return torch.from_numpy(values)


augmentations = st.builds(Augmentation, **{name: st.sampled_from([0.0, 0.2 * LARGEST[name]]) for name in FIELDS})


def axis_errors(gain: float, offset: float) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((4,), gain, dtype=torch.float64), torch.full((4,), offset, dtype=torch.float64)


def flat(level: float = 5.0, rows: int = 1, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.full((rows, GRID.bins), level, dtype=dtype)


@given(spectra(), st.integers(0, 9))
@settings(max_examples=30)
def test_off_gives_the_very_same_tensors_and_takes_no_chance(rates: torch.Tensor, seed: int) -> None:
    off, live, generator = Augmentation(), torch.rand(4), chance(seed)
    before = generator.get_state()
    assert not off.on
    varied, live_after = off(rates, live, generator, GRID)
    assert varied is rates
    assert live_after is live
    assert torch.equal(generator.get_state(), before)


@given(spectra(), augmentations, st.integers(0, 9))
@settings(max_examples=50)
def test_what_was_not_measured_stays_so_and_nothing_else_turns_strange(
    rates: torch.Tensor, augmentation: Augmentation, seed: int
) -> None:
    given_rates, live = rates.clone(), torch.tensor([10.0, 1.0, math.nan, 0.0])
    varied, live_after = augmentation(rates, live, chance(seed), GRID)
    assert torch.equal(rates.nan_to_num(-1), given_rates.nan_to_num(-1))  # the caller's tensor is left alone
    assert varied.dtype == torch.float32
    assert not varied.isinf().any()
    assert (varied.nan_to_num(0) >= -1e-3).all()
    if not (augmentation.gain or augmentation.offset):  # these move the holes
        assert varied[rates.isnan()].isnan().all()
    assert torch.equal(live_after.isnan(), live.isnan())
    assert (live_after.nan_to_num(0) <= live.nan_to_num(0)).all()
    again, live_again = augmentation(rates, live, chance(seed), GRID)
    assert torch.equal(varied.nan_to_num(-1), again.nan_to_num(-1))
    assert torch.equal(live_after.nan_to_num(-1), live_again.nan_to_num(-1))


@given(spectra(), st.sampled_from(FIELDS))
@settings(max_examples=30)
def test_each_variation_can_be_on_alone_and_varies(rates: torch.Tensor, name: str) -> None:
    rates = torch.arange(GRID.bins).float().square() + rates.nan_to_num(0)
    alone = Augmentation(**{name: 0.5 * LARGEST[name]})
    assert alone.on
    assert not torch.equal(alone(rates, torch.ones(4), chance(), GRID)[0], rates)


def test_a_dead_spectrum_and_a_batch_of_none_pass() -> None:
    dead = torch.full((2, GRID.bins), torch.nan)
    varied, live = EVERYTHING(dead, torch.ones(2), chance(), GRID)
    assert varied.isnan().all()
    varied, live = EVERYTHING(torch.empty((0, GRID.bins)), torch.empty(0), chance(), GRID)
    assert (varied.shape, live.shape) == ((0, GRID.bins), (0,))


def test_epochs_differ() -> None:
    one, other = (EVERYTHING(flat(rows=3), torch.ones(3), chance(seed), GRID)[0] for seed in (1, 2))
    assert not torch.equal(one.nan_to_num(-1), other.nan_to_num(-1))


@given(st.sampled_from(FIELDS), st.sampled_from([-0.001, 1.001, math.inf, math.nan]))
@settings(max_examples=30)
def test_a_strength_out_of_range_is_refused_by_name(name: str, share: float) -> None:
    with pytest.raises(RecipeError, match=rf"augmentation\.{name}: is .*Give a number from 0 to"):
        Augmentation(**{name: share * LARGEST[name]})


# Gain and offset: counts move, none is made and none is lost but over an end.


@given(spectra(), st.floats(-0.05, 0.05), st.floats(-0.3, 0.3))
@settings(max_examples=50)
def test_an_axis_error_is_a_rebin_of_counts_by_another_calibration(
    rates: torch.Tensor, gain: float, offset: float
) -> None:
    """The bank's own rebin, with the bins as channels, on the bins that stay measured."""
    counts = rates.nan_to_num(0).double().numpy()
    width, first = GRID.step * (1 + gain), GRID.start * (1 + gain) + offset
    expected = calibrate.rebin(counts, np.full(4, width), np.full(4, first), GRID)
    moved = recalibrate(rates, *axis_errors(gain, offset), GRID)
    measured = moved.isfinite().numpy()
    np.testing.assert_allclose(moved.numpy()[measured], expected[measured], rtol=1e-5, atol=1e-4)


@given(spectra(), st.floats(-0.05, 0.05), st.floats(-0.3, 0.3))
@settings(max_examples=50)
def test_a_bin_is_measured_where_all_that_moves_into_it_was(rates: torch.Tensor, gain: float, offset: float) -> None:
    moved = recalibrate(rates, *axis_errors(gain, offset), GRID)
    edges = ((GRID.edges - offset) / (1 + gain) - GRID.edges[0]) / GRID.step  # on the old axis, in bins
    measured = rates.isfinite().numpy()
    for place, (low, high) in enumerate(pairwise(edges)):
        sources = range(math.floor(low + 1e-4), math.ceil(high - 1e-4))
        clear = min(low - math.floor(low), math.ceil(high) - high) > 1e-4  # else rounding decides
        inside = sources.start >= 0 and sources.stop <= GRID.bins
        wanted = measured[:, sources].all(axis=1) if inside else np.zeros(4, dtype=bool)
        if clear:
            np.testing.assert_array_equal(moved[:, place].isfinite().numpy(), wanted)


@given(st.floats(-0.05, 0.05), st.floats(-0.3, 0.3), st.integers(30, 50), st.integers(1, 10))
def test_counts_inside_the_axis_are_conserved(gain: float, offset: float, place: int, width: int) -> None:
    rates = torch.zeros((2, GRID.bins))
    rates[1, place : place + width] = torch.linspace(1, 7, width)
    moved = recalibrate(rates, torch.full((2,), gain), torch.full((2,), offset), GRID)
    np.testing.assert_allclose(moved.nan_to_num(0).sum(1), rates.sum(1), rtol=1e-6)


def test_a_line_stands_where_the_wrong_axis_puts_it() -> None:
    """2.1 keV read on an axis 2 % too long and 0.1 keV off: 2.242 keV."""
    rates = torch.zeros((1, GRID.bins))
    rates[0, 40] = 100.0
    moved = recalibrate(rates, torch.tensor([0.02]), torch.tensor([0.1]), GRID).nan_to_num(0)
    energies = torch.from_numpy(GRID.centres).float()
    assert float((moved * energies).sum() / moved.sum()) == pytest.approx(2.1 * 1.02 + 0.1, abs=1e-3)
    assert recalibrate(flat(), torch.tensor([0.02]), torch.tensor([0.0]), GRID)[0, 40] == pytest.approx(5 / 1.02)


def test_no_error_of_the_axis_changes_nothing() -> None:
    rates = torch.rand((3, GRID.bins))
    rates[0, 10:12] = torch.nan
    moved = recalibrate(rates, torch.zeros(3), torch.zeros(3), GRID)
    np.testing.assert_allclose(moved, rates, rtol=1e-6)


def test_errors_of_the_axis_have_the_spread_that_was_asked_for() -> None:
    """Seen in the mean energy of one line, whose width changes nothing about it."""
    rates = torch.zeros((4000, GRID.bins))
    rates[:, 40] = 1.0
    energies = torch.from_numpy(GRID.centres).float()
    for asked, spread in ((Augmentation(gain=0.01), 0.01 * 2.1), (Augmentation(offset=0.05), 0.05)):
        moved = asked(rates, torch.ones(4000), chance(), GRID)[0].nan_to_num(0)
        places = (moved * energies).sum(1) / moved.sum(1)
        assert float(places.mean()) == pytest.approx(2.1, abs=4 * spread / math.sqrt(4000))
        assert float(places.std()) == pytest.approx(spread, rel=0.05)


# Resolution: lines widen in squares, keep their area and their place.


@given(st.floats(0.12, 0.5), st.integers(38, 42))
def test_a_line_widens_in_squares_and_keeps_area_and_place(fwhm: float, place: int) -> None:
    energies = torch.from_numpy(GRID.centres)
    rates = torch.exp(-0.5 * ((energies - energies[place]) / 0.1) ** 2)[None]
    wide = blur(rates, torch.tensor([fwhm]).double(), GRID)

    def moments(line: torch.Tensor) -> tuple[float, float]:
        mean = float((line * energies).sum() / line.sum())
        return mean, float((line * (energies - mean) ** 2).sum() / line.sum())

    assert float(wide.sum()) == pytest.approx(float(rates.sum()), rel=1e-6)
    (mean, variance), (mean_before, variance_before) = moments(wide[0]), moments(rates[0])
    assert mean == pytest.approx(mean_before, abs=1e-6)
    assert variance == pytest.approx(variance_before + (fwhm / FWHM) ** 2, rel=2e-3)


@given(spectra(), st.floats(0.01, 0.5))
@settings(max_examples=30)
def test_a_level_continuum_stays_level_up_to_its_ends(rates: torch.Tensor, fwhm: float) -> None:
    level = torch.where(rates.isnan(), torch.nan, 3.0)
    np.testing.assert_allclose(blur(level, torch.full((4,), fwhm), GRID), level, rtol=1e-5)


@given(spectra(), arrays(np.float32, 4, elements=st.floats(0, 0.5, width=32)))
@settings(max_examples=30)
def test_a_spectrum_is_blurred_alike_whatever_stands_beside_it(rates: torch.Tensor, fwhm: np.ndarray) -> None:
    together = blur(rates, torch.from_numpy(fwhm), GRID)
    alone = torch.cat([blur(rates[row : row + 1], torch.from_numpy(fwhm[row : row + 1]), GRID) for row in range(4)])
    np.testing.assert_array_equal(together, alone)


@given(spectra())
@settings(max_examples=30)
def test_no_blur_changes_no_bit(rates: torch.Tensor) -> None:
    np.testing.assert_array_equal(blur(rates, torch.zeros(4), GRID), rates)


# Cut: the lowest bins stay.


@given(spectra(), st.floats(KEPT, 1))
@settings(max_examples=30)
def test_a_cut_leaves_the_lowest_bins_as_they_are(rates: torch.Tensor, share: float) -> None:
    left = cut(rates, torch.full((4,), share))
    for row, before in zip(left, rates, strict=True):
        measured = before.isfinite().nonzero()[:, 0]
        kept = measured[: math.ceil(np.float32(share) * np.float32(len(measured)))]
        assert torch.equal(row.isfinite().nonzero()[:, 0], kept)
        assert torch.equal(row[kept], before[kept])


def test_as_many_are_cut_as_asked_and_none_below_half() -> None:
    rates = flat(rows=4000)
    left = Augmentation(cut=0.3)(rates, torch.ones(4000), chance(), GRID)[0].isfinite().sum(1)
    assert int(left.min()) >= KEPT * GRID.bins
    assert float((left < GRID.bins).float().mean()) == pytest.approx(0.3, abs=0.03)
    assert float(left[left < GRID.bins].float().mean()) == pytest.approx(0.75 * GRID.bins, rel=0.03)


# Thinning: the law of the counts that a shorter scan sees.


@given(st.integers(0, 3000), st.floats(0.0625, 1, width=32), st.floats(0.5, 40), st.integers(0, 5))
@settings(max_examples=25)
def test_whole_counts_are_thinned_by_the_binomial_law(counts: int, share: float, seconds: float, seed: int) -> None:
    """Mean and variance over 4,000 draws, each within five of its standard errors."""
    n, draws = counts, 50 * GRID.bins
    live = torch.full((50,), seconds, dtype=torch.float64)
    rates, live_after = thin(flat(n / seconds, 50, torch.float64), live, torch.full((50,), share), chance(seed))
    np.testing.assert_allclose(live_after, share * seconds, rtol=1e-6)
    seen = (rates * live_after[:, None]).numpy()
    # A rate times a time may miss a whole number by one rounding; then one count is a fraction next to a whole one.
    np.testing.assert_allclose(seen, np.rint(seen), atol=1e-6 * max(n, 1))
    assert (seen >= 0).all()
    assert (seen <= n * (1 + 1e-6)).all()
    variance = n * share * (1 - share)
    fourth = variance * (1 + 3 * variance)  # about that of a binomial
    assert abs(seen.mean() - n * share) <= 5 * math.sqrt(variance / draws) + 1e-5 * n
    assert abs(seen.var() - variance) <= 5 * math.sqrt(fourth / draws) + 1e-5 * n


@given(st.floats(0.01, 20), st.floats(0.0625, 1, width=32))
@settings(max_examples=25)
def test_fractions_of_counts_keep_the_mean_and_vary_no_more_than_counts_would(counts: float, share: float) -> None:
    rates, live = thin(flat(counts, 50, torch.float64), torch.ones(50).double(), torch.full((50,), share), chance())
    seen = (rates * live[:, None]).numpy()
    whole, fraction = divmod(counts, 1)
    variance = share * (1 - share) * (whole + fraction**2)
    fourth = variance * (1 + 3 * variance)
    draws = seen.size
    assert abs(seen.mean() - share * counts) <= 5 * math.sqrt(variance / draws) + 1e-5 * counts
    assert abs(seen.var() - variance) <= 5 * math.sqrt(fourth / draws) + 1e-5 * counts
    assert variance <= share * (1 - share) * counts + 1e-12


def test_a_thinned_poisson_spectrum_is_one_of_a_shorter_scan() -> None:
    """Variance equals mean, as it would not had the noise been added a second time (then 1.4 times the mean)."""
    counts = torch.poisson(flat(20.0, 2000), chance(1))
    rates, live = thin(counts / 10, torch.full((2000,), 10.0), torch.full((2000,), 0.4), chance(2))
    seen = rates * live[:, None]
    assert float(seen.mean()) == pytest.approx(8, rel=0.01)
    assert float(seen.var() / seen.mean()) == pytest.approx(1, abs=0.02)


@given(spectra())
@settings(max_examples=30)
def test_a_whole_share_or_no_live_time_leaves_rates_alone(rates: torch.Tensor) -> None:
    kept, live = thin(rates, torch.full((4,), 7.0), torch.ones(4), chance())
    np.testing.assert_allclose(kept, rates, rtol=1e-6)
    assert live.tolist() == [7.0] * 4
    without = torch.tensor([math.nan, 0.0, -1.0, math.inf])
    kept, live = thin(rates, without, torch.full((4,), 0.5), chance())
    assert torch.equal(kept.nan_to_num(-1), rates.nan_to_num(-1))
    assert torch.equal(live.nan_to_num(-1), without.nan_to_num(-1))


def test_rates_below_zero_are_no_counts_and_stay() -> None:
    rates = torch.tensor([[-2.0, 30.0, -0.5]])
    kept, _ = thin(rates, torch.tensor([10.0]), torch.tensor([0.5]), chance())
    assert kept[0, 0] == -2.0
    assert kept[0, 2] == -0.5
    assert kept[0, 1] != 30.0


def test_shares_of_the_live_time_are_drawn_evenly_from_the_smallest_on() -> None:
    _, live = Augmentation(thinning=0.4)(flat(rows=4000), torch.full((4000,), 10.0), chance(), GRID)
    assert float(live.min()) >= 4
    assert float(live.max()) <= 10
    assert float(live.mean()) == pytest.approx(7, rel=0.02)
    assert float(live.std()) == pytest.approx(6 / math.sqrt(12), rel=0.03)


def test_chance_comes_last() -> None:
    """Neighbouring bins of a flat spectrum vary apart, as counts do; a blur after the thinning would tie them."""
    everything = Augmentation(thinning=0.5, gain=0.001, resolution=0.3)
    varied, _ = everything(flat(2.0, 200), torch.full((200,), 1000.0), chance(), GRID)
    noise = varied[:, 4:-4] - varied[:, 4:-4].mean(dim=1, keepdim=True)
    assert noise.isfinite().all()
    tied = float((noise[:, 1:] * noise[:, :-1]).sum() / noise.square().sum())
    assert abs(tied) < 5 / math.sqrt(noise.numel())
