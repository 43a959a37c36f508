"""An ablation: variants that differ in one thing, judged alike, run once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from corebank.augment import Augmentation
from corebank.errors import RecipeError, TrainingError
from tests.model.cores import CONFIG, cores, laboratory
from training import ablation
from training.ablation import BASE, Ablation, ablate, read, report, summary
from training.recipe import Pretraining, Probe

RECIPES = Path(ablation.__file__).parent / "recipes"
EVERY = """
[every]
epochs = 1
probe = {proxies = ["CaCO3", "TOC"]}
"""
PATCH = """
[[variant]]
name = "patch 8"
model = {patch = 8}
"""
VARIED = """
[[variant]]
name = "augmented"
augmentation = {thinning = 0.5}
"""


def written(folder: Path, text: str, *, top: str = 'base = "small.toml"\nfolds = [["A"], ["B"]]') -> Path:
    """An ablation's file beside a base recipe of the tests' small network."""
    sizes = "\n".join(f"{name} = {getattr(CONFIG, name)}" for name in ("patch", "width", "depth", "heads"))
    decoder = "\n".join(
        f"decoder_{name} = {getattr(CONFIG, 'decoder_' + name)}" for name in ("width", "depth", "heads")
    )
    base = f'name = "small"\nepochs = 3\nbatch_size = 16\n\n[split]\nheld_out = ["C"]\n\n[model]\n{sizes}\n{decoder}\n'
    (folder / "small.toml").write_text(base, encoding="utf-8")
    path = folder / "ablation.toml"
    path.write_text(f"{top}\n{text}", encoding="utf-8")
    return path


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[int, int]]:
    """(patch, seed) of each pretraining that is really run."""
    counted: Counter[tuple[int, int]] = Counter()
    real = ablation.pretrain

    def counting(recipe: Pretraining, *given: Any, **more: Any) -> Any:
        counted[recipe.model.patch, recipe.seed] += 1
        return real(recipe, *given, **more)

    monkeypatch.setattr(ablation, "pretrain", counting)
    return counted


def test_each_variant_is_trained_judged_and_told_once(tmp_path: Path, runs: Counter[tuple[int, int]]) -> None:
    asked, spectra = read(written(tmp_path, EVERY + PATCH)), cores()
    labels = laboratory(spectra)
    found = ablate(asked, spectra, labels, (0, 1), tmp_path / "out")
    assert runs == {(4, 0): 1, (4, 1): 1, (8, 0): 1, (8, 1): 1}
    assert Counter(zip(found["variant"], found["seed"], strict=True)) == Counter(
        {(name, seed): 2 for name in (BASE, "patch 8") for seed in (0, 1)}
    )
    assert set(found["proxy"]) == {"CaCO3", "TOC"}
    assert set(zip(found["seed"], found["held_out"], strict=True)) == {(0, "lab/cruise/A"), (1, "lab/cruise/B")}
    assert np.isfinite(found["error"]).all()
    assert (found["error"] > 0).all()
    assert (found["seconds"] > 0).all()

    again = ablate(asked, spectra, labels, (0, 1), tmp_path / "out")
    pd.testing.assert_frame_equal(found, again)
    assert sum(runs.values()) == 4, "what is finished is not run again"
    (next((tmp_path / "out").glob("1-*")) / "result.json").unlink()
    pd.testing.assert_frame_equal(
        found.drop(columns="seconds"), ablate(asked, spectra, labels, (0, 1), tmp_path / "out").drop(columns="seconds")
    )
    assert sum(runs.values()) == 5, "what is not finished is run, to the same numbers"
    alone = Ablation(variants={BASE: asked.variants[BASE]}, folds=asked.folds)
    ablate(alone, spectra.assign_attrs(snapshots=json.dumps({"lab": "NEW"})), labels, (0,), tmp_path / "out")
    assert sum(runs.values()) == 6, "other data are other runs"


def test_a_run_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, spectra = read(written(tmp_path, EVERY)), cores()
    real = ablation.pretrain
    resumed: list[bool] = []

    def stopped(*given: Any, resume: bool) -> Any:
        resumed.append(resume)
        made = real(*given, resume=resume)
        if len(resumed) == 1:
            raise KeyboardInterrupt
        return made

    monkeypatch.setattr(ablation, "pretrain", stopped)
    with pytest.raises(KeyboardInterrupt):
        ablate(asked, spectra, laboratory(spectra), (0,), tmp_path / "out")
    assert len(ablate(asked, spectra, laboratory(spectra), (0,), tmp_path / "out")) == 2
    assert resumed == [False, True]


def test_a_variant_differs_from_the_base_in_what_it_names_only(tmp_path: Path) -> None:
    asked = read(written(tmp_path, EVERY + PATCH + VARIED))
    assert list(asked.variants) == [BASE, "patch 8", "augmented"]
    base = asked.variants[BASE]
    assert (base.epochs, base.batch_size, base.model.patch, base.model.width) == (1, 16, 4, 32)
    assert asked.variants["patch 8"].model.patch == 8
    assert asked.variants["patch 8"].model.width == 32
    assert asked.variants["augmented"].augmentation == Augmentation(thinning=0.5)
    for seed, fold in enumerate(("A", "B", "A")):
        one = asked.recipe("patch 8", seed)
        assert (one.seed, one.split.held_out, one.probe) == (seed, (fold,), Probe())


def test_without_folds_the_recipe_says_what_is_held_out(tmp_path: Path) -> None:
    asked = read(written(tmp_path, EVERY, top='base = "small.toml"'))
    assert asked.recipe(BASE, 5).split.held_out == ("C",)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("epochs = 3\n" + EVERY, "unknown field epochs. Give base, folds, every, variant"),
        ("", "every.probe.proxies is empty"),
        (EVERY + "[[variant]]\nepochs = 2\n", "variant 1: its name is ''"),
        (EVERY + '[[variant]]\nname = "base"\nepochs = 2\n', "variant 1: its name is 'base'"),
        (EVERY + PATCH + PATCH, "variant 2: its name is 'patch 8'"),
        (EVERY + '[[variant]]\nname = "same"\nepochs = 1\n', "same: is the base recipe"),
        (EVERY + '[[variant]]\nname = "easy"\nsplit = {share = 0.1}\n', "easy: judged on other spectra"),
        (EVERY + '[[variant]]\nname = "more"\nmask_ration = 0.1\n', "more: .*unknown field mask_ration.*mask_ratio"),
        (EVERY + '[[variant]]\nname = "all"\nmask_ratio = 1.0\n', "all: mask_ratio: is 1.0"),
        ("[", "no readable TOML"),
    ],
)
def test_an_ablation_that_compares_nothing_or_unlike_things_is_refused(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(RecipeError, match=found):
        read(written(tmp_path, text))


def test_a_base_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for top in ("", 'base = "other.toml"'):
        with pytest.raises(RecipeError, match="Name a recipe that lies beside this file"):
            read(written(tmp_path, EVERY, top=top))
    with pytest.raises(RecipeError, match="no readable TOML"):
        read(tmp_path / "none.toml")


def test_nothing_to_judge_by_is_refused(tmp_path: Path) -> None:
    asked, spectra = read(written(tmp_path, EVERY)), cores()
    labels = laboratory(spectra)
    with pytest.raises(TrainingError, match="none of CaCO3, TOC to judge by"):
        ablate(asked, spectra, labels[labels["core"] != "A"], (0,), tmp_path / "out")


def errors_of(**said: tuple[float, ...]) -> pd.DataFrame:
    """What `ablate` returns: variant to the errors of its seeds, as two proxies 0.1 above and below."""
    rows = [
        {"variant": name, "seed": seed, "held_out": f"lab/c/{seed}", "expedition": "lab/c", "proxy": proxy}
        | {"error": error + away, "seconds": 10.0 * (seed + 1)}
        for name, errors in said.items()
        for seed, error in enumerate(errors)
        for proxy, away in (("Fe", 0.1), ("Ti", -0.1))
    ]
    return pd.DataFrame(rows)


def test_differences_are_taken_seed_by_seed() -> None:
    """Folds differ by far more than variants; what is always 0.1 better has a difference without spread."""
    told = summary(errors_of(base=(0.5, 0.9, 1.3), good=(0.4, 0.8, 1.2), mixed=(0.4, 0.9, 1.6)))
    assert list(told.index) == ["base", "good", "mixed"]
    good, mixed = told.loc["good"], told.loc["mixed"]
    np.testing.assert_allclose((good["error"], good["spread"]), (0.8, 0.4))
    np.testing.assert_allclose((good["difference"], good["difference_spread"]), (-0.1, 0), atol=1e-12)
    assert (good["better"], good["seeds"], good["seconds"]) == (3, 3, 20)
    assert mixed["better"] == 1
    assert mixed["difference"] == pytest.approx(0.2 / 3)
    assert mixed["difference_spread"] == pytest.approx(np.std([-0.1, 0, 0.3], ddof=1))


def test_the_report_is_a_table_that_says_what_it_is_of() -> None:
    found = errors_of(base=(0.5, 0.7), good=(0.4, 0.5))
    text = report(found, {})
    assert "| base | 0.600 ± 0.141 |  |  | 15 |" in text
    assert "| good | 0.450 ± 0.071 | -0.150 ± 0.071 | 2 of 2 | 15 |" in text
    assert "mean over Fe, Ti" in text
    assert "- seed 1 held out lab/c/1" in text
    assert "No expedition that judges is synthetic." in text
    assert "Synthetic: lab/c." in report(found, {"lab/c": "virtual"})


def test_the_shipped_ablation_changes_one_field_at_a_time() -> None:
    asked = read(RECIPES / "ablation-cores.toml")
    base = asked.variants[BASE]
    changed = [
        [name for name in Pretraining.__slots__ if getattr(one, name) != getattr(base, name)]
        for one in list(asked.variants.values())[1:]
    ]
    assert sorted(changed) == sorted(
        [[name] for name in ("model", "model", "mask_ratio", "mask_ratio", "normalization", "normalization")]
        + [["loss"], ["augmentation"]]
    )
    assert isinstance(asked, Ablation)
    assert all(fold != ("ARD/ARD1E",) for fold in asked.folds)
    assert base.data.exclude_sections == ("ARD/ARD1E",)
