"""Held-out spectra filled in: asked as often as wanted, always the same, and no number where nothing could be asked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from corebank import bundle
from corebank.errors import TrainingError
from corebank.model import SpectrumMAE
from corebank.normalize import Normalization
from tests.model.cores import CONFIG, cores
from tests.model.runs import PRETRAINING, folder
from training import examined
from training.forgetting import forgotten, matrix
from training.pretrain import pretrain
from training.reconstruction import BATCH, Filled, errors, fill, judge

LOG = Normalization(kind="log")


def network() -> SpectrumMAE:
    torch.manual_seed(0)
    return SpectrumMAE(CONFIG)


def losses(judged: Any) -> Iterator[float]:
    """Every loss in what `judge` gives, in its order."""
    if isinstance(judged, dict):
        for name, value in judged.items():
            yield from [value] if name == "loss" else losses(value)
    elif isinstance(judged, tuple):
        for one in judged:
            yield from losses(one)


def error(filled: list[Filled]) -> float:
    """The mean squared error of the hidden bins, all at once."""
    squares = []
    for one in filled:
        hidden = one.reconstruction.masked_BP
        values = one.values_BE.reshape(one.reconstruction.prediction_BPp.shape)[hidden]
        squares.append((one.reconstruction.prediction_BPp[hidden] - values).double().square().flatten())
    return float(torch.cat(squares).mean())


def blinded(*names: str) -> xr.Dataset:
    """The cores with a hole in each patch of some of them: none is whole, so none can be hidden."""
    spectra = cores().load()
    rates = spectra["intensity"].values.copy()
    rates[np.ix_(np.isin(spectra["core"].values.astype(str), names), np.arange(CONFIG.bins) % CONFIG.patch == 0)] = (
        np.nan
    )
    return spectra.assign(intensity=(("spectrum", "energy"), rates))


def test_one_draw_is_what_was_always_asked_and_the_next_go_on_from_there() -> None:
    """Of an expedition of more than one batch; several draws are the mean over all the bins that they hid."""
    one, spectra = network(), cores(BATCH // 3)
    spectra = spectra.isel(spectrum=np.flatnonzero(spectra["core"].values != "D"))
    first, generator = list(fill(one, LOG, spectra, 0.5)), torch.Generator().manual_seed(0)
    passes = [list(fill(one, LOG, spectra, 0.5, generator)) for _ in range(3)]
    for old, new in zip(first, passes[0], strict=True):
        assert torch.equal(old.reconstruction.masked_BP, new.reconstruction.masked_BP)
    assert not torch.equal(passes[0][0].reconstruction.masked_BP, passes[1][0].reconstruction.masked_BP)
    assert errors(one, LOG, spectra, 0.5)["lab/cruise"]["loss"] == pytest.approx(error(first), rel=1e-6)
    for draws in (1, 2, 3):
        found = errors(one, LOG, spectra, 0.5, draws)["lab/cruise"]
        assert found["loss"] == pytest.approx(error([one for some in passes[:draws] for one in some]), rel=1e-6)
        assert found["spectra"] == spectra.sizes["spectrum"]


def test_draws_are_the_same_each_time_and_one_is_what_is_taken_unless_more_are_wanted() -> None:
    one, spectra = network(), cores()
    assert judge(one, LOG, spectra, 0.5, 3) == judge(one, LOG, spectra, 0.5, 3)
    assert judge(one, LOG, spectra, 0.5) == judge(one, LOG, spectra, 0.5, 1)
    assert judge(one, LOG, spectra, 0.5) != judge(one, LOG, spectra, 0.5, 2)


def test_another_expedition_changes_no_draw() -> None:
    one, spectra = network(), cores()
    other = np.where(spectra["core"].values == "A", "another", "cruise").astype(object)
    alone = spectra.isel(spectrum=np.flatnonzero(other == "cruise"))
    both = errors(one, LOG, spectra.assign(expedition=("spectrum", other)), 0.5, 2)
    assert both["lab/cruise"]["loss"] == pytest.approx(errors(one, LOG, alone, 0.5, 2)["lab/cruise"]["loss"], rel=1e-6)


def test_more_draws_scatter_less_about_the_mean_of_very_many() -> None:
    """Core by core: sixteen masks of a spectrum say more than one."""
    one, spectra = network(), cores(4, names=tuple("ABCDEFGH"))
    truth, once, often = (np.array(list(losses(errors(one, LOG, spectra, 0.5, draws)))) for draws in (64, 1, 16))
    assert np.abs(often - truth).mean() < 0.5 * np.abs(once - truth).mean()


def test_less_than_one_draw_is_refused() -> None:
    with pytest.raises(TrainingError, match="draws: is 0"):
        judge(network(), LOG, cores(), 0.5, 0)


@pytest.mark.parametrize("draws", [1, 2])
def test_spectra_of_which_nothing_could_be_hidden_have_no_error_and_change_no_other(draws: int) -> None:
    found = judge(network(), LOG, blinded("B", "D"), 0.5, draws)
    whole = found.expeditions["lab/cruise"]
    by_core = {name[-1]: one["loss"] for name, one in whole["by_core"].items()}
    assert math.isnan(by_core["B"])
    assert math.isnan(by_core["D"])
    assert math.isnan(found.machines["Rh 10 kV"]["loss"])  # B and D are all that it measured
    assert whole["loss"] == found.machines["Mo 30 kV"]["loss"]
    assert min(by_core["A"], by_core["C"]) <= whole["loss"] <= max(by_core["A"], by_core["C"])
    assert all(map(math.isnan, losses(judge(network(), LOG, blinded(*"ABCD"), 0.5, draws))))


def test_a_run_whose_held_out_spectra_ask_nothing_says_so_and_does_not_pass_them_as_perfect(tmp_path: Path) -> None:
    """Its figures, its report and what a continued run makes of it."""
    spectra, recipe = blinded("D"), replace(PRETRAINING, epochs=1)
    path = folder(tmp_path / "parent")
    model, report = pretrain(recipe, spectra, path)
    assert list(examined.said(report)) == [
        "lab/cruise: not judged, no patch could be hidden (12 spectra held out)",
        "Rh 10 kV: not judged, no patch could be hidden (12 spectra held out)",
    ]
    assert json.loads(json.dumps(bundle.finite(report)))["validation"]["lab/cruise"]["loss"] is None
    bundle.save(model, path / "bundle")
    assert bundle.load(path / "bundle").metrics["validation"]["lab/cruise"]["loss"] is None
    _, continued = pretrain(replace(recipe, parent=str(path)), spectra, folder(tmp_path / "child"))
    (row,) = continued["forgetting"]
    assert all(math.isnan(row[name]) for name in ("before", "after", "change"))


def test_an_expedition_that_is_not_judged_is_neither_forgotten_nor_kept() -> None:
    unknown = {"loss": math.nan, "spectra": 12, "cores": ["A/1"]}
    table = matrix({"lab/old": unknown}, {"lab/old": unknown})
    assert table["change"].isna().all()
    assert not len(forgotten(table))
