"""A bundle comes back as it was saved, or not at all."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import bundle
from corebank.bundle import Bundle, DataLineage, Proxy
from corebank.errors import BundleError
from corebank.model import Quantifier, SpectrumMAE
from corebank.normalize import Normalization
from tests.model.cores import CONFIG, GRID

PROXY = Proxy(
    name="CaCO3",
    unit="wt%",
    transform="log",
    mean=2.0,
    std=0.5,
    floor=0.1,
    half_width=1.2,
    low=0.5,
    high=90.0,
)


def quantifier() -> Bundle:
    torch.manual_seed(0)
    return Bundle(
        kind="quantifier",
        name="q",
        config=CONFIG,
        normalization=Normalization(kind="log"),
        proxies=(PROXY,),
        weights=Quantifier(CONFIG, 1).state_dict(),
        outlier={"mean": torch.ones(3, dtype=torch.float64)},
        lineage=DataLineage(
            snapshots={"lab": "S"},
            cores=("lab/cruise/Å",),
            machines=("Mo 30 kV",),
            parent="models:/f/1",
        ),
        recipe={"seed": 0},
        metrics={"r2": math.nan, "all": [1.0, math.inf]},
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle.save(quantifier(), tmp_path_factory.mktemp("bundle") / "q")


def test_a_bundle_survives_the_disk(saved: Path) -> None:
    back, model = bundle.load(saved), quantifier()
    for name in ("kind", "name", "config", "normalization", "proxies", "lineage", "recipe", "code_version"):
        assert getattr(back, name) == getattr(model, name)
    assert back.grid == GRID
    assert back.metrics == {"r2": None, "all": [1.0, None]}
    assert all(torch.equal(back.weights[name], weight) for name, weight in model.weights.items())
    assert back.outlier is not None
    assert back.outlier["mean"].dtype == torch.float64


def test_an_unknown_interval_stays_unknown(tmp_path: Path) -> None:
    model = replace(quantifier(), proxies=(replace(PROXY, half_width=math.nan),))
    assert math.isnan(bundle.load(bundle.save(model, tmp_path)).proxies[0].half_width)


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_no_changed_byte_gets_through(
    saved: Path,
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("changed")
    for path in saved.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    victim = folder / data.draw(st.sampled_from(["model.safetensors", "bundle.json"]))
    raw = bytearray(victim.read_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    victim.write_bytes(raw)
    with pytest.raises(BundleError):
        bundle.load(folder)


def test_a_folder_without_a_bundle_and_a_bundle_without_weights_are_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle"):
        bundle.load(tmp_path)
    (tmp_path / "bundle.json").write_bytes((saved / "bundle.json").read_bytes())
    with pytest.raises(BundleError, match="not the weights"):
        bundle.load(tmp_path)


def test_a_newer_format_asks_for_an_upgrade(saved: Path, tmp_path: Path) -> None:
    document = json.loads((saved / "bundle.json").read_text()) | {"format": bundle.FORMAT + 1}
    (tmp_path / "bundle.json").write_text(json.dumps(document))
    with pytest.raises(BundleError, match="Upgrade corebank"):
        bundle.load(tmp_path)


def test_a_bundle_is_built_into_the_network_it_was_made_from(saved: Path) -> None:
    network = bundle.build(bundle.load(saved))
    assert isinstance(network, Quantifier)
    assert not network.training
    torch.manual_seed(0)
    foundation = Bundle(
        kind="foundation",
        name="f",
        config=CONFIG,
        normalization=Normalization(),
        weights=SpectrumMAE(CONFIG).state_dict(),
    )
    assert isinstance(bundle.build(foundation), SpectrumMAE)


def test_a_published_autoencoder_becomes_a_bundle() -> None:
    config = replace(CONFIG, settings=False)
    model = bundle.from_max(SpectrumMAE(config).state_dict(), config)
    assert (model.kind, model.normalization.kind, model.lineage.cores) == ("foundation", "standardise", ())
    with pytest.raises(BundleError, match="weights do not fit"):
        bundle.from_max({})


def test_weights_of_another_configuration_are_refused() -> None:
    with pytest.raises(BundleError, match="weights do not fit"):
        bundle.build(replace(quantifier(), config=replace(CONFIG, depth=3)))


@given(st.floats(0.1, 100), st.sampled_from(["identity", "log"]))
@settings(deadline=None)
def test_a_value_survives_network_units(value: float, transform: str) -> None:
    proxy = replace(PROXY, transform=transform)  # type: ignore[arg-type]  # one of the two
    np.testing.assert_allclose(proxy.inverse(proxy.forward(np.array([value]))), [value], rtol=1e-9)


def test_below_detection_counts_as_the_floor() -> None:
    np.testing.assert_allclose(PROXY.inverse(PROXY.forward(np.array([0.0, -4.0]))), [0.1, 0.1])
    assert np.isnan(PROXY.forward(np.array([np.nan]))).all()
