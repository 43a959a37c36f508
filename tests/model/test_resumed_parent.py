"""A continued run that is resumed goes on from the model that it began with, wherever its alias points by then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from corebank import bundle
from corebank.bundle import Bundle
from corebank.errors import TrainingError
from tests.model import runs
from training import examined, run
from training.pretrain import pretrain

CHILD = replace(runs.PRETRAINING, parent="models:/f@champion", epochs=3, balance=0.5)


def of(letters: str) -> xr.Dataset:
    """The spectra of some of the tests' cores."""
    spectra = runs.selection()
    return spectra.isel(spectrum=np.flatnonzero(np.isin(spectra["core"].values.astype(str), list(letters))))


def made(path: Path, spectra: xr.Dataset, **settings: Any) -> Path:
    """A model trained briefly on these spectra."""
    folder = runs.folder(path)
    bundle.save(pretrain(replace(runs.PRETRAINING, epochs=1, **settings), spectra, folder)[0], folder / "bundle")
    return folder / "bundle"


@pytest.fixture
def champion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Two versions of a model, of which the alias names the first; the test may let it name the second."""
    monkeypatch.setattr(examined.Judge, "draw", lambda *_: None)
    folders = {
        "models:/f/1": made(tmp_path / "1", of("AD")),
        "models:/f/2": made(tmp_path / "2", of("ABCD"), seed=5),
    }
    aliases = {"models:/f@champion": "models:/f/1"}
    monkeypatch.setattr(run.hub, "pin", lambda model: aliases.get(model, model))
    monkeypatch.setattr(run.hub, "resolve", lambda model: folders[aliases.get(model, model)])
    return aliases


def test_it_ends_with_the_bits_of_an_unbroken_one(champion: dict[str, str], tmp_path: Path) -> None:
    """The same parent says what is new, how often the known is seen, and what was forgotten."""
    unbroken, whole = pretrain(CHILD, of("ABCDE"), runs.folder(tmp_path / "unbroken"))
    path = runs.folder(tmp_path / "broken")
    with runs.interrupted(2):
        pretrain(CHILD, of("ABCDE"), path)
    champion["models:/f@champion"] = "models:/f/2"
    resumed, report = pretrain(CHILD, of("ABCDE"), path, resume=True)
    assert resumed.lineage == unbroken.lineage
    assert resumed.lineage.parent == "models:/f/1"
    assert (report["spectra"], report["forgetting"]) == (whole["spectra"], whole["forgetting"])
    assert all(torch.equal(resumed.weights[name], weight) for name, weight in unbroken.weights.items())
    another, report = pretrain(CHILD, of("ABCDE"), runs.folder(tmp_path / "another"))
    assert another.lineage.parent == "models:/f/2", "a run that begins now begins with what the alias names now"
    assert report["spectra"] != whole["spectra"]


def test_a_parent_in_a_folder_that_was_made_again_is_refused(
    champion: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del champion
    monkeypatch.undo()
    monkeypatch.setattr(examined.Judge, "draw", lambda *_: None)
    parent, path = tmp_path / "1" / "bundle", runs.folder(tmp_path / "broken")
    recipe = replace(CHILD, parent=str(parent))
    with runs.interrupted(2):
        pretrain(recipe, of("ABCDE"), path)
    other: Bundle = bundle.load(tmp_path / "2" / "bundle")
    bundle.save(other, parent)
    with pytest.raises(TrainingError, match="made from another recipe, parent or data"):
        pretrain(recipe, of("ABCDE"), path, resume=True)
