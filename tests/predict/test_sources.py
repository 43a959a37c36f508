"""Spectra come from folders, banks, catalogs and tables, and are quantified alike wherever they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import bundle, contribution, predict
from corebank.bank import exporting, open_bank
from corebank.errors import BankNotFoundError, CatalogError, ContributionError, PredictError
from corebank.model import ModelConfig
from corebank.predict.sources import opened
from tests.conftest import GRID
from tests.registry.models import CONFIG, network_of, quantifier, spectra
from tests.scanner import write_expedition


def small_model() -> bundle.Bundle:
    """A quantifier on the axis of the small bank."""
    config = ModelConfig(patch=16, width=16, depth=1, heads=2, bins=160, energy_step=0.05)
    return quantifier(config=config, weights=network_of(config).state_dict(), outlier=None)


@given(st.integers(1, 5), st.integers(0, 99), st.sampled_from(["memory", "csv", "parquet"]))
@settings(deadline=None, max_examples=15)
def test_spectra_survive_the_way_into_a_table_and_back(
    tmp_path_factory: pytest.TempPathFactory, rows: int, seed: int, way: str
) -> None:
    ds = spectra(rows, seed)
    table = predict.to_table(ds)
    if way == "memory":
        again = predict.from_table(table)
    else:
        path = tmp_path_factory.mktemp("table") / f"spectra.{way}"
        table.to_csv(path, index=False) if way == "csv" else table.to_parquet(path, index=False)
        again = predict.load(str(path), CONFIG.grid)
    np.testing.assert_array_equal(again["intensity"], ds["intensity"])
    np.testing.assert_allclose(again["energy"], ds["energy"], atol=1e-6)
    for name in ("core", "section", "section_position", "depth", "tube_voltage", "flags", "anode"):
        assert again[name].values.tolist() == ds[name].values.tolist()
        assert again[name].dtype.kind == ds[name].dtype.kind


def test_a_table_is_quantified_like_the_dataset_it_came_from() -> None:
    ds, model = spectra(), quantifier()
    pd.testing.assert_frame_equal(predict.quantify(model, predict.to_table(ds)), predict.quantify(model, ds))


def test_a_minimal_table_of_somebody_else_is_read() -> None:
    table = pd.DataFrame({"core": ["A", None], "note": ["x", "y"], "1.25": [3.0, 4.0], "1.2": [1, None]})
    ds = predict.from_table(table)
    assert ds["energy"].values.tolist() == [1.2, 1.25]
    np.testing.assert_array_equal(ds["intensity"], [[1, 3], [np.nan, 4]])
    assert ds["core"].values.tolist() == ["A", ""]
    assert "note" not in ds


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing.csv", "neither a folder"),
        ("notes.xlsx", "neither a folder"),
        (".", "a bank, which holds several expeditions"),
    ],
)
def test_what_is_no_source_of_spectra_is_refused(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "notes.xlsx").write_text("")
    (tmp_path / "catalog.yaml").write_text("")
    with pytest.raises(PredictError, match=why):
        predict.load(str(tmp_path / name), CONFIG.grid)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("t.csv", b"", "cannot be read as .csv"),
        ("t.csv", b"core,1.6\n\xb5,3\n", "cannot be read as .csv"),
        ("t.csv", b"core,1.6\nA,3\nB,4,5,6\n", "cannot be read as .csv"),
        ("t.csv", b"core;1.6;1.76\nA;3;4\n", "0 columns are named by an energy"),
        ("t.parquet", b"core,1.6\nA,3\n", "cannot be read as .parquet"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_a_sentence(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PredictError, match=why):
        predict.load(str(tmp_path / name), CONFIG.grid)


def test_a_bank_a_run_of_it_and_the_folder_it_came_from_are_quantified_alike(small_bank: Path) -> None:
    model = small_model()
    banked = predict.load(f"{small_bank}::cruise1", model.grid)
    one_run = predict.load(f"{small_bank}::cruise1/s1", model.grid)
    assert banked.chunks
    values = predict.quantify(model, banked)
    assert values["CaCO3"].notna().all()
    pd.testing.assert_frame_equal(predict.quantify(model, one_run), values[: one_run.sizes["spectrum"]], rtol=1e-5)
    folder = predict.quantify(model, predict.load(str(small_bank.parent / "cruise1"), model.grid))
    pd.testing.assert_frame_equal(folder, values, rtol=1e-5)
    with pytest.raises(BankNotFoundError, match="cruise2"):
        predict.load(f"{small_bank}::cruise2", model.grid)


@pytest.mark.parametrize(
    ("entry", "runs"),
    [("", {"s1", "s2"}), ("::lab", {"s1", "s2"}), ("::lab/cruise1", {"s1", "s2"}), ("::lab/cruise1/s2", {"s2"})],
)
def test_a_catalog_gives_all_of_it_a_site_an_expedition_or_a_run(small_bank: Path, entry: str, runs: set[str]) -> None:
    come = opened(f"{small_bank / 'catalog.yaml'}{entry}", GRID)
    banked = predict.load(f"{small_bank}::cruise1", GRID)
    chosen = banked.isel(spectrum=np.isin(banked["run"].values.astype(str), list(runs)))
    assert come.spectra.chunks
    pd.testing.assert_frame_equal(
        predict.quantify(small_model(), come.spectra), predict.quantify(small_model(), chosen), rtol=1e-5
    )
    measured = come.laboratory()
    assert measured is not None
    assert set(measured["proxy"]) == {"CaCO3", "TOC"}


def test_what_a_catalog_does_not_hold_is_refused_with_what_it_holds(small_bank: Path) -> None:
    with pytest.raises(CatalogError, match=r"no expeditions cruise2\. It has cruise1"):
        predict.load(f"{small_bank / 'catalog.yaml'}::lab/cruise2", GRID)


def test_a_folder_whose_words_lie_elsewhere_is_quantified_like_one_that_holds_them(tmp_path: Path) -> None:
    write_expedition(tmp_path / "cruise", core="C/1", sections=("S1", "S2"), count=4)
    within = opened(str(tmp_path / "cruise"), GRID)
    values = within.laboratory()
    words = (tmp_path / "cruise" / "contribution.toml").rename(tmp_path / "words.toml")
    without, elsewhere = opened(str(tmp_path / "cruise"), GRID), opened(str(tmp_path / "cruise"), GRID, words)
    expected = predict.quantify(small_model(), within.spectra)
    assert set(expected["core"]) == {"C/1"}
    assert set(predict.quantify(small_model(), without.spectra)["core"]) == {"cruise"}
    pd.testing.assert_frame_equal(predict.quantify(small_model(), elsewhere.spectra), expected)
    same = elsewhere.laboratory()
    assert values is not None
    assert same is not None
    pd.testing.assert_frame_equal(same, values)


def test_words_that_do_not_fit_the_folder_or_describe_none_are_refused(tmp_path: Path, small_bank: Path) -> None:
    write_expedition(tmp_path / "cruise", sections=("S1",))
    words = (tmp_path / "cruise" / "contribution.toml").rename(tmp_path / "words.toml")
    (tmp_path / "cruise" / "S1").rename(tmp_path / "cruise" / "S7")
    with pytest.raises(ContributionError, match="S1"):
        opened(str(tmp_path / "cruise"), GRID, words)
    for source in (f"{small_bank}::cruise1", str(small_bank / "catalog.yaml")):
        with pytest.raises(PredictError, match="is no folder of scanner files"):
            opened(source, GRID, words)


def test_an_exported_table_says_its_unit_and_is_believed(small_bank: Path, tmp_path: Path) -> None:
    whole = open_bank(small_bank).spectra("cruise1")
    exporting.export(whole, tmp_path / "spectra.parquet")
    model = small_model()
    values = predict.quantify(model, predict.load(str(tmp_path / "spectra.parquet"), model.grid))
    pd.testing.assert_frame_equal(values, predict.quantify(model, whole), rtol=1e-5)
    whole["intensity"].attrs["units"] = "count"
    exporting.export(whole, tmp_path / "counts.parquet")
    with pytest.raises(PredictError, match="is in count, the model reads count/s"):
        predict.quantify(model, predict.load(str(tmp_path / "counts.parquet"), model.grid))


def test_laboratory_values_come_with_banks_and_folders_and_not_with_tables(small_bank: Path, tmp_path: Path) -> None:
    banked = predict.laboratory(f"{small_bank}::cruise1")
    beside = contribution.measurements(small_bank.parent / "cruise1")
    assert banked is not None
    assert sorted(banked["value"]) == sorted(beside["value"])
    predict.to_table(spectra(2)).to_csv(tmp_path / "spectra.csv", index=False)
    assert opened(str(tmp_path / "spectra.csv"), CONFIG.grid).laboratory() is None
