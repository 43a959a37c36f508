"""The three programs on a small bank, as a user types them: what they print, what they leave, how they refuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from corebank import bundle
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
    assert left == {"recipe.toml", "steps.csv", "bundle", "metrics.json", "checkpoint", "figures"}
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


def test_a_refused_command_leaves_nothing_so_that_the_corrected_one_runs(
    here: Path, small_bank: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog, out = small_bank / "catalog.yaml", ("--out", "run")
    (here / "wrong.toml").write_text(PRETRAINING.replace("C/1/S2", "C/1/S9"))
    (here / "wrong-q.toml").write_text(FINETUNING.replace("[split]", '[split]\nheld_out = ["C/1/S9"]'))
    assert call(pretrain, "p.toml", "--catalog", "away.yaml", *out) == 1
    assert call(pretrain, "wrong.toml", "--catalog", catalog, *out) == 1
    assert not Path("run").exists()
    Path("run").mkdir()
    Path("run/notes.txt").touch()
    assert call(pretrain, "wrong.toml", "--catalog", catalog, *out) == 1
    assert [one.name for one in Path("run").iterdir()] == ["notes.txt"], "what is not ours stays"
    assert call(pretrain, "p.toml", "--catalog", catalog, *out) == 0
    assert call(finetune, "wrong-q.toml", "--catalog", catalog, "--from", "run", "--proxy", "TOC", "--out", "q") == 1
    assert not Path("q").exists()
    capsys.readouterr()
    assert call(pretrain, "wrong.toml", "--catalog", catalog, *out) == 1
    assert capsys.readouterr().err.endswith("Name another folder with --out, or go on with --resume.\n")
    assert Path("run/metrics.json").exists()


@pytest.mark.slow
def test_sigterm_ends_the_program_so_that_resume_goes_on(here: Path, small_bank: Path) -> None:
    """The program itself, as a person or a queue ends it: while it takes steps, from outside."""
    (here / "long.toml").write_text(PRETRAINING.replace("epochs = 1", "epochs = 5000"))
    words: list[str | Path] = [
        sys.executable,
        "-m",
        "training.pretrain",
        "long.toml",
        "--catalog",
        small_bank / "catalog.yaml",
    ]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([*words, "--out", "run"], env=environment, stderr=subprocess.PIPE, text=True) as program:
        steps = Path("run/steps.csv")
        while program.poll() is None and not (steps.exists() and len(steps.read_text().splitlines()) > 3):
            time.sleep(0.05)
        program.terminate()
        said = program.communicate(timeout=300)[1]
    assert program.returncode == 143
    assert "corebank: run: ended by SIGTERM after step" in said
    assert said.strip().endswith("Go on with --resume.")
    assert Path("run/checkpoint/last.safetensors").exists()


@pytest.mark.slow
def test_a_cluster_that_reads_changes_no_bit_of_the_model(here: Path, small_bank: Path) -> None:
    from distributed import LocalCluster

    words: list[str | Path] = ["p.toml", "--catalog", small_bank / "catalog.yaml"]
    assert call(pretrain, *words, "--out", "here") == 0
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, host="127.0.0.1", protocol="tcp"
    ) as cluster:
        asked = cluster.scheduler.transition_counter
        assert call(pretrain, *words, "--out", "there", "--scheduler", cluster.scheduler_address) == 0
        assert cluster.scheduler.transition_counter > asked, "the cluster was not asked for anything"
    alone, helped = (bundle.load(Path(one) / "bundle").weights for one in ("here", "there"))
    assert alone.keys() == helped.keys()
    assert all(torch.equal(helped[name], weight) for name, weight in alone.items())


def torchrun(catalog: Path) -> subprocess.CompletedProcess[str]:
    """The pretraining by two processes, as torchrun starts them."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words: list[str | Path] = ["-m", "training.pretrain", "p.toml", "--catalog", catalog, "--out", "run"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.run([*command, *words], env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_torchrun_trains_with_two_processes_and_one_of_them_speaks(here: Path, small_bank: Path) -> None:
    done = torchrun(small_bank / "catalog.yaml")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line == "run"] == ["run"]
    assert json.loads(Path("run/metrics.json").read_text())["validation"]


@pytest.mark.slow
def test_torchrun_ends_when_the_first_process_refuses(here: Path, small_bank: Path) -> None:
    Path("run").mkdir()
    Path("run/recipe.toml").touch()
    refused = torchrun(small_bank / "catalog.yaml")
    assert refused.returncode != 0
    assert "run: holds a run already" in refused.stderr
