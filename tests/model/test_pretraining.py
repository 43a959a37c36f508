"""Pretraining: it learns, judges whole cores by expedition, machine and probe, and refuses what would be dishonest."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from corebank import bundle
from corebank.augment import Augmentation
from corebank.bundle import Bundle
from corebank.errors import RecipeError, TrainingError
from corebank.feed import slots
from corebank.model import SpectrumMAE
from corebank.normalize import Normalization
from tests.model.cores import CONFIG, cores, laboratory
from tests.model.runs import EVERYTHING, PRETRAINING, folder, interrupted, selection
from training import data, examined
from training.pretrain import pretrain
from training.recipe import Optimiser, Pretraining, Probe, Split
from training.reconstruction import BATCH, UNKNOWN, errors, judge
from training.steplog import read

Run = tuple[Path, Bundle, dict[str, Any]]
ONE = replace(PRETRAINING, epochs=1)


@pytest.fixture(scope="module")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = folder(tmp_path_factory.mktemp("runs") / "f")
    recipe = replace(PRETRAINING, epochs=6, probe=Probe(proxies=("CaCO3", "TOC"), every=4))
    model, report = pretrain(recipe, cores(), path, measurements=laboratory(cores()))
    bundle.save(model, path / "bundle")
    return path, model, report


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without figures, which take most of the time of so small a run."""
    monkeypatch.setattr(examined.Judge, "draw", lambda *_: None)


def test_pretraining_learns_and_judges_whole_cores(foundation: Run) -> None:
    path, model, report = foundation
    assert report["epochs"]["train"][-1] < 0.6 * report["epochs"]["train"][0]
    judged = model.metrics["validation"]["lab/cruise"]
    assert report["epochs"]["validation"]["lab/cruise"][-1] == judged["loss"]
    assert judged["cores"] == ["lab/cruise/D/1"]
    assert judged["by_core"] == {"lab/cruise/D": {"loss": judged["loss"], "spectra": 12}}
    assert model.metrics["machines"] == {"Rh 10 kV": {"loss": judged["loss"], "spectra": 12}}
    assert model.lineage.cores == ("lab/cruise/A", "lab/cruise/B", "lab/cruise/C")
    assert model.lineage.machines == ("Mo 30 kV", "Rh 10 kV")
    assert dict(model.lineage.snapshots) == {"lab": "SNAP"}
    figures = {one.stem for one in (path / "figures").iterdir()}
    assert figures == {"losses", "steps", "probe", "reconstruction-lab-cruise"}


def test_the_probe_is_told_on_the_way_and_of_the_weights_that_are_delivered(foundation: Run) -> None:
    _, model, report = foundation
    assert report["epochs"]["looked"] == [4, 6]
    assert {name: len(line) for name, line in report["epochs"]["probe"].items()} == {
        "lab/cruise CaCO3": 2,
        "lab/cruise TOC": 2,
    }
    told = model.metrics["validation"]["lab/cruise"]["probe"]
    assert told == {proxy: report["epochs"]["probe"][f"lab/cruise {proxy}"][-1] for proxy in ("CaCO3", "TOC")}
    curves = examined.curves(report)
    assert curves["probe.lab/cruise CaCO3"] == report["epochs"]["probe"]["lab/cruise CaCO3"]
    assert curves["learning_rate"] == report["epochs"]["rates"]
    assert {"loss", "validation.lab/cruise", "machines.Rh 10 kV"} < curves.keys()
    assert any("linear probe" in line and f"CaCO3 {told['CaCO3']:.2f}" in line for line in examined.said(report))


def test_every_step_is_on_record(foundation: Run) -> None:
    path, _, report = foundation
    steps = read(path)
    assert [one.step for one in steps] == list(range(1, 31))
    assert np.mean([one.loss for one in steps[-5:]]) == pytest.approx(report["epochs"]["train"][-1])
    assert steps[-1].rate == report["epochs"]["rates"][-1]
    assert json.dumps(bundle.finite(report))  # nothing in it that JSON cannot hold


def test_errors_add_up_over_cores_and_machines_and_do_not_depend_on_what_else_is_there() -> None:
    torch.manual_seed(0)
    network, spectra = SpectrumMAE(CONFIG), cores(BATCH // 2)
    log = Normalization(kind="log")
    found = judge(network, log, spectra, 0.5)
    whole = found.expeditions["lab/cruise"]
    parts = whole["by_core"].values()
    assert list(whole["by_core"]) == [f"lab/cruise/{name}" for name in "ABCD"]
    assert (
        whole["spectra"] == sum(one["spectra"] for one in parts) == sum(o["spectra"] for o in found.machines.values())
    )
    low, high = (compare(one["loss"] for one in several) for several in (parts, found.machines.values()))
    assert low[0] <= whole["loss"] <= low[1]
    assert high[0] <= whole["loss"] <= high[1]
    other = cores(9, seed=5).assign(expedition=("spectrum", np.full(36, "another", dtype=object)))
    both = xr.concat([other, spectra], dim="spectrum", data_vars="minimal", coords="minimal", compat="override")
    again = errors(network, log, both.assign_attrs(spectra.attrs), 0.5)["lab/cruise"]
    assert again["loss"] == pytest.approx(whole["loss"], rel=1e-6)
    assert judge(network, log, spectra.drop_vars("anode"), 0.5).machines.keys() == {UNKNOWN}
    assert errors(network, log, spectra.isel(spectrum=[]), 0.5) == {}


def compare(values: Iterator[float]) -> tuple[float, float]:
    listed = list(values)
    return min(listed), max(listed)


@pytest.mark.usefixtures("quick")
def test_a_probe_without_progress_stops_the_run_and_the_best_weights_are_the_model(tmp_path: Path) -> None:
    """Units of their own stop it: they neither train nor are reported."""
    path = folder(tmp_path / "run")
    model, report = pretrain(EVERYTHING, selection(), path, measurements=laboratory(selection()))
    looked, stop = report["epochs"]["looked"], report["epochs"]["stop"]
    assert stop.keys() == report["epochs"]["probe"].keys()
    assert stop != report["epochs"]["probe"]
    course = np.mean(list(stop.values()), axis=0)
    assert report["stopping"]["best_epoch"] == looked[int(np.argmin(course))]
    assert report["stopping"]["units"] == ["lab/cruise/C"]
    assert len(report["epochs"]["train"]) == looked[-1] < EVERYTHING.epochs
    assert "and not better at 2 looks since" in report["stopping"]["ended"]
    assert model.lineage.cores == ("lab/cruise/A", "lab/cruise/B", "lab/cruise/E")
    assert list(report["validation"]["lab/cruise"]["by_core"]) == ["lab/cruise/D"]
    best = looked.index(report["stopping"]["best_epoch"])
    told = report["validation"]["lab/cruise"]["probe"]
    assert told == {proxy: report["epochs"]["probe"][f"lab/cruise {proxy}"][best] for proxy in ("CaCO3", "TOC")}


@pytest.mark.usefixtures("quick")
def test_stopping_by_what_is_reported_is_possible_and_said(tmp_path: Path) -> None:
    recipe = replace(ONE, probe=Probe(proxies=("CaCO3",), patience=1, stop_share=0.0))
    _, report = pretrain(recipe, cores(), folder(tmp_path / "run"), measurements=laboratory(cores()))
    assert report["stopping"]["by"] == "the held-out units: they were tuned on"
    assert report["stopping"]["ended"] == "after the last epoch"
    assert report["epochs"]["stop"] == report["epochs"]["probe"]


@pytest.mark.parametrize(
    ("probe", "labelled", "found"),
    [
        ({"stop_units": ("C",)}, "AB", "12 labelled intervals to learn from, 0 in lab/cruise/C"),
        ({"stop_units": ("C",)}, "", "no laboratory values were given"),
        ({"stop_share": 1e-9}, "ABC", "no core of 3 is left to stop the training"),
        ({"stop_units": ("D",)}, "ABC", "held-out unit D: not in the selection"),  # it is held out already
    ],
    ids=["no labels there", "no labels", "no units", "held out"],
)
def test_a_run_that_nothing_could_stop_is_refused(
    tmp_path: Path, probe: dict[str, Any], labelled: str, found: str
) -> None:
    recipe = replace(ONE, probe=Probe(proxies=("CaCO3",), patience=1, **probe))
    labels = laboratory(cores())
    given = labels[labels["core"].isin(list(labelled))] if labelled else None
    with pytest.raises((TrainingError, RecipeError), match=found):
        pretrain(recipe, cores(), folder(tmp_path / "run"), measurements=given)


def test_units_that_stop_are_drawn_from_those_that_are_not_held_out() -> None:
    names = np.array([f"lab/cruise/{one}" for one in range(200)])
    recipe = replace(ONE, split=Split(share=0.3), probe=Probe(proxies=("CaCO3",), patience=1, stop_share=0.3))
    spectra = xr.Dataset({"core": ("spectrum", [one.rpartition("/")[2] for one in names.tolist()])})
    spectra = spectra.assign(site="lab", expedition="cruise").broadcast_like(spectra["core"])
    sides = data.sides(spectra, recipe, None)
    assert (sides.trained.astype(int) + sides.held + sides.stop == 1).all()
    assert 0.2 < sides.stop.sum() / (~sides.held).sum() < 0.4
    never = data.sides(spectra, replace(recipe, probe=Probe()), None)
    assert not never.stop.any()
    assert (never.held == sides.held).all()


@pytest.mark.usefixtures("quick")
def test_a_run_that_diverges_stops_with_a_reason_and_keeps_its_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder(tmp_path / "run")
    forward = SpectrumMAE.forward

    def poisoned(network: SpectrumMAE, *arguments: Any, **named: Any) -> Any:
        made = forward(network, *arguments, **named)
        poison = network.training and len(read(path)) == 12
        return made._replace(loss=made.loss * math.nan) if poison else made

    monkeypatch.setattr(SpectrumMAE, "forward", poisoned)
    with pytest.raises(TrainingError, match="step 13: training diverged: the loss is nan, at a learning rate of 0"):
        pretrain(PRETRAINING, cores(), path)
    monkeypatch.setattr(SpectrumMAE, "forward", forward)
    resumed, _ = pretrain(PRETRAINING, cores(), path, resume=True)
    unbroken, _ = pretrain(PRETRAINING, cores(), folder(tmp_path / "unbroken"))
    assert all(torch.equal(resumed.weights[name], weight) for name, weight in unbroken.weights.items())


@pytest.mark.usefixtures("quick")
def test_a_learning_rate_far_too_high_is_noticed(tmp_path: Path) -> None:
    recipe = replace(PRETRAINING, epochs=30, optimiser=Optimiser(rate=30.0, warmup=0.5, clip=1e9))
    with pytest.raises(TrainingError, match=r"training diverged: .* Start again with a lower optimiser.rate"):
        pretrain(recipe, cores(), folder(tmp_path / "run"))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "change",
    [{"loss": "poisson"}, {"precision": "bfloat16"}, {"precision": "float16"}, {"normalization": "sqrt"}],
    ids=str,
)
def test_every_loss_and_precision_learns_to_fill_in_spectra(tmp_path: Path, change: dict[str, Any]) -> None:
    """Judged by the squared error of normalised values in single precision, whatever it was trained by."""
    recipe = replace(PRETRAINING, epochs=10, **change)
    model, report = pretrain(recipe, cores(), folder(tmp_path / "run"))
    course = report["epochs"]["validation"]["lab/cruise"]
    assert course[-1] < 0.8 * course[0]
    assert all(weight.dtype is torch.float32 for weight in model.weights.values())
    assert report["skipped_steps"] <= (20 if change.get("precision") == "float16" else 0)


@pytest.mark.usefixtures("quick")
def test_the_scale_of_half_precision_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scale that grows at every other step overflows again and again: which steps are left out depends on it."""
    monkeypatch.setattr(torch.amp, "GradScaler", partial(torch.amp.GradScaler, growth_interval=2))
    recipe = replace(PRETRAINING, epochs=8, precision="float16")
    unbroken, whole = pretrain(recipe, cores(), folder(tmp_path / "unbroken"))
    assert whole["skipped_steps"] > 3
    path = folder(tmp_path / "broken")
    with interrupted(12):
        pretrain(recipe, cores(), path)
    resumed, report = pretrain(recipe, cores(), path, resume=True)
    assert report["skipped_steps"] == whole["skipped_steps"]
    assert all(torch.equal(resumed.weights[name], weight) for name, weight in unbroken.weights.items())


@pytest.mark.usefixtures("quick")
def test_a_scratch_file_changes_no_bit_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "MEMORY", 0)
    recipe = replace(ONE, epochs=2)
    without, _ = pretrain(recipe, cores(), folder(tmp_path / "without"))
    with_it, _ = pretrain(recipe, cores(), folder(tmp_path / "with"), scratch=tmp_path)
    assert all(torch.equal(with_it.weights[name], weight) for name, weight in without.weights.items())


@pytest.mark.usefixtures("quick")
def test_augmentation_and_balance_change_what_is_seen(tmp_path: Path) -> None:
    first = {}
    for name, recipe in {
        "plain": ONE,
        "augmented": replace(ONE, augmentation=Augmentation(thinning=0.2)),
        "balanced": replace(ONE, balance=1.0),
    }.items():
        path = folder(tmp_path / name)
        pretrain(recipe, cores(), path)
        first[name] = read(path)[0].loss
    assert len(set(first.values())) == 3


def test_continued_training_starts_from_its_parent_remembers_it_and_says_what_it_forgot(
    foundation: Run, tmp_path: Path
) -> None:
    path, parent, history = foundation
    more = cores(names=("A", "B", "C", "D", "E"))
    recipe = replace(PRETRAINING, parent=str(path), epochs=1, probe=Probe(proxies=("CaCO3",)))
    child, continued = pretrain(recipe, more, folder(tmp_path / "child"), measurements=laboratory(more))
    assert continued["epochs"]["train"][0] < history["epochs"]["train"][0]
    spectra = continued["spectra"]
    assert (spectra["known"], spectra["new"], spectra["an_epoch"]) == (36, 12, 24)  # as many old ones as new ones
    assert "lab/cruise/E" in child.lineage.cores
    assert child.lineage.parent.startswith("sha256:")
    table = pd.read_csv(tmp_path / "child" / "forgetting.csv")
    assert table["measure"].tolist() == ["reconstruction", "CaCO3"]
    before, after = (one.metrics["validation"]["lab/cruise"] for one in (parent, child))
    assert table["before"][0] == pytest.approx(before["loss"], rel=0.2)  # the same core, with other spectra
    assert table["after"][0] == pytest.approx(after["loss"])
    assert child.metrics["forgetting"] == continued["forgetting"]
    assert (tmp_path / "child" / "figures" / "forgetting.png").exists()
    assert continued["departed"] == {}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"split": Split(held_out=("A",))}, "lab/cruise/A was already trained on by f"),
        ({"normalization": "sqrt"}, "normalization than the recipe's"),
        ({"split": Split(share=1.0)}, "every core is held out"),
    ],
    ids=["seen", "misfit", "nothing left"],
)
def test_a_parent_that_has_seen_the_judges_or_does_not_fit_is_refused(
    foundation: Run, tmp_path: Path, change: dict[str, Any], found: str
) -> None:
    recipe: Pretraining = replace(PRETRAINING, parent=str(foundation[0]), **change)
    with pytest.raises(TrainingError, match=found):
        pretrain(recipe, cores(), folder(tmp_path / "child"))
