"""Errors are sentences, builtin kinds, and survive a trip between processes."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import errors, quality
from corebank.errors import CorebankError
from corebank.quality import THRESHOLDS
from corebank.schema import Flag, run_problems, validate_run
from corebank.testing import runs

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, CorebankError) and kind is not CorebankError
]


@settings(deadline=None)
@given(st.sampled_from(KINDS), st.text() | st.builds(Path, st.text("abc/", min_size=1)), st.text(), st.text())
def test_an_error_comes_back_from_a_worker_as_it_was(
    kind: type[CorebankError], where: str | Path, found: str, fix: str
) -> None:
    error = pickle.loads(pickle.dumps(kind(where, found, fix)))
    assert (type(error), error.where, error.found, error.fix) == (kind, where, found, fix)
    assert str(error) == f"{where}: {found}. {fix}."


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_people_who_do_not_know_us_catch_a_builtin_kind(kind: type[CorebankError]) -> None:
    assert issubclass(kind, (ValueError, LookupError, RuntimeError))
    assert kind.__doc__


@settings(deadline=None, max_examples=20)
@given(runs(), st.data())
def test_each_line_of_the_schema_is_missed_when_it_is_gone(run: xr.Dataset, data: st.DataObject) -> None:
    assert run_problems(run) == []
    gone = data.draw(st.sampled_from([*(name for name in run.data_vars if name != "counts"), *run.attrs]))
    less = (
        run.drop_vars(gone)
        if gone in run
        else run.drop_attrs(deep=False).assign_attrs({name: value for name, value in run.attrs.items() if name != gone})
    )
    with pytest.raises(errors.SchemaError, match=f"a run: .*{gone} is missing.*Mend the reader"):
        validate_run(less, "a run")


@settings(deadline=None, max_examples=5)
@given(runs())
def test_wrong_dtypes_units_and_dimensions_are_told_all_at_once(run: xr.Dataset) -> None:
    run = run.assign(
        counts=run["counts"].astype("int64"),
        depth=run["depth"].rename(spectrum="place"),
        live_time=run["live_time"].assign_attrs(units="ms"),
    )
    run["scanned_at"] = run["depth"].dims, run["depth"].values
    found = run_problems(run)
    assert "counts: dtype is int64, should be uint32" in found
    assert "depth: dimensions are ('place',), should be ('spectrum',)" in found
    assert "live_time: units is 'ms', should be 's'" in found
    assert "scanned_at: dtype is float64, should be datetime64[s]" in found


@settings(deadline=None)
@given(runs(largest=60))
def test_flags_mark_what_the_counts_show_and_keep_what_the_scanner_said(run: xr.Dataset) -> None:
    run = run.assign(flags=("spectrum", run["flags"].values + int(Flag.NOT_IN_POSITION)))
    total = run["counts"].sum("channel").values
    bits = quality.flags(run)
    assert bits.dtype == "uint32"
    assert (((bits & int(Flag.EMPTY)) > 0) == (total == 0)).all()
    assert (((bits & int(Flag.LOW_COUNTS)) > 0) == (total < THRESHOLDS[Flag.LOW_COUNTS].value)).all()
    assert ((bits & int(Flag.NOT_IN_POSITION)) > 0).all()


@pytest.mark.parametrize(("real", "bits"), [(49.9, 0), (50.1, int(Flag.HIGH_DEAD_TIME)), (float("nan"), 0), (0.0, 0)])
def test_dead_time_is_flagged_and_an_unknown_clock_is_not(real: float, bits: int) -> None:
    run = xr.Dataset(
        {
            "counts": (("spectrum", "channel"), [[5000]]),
            "live_time": ("spectrum", [10.0]),
            "real_time": ("spectrum", [real]),
            "energy_gain": ("spectrum", [0.02]),
            "energy_offset": ("spectrum", [0.0]),
            "flags": ("spectrum", [0]),
        },
        attrs={"anode": "Mo"},
    )
    assert quality.flags(run).tolist() == [bits]


def test_flags_have_names_in_words() -> None:
    assert quality.names(int(Flag.EMPTY | Flag.HIGH_DEAD_TIME)) == ["empty", "high dead time"]
