"""Work in parallel: every result, in order, a bounded number at a time, whoever does it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import contribution, parallel
from tests.scanner import write_expedition


def squared(number: int) -> int:
    return number * number


def doing(_number: int) -> int:
    """The process in which this is done."""
    return os.getpid()


def refusing(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    return number


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(-1000, 1000), max_size=40))
def test_every_result_comes_once_and_in_order(numbers: list[int]) -> None:
    assert list(parallel.each(squared, numbers, "squaring")) == [number * number for number in numbers]


def test_no_more_than_two_windows_are_worked_on_ahead_of_their_use(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    results = parallel.each(lambda number: begun.append(number) or number, range(10 * parallel.WINDOW), "counting")
    for used in range(10 * parallel.WINDOW):
        assert next(results) == used
        assert len(begun) <= used + 2 * parallel.WINDOW + 1


def test_an_error_reaches_whoever_asked() -> None:
    with pytest.raises(ValueError, match="three"):
        list(parallel.each(refusing, range(8), "refusing"))


def test_little_to_do_stays_in_this_process_and_a_library_never_starts_others() -> None:
    with parallel.scheduler(""):
        assert set(parallel.each(doing, range(parallel.MANY - 1), "here")) == {os.getpid()}
    assert set(parallel.each(doing, range(parallel.MANY), "here")) == {os.getpid()}


@pytest.mark.slow
def test_a_program_with_much_to_do_lets_processes_do_it() -> None:
    with parallel.scheduler(""):
        assert os.getpid() not in set(parallel.each(doing, range(parallel.MANY), "elsewhere"))


@pytest.mark.slow
def test_a_cluster_reads_the_same_as_this_process(tmp_path: Path) -> None:
    from distributed import LocalCluster

    folder = write_expedition(tmp_path / "cruise1", zipped=True)
    here = contribution.checked(folder)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, host="127.0.0.1", protocol="tcp"
        ) as cluster,
        parallel.scheduler(cluster.scheduler_address),
    ):
        there = contribution.checked(folder)
        assert there.report.runs == here.report.runs
        for name, run in here.runs.items():
            np.testing.assert_array_equal(there.runs[name]["counts"].compute(scheduler="threads"), run["counts"].values)
