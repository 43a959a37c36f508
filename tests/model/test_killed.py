"""A run that is killed, wherever it is, and resumed ends with the bits of one that was left alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from corebank.bundle import Bundle
from corebank.errors import TrainingError
from tests.model import runs
from tests.model.cores import cores
from training import examined
from training.pretrain import pretrain
from training.steplog import read

Ended = tuple[Bundle, dict[str, Any], Path]


@pytest.fixture(scope="module", autouse=True)
def without_figures() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examined.Judge, "draw", lambda *_: None)  # most of the time of so small a run
        yield


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    path = runs.folder(tmp_path_factory.mktemp("runs") / "unbroken", runs.EVERYTHING)
    return (*runs.here(path), path)


def same(one: Ended, other: Ended) -> None:
    """Equal to the last bit: every step's loss, every curve, what stopped it, what it learnt."""
    assert read(one[2]) == read(other[2])
    timeless = [{name: value for name, value in report.items() if name != "seconds"} for report in (one[1], other[1])]
    assert timeless[0] == timeless[1]
    assert one[0].weights.keys() == other[0].weights.keys()
    assert all(torch.equal(one[0].weights[name], weight) for name, weight in other[0].weights.items())


def test_the_same_recipe_and_data_give_the_same_bits(unbroken: Ended, tmp_path: Path) -> None:
    path = runs.folder(tmp_path / "again", runs.EVERYTHING)
    same((*runs.here(path), path), unbroken)


def test_another_seed_gives_others(unbroken: Ended, tmp_path: Path) -> None:
    path = runs.folder(tmp_path / "other", replace(runs.EVERYTHING, seed=1, epochs=1))
    runs.here(path)
    assert read(path)[0].loss != read(unbroken[2])[0].loss


@pytest.mark.parametrize("kills", [2, 4, 14])
def test_a_run_that_is_interrupted_at_a_checkpoint_goes_on_from_it(unbroken: Ended, tmp_path: Path, kills: int) -> None:
    """In this process, after so many checkpoints: at the end of an epoch, in one, after the probe's best look."""
    path = runs.folder(tmp_path / "broken", runs.EVERYTHING)
    with runs.interrupted(kills):
        runs.here(path)
    same((*runs.here(path, resume=True), path), unbroken)


@pytest.mark.slow
def test_a_process_that_is_killed_again_and_again_ends_like_one_that_was_not(unbroken: Ended, tmp_path: Path) -> None:
    """Real processes and real signals: before the first checkpoint, while one is written, between two, by SIGTERM."""
    path = runs.folder(tmp_path / "killed", runs.EVERYTHING)
    steps = len(read(unbroken[2]))
    assert steps > 40
    ((code, _),) = runs.ended(runs.start(path, "--end", "KILL:step:3"))
    assert (code, len(read(path)), (path / "checkpoint").exists()) == (-9, 3, False)
    ((code, _),) = runs.ended(runs.start(path, "--resume", "--end", "KILL:write:3"))
    assert code == -9
    assert (path / "checkpoint" / "last.unfinished").exists()
    ((code, said),) = runs.ended(runs.start(path, "--resume", "--end", "TERM:step:27"))
    assert code == 143
    assert said.strip().splitlines()[-1].endswith("ended by SIGTERM after step 28 of 90. Go on with --resume.")
    ((code, _),) = runs.ended(runs.start(path, "--resume", "--end", "KILL:step:58"))
    assert code == -9
    same((*runs.here(path, resume=True), path), unbroken)


def test_a_finished_run_that_is_resumed_says_the_same_again(unbroken: Ended) -> None:
    before = read(unbroken[2])
    same((*runs.here(unbroken[2], resume=True), unbroken[2]), unbroken)
    assert read(unbroken[2]) == before


def test_a_damaged_checkpoint_or_one_of_other_data_is_refused(tmp_path: Path) -> None:
    path = runs.folder(tmp_path / "run", replace(runs.PRETRAINING, epochs=1))
    runs.here(path)
    recipe = replace(runs.PRETRAINING, epochs=1)
    with pytest.raises(TrainingError, match="made from another recipe, parent or data"):
        pretrain(recipe, cores(11), path, resume=True)
    with pytest.raises(TrainingError, match="made from another recipe, parent or data"):
        pretrain(replace(recipe, seed=1), runs.selection(), path, resume=True)
    saved = path / "checkpoint" / "last.safetensors"
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(TrainingError, match="no usable checkpoint"):
        runs.here(path, resume=True)
