"""The demo on the public sample cores: what it brings in, holds out and names is there."""

from __future__ import annotations

import tomllib
from pathlib import Path

from corebank import samples
from training import demo


def test_every_core_of_the_demo_is_a_sample_and_every_sample_is_in_the_demo(tmp_path: Path) -> None:
    assert sorted(demo.SAMPLES) == sorted(samples.NAMES)
    plan = demo.sample_plan(tmp_path, tmp_path / "demo")
    assert {folder.name: folder.path for folder in plan.first} == {
        name: tmp_path / folder for name, folder in demo.SAMPLES.items()
    }
    sites = {tomllib.loads(samples.about(name).toml)["expedition"]["site"] for name in samples.NAMES}
    assert {folder.site for folder in plan.first} == sites


def test_folders_that_were_fetched_are_known_as_samples_and_others_are_not(tmp_path: Path) -> None:
    for folder in demo.SAMPLES.values():
        (tmp_path / folder).mkdir()
    assert demo.real_plan(tmp_path, tmp_path / "demo").recipes == "samples"
    (tmp_path / demo.SAMPLES["cd166-calibration"]).rmdir()
    assert demo.real_plan(tmp_path, tmp_path / "demo").recipes == "cores"


def test_both_recipes_hold_out_the_section_that_is_judged_and_its_values_are_measured(tmp_path: Path) -> None:
    plan = demo.sample_plan(tmp_path, tmp_path / "demo")
    for kind in ("pretrain", "finetune"):
        recipe = tomllib.loads((demo.RECIPES / f"{plan.recipes}-{kind}.toml").read_text(encoding="utf-8"))
        assert recipe["split"] == {"unit": "section", "held_out": [f"{plan.core}/{plan.section}"]}
    words = tomllib.loads(samples.about("cd166-calibration").toml)
    (judged,) = (part for part in words["core"][0]["section"] if part["name"] == plan.section)
    assert plan.held_out.endswith(f"::{words['expedition']['name']}/{judged['run']}")
    assert set(plan.proxies) <= set(words["measurements"][0]["columns"])
