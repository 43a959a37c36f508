"""One command gives an alias back to who had it before, again and again, and says why when it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from corebank import cli, hub
from corebank.errors import BundleError, RegistryError
from registry import rollback
from tests.registry.models import quantifier
from tests.registry.quick import enter


def champions(name: str, numbers: int, folder: Path) -> list[hub.Version]:
    """Versions of `name` that were champion one after the other."""
    made = [enter(folder, name, quantifier(seed=seed)) for seed in range(numbers)]
    for version in made:
        hub.point("champion", version, why=f"version {version.number}")
    return made


def test_each_rollback_goes_one_further_back_until_there_is_none(store: Path, tmp_path: Path) -> None:
    champions("back", 3, tmp_path)
    assert hub.rollback("back", because="it drifts").uri == "models:/back/2"
    assert hub.rollback("back", because="so does this one").aliases == ("champion",)
    assert hub.find("models:/back@champion").number == 1
    with pytest.raises(RegistryError, match="nobody to go back to: no version was champion before version 1"):
        hub.rollback("back", because="and this one")
    last = hub.history("back")[-1]
    assert (last.former, last.version, last.why, last.rollback) == (2, 1, "so does this one", True)


def test_who_came_after_a_rollback_goes_back_to_whom_it_replaced(store: Path, tmp_path: Path) -> None:
    champions("again", 3, tmp_path)
    hub.rollback("again", because="it drifts")
    hub.point("champion", enter(tmp_path, "again", quantifier(seed=9)), why="mended")
    assert hub.rollback("again", because="not mended").number == 2
    assert hub.rollback("again", because="nor was this").number == 1  # and neither the drifting nor the mended one


def test_each_alias_goes_its_own_way_back(store: Path, tmp_path: Path) -> None:
    first, second = champions("two", 2, tmp_path)
    hub.point("challenger", second, why="to be tried")
    hub.point("challenger", first, why="tried")
    assert hub.rollback("two", "challenger", because="a slip").number == 2
    assert hub.find("models:/two@champion").number == 2


def test_a_version_that_is_gone_is_passed_over(store: Path, tmp_path: Path) -> None:
    champions("gone", 3, tmp_path)
    mlflow.MlflowClient().delete_model_version("gone", "2")
    assert hub.rollback("gone", because="it drifts").number == 1
    champions("lost", 2, tmp_path)
    mlflow.MlflowClient().delete_model_version("lost", "1")
    with pytest.raises(RegistryError, match="before version 2 but 1, which is deleted"):
        hub.rollback("lost", because="it drifts")


def test_nobody_is_put_in_use_who_cannot_be_loaded(store: Path, tmp_path: Path) -> None:
    first, _ = champions("broken", 2, tmp_path)
    weights = tmp_path / "broken-1" / "artifacts" / "bundle" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(BundleError, match=r"models:/broken/1: what is stored is damaged: model.safetensors"):
        hub.rollback("broken", because="it drifts")
    assert hub.find("models:/broken@champion").number == 2
    assert first.uri == "models:/broken/1"


def test_a_rollback_of_what_nobody_has_says_what_there_is(store: Path, tmp_path: Path) -> None:
    champions("held", 1, tmp_path)
    with pytest.raises(RegistryError, match=r"no version of held is challenger; its aliases are champion"):
        hub.rollback("held", "challenger", because="it drifts")
    with pytest.raises(RegistryError, match=r"no such model; sqlite:.* holds .*held"):
        hub.rollback("holds", because="it drifts")


def test_the_program_says_what_it_did_and_exits_0_1_or_2(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    champions("program", 2, tmp_path)
    because = ["--because", "it drifts"]
    for arguments, code in ((["program", *because], 0), (["program", *because], 1), (["program"], 2)):
        with pytest.raises(SystemExit) as stop:
            cli.run(rollback.app, arguments)
        assert stop.value.code == code
        if code == 0:
            said = capsys.readouterr()
            assert said.out == "models:/program/1\n"
            assert "champion of program went back from version 2 to 1" in said.err
    assert "nobody to go back to" in capsys.readouterr().err


@pytest.mark.parametrize("program", ["rollback", "serve"])
def test_the_programs_explain_themselves_from_any_folder(program: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"registry.{program}", "--help"]
    place = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=place)
    assert f"python -m registry.{program}" in done.stdout
    assert list(tmp_path.iterdir()) == []
