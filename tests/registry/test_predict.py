"""Predictions come with intervals and warnings; what a model was not made for is refused; tables lose nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import bundle, predict
from corebank.errors import BankNotFoundError, PredictError
from corebank.model import ModelConfig
from corebank.schema import Flag
from tests.registry.models import CONFIG, foundation, network_of, quantifier, spectra


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
@settings(deadline=None, max_examples=10)
def test_values_do_not_depend_on_blocks_nor_on_the_spectra_beside_them(rows: int, block: int, seed: int) -> None:
    model, ds = quantifier(), spectra(rows, seed)
    whole = predict.quantify(model, ds)
    alone = predict.quantify(model, ds.isel(spectrum=[rows // 2]))
    pd.testing.assert_frame_equal(predict.quantify(model, ds.chunk(spectrum=block)), whole, rtol=1e-4)
    pd.testing.assert_frame_equal(alone, whole.iloc[[rows // 2]].reset_index(drop=True), rtol=1e-4)


@given(st.floats(0.01, 2))
@settings(deadline=None, max_examples=10)
def test_an_interval_holds_its_value_and_is_as_wide_as_the_bundle_says(half_width: float) -> None:
    model = quantifier()
    caco3, toc = (replace(proxy, half_width=half_width) for proxy in model.proxies)
    values = predict.quantify(replace(model, proxies=(caco3, toc)), spectra())
    np.testing.assert_allclose(values["CaCO3_upper"] - values["CaCO3_lower"], 2 * half_width * caco3.std)
    np.testing.assert_allclose(values["TOC_upper"] / values["TOC_lower"], np.exp(2 * half_width * toc.std))
    assert ((values["TOC_lower"] < values["TOC"]) & (values["TOC"] < values["TOC_upper"])).all()


def test_a_known_core_is_quantified_without_a_warning() -> None:
    values = predict.quantify(quantifier(), spectra(4))
    assert list(values) == [
        "core",
        "section",
        "section_position",
        "depth",
        "CaCO3",
        "CaCO3_lower",
        "CaCO3_upper",
        "CaCO3_unit",
        "TOC",
        "TOC_lower",
        "TOC_upper",
        "TOC_unit",
        "outlier_score",
        "warning",
    ]
    assert values[["core", "section", "CaCO3_unit"]].iloc[0].tolist() == ["CD166-19", "S1", "wt%"]
    assert values["depth"].tolist() == [100, 105, 110, 115]
    assert values["outlier_score"].between(0, 1).all()
    assert (values["warning"] == "").all()


def test_a_model_without_intervals_or_outlier_statistics_says_nan() -> None:
    model = quantifier(outlier=None)
    proxies = tuple(replace(proxy, half_width=np.nan) for proxy in model.proxies)
    values = predict.quantify(replace(model, proxies=proxies), spectra(3))
    assert values["CaCO3"].notna().all()
    assert values[["CaCO3_lower", "CaCO3_upper", "outlier_score"]].isna().all(axis=None)


def test_each_reason_for_doubt_is_named() -> None:
    ds = spectra(6)
    rates = ds["intensity"].values
    rates[1] = np.nan
    rates[2, 60:100] *= 100
    ds["anode"].values[3] = "Rh"
    ds["flags"].values[4] = Flag.LOW_COUNTS | Flag.NOT_IN_POSITION
    caco3 = replace(quantifier().proxies[0], low=1000, high=2000)
    warnings = predict.quantify(quantifier(), ds)["warning"]
    assert warnings[0] == ""
    assert warnings[1] == "No patch of the energy axis was measured as a whole"
    assert warnings[2] == "Unlike the spectra the model has seen"
    assert warnings[3] == "The model has never seen Rh 30 kV, only Mo 30 kV"
    assert warnings[4] == "Flagged: low counts, not in position"
    far = predict.quantify(quantifier(proxies=(caco3, quantifier().proxies[1])), spectra(1))["warning"][0]
    assert far == "Value of CaCO3 is beyond the training labels (1000 to 2000 wt%)"


def test_nothing_but_empty_spectra_is_answered_with_nan() -> None:
    ds = spectra(3)
    ds["intensity"].values[:] = np.nan
    assert predict.quantify(quantifier(), ds)["CaCO3"].isna().all()


def test_a_machine_is_named_by_anode_and_voltage_and_is_empty_where_one_is_unknown() -> None:
    ds = spectra(3)
    ds["anode"].values[1] = ""
    ds["tube_voltage"].values[2] = np.nan
    assert predict.machines(ds).tolist() == ["Mo 30 kV", "", ""]
    assert predict.machines(ds.drop_vars(["anode", "tube_voltage"])).tolist() == ["", "", ""]


@pytest.mark.parametrize(
    ("model", "ds", "why"),
    [
        (foundation(), spectra(), "a foundation model, which gives no values"),
        (quantifier(), spectra(0), "there are no spectra"),
        (quantifier(), spectra().rename(intensity="counts"), "no intensity"),
        (quantifier(), spectra().isel(energy=slice(0, 64)), "64 bins of 160 eV from 0 keV, the model reads 128 bins"),
        (quantifier(), spectra().assign_coords(energy=CONFIG.grid.centres / 8), "of 20 eV from 0 keV, the model reads"),
    ],
)
def test_what_the_model_was_not_made_for_is_refused(model: bundle.Bundle, ds: xr.Dataset, why: str) -> None:
    with pytest.raises(PredictError, match=why):
        predict.quantify(model, ds)


@pytest.mark.parametrize(("unit", "why"), [("count", "is in count, the model reads count/s"), (None, "is in no unit")])
def test_another_unit_is_refused(unit: str | None, why: str) -> None:
    ds = spectra()
    ds["intensity"].attrs = {"units": unit} if unit else {}
    with pytest.raises(PredictError, match=why):
        predict.quantify(quantifier(), ds)


@given(st.integers(1, 5), st.integers(0, 99), st.sampled_from(["memory", "csv", "parquet"]))
@settings(deadline=None, max_examples=15)
def test_spectra_survive_the_way_into_a_table_and_back(
    tmp_path_factory: pytest.TempPathFactory,
    rows: int,
    seed: int,
    way: str,
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
    ("table", "why"),
    [
        (pd.DataFrame({"core": ["A"], "Fe": [3.0]}), "0 columns are named by an energy"),
        (pd.DataFrame({"1": ["b.d.l."], "2": [3.0]}), "an energy column holds text"),
    ],
)
def test_a_table_without_energies_or_with_text_in_them_is_refused(table: pd.DataFrame, why: str) -> None:
    with pytest.raises(PredictError, match=why):
        predict.from_table(table)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing.csv", "neither a folder"),
        ("notes.xlsx", "neither a folder"),
        (".", "a bank, which holds several"),
    ],
)
def test_what_is_no_source_of_spectra_is_refused(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "notes.xlsx").write_text("")
    (tmp_path / "catalog.yaml").write_text("")
    with pytest.raises(PredictError, match=why):
        predict.load(str(tmp_path / name), CONFIG.grid)


@pytest.mark.parametrize("name", ["v.csv", "v.parquet", "v.nc", "v.zarr"])
def test_written_values_are_read_back(tmp_path: Path, name: str) -> None:
    values = predict.quantify(quantifier(), spectra())
    predict.write(values, tmp_path / name)
    if name in ("v.csv", "v.parquet"):
        again = (pd.read_csv if name == "v.csv" else pd.read_parquet)(tmp_path / name)
        pd.testing.assert_series_equal(again["CaCO3"], values["CaCO3"])
        assert again["core"].tolist() == values["core"].tolist()
        return
    options = {"engine": "zarr", "consolidated": False} if name == "v.zarr" else {}
    with xr.open_dataset(tmp_path / name, **options) as ds:
        np.testing.assert_array_equal(ds["TOC_upper"], values["TOC_upper"])
        assert ds["core"].values.tolist() == values["core"].tolist()
        assert (ds["TOC_upper"].attrs["units"], ds["depth"].attrs["units"]) == ("wt%", "mm")
        assert "TOC_unit" not in ds


def test_an_unknown_ending_and_an_occupied_store_are_refused(tmp_path: Path) -> None:
    values = predict.quantify(quantifier(), spectra(2))
    with pytest.raises(PredictError, match=r"cannot write \.xlsx"):
        predict.write(values, tmp_path / "v.xlsx")
    predict.write(values, tmp_path / "v.zarr")
    with pytest.raises(PredictError, match="there already"):
        predict.write(values, tmp_path / "v.zarr")


def test_from_a_bundle_and_a_table_to_values_and_a_picture(tmp_path: Path) -> None:
    model = bundle.save(quantifier(), tmp_path / "bundle")
    predict.to_table(spectra()).to_csv(tmp_path / "spectra.csv", index=False)
    values = predict.run(str(model), str(tmp_path / "spectra.csv"), tmp_path / "values.csv", plot=tmp_path / "p.png")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "values.csv", keep_default_na=False)[list(values)], values)
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_a_model_that_reads_machine_settings_gets_them_and_does_without_those_that_are_unknown() -> None:
    config = replace(CONFIG, settings=True)
    model = quantifier(config=config, weights=network_of(config).state_dict(), outlier=None)
    known, other = spectra(3), spectra(3)
    other["tube_voltage"].values[1] = 10.0
    same = predict.quantify(model, known)["CaCO3"] == predict.quantify(model, other)["CaCO3"]
    assert same.tolist() == [True, False, True]
    assert predict.quantify(model, known.drop_vars(["anode", "tube_voltage"]))["CaCO3"].notna().all()


def test_a_bank_a_run_of_it_and_the_folder_it_came_from_are_quantified_alike(small_bank: Path) -> None:
    config = ModelConfig(patch=16, width=16, depth=1, heads=2, bins=160, energy_step=0.05)
    model = quantifier(config=config, weights=network_of(config).state_dict(), outlier=None)
    banked = predict.load(f"{small_bank}::cruise1", config.grid)
    one_run = predict.load(f"{small_bank}::cruise1/s1", config.grid)
    assert banked.chunks
    values = predict.quantify(model, banked)
    assert values["CaCO3"].notna().all()
    pd.testing.assert_frame_equal(predict.quantify(model, one_run), values[: one_run.sizes["spectrum"]], rtol=1e-5)
    folder = predict.quantify(model, predict.load(str(small_bank.parent / "cruise1"), config.grid))
    pd.testing.assert_frame_equal(folder, values, rtol=1e-5)
    with pytest.raises(BankNotFoundError, match="cruise2"):
        predict.load(f"{small_bank}::cruise2", config.grid)
