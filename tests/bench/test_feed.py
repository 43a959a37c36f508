"""The benchmark of the feed, run small: every way gives every spectrum, and the same ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from corebank.feed import slots
from tests.bench import feed, published

SPECTRA = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("feed")
    feed.made(at, SPECTRA)
    return at


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "MEMORY", 10 * SPECTRA * 2048)  # of 5 bytes a bin: for two ranks, but not thrice


def test_each_way_gives_each_spectrum_once_an_epoch(folder: Path) -> None:
    path = folder / "bank" / "catalog.yaml"
    found = feed.ways(folder, path, workers=(0,))
    many = SPECTRA * feed.too_many(feed.selected(path))
    for name, way in found.items():
        whole = many if name.startswith("streamed") else SPECTRA
        for _ in range(2):
            assert sum(way()) == (whole // 2 if "rank" in name else whole), name


def test_only_the_repeated_selection_is_streamed(folder: Path) -> None:
    some = feed.selected(folder / "bank" / "catalog.yaml")

    def kept(spectra: feed.xr.Dataset) -> bool:
        return feed.Feed(spectra, normalization=feed.Normalization(), batch_size=4, seed=0)._kept is not None

    assert kept(some)
    assert not kept(feed.repeated(some, feed.too_many(some)))


def test_the_published_loader_reads_the_counts_of_the_bank(folder: Path) -> None:
    """Standardised counts and standardised rates are the same, wherever the whole axis was measured or empty."""
    some = feed.selected(folder / "bank" / "catalog.yaml")
    (batch,) = published.loader(folder / "csv", batch_size=SPECTRA, workers=0)
    totals = sorted(np.loadtxt(one).sum() for one in published.Spectra(folder / "csv").paths)
    rates = np.nansum(some["intensity"].values, axis=1) * some["live_time"].values
    assert batch.shape == (SPECTRA, 2048)
    assert np.allclose(batch.mean(dim=1), 0)
    assert np.allclose(batch.std(dim=1, correction=0), 1)
    np.testing.assert_allclose(np.sort(rates), totals, rtol=0.02)  # the bank leaves out what was not measured


def test_rates_factors_and_waiting_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rate = feed.rates(feed.ways(folder, folder / "bank" / "catalog.yaml", workers=(0,)), 1)
    assert all(one > 0 for one in rate.values())
    told = feed.factors(rate)
    assert told["streamed / published, 0 workers"] == rate["streamed"] / rate["published, 0 workers"]
    assert told["streamed / in order, bare"] == rate["streamed"] / rate["in order, bare"]
    some = feed.selected(folder / "bank" / "catalog.yaml")
    for spectra in (some, feed.repeated(some, feed.too_many(some))):
        wait = feed.waiting(spectra, 2, augmentation=feed.AUGMENTED)
        assert 0 <= wait["share of steps that waits"] < 1
        assert wait["spectra/s"] > 0
    assert json.loads(json.dumps(told)) == told


def test_streaming_is_watched_in_a_process_of_its_own(folder: Path) -> None:
    assert 50 < feed.memory(folder / "bank" / "catalog.yaml", (3,))[3] < 1500
