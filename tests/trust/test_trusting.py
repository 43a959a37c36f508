"""The program behind the tables of docs/explanation/trust.md, at its smallest: what it counts is what it says."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from corebank import bundle
from corebank.errors import TrainingError
from training import trust_intervals, trust_outliers, trusting, virtual_cores


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle.save(trusting.untaught(), tmp_path_factory.mktemp("untaught"))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few cores of each kind, and two foreign kinds."""
    monkeypatch.setattr(trust_outliers, "KINDS", (("hemipelagic", 6), ("siliceous", 4)))
    kinds = trust_outliers.FOREIGN["itrax-mo-2020"]
    monkeypatch.setattr(trust_outliers, "FOREIGN", {"itrax-mo-2020": (kinds[0], kinds[5])})
    monkeypatch.setattr(trust_outliers, "ASKED", 2)


def test_the_guarantee_is_the_quantile_beside_a_core_that_is_infinitely_off() -> None:
    random = np.random.default_rng(0)
    errors = random.normal(size=(15, 4))
    beside = np.concatenate([np.abs(errors), np.full((1, 4), np.inf)]).ravel()
    assert trust_intervals.promised(errors) == np.quantile(beside, 0.9, method="inverted_cdf")
    assert trust_intervals.promised(errors[:8]) == math.inf  # nine tenths of nine cores are more than eight
    assert math.isfinite(trust_intervals.promised(errors[:9]))


def test_simulated_intervals_hold_what_the_page_says() -> None:
    found = pd.DataFrame(trust_intervals.simulated(60, 0))
    assert len(found) == 60 * len(trust_intervals.SIMULATED) * 3
    held = found.pivot_table(index="cores", columns="width", values="held", aggfunc="mean")
    assert held["here"].between(0.86, 0.94).all()
    assert (held["guarantee"] > held["here"]).all()
    assert (held["guarantee"][[2, 3, 5]] == 1).all()  # without end
    again, other = (pd.DataFrame(trust_intervals.simulated(1, first)) for first in (0, 60))
    assert again["held"].tolist() == found.loc[found["collection"] == 0, "held"].tolist()
    assert again["held"].tolist() != other["held"].tolist()
    table = trusting.summary("simulated", found)
    assert "inf" in table


def test_new_cores_are_counted_one_by_one(parent: Path) -> None:
    found = pd.DataFrame(trust_intervals.new_cores((4, 6), 1, 0, parent, asked=3))
    assert len(found) == 2 * 3 * 3  # amounts, proxies, new cores
    assert found["held"].between(0, 1).all()
    assert found["held"].mean() > 0.6
    np.testing.assert_allclose(found["held"] * 10, (found["held"] * 10).round())  # ten labels a core
    assert found.groupby(["cores", "proxy"])["width"].nunique().eq(1).all()
    assert found.groupby("cores")["core"].nunique().tolist() == [3, 3]
    assert not set(found.loc[found["cores"] == 4, "core"]) & set(found.loc[found["cores"] == 6, "core"])
    words = trusting.summary("cores", found).splitlines()
    assert words[0].split() == ["held", "width", "scatter", "cores", "below", "70", "%"]


def test_a_machine_left_out_has_an_interval_from_three_others_on(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scanners = ("itrax-mo-2020", "itrax-mo-2020-b", "avaatech-rh-10kv")
    monkeypatch.setattr(trust_intervals, "MACHINES", scanners)
    found = pd.DataFrame(trust_intervals.new_machines((2,), 1, 0, parent))
    assert found["unseen"].isna().all()
    assert set(found["machine"]) == set(scanners)
    assert "none" in trusting.summary("machines", found)
    known = [virtual_cores.cores(one, "hemipelagic", (1, 2, 3), rows=5) for one in scanners]
    new = virtual_cores.cores("itrax-mo-2008", "hemipelagic", (9,), rows=5)
    monkeypatch.setattr(trust_intervals, "MACHINES", (*scanners, "itrax-mo-2008"))
    proxies, units, held = trust_intervals.judged(xr.concat(known, "spectrum", combine_attrs="override"), new, parent)
    assert set(units.tolist()) == {"itrax-mo-2008-hemipelagic-9"}
    assert held.shape == (5, len(proxies), 2)
    assert all(proxy.half_width_unseen >= proxy.half_width for proxy in proxies)
    assert (held[:, :, 1] >= held[:, :, 0]).all()


def test_foreign_cores_are_flagged_and_new_ones_of_known_kind_are_not(parent: Path, few: None) -> None:
    found = pd.DataFrame(trust_outliers.foreign(1, 0, parent))
    assert found["asked about"].tolist() == [trust_outliers.KNOWN, "lake", "hemipelagic"]
    assert found["new"].tolist() == ["", "lithology", "machine"]
    known, lake, other = found.to_dict("records")
    assert known["flagged"] <= 0.2
    assert lake["flagged"] == other["flagged"] == 1
    assert known["CaCO3 held"] > 0.7 > lake["CaCO3 held"]
    assert abs(known["CaCO3 said"] - known["CaCO3 found"]) < abs(lake["CaCO3 said"] - lake["CaCO3 found"])
    assert "lithology" in trusting.summary("outliers", found)


def test_a_stricter_limit_flags_less(parent: Path, few: None) -> None:
    found = pd.DataFrame(trust_outliers.limits((0.3, 0.03), 1, 0, parent))
    flagged = found.pivot_table(index="asked about", columns="limit", values="flagged")
    assert (flagged[0.03] <= flagged[0.3]).all()
    assert flagged.loc[trust_outliers.KNOWN, 0.03] < flagged.loc[trust_outliers.KNOWN, 0.3]
    assert flagged.loc["lake, itrax-mo-2020", 0.03] == 1


def test_an_envelope_is_tested_where_both_have_measured() -> None:
    low, high = np.array([0.0, 0.0, np.nan]), np.array([1.0, 1.0, np.nan])
    asked = np.array([[0.5, 1.0, 9.0], [0.5, 1.1, 0.0], [np.nan, 0.5, 0.0]])
    assert trust_outliers._inside(asked, low, high) == pytest.approx(2 / 3)


def test_virtual_cores_are_the_same_whatever_stands_beside_them() -> None:
    together = virtual_cores.cores("itrax-mo-2020", "lake", (3, 4), rows=4)
    alone = virtual_cores.cores("itrax-mo-2020", "lake", (4,), rows=4)
    np.testing.assert_array_equal(together["intensity"][4:], alone["intensity"])
    table = virtual_cores.measurements(together)
    assert len(table) == 8 * len(virtual_cores.PROXIES)
    truth = together["CaCO3"].values
    np.testing.assert_allclose(table.loc[table["proxy"] == "CaCO3", "value"], truth, rtol=0.1)
    brighter = virtual_cores.cores("itrax-mo-2020", "lake", (4,), rows=4, brightness=(3, 3))
    assert float(brighter["intensity"].sum() / alone["intensity"].sum()) == pytest.approx(3, rel=0.02)


def test_the_program_prints_a_table_and_leaves_its_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trusting.main("simulated", collections=1, out=tmp_path / "made")
    said = capsys.readouterr().out
    assert said.startswith("simulated: share of new cores held")
    left = pd.read_csv(tmp_path / "made" / "simulated.csv")
    assert len(left) == trusting.REPETITIONS * len(trust_intervals.SIMULATED) * 3
    assert f"{left.loc[(left['cores'] == 10) & (left['width'] == 'here'), 'held'].mean():.2f}" in said
    with pytest.raises(TrainingError, match="--collections"):
        trusting.main("simulated", collections=0)
