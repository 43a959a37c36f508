"""Pretrain a foundation model: hide half of each spectrum, learn to fill it in.

    python -m training.pretrain RECIPE.toml --catalog CATALOG [--from MODEL] [--resume] [--out RUN_DIR]

With ``--from`` training continues from an earlier model: its weights, a new warm-up and decay, the new cores mixed with
those it knows. A killed run goes on with ``--resume`` from its last checkpoint (one after each epoch and every
``checkpoint_every`` steps) to the same bits that it would have reached; a signal saves nothing by itself.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import xarray as xr
from cyclopts import App, Parameter
from numpy.typing import NDArray
from tqdm import tqdm

from corebank import split
from corebank.bundle import Bundle
from corebank.cli import run as run_program
from corebank.errors import TrainingError
from corebank.feed import MEMORY, Feed
from corebank.model import ModelConfig, SpectrumMAE
from corebank.normalize import Normalization
from corebank.schema import EnergyGrid
from training import checkpoint, data, figures, run
from training.recipe import Pretraining, digest, load
from training.reconstruction import errors
from training.schedule import adamw, descend, factor

app = App(name="python -m training.pretrain", help=__doc__, result_action="return_value")


@app.default
def main(
    recipe: Path,
    /,
    *,
    catalog: str,
    from_: Annotated[str, Parameter("--from")] = "",
    resume: bool = False,
    out: Path | None = None,
) -> None:
    """Pretrain a foundation model and print where it is.

    Parameters
    ----------
    recipe
        TOML file, see training/recipes.
    catalog
        Catalog of a bank or a federation.
    from_
        Model to continue from: a run, a bundle, models:/name@alias or models:/name/3.
    resume
        Go on with a killed run of the same recipe.
    out
        Folder of the run; runs/pretrain-HASH unless given.
    """
    settings = load(recipe, Pretraining, **({"parent": from_} if from_ else {}))
    spectra = data.spectra(catalog, settings.data)
    folder = run.start("pretrain", settings, out, resume=resume)
    model, report = pretrain(settings, spectra, folder, resume=resume)
    run.finish(
        folder,
        "pretrain",
        settings,
        model,
        report,
        {
            "loss": report["epochs"]["train"],
            **{f"validation.{name}": losses for name, losses in report["epochs"]["validation"].items()},
        },
    )
    for name, one in report["validation"].items():
        print(f"{name}: mean square error of hidden patches {one['loss']:.4f} ({one['spectra']} spectra held out)")
    print(folder)


def pretrain(
    recipe: Pretraining,
    spectra: xr.Dataset,
    folder: Path,
    *,
    resume: bool = False,
) -> tuple[Bundle, dict[str, Any]]:
    """Train on `spectra`, checkpoint into `folder`; returns the model and the report for ``metrics.json``.

    Raises `TrainingError` when everything is held out, the parent does not fit the recipe or has seen what is held out,
    or there is no checkpoint of this recipe and data to resume.
    """
    parent, parent_name = run.parent_of(recipe)
    config, normalization = _config(recipe, spectra), Normalization(kind=recipe.normalization)
    _refuse_misfit(recipe, config, normalization, parent)
    names = split.unit_names(spectra, recipe.split.unit)
    held = data.held_out(names, recipe.split)
    data.refuse_seen(names[held], recipe.split, parent)
    trained = spectra.isel(spectrum=np.flatnonzero(~held & _replayed(spectra, recipe, parent)))
    validation = spectra.isel(spectrum=np.flatnonzero(held))
    if validation["intensity"].nbytes <= MEMORY:
        validation = validation.load()  # looked at after every epoch

    torch.manual_seed(recipe.seed)
    network = SpectrumMAE(config).to(run.device_of(recipe))
    if parent is not None:
        network.load_state_dict(dict(parent.weights))
    feed = Feed(trained, normalization=normalization, batch_size=recipe.batch_size, seed=recipe.seed)
    state = _train(recipe, network, feed, validation, normalization, folder / "checkpoint" / "last.safetensors", resume)

    judged = errors(network, normalization, validation, recipe.mask_ratio)
    figures.losses(state["train"], state["validation"]).savefig(folder / "figures" / "losses.png", dpi=150)
    shown = validation if held.any() else trained
    picture = figures.reconstruction(network, normalization, shown, recipe.mask_ratio)
    picture.savefig(folder / "figures" / "reconstruction.png", dpi=150)
    report = {
        "epochs": {name: state[name] for name in ("train", "validation")},
        "validation": judged,
        "spectra": {"train": feed.rows, "held_out": int(held.sum())},
        "split": {"unit": recipe.split.unit, "held_out": sorted(set(names[held].tolist()))},
        "seconds": state["seconds"],
    }
    model = Bundle(
        kind="foundation",
        name=recipe.name,
        config=config,
        normalization=normalization,
        weights=network.state_dict(),
        lineage=data.lineage(trained, parent, parent_name),
        recipe=asdict(recipe),
        metrics={"validation": judged},
    )
    return model, report


def _train(
    recipe: Pretraining,
    network: SpectrumMAE,
    feed: Feed,
    validation: xr.Dataset,
    normalization: Normalization,
    saved: Path,
    resume: bool,
) -> dict[str, Any]:
    """All epochs, or those that are left; the losses of all epochs and the seconds they took.

    The state holds everything that a checkpoint needs beside weights, moments and random numbers: the next batch, the
    sum of the losses since the epoch began, and the losses of earlier epochs.
    """
    optimiser = adamw({recipe.optimiser.rate: network.parameters()}, recipe.optimiser)
    generator = torch.Generator().manual_seed(recipe.seed)
    made_from = {"recipe": digest(recipe), "rows": feed.rows, "snapshots": validation.attrs.get("snapshots", "")}
    beginning = {"epoch": 0, "batch": 0, "sum": 0.0, "train": [], "validation": {}, "seconds": 0.0}
    state: dict[str, Any] = made_from | beginning
    if resume:
        state = checkpoint.load(saved, network, optimiser, generator)
        if any(state[name] != value for name, value in made_from.items()):
            raise TrainingError(saved, "made from another recipe or other data", "Start again without --resume")
    started = time.monotonic() - state["seconds"]
    device, steps = network.cls_token.device, recipe.epochs * len(feed)

    def keep() -> None:
        state["seconds"] = time.monotonic() - started
        checkpoint.save(saved, network, optimiser, generator, state)

    done = state["epoch"] * len(feed) + state["batch"]
    with tqdm(total=steps, initial=done, unit=" steps", disable=None) as bar:
        for epoch in range(state["epoch"], recipe.epochs):
            network.train()
            for batch in feed.epoch(epoch, start=state["batch"]):
                step = epoch * len(feed) + state["batch"]
                values, measured, settings = (tensor.to(device) for tensor in batch[:3])
                loss = network(values, measured, settings, recipe.mask_ratio, generator).loss
                descend(network, optimiser, loss, factor(step, steps, recipe.optimiser.warmup), recipe.optimiser.clip)
                state |= {"batch": state["batch"] + 1, "sum": state["sum"] + loss.item()}
                bar.update()
                if (step + 1) % recipe.checkpoint_every == 0:
                    keep()
            for name, one in errors(network, normalization, validation, recipe.mask_ratio).items():
                state["validation"].setdefault(name, []).append(one["loss"])
            state["train"].append(state["sum"] / len(feed))
            state |= {"epoch": epoch + 1, "batch": 0, "sum": 0.0}
            bar.set_postfix(loss=state["train"][-1])
            keep()
    return state


def _config(recipe: Pretraining, spectra: xr.Dataset) -> ModelConfig:
    """The recipe's sizes on the selection's energy axis."""
    grid = EnergyGrid.from_json(spectra.attrs["grid"])
    return replace(recipe.model, bins=grid.bins, energy_start=grid.start, energy_step=grid.step)


def _refuse_misfit(
    recipe: Pretraining,
    config: ModelConfig,
    normalization: Normalization,
    parent: Bundle | None,
) -> None:
    """Raise `TrainingError` when the parent's weights mean something else than the recipe's."""
    wanted = ("foundation", config, normalization)
    if parent is not None and (parent.kind, parent.config, parent.normalization) != wanted:
        raise TrainingError(
            recipe.parent,
            "another kind, size, energy axis or normalization than the recipe's",
            "Give the recipe the parent's [model] and normalization",
        )


def _replayed(spectra: xr.Dataset, recipe: Pretraining, parent: Bundle | None) -> NDArray[np.bool_]:
    """(spectrum,) False for those of the parent's cores that are not mixed in again."""
    known = np.isin(split.unit_names(spectra, "core"), parent.lineage.cores if parent else ())
    chance = np.random.default_rng(recipe.seed).random(len(known))
    return np.asarray(~known | (chance < recipe.replay))


if __name__ == "__main__":
    run_program(app)
