"""A plain model of a bank, to hold the real one against: dictionaries, lists and a few lines, and no cleverness."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from corebank import bank as banks
from corebank import calibrate, contribution
from corebank.bank import adding
from corebank.contribution import Contribution
from tests.conftest import GRID
from tests.scanner import results_table, write_expedition

Row = tuple[Any, ...]
"""A laboratory value: core, depth [mm], proxy, value, file."""


@cache
def contributions() -> dict[str, Contribution]:
    """Small folders, checked once: new ones, one that holds another's runs and one more, and corrected ones."""
    folder = Path(tempfile.mkdtemp())
    lab = "depth_cm,TOC,CaCO3\n0.1,1.5,30\n"
    words: dict[str, dict[str, Any]] = {
        "one": {"sections": ["S1", "S2"], "laboratory": lab},
        "one and more": {"sections": ["S1", "S2", "S5"], "laboratory": lab + "0.2,2,40\n"},
        "other core": {"sections": ["S3"], "core": "C/2", "seed": 3, "laboratory": "depth_cm,TOC,CaCO3\n0.1,4,5\n"},
        "other cruise": {"name": "cruise2", "sections": ["S1"], "core": "D/1", "seed": 4, "laboratory": None},
    }
    for name, told in words.items():
        write_expedition(folder / name, count=2, **told)
    for name, old, new in (("one", 'top = "10 cm"', 'top = "12 cm"'), ("other cruise", "CC-BY-4.0", "CC0-1.0")):
        shutil.copytree(folder / name, folder / f"{name}, corrected")
        toml = folder / f"{name}, corrected" / "contribution.toml"
        toml.write_text(toml.read_text().replace(old, new))
    (folder / "one, corrected" / "lab.csv").write_text(lab.replace("1.5", "1.6"))
    rows = [(f"L{row:06d}", float(row), 1, 0.095, -0.01) for row in range(2)]
    (folder / "other cruise, corrected" / "S1" / "Results.txt").write_bytes(results_table(rows))
    try:
        made = {path.name: contribution.checked(path) for path in sorted(folder.iterdir())}
        for one in made.values():
            for run in one.runs.values():
                run.load()
    finally:
        shutil.rmtree(folder)
    return made


@dataclass
class Run:
    """What the model knows of a run."""

    core: str
    contribution: str
    hashes: list[str]
    depths: list[float]
    counts: int
    gain: float
    evaluation: str
    evaluations: set[str]
    version: int


@dataclass
class Expedition:
    """What the model knows of an expedition."""

    licence: str
    runs: dict[str, Run] = field(default_factory=dict)
    labels: list[Row] = field(default_factory=list)
    claims: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    """Contribution -> (file, core) of the laboratory values that it may have brought in."""
    withdrawn: dict[tuple[str, str], set[Row]] = field(default_factory=dict)
    """(kind, name) -> laboratory values hidden besides those of cores."""

    def seen(self, name: str) -> bool:
        run = self.runs[name]
        named = {("core", run.core), ("run", name), ("contribution", run.contribution)}
        return not named & self.withdrawn.keys()

    def seen_labels(self) -> list[Row]:
        hidden = {row[:-1] for rows in self.withdrawn.values() for row in rows}
        return [row for row in self.labels if ("core", row[0]) not in self.withdrawn and row[:-1] not in hidden]


Model = dict[str, Expedition]


def labels_of(given: Contribution) -> list[Row]:
    table = given.measurements
    columns = ("core", "depth_top", "proxy", "value", "source")
    return list(zip(*(table[name].tolist() for name in columns), strict=True))


def run_of(given: Contribution, name: str) -> Run:
    run, (evaluation,) = given.runs[name], given.evaluations[name]
    return Run(
        str(run["core"].values[0]),
        adding.identifier(given),
        run["source_sha256"].values.tolist(),
        run["depth"].values.tolist(),
        int(run["counts"].values.sum()),
        float(run["energy_gain"].values[0]),
        evaluation.sha256,
        {evaluation.sha256},
        calibrate.CALIBRATION_VERSION,
    )


def shown(view: banks.Bank, *, whole: bool = False) -> dict[str, Any]:
    """All that a reader sees of a bank, in the model's words."""
    view = view.whole() if whole else view
    found: dict[str, Any] = {}
    for name in view.expeditions():
        about, runs = view.attributes(name), {}
        for run in view.runs(name):
            on_grid, counts = view.run(name, run).load(), view.run(name, run, "counts").load()
            tables = list(view.evaluations(name, run).values())
            with_gain = calibrate.intensity(counts, GRID, run)["intensity"].values
            np.testing.assert_allclose(on_grid["intensity"].values, with_gain, rtol=1e-6)
            runs[run] = (
                counts["source_sha256"].values.tolist(),
                counts["depth"].values.tolist(),
                int(counts["counts"].values.sum()),
                float(counts["energy_gain"].values[0]),
                [table.attrs["sha256"] for table in tables if table.attrs["calibrates"]],
                sorted(table.attrs["sha256"] for table in tables),
                on_grid.attrs["calibration_version"],
            )
        labels = view.measurements(name) if about["measurements"] else []
        assert (about["measurements"], about["runs"]) == (len(labels), view.runs(name))
        rows = (
            [(row.core, row.depth_top, row.proxy, row.value, row.source) for row in labels.itertuples()]
            if len(labels)
            else []
        )
        found[name] = (about["licence"], runs, sorted(rows))
    return found


def expected(model: Model, *, whole: bool = False) -> dict[str, Any]:
    """What `shown` is to find."""
    found: dict[str, Any] = {}
    for name, one in model.items():
        runs = {
            run: (
                said.hashes,
                said.depths,
                said.counts,
                said.gain,
                [said.evaluation],
                sorted(said.evaluations),
                said.version,
            )
            for run, said in one.runs.items()
            if whole or one.seen(run)
        }
        if runs:
            found[name] = (one.licence, runs, sorted(one.labels if whole else one.seen_labels()))
    return dict(sorted(found.items()))


def claims(given: Contribution) -> set[tuple[str, str]]:
    """(file, core) of every laboratory value that a contribution may bring in."""
    return {(one.file, core.name) for one in given.metadata.measurements for core in given.metadata.cores}


def own_labels(one: Expedition, contribution: str) -> set[Row]:
    """Values of files and cores that it names and no other that is not withdrawn does."""
    others = [
        places
        for name, places in one.claims.items()
        if name != contribution and ("contribution", name) not in one.withdrawn
    ]
    ours = one.claims[contribution] - set().union(*others)
    return {row for row in one.labels if (row[-1], row[0]) in ours}
