"""What each choice of a pretraining gives: a base recipe, and variants that differ from it in one thing each.

    python -m training.ablation ABLATION.toml --catalog CATALOG [--seeds 0 1 2] [--out DIR]

Reconstruction errors of different patches, normalizations or losses cannot be compared. So every variant is pretrained
with every seed and judged by the linear probe on units that it has not seen (`training.probe`), and by its seconds.
The file names a recipe, what differs from it in every variant, units to hold out, and the variants::

    base = "pretrain-tiny.toml"            # beside this file
    folds = [["ARD/ARD1A"], ["ARD/ARD1B"]] # seed k holds out the k-th, and begins again after the last

    [every]
    epochs = 8
    probe = {proxies = ["Fe2O3"]}

    [[variant]]
    name = "patch 16"
    model = {patch = 16}

A variant and a seed that are finished are not run again; one that was killed goes on.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import xarray as xr
from cyclopts import App, Parameter

from corebank import bundle, split
from corebank.cli import run as run_program
from corebank.errors import RecipeError, TrainingError
from corebank.feed import MEMORY
from training import data, probe, run
from training.parsing import load, to_toml
from training.pretrain import pretrain
from training.recipe import Pretraining, Probe

BASE = "base"
"""What the recipe without any variant is called."""

FIELDS = ("base", "folds", "every", "variant")
"""What an ablation's file may hold."""

app = App(name="python -m training.ablation", help=__doc__, result_action="return_value")


@app.default
def main(
    ablation: Path,
    /,
    *,
    catalog: str,
    seeds: Annotated[tuple[int, ...], Parameter(negative="", consume_multiple=True)] = (0, 1, 2),
    out: Path | None = None,
) -> None:
    """Pretrain and judge every variant, print the table, and leave ablation.csv and ablation.md in the folder.

    Parameters
    ----------
    ablation
        TOML file, see training/recipes/ablation-cores.toml.
    catalog
        Catalog of a bank or a federation.
    seeds
        Of weights, order and masks; each may hold out other units.
    out
        Where all of it goes; runs/ablation-NAME unless given.
    """
    asked = read(ablation)
    chosen = asked.variants[BASE].data
    spectra, measurements = data.spectra(catalog, chosen), data.measurements(catalog, chosen)
    if spectra["intensity"].nbytes <= MEMORY:
        spectra = spectra.load()  # every variant reads it again
    folder = out or Path("runs") / ablation.stem
    found = ablate(asked, spectra, measurements, seeds, folder)
    found.to_csv(folder / "ablation.csv", index=False)
    text = report(found, json.loads(spectra.attrs.get("synthetic", "{}")))
    (folder / "ablation.md").write_text(text, encoding="utf-8")
    print(text)
    print(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """What is compared, and on what."""

    variants: Mapping[str, Pretraining]
    """Name to recipe, the base first."""

    folds: tuple[tuple[str, ...], ...]
    """Units that are held out, by turns; empty: as the recipe says."""

    def recipe(self, name: str, seed: int) -> Pretraining:
        """What is run for a variant and a seed; the probe is asked once, afterwards."""
        one = self.variants[name]
        if self.folds:
            one = replace(one, split=replace(one.split, held_out=self.folds[seed % len(self.folds)]))
        return replace(one, seed=seed, probe=Probe())


def read(path: Path) -> Ablation:
    """Read an ablation from its file.

    Raises `RecipeError` when a recipe in it is not valid, nothing is probed, or a variant has no name or another's,
    changes nothing, or would be judged otherwise than the base.
    """
    table = _toml(path)
    for name in table:
        if name not in FIELDS:
            raise RecipeError(path, f"unknown field {name}", f"Give {', '.join(FIELDS)}; the rest belongs under every")
    source = path.parent / str(table.get("base", ""))
    if "base" not in table or not source.is_file():
        raise RecipeError(path, f"base is {table.get('base', 'missing')!r}", "Name a recipe that lies beside this file")
    plain = _merged(_toml(source), table.get("every", {}))
    variants = {BASE: _recipe(path, source, BASE, plain)}
    base = variants[BASE]
    if not base.probe.proxies:
        raise RecipeError(path, "every.probe.proxies is empty: nothing judges", 'Give proxies, such as ["CaCO3"]')
    for number, changes in enumerate(table.get("variant", [])):
        name = str(changes.get("name", ""))
        if not name or name in variants:
            raise RecipeError(f"{path}: variant {number + 1}", f"its name is {name!r}", "Give each a name of its own")
        changes = {field: value for field, value in changes.items() if field != "name"}
        one = variants[name] = _recipe(path, source, name, _merged(plain, changes))
        if one == base:
            raise RecipeError(f"{path}: {name}", "is the base recipe", "Change a field, or leave it out")
        if (one.data, one.split, one.probe) != (base.data, base.split, base.probe):
            raise RecipeError(f"{path}: {name}", "judged on other spectra or labels", "Put that under every")
    return Ablation(variants=variants, folds=tuple(tuple(map(str, fold)) for fold in table.get("folds", [])))


def ablate(
    asked: Ablation,
    spectra: xr.Dataset,
    measurements: pd.DataFrame,
    seeds: Sequence[int],
    folder: Path,
) -> pd.DataFrame:
    """Run what is not finished; one row for each variant, seed, expedition and proxy.

    Columns: ``variant``, ``seed``, ``held_out``, ``expedition``, ``proxy``, ``error`` (see `training.probe.score`) and
    ``seconds`` of training. Raises `TrainingError` when nothing held out has a label of the proxies.
    """
    rows: list[dict[str, Any]] = []
    for seed in seeds:  # a table of all variants stands as soon as the first seed is through
        for name in asked.variants:
            arm = _arm(asked, name, seed, spectra, measurements, folder)
            mean = float(np.mean([error for said in arm["errors"].values() for error in said.values()]))
            print(f"{name}, seed {seed}: probe {mean:.3f}, {arm['seconds']:.0f} s", file=sys.stderr)
            shared = {"variant": name, "seed": seed, "held_out": " ".join(arm["held_out"])}
            rows += [
                {**shared, "expedition": expedition, "proxy": proxy, "error": error, "seconds": arm["seconds"]}
                for expedition, said in arm["errors"].items()
                for proxy, error in said.items()
            ]
    return pd.DataFrame(rows)


def _arm(
    asked: Ablation,
    name: str,
    seed: int,
    spectra: xr.Dataset,
    measurements: pd.DataFrame,
    folder: Path,
) -> dict[str, Any]:
    """The result of one variant and seed, made now unless it is there for the same recipe, data and proxies."""
    recipe, proxies = asked.recipe(name, seed), asked.variants[name].probe.proxies
    made_from = [to_toml(recipe), spectra.attrs.get("snapshots", ""), *proxies]
    key = hashlib.sha256("\n".join(made_from).encode()).hexdigest()[:8]
    at = folder / f"{seed}-{key}"
    if (result := at / "result.json").is_file():
        told: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return told
    begun = (at / "recipe.toml").is_file()
    run.start("pretrain", recipe, at, resume=begun)
    model, said = pretrain(recipe, spectra, at, resume=begun)
    names = split.unit_names(spectra, recipe.split.unit)
    held = data.held_out(names, recipe.split)
    trained, judges = (spectra.isel(spectrum=np.flatnonzero(side)) for side in (~held, held))
    errors = probe.score(bundle.build(model), model.normalization, trained, judges, measurements, proxies)
    if not errors:
        raise TrainingError(f"seed {seed}", f"none of {', '.join(proxies)} to judge by", "Hold out units with labels")
    told = {
        "held_out": sorted(set(names[held].tolist())),
        "errors": errors,
        "seconds": said["seconds"],
    }
    shutil.rmtree(at / "checkpoint")  # of no use to a finished run, and most of its size
    result.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return told


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """One row for each variant, in order, from what `ablate` returns.

    ``error``: the mean over expeditions and proxies, then over the seeds; ``spread``: its standard deviation over the
    seeds; ``difference`` to the base with the same seed, and its ``difference_spread``; ``better``: seeds in which the
    variant's error is smaller; ``seeds``; ``seconds``: mean.
    """
    errors, seconds = (
        found.pivot_table(index="variant", columns="seed", values=name, sort=False) for name in ("error", "seconds")
    )
    away = errors - errors.loc[BASE]
    return pd.DataFrame(
        {
            "error": errors.mean(axis=1),
            "spread": errors.std(axis=1),
            "difference": away.mean(axis=1),
            "difference_spread": away.std(axis=1),
            "better": (away < 0).sum(axis=1),
            "seeds": errors.notna().sum(axis=1),
            "seconds": seconds.mean(axis=1),
        }
    )


def report(found: pd.DataFrame, synthetic: Mapping[str, Any]) -> str:
    """The summary as Markdown, and what its numbers are; `synthetic` names made-up expeditions."""
    lines = ["| variant | probe error | against base | better | seconds |", "|---|---|---|---|---|"]
    for name, row in summary(found).iterrows():
        own = f"{row['error']:.3f} ± {row['spread']:.3f}"
        away = "" if name == BASE else f"{row['difference']:+.3f} ± {row['difference_spread']:.3f}"
        better = "" if name == BASE else f"{row['better']:.0f} of {row['seeds']:.0f}"
        lines.append(f"| {name} | {own} | {away} | {better} | {row['seconds']:.0f} |")
    judges = found[["seed", "held_out"]].drop_duplicates()
    made_up = sorted(set(found["expedition"]) & set(synthetic))
    about = (
        "Probe error: root mean square error of ridge regression on the frozen encoder's class token over the standard "
        f"deviation of the held-out labels (1: their mean), mean over {', '.join(dict.fromkeys(found['proxy']))}; "
        "± standard deviation over seeds. Against base: with the same seed and the same units held out. Seconds: of "
        "pretraining."
    )
    out = [f"- seed {seed} held out {held}" for seed, held in judges.itertuples(index=False)]
    origin = f"Synthetic: {', '.join(made_up)}." if made_up else "No expedition that judges is synthetic."
    return "\n".join([*lines, "", about, "", *out, "", origin, ""])


def _recipe(path: Path, source: Path, name: str, table: Mapping[str, Any]) -> Pretraining:
    """The recipe of a variant; its faults are told with the variant's name."""
    try:
        return load(source, Pretraining, **table)
    except RecipeError as error:
        raise RecipeError(f"{path}: {name}", f"{error.where}: {error.found}", error.fix) from error


def _merged(table: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`table` with `changes` put in, field by field also inside its tables."""
    merged = dict(table)
    for name, value in changes.items():
        before = merged.get(name)
        inside = isinstance(before, Mapping) and isinstance(value, Mapping)
        merged[name] = _merged(before, value) if inside else value  # type: ignore[arg-type]  # a Mapping, as just seen
    return merged


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(path, f"no readable TOML: {error}", "Name a file such as ablation-cores.toml") from error


if __name__ == "__main__":
    run_program(app)
