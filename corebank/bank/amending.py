"""What an amendment changes in a bank: words, places, energy axes, flags, evaluations and laboratory values; no count.

The folder is checked again with its corrected contribution.toml, and what comes out is compared with what the bank
holds. Only what differs is written, as one commit that says why; every earlier snapshot stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from corebank import __version__, calibrate, schema
from corebank.bank import adding, evaluating, hiding, layout, rebuilding
from corebank.bank.records import CONTRIBUTIONS, MEASUREMENTS
from corebank.bank.repository import Repository
from corebank.contribution import Contribution
from corebank.errors import BankError

if TYPE_CHECKING:
    from corebank.bank import Bank

_KEPT = {"source", "source_sha256", "contribution"}
"""Columns that say where a spectrum came from; no amendment touches them."""

_RATES = {"energy_gain", "energy_offset", "live_time", "tube_voltage"}
"""Columns that the intensity is made with; where one changes, it is made again."""


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """What an amendment would change."""

    expedition: Mapping[str, Any]
    """Attribute of the expedition -> new value."""
    runs: Mapping[str, tuple[xr.Dataset, tuple[str, ...]]]
    """Run -> its spectra as they are to be, in the bank's order, and the columns that differ."""
    attributes: Mapping[str, Mapping[str, Any]]
    """Run -> attribute -> new value."""
    measurements: pd.DataFrame | None
    """The whole table as it is to be, or None where it stays."""
    evaluations: Mapping[str, evaluating.Change]
    """Run -> what comes to its evaluations."""

    @property
    def nothing(self) -> bool:
        """True when the bank says all of it already."""
        return not (
            self.expedition or self.runs or self.attributes or self.evaluations or self.measurements is not None
        )

    def told(self) -> tuple[str, ...]:
        """The changes as sentences."""
        lines = [f"expedition: {', '.join(self.expedition)}"] if self.expedition else []
        lines += [f"{name}: {', '.join(columns)}" for name, (_, columns) in self.runs.items()]
        lines += [f"{name}: {', '.join(told)}" for name, told in self.attributes.items()]
        lines += [f"{name}: {line}" for name, change in self.evaluations.items() for line in change.told]
        if self.measurements is not None:
            lines.append(f"measurements: {len(self.measurements)} now")
        return tuple(lines)


def changes(bank: Bank, contribution: Contribution, because: str) -> Changes:
    """Compare a checked contribution with what `bank` holds of it.

    Raises `BankError` without a reason, and where the contribution holds a run or spectra that the bank does not.
    """
    expedition = contribution.metadata.expedition.name
    if not because.strip():
        raise BankError(bank.address, "an amendment needs a reason", 'Say why, as in --because "S2 starts at 1257 mm"')
    held = bank.runs(expedition)
    runs, attributes, evaluations = {}, {}, {}
    for name, run in contribution.runs.items():
        if name not in held:
            raise BankError(
                f"{bank.address}, {expedition}", f"there is no run {name} to amend", "Bring it in with corebank add"
            )
        before = bank.run(expedition, name, "counts")
        now = _in_order(run, before, f"{bank.address}, {expedition}/{name}")
        columns = tuple(
            column for column in schema.SPECTRUM if column not in _KEPT and not _same(before[column], now[column])
        )
        if columns:
            runs[name] = (now, columns)
        told = {
            key: run.attrs[key] for key in schema.RUN_ATTRIBUTES if not _equal(before.attrs.get(key), run.attrs[key])
        }
        if told:
            attributes[name] = told
        if change := evaluating.changed(bank, expedition, name, now, contribution.evaluations.get(name, ())):
            evaluations[name] = change
    said = bank.attributes(expedition)
    cores = {core["name"]: core for core in [*said.get("cores", []), *map(asdict, contribution.metadata.cores)]}
    words = {**asdict(contribution.metadata.expedition), "cores": list(cores.values())}
    return Changes(
        {key: value for key, value in words.items() if said.get(key) != value},
        runs,
        attributes,
        _measurements(bank, contribution),
        evaluations,
    )


def write(repository: Repository, bank: Bank, contribution: Contribution, changes: Changes, because: str) -> str:
    """Write `changes` as one commit on the head that `bank` shows; returns the snapshot."""
    session = repository.session()
    expedition, store = contribution.metadata.expedition.name, session.store
    count = bank.attributes(expedition)["measurements"]
    if changes.measurements is not None:
        layout.replace_measurements(store, f"{expedition}/{MEASUREMENTS}", changes.measurements)
        count = len(changes.measurements)
    layout.describe(
        store, expedition, {**changes.expedition, "measurements": count, **_hidden(bank, expedition, changes)}
    )
    for name, change in changes.evaluations.items():
        evaluating.write(store, f"{expedition}/{name}", change)
    for name, told in changes.attributes.items():
        layout.describe(store, f"{expedition}/{name}", told)
    for name, (run, columns) in changes.runs.items():
        names = list(columns)
        if _RATES & set(columns):
            counts = bank.run(expedition, name, "counts")["counts"]
            on_grid = calibrate.intensity(run.assign(counts=counts), bank.grid, name)
            run, names = on_grid, [*names, "intensity"]
            layout.describe(store, f"{expedition}/{name}", {rebuilding.VERSION: calibrate.CALIBRATION_VERSION})
        layout.replace_columns(store, f"{expedition}/{name}", run, names)
    identifier = adding.identifier(contribution)
    layout.describe(
        store,
        f"{CONTRIBUTIONS}/{identifier}",
        {
            "expedition": expedition,
            "toml": contribution.metadata.text,
            "because": because,
            "amended": list(changes.told()),
            "written_by": f"corebank {__version__}",
        },
    )
    about = {"amends": expedition, "because": because, "changed": list(changes.told()), "contribution": identifier}
    return repository.commit(session, f"amend {expedition}: {because}", about)


def _in_order(run: xr.Dataset, before: xr.Dataset, where: str) -> xr.Dataset:
    """`run` without its counts, in the order in which the bank holds its spectra."""
    ours, theirs = run["source_sha256"].values.astype(str), before["source_sha256"].values.astype(str)
    row_of = {sha: row for row, sha in enumerate(ours)}
    if set(theirs) != set(ours):
        raise BankError(
            where,
            f"holds {theirs.size} spectra, the folder {ours.size}, and they are not the same",
            "Amend with the folder that was brought in; new spectra come in with corebank add",
        )
    return run.drop_vars("counts").isel(spectrum=[row_of[sha] for sha in theirs])


def _measurements(bank: Bank, contribution: Contribution) -> pd.DataFrame | None:
    """The expedition's table with this contribution's rows in place of those from the same files and cores."""
    expedition, table = contribution.metadata.expedition.name, contribution.measurements
    held = bank.measurements(expedition) if bank.attributes(expedition)["measurements"] else table.iloc[:0]
    files = {one.file for one in contribution.metadata.measurements}
    cores = {core.name for core in contribution.metadata.cores}
    others = held[~(held["source"].isin(files) & held["core"].isin(cores))]
    new = pd.concat([others, table], ignore_index=True) if len(others) else table.reset_index(drop=True)
    same = len(new) == len(held) and set(adding.said(new)) == set(adding.said(held))
    return None if same else new


def _hidden(bank: Bank, expedition: str, changes: Changes) -> dict[str, Any]:
    """The expedition's withdrawals, where amended laboratory values take the place of values that these hide."""
    withdrawals = bank.withdrawals(expedition)
    if changes.measurements is None or not any(one.labels for one in withdrawals):
        return {}
    before, after = (set(hiding.keys(table)) for table in (bank.measurements(expedition), changes.measurements))
    gone, new = before - after, after - before
    followed = [
        replace(one, labels=(*(key for key in one.labels if key not in gone), *sorted(new)))
        if gone & set(one.labels)
        else one
        for one in withdrawals
    ]
    return {hiding.ATTRIBUTE: hiding.listed(followed)}


def _same(before: xr.DataArray, now: xr.DataArray) -> bool:
    one, other = before.values, now.values
    if one.dtype.kind in "OUT":
        return bool((one.astype(str) == other.astype(str)).all())
    return bool(np.array_equal(one, other, equal_nan=one.dtype.kind in "fM"))


def _equal(one: Any, other: Any) -> bool:
    unknown = [isinstance(value, float) and np.isnan(value) for value in (one, other)]
    return all(unknown) or (not any(unknown) and one == other)
