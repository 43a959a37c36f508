"""What a contribution adds to a bank: the runs and measurements that it does not hold yet, and the commit of them.

What is the same is told by the bytes of the spectra and by what a measurement says, never by the names of files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from corebank import __version__, calibrate
from corebank.bank import layout
from corebank.bank.records import CONTRIBUTIONS, EVALUATIONS, MEASUREMENTS
from corebank.bank.repository import Repository
from corebank.contribution import Contribution
from corebank.errors import BankError
from corebank.readers.evaluations import Evaluation
from corebank.readers.files import stem

if TYPE_CHECKING:
    from corebank.bank import Bank


def new_runs(bank: Bank, contribution: Contribution) -> tuple[dict[str, xr.Dataset], dict[str, int]]:
    """The runs that `bank` does not hold, and the number of spectra of those that it does.

    Raises `BankError` when a run shares some of its spectra with one in the bank, or its name with another one.
    """
    expedition = contribution.metadata.expedition.name
    held = bank.runs(expedition) if expedition in bank.expeditions() else {}
    hashes = {
        name: set(bank.run(expedition, name)["source_sha256"].values) for name in held
    }  # one column per run is read
    new, already = {}, {}
    for name, run in contribution.runs.items():
        ours = set(run["source_sha256"].values)
        elsewhere = next((other for other, theirs in hashes.items() if ours & theirs), None)
        if elsewhere is not None and ours <= hashes[elsewhere]:
            already[name] = len(ours)
        elif elsewhere is not None or name in held:
            other = elsewhere or name
            raise BankError(
                f"{bank.address}, {expedition}/{other}",
                f"shares {len(ours & hashes[other])} of {len(ours)} spectra with run {name}",
                "Give the scan a run name of its own, and leave out the spectra that are in the bank",
            )
        else:
            new[name] = run
    return new, already


def new_measurements(bank: Bank, contribution: Contribution) -> pd.DataFrame:
    """The rows of the contribution's measurements that `bank` does not hold."""
    expedition, table = contribution.metadata.expedition.name, contribution.measurements
    if table.empty or expedition not in bank.expeditions() or not bank.attributes(expedition).get("measurements"):
        return table
    held = set(said(bank.measurements(expedition)))
    return table[[key not in held for key in said(table)]]


def identifier(contribution: Contribution) -> str:
    """Sixteen hexadecimal digits of a hash over what the contribution holds, whatever its folder is called."""
    digest = hashlib.sha256(contribution.metadata.expedition.name.encode())
    for sha in sorted(sha for run in contribution.runs.values() for sha in run["source_sha256"].values):
        digest.update(str(sha).encode())
    digest.update(contribution.measurements.to_csv(index=False).encode())
    return digest.hexdigest()[:16]


def write(
    repository: Repository,
    bank: Bank,
    contribution: Contribution,
    runs: dict[str, xr.Dataset],
    measurements: pd.DataFrame,
) -> str:
    """Write `runs` and `measurements` as one commit on the head that `bank` shows.

    Returns the snapshot.
    """
    metadata, expedition, name_of = (
        contribution.metadata,
        contribution.metadata.expedition.name,
        identifier(contribution),
    )
    session = repository.session()
    before = bank.attributes(expedition) if expedition in bank.expeditions() else {}
    cores = {core["name"]: core for core in [*before.get("cores", []), *(asdict(core) for core in metadata.cores)]}
    sizes = {name: run.sizes["spectrum"] for name, run in runs.items()}
    report = json.loads(replace(contribution.report, profiles=()).to_json())  # drawn of what is in the bank
    layout.describe(
        session.store,
        expedition,
        {
            **asdict(metadata.expedition),
            "cores": list(cores.values()),
            "runs": {**before.get("runs", {}), **sizes},
            "measurements": before.get("measurements", 0) + len(measurements),
        },
    )
    new: dict[str, xr.Dataset] = {}
    for name, run in runs.items():
        group = f"{expedition}/{name}"
        on_grid = calibrate.intensity(run, bank.grid, name)
        whole = run.assign(intensity=on_grid["intensity"]).assign_coords(energy=on_grid["energy"])
        whole["contribution"] = whole["contribution"].copy(data=np.full(sizes[name], name_of, dtype=object))
        new[group] = whole.assign_attrs(calibration_version=calibrate.CALIBRATION_VERSION)
        new |= _evaluations(group, contribution, name, run)
    table = f"{expedition}/{MEASUREMENTS}"
    if len(measurements) and before.get("measurements"):
        layout.append_measurements(session.store, table, measurements)
    elif len(measurements):
        new[table] = layout.measurements(measurements)
    layout.write(session.store, new)
    layout.describe(
        session.store,
        f"{CONTRIBUTIONS}/{name_of}",
        {
            "expedition": expedition,
            "toml": metadata.text,
            "report": {key: said for key, said in report.items() if key != "profiles"},
            "written_by": f"corebank {__version__}",
        },
    )
    return repository.commit(
        session,
        f"add {expedition}: {sum(sizes.values())} spectra in {len(runs)} runs, {len(measurements)} measurements",
        {
            "contribution": name_of,
            "expedition": expedition,
            "runs": sorted(runs),
            "spectra": sum(sizes.values()),
            "measurements": len(measurements),
        },
    )


def _evaluations(group: str, contribution: Contribution, name: str, run: xr.Dataset) -> dict[str, xr.Dataset]:
    """Every evaluation that lay beside the spectra of a run, row by row beside its spectra."""
    stems = [stem(str(source)) for source in run["source"].values]
    return {
        f"{group}/{EVALUATIONS}/{number}": stored_evaluation(one, stems)
        for number, one in enumerate(contribution.evaluations.get(name, ()), 1)
    }


def stored_evaluation(one: Evaluation, stems: Sequence[str]) -> xr.Dataset:
    """An evaluation as it is stored, row by row beside the spectra whose files are called `stems`."""
    about = {"name": one.name, "sha256": one.sha256, "rows": len(one.table), "calibrates": one.calibrates}
    return layout.evaluation(one.table.reindex(list(stems)).astype(np.float64), about)


def said(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Rows as hashable values that are equal when they say the same, NaN included; a renamed file says nothing new."""
    rows = table.drop(columns="source").itertuples(index=False)
    return [tuple(None if isinstance(value, float) and np.isnan(value) else value for value in row) for row in rows]
