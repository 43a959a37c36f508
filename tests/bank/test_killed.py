"""A writer killed at any moment leaves the last commit, and what it was about to write can still be written."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.bank import killing

TIMES = 24
"""Kills; ``python -m tests.bank.killing`` kills the command itself fifty times."""


@pytest.mark.slow
def test_killed_writers_leave_all_of_a_contribution_or_nothing(tmp_path: Path) -> None:
    base, folder = killing.prepared(tmp_path)
    truth = killing.Truth.of(base, folder, tmp_path)
    died: Counter[str] = Counter()
    with killing.writer(folder) as writer:
        whole, code = writer.add(Path(shutil.copytree(base, tmp_path / "timed")), killing.Moment())
        assert code == 0
        for number, moment in enumerate(killing.moments(whole, TIMES, seed=1)):
            bank = Path(shutil.copytree(base, tmp_path / f"bank-{number}"))
            writer.add(bank, moment)
            died[killing.survived(bank, truth)] += 1
            shutil.rmtree(bank)
    assert died[killing.WRITING] + died[killing.COMMITTING] > 0, died
    assert died[killing.CATALOG] + died[killing.AFTER] > 0, died
