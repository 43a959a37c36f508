"""Several processes train one network as one process would: same losses, and they end together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from corebank import bundle
from corebank.errors import TrainingError
from tests.model import runs
from training import examined
from training.recipe import Pretraining
from training.steplog import read
from training.together import Team, team

RECIPE = replace(runs.PRETRAINING, epochs=2, balance=0.7, split=replace(runs.PRETRAINING.split, held_out=("C", "D")))
"""75 spectra in batches of 8: the tenth batch of an epoch holds 3."""

TOLERANCE = 1e-4
"""Relative; sums are taken in another order."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _alone(tmp_path_factory.mktemp("alone"), RECIPE)


def _alone(path: Path, recipe: Pretraining) -> Path:
    folder = runs.folder(path / "run", recipe)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examined.Judge, "draw", lambda *_: None)
        model, _ = runs.here(folder)
    bundle.save(model, folder / "bundle")
    return folder


def assert_alike(one: Path, other: Path) -> None:
    """Same losses, gradients and learning rates step by step, and held-out spectra filled in as well in the end.

    Weights are not compared: a bias of attention's keys changes nothing, its gradient is rounding noise, and AdamW
    makes steps of full length of it.
    """
    for mine, yours in zip(read(one), read(other), strict=True):
        np.testing.assert_allclose(mine, yours, rtol=TOLERANCE)
    losses = [bundle.load(path / "bundle").metrics["validation"]["lab/cruise"]["loss"] for path in (one, other)]
    assert losses[0] == pytest.approx(losses[1], rel=TOLERANCE)


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one(alone: Path, tmp_path: Path) -> None:
    path = runs.folder(tmp_path / "two", RECIPE)
    assert [code for code, _ in runs.ended(runs.start(path, world=2))] == [0, 0]
    assert_alike(path, alone)


@pytest.mark.slow
def test_two_processes_with_scratch_files_do_too(alone: Path, tmp_path: Path) -> None:
    path = runs.folder(tmp_path / "two", RECIPE)
    assert [code for code, _ in runs.ended(runs.start(path, "--scratch", world=2))] == [0, 0]
    assert_alike(path, alone)


@pytest.mark.slow
def test_three_processes_of_which_some_have_no_spectrum_of_the_last_batch_do_too(tmp_path: Path) -> None:
    """25 spectra in batches of 8, and the loss of counts: of the last batch two processes have nothing."""
    recipe = replace(RECIPE, loss="poisson", balance=0.0, split=replace(RECIPE.split, held_out=("B", "C", "D", "E")))
    path = runs.folder(tmp_path / "three", recipe)
    assert [code for code, _ in runs.ended(runs.start(path, world=3))] == [0, 0, 0]
    assert_alike(path, _alone(tmp_path, recipe))


@pytest.mark.slow
def test_a_run_of_two_that_sigterm_ends_goes_on_with_one(alone: Path, tmp_path: Path) -> None:
    """The signal reaches the second process only; the first writes the checkpoint, and both leave."""
    path = runs.folder(tmp_path / "left", RECIPE)
    (first, said), (second, _) = runs.ended(runs.start(path, "--end", "TERM:step:7:0", world=2))
    assert (first, second) == (143, 143)
    assert "ended by SIGTERM after step 8 of 20" in said
    ((code, _),) = runs.ended(runs.start(path, "--resume"))
    assert code == 0
    assert_alike(path, alone)


@pytest.mark.slow
@pytest.mark.parametrize("whose", [0, 1])
def test_when_one_process_fails_none_waits_for_it(tmp_path: Path, whose: int) -> None:
    path = runs.folder(tmp_path / "failed", RECIPE)
    said = runs.ended(runs.start(path, "--end", f"ERROR:step:5:{whose}", world=2))
    assert all(code not in (0, -9) for code, _ in said)
    assert "a bug" in said[whose][1]
    assert "another process of this run has ended" in said[1 - whose][1]


@pytest.mark.slow
def test_processes_that_do_not_see_the_same_spectra_are_refused(tmp_path: Path) -> None:
    """A member of a federation that does not answer one computer would leave out some spectra and repeat others."""
    path = runs.folder(tmp_path / "apart", RECIPE)
    for code, said in runs.ended(runs.start(path, "--lacks", "1", world=2)):
        assert code != 0
        assert "torchrun: the processes do not see the same spectra" in said
    assert not (path / "steps.csv").exists()


def test_one_process_alone_has_nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with team("cpu") as here:
        assert here == Team()
        assert here.first
        assert [here.any(wish) for wish in (True, False)] == [True, False]
        assert here.device("cpu") == "cpu"
    assert Team(rank=3, world=8, local_rank=1).device("cuda") == "cuda:1"
    assert not Team(rank=3, world=8).first


def test_a_process_that_cannot_reach_the_others_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise RuntimeError("connection refused")

    monkeypatch.setattr(torch.distributed, "init_process_group", unreachable)
    for name, value in {"WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match=r"cannot be reached \(connection refused\)"), team("cpu"):
        pass
