"""The three programs on a small bank, as a user types them: what they print, what they leave, how they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corebank.cli import run as run_program
from training import evaluate, finetune, pretrain

PRETRAINING = """
name = "f"
epochs = 1
batch_size = 4
[split]
unit = "section"
held_out = ["C/1/S2"]
[model]
preset = "tiny"
patch = 4
"""

FINETUNING = """
name = "q"
epochs = 1
batch_size = 2
members = 1
auxiliary = false
[split]
unit = "section"
"""


def call(program: object, *words: object) -> int:
    with pytest.raises(SystemExit) as end:
        run_program(program.app, [str(word) for word in words])  # type: ignore[attr-defined]  # each program has one
    return int(end.value.code or 0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    (tmp_path / "p.toml").write_text(PRETRAINING)
    (tmp_path / "q.toml").write_text(FINETUNING)
    return tmp_path


def test_from_a_bank_to_a_judged_quantifier(here: Path, small_bank: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalog = small_bank / "catalog.yaml"
    assert call(pretrain, "p.toml", "--catalog", catalog) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("lab/cruise1: mean square error of hidden patches")
    foundation = Path(said[-1])
    assert foundation.parent == Path("runs")
    left = {one.name for one in foundation.iterdir()}
    assert left == {"recipe.toml", "bundle", "metrics.json", "checkpoint", "figures"}
    assert call(evaluate, foundation, "--catalog", catalog) == 0
    assert "lab/cruise1" in capsys.readouterr().out

    words = ("q.toml", "--catalog", catalog, "--from", foundation, "--proxy", "TOC", "--proxy", "CaCO3")
    assert call(finetune, *words, "--out", "q") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "q"
    report = json.loads(Path("q/metrics.json").read_text())
    assert report["intervals"]["training"] == 2
    assert call(evaluate, "q", "--catalog", catalog) == 1  # the only labelled section was trained on
    assert "no label has a spectrum in its depth interval" in capsys.readouterr().err
    assert call(evaluate, "q", "--catalog", catalog, "--section", "C/1/S1") == 1
    assert "has trained on everything that was asked for" in capsys.readouterr().err
    assert call(evaluate, "q", "--catalog", catalog, "--seen", "--section", "C/1/S1") == 0
    assert "TOC [wt%]" in capsys.readouterr().out
    assert call(finetune, *words, "--out", "q") == 1
    assert "holds a run already" in capsys.readouterr().err


def test_refusals_are_sentences_and_wrong_usage_is_not_a_refusal(
    here: Path,
    small_bank: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    catalog = small_bank / "catalog.yaml"
    assert call(finetune, "q.toml", "--catalog", catalog, "--proxy", "TOC") == 1
    assert capsys.readouterr().err == (
        "corebank: q.toml: no model to start from, or no proxy. Give --from MODEL and --proxy NAME.\n"
    )
    assert call(pretrain, "p.toml", "--catalog", catalog, "--resume") == 1
    assert "no run of this recipe to resume" in capsys.readouterr().err
    assert call(pretrain, "p.toml") == 2
    assert call(pretrain, "--what") == 2
