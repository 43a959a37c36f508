"""An empty bank, and contributions to fill it with."""

from __future__ import annotations

from pathlib import Path

import pytest

from corebank import bank as banks
from corebank import contribution
from corebank.contribution import Contribution
from tests.conftest import GRID
from tests.scanner import write_expedition


@pytest.fixture
def bank(tmp_path: Path) -> banks.Bank:
    return banks.create(tmp_path / "bank", site="lab", grid=GRID)


def made(folder: Path, **words: object) -> Contribution:
    return contribution.checked(write_expedition(folder, **words))  # type: ignore[arg-type] - the tests' own words
