"""Cross-validation: whole units on one side, each left out once, and nothing of what is asked ever learnt from."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import bundle, labels
from corebank.bundle import Bundle
from corebank.model import SpectrumMAE
from corebank.normalize import Normalization
from tests.model.cores import CONFIG, cores, laboratory
from training import baselines, crossing, judging
from training.examples import match, middles, of_one_unit
from training.finetune import finetune, prepare, said
from training.recipe import BASELINES, Finetuning, Optimiser, Split
from training.task import COMPANION, NETWORK, SCRATCH, STACK, Task

RECIPE = Finetuning(
    name="q",
    epochs=1,
    batch_size=8,
    members=1,
    proxies=("CaCO3", "TOC"),
    auxiliary=False,
    optimiser=Optimiser(rate=1e-3),
)
FAST = replace(RECIPE, mode="probe", baselines=("mean", "ridge"), scratch=False, unseen_machines=False)


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "TREES", 5)


def parent() -> Bundle:
    torch.manual_seed(3)
    return Bundle(
        kind="foundation",
        name="f",
        config=CONFIG,
        normalization=Normalization(kind="log"),
        weights=SpectrumMAE(CONFIG).state_dict(),
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(bundle.save(parent(), tmp_path_factory.mktemp("f")))


def task_of(recipe: Finetuning, measured: pd.DataFrame | None = None) -> tuple[Task, np.ndarray]:
    table = laboratory(cores()) if measured is None else measured
    task, sides = prepare(recipe, parent(), cores(), labels.match(cores(), table, list(recipe.proxies)))
    return task, sides.training


@functools.cache
def whole_task() -> Task:
    return task_of(RECIPE)[0]


@given(st.lists(st.sampled_from("ABCDEFG"), min_size=2, max_size=24), st.integers(2, 9))
@settings(deadline=None, max_examples=60)
def test_no_unit_is_ever_on_both_sides_and_each_interval_is_asked_once(names: list[str], most: int) -> None:
    task = whole_task()
    names = names[: len(task.examples)]
    training = np.arange(len(names))
    units = np.array([*names, *["Z"] * (len(task.examples) - len(names))])
    task = replace(task, recipe=replace(RECIPE, folds=most), units=units)
    parts = crossing.folds(task, training)
    count = len(set(names))
    assert len(parts) == (min(count, most) if count > 1 else 0)
    for known, asked in parts:
        assert not {*units[known]} & {*units[asked]}
        assert sorted([*known, *asked]) == training.tolist()
    if parts:
        assert sorted(np.concatenate([asked for _, asked in parts]).tolist()) == training.tolist()
    once = f"each of {count} cores left out once"
    assert (crossing.words(task, training, "core") == once) == (1 < count <= most)


def test_no_answer_about_a_unit_knows_its_labels() -> None:
    """Whatever the laboratory had found in core B, all models would have said the same of it."""
    recipe = replace(RECIPE, balance=0.5, mixup=0.5)
    measured = laboratory(cores())
    changed = measured.assign(value=np.where(measured["core"] == "B", 99 - measured["value"], measured["value"]))
    task, training = task_of(recipe)
    here = task.units[training] == "lab/cruise/B"
    (first, second) = (crossing.cross_validate(task_of(recipe, one)[0], training) for one in (measured, changed))
    assert set(first) == {NETWORK, SCRATCH, COMPANION, *BASELINES}
    for model, answers in first.items():
        for row in np.flatnonzero(here):
            np.testing.assert_array_equal(answers[row], second[model][row], err_msg=model)
        if model != "mean":
            others = [not np.array_equal(answers[row], second[model][row]) for row in np.flatnonzero(~here)]
            assert any(others), model  # which did learn from B


def test_a_machine_is_left_out_with_all_its_cores() -> None:
    task, training = task_of(FAST)
    parts = crossing.machine_folds(task, training)
    assert [sorted({*task.machines[asked]}) for _, asked in parts] == [["Mo 30 kV"], ["Rh 10 kV"]]
    assert all(not {*task.machines[known]} & {*task.machines[asked]} for known, asked in parts)
    assert crossing.across_machines(task, training) == {}  # the recipe does not want it
    unknown = task.machines.copy()
    unknown[:3] = ""
    found = crossing.across_machines(
        replace(task, recipe=replace(FAST, unseen_machines=True), machines=unknown), training
    )
    for answers in found.values():
        assert [one.shape[0] > 0 for one in answers] == [False] * 3 + [True] * (len(training) - 3)


def test_a_unit_has_no_hand_in_the_width_of_its_own_intervals() -> None:
    task, training = task_of(replace(FAST, proxies=("CaCO3",)))
    task = replace(task, machines=np.full(len(training), "Mo 30 kV", dtype=object))
    _, proxies = task.learn(training, 1)
    random, here = np.random.default_rng(0), task.units[training] == "lab/cruise/C"
    calm = [50 + random.normal(0, 1, (2, 1)) for _ in training]
    task = replace(task, examples=replace(task.examples, values=np.full((len(task.examples), 1), 50.0)))
    wild = [one + 20 * mine for one, mine in zip(calm, here.tolist(), strict=True)]
    first, second = (judging.crossed_ends(task, training, proxies, said, ()) for said in (calm, wild))
    width, other = (high[:, 0] - low[:, 0] for low, high in (first, second))
    np.testing.assert_allclose(other[here], width[here])
    assert (other[~here] > 2 * width[~here]).all()  # it widens those of the others


def test_an_interval_across_two_sections_stays_on_one_side() -> None:
    spectra = cores(names=("A",))
    spectra["section"] = ("spectrum", np.where(spectra["depth"].values < 60, "1", "2").astype(object))
    measured = laboratory(spectra).assign(depth_top=lambda one: one["depth_top"] - 20)
    found = match(spectra, measured, ["CaCO3"], 15.0)
    wide = {spectra["section"].values[row[0]] != spectra["section"].values[row[-1]] for row in found.rows}
    assert wide == {True, False}
    names, depth = spectra["section"].values.astype(str), spectra["depth"].values
    alone = of_one_unit(found, depth, names)
    assert all(len({*names[row]}) == 1 for row in alone.rows)
    for row, middle in zip(alone.rows, middles(alone), strict=True):
        assert names[row[0]] == names[np.argmin(np.abs(depth - middle))]


@given(st.floats(0, 60))
@settings(deadline=None, max_examples=20)
def test_a_tolerance_takes_in_all_spectra_that_near(within: float) -> None:
    spectra = cores(names=("A", "B"))
    exact, wider = (match(spectra, laboratory(spectra), ["CaCO3"], mm) for mm in (0.0, within))
    np.testing.assert_array_equal(exact.values, wider.values)
    for narrow, wide, middle in zip(exact.rows, wider.rows, middles(wider), strict=True):
        depth = spectra["depth"].values[wide]
        assert {*narrow} <= {*wide}
        assert len({*spectra["core"].values[wide]}) == 1
        assert ((depth >= middle - 5 - within) & (depth < middle + 5 + within)).all()
        all_there = np.arange(12) * 10.0
        assert len(wide) == ((all_there >= middle - 5 - within) & (all_there < middle + 5 + within)).sum()


def test_the_report_is_what_the_gate_and_the_card_read(saved: str) -> None:
    recipe = replace(FAST, parent=saved, split=Split(held_out=("D",)), seeds=2, scratch=True, unseen_machines=True)
    model, report = finetune(recipe, cores(), laboratory(cores()))
    assert set(report["cross_validation"]["CaCO3"]) == {STACK, NETWORK, COMPANION, SCRATCH, "mean", "ridge"}
    assert model.metrics["held_out"]["CaCO3"] == report["held_out"]["CaCO3"][STACK]
    kept = json.loads(json.dumps(bundle.finite(model.metrics)))
    assert set(kept) == {"held_out", "cross_validation", "outliers", "baselines", "registration"}
    beside = kept["baselines"]["cross_validation"]["CaCO3"]
    assert set(beside) == {NETWORK, COMPANION, SCRATCH, "mean", "ridge"}
    assert beside["ridge"]["r2"] == report["cross_validation"]["CaCO3"]["ridge"]["r2"]
    for side, cores_there in (("held_out", ["D"]), ("cross_validation", ["A", "B", "C"])):
        record = kept[side]["CaCO3"]
        assert record["cores"] == list(record["by_core"]) == [f"lab/cruise/{core}" for core in cores_there]
        assert {"r2", "rmse", "mae", "bias", "rpiq", "n", "coverage", "interval", "seeds"} <= set(record)
        for one in record["by_core"].values():
            assert {"r2", "rmse", "mae", "bias", "rpiq", "n", "coverage", "labels"} <= set(one)
            columns = one["labels"]
            assert list(columns) == ["depth", "measured", "predicted", "lower", "upper"]
            lower, value, upper = (np.array(columns[name], dtype=np.float64) for name in ("lower", "measured", "upper"))
            if (
                one["coverage"] is None
            ):  # core B is the only one of its machine: nothing tells how wrong one may be there
                assert np.isnan(lower).all()
            else:
                assert ((lower <= value) & (value <= upper)).mean() == pytest.approx(one["coverage"])
    assert [one["coverage"] is None for one in kept["cross_validation"]["CaCO3"]["by_core"].values()] == [0, 1, 0]
    assert kept["held_out"]["CaCO3"]["interval"] == {"r2": None, "rmse": None}  # a single core
    low, high = kept["cross_validation"]["CaCO3"]["interval"]["rmse"]
    assert low <= kept["cross_validation"]["CaCO3"]["rmse"] <= high
    assert kept["outliers"] == {"lab/cruise/D": {"spectra": 12, "flagged": pytest.approx(0, abs=1)}}
    text = said(report, {"CaCO3": "wt%", "TOC": "wt%"})
    assert "Cross-validation, each of 3 cores left out once:" in text
    assert "No interval of a score can be given where fewer than 3 cores judge." in text
    assert "standard deviation over the seeds" in text


def test_seeds_repeat_what_depends_on_chance(saved: str) -> None:
    recipe = replace(RECIPE, parent=saved, split=Split(held_out=("D",)), seeds=3, baselines=("ridge", "forest"))
    recipe = replace(recipe, proxies=("CaCO3",), unseen_machines=False)
    _, report = finetune(recipe, cores(), laboratory(cores()))
    for side in ("held_out", "cross_validation"):
        models = report[side]["CaCO3"]
        assert {name for name, one in models.items() if "seeds" in one} == {STACK, NETWORK, SCRATCH, "forest"}
        for name in (NETWORK, SCRATCH, "forest"):  # a mixture may be all linear
            each = models[name]["seeds"]["r2"]
            assert len(set(each)) == 3
            assert each[0] == models[name]["r2"]


def test_where_there_is_one_core_its_sections_judge_and_the_report_says_so(saved: str) -> None:
    spectra: Any = cores(names=("A",), n=24)
    spectra["section"] = ("spectrum", np.repeat(["1", "2", "3"], 8).astype(object))
    model, report = finetune(replace(FAST, parent=saved), spectra, laboratory(spectra))
    assert report["split"]["unit"] == "core"
    assert report["split"]["crossed"] == "section"
    assert report["cross_validation"]["CaCO3"][NETWORK]["cores"] == [f"lab/cruise/A/{one}" for one in "123"]
    assert np.isfinite(model.proxies[0].half_width)
    text = said(report, {"CaCO3": "wt%", "TOC": "wt%"})
    assert "All training labels are of one core: its sections, not cores, judge" in text
    assert "each of 3 sections left out once" in text
