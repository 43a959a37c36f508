"""The curve over the number of labels: nested draws, the same labels for every model, judged by cores nobody saw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from corebank import bundle
from corebank.bundle import Bundle
from corebank.errors import TrainingError
from corebank.model import encoder_weights
from tests.model.cores import CONFIG, cores, laboratory
from training import amounts, baselines, curves, quantifier
from training.amounts import Curve, prepare
from training.examples import Examples
from training.pretrain import pretrain
from training.recipe import Finetuning, Optimiser, Pretraining, Split

NAMES = ("A", "B", "C", "D", "E", "F")
RECIPE = Finetuning(
    name="q",
    epochs=3,
    batch_size=8,
    members=1,
    folds=2,
    proxies=("CaCO3", "TOC"),
    logarithm=("TOC",),
    split=Split(held_out=("C", "D")),
    optimiser=Optimiser(rate=1e-3),
    scratch_rate=3e-3,
)
SLOW = replace(amounts.of_scratch(RECIPE), epochs=2, batch_size=4)


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
def curve(parent: Bundle) -> Curve:
    spectra = cores(names=NAMES)
    return prepare(RECIPE, SLOW, parent, spectra, laboratory(spectra))


def probing(curve: Curve) -> Curve:
    """The same with the foundation model's encoder left alone."""
    return replace(curve, task=replace(curve.task, recipe=replace(curve.task.recipe, mode="probe")))


def test_whole_cores_judge_and_the_others_train(curve: Curve) -> None:
    assert set(curve.task.units[curve.asked].tolist()) == {"lab/cruise/C", "lab/cruise/D"}
    assert set(curve.task.units[curve.known].tolist()) == {f"lab/cruise/{one}" for one in "ABEF"}
    assert len(curve.known) + len(curve.asked) == len(curve.task.labels)
    assert curve.sizes([4, 10, 1000]) == [4, 10, len(curve.known)]
    with pytest.raises(TrainingError, match="at least 3 each"):
        curve.sizes([2, 10])


def test_more_labels_hold_the_fewer_ones_and_all_models_learn_the_same(
    curve: Curve, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: list[tuple[Finetuning, frozenset[bytes]]] = []
    fit = quantifier.fit

    def watched(parent: Bundle, examples: Examples, proxies: object, recipe: Finetuning, *rest: object, **how: bool):  # type: ignore[no-untyped-def]  # as `fit`
        learnt.append((recipe, frozenset(one.tobytes() for one in examples.rates)))
        return fit(parent, examples, proxies, recipe, *rest, **how)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr("training.task.fit", watched)
    found = pd.concat([curve.measure([4, 8, 16], seed, crossed=False) for seed in (0, 1)])
    drawn: dict[tuple[int, int], frozenset[bytes]] = {}
    for (ours, names), (theirs, also) in zip(learnt[::2], learnt[1::2], strict=True):
        assert names == also
        assert ours.seed == theirs.seed
        drawn[ours.seed, len(names)] = names
        # Each arm takes the steps of its own recipe over 16 labels, at its own rate, however few there are.
        assert ours.epochs * -(-len(names) // RECIPE.batch_size) == RECIPE.epochs * 2
        assert theirs.epochs * -(-len(names) // SLOW.batch_size) == SLOW.epochs * 4
        assert (ours.optimiser.rate, theirs.optimiser.rate) == (1e-3, 3e-3)
    for seed in (0, 1):
        assert drawn[seed, 4] < drawn[seed, 8] < drawn[seed, 16]
    assert drawn[0, 8] != drawn[1, 8]
    held = {curve.task.examples.rates[one].tobytes() for one in curve.asked}
    assert not held & frozenset.union(*drawn.values())
    models = {"pretrained", "scratch", "pretrained + linear", "scratch + linear", "linear", "ridge"}
    assert set(found["model"]) == models
    assert len(found) == 2 * 3 * 2 * len(models)  # seeds, amounts, proxies, models
    assert set(found.loc[found["proxy"] == "CaCO3", "n"]) == {len(curve.asked)}
    some = found[(found["seed"] == 1) & (found["amount"] == 8)]
    assert set(some.loc[some["proxy"] == "CaCO3", "labels"]) == {8}
    assert set(some.loc[some["proxy"] == "TOC", "labels"]) < set(range(8))  # half of the intervals have it


def test_the_arms_start_from_what_was_learnt_and_from_nothing(curve: Curve) -> None:
    arms = probing(curve).arms(8, 16, 5)
    assert set(arms) == {"pretrained", "scratch", "untrained"}
    assert set(curve.arms(8, 16, 5)) == {"pretrained", "scratch"}  # whole, it would be another scratch
    learnt, blank = encoder_weights(arms["pretrained"].parent.weights), encoder_weights(arms["scratch"].parent.weights)
    assert learnt.keys() == blank.keys()
    assert not any(torch.equal(learnt[one], blank[one]) for one in learnt if one.endswith("qkv.weight"))
    again = encoder_weights(amounts.untaught(curve.task.parent, 5).weights)
    assert all(torch.equal(again[one], weight) for one, weight in blank.items())
    assert arms["untrained"].parent is arms["scratch"].parent
    assert arms["untrained"].recipe is arms["pretrained"].recipe
    assert arms["scratch"].recipe.mode == "full"


def test_the_judges_values_have_no_part_in_the_answers(curve: Curve) -> None:
    task = probing(curve).task
    values = task.examples.values.copy()
    values[curve.asked] *= 7
    known = replace(curve, task=task)
    blind = replace(curve, task=replace(task, examples=replace(task.examples, values=values)))
    drawn = curve.known[::2]
    for model, said in known.answers(drawn, 8, 0, crossed=True).items():
        np.testing.assert_array_equal(blind.answers(drawn, 8, 0, crossed=True)[model], said, err_msg=model)


def test_a_network_and_its_companion_weigh_the_same_or_what_the_labels_ask_for(curve: Curve) -> None:
    probed = replace(probing(curve), scratch=replace(SLOW, mode="probe"))  # nothing is left to chance
    drawn = curve.known
    half, crossed = (probed.answers(drawn, len(drawn), 0, crossed=one) for one in (False, True))
    for model, said in half.items():
        if not model.endswith(curves.WITH):
            np.testing.assert_array_equal(crossed[model], said, err_msg=model)
    network, linear, both = (half[one][:, 0] for one in ("pretrained", "linear", "pretrained + linear"))
    np.testing.assert_allclose(both, (network + linear) / 2, rtol=1e-3)  # CaCO3 is learnt as it is
    mixed = crossed["pretrained + linear"][:, 0]
    assert not np.allclose(mixed, both, rtol=1e-3)
    share = np.median((mixed - network) / (linear - network))
    np.testing.assert_allclose(mixed, (1 - share) * network + share * linear, rtol=1e-2, atol=1e-2)
    assert 0 <= share <= 1


def test_ridge_is_the_ridge_of_the_other_tables(curve: Curve) -> None:
    drawn = curve.known[::2]
    task = probing(curve).task
    known = task.examples[drawn]
    chosen = task.labels[np.isin(np.arange(len(task.labels)), drawn)]
    proxies = quantifier.proxies_of(chosen, RECIPE.logarithm, RECIPE.logit)
    asked = task.examples[curve.asked].means
    whole = baselines.answers(("ridge",), known.means, known.values[:, :2], proxies[:2], task.units[drawn], asked, 0)[
        "ridge"
    ]
    said = replace(curve, task=task).answers(drawn, 8, 0, crossed=False)["ridge"]
    np.testing.assert_allclose(said, whole)


def test_a_foundation_model_that_saw_a_judge_is_refused(parent: Bundle) -> None:
    spectra = cores(names=NAMES)
    seen = replace(parent, lineage=replace(parent.lineage, cores=(*parent.lineage.cores, "lab/cruise/D")))
    with pytest.raises(TrainingError, match="lab/cruise/D was already trained on by f"):
        prepare(RECIPE, SLOW, seen, spectra, laboratory(spectra))
    with pytest.raises(TrainingError, match="labelled intervals to learn from, 0 to judge by"):
        prepare(replace(RECIPE, split=Split()), SLOW, parent, spectra, laboratory(spectra))


def test_the_table_says_what_pretraining_saves() -> None:
    rows = [
        {"proxy": "CaCO3", "amount": size, "seed": seed, "model": model, "r2": r2 + 0.01 * seed, "rmse": 1}
        for model, curve in (("pretrained", (0.5, 0.7)), ("scratch", (0.2, 0.505)), ("ridge", (0.4, 0.6)))
        for size, r2 in zip((10, 30), curve, strict=True)
        for seed in (0, 1)
    ]
    found = pd.DataFrame(rows)
    lines = [line.split() for line in curves.table(found, {"CaCO3": "wt%"}).splitlines()]
    assert lines[0] == ["R2", "N", "pretrained", "scratch", "ridge"]
    assert lines[1][:8] == ["CaCO3", "[wt%]", "10", "0.505", "±", "0.005", "0.205", "±"]
    assert " ".join(lines[-1]) == "CaCO3 pretrained 10 0.505 scratch 30 0.510 -0.005 ± 0.000 0 of 2 not as good"
    better = found.assign(r2=found["r2"] + 0.1 * (found["model"] == "pretrained"))
    assert curves.table(better, {"CaCO3": "wt%"}).splitlines()[-1].endswith("2 of 2                  at least as good")
    alone = curves.table(found[found["amount"] == 10], {"CaCO3": "wt%"})
    assert alone.splitlines()[-1] == "No amount is a third of another: nothing to compare."
    both = found.assign(
        model=found["model"].replace({"pretrained": "pretrained + linear", "scratch": "scratch + linear"})
    )
    assert len(curves.thirds(pd.concat([found, both]))) == 1 + 2  # the networks alone, and with their companions
    picture = curves.draw(found, {"CaCO3": "wt%"})
    assert {"pretrained", "scratch"} < {line.get_label() for line in picture.axes[0].lines}
