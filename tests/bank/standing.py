"""Two contributions, and what is asked of a bank after a fault: that it stands at a whole commit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from corebank import bank as banks
from corebank.contribution import Contribution
from tests.bank.conftest import made


def two_cruises(folder: Path) -> tuple[Contribution, Contribution]:
    """One that goes in before the fault, and one that meets it."""
    return (
        made(folder / "1", name="cruise1", sections=("S1",), laboratory=None),
        made(folder / "2", name="cruise2", sections=("S1",), count=40, seed=1, laboratory=None),
    )


def whole(bank: banks.Bank, contribution: Contribution) -> bool:
    """True when a bank holds every count of a contribution."""
    expedition = contribution.metadata.expedition.name
    return all(
        np.array_equal(bank.run(expedition, name, "counts")["counts"].values, run["counts"].values)
        for name, run in contribution.runs.items()
    )


def stands(address: str | Path, before: str, cruises: tuple[Contribution, Contribution]) -> banks.Bank:
    """The bank as it is after a fault: at its last commit, or at a whole new one; nothing partial is in it."""
    bank = banks.open_bank(address)
    assert bank.expeditions() == (["cruise1"] if bank.snapshot == before else ["cruise1", "cruise2"])
    assert all(whole(bank, one) for one in cruises[: len(bank.expeditions())])
    return bank
