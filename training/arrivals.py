"""Does continual pretraining keep up? Expeditions arrive one after the other, and three ways to go on are compared.

    python -m training.arrivals RECIPE.toml --catalog CATALOG --order SITE/EXP SITE/EXP ... [--continued RECIPE.toml]
                                [--seeds 0 1 2] [--compute 0.35] [--out DIR]

At the first arrival one model is trained. At each later one: ``scratch``, a new model on everything so far, with the
recipe's whole compute; ``continual``, the continual model before it, continued with a replay of what it knows;
``naive``, the naive model before it, continued on the new expedition alone, with the same compute as ``continual``.
Compute is counted in spectra seen, which for one network is what a step costs; seconds stand beside it. Every model is
judged on the held-out units of all expeditions so far. A proof that was killed goes on with the models that it lacks.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import xarray as xr
from cyclopts import App, Parameter
from numpy.typing import NDArray
from tqdm import tqdm

from corebank import bundle, split
from corebank.cli import run as run_program
from corebank.errors import TrainingError
from corebank.feed import MEMORY
from corebank.model import SpectrumMAE
from corebank.rows import aligned
from training import arrival_report, data, reconstruction
from training.arrival_report import CONTINUAL, FIRST, NAIVE, SCRATCH
from training.continual import mixture
from training.forgetting import RECONSTRUCTION
from training.parsing import load
from training.pretrain import pretrain
from training.recipe import Pretraining, Probe, Split, digest
from training.stopping import EXIT_CODE, TerminatedError

DRAWS = 8
"""Times that each held-out spectrum is asked, with other patches hidden. With a single draw one rare mask of one of 400
spectra made a third of an expedition's mean, ten times the difference that is looked for."""

app = App(name="python -m training.arrivals", help=__doc__, result_action="return_value")


@app.default
def main(
    recipe: Path,
    /,
    *,
    catalog: str,
    order: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=True)],
    continued: Path | None = None,
    seeds: Annotated[tuple[int, ...], Parameter(negative="", consume_multiple=True)] = (0, 1, 2),
    compute: float = 0.35,
    out: Path | None = None,
) -> None:
    """Train all models and print the table of errors and compute, with the verdict.

    Parameters
    ----------
    recipe
        TOML file for the first model and for every model from scratch, see training/recipes.
    catalog
        Catalog of a bank or a federation.
    order
        Expeditions in the order in which they arrive, as SITE/EXPEDITION.
    continued
        TOML file for continuing: its replay, balance, batches and learning rate; the recipe itself unless given.
    seeds
        One proof each.
    compute
        Largest share of the compute of the model from scratch that continuing may take.
    out
        Folder for arrivals.csv, arrivals.md and the models; runs/arrivals-HASH unless given.
    """
    settings = load(recipe, Pretraining)
    again = load(continued, Pretraining) if continued else settings
    spectra, measurements = collected(settings, catalog, order)
    proof = Proof(
        recipe=settings,
        continued=again,
        order=order,
        compute=compute,
        spectra=spectra,
        measurements=measurements,
        folder=out or Path("runs") / f"arrivals-{digest(settings)}",
    )
    proof.start()
    parts = []
    try:
        for seed in seeds:
            models = tqdm(proof.run(seed), total=3 * len(order) - 2, desc=f"seed {seed}", unit=" models", disable=None)
            for part in models:
                parts.append(part)
                pd.concat(parts).to_csv(proof.folder / "arrivals.csv", index=False)  # a killed proof leaves what it has
    except TerminatedError as ended:
        print(f"corebank: {ended.found}. Give the same command again: finished models are kept.", file=sys.stderr)
        raise SystemExit(EXIT_CODE) from ended
    text = arrival_report.report(pd.concat(parts, ignore_index=True), proof.about())
    (proof.folder / "arrivals.md").write_text(text, encoding="utf-8")
    print(text)
    print(proof.folder)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Proof:
    """What stays the same for all seeds."""

    recipe: Pretraining
    continued: Pretraining
    """Of a continued model: optimiser, batches, balance and replay; all else is the recipe's, whatever it says."""

    order: tuple[str, ...]
    """``site/expedition``, at least two."""

    compute: float
    """Share of the spectra of the model from scratch that a continued one may see, in (0, 1]."""

    spectra: xr.Dataset
    """Of all these expeditions."""

    measurements: pd.DataFrame | None
    """Laboratory values, where the recipe probes."""

    folder: Path

    def __post_init__(self) -> None:
        if len(self.order) < 2 or len(set(self.order)) < len(self.order):
            raise TrainingError("--order", f"{list(self.order)}", "Name at least two expeditions, each once")
        if not 0 < self.compute <= 1:
            raise TrainingError("--compute", f"is {self.compute}", "Give a share between 0 and 1")
        if self.recipe.probe.patience or self.continued.probe.patience:
            raise TrainingError(
                "probe.patience", "stops some models early", "Set it to 0 to compare at a known compute"
            )
        held = data.held_out(self._units(self.spectra), self.recipe.split)  # refuses a unit that is in none of them
        if not (held & (split.unit_names(self.spectra, "expedition") == self.order[0])).any():
            raise TrainingError(
                "split.held_out",
                f"nothing of {self.order[0]}, the first to arrive, is held out",
                "Hold out units of it: they tell whether it is forgotten",
            )

    def start(self) -> None:
        """Make the folder; raises `TrainingError` when it holds another proof, or the compute allows no epoch."""
        for arrival in range(2, len(self.order) + 1):
            self._recipe(0, arrival, CONTINUAL, "")
            self._recipe(0, arrival, NAIVE, "")
        plan = json.dumps(
            {
                "recipe": digest(self.recipe),
                "continued": digest(self.continued),
                "order": self.order,
                "compute": self.compute,
                "draws": DRAWS,
                "snapshots": self.spectra.attrs.get("snapshots", ""),
            },
            indent=1,
        )
        written = self.folder / "plan.json"
        if written.is_file() and written.read_text(encoding="utf-8") != plan:
            raise TrainingError(
                self.folder, "holds a proof of other recipes, data or order", "Name another folder with --out"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        written.write_text(plan, encoding="utf-8")

    def about(self) -> arrival_report.About:
        """What the report says of it beside the numbers."""
        held = data.held_out(self._units(self.spectra), self._split(self.spectra))
        units = split.unit_names(self.spectra, self.recipe.split.unit)
        expeditions = split.unit_names(self.spectra, "expedition")
        return arrival_report.About(
            order=self.order,
            recipe=f"{self.recipe.name} {digest(self.recipe)}",
            unit=self.recipe.split.unit,
            held_out={name: tuple(sorted(set(units[held & (expeditions == name)].tolist()))) for name in self.order},
            compute=self.compute,
            synthetic=set(self.order) <= set(json.loads(self.spectra.attrs.get("synthetic", "{}"))),
        )

    def run(self, seed: int) -> Iterator[pd.DataFrame]:
        """Each model of one seed, in the order in which they must be made: its rows of ``arrivals.csv``."""
        first = self._arm(seed, 1, FIRST, None)
        yield self._rows(seed, 1, FIRST, first)
        parents = {CONTINUAL: first, NAIVE: first}
        for arrival in range(2, len(self.order) + 1):
            yield self._rows(seed, arrival, SCRATCH, self._arm(seed, arrival, SCRATCH, None))
            for arm in (CONTINUAL, NAIVE):
                parents[arm] = self._arm(seed, arrival, arm, parents[arm])
                yield self._rows(seed, arrival, arm, parents[arm])

    def _arm(self, seed: int, arrival: int, arm: str, parent: Path | None) -> Path:
        """The folder of one finished model, trained now if it was not."""
        folder = self.folder / f"seed-{seed}" / f"{arrival}-{arm}"
        if (folder / "arm.json").is_file():
            return folder
        if folder.exists():
            shutil.rmtree(folder)  # of a killed proof
        (folder / "figures").mkdir(parents=True)
        recipe = self._recipe(seed, arrival, arm, str(parent or ""))
        model, report = pretrain(recipe, self._arrived(arrival), folder, measurements=self.measurements)
        bundle.save(model, folder / "bundle")
        told = {
            "recipe": bundle.finite(asdict(recipe)),
            "judged": bundle.finite(self._judged(model, report["validation"], self._arrived(arrival))),
            "epochs": len(report["epochs"]["train"]),
            "seen": report["spectra"]["seen"],
            "seconds": report["seconds"],
        }
        unfinished = folder / "arm.unfinished"
        unfinished.write_text(json.dumps(told, indent=1), encoding="utf-8")
        unfinished.replace(folder / "arm.json")
        return folder

    def _judged(
        self, model: bundle.Bundle, validation: Mapping[str, Mapping[str, Any]], spectra: xr.Dataset
    ) -> dict[str, dict[str, Any]]:
        """What the training's `validation` says of each expedition, its reconstruction asked for `DRAWS` times."""
        held = aligned(spectra, np.flatnonzero(data.held_out(self._units(spectra), self._split(spectra))))
        network, hidden = bundle.build(model), self.recipe.mask_ratio
        assert isinstance(network, SpectrumMAE)
        found = reconstruction.errors(network, model.normalization, held, hidden, draws=DRAWS)
        if blank := [name for name in validation if not np.isfinite(found[name]["loss"])]:
            raise TrainingError("model.patch", f"no patch of {blank[0]} can be hidden", "Choose narrower patches")
        return {name: {**one, **found[name]} for name, one in validation.items()}

    def _recipe(self, seed: int, arrival: int, arm: str, parent: str) -> Pretraining:
        """The recipe of one model: from scratch as it is, continued with as many epochs as its compute allows.

        Raises `TrainingError` where that is not a single one.
        """
        spectra = self._arrived(arrival)
        whole = replace(self.recipe, seed=seed, split=self._split(spectra), probe=self._probe(spectra))
        if arm in (FIRST, SCRATCH):
            return whole
        recipe = replace(
            whole,
            parent=parent,
            optimiser=self.continued.optimiser,
            batch_size=self.continued.batch_size,
            balance=self.continued.balance,
            replay=0.0 if arm == NAIVE else self.continued.replay,
        )
        trained = spectra.isel(spectrum=np.flatnonzero(~data.held_out(self._units(spectra), recipe.split)))
        old = np.isin(split.unit_names(trained, "expedition"), self.order[: arrival - 1])
        an_epoch = round(float(mixture(trained, old, replay=recipe.replay, balance=recipe.balance).sum()))
        epochs = int(self.compute * self.recipe.epochs * trained.sizes["spectrum"] / an_epoch)
        if epochs < 1:
            raise TrainingError(
                "--compute", f"{self.compute} is less than one epoch of {arm}", "Allow more, or replay less"
            )
        return replace(recipe, epochs=epochs)

    def _rows(self, seed: int, arrival: int, arm: str, folder: Path) -> pd.DataFrame:
        """What ``arrivals.csv`` says of one model: a row for each expedition and measure."""
        told: dict[str, Any] = json.loads((folder / "arm.json").read_text(encoding="utf-8"))
        same = {"seed": seed, "arrival": arrival, "arrived": self.order[arrival - 1], "arm": arm}
        cost = {name: told[name] for name in ("epochs", "seen", "seconds")}
        rows = [
            same | {"expedition": name, "measure": measure, "error": error, "spectra": one["spectra"]} | cost
            for name, one in told["judged"].items()
            for measure, error in {RECONSTRUCTION: one["loss"], **one.get("probe", {})}.items()
        ]
        return pd.DataFrame(rows)

    def _arrived(self, arrival: int) -> xr.Dataset:
        """The spectra of the first so many expeditions."""
        expeditions = split.unit_names(self.spectra, "expedition")
        return aligned(self.spectra, np.flatnonzero(np.isin(expeditions, self.order[:arrival])))

    def _probe(self, spectra: xr.Dataset) -> Probe:
        """The recipe's probe, for what was measured on the cores that have arrived."""
        arrived, table = set(split.unit_names(spectra, "expedition").tolist()), self.measurements
        measured: set[str] = set()
        if table is not None:
            here = (table["site"].astype(str) + "/" + table["expedition"].astype(str)).isin(arrived)
            measured = set(table.loc[here, "proxy"])
        proxies = tuple(one for one in self.recipe.probe.proxies if one in measured)
        return replace(self.recipe.probe, proxies=proxies)

    def _units(self, spectra: xr.Dataset) -> NDArray[np.str_]:
        return split.unit_names(spectra, self.recipe.split.unit)

    def _split(self, spectra: xr.Dataset) -> Split:
        """The recipe's split, without the names of what has not arrived yet."""
        names = {f"/{name}" for name in self._units(spectra).tolist()}
        there = [one for one in self.recipe.split.held_out if any(name.endswith(f"/{one}") for name in names)]
        return replace(self.recipe.split, held_out=tuple(there))


def collected(recipe: Pretraining, catalog: str, order: Sequence[str]) -> tuple[xr.Dataset, pd.DataFrame | None]:
    """The spectra of these expeditions, and their laboratory values where the recipe probes.

    Raises `TrainingError` for an expedition that the catalog does not hold.
    """
    sites = tuple(sorted({name.partition("/")[0] for name in order}))
    expeditions = tuple(sorted({name.partition("/")[2] for name in order}))
    chosen = replace(recipe.data, sites=sites, expeditions=expeditions)
    spectra = data.spectra(catalog, chosen)
    there = split.unit_names(spectra, "expedition")
    if missing := [name for name in order if name not in there]:
        raise TrainingError(
            catalog, f"no spectra of {', '.join(missing)}", f"It has {', '.join(sorted(set(there.tolist())))}"
        )
    kept = aligned(spectra, np.flatnonzero(np.isin(there, order)))
    if kept["intensity"].nbytes <= MEMORY:
        kept = kept.load()  # every model reads it again
    if not recipe.probe.proxies:
        return kept, None
    return kept, data.measurements(catalog, chosen)


if __name__ == "__main__":
    run_program(app)
