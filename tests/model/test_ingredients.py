"""Which part of a score each ingredient gives: every model in every step, and no step knows what judges it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from corebank import bundle
from corebank.bundle import Bundle
from corebank.model import SpectrumMAE
from corebank.normalize import Normalization
from tests.model.cores import CONFIG, cores, laboratory
from training import ingredients
from training.recipe import Finetuning
from training.task import COMPANION, NETWORK, SCRATCH, STACK


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    torch.manual_seed(3)
    weights = SpectrumMAE(CONFIG).state_dict()
    parent = Bundle(
        kind="foundation", name="f", config=CONFIG, normalization=Normalization(kind="log"), weights=weights
    )
    saved = bundle.save(parent, Path(tmp_path_factory.mktemp("parent")))
    recipe = Finetuning(
        name="q",
        parent=str(saved),
        proxies=("CaCO3",),
        epochs=2,
        members=1,
        within=20.0,
        baselines=("mean", "ridge"),
        seeds=2,
    )
    return pd.DataFrame(ingredients.rows(recipe, cores(), laboratory(cores())))


def test_every_model_stands_in_every_step(found: pd.DataFrame) -> None:
    models = {NETWORK, SCRATCH, COMPANION, STACK, "mean", "ridge"}
    for step in ("as usual", "neighbours", "registration"):
        assert set(found[found.step == step]["model"]) == models
    assert set(found[found.step == "judged there"]["model"]) == models - {SCRATCH}  # it has been judged three times
    assert set(found["seed"]) == {0, 1000}
    assert found["r2"].notna().all()


def test_seeds_change_networks_alone(found: pd.DataFrame) -> None:
    spread = found.groupby(["step", "model"])["r2"].nunique()
    assert (spread.xs(COMPANION, level="model") == 1).all()
    assert (spread.xs("ridge", level="model") == 1).all()
    assert (spread.xs(NETWORK, level="model") == 2).all()


def test_the_table_has_a_line_for_each_with_the_median(found: pd.DataFrame) -> None:
    lines = ingredients.table(found).splitlines()
    assert len(lines) == 2 + found.groupby(["step", "model"]).ngroups
    assert "median" in lines[0]
