"""The proof of continual pretraining: its arms cost what they may, its table says what its numbers say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from corebank import bundle
from corebank.errors import RecipeError, TrainingError
from corebank.model import SpectrumMAE
from corebank.split import unit_names
from tests.model.cores import CONFIG, cores, laboratory
from training.arrival_report import CONTINUAL, FIRST, NAIVE, SCRATCH, About, compared, report, verdict
from training.arrivals import DRAWS, Proof, main
from training.parsing import to_toml
from training.pretrain import pretrain
from training.recipe import Optimiser, Pretraining, Probe, Split
from training.reconstruction import errors
from training.stopping import TerminatedError

ORDER = ("lab/first", "lab/second", "lab/third")
RECIPE = Pretraining(
    name="f",
    model=CONFIG,
    normalization="log",
    epochs=6,
    batch_size=8,
    replay=0.5,
    split=Split(held_out=("first/D", "second/D")),
    optimiser=Optimiser(rate=2e-3),
    probe=Probe(proxies=("CaCO3",), every=100),
)


def arriving() -> xr.Dataset:
    """Three expeditions of four cores of 12 spectra; the energy axis of the second is turned round."""
    parts = []
    for seed, name in enumerate(ORDER):
        one = cores(seed=seed)
        if seed == 1:
            one = one.assign(intensity=one["intensity"].copy(data=one["intensity"].data[:, ::-1]))
        parts.append(one.assign(expedition=("spectrum", np.full(48, name.partition("/")[2], dtype=object))))
    whole = xr.concat(parts, dim="spectrum", combine_attrs="override")
    return whole.assign_attrs(licences=json.dumps(dict.fromkeys(ORDER, "CC0-1.0")), citations="{}").load()


def proof(folder: Path, recipe: Pretraining = RECIPE, **changes: Any) -> Proof:
    given: dict[str, Any] = {
        "recipe": recipe,
        "continued": recipe,
        "order": ORDER,
        "compute": 0.5,
        "spectra": arriving(),
        "measurements": laboratory(cores(seed=1)).assign(expedition="second"),
        "folder": folder,
    }
    return Proof(**(given | changes))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Proof, pd.DataFrame]:
    made = proof(tmp_path_factory.mktemp("proof"))
    made.start()
    return made, pd.concat(made.run(0), ignore_index=True)


def test_every_model_is_made_once_in_its_turn_and_judged_on_all_that_has_arrived(
    found: tuple[Proof, pd.DataFrame],
) -> None:
    made, rows = found
    models = list(dict.fromkeys(zip(rows["arrival"], rows["arm"], strict=True)))
    assert models == [(1, FIRST), *((number, arm) for number in (2, 3) for arm in (SCRATCH, CONTINUAL, NAIVE))]
    judged = rows.groupby(["arrival", "arm"])["expedition"].apply(set)
    assert judged[1, FIRST] == {"lab/first"}
    assert judged[3, CONTINUAL] == {"lab/first", "lab/second"}  # the third holds nothing out
    assert set(rows["spectra"]) == {12}
    assert set(rows["measure"][rows["expedition"] == "lab/first"]) == {"reconstruction"}
    assert set(rows["measure"][rows["expedition"] == "lab/second"]) == {"reconstruction", "CaCO3"}
    assert made.about().held_out == {
        "lab/first": ("lab/first/D",),
        "lab/second": ("lab/second/D",),
        "lab/third": (),
    }


def test_continuing_never_sees_more_than_its_share(found: tuple[Proof, pd.DataFrame]) -> None:
    _, rows = found
    seen = rows.drop_duplicates(["arrival", "arm"]).set_index(["arrival", "arm"])["seen"]
    assert seen[1, FIRST] == 6 * 36
    for arrival, trained in ((2, 72), (3, 120)):
        whole = seen[arrival, SCRATCH]
        assert whole == 6 * trained
        assert 0 < seen[arrival, CONTINUAL] <= 0.5 * whole
        assert 0 < seen[arrival, NAIVE] <= 0.5 * whole
    assert seen[2, CONTINUAL] == 3 * 72  # half of 432, in epochs of 36 new and 36 old
    assert seen[2, NAIVE] == 6 * 36


def test_each_chain_goes_on_from_its_own_last_model(found: tuple[Proof, pd.DataFrame]) -> None:
    made, _ = found
    said = {
        folder.name: json.loads((folder / "arm.json").read_text())["recipe"]
        for folder in (made.folder / "seed-0").iterdir()
    }
    parents = {name: Path(one["parent"]).name for name, one in said.items()}
    assert parents == {
        "1-first": "",
        "2-scratch": "",
        "2-continual": "1-first",
        "2-naive": "1-first",
        "3-scratch": "",
        "3-continual": "2-continual",
        "3-naive": "2-naive",
    }
    assert {said[name]["replay"] for name in ("2-naive", "3-naive")} == {0.0}
    assert said["2-continual"]["replay"] == 0.5


def test_finished_models_are_not_made_again(found: tuple[Proof, pd.DataFrame], monkeypatch: pytest.MonkeyPatch) -> None:
    made, rows = found
    calls = []

    def counted(recipe: Pretraining, spectra: xr.Dataset, folder: Path, **other: Any) -> Any:
        calls.append(folder.name)
        return pretrain(recipe, spectra, folder, **other)

    monkeypatch.setattr("training.arrivals.pretrain", counted)
    pd.testing.assert_frame_equal(pd.concat(made.run(0), ignore_index=True), rows)
    assert calls == []
    (made.folder / "seed-0" / "3-naive" / "arm.json").unlink()  # as a killed proof leaves it
    again = pd.concat(made.run(0), ignore_index=True)
    assert calls == ["3-naive"]
    pd.testing.assert_frame_equal(again.drop(columns="seconds"), rows.drop(columns="seconds"))


def test_each_held_out_spectrum_is_asked_several_times(found: tuple[Proof, pd.DataFrame]) -> None:
    """One rare mask of one spectrum would else decide between models."""
    made, rows = found
    model = bundle.load(made.folder / "seed-0" / "1-first" / "bundle")
    held = made.spectra.isel(spectrum=np.flatnonzero(unit_names(made.spectra, "core") == "lab/first/D"))
    network = bundle.build(model)
    assert isinstance(network, SpectrumMAE)
    asked = errors(network, model.normalization, held, RECIPE.mask_ratio, draws=DRAWS)
    assert rows["error"].iloc[0] == asked["lab/first"]["loss"]


def test_sigterm_ends_the_program_which_is_then_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ended(*_: Any, **__: Any) -> Any:
        raise TerminatedError("run", "ended by SIGTERM after step 8 of 20", "Go on with --resume")

    (tmp_path / "r.toml").write_text(to_toml(RECIPE))
    monkeypatch.setattr("training.arrivals.collected", lambda *_: (arriving(), None))
    monkeypatch.setattr("training.arrivals.pretrain", ended)
    with pytest.raises(SystemExit) as left:
        main(tmp_path / "r.toml", catalog="", order=ORDER, compute=0.5, out=tmp_path / "proof")
    assert left.value.code == 143
    assert capsys.readouterr().err.endswith("Give the same command again: finished models are kept.\n")


def test_a_folder_of_another_proof_is_refused(found: tuple[Proof, pd.DataFrame]) -> None:
    made, _ = found
    made.start()
    with pytest.raises(TrainingError, match="holds a proof of other recipes"):
        proof(made.folder, compute=0.4).start()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"order": ("lab/first",)}, "at least two expeditions"),
        ({"compute": 0.0}, "share between 0 and 1"),
        ({"recipe": replace(RECIPE, probe=Probe(proxies=("CaCO3",), patience=2))}, "stops some models early"),
        ({"recipe": replace(RECIPE, split=Split(held_out=("second/D",)))}, "nothing of lab/first, the first to arrive"),
    ],
)
def test_what_proves_nothing_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(TrainingError, match=said):
        proof(tmp_path, **changes)


def test_a_misspelt_held_out_core_is_refused_and_one_that_comes_later_is_not(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="first/X"):
        proof(tmp_path, replace(RECIPE, split=Split(held_out=("first/X",))))
    proof(tmp_path, replace(RECIPE, split=Split(held_out=("first/D", "third/A"))))


def test_too_little_compute_for_an_epoch_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="less than one epoch of continual"):
        proof(tmp_path / "none", replace(RECIPE, epochs=1), compute=0.1).start()
    assert not (tmp_path / "none").exists()


def rows(errors: dict[tuple[int, str], dict[str, float]], seed: int = 0) -> pd.DataFrame:
    """``arrivals.csv`` with these errors; continuing costs a third."""
    return pd.DataFrame(
        [
            {
                "seed": seed,
                "arrival": arrival,
                "arrived": ORDER[arrival - 1],
                "arm": arm,
                "expedition": name,
                "measure": "reconstruction",
                "error": error,
                "spectra": 12,
                "seen": 300 if arm in (FIRST, SCRATCH) else 100,
                "seconds": 1.0,
            }
            for (arrival, arm), found in errors.items()
            for name, error in found.items()
        ]
    )


ERRORS = {
    (1, FIRST): {"lab/first": 0.1},
    (2, SCRATCH): {"lab/first": 0.1, "lab/second": 0.2},
    (2, CONTINUAL): {"lab/first": 0.101, "lab/second": 0.202},
    (2, NAIVE): {"lab/first": 0.15, "lab/second": 0.2},
}
ABOUT = About(
    order=ORDER[:2],
    recipe="f",
    unit="core",
    held_out={"lab/first": ("D",), "lab/second": ()},
    compute=0.35,
    synthetic=True,
)


def test_the_verdict_is_that_of_the_numbers() -> None:
    good = rows(ERRORS)
    assert [line.count("**met**") for line in verdict(compared(good), good, ABOUT)] == [1, 1, 1]
    lagging = rows(ERRORS | {(2, CONTINUAL): {"lab/first": 0.101, "lab/second": 0.21}})
    behind, kept, forgets = verdict(compared(lagging), lagging, ABOUT)
    assert "**not met** (mean +3.0%; largest lab/second at arrival 2 +5.0%)" in behind
    assert "**met**" in kept
    assert "lab/first at arrival 2 +50.0%" in forgets
    worse = rows(ERRORS | {(2, CONTINUAL): {"lab/first": 0.11, "lab/second": 0.2}})
    assert (
        "**not met** (largest change lab/first at arrival 2 +10.0%)" in list(verdict(compared(worse), worse, ABOUT))[1]
    )
    dear = good.assign(seen=300)
    assert "at 100% of its compute: **not met**" in next(iter(verdict(compared(dear), dear, ABOUT)))


def test_changes_are_taken_seed_by_seed_and_an_unfinished_seed_is_left_out() -> None:
    twice = {key: {name: 2 * error for name, error in found.items()} for key, found in ERRORS.items()}
    unfinished = rows({(1, FIRST): {"lab/first": 9.0}}, seed=2)
    both = pd.concat([rows(ERRORS), rows(twice, seed=1), unfinished], ignore_index=True)
    first, second = compared(both)
    np.testing.assert_allclose(first.behind, [0.01, 0.01])
    np.testing.assert_allclose(first.naively, [0.5, 0.5])
    assert (first.new, second.new) == (False, True)
    assert np.isnan(second.forgotten).all()


def test_the_report_calls_synthetic_and_unjudged_by_their_names() -> None:
    text = report(rows(ERRORS), ABOUT)
    assert "**synthetic**" in text
    assert "- lab/second: **nothing is held out, so it is not judged**" in text
    assert "| 2 | continual | 100 | 33% | 1 |" in text


@pytest.mark.slow
def test_without_replay_a_model_forgets_and_with_it_far_less(tmp_path: Path) -> None:
    """The second expedition's energy axis is turned round, so that learning it alone undoes the first."""
    made = proof(tmp_path, replace(RECIPE, epochs=30), order=ORDER[:2])
    first, second, _ = compared(pd.concat([part for seed in (0, 1) for part in made.run(seed)], ignore_index=True))
    assert (first.naively > 3).all()
    assert (first.forgotten < 0.3 * first.naively).all()
    assert (second.continual < 0.5).all()  # and it has learnt what is new: the mean of a spectrum would give about 1
