"""Recipes: what is written is what is trained; anything else is refused with the nearest right name."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank.augment import Augmentation
from corebank.errors import RecipeError
from corebank.model import PRESETS
from training import ablation
from training.parsing import load, to_toml
from training.recipe import Data, Finetuning, Optimiser, Pretraining, Probe, Recipe, Split, digest

SHIPPED = sorted((Path(__file__).parents[2] / "training" / "recipes").glob("*.toml"))
TEXTS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=8), max_size=3).map(tuple)


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    shared = {
        "name": draw(st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=8)),
        "data": Data(sites=draw(TEXTS), exclude_sections=draw(TEXTS)),
        "split": Split(unit=draw(st.sampled_from(["core", "section"])), share=draw(st.floats(0, 1))),
        "optimiser": Optimiser(rate=draw(st.floats(1e-9, 1))),
        "epochs": draw(st.integers(1, 999)),
        "seed": draw(st.integers(0, 2**31)),
    }
    if draw(st.booleans()):
        return Finetuning(**shared, proxies=draw(TEXTS), mixup=draw(st.floats(0, 4)), auxiliary=draw(st.booleans()))
    model = replace(PRESETS[draw(st.sampled_from(sorted(PRESETS)))], settings=draw(st.booleans()))
    probe = Probe(proxies=("CaCO3", *draw(TEXTS)), patience=draw(st.integers(0, 9)), stop_units=draw(TEXTS))
    varied = Augmentation(thinning=draw(st.floats(0, 1)), gain=draw(st.floats(0, 0.1)))
    ratio = draw(st.floats(0.01, 0.99))
    return Pretraining(**shared, model=model, mask_ratio=ratio, probe=probe, augmentation=varied)


@given(recipes())
@settings(deadline=None)
def test_a_recipe_survives_toml(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe) -> None:
    path = write(tmp_path_factory.mktemp("recipe"), to_toml(recipe))
    assert load(path, type(recipe)) == recipe


@given(recipes(), recipes())
@settings(deadline=None)
def test_the_hash_tells_recipes_apart(one: Recipe, other: Recipe) -> None:
    assert (digest(one) == digest(other)) == (one == other)
    assert digest(replace(one, seed=one.seed + 1)) != digest(one)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_recipe_loads(path: Path) -> None:
    if path.stem.startswith("ablation"):
        ablation.read(path)
    else:
        load(path, Finetuning if "finetune" in path.stem else Pretraining)


def test_a_preset_is_changed_field_by_field(tmp_path: Path) -> None:
    recipe = load(write(tmp_path, 'name = "f"\n[model]\npreset = "tiny"\npatch = 32\n'), Pretraining)
    assert recipe.model == replace(PRESETS["tiny"], patch=32)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("mask_ration = 0.5", r"unknown field mask_ration. Did you mean mask_ratio"),
        ("[optimiser]\nlearning_rate = 1.0", r"unknown field optimiser.learning_rate"),
        ("[model]\npatchs = 8", r"unknown field model.patchs. Did you mean model.patch"),
        ("[model]\npreset = 'huge'", r"model.preset is 'huge'. Choose among tiny"),
        ("epochs = 1.5", r"epochs is 1.5. Give a whole number"),
        ("epochs = true", r"epochs is True. Give a whole number"),
        ("[data]\nsites = 'lab'", r"data.sites is 'lab'. Give a list"),
        ("[data]\nsites = [1]", r"data.sites\[0\] is 1. Give a text"),
        ("data = 3", r"data is 3. Give a table"),
        ("epochs = 0", r"epochs: is 0"),
        ("mask_ratio = 1.0", r"mask_ratio: is 1.0"),
        ("checkpoint_every = 0", r"checkpoint_every: is 0"),
        ("replay = 1.5", r"replay: is 1.5"),
        ("replay = 1.0", r"replay: is 1.0: nothing new would be learnt"),
        ("balance = -0.1", r"balance: is -0.1"),
        ("loss = 'mae'", r"loss: is 'mae'. Choose among mse, poisson"),
        ("precision = 'half'", r"precision: is 'half'. Choose among auto"),
        ("[augmentation]\nblur = 1.0", r"unknown field augmentation.blur"),
        ("[augmentation]\nthinning = 2.0", r"augmentation.thinning: is 2.0"),
        ("[probe]\nevery = 0", r"probe.every: is 0"),
        ("[probe]\npatience = -1", r"probe.patience: is -1"),
        ("[probe]\npatience = 3", r"probe.patience: nothing is probed"),
        ("[probe]\nstop_share = 1.5", r"probe.stop_share: is 1.5"),
        ("device = 'tpu'", r"device: is 'tpu'. Choose among auto"),
        ("normalization = 'max'", r"normalization: is 'max'"),
        ("[split]\nunit = 'row'", r"split.unit: is 'row'. Choose among core, section"),
        ("[split]\nshare = 2.0", r"split.share: is 2.0"),
        ("[data]\nskip_flags = ['BAD']", r"data.skip_flags: is 'BAD'"),
        ("[optimiser]\nrate = 0.0", r"optimiser.rate: is 0.0"),
        ("seed = -1", r"seed: is -1"),
        ("mask_ratio = nan", r"mask_ratio: is nan"),
        ("balance = nan", r"balance: is nan"),
        ("replay = nan", r"replay: is nan"),
        ("[split]\nshare = nan", r"split.share: is nan"),
        ("[probe]\nstop_share = nan", r"probe.stop_share: is nan"),
        ("[optimiser]\nrate = nan", r"optimiser.rate: is nan"),
        ("[optimiser]\nrate = inf", r"optimiser.rate: is inf"),
        ("[optimiser]\nclip = 0.0", r"optimiser.clip: is 0.0"),
        ("[optimiser]\nclip = nan", r"optimiser.clip: is nan"),
        ("[optimiser]\nclip = inf", r"optimiser.clip: is inf"),
        ("[optimiser]\nwarmup = nan", r"optimiser.warmup: is nan"),
        ("[optimiser]\nweight_decay = -0.05", r"optimiser.weight_decay: is -0.05. Give a number, at least 0"),
        ("[optimiser]\nweight_decay = nan", r"optimiser.weight_decay: is nan"),
        ("[optimiser]\nweight_decay = inf", r"optimiser.weight_decay: is inf"),
        ("[optimiser]\nbetas = [0.9]", r"optimiser.betas: is \[0.9\]"),
        ("[optimiser]\nbetas = [-0.1, 0.9]", r"optimiser.betas: is \[-0.1, 0.9\]. Give two numbers from 0 to below 1"),
        ("[optimiser]\nbetas = [0.9, 1.0]", r"optimiser.betas: is \[0.9, 1.0\]"),
        ("[optimiser]\nbetas = [nan, 0.9]", r"optimiser.betas: is \[nan, 0.9\]"),
        ("epochs =", r"not TOML"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(RecipeError, match=found):
        load(write(tmp_path, f"name = 'f'\n{text}\n"), Pretraining)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("head_rate", (-1.0, math.nan, math.inf)),
        ("mixup", (-1.0, math.nan, math.inf)),
        ("within", (-1.0, math.nan, math.inf)),
        ("scratch_rate", (-1.0, math.nan, math.inf)),
        ("balance", (-0.1, 1.1, math.nan)),
        ("members", (0,)),
        ("folds", (1,)),
        ("head_width", (0,)),
        ("rank", (0,)),
        ("seeds", (0,)),
        ("batch_size", (0,)),
        ("seed", (-1,)),
    ],
)
def test_a_number_that_no_quantifier_can_have_is_refused(tmp_path: Path, name: str, values: tuple[float, ...]) -> None:
    for value in values:
        with pytest.raises(RecipeError, match=f"{name}: is {value}"):
            load(write(tmp_path, f"name = 'q'\n{name} = {value}\n"), Finetuning)


def test_a_recipe_without_name_or_without_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="missing 1 required keyword-only argument: 'name'"):
        load(write(tmp_path, "epochs = 1\n"), Pretraining)
    with pytest.raises(RecipeError, match="no such file"):
        load(tmp_path / "nothing.toml", Pretraining)
