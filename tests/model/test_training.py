"""The programs: a killed run ends like an unbroken one, a model improves, and nothing is judged on what it has seen."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import bundle, labels, predict, split
from corebank.bundle import Bundle
from corebank.errors import TrainingError
from tests.model.cores import cores, laboratory
from tests.model.runs import PRETRAINING, folder
from training import data, run
from training.evaluate import reconstruction, values
from training.examples import collect
from training.finetune import finetune
from training.pretrain import pretrain
from training.recipe import Finetuning, Optimiser, Split
from training.schedule import factor

FINETUNING = Finetuning(
    name="q",
    epochs=40,
    batch_size=8,
    members=2,
    folds=2,
    proxies=("CaCO3",),
    split=Split(held_out=("D",)),
    optimiser=Optimiser(rate=1e-3),
)


@pytest.fixture(scope="module")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bundle, dict[str, Any]]:
    path = folder(tmp_path_factory.mktemp("runs") / "f")
    model, history = pretrain(replace(PRETRAINING, epochs=6), cores(), path)
    bundle.save(model, path / "bundle")
    return path, model, history


@pytest.fixture(scope="module")
def quantifier(foundation: tuple[Path, Bundle, dict[str, Any]]) -> tuple[Bundle, dict[str, Any]]:
    return finetune(replace(FINETUNING, parent=str(foundation[0])), cores(), laboratory(cores()))


def test_a_loss_depends_on_the_model_and_its_cores_only(foundation: tuple[Path, Bundle, dict[str, Any]]) -> None:
    _, model, _ = foundation
    held = cores().isel(spectrum=np.flatnonzero(cores()["core"].values == "D"))
    assert f"{model.metrics['validation']['lab/cruise']['loss']:.4f}" in reconstruction(model, held)


def test_holding_out_everything_is_refused() -> None:
    with pytest.raises(TrainingError, match="every core is held out: lab/cruise/A"):
        data.held_out(split.unit_names(cores(), "core"), Split(share=1.0))


def test_a_run_folder_is_never_overwritten(tmp_path: Path) -> None:
    path = run.start("pretrain", PRETRAINING, tmp_path / "run")
    with pytest.raises(TrainingError, match="holds a run already"):
        run.start("pretrain", PRETRAINING, path)
    assert run.start("pretrain", PRETRAINING, path, resume=True) == path
    with pytest.raises(TrainingError, match="no run of this recipe to resume"):
        run.start("pretrain", replace(PRETRAINING, seed=1), path, resume=True)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run.device_of(PRETRAINING) == "cpu"
    with pytest.raises(TrainingError, match="no GPU"):
        run.device_of(replace(PRETRAINING, device="cuda"))


def test_a_quantifier_beats_the_mean_on_a_core_it_never_saw(quantifier: tuple[Bundle, dict[str, Any]]) -> None:
    model, report = quantifier
    found = report["held_out"]["CaCO3"]
    assert set(found) == {"stack", "network", "scratch", "linear", "mean", "ridge", "pls", "nmf-svr", "forest"}
    assert found["network"]["rmse"] < 0.7 * found["mean"]["rmse"]
    assert found["network"]["cores"] == ["lab/cruise/D"]
    assert report["intervals"] == {"training": 18, "held_out": 6, "no_spectrum": 0}
    assert model.metrics["held_out"]["CaCO3"] == found["stack"]


def test_a_quantifier_carries_its_interval_its_range_and_its_outlier_detector(
    quantifier: tuple[Bundle, dict[str, Any]],
) -> None:
    model, _ = quantifier
    (proxy,) = model.proxies
    assert (proxy.name, proxy.unit) == ("CaCO3", "wt%")
    assert math.isfinite(proxy.half_width)
    assert 0 <= proxy.low < proxy.high <= 100
    assert "lab/cruise/D" not in model.lineage.cores
    predicted = predict.quantify(model, cores())
    assert (predicted["CaCO3_lower"] < predicted["CaCO3_upper"]).all()
    assert (predicted["outlier_score"] <= 1).mean() > 0.9


def test_evaluation_says_what_finetuning_said(quantifier: tuple[Bundle, dict[str, Any]]) -> None:
    model, report = quantifier
    held = cores().isel(spectrum=np.flatnonzero(cores()["core"].values == "D"))
    table = values(model, held, laboratory(cores()))
    found = report["held_out"]["CaCO3"]["stack"]
    assert f"{found['rmse']:.3g}" in table
    assert f"{found['rpiq']:.3g}" in table
    assert f"{found['coverage']:.0%}" in table
    assert "lab/cruise/D/1" in table


def test_one_core_gives_a_model_without_interval_and_says_nothing_about_others(
    foundation: tuple[Path, Bundle, dict[str, Any]],
) -> None:
    recipe = replace(FINETUNING, parent=str(foundation[0]), epochs=1, split=Split(), logarithm=("CaCO3",))
    only = cores(names=("A",))
    model, report = finetune(recipe, only, laboratory(only))
    assert math.isnan(model.proxies[0].half_width)
    assert (report["held_out"], report["cross_validation"]) == ({}, {})
    assert model.proxies[0].transform == "log"


def test_labels_that_meet_no_spectrum_are_refused(foundation: tuple[Path, Bundle, dict[str, Any]]) -> None:
    recipe = replace(FINETUNING, parent=str(foundation[0]))
    with pytest.raises(TrainingError, match="none of 6 labelled intervals holds a spectrum"):
        finetune(recipe, cores(), laboratory(cores()).assign(core="elsewhere"))


@given(st.integers(0, 9), st.floats(0.1, 4))
@settings(deadline=None, max_examples=20)
def test_variations_stay_within_the_labels_and_keep_what_was_measured(seed: int, mixup: float) -> None:
    spectra = cores()
    examples = collect(spectra, labels.match(spectra, laboratory(spectra), ["CaCO3", "TOC"]))
    which = np.arange(len(examples))
    rates, known, mixed = examples.vary(which, np.random.default_rng(seed), mixup)
    np.testing.assert_array_equal(np.isnan(rates), np.isnan(examples.means))
    low, high = np.nanmin(examples.values, axis=0), np.nanmax(examples.values, axis=0)
    assert ((mixed >= low - 1e-9) & (mixed <= high + 1e-9) | np.isnan(mixed)).all()
    assert np.isnan(mixed[np.isnan(examples.values)]).all()
    assert known.shape == (len(examples), 6)


@given(st.integers(1, 500), st.floats(0, 0.5))
@settings(deadline=None)
def test_the_learning_rate_rises_then_falls_to_nothing(steps: int, warmup: float) -> None:
    course = [factor(step, steps, warmup) for step in range(steps)]
    assert all(0 < share <= 1 for share in course)
    top = int(np.argmax(course))
    assert course[:top] == sorted(course[:top])
    assert course[top:] == sorted(course[top:], reverse=True)


def test_metrics_without_a_number_are_null_in_json() -> None:
    assert json.dumps(bundle.finite({"a": [math.nan, 1.0], "b": math.inf})) == '{"a": [null, 1.0], "b": null}'
