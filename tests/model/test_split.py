"""Splits: whole units, decided by name alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import split
from corebank.errors import RecipeError
from tests.model.cores import cores

names = st.sets(st.text(min_size=1), min_size=1, max_size=20)


@given(names, names, st.integers(0, 9))
@settings(deadline=None)
def test_a_core_stays_on_its_side_whatever_joins(first: set[str], later: set[str], seed: int) -> None:
    fractions = {"train": 0.7, "validation": 0.1, "test": 0.2}
    alone = split.assign(first, fractions=fractions, seed=seed)
    together = split.assign(first | later, fractions=fractions, seed=seed)
    assert alone == {name: together[name] for name in first}


@given(st.floats(0, 1), st.floats(0, 1), names)
@settings(deadline=None)
def test_a_growing_side_keeps_what_it_has(one: float, other: float, units: set[str]) -> None:
    small, large = sorted((one, other))
    before, after = (split.assign(units, fractions={"held": share, "train": 1 - share}) for share in (small, large))
    assert {name for name in units if before[name] == "held"} <= {name for name in units if after[name] == "held"}


def test_many_cores_meet_the_shares() -> None:
    sides = list(split.assign(map(str, range(20_000)), fractions={"train": 0.8, "test": 0.2}).values())
    assert sides.count("test") / 20_000 == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("fractions", [{"train": 0.8, "test": 0.3}, {"train": 1.2, "test": -0.2}])
def test_shares_that_do_not_add_up_are_refused(fractions: dict[str, float]) -> None:
    with pytest.raises(RecipeError, match="add up to"):
        split.assign(["core"], fractions=fractions)


def test_units_are_named_from_the_site_down() -> None:
    spectra = cores(1, names=("A", "B"))
    assert split.unit_names(spectra, "core").tolist() == ["lab/cruise/A", "lab/cruise/B"]
    assert split.unit_names(spectra, "section").tolist() == ["lab/cruise/A/1", "lab/cruise/B/1"]


def test_units_are_held_out_by_whole_names() -> None:
    units = np.array(["lab/c/ARD1/ARD1E", "lab/c/XARD1/ARD1E", "lab/c/ARD1/ARD1A"])
    assert split.held_out(units, ["ARD1/ARD1E"]).tolist() == [True, False, False]
    with pytest.raises(RecipeError, match="ARD1/ARD1F: not in the selection"):
        split.held_out(units, ["ARD1/ARD1F"])
