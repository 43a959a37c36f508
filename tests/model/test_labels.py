"""Labels and spectra meet by depth; labels without a spectrum are told, not lost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import labels
from corebank.errors import SchemaError
from tests.model.cores import cores, laboratory


def measured(**changes: object) -> pd.DataFrame:
    row = {
        "site": "lab",
        "expedition": "cruise",
        "core": "A",
        "section": "",
        "depth_top": 15.0,
        "depth_bottom": 35.0,
        "proxy": "TOC",
        "value": 1.5,
        "unit": "wt%",
    }
    return pd.DataFrame([row | changes])


@given(st.integers(0, 200), st.integers(0, 60))
@settings(deadline=None)
def test_exactly_the_spectra_inside_the_interval_belong_to_a_label(top: int, thickness: int) -> None:
    spectra = cores(12, names=("A", "B"))
    found = labels.match(spectra, measured(depth_top=float(top), depth_bottom=float(top + thickness)), "TOC")
    wanted = [i for i in range(12) if top <= 10 * i < top + thickness or (not thickness and 10 * i == top)]
    assert found.rows[0].tolist() == wanted
    assert found.matched.tolist() == [bool(wanted)]


def test_every_label_comes_back_matched_or_not() -> None:
    table = pd.concat([laboratory(cores()), measured(core="elsewhere")])
    found = labels.match(cores(), table, ["CaCO3", "TOC"])
    assert (len(found), found.matched.sum()) == (25, 24)
    assert found.intervals[~found.matched]["core"].tolist() == ["elsewhere"]
    assert np.isfinite(found.values).sum(axis=0).tolist() == [24, 13]


@pytest.mark.parametrize(
    ("changes", "rows"),
    [
        ({"section": "1"}, [2, 3]),
        ({"section": "2"}, []),
        ({"core": "B"}, [14, 15]),
        ({"expedition": "other"}, []),
    ],
)
def test_a_label_keeps_to_its_core_and_section(changes: dict[str, str], rows: list[int]) -> None:
    assert labels.match(cores(), measured(**changes), "TOC").rows[0].tolist() == rows


def test_repeated_analyses_are_averaged() -> None:
    table = pd.concat([measured(value=1.0), measured(value=2.0)])
    assert labels.match(cores(), table, "TOC").values.tolist() == [[1.5]]


def test_a_proxy_in_two_units_is_refused() -> None:
    with pytest.raises(SchemaError, match="units mg/g, wt%"):
        labels.match(cores(), pd.concat([measured(), measured(unit="mg/g")]), "TOC")


def test_a_proxy_that_nobody_measured_is_refused_with_those_there_are() -> None:
    with pytest.raises(SchemaError, match=r"measurements of opal: there are none\. Choose among TOC"):
        labels.match(cores(), measured(), "opal")
