"""A byte that flips anywhere in a bank's repository is told of: nothing but what was written is ever read silently."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bank import flips

FLIPS = 100
"""``python -m tests.bank.flips 1000`` does more of them."""


@pytest.mark.slow
def test_no_byte_that_flips_changes_what_is_read_silently(tmp_path: Path) -> None:
    path = flips.small_bank(tmp_path)
    truth = flips.text(flips.everything(path)), flips.text(flips.history(path))
    outcomes = [flips.attempt(path, *flip, truth) for flip in flips.drawn(path, FLIPS, seed=1)]
    told = flips.table(outcomes)
    kinds = {one.kind for one in outcomes}
    assert kinds == {"chunks", "manifests", "refs", "snapshots", "transactions"}
    assert [one for one in outcomes if one.became in ("silent", "silent log", "returned")] == [], told
    assert [one for one in outcomes if not one.typed] == [], "opening, words and laboratory values raise CorebankError"
    assert {one.became for one in outcomes} >= {"nothing", "read", "verify"}, told
    assert {one.became for one in outcomes if one.kind == "chunks"} == {"read"}, told


@pytest.mark.parametrize("kind", ["chunks", "manifests"])
def test_a_byte_of_the_counts_is_named_with_its_chunk_and_rows(tmp_path: Path, kind: str) -> None:
    """The largest chunk holds the counts of a run, the largest manifest places or holds some of its columns."""
    path = flips.small_bank(tmp_path)
    truth = flips.text(flips.everything(path)), flips.text(flips.history(path))
    file = max((path / "repository" / kind).iterdir(), key=lambda one: one.stat().st_size)
    outcome = flips.attempt(path, file, file.stat().st_size // 2, 255, truth)
    assert outcome.became == "read", outcome
    changed = bytearray(file.read_bytes())
    changed[len(changed) // 2] ^= 255
    file.write_bytes(bytes(changed))
    faults = flips.verifying.verify(flips.banks.open_bank(path))
    assert faults
    assert all(fault.chunk is not None and fault.rows is not None for fault in faults), list(map(str, faults))
