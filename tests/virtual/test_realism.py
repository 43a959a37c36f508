"""Virtual spectra beside real ones; the numbers are reported in docs/explanation/virtual-scanner.md."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from corebank.virtual import EXPEDITIONS, INSTRUMENTS, simulate
from corebank.virtual import sediment as sediments
from corebank.virtual.expedition import scan
from corebank.virtual.spectra import ELEMENTS

CHECKOUT = Path(__file__).parents[2]
DATA = Path(os.environ.get("COREBANK_DATA", CHECKOUT.parent / "shared" / "data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real cores are not in {DATA}; set COREBANK_DATA")


@pytest.mark.real
@needs_data
def test_mean_virtual_spectra_lie_on_mean_real_ones() -> None:
    program = runpy.run_path(str(CHECKOUT / "docs" / "figures" / "virtual_vs_real.py"))
    itrax, avaatech, old_itrax = program["comparisons"](DATA)
    for pair in (itrax, avaatech, old_itrax):
        assert pair.correlation > 0.985
        assert pair.misfit < 0.25
        assert pair.virtual.sum() == pytest.approx(pair.real.sum(), rel=0.15)
    for element, energy in {"K": 3.314, "Ca": 3.692, "Ti": 4.511, "Fe": 6.404, "Sr": 14.15}.items():
        near = np.abs(itrax.energies - energy) < 0.1
        assert abs(int(itrax.real[near].argmax()) - int(itrax.virtual[near].argmax())) <= 1, element
        assert itrax.virtual[near].max() == pytest.approx(itrax.real[near].max(), rel=0.3), element


@pytest.mark.real
@needs_data
def test_sixty_samples_of_known_composition_give_spectra_like_their_real_ones() -> None:
    """Samples of CD166/19 whose elements a hand-held instrument measured: nothing is fitted to the single sample."""
    folder = DATA / "itrax-cd166" / "calibration_samples"
    measured = pd.read_csv(folder / "hhxrf_tidy.csv")
    real = np.array([_counts(folder / "sumspectra" / f"sumspectra_{name}.spe") for name in measured["SampleID"]])
    instrument = INSTRUMENTS["itrax-mo-2020"]
    virtual = simulate(_composition(measured), instrument)
    inside = (instrument.energies > 0.6) & (instrument.energies < 19)
    logs = np.log(real[:, inside] + 1), np.log(virtual[:, inside] + 1)
    alike = [np.corrcoef(one, other)[0, 1] for one, other in zip(*logs, strict=True)]
    assert np.median(alike) > 0.96
    for energy in (3.692, 6.404, 14.15):  # Ca, Fe, Sr: within a quarter, without a free scale
        near = np.abs(instrument.energies - energy) < 0.12
        assert np.median(virtual[:, near].sum(axis=1) / real[:, near].sum(axis=1)) == pytest.approx(1, abs=0.25)


def test_total_counts_are_those_of_the_scanners() -> None:
    """Real: 367 to 816 thousand (CD166/19), 11 to 415 thousand (2008), about a million (corpus of MAX)."""
    for name, lowest, highest in (("vm1", 3e5, 9e5), ("vl1", 1e4, 4.2e5), ("vs1", 3e5, 3e6)):
        totals = scan(EXPEDITIONS[name], 0, 0).spectra["counts"].sum("channel")
        assert lowest < totals.min()
        assert totals.max() < highest


def _counts(path: Path) -> np.ndarray:
    body = path.read_bytes().split(b"channel\tcontent\t\t\r")[1]
    return np.array([float(line.split(b"\t")[1]) for line in body.splitlines()])


def _composition(measured: pd.DataFrame) -> xr.DataArray:
    """Elements from ppm, carbon and oxygen by stoichiometry, the rest and 35 % of the wet mass water."""
    shares = pd.DataFrame(0.0, index=measured.index, columns=list(ELEMENTS))
    shown = [e for e in ELEMENTS if e in measured and e not in ("Mg", "Cl", "As")]
    shares[shown] = measured[shown].fillna(0) * 1e-6
    shares[["Na", "Mg", "Cl"]] = 0.010, 0.008, 0.012
    shares["C"] = shares["Ca"] * 12.01 / 40.08
    per_element = {"Ca": 48 / 40.08, "Si": 32 / 28.09, "Al": 24 / 26.98, "Fe": 24 / 55.85, "K": 8 / 39.1}
    shares["O"] = sum(shares[element] * oxygen for element, oxygen in per_element.items())
    rest = (1 - shares.sum(axis=1)).clip(lower=0.02)
    shares = shares.div(shares.sum(axis=1) + rest, axis=0) * 0.65
    water = 1 - shares.sum(axis=1)
    shares["H"] += water * 0.1119
    shares["O"] += water * 0.8881
    return xr.DataArray(shares.to_numpy(), dims=("spectrum", "element"), coords={"element": list(ELEMENTS)})


@pytest.mark.parametrize("setting", sediments.SETTINGS)
@pytest.mark.parametrize("production", [-4.0, 4.0])
def test_no_sediment_is_so_rich_that_its_parts_exceed_the_whole(
    setting: str, production: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four standard deviations of production, and no oxygen: an organic ooze full of pyrite."""
    extremes = {sediments._LENGTHS["production"]: production}
    monkeypatch.setattr(sediments, "_curve", lambda rng, length, depth: np.full(len(depth), extremes.get(length, -4.0)))
    shares = sediments.sediment(setting, np.linspace(0, 1, 3), core_seed=(1,))["mass_fraction"]
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum("element"), 1)
