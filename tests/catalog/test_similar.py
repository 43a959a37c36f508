"""Similar spectra: the distance is one, a run finds itself, and what cannot be compared is left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from corebank import bank as banks
from corebank import catalog, cli, contribution, virtual
from corebank.bank import descriptor
from corebank.catalog import similar
from corebank.errors import CatalogError, ReadError
from corebank.schema import EnergyGrid
from tests.conftest import GRID
from tests.scanner import spectra, write_itrax

SPECTRA = arrays(np.float64, 60, elements=st.integers(0, 100_000)).filter(lambda counts: counts[2:57].sum() > 0)
EDGES = np.linspace(0, 42, 61)
"""[keV]; bins 2 to 56 lie inside the energies that are described, 1 to 40 keV."""


def ranks(index: catalog.Index, queries: dict[str, np.ndarray], grid: EnergyGrid) -> dict[str, int]:
    """Run -> place (from 1) at which a spectrum of it finds it."""
    found = {}
    for entry, spectrum in queries.items():
        near = catalog.nearest(index, spectrum, grid=grid, count=len(index)).table["entry"].tolist()
        found[entry] = near.index(entry) + 1
    return found


@settings(max_examples=40, deadline=None)
@given(SPECTRA)
def test_the_shares_of_a_spectrum_sum_to_one_whatever_its_scale(counts: np.ndarray) -> None:
    found = descriptor.described(counts, EDGES)
    assert np.nansum(found.astype(np.float64) ** 2) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(descriptor.described(3.5 * counts, EDGES), found, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(SPECTRA, SPECTRA, SPECTRA)
def test_the_distance_is_a_distance(one: np.ndarray, other: np.ndarray, third: np.ndarray) -> None:
    a, b, c = descriptor.described(np.stack([one, other, third]), EDGES)
    ab, ac, aa = descriptor.distances(a, np.stack([b, c, a]))
    bc, ba = descriptor.distances(b, np.stack([c, a]))
    assert aa == pytest.approx(0, abs=2e-3), "float32"
    assert ab == pytest.approx(ba, abs=2e-3)
    assert 0 <= ab <= 1
    assert ab <= ac + bc + 2e-3


def test_the_distance_is_hellingers_by_hand() -> None:
    """Counts in two windows only, 3:1 and 1:3: d = sqrt(1 - 2 sqrt(3/16))."""
    grid = EnergyGrid()
    counts = np.zeros((2, grid.bins))
    counts[0, 320], counts[0, 185], counts[1, 320], counts[1, 185] = 3, 1, 1, 3  # 6.40 keV Fe, 3.70 keV Ca
    one, other = descriptor.described(counts, grid.edges)
    (distance,) = descriptor.distances(one, other[None])
    assert distance == pytest.approx(np.sqrt(1 - 2 * np.sqrt(3 / 16)), abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(SPECTRA, st.integers(20, 50))
def test_what_one_of_two_did_not_measure_does_not_part_them(counts: np.ndarray, cut: int) -> None:
    """A detector that ends earlier sees the same shares in what both saw."""
    low = np.where(np.arange(60) < cut, counts, np.nan)
    if np.nansum(low[2 : cut - 3]) == 0:
        return
    (distance,) = descriptor.distances(descriptor.described(counts, EDGES), descriptor.described(low, EDGES)[None])
    assert np.isnan(distance) or distance == pytest.approx(0, abs=2e-3)


def test_another_grid_gives_the_same_shares() -> None:
    fine, coarse = np.linspace(0, 42, 2001), np.linspace(0, 42, 501)
    counts = np.random.default_rng(0).poisson(200, 2000).astype(float)
    one, other = descriptor.described(counts, fine), descriptor.described(counts.reshape(500, 4).sum(axis=1), coarse)
    (distance,) = descriptor.distances(one, other[None])
    assert distance < 0.03


def test_what_shares_too_little_of_the_axis_is_not_compared(small_bank: Path) -> None:
    hard = np.where(EnergyGrid().centres > 25, 10.0, np.nan)  # the bank's detector ends at 6.3 keV
    assert len(catalog.nearest(small_bank / "catalog.yaml", hard)) == 0
    with pytest.raises(CatalogError, match="has no counts between 1 and 40 keV"):
        catalog.nearest(small_bank / "catalog.yaml", np.zeros(2048))
    with pytest.raises(CatalogError, match=r"has the shape \(7,\)\. Give \(2048,\) values"):
        catalog.nearest(small_bank / "catalog.yaml", np.ones(7))


@pytest.fixture(scope="module")
def virtual_banks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every virtual expedition, with fewer spectra, in one bank: three machines, four kinds of sediment."""
    root = tmp_path_factory.mktemp("virtual")
    bank = banks.create(root / "bank", site="virtual")
    for name in ("vm1", "vs1", "vl1", "vc1"):
        expedition = replace(virtual.named(name), cores=2, sections_per_core=1, spectra_per_section=10, site="virtual")
        virtual.write(root / name, expedition, zipped=False)
        bank.add(contribution.checked(root / name))
    return bank.path


def halves(bank: banks.Bank) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Entry, mean of the even spectra and mean of the odd ones, of every run."""
    for expedition in bank.expeditions():
        for run in bank.runs(expedition):
            intensity = bank.run(expedition, run)["intensity"].values
            yield f"{bank.site}/{expedition}/{run}", intensity[::2].mean(axis=0), intensity[1::2].mean(axis=0)


def test_half_of_a_virtual_run_finds_the_run_first(virtual_banks: Path) -> None:
    bank = banks.open_bank(virtual_banks)
    index = catalog.index(virtual_banks / "catalog.yaml")
    assert len(index) == 8
    queries = {entry: even for entry, even, _ in halves(bank)}
    assert ranks(index, queries, bank.grid) == dict.fromkeys(queries, 1)


def test_single_virtual_spectra_find_runs_of_their_own_expedition(virtual_banks: Path) -> None:
    """A single spectrum is noisy and its layer is not the mean of its core; its sediment and machine it does show."""
    bank = banks.open_bank(virtual_banks)
    index = catalog.index(virtual_banks / "catalog.yaml")
    first = []
    for expedition in bank.expeditions():
        for run in bank.runs(expedition):
            for spectrum in bank.run(expedition, run)["intensity"].values[::3]:
                hit = catalog.nearest(index, spectrum, grid=bank.grid, count=1).table.iloc[0]
                first.append(hit["expedition"] == expedition)
    assert np.mean(first) >= 0.9


def test_half_of_a_real_run_finds_the_run_first(data: Path) -> None:
    """Real cores of two lakes and an ocean, halves that share no spectrum: the other half is nearest, or next to it."""
    grid = EnergyGrid()
    runs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for folder in ("itrax-cd166/CD166_19_S1", "itrax-ardley/ARD_13_8_Mo/ARD1A", "itrax-lagopato"):
        read = contribution.spectra(data / folder, grid)
        names = read["run"].values.astype(str)
        for name in np.unique(names):
            rows = np.flatnonzero(names == name)[:120]
            values = read["intensity"].isel(spectrum=rows).values
            runs[f"{folder}:{name}"] = values[::2].mean(axis=0), values[1::2].mean(axis=0)
    assert len(runs) >= 3
    odd = descriptor.described(np.stack([pair[1] for pair in runs.values()]), grid.edges)
    for place, (even, _) in enumerate(runs.values()):
        distances = descriptor.distances(descriptor.described(even, grid.edges), odd)
        assert np.argmin(distances) == place


def test_a_spectrum_file_is_calibrated_by_the_files_beside_it(tmp_path: Path) -> None:
    counts = spectra(3)
    write_itrax(tmp_path / "S1", counts)
    read = similar.spectrum_of(tmp_path / "S1" / "XRF data" / "L000001.spe")
    assert read.sizes == {"spectrum": 1, "energy": 2048}
    whole = contribution.spectra(tmp_path / "S1", EnergyGrid())
    np.testing.assert_allclose(read["intensity"].values[0], whole["intensity"].values[1], rtol=1e-5)
    np.testing.assert_allclose(
        similar.spectrum_of(tmp_path / "S1")["intensity"].values, whole["intensity"].values, rtol=1e-5
    )


def test_a_lone_virtual_spectrum_is_calibrated_by_its_lines(virtual_banks: Path, tmp_path: Path) -> None:
    raw = virtual_banks.parent / "vm1"
    source = next(raw.rglob("*000003.spe"))
    lone = tmp_path / source.name
    lone.write_bytes(source.read_bytes())
    found = catalog.nearest(virtual_banks / "catalog.yaml", lone, count=3).table
    assert found["expedition"].iloc[0] == "vm1"
    assert found["distance"].is_monotonic_increasing
    with pytest.raises(ReadError):
        catalog.nearest(virtual_banks / "catalog.yaml", tmp_path / "nothing.spe")


def test_a_dataset_is_described_by_its_mean(small_bank: Path) -> None:
    run = banks.open_bank(small_bank).run("cruise1", "s2")
    found = catalog.nearest(small_bank / "catalog.yaml", run)
    assert found.table["entry"].tolist()[0] == "lab/cruise1/s2"
    assert found.table["distance"].iloc[0] < 1e-3, "what the index rounds"
    mean = run["intensity"].values.mean(axis=0)
    again = catalog.nearest(small_bank / "catalog.yaml", mean, grid=GRID)
    xr.testing.assert_identical(found.table.to_xarray(), again.table.to_xarray())


def test_the_search_can_be_narrowed_before(virtual_banks: Path) -> None:
    index = catalog.index(virtual_banks / "catalog.yaml")
    mean = banks.open_bank(virtual_banks).run("vs1", "vs1-1-s1")["intensity"].values.mean(axis=0)
    narrowed = catalog.nearest(index, mean, among=catalog.search(index, scanner="itrax"), count=20)
    assert set(narrowed.table["scanner"]) == {"itrax"}
    assert narrowed.searched == 6


def test_the_command_lists_the_nearest_first(virtual_banks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = virtual_banks.parent / "vl1" / "VL1-2_S1"
    with pytest.raises(SystemExit) as ended:
        cli.run(cli.app, ["search", str(virtual_banks), "--like", str(source), "--limit", "2", "--json"])
    assert ended.value.code == 0
    hits = json.loads(capsys.readouterr().out)["hits"]
    assert hits[0]["entry"] == "virtual/vl1/vl1-2-s1"
    assert len(hits) == 2
