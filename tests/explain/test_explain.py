"""An explanation is complete, does not depend on how the spectra come, and refuses what the model was not made for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import explain as explaining
from corebank.bundle import Bundle
from corebank.companion import Companion
from corebank.errors import PredictError
from corebank.explain import REMAINDER, explain, summary, to_table, write
from corebank.explain.control import rank_correlation, untrained
from corebank.model import Quantifier
from tests.explain.networks import CORES, SPECTRA, cores, shifted


def unseen(n: int = 12) -> xr.Dataset:
    """Spectra of a core that no network has learnt from; changing them changes nothing else."""
    return cores().isel(spectrum=np.linspace((CORES - 1) * SPECTRA, CORES * SPECTRA - 1, n).astype(int)).copy(deep=True)


@pytest.fixture
def passes() -> Iterator[list[int]]:
    """Spectra in each pass through a quantifier."""
    seen: list[int] = []
    hook = torch.nn.modules.module.register_module_forward_hook(
        lambda module, given, _: seen.append(len(given[0])) if isinstance(module, Quantifier) else None
    )
    yield seen
    hook.remove()


def test_an_explanation_holds_what_it_promises(explained: xr.Dataset) -> None:
    assert explained["share"].dims == ("proxy", "element", "spectrum")
    assert explained["proxy"].values.tolist() == ["CaCO3"]
    names = explained["element"].values.tolist()
    assert names[-1] == REMAINDER
    assert [name for name in names if name in ("Si", "Ca", "Fe")] == ["Si", "Ca", "Fe"]  # by energy
    assert "Fe sum" not in names  # 12.8 keV, where 10 kV give nothing
    np.testing.assert_allclose(explained["share"].sum("element"), 1)
    assert explained["unit"].values.tolist() == ["wt%"]
    assert explained["interaction"].min() >= 0
    assert (explained["untrained"].sum("element") - 1 < 1e-9).all()


def test_the_companion_is_explained_with_the_network(carbonate: Bundle) -> None:
    """A linear model that looks at iron alone, and has all the say, rests on iron alone."""
    iron = np.abs(carbonate.grid.centres - 6.404) < 0.1
    companion = Companion(
        weight=iron[None] * 0.1,
        intercept=np.zeros(1),
        middle=np.zeros(carbonate.grid.bins),
        offset=np.asarray(0.05),
        share=np.ones(1),
    )
    arrays = {name: torch.from_numpy(one) for name, one in companion.arrays().items()}
    alone = explain(replace(carbonate, companion=arrays), unseen())
    assert summary(alone, "CaCO3")["share"].idxmax() == "Fe"
    np.testing.assert_allclose(alone["share"].sel(element="Fe"), 1)


def test_shares_are_those_of_the_effects(explained: xr.Dataset) -> None:
    """The proxy is learnt as it is; for one learnt as a logarithm the shares are those of the logarithms."""
    sizes = abs(explained["effect"])
    np.testing.assert_allclose(explained["share"], sizes / sizes.sum("element"))


def test_the_scale_of_a_proxy_changes_effects_and_not_shares(carbonate: Bundle, explained: xr.Dataset) -> None:
    proxy = replace(carbonate.proxies[0], transform="log", mean=1.0, std=0.5)
    logarithmic = explain(replace(carbonate, proxies=(proxy,)), unseen())
    plain = explain(carbonate, unseen())
    np.testing.assert_allclose(logarithmic["share"], plain["share"])
    assert not np.allclose(logarithmic["effect"], plain["effect"])
    z = (plain["value"].values - carbonate.proxies[0].mean) / carbonate.proxies[0].std
    np.testing.assert_allclose(logarithmic["value"], np.exp(z * 0.5 + 1.0))


@given(st.integers(1, 12))
@settings(deadline=None, max_examples=2)
def test_blocks_make_no_difference(carbonate: Bundle, size: int) -> None:
    spectra = unseen()
    lazy = spectra.assign(
        intensity=spectra["intensity"].copy(data=da.from_array(spectra["intensity"].values, (size, -1)))
    )
    xr.testing.assert_allclose(explain(carbonate, lazy), explain(carbonate, spectra), rtol=1e-4, atol=5e-5)


def test_each_block_is_read_once_more_than_the_sample_and_no_two_are_held(carbonate: Bundle) -> None:
    """Memory: whatever the size of the selection, one block is computed at a time."""
    spectra, read = unseen(), []

    def block(rates: np.ndarray, block_info: Any = None) -> np.ndarray:
        if block_info:
            read.append(block_info[0]["chunk-location"][0])
        return rates

    lazy = da.from_array(spectra["intensity"].values, (4, -1)).map_blocks(block, dtype=np.float32)
    explain(carbonate, spectra.assign(intensity=spectra["intensity"].copy(data=lazy)))
    assert read[:3] == [0, 1, 2]
    assert sorted(read[3:]) == [0, 1, 2]


def test_there_is_one_pass_for_each_group(
    carbonate: Bundle, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside them one of the intact spectra, one without the remainder, one without all groups."""
    monkeypatch.setattr(explaining, "BATCH", 5)
    monkeypatch.setattr(explaining, "SAMPLE", 1)
    groups = explain(carbonate, unseen()).sizes["element"] - 1
    batches = [5, 5, 2]
    alone = 1 + explaining.UNTRAINED  # the sample, through the model and through untrained networks
    assert passes == [size for size in batches + [1] * alone for _ in range(groups + 3)]


def test_what_was_not_measured_is_not_explained_and_disturbs_nothing(carbonate: Bundle) -> None:
    spectra, plain = unseen(), explain(carbonate, unseen())
    spectra["intensity"].values[3] = np.nan
    found = explain(carbonate, spectra)
    assert np.isnan(found["share"].isel(spectrum=3)).all()
    others = [row for row in range(12) if row != 3]
    np.testing.assert_allclose(found["effect"].isel(spectrum=others), plain["effect"].isel(spectrum=others), atol=1e-4)
    spectra["intensity"].values[:] = np.nan
    assert explain(carbonate, spectra)["element"].values.tolist() == [REMAINDER]


def test_each_machine_has_its_own_windows(carbonate: Bundle) -> None:
    spectra = unseen()
    spectra["anode"].values[6:] = ""
    spectra["tube_voltage"].values[6:] = np.nan
    found = explain(carbonate, spectra)
    share = found["share"].sel(element="Cl+Rh tube L")
    assert np.isfinite(share).values[0].tolist() == [True] * 6 + [False] * 6
    assert np.isfinite(found["share"].sel(element="Cl")).values[0].tolist() == [False] * 6 + [True] * 6
    nothing_known = explain(carbonate, spectra.drop_vars(["anode", "tube_voltage", "scanner"]))
    assert np.isfinite(nothing_known["share"].sel(element="Ca")).all()


def test_a_model_that_reads_settings_gets_them(carbonate: Bundle) -> None:
    config = replace(carbonate.config, settings=True)
    torch.manual_seed(0)
    network = Quantifier(config, 1)
    torch.nn.init.normal_(network.head.weight)
    model, other = replace(carbonate, config=config, weights=network.state_dict()), unseen()
    other["tube_voltage"].values[1] = 9.9  # the same windows, another setting
    moved = abs(explain(model, unseen())["value"] - explain(model, other)["value"]).values[0]
    assert moved[1] > 100 * np.delete(moved, 1).max()  # other batches round their last digits otherwise


@pytest.mark.parametrize(
    ("change", "spectra", "why"),
    [
        ({"kind": "foundation"}, unseen, "a foundation model"),
        ({}, lambda: unseen().isel(spectrum=slice(0)), "0 spectra"),
        ({}, lambda: unseen().drop_vars("intensity"), "no unit"),
        ({}, lambda: unseen().assign(intensity=lambda ds: ds["intensity"].assign_attrs(units="count")), "in count"),
        ({}, lambda: shifted(unseen(), 4), "another energy axis"),
        ({}, lambda: unseen().assign(anode=("spectrum", np.full(12, "Xx", object))), "'Xx' is no element"),
    ],
)
def test_what_the_model_was_not_made_for_is_refused(
    carbonate: Bundle, change: dict[str, Any], spectra: Any, why: str
) -> None:
    with pytest.raises(PredictError, match=why):
        explain(replace(carbonate, **change), spectra())


def test_an_untrained_network_is_repeatable_and_has_forgotten_everything() -> None:
    torch.manual_seed(0)
    network = torch.nn.Linear(40, 40)
    one, again, other = (untrained(network, seed).weight.detach().numpy().ravel() for seed in (1, 1, 2))
    own = network.weight.detach().numpy().ravel()
    np.testing.assert_array_equal(one, again)
    assert abs(np.corrcoef(one, own)[0, 1]) < 0.1 > abs(np.corrcoef(one, other)[0, 1])
    assert one.std() == pytest.approx(own.std(), rel=0.1)


@given(st.permutations(range(8)))
def test_a_rank_correlation_is_of_ranks(order: list[int]) -> None:
    values = np.exp(np.arange(8.0))
    assert rank_correlation(values[order], values[order] ** 3) == pytest.approx(1)
    assert rank_correlation(values[order], -values[order]) == pytest.approx(-1)
    assert np.isnan(rank_correlation(values[:3], values[:3]))
    assert np.isnan(rank_correlation(values, np.ones(8)))


def test_the_table_has_a_row_for_each_element_of_each_spectrum(explained: xr.Dataset) -> None:
    table = to_table(explained)
    assert list(table) == [
        "proxy", "spectrum", "core", "section", "section_position", "depth", "element", "share", "effect", "unit",
        "value", "interaction",
    ]  # fmt: skip
    assert len(table) == explained["share"].size
    row = table[(table["spectrum"] == 7) & (table["element"] == "Ca")].iloc[0]
    assert row["share"] == explained["share"].sel(element="Ca").values[0, 7]
    assert (row["core"], row["depth"]) == (explained["core"].values[7], explained["depth"].values[7])
    assert table.groupby("spectrum")["share"].sum().between(1 - 1e-9, 1 + 1e-9).all()


def test_what_is_written_is_read_back(explained: xr.Dataset, tmp_path: Path) -> None:
    write(explained, tmp_path / "e.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "e.csv"), to_table(explained), check_dtype=False)
    write(explained, tmp_path / "e.nc")
    with xr.open_dataset(tmp_path / "e.nc") as again:
        xr.testing.assert_allclose(again, explained)
        assert again["lines"].sel(element="Ca").item() == "Ca Ka, Ca Kb"
    with pytest.raises(PredictError, match=r"cannot write \.xlsx"):
        write(explained, tmp_path / "e.xlsx")


def test_a_proxy_that_was_not_explained_is_refused(explained: xr.Dataset) -> None:
    with pytest.raises(PredictError, match=r"nothing of TOC. Choose among CaCO3"):
        summary(explained, "TOC")
