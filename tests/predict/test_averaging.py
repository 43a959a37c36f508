"""A value for each sampled interval is the mean over its spectra, by the rule by which labels meet spectra."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import labels, predict
from corebank.errors import PredictError


def values(rows: int = 20, core: str = "C1", seed: int = 0) -> pd.DataFrame:
    """Predicted values of a core at every 5 mm, the third of them with a warning."""
    random = np.random.default_rng(seed)
    value = random.uniform(10, 20, rows)
    return pd.DataFrame(
        {
            "core": core,
            "section": "S1",
            "depth": 5.0 * np.arange(rows),
            "CaCO3": value,
            "CaCO3_lower": value - random.uniform(1, 3, rows),
            "CaCO3_upper": value + random.uniform(1, 3, rows),
            "CaCO3_unit": "wt%",
            "CaCO3_warning": ["", "", "Flagged: low counts", *[""] * (rows - 3)],
        }
    )


@settings(deadline=None, max_examples=25)
@given(st.integers(3, 40), st.floats(-10, 210), st.floats(0.5, 60), st.integers(0, 9))
def test_an_interval_is_the_mean_over_the_spectra_that_a_label_there_would_meet(
    rows: int, top: float, thickness: float, seed: int
) -> None:
    table = values(rows, seed=seed)
    found = predict.by_interval(table, [top], [top + thickness]).iloc[0]
    spectra = xr.Dataset({name: ("spectrum", table[name].to_numpy(object)) for name in ("core", "section")})
    label = {"core": "C1", "section": "", "depth_top": top, "depth_bottom": top + thickness, "proxy": "CaCO3"}
    measured = pd.DataFrame([{"site": "", "expedition": "", **label, "value": 1.0, "unit": "wt%"}])
    (inside,) = labels.match(spectra.assign(depth=("spectrum", table["depth"])), measured, "CaCO3").rows
    assert found["spectra"] == len(inside)
    assert found["CaCO3_warned"] == int(2 in inside)
    for name in ("CaCO3", "CaCO3_lower", "CaCO3_upper"):
        expected = table[name].to_numpy()[inside].mean() if len(inside) else np.nan
        np.testing.assert_allclose(found[name], expected)


def test_intervals_of_several_cores_name_theirs() -> None:
    both = pd.concat([values(core="C1"), values(core="C2", seed=1)])
    found = predict.by_interval(both, [0, 0], [10, 10], cores=["C2", "C1"])
    assert found["core"].tolist() == ["C2", "C1"]
    assert found["CaCO3"].tolist() == [values(core="C2", seed=1)["CaCO3"][:2].mean(), values()["CaCO3"][:2].mean()]


def test_spectra_without_a_value_count_for_nothing() -> None:
    table = values()
    table.loc[1, ["CaCO3", "CaCO3_lower", "CaCO3_upper"]] = np.nan
    found = predict.by_interval(table, [0, 5], [10, 10])
    assert found["spectra"].tolist() == [1, 0]
    assert found["CaCO3"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("table", "given_", "why"),
    [
        (values(), {"tops": [5], "bottoms": [5]}, "do not make intervals"),
        (values(), {"tops": [5, 6], "bottoms": [7]}, "do not make intervals"),
        (values().assign(depth=np.nan), {"tops": [5], "bottoms": [6]}, "20 spectra have no depth"),
        (pd.concat([values(), values(core="C2")]), {"tops": [5], "bottoms": [6]}, "the values are of 2 cores"),
        (values(), {"tops": [5], "bottoms": [6], "cores": ["C1", "C1"]}, "2 cores for 1 intervals"),
    ],
)
def test_intervals_that_are_none_or_of_no_core_are_refused(
    table: pd.DataFrame, given_: dict[str, Any], why: str
) -> None:
    with pytest.raises(PredictError, match=why):
        predict.by_interval(table, **given_)
