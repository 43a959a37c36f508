"""The linear probe: it is fitted on cores that train, judged on cores that do not, and says so by one plain number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from corebank.errors import SchemaError, TrainingError
from corebank.model import SpectrumMAE
from corebank.normalize import Normalization
from tests.model.cores import CONFIG, cores, laboratory
from tests.model.runs import PRETRAINING, folder
from training import examined, probe
from training.pretrain import pretrain
from training.recipe import Probe

LOG = Normalization(kind="log")


def network(seed: int = 0) -> SpectrumMAE:
    torch.manual_seed(seed)
    return SpectrumMAE(replace(CONFIG, settings=False))


def of(spectra: xr.Dataset, *names: str) -> xr.Dataset:
    return spectra.isel(spectrum=np.flatnonzero(np.isin(spectra["core"].values.astype(str), names)))


def fitted(features: NDArray[np.float64], target: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """Ridge with a free intercept by its normal equations: weights, then the intercept."""
    design = np.column_stack([features, np.ones(len(target))])
    shrink = np.diag([penalty] * features.shape[1] + [0.0])
    return np.asarray(np.linalg.solve(design.T @ design + shrink, design.T @ target))


@given(st.integers(0, 99), st.integers(2, 5))
@settings(deadline=None, max_examples=15)
def test_the_penalty_is_the_one_that_leaving_each_group_out_finds_best(seed: int, groups: int) -> None:
    random = np.random.default_rng(seed)
    names = np.repeat([f"core {one}" for one in range(groups)], 7)
    features = random.normal(size=(len(names), 12))
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    target = features[:, 0] * 2 + random.normal(0, 2, len(names)) + 5

    def left_out(penalty: float) -> float:
        total = 0.0
        for name in set(names.tolist()):
            out = names == name
            one = fitted(features[~out], target[~out], penalty)
            total += float(np.square(features[out] @ one[:-1] + one[-1] - target[out]).sum())
        return total

    best = min((probe.PENALTIES * len(target)).tolist(), key=left_out)
    weight, intercept = probe.ridge(features, target, names)
    np.testing.assert_allclose([*weight, intercept], fitted(features, target, best), rtol=1e-8, atol=1e-9)


@given(st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
@settings(deadline=None, max_examples=15)
def test_the_unit_of_a_feature_makes_no_difference(scale: float, offset: float) -> None:
    random = np.random.default_rng(0)
    features, names = random.normal(size=(30, 6)), np.repeat(list("ABC"), 10)
    target = features @ np.arange(6.0) + random.normal(0, 1, 30)
    weight, intercept = probe.ridge(features, target, names)
    other, also = probe.ridge(features * scale + offset, target, names)
    np.testing.assert_allclose(
        (features * scale + offset) @ other + also, features @ weight + intercept, rtol=1e-4, atol=1e-4
    )


def test_a_feature_that_never_varies_and_a_single_core_do_no_harm() -> None:
    features = np.column_stack([np.linspace(-1, 1, 20), np.full(20, 7.0)])
    weight, intercept = probe.ridge(features, 3 * features[:, 0] + 2, np.full(20, "A"))
    assert weight[1] == 0
    np.testing.assert_allclose(features @ weight + intercept, 3 * features[:, 0] + 2, atol=0.01)


def test_an_encoder_that_sees_calcium_tells_carbonate_of_a_core_left_out() -> None:
    """A core of the same machine: random weights keep much of a spectrum."""
    spectra = cores(40, names=("A", "B", "C", "D", "E"))
    found = probe.score(network(), LOG, of(spectra, "A", "C"), of(spectra, "E"), laboratory(spectra), ["CaCO3"])
    assert list(found) == ["lab/cruise"]
    assert found["lab/cruise"]["CaCO3"] < 0.6


def test_labels_without_meaning_are_told_no_better_than_by_their_mean() -> None:
    spectra = cores(30)
    labels = laboratory(spectra)
    shuffled = labels.assign(value=np.random.default_rng(3).permutation(labels["value"].to_numpy()))
    found = probe.score(network(), LOG, of(spectra, "A", "B", "C"), of(spectra, "D"), shuffled, ["CaCO3"])
    assert found["lab/cruise"]["CaCO3"] > 0.85


def test_the_labels_of_what_judges_are_never_learnt() -> None:
    """What is said of the held-out core stays when its labels are shifted: then the squared error is a parabola in the
    shift, whose second difference is that of the shift's square."""
    spectra, labels = cores(20), laboratory(cores(20))
    learnt, held = of(spectra, "A", "B", "C"), of(spectra, "D")
    rows = (labels["core"] == "D") & (labels["proxy"] == "CaCO3")

    def square(shift: float) -> float:
        moved = labels.assign(value=labels["value"] + np.where(rows, shift, 0))
        found = probe.score(network(), LOG, learnt, held, moved, ["CaCO3"])
        return float(np.square(found["lab/cruise"]["CaCO3"] * labels["value"][rows].to_numpy().std()))

    assert square(0) - 2 * square(10) + square(20) == pytest.approx(2 * 10**2)


def test_the_weights_of_the_encoder_stay_and_a_second_look_says_the_same() -> None:
    spectra = cores(20)
    one = network()
    before = {name: weight.clone() for name, weight in one.state_dict().items()}
    asked = probe.Probe(
        of(spectra, "A", "B"), [of(spectra, "C"), of(spectra, "D")], laboratory(spectra), ["CaCO3", "TOC"]
    )
    assert asked.labels == [20, 10, 10]
    first = asked.scores(one, LOG)
    assert first == asked.scores(one, LOG)
    assert first[0] != first[1]
    assert all(torch.equal(before[name], weight) for name, weight in one.state_dict().items())


def test_an_interval_over_both_sides_of_a_split_judges_nobody() -> None:
    """Sections of one core: the label at their border was learnt from, so it cannot judge."""
    spectra = cores(20, names=("A",))
    section = np.where(np.arange(20) < 10, "1", "2").astype(object)
    spectra = spectra.assign(section=("spectrum", section))
    labels = laboratory(spectra, every=1)
    labels = labels.assign(depth_top=labels["depth_top"] - 10, depth_bottom=labels["depth_bottom"] + 10)
    upper, lower = (spectra.isel(spectrum=np.flatnonzero(section == one)) for one in ("1", "2"))
    asked = probe.Probe(upper, [lower], labels, ["CaCO3"])
    assert asked.labels == [11, 9]  # of 11 with a spectrum in the lower section two reach into the upper one


def test_where_there_are_no_labels_nothing_is_said() -> None:
    spectra = cores(10)
    learnt, held, none = of(spectra, "A", "B"), of(spectra, "D"), spectra.isel(spectrum=[])
    labels = laboratory(spectra)
    assert probe.score(network(), LOG, learnt, none, labels, ["CaCO3"]) == {}
    assert probe.score(network(), LOG, learnt, held, labels.iloc[:0], ["CaCO3"]) == {}
    assert probe.score(network(), LOG, learnt, held, labels[labels["core"] != "D"], ["CaCO3"]) == {}
    assert probe.score(network(), LOG, learnt, held, labels[labels["core"] == "D"], ["CaCO3"]) == {}
    assert probe.score(network(), LOG, learnt, held, labels, []) == {}


def test_a_proxy_that_nobody_measured_is_refused() -> None:
    spectra = cores(10)
    with pytest.raises(SchemaError, match=r"measurements of Fe2O3: there are none\. Choose among CaCO3, TOC"):
        probe.score(network(), LOG, of(spectra, "A"), of(spectra, "D"), laboratory(spectra), ["Fe2O3"])


LABELS = laboratory(cores())
"""Six values of CaCO3 in each of A, B, C and D, and three of TOC."""


def few(learnt: int, stop: tuple[float, ...], proxies: tuple[str, str] = ("CaCO3", "CaCO3")) -> pd.DataFrame:
    """So many labels of the first proxy in A to learn from, and these of the second in C, which stops a run."""
    parts = [LABELS[(LABELS["core"] == core) & (LABELS["proxy"] == "CaCO3")] for core in "AC"]
    first, second = (one.assign(proxy=proxy) for one, proxy in zip(parts, proxies, strict=True))
    return pd.concat([first[:learnt], second[: len(stop)].assign(value=stop)], ignore_index=True)


BLIND: dict[str, tuple[pd.DataFrame, str]] = {
    "too few to learn from": (
        few(probe.FEWEST - 1, (1.0, 2.0)),
        "4 labelled intervals to learn from, 2 in lab/cruise/C",
    ),
    "one to judge by": (few(6, (1.0,)), "6 labelled intervals to learn from, 1 in lab/cruise/C"),
    "equal ones": (few(6, (0.1, 0.1, 0.1)), "6 labelled intervals to learn from, 3 in lab/cruise/C"),
    "of two proxies": (few(6, (1.0, 2.0), ("CaCO3", "TOC")), "6 labelled intervals to learn from, 2 in lab/cruise/C"),
}
"""Labels by which no number comes about, and how they are told of."""


def stopped_by_few(labels: pd.DataFrame, path: Path) -> dict[str, Any]:
    recipe = replace(PRETRAINING, epochs=3, probe=Probe(proxies=("CaCO3", "TOC"), patience=1, stop_units=("C",)))
    reported = LABELS[LABELS["core"] == "D"]  # they stop nothing
    return pretrain(recipe, cores(), folder(path), measurements=pd.concat([labels, reported]))[1]


@pytest.mark.parametrize("why", BLIND)
def test_a_run_that_is_to_stop_is_refused_where_the_labels_would_never_give_a_number(why: str, tmp_path: Path) -> None:
    labels, found = BLIND[why]
    with pytest.raises(TrainingError, match=f"{found}: no proxy has 5 to learn from, and two that differ in one exp"):
        stopped_by_few(labels, tmp_path / "run")


def test_two_labels_of_different_expeditions_stop_nothing() -> None:
    spectra = cores()
    expedition = np.where(spectra["core"].values == "D", "another", "cruise").astype(object)
    spectra = spectra.assign(expedition=("spectrum", expedition))
    one, other = few(6, (1.0,)), few(0, (2.0,)).assign(core="D", expedition="another")
    both = pd.concat([one, other], ignore_index=True)
    asked = probe.Probe(of(spectra, "A"), [of(spectra, "C", "D")], both, ["CaCO3"])
    assert (asked.labels, asked.told) == ([6, 2], [False])


def test_the_fewest_labels_that_give_a_number_stop_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examined.Judge, "draw", lambda *_: None)
    report = stopped_by_few(few(probe.FEWEST, (1.0, 1.0, 2.0)), tmp_path / "run")
    course = report["epochs"]["stop"]["lab/cruise CaCO3"]
    assert len(course) == len(report["epochs"]["looked"]) >= 1
    assert report["stopping"]["best_epoch"] == 1 + int(np.argmin(course))
    assert f"the weights are those of epoch {1 + int(np.argmin(course))}" in "\n".join(examined.said(report))


def test_where_no_look_was_best_the_weights_are_said_to_be_those_of_the_last_epoch() -> None:
    stopping = {"ended": "after the last epoch", "best_epoch": 0}
    report = {"validation": {}, "machines": {}, "stopping": stopping}
    assert list(examined.said(report)) == ["ended after the last epoch; the weights are those of the last epoch"]


@given(
    learnt=st.integers(0, 6),
    stop=st.lists(st.sampled_from([0.1, 0.3, 7.0]), max_size=4),
    proxies=st.tuples(*[st.sampled_from(["CaCO3", "TOC"])] * 2),
)
@settings(deadline=None, max_examples=20)
def test_what_will_be_told_is_known_before_any_network_is(
    learnt: int, stop: list[float], proxies: tuple[str, str]
) -> None:
    labels = pd.concat([few(learnt, tuple(stop), proxies), LABELS[LABELS["core"] == "D"]], ignore_index=True)
    spectra = cores()
    asked = probe.Probe(of(spectra, "A"), [of(spectra, "C"), of(spectra, "D")], labels, ["CaCO3", "TOC"])
    scores = asked.scores(network(), LOG)
    assert asked.told == [bool(one) for one in scores]
    assert all(0 < error < 1e4 for proxies in scores[0].values() for error in proxies.values())
