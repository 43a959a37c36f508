"""What a pretraining is examined by: held-out spectra filled in, laboratory values told by a probe, and the past.

All that is reported is computed on units that never trained; what stops the training is another set, see
`training.data.sides`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from corebank import hub, split
from corebank.bundle import DataLineage
from corebank.errors import RegistryError, TrainingError
from corebank.model import SpectrumMAE
from corebank.normalize import Normalization
from corebank.rows import aligned
from training import continual, figures, forgetting, steplog
from training.data import Sides
from training.loop import PROBE, STOP, Look
from training.probe import FEWEST, MEMORY, Probe, Scores
from training.recipe import Pretraining
from training.reconstruction import Errors, judge

VALIDATION, MACHINES = "validation", "machines"
"""The reconstruction error, by expedition and by machine."""

KEPT: tuple[str, ...] = (VALIDATION, MACHINES, "stopping", "forgetting")
"""Parts of the report that travel in the bundle."""


class Judge:
    """The held-out spectra of a run, and the labels of its probe, read once.

    Raises `TrainingError` when the recipe probes what it has no labels for.
    """

    def __init__(
        self,
        recipe: Pretraining,
        normalization: Normalization,
        spectra: xr.Dataset,
        sides: Sides,
        measurements: pd.DataFrame | None,
    ) -> None:
        self._recipe, self._normalization = recipe, normalization
        trained, held, stop = (
            aligned(spectra, np.flatnonzero(side)) for side in (sides.trained, sides.held, sides.stop)
        )
        if held["intensity"].nbytes <= MEMORY:
            held = held.load()  # looked at after every epoch
        self._held, self._trained = held, trained
        self._apart = bool(sides.stop.any())
        self._stop_units = sorted(set(sides.names[sides.stop].tolist()))
        self._probe: Probe | None = None
        if recipe.probe.proxies:
            if measurements is None:
                raise TrainingError("probe.proxies", "no laboratory values were given", "Give them, or probe nothing")
            self._probe = Probe(trained, [held, stop], measurements, recipe.probe.proxies)
            self._refuse_blind()

    def look(self, network: SpectrumMAE, epoch: int) -> Look:
        """What is seen of `network` after so many epochs."""
        recipe = self._recipe
        found = judge(network, self._normalization, self._held, recipe.mask_ratio)
        seen = {
            VALIDATION: {name: float(one["loss"]) for name, one in found.expeditions.items()},
            MACHINES: {name: float(one["loss"]) for name, one in found.machines.items()},
        }
        if self._probe is not None and (epoch % recipe.probe.every == 0 or epoch == recipe.epochs):
            held, stop = self._probe.scores(network, self._normalization)
            seen[PROBE] = _lines(held)
            if recipe.probe.patience:
                seen[STOP] = _lines(stop if self._apart else held)
        return seen

    def expeditions(self, network: SpectrumMAE) -> dict[str, dict[str, Any]]:
        """How well each ``site/expedition`` of the held-out spectra is known, as `training.forgetting` compares it."""
        return self._judged(network).expeditions

    def report(self, network: SpectrumMAE, course: Mapping[str, Any]) -> dict[str, Any]:
        """The errors of the delivered weights, and how the run came there."""
        found, curves = self._judged(network), course["curves"]
        report = {
            "epochs": {
                "train": course["train"],
                "rates": course["rates"],
                "looked": course["looked"],
                **{name: curves.get(name, {}) for name in (VALIDATION, MACHINES, PROBE, STOP)},
            },
            VALIDATION: found.expeditions,
            MACHINES: found.machines,
        }
        if self._recipe.probe.patience:
            report["stopping"] = {
                "ended": course["ended"] or "after the last epoch",
                "best_epoch": course["best"],
                "units": self._stop_units,
                "by": "units that are not reported" if self._apart else "the held-out units: they were tuned on",
            }
        return report

    def forgotten(
        self,
        before: Mapping[str, Mapping[str, Any]],
        report: Mapping[str, Any],
        spectra: xr.Dataset,
        lineage: DataLineage,
        folder: Path,
    ) -> dict[str, Any]:
        """The forgetting matrix, written into `folder` too, and what the parent saw that its banks no longer show.

        `lineage` is the parent's, `before` what `expeditions` said of it, `report` that of its child.
        """
        matrix = forgetting.matrix(before, report[VALIDATION], earlier=continual.expeditions(lineage))
        matrix.to_csv(folder / "forgetting.csv", index=False)
        if len(matrix):
            forgetting.draw(matrix).savefig(folder / "figures" / "forgetting.png", dpi=150)
        return {
            "forgetting": matrix.to_dict("records"),
            "departed": dict(_departed(continual.departed(spectra, lineage), lineage)),
        }

    def draw(self, network: SpectrumMAE, course: Mapping[str, Any], report: Mapping[str, Any], folder: Path) -> None:
        """The figures of the run."""
        curves = report["epochs"]

        def save(name: str, figure: Any) -> None:
            figure.savefig(folder / "figures" / f"{name}.png", dpi=150)

        save("losses", figures.losses(curves["train"], curves[VALIDATION] | curves[MACHINES], loss=self._recipe.loss))
        save("steps", figures.steps(steplog.read(folder)))
        if curves["looked"]:
            stop = {f"stop: {name}": line for name, line in curves[STOP].items()} if self._apart else {}
            save("probe", figures.probe(curves["looked"], curves[PROBE] | stop, best=course["best"]))
        shown = self._held if self._held.sizes["spectrum"] else self._trained
        names = split.unit_names(shown, "expedition")
        for name in sorted(set(names.tolist())):
            middle = shown.isel(spectrum=np.flatnonzero(names == name))
            picture = figures.reconstruction(network, self._normalization, middle, self._recipe.mask_ratio)
            save(f"reconstruction-{re.sub(r'[^A-Za-z0-9.-]+', '-', name)}", picture)

    def _judged(self, network: SpectrumMAE) -> Errors:
        """The errors of the held-out spectra, each expedition's with those of the probe where there is one."""
        found = judge(network, self._normalization, self._held, self._recipe.mask_ratio)
        if self._probe is not None:
            told = self._probe.scores(network, self._normalization)[0]
            for name, one in found.expeditions.items():
                one[PROBE] = told.get(name, {})
        return found

    def _refuse_blind(self) -> None:
        """Raise `TrainingError` where a probe that is to stop the training would see nothing."""
        assert self._probe is not None
        which = 1 if self._apart else 0
        if not self._recipe.probe.patience or self._probe.told[which]:
            return
        learnt, *judged = self._probe.labels
        where = ", ".join(self._stop_units[:8]) if self._apart else "the held-out units"
        raise TrainingError(
            "probe",
            f"{learnt} labelled intervals to learn from, {judged[which]} in {where}: no proxy has {FEWEST} to "
            "learn from, and two that differ in one expedition there",
            "Name labelled units in probe.stop_units, raise probe.stop_share, or set probe.patience to 0",
        )


def curves(report: Mapping[str, Any]) -> dict[str, Any]:
    """The course of a run by the names that MLflow keeps it under."""
    epochs = report["epochs"]
    lines = {"loss": epochs["train"], "learning_rate": epochs["rates"]}
    for name in (VALIDATION, MACHINES, PROBE, STOP):
        lines |= {f"{name}.{line}": points for line, points in epochs[name].items()}
    return lines


def said(report: Mapping[str, Any]) -> Iterator[str]:
    """The report in a few lines."""
    for name, one in report[VALIDATION].items():
        yield f"{name}: {_error(one, 'mean square error of hidden patches ')} ({one['spectra']} spectra held out)"
    for name, one in report[MACHINES].items():
        yield f"{name}: {_error(one)} ({one['spectra']} spectra held out)"
    for name, one in report[VALIDATION].items():
        if told := ", ".join(f"{proxy} {error:.2f}" for proxy, error in one.get(PROBE, {}).items()):
            yield f"{name}: linear probe, RMSE in standard deviations of the labels: {told}"
    if "stopping" in report:
        stopping = report["stopping"]
        whose = f"epoch {stopping['best_epoch']}" if stopping["best_epoch"] else "the last epoch"
        yield f"ended {stopping['ended']}; the weights are those of {whose}"
    if report.get("forgetting"):
        for row in forgetting.forgotten(pd.DataFrame(report["forgetting"])).to_dict("records"):
            yield f"{row['expedition']}: forgotten, the error of {row['measure']} grew by {row['change']:.1%}"
    for section, models in report.get("departed", {}).items():
        yield f"{section}: no longer shown, in whole or in part; seen by {', '.join(models) or 'the parent'}"


def _error(judged: Mapping[str, Any], what: str = "") -> str:
    """The error in words, after `what` it is of; no number is not a good one."""
    loss = judged["loss"]
    return "not judged, no patch could be hidden" if math.isnan(loss) else f"{what}{loss:.4f}"


def _lines(scores: Scores) -> dict[str, float]:
    return {f"{name} {proxy}": error for name, proxies in scores.items() for proxy, error in proxies.items()}


def _departed(sections: tuple[str, ...], lineage: DataLineage) -> Iterator[tuple[str, list[str]]]:
    """Each section with the registered models that have seen its core; the parent alone where no registry answers."""

    @cache  # a core has many sections, and the registry may be far away
    def models(core: str) -> list[str]:
        try:
            return [version.uri for version in hub.trained_on(*core.split("/", 2))]
        except RegistryError:
            return []

    for section in sections:
        # A core's name may hold a slash: the lineage says where it ends.
        core = next((one for one in lineage.cores if section.startswith(f"{one}/")), section)
        yield section, models(core)
