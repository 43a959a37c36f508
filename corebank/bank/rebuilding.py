"""Intensities made anew from the raw counts, where a better calibration than today's bank has become known to corebank.

Every run records the version of the calibration that its intensity was made by. Counts and columns are only read; an
intensity is overwritten shard by shard, so memory does not grow with a run, and older snapshots keep the former one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from corebank import calibrate
from corebank.bank import layout
from corebank.bank.records import Rebuilt

if TYPE_CHECKING:
    from corebank.bank import Bank

VERSION = "calibration_version"
"""Attribute of a run: the `corebank.calibrate.CALIBRATION_VERSION` that made its intensity."""


def outdated(bank: Bank, expedition: str | None = None) -> dict[str, tuple[str, str]]:
    """``expedition/run`` -> (expedition, run) of intensities that another version of the calibration made."""
    return {
        f"{name}/{run}": (name, run)
        for name in ([expedition] if expedition is not None else bank.expeditions())
        for run in bank.runs(name)
        if layout.attributes(bank._store, f"{name}/{run}").get(VERSION) != calibrate.CALIBRATION_VERSION
    }


def rebuild(bank: Bank, expedition: str | None = None) -> Rebuilt:
    """Make outdated intensities again, withdrawn ones too, as one commit on the head that `bank` shows whole.

    No commit when all are current. Raises `CalibrationError` where the calibration has become stricter and refuses
    what is recorded of a spectrum; nothing is changed then.
    """
    old = outdated(bank, expedition)
    if not old:
        return Rebuilt(bank.snapshot, {})
    session, done = bank._repository.session(), {}
    for group, (name, run) in old.items():
        held = bank.run(name, run, "counts")
        layout.replace_columns(session.store, group, calibrate.intensity(held, bank.grid, group), ["intensity"])
        layout.describe(session.store, group, {VERSION: calibrate.CALIBRATION_VERSION})
        done[group] = held.sizes["spectrum"]
    snapshot = bank._repository.commit(
        session,
        f"rebuild {sum(done.values())} intensities in {len(done)} runs",
        {"rebuilds": sorted(done), VERSION: calibrate.CALIBRATION_VERSION},
    )
    return Rebuilt(snapshot, done)
