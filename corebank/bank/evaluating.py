"""What an amendment brings to the evaluations of a run: new ones under the next number; the earlier ones stay.

An evaluation is known by its file and the hash of its bytes. Where a file comes in with other bytes, what it held
before is kept and called ``file@`` and the first digits of its hash, and the file's name goes to what it holds now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import xarray as xr

from corebank.bank import adding, layout
from corebank.bank.records import EVALUATIONS
from corebank.readers.evaluations import Evaluation
from corebank.readers.files import stem

if TYPE_CHECKING:
    from corebank.bank import Bank

_DIGITS = 8
"""Of a hash, in the name of a superseded evaluation: enough for a handful of evaluations of one file."""


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What comes to the evaluations of one run."""

    new: Mapping[int, xr.Dataset]
    """Number -> evaluation, row by row beside the run's spectra."""
    held: Mapping[int, Mapping[str, Any]]
    """Number of one that is there -> attributes that change."""
    told: tuple[str, ...]
    """The changes in words."""


def changed(
    bank: Bank, expedition: str, run: str, spectra: xr.Dataset, evaluations: Sequence[Evaluation]
) -> Change | None:
    """Compare the evaluations beside a contributed run with those that `bank` holds; None where nothing differs.

    `spectra` is the contributed run in the bank's order. One that is no longer in the folder stays in the bank, and no
    longer calibrates.
    """
    tables = layout.read_evaluations(bank._store, f"{expedition}/{run}/{EVALUATIONS}")
    numbered = {number: table.attrs for number, table in enumerate(tables.values(), 1)}
    number_of = {(_file(said), said["sha256"]): number for number, said in numbered.items()}
    given = {(one.name, one.sha256): one for one in evaluations}
    files = {one.name for one in evaluations}
    held, told = {}, []
    for number, said in numbered.items():
        file, here = _file(said), given.get((_file(said), said["sha256"]))
        name = file if here is not None or file not in files else f"{file}@{said['sha256'][:_DIGITS]}"
        now = {"name": name, "calibrates": here is not None and here.calibrates}
        if any(said[key] != value for key, value in now.items()):
            held[number] = {**now, "file": file}
    stems = [stem(str(source)) for source in spectra["source"].values]
    fresh = [one for key, one in given.items() if key not in number_of]
    new = {number: adding.stored_evaluation(one, stems) for number, one in enumerate(fresh, len(numbered) + 1)}
    told += [f"evaluation {one.name}" for one in fresh]
    before = {key for key, number in number_of.items() if numbered[number]["calibrates"]}
    after = {key for key, one in given.items() if one.calibrates}
    if before != after:
        told.append(f"calibrated by {', '.join(name for name, _ in after) or 'none of its evaluations'}")
    return Change(new, held, tuple(told)) if new or held else None


def write(store: Any, group: str, change: Change) -> None:
    """Write what `changed` found into the group of a run."""
    for number, said in change.held.items():
        layout.describe(store, f"{group}/{EVALUATIONS}/{number}", said)
    if change.new:
        layout.write(store, {f"{group}/{EVALUATIONS}/{number}": one for number, one in change.new.items()})
        layout.describe(store, group, {})  # signed anew: there may have been no evaluation before


def _file(said: Mapping[Any, Any]) -> str:
    return str(said.get("file", said["name"]))
