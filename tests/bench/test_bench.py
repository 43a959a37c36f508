"""What people feel, timed with ``make bench``; without it these are tests that count what costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from corebank import bank, contribution, readers, virtual
from corebank.feed import Feed
from corebank.model import PRESETS, SpectrumMAE
from corebank.normalize import Normalization
from tests.bench import contribute


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "raw"
    virtual.write(folder, virtual.named("seed"))
    return folder


@pytest.fixture(scope="module")
def stored(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> bank.Bank:
    made = bank.create(tmp_path_factory.mktemp("bench") / "bank", site="virtual")
    made.add(contribution.checked(raw))
    return made


def test_bench_raw_files_to_counts(benchmark: BenchmarkFixture, raw: Path) -> None:
    """Sixty Itrax spectra of 2,048 channels, out of two zips."""
    found, _ = readers.scans(raw)
    read_in = benchmark(lambda: [readers.read_scan(scan) for scan in found])
    assert sum(run.sizes["spectrum"] for one in read_in for run in one.runs) == 60


def test_bench_the_published_corpus_holds_the_counts_of_the_bank(
    benchmark: BenchmarkFixture, raw: Path, stored: bank.Bank, tmp_path: Path
) -> None:
    """One CSV per spectrum, the way that `tests.bench.contribute` times ours against."""
    turn = iter(range(1000))
    assert benchmark(lambda: contribute.published(raw, tmp_path / f"corpus-{next(turn)}")) == 60
    held = stored.run("seed", "seed-1-s1", "counts").isel(spectrum=7)
    member = Path(str(held["source"].values).rpartition("!")[2]).stem
    csv = np.loadtxt(tmp_path / "corpus-0" / f"SEED-1_S1_{member}.csv")
    np.testing.assert_array_equal(csv, held["counts"].values)


def test_bench_ten_neighbouring_spectra(benchmark: BenchmarkFixture, stored: bank.Bank) -> None:
    """One centimetre of a core lies in one chunk, whatever else the bank holds."""
    spectra = stored.spectra("seed", "seed-1-s1")["intensity"].isel(spectrum=slice(10, 20))
    assert spectra.data.npartitions == 1
    assert benchmark(spectra.load).shape == (10, 2048)


def test_bench_an_epoch_of_the_feed(benchmark: BenchmarkFixture, stored: bank.Bank) -> None:
    """Every spectrum once, shuffled and normalised."""
    feed = Feed(stored.spectra("seed"), normalization=Normalization(kind="log"), batch_size=16, seed=0)
    rows = benchmark(lambda: np.concatenate([batch.row_B.numpy() for batch in feed.epoch(0)]))
    assert sorted(rows.tolist()) == list(range(60))


def test_bench_a_training_step(benchmark: BenchmarkFixture, stored: bank.Bank) -> None:
    """Forward and backward of the tiny network on 32 spectra."""
    network, generator = SpectrumMAE(PRESETS["tiny"]), torch.Generator().manual_seed(0)
    batch = next(Feed(stored.spectra("seed"), normalization=Normalization(kind="log"), batch_size=32, seed=0).epoch(0))

    def step() -> float:
        loss = network(batch.values_BE, batch.measured_BE, batch.settings_BS, 0.5, generator).loss
        loss.backward()
        return loss.item()

    assert np.isfinite(benchmark(step))
