"""The folder of a run: complete by itself, named by the recipe's hash, never overwritten.

``recipe.toml`` (every field), ``bundle/``, ``metrics.json``, ``figures/*.png``; a pretraining's also ``checkpoint/``,
``steps.csv`` and, where it continues another, ``forgetting.csv``.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from corebank import bundle, hub
from corebank.errors import CorebankError, RecipeError, RegistryError, TrainingError
from training import steplog
from training.parsing import load, to_toml
from training.recipe import Finetuning, Recipe, digest


def start(program: str, recipe: Recipe, out: Path | None, *, resume: bool = False) -> Path:
    """Make the run's folder, by default ``runs/<program>-<hash of the recipe>``, and put the recipe into it.

    Raises `TrainingError` when the folder holds a run already, or, with `resume`, none of this recipe.
    """
    folder = folder_of(program, recipe, out)
    written = folder / "recipe.toml"
    if resume:
        if not written.is_file() or written.read_text(encoding="utf-8") != to_toml(recipe):
            raise TrainingError(folder, "no run of this recipe to resume", "Start it without --resume")
        return folder
    if written.exists():
        going_on = ", or go on with --resume" if program == "pretrain" else ""
        raise TrainingError(folder, "holds a run already", f"Name another folder with --out{going_on}")
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    written.write_text(to_toml(recipe), encoding="utf-8")
    return folder


@contextmanager
def unless_refused(folder: Path, *, first: bool = True) -> Iterator[None]:
    """Take back what `start` made where the run is refused before anything else was: the corrected command may run.

    Whatever else lies in the folder stays. With several processes only the `first` does so.
    """
    try:
        yield
    except CorebankError:
        figures, later = folder / "figures", (steplog.NAME, "checkpoint", "bundle")
        made = any((folder / name).exists() for name in later) or any(figures.glob("*"))
        if first and not made:
            (folder / "recipe.toml").unlink(missing_ok=True)
            for one in (figures, folder):
                with suppress(OSError):  # not empty, or not there
                    one.rmdir()
        raise


def folder_of(program: str, recipe: Recipe, out: Path | None) -> Path:
    """The run's folder: `out`, or ``runs/<program>-<hash of the recipe>``."""
    return out or Path("runs") / f"{program}-{digest(recipe)}"


def parent_of(recipe: Recipe, began_with: str = "") -> tuple[bundle.Bundle | None, str]:
    """The model that the recipe starts from, and a name for it that stays true; (None, "") when there is none.

    A run that is resumed says what it `began_with`: the alias in its recipe may have moved since.
    """
    if not recipe.parent:
        return None, ""
    model = began_with if began_with.startswith("models:/") else recipe.parent
    return bundle.load(hub.resolve(model)), hub.pin(model)


def finetuning(path: Path, parent: str, proxies: tuple[str, ...]) -> Finetuning:
    """The recipe of a fine-tuning, with what the command line says; `RecipeError` without parent or proxies."""
    given: dict[str, Any] = {"parent": parent, "proxies": proxies}
    recipe = load(path, Finetuning, **{name: value for name, value in given.items() if value})
    if not recipe.parent or not recipe.proxies:
        raise RecipeError(path, "no model to start from, or no proxy", "Give --from MODEL and --proxy NAME")
    return recipe


def parent_for(recipe: Finetuning, spectra: xr.Dataset) -> tuple[bundle.Bundle, str]:
    """`parent_of` a recipe that names one; raises `TrainingError` when it reads another energy axis than `spectra`."""
    parent, name = parent_of(recipe)
    assert parent is not None, "the recipe names one"
    if parent.grid.to_json() != spectra.attrs["grid"]:
        raise TrainingError(
            recipe.parent,
            f"reads {parent.grid}, the catalog holds {spectra.attrs['grid']}",
            "Pretrain a model on the catalog's energy axis",
        )
    return parent, name


def finish(
    folder: Path,
    program: str,
    recipe: Recipe,
    model: bundle.Bundle,
    metrics: Mapping[str, Any],
    curves: Mapping[str, Sequence[float] | float],
) -> None:
    """Write the bundle and ``metrics.json``, and log the run to MLflow with `curves` as its metrics."""
    bundle.save(model, folder / "bundle")
    (folder / "metrics.json").write_text(json.dumps(bundle.finite(metrics), indent=1) + "\n", encoding="utf-8")
    kept = {name: value for name, value in curves.items() if not isinstance(value, float) or math.isfinite(value)}
    try:
        hub.log_run(folder, experiment=program, params=asdict(recipe), metrics=kept, datasets=model.lineage)
    except RegistryError as error:  # the run is complete all the same, and the error says how to publish it
        print(f"corebank: {error}", file=sys.stderr)


def device_of(recipe: Recipe) -> str:
    """Where to compute; raises `TrainingError` when the recipe wants a GPU that is not there."""
    if recipe.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device", "no GPU that torch can use", 'Set device = "auto"')
    return recipe.device
