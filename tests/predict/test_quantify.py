"""Every spectrum gets values, intervals, and the reasons to doubt them; blocks and neighbours make no difference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import bundle, predict
from corebank.predict.judging import possible
from corebank.schema import Flag
from tests.registry.models import CONFIG, network_of, quantifier, spectra


def trusting(**changes: Any) -> bundle.Bundle:
    """A quantifier that takes every spectrum for one of its kind."""
    return quantifier(outlier=None, **changes)


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
    values = predict.quantify(trusting(), spectra(4))
    of_each = ("", "_lower", "_upper", "_unit", "_warning")
    assert list(values) == [
        *("core", "section", "section_position", "depth"),
        *(f"CaCO3{end}" for end in of_each),
        *(f"TOC{end}" for end in of_each),
        *("outlier_score", "warning"),
    ]
    assert values[["core", "section", "CaCO3_unit"]].iloc[0].tolist() == ["CD166-19", "S1", "wt%"]
    assert values["depth"].tolist() == [100, 105, 110, 115]
    assert values["outlier_score"].isna().all()
    assert (values["warning"] == "").all()


def test_spectra_that_say_where_they_come_from_keep_it() -> None:
    ds = spectra(3).assign(run=("spectrum", np.array(["s1", "s1", "s2"], dtype=object)))
    values = predict.quantify(quantifier(), ds)
    assert list(values)[:2] == ["run", "core"]
    assert values["run"].tolist() == ["s1", "s1", "s2"]


def test_a_model_without_intervals_or_outlier_statistics_says_nan() -> None:
    model = quantifier(outlier=None)
    proxies = tuple(replace(proxy, half_width=np.nan) for proxy in model.proxies)
    values = predict.quantify(replace(model, proxies=proxies), spectra(3))
    assert values["CaCO3"].notna().all()
    assert values[["CaCO3_lower", "CaCO3_upper", "outlier_score"]].isna().all(axis=None)
    assert (values["warning"] == "").all()


def test_each_reason_for_doubt_is_named() -> None:
    ds = spectra(3)
    ds["intensity"].values[1] = np.nan
    ds["flags"].values[2] = Flag.LOW_COUNTS | Flag.NOT_IN_POSITION
    values = predict.quantify(trusting(), ds)
    assert values["warning"].tolist() == [
        "",
        "No patch of the energy axis was measured as a whole",
        "Flagged: low counts, not in position",
    ]
    assert values["CaCO3_warning"].tolist() == values["TOC_warning"].tolist() == values["warning"].tolist()


def test_a_spectrum_unlike_all_that_the_model_has_seen_is_named_as_such() -> None:
    ds = spectra(20)
    ds["intensity"].values[7, 60:100] *= 100
    values = predict.quantify(quantifier(), ds)
    unlike = values["warning"].str.startswith("Unlike the spectra the model has seen (")
    assert unlike.tolist() == (values["outlier_score"] > 1).tolist()
    assert unlike[7]
    assert unlike.mean() < 0.5


def test_a_doubt_about_one_proxy_is_told_of_this_one_and_of_the_whole() -> None:
    caco3, toc = quantifier().proxies
    ds = spectra(2)
    ds["flags"].values[1] = Flag.LOW_COUNTS
    values = predict.quantify(trusting(proxies=(replace(caco3, low=1000, high=2000), toc)), ds)
    beyond = "Value of CaCO3 is beyond the training labels (1000 to 2000 wt%)"
    assert values["CaCO3_warning"].tolist() == [beyond, f"Flagged: low counts; v{beyond[1:]}"]
    assert values["warning"].tolist() == values["CaCO3_warning"].tolist()
    assert values["TOC_warning"].tolist() == ["", "Flagged: low counts"]


def foreign() -> list[str]:
    """The machines of three spectra: a known one, another, one that nobody noted."""
    return ["Mo", "Rh", ""]


def test_a_machine_never_seen_gets_the_interval_for_such_machines() -> None:
    ds = spectra(3)
    ds["anode"].values[:] = foreign()
    caco3, toc = (replace(proxy, half_width_unseen=1.5 * proxy.half_width) for proxy in quantifier().proxies)
    values = predict.quantify(trusting(proxies=(caco3, toc)), ds)
    widths = (values["CaCO3_upper"] - values["CaCO3_lower"]) / caco3.std
    np.testing.assert_allclose(widths, [2 * caco3.half_width, 3 * caco3.half_width, 3 * caco3.half_width])
    assert values["warning"].tolist() == [
        "",
        "The model has never seen Rh 30 kV, only Mo 30 kV",
        "The machine is not known; seen were Mo 30 kV",
    ]


def test_where_nothing_is_known_of_other_machines_they_get_no_interval_and_the_warning_says_so() -> None:
    ds = spectra(3)
    ds["anode"].values[:] = foreign()
    caco3, toc = quantifier().proxies
    values = predict.quantify(trusting(proxies=(caco3, replace(toc, half_width_unseen=1.0))), ds)
    assert values["CaCO3"].notna().all()
    assert values["CaCO3_lower"].notna().tolist() == values["CaCO3_upper"].notna().tolist() == [True, False, False]
    assert values["TOC_lower"].notna().all()
    none = "; no interval of CaCO3 can be given for a machine never seen"
    assert [text.endswith(none) for text in values["CaCO3_warning"]] == [False, True, True]
    assert values["TOC_warning"][1] == "The model has never seen Rh 30 kV, only Mo 30 kV"


def test_a_model_that_does_not_know_its_machines_calls_none_foreign() -> None:
    model = trusting(lineage=bundle.DataLineage())
    values = predict.quantify(model, spectra(2).drop_vars(["anode", "tube_voltage"]))
    assert values["CaCO3_lower"].notna().all()
    assert (values["warning"] == "").all()


@given(st.floats(-300, 300), st.sampled_from(["wt%", "ppm", "mg/g"]), st.floats(0, 9))
@settings(deadline=None, max_examples=30)
def test_shares_and_their_bounds_stay_between_nothing_and_the_whole(mean: float, unit: str, half_width: float) -> None:
    whole = {"wt%": 100, "ppm": 1e6, "mg/g": 1000}[unit]
    caco3, toc = quantifier().proxies
    asked = replace(caco3, unit=unit, mean=mean * whole / 100, std=whole / 100, half_width=half_width)
    values = predict.quantify(trusting(proxies=(replace(asked, low=-np.inf, high=np.inf), toc)), spectra(3))
    free = predict.quantify(trusting(proxies=(replace(asked, unit="cps", low=-np.inf, high=np.inf), toc)), spectra(3))
    for end in ("", "_lower", "_upper"):
        np.testing.assert_array_equal(values[f"CaCO3{end}"], free[f"CaCO3{end}"].clip(0, whole))
    beyond = (free["CaCO3"] < 0) | (free["CaCO3"] > whole)  # a bound that is cut is no reason to doubt the value
    assert (values["CaCO3_warning"] != "").tolist() == beyond.tolist()
    assert (values["CaCO3_warning"].str.contains("and is given as that")).tolist() == beyond.tolist()
    assert (free["CaCO3_warning"] == "").all()


def test_what_is_no_share_of_mass_may_be_negative() -> None:
    assert possible("wt%") == (0, 100)
    assert possible("ppb") == (0, 1e9)
    for unit in ("permille", "‰", "%", "cps", "whatever"):
        assert possible(unit) == (-np.inf, np.inf)


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


def test_a_model_that_reads_machine_settings_gets_them_and_does_without_those_that_are_unknown() -> None:
    config = replace(CONFIG, settings=True)
    model = quantifier(config=config, weights=network_of(config).state_dict(), outlier=None)
    known, other = spectra(3), spectra(3)
    other["tube_voltage"].values[1] = 10.0
    same = predict.quantify(model, known)["CaCO3"] == predict.quantify(model, other)["CaCO3"]
    assert same.tolist() == [True, False, True]
    assert predict.quantify(model, known.drop_vars(["anode", "tube_voltage"]))["CaCO3"].notna().all()


def test_the_detector_sees_the_embedding_and_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    from corebank.uncertainty import Outlier

    seen = []

    def parts(self: Outlier, embeddings: np.ndarray, values: np.ndarray, measured: np.ndarray) -> dict[str, np.ndarray]:
        seen.append((embeddings.shape, values.shape, measured.sum(axis=1).tolist()))
        return {"embedding": np.full(len(values), 0.5), "remainder": np.full(len(values), 2.0)}

    model, ds = quantifier(), spectra(3)
    ds["intensity"].values[1] = np.nan
    monkeypatch.setattr(Outlier, "parts", parts)
    values = predict.quantify(model, ds)
    assert seen == [((2, CONFIG.width), (2, CONFIG.bins), [117, 117])]
    assert values["outlier_score"].fillna(-1).tolist() == [2, -1, 2]
    assert "no mixture of known patterns explains" in values["warning"][0]


def test_spectra_mapped_from_another_machine_are_told_as_such() -> None:
    origin = np.array(["", "itrax, Rh 10 kV"], dtype=object)
    table = predict.to_table(spectra(2).assign(transferred_from=("spectrum", origin)))
    told = predict.quantify(quantifier(), predict.from_table(table))["warning"].str.lower()
    assert ["mapped from itrax, rh 10 kv" in one for one in told] == [False, True]
