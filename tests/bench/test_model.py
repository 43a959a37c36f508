"""``python -m tests.bench.model`` at its smallest; a test that counts what must be equal, and times nothing."""

from __future__ import annotations

import pytest

from tests.bench import model


def test_the_textbooks_network_and_ours_lose_the_same_per_spectrum_seen() -> None:
    """Every way trains, every ingredient can be left out, and in float32 the losses are the textbook's."""
    said: list[str] = []
    small = ["--sizes", "tiny", "--patches", "128", "--turns", "1", "--steps", "3", "--batches", "4", "1"]
    model.main(small, said.append)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said if line.startswith("|")]
    full, mixed = (row for row in rows if row[0].endswith("3 steps"))
    assert "fully measured" in full[0]
    assert "mixed machines" in mixed[0]
    textbook, ours, half, apart = map(float, full[2:])
    assert apart < 1e-5
    assert ours == pytest.approx(textbook, abs=2e-4)  # it is told with four digits
    assert half == pytest.approx(textbook, rel=0.02)
    assert {row[0] for row in rows} >= set(model.INGREDIENTS)
