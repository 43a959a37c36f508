"""The curve over the number of labels: nested draws, the same labels for every model, judged by cores nobody saw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from corebank import bundle
from corebank.bundle import Bundle
from corebank.errors import TrainingError
from tests.model.cores import CONFIG, cores, laboratory
from training import amounts, baselines
from training.amounts import Task, prepare
from training.examples import Examples
from training.pretrain import pretrain
from training.recipe import Finetuning, Optimiser, Pretraining, Split

NAMES = ("A", "B", "C", "D", "E", "F")
RECIPE = Finetuning(
    name="q",
    epochs=3,
    batch_size=8,
    members=1,
    proxies=("CaCO3", "TOC"),
    logarithm=("TOC",),
    split=Split(held_out=("C", "D")),
    optimiser=Optimiser(rate=1e-3),
)


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("f")
    (path / "figures").mkdir()
    recipe = Pretraining(
        name="f", model=CONFIG, normalization="log", epochs=2, batch_size=8, split=RECIPE.split, optimiser=Optimiser()
    )
    model, _ = pretrain(recipe, cores(names=NAMES), path)
    bundle.save(model, path / "bundle")
    return model


@pytest.fixture(scope="module")
def task(parent: Bundle) -> Task:
    spectra = cores(names=NAMES)
    return prepare(RECIPE, parent, spectra, laboratory(spectra))


def test_whole_cores_judge_and_the_others_train(task: Task) -> None:
    assert set(task.units[task.asked].tolist()) == {"lab/cruise/C", "lab/cruise/D"}
    assert set(task.units[task.known].tolist()) == {f"lab/cruise/{one}" for one in "ABEF"}
    assert len(task.known) + len(task.asked) == len(task.labels)
    assert task.sizes([4, 10, 1000]) == [4, 10, len(task.known)]
    with pytest.raises(TrainingError, match="at least 3 each"):
        task.sizes([2, 10])


def test_more_labels_hold_the_fewer_ones_and_all_models_learn_the_same(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: list[tuple[str, int, int, frozenset[bytes]]] = []
    fit = amounts.fit

    def watched(parent: Bundle, examples: Examples, proxies: object, recipe: Finetuning, *rest: object, **how: bool):  # type: ignore[no-untyped-def]  # as `fit`
        names = frozenset(one.tobytes() for one in examples.rates)
        learnt.append(("scratch" if how["scratch"] else "pretrained", recipe.seed, recipe.epochs, names))
        return fit(parent, examples, proxies, recipe, *rest, **how)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(amounts, "fit", watched)
    found = pd.concat([task.curve([4, 8, 16], seed) for seed in (0, 1)])
    drawn: dict[tuple[int, int], frozenset[bytes]] = {}
    for one, other in zip(learnt[::2], learnt[1::2], strict=True):
        assert (one[0], other[0]) == ("pretrained", "scratch")
        assert one[1:] == other[1:]
        drawn[one[1], len(one[3])] = one[3]
        assert one[2] * -(-len(one[3]) // RECIPE.batch_size) == RECIPE.epochs * 2  # steps: those of 16 labels
    for seed in (0, 1):
        assert drawn[seed, 4] < drawn[seed, 8] < drawn[seed, 16]
    assert drawn[0, 8] != drawn[1, 8]
    held = {task.examples.rates[one].tobytes() for one in task.asked}
    assert not held & frozenset.union(*drawn.values())
    assert len(found) == 2 * 3 * 2 * 3  # seeds, amounts, proxies, models
    assert set(found.loc[found["proxy"] == "CaCO3", "n"]) == {len(task.asked)}
    some = found[(found["seed"] == 1) & (found["amount"] == 8)]
    assert set(some.loc[some["proxy"] == "CaCO3", "labels"]) == {8}
    assert set(some.loc[some["proxy"] == "TOC", "labels"]) < set(range(8))  # half of the intervals have it


def test_the_judges_values_have_no_part_in_the_answers(task: Task) -> None:
    values = task.examples.values.copy()
    values[task.asked] *= 7
    blind = replace(task, examples=replace(task.examples, values=values))
    drawn = task.known[:8]
    for model, said in task.answers(drawn, RECIPE).items():
        np.testing.assert_array_equal(blind.answers(drawn, RECIPE)[model], said, err_msg=model)


def test_ridge_is_the_ridge_of_the_other_tables(task: Task) -> None:
    drawn = task.known[::2]
    known = task.examples[drawn]
    chosen = task.labels[np.isin(np.arange(len(task.labels)), drawn)]
    proxies = amounts.proxies_of(chosen, RECIPE.logarithm, RECIPE.logit)
    asked = task.examples[task.asked].means
    whole = baselines.answers(("ridge",), known.means, known.values, proxies, task.units[drawn], asked, 0)["ridge"]
    np.testing.assert_allclose(task.answers(drawn, RECIPE)["ridge"], whole)


def test_a_foundation_model_that_saw_a_judge_is_refused(parent: Bundle) -> None:
    spectra = cores(names=NAMES)
    seen = replace(parent, lineage=replace(parent.lineage, cores=(*parent.lineage.cores, "lab/cruise/D")))
    with pytest.raises(TrainingError, match="lab/cruise/D was already trained on by f"):
        prepare(RECIPE, seen, spectra, laboratory(spectra))
    with pytest.raises(TrainingError, match="labelled intervals to learn from, 0 to judge by"):
        prepare(replace(RECIPE, split=Split()), parent, spectra, laboratory(spectra))


def test_the_table_says_what_pretraining_saves(task: Task) -> None:
    rows = [
        {
            "proxy": "CaCO3",
            "amount": size,
            "labels": size,
            "seed": seed,
            "model": model,
            "r2": r2 + 0.01 * seed,
            "rmse": 1,
        }
        for model, curve in (("pretrained", (0.5, 0.7)), ("scratch", (0.2, 0.505)), ("ridge", (0.4, 0.6)))
        for size, r2 in zip((10, 30), curve, strict=True)
        for seed in (0, 1)
    ]
    found = pd.DataFrame(rows)
    lines = [line.split() for line in amounts.table(found, {"CaCO3": "wt%"}).splitlines()]
    assert lines[1][:8] == ["CaCO3", "[wt%]", "10", "0.505", "+-", "0.005", "0.205", "+-"]
    assert " ".join(lines[-1]) == "CaCO3 10 0.505 30 0.510 -0.005 +- 0.000 0 of 2 not as good"
    better = found.assign(r2=found["r2"] + 0.1 * (found["model"] == "pretrained"))
    assert amounts.table(better, {"CaCO3": "wt%"}).splitlines()[-1].endswith("2 of 2                  at least as good")
    alone = amounts.table(found[found["amount"] == 10], {"CaCO3": "wt%"})
    assert alone.splitlines()[-1] == "No amount is a third of another: nothing to compare."
    picture = amounts.draw(found, {"CaCO3": "wt%"})
    assert [line.get_label() for line in picture.axes[0].lines] == list(amounts.MODELS)
