"""Pretrain a foundation model: hide half of each spectrum, learn to fill it in.

    python -m training.pretrain RECIPE.toml --catalog CATALOG [--from MODEL] [--resume] [--out RUN_DIR]

With ``--from`` training continues from an earlier model: its weights, a new warm-up and decay, the new cores mixed with
those it knows. A killed run goes on with ``--resume`` from its last checkpoint (one after each epoch and every
``checkpoint_every`` steps) to the same bits that it would have reached. SIGTERM finishes the step, writes a checkpoint
and ends with exit code 143. ``torchrun --nproc-per-node N -m training.pretrain ...`` trains with N processes.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from cyclopts import App, Parameter
from numpy.typing import NDArray

from corebank import parallel, split
from corebank.bundle import Bundle
from corebank.cli import run as run_program
from corebank.errors import TrainingError
from corebank.feed import Feed
from corebank.model import ModelConfig, SpectrumMAE
from corebank.normalize import Normalization
from corebank.rows import aligned
from corebank.schema import EnergyGrid
from training import checkpoint, continual, data, examined, loop, run
from training.parsing import load
from training.recipe import Pretraining, digest
from training.stopping import EXIT_CODE, TerminatedError
from training.together import Team, team

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
    scheduler: str = "",
    scratch: Path | None = None,
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
    scheduler
        Dask scheduler (tcp://host:port) whose workers read the spectra; threads of this process do without.
    scratch
        Folder on a local disk. Spectra that do not fit into memory are kept there until the run ends, 8 kB each and
        process, so that the bank is read in the first epoch only.
    """
    settings = load(recipe, Pretraining, **({"parent": from_} if from_ else {}))
    with parallel.scheduler(scheduler), team(run.device_of(settings)) as here:
        if here.first:
            run.start("pretrain", settings, out, resume=resume)
        here.any(False)  # the others wait until the folder is there, or the first has refused
        folder = run.folder_of("pretrain", settings, out)
        try:
            with run.unless_refused(folder, first=here.first):
                spectra = data.spectra(catalog, settings.data)
                values = data.measurements(catalog, settings.data) if settings.probe.proxies else None
                model, report = pretrain(
                    settings, spectra, folder, measurements=values, resume=resume, here=here, scratch=scratch
                )
        except TerminatedError as ended:
            if here.first:
                print(f"corebank: {ended}", file=sys.stderr)
            raise SystemExit(EXIT_CODE) from ended
        if here.first:
            run.finish(folder, "pretrain", settings, model, report, examined.curves(report))
            print("\n".join([*examined.said(report), str(folder)]))


def pretrain(
    recipe: Pretraining,
    spectra: xr.Dataset,
    folder: Path,
    *,
    measurements: pd.DataFrame | None = None,
    resume: bool = False,
    here: Team | None = None,
    scratch: Path | None = None,
) -> tuple[Bundle, dict[str, Any]]:
    """Train on `spectra`, checkpoint into `folder`; returns the model and the report for ``metrics.json``.

    Parameters
    ----------
    recipe
        What is to be done.
    spectra
        See `corebank.catalog.select`.
    folder
        Of the run, with a folder ``figures`` in it.
    measurements
        Laboratory values for the probe; may be left out where the recipe has none.
    resume
        Go on from the checkpoint, if there is one yet.
    here
        This process among several. All but the first return a model and a report without any judgement.
    scratch
        As in `corebank.feed.Feed`.

    Raises
    ------
    TrainingError
        When everything is held out, the parent does not fit the recipe or has seen what is held out, the checkpoint is
        of another recipe or other data, the probe finds no label, or the training diverges; `TerminatedError` on
        SIGTERM.
    """
    here = here or Team()
    saved = loop.saved(folder)
    began_with = checkpoint.position(saved).get("parent", "") if resume and saved.exists() else ""
    parent, parent_name = run.parent_of(recipe, began_with)
    config, normalization = _config(recipe, spectra), Normalization(kind=recipe.normalization)
    _refuse_misfit(recipe, config, normalization, parent)
    sides = data.sides(spectra, recipe, parent)
    trained = aligned(spectra, np.flatnonzero(sides.trained))
    known = sides.known[sides.trained]
    times = continual.mixture(trained, known, replay=recipe.replay, balance=recipe.balance)
    here.agree(lambda: _identity(trained, times), "do not see the same spectra")

    torch.manual_seed(recipe.seed)
    network = SpectrumMAE(config).to(here.device(run.device_of(recipe)))
    if parent is not None:
        network.load_state_dict(dict(parent.weights))
    feed = Feed(
        trained,
        normalization=normalization,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        rank=here.rank,
        world=here.world,
        times=None if (times == 1).all() else times,
        augmentation=recipe.augmentation if recipe.augmentation.on else None,
        device=str(network.cls_token.device),
        scratch=scratch,
    )
    judge = examined.Judge(recipe, normalization, spectra, sides, measurements) if here.first else None
    before = judge.expeditions(network) if judge is not None and parent is not None else {}
    course = loop.train(
        loop.Run(
            recipe=recipe,
            network=network,
            feed=feed,
            normalization=normalization,
            team=here,
            folder=folder,
            made_from={
                "recipe": digest(recipe),
                "parent": parent_name,
                "rows": trained.sizes["spectrum"],
                "snapshots": spectra.attrs.get("snapshots", ""),
            },
            look=judge.look if judge is not None else lambda *_: {},
        ),
        resume=resume,
    )

    model = Bundle(
        kind="foundation",
        name=recipe.name,
        config=config,
        normalization=normalization,
        weights=network.state_dict(),
        lineage=data.lineage(trained, parent, parent_name),
        recipe=asdict(recipe),
    )
    if judge is None:
        return model, {}
    report = {
        **judge.report(network, course),
        "spectra": {
            "train": feed.rows,
            "known": int(known.sum()),
            "new": int((~known).sum()),
            "an_epoch": feed.spectra_per_epoch,
            "seen": len(course["train"]) * feed.spectra_per_epoch,
            "held_out": int(sides.held.sum()),
            "stop": int(sides.stop.sum()),
        },
        "split": {"unit": recipe.split.unit, "held_out": sorted(set(sides.names[sides.held].tolist()))},
        "skipped_steps": course["skipped"],
        "seconds": course["seconds"],
    }
    if parent is not None:
        report |= judge.forgotten(before, report, spectra, parent.lineage, folder)
    judge.draw(network, course, report, folder)
    metrics = {name: report[name] for name in examined.KEPT if name in report}
    return replace(model, metrics=metrics), report


def _config(recipe: Pretraining, spectra: xr.Dataset) -> ModelConfig:
    """The recipe's sizes on the selection's energy axis."""
    grid = EnergyGrid.from_json(spectra.attrs["grid"])
    return replace(recipe.model, bins=grid.bins, energy_start=grid.start, energy_step=grid.step)


def _identity(trained: xr.Dataset, times: NDArray[np.float64]) -> bytes:
    """What tells one process' spectra, and how often each is seen, from another's."""
    columns = [split.unit_names(trained, "section").astype(str), np.asarray(trained["section_position"].values, float)]
    if "source_sha256" in trained:
        columns.append(trained["source_sha256"].values.astype(str))
    return times.tobytes() + b"".join(one.tobytes() for one in columns)


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


if __name__ == "__main__":
    run_program(app)
