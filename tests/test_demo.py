"""The demo itself runs in .ci/run, whole; here is what must not happen before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from corebank.errors import TrainingError
from training import demo


def test_the_demo_never_empties_a_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"holds something else than an earlier demo. Name a new folder with --out"):
        demo.main(out=tmp_path)
    assert (tmp_path / "thesis.tex").read_text(encoding="utf-8") == "years of work"


def test_a_folder_without_the_real_cores_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"itrax-cd166: there is no such folder. Name the folder that holds"):
        demo.main(data=tmp_path, out=tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_every_recipe_that_a_plan_names_is_there(tmp_path: Path) -> None:
    plan = demo.virtual_plan(tmp_path)
    kinds = ["pretrain", "finetune", "continue"]
    assert [kind for kind in kinds if not (demo.RECIPES / f"{plan.recipes}-{kind}.toml").is_file()] == []
