"""Compacting: what nobody can ask for goes; no release, head, model or writer at work ever loses anything."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from corebank import bank as banks
from corebank import bundle, hub
from corebank.bank import compacting, comparing, layout, repository
from corebank.errors import BankError, BankNotFoundError
from tests.bank.conftest import made
from tests.bank.test_history import said
from tests.conftest import GRID
from tests.registry.conftest import run, store, store_folder  # noqa: F401 - pytest finds fixtures here
from tests.registry.models import quantifier

AT_ONCE = timedelta(0)
ALL = 0.0


@pytest.fixture(scope="module")
def aged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A bank of six snapshots, oldest first; the second is a release, and a run's intensities were made four times."""
    folder = tmp_path_factory.mktemp("aged")
    bank = banks.create(folder / "bank", site="lab", grid=GRID)
    bank.add(made(folder / "cruise1", sections=["S1"], count=60))
    bank.tag("release-1")
    with pytest.MonkeyPatch.context() as patched:
        for version in (7, 8, 9):
            patched.setattr("corebank.calibrate.CALIBRATION_VERSION", version)
            bank.rebuild()
    bank.add(made(folder / "cruise2", name="cruise2", sections=["S1"], count=2, seed=3, laboratory=None))
    return bank.path, [commit.snapshot for commit in reversed(bank.log())]


@pytest.fixture
def bank(aged: tuple[Path, list[str]], tmp_path: Path) -> banks.Bank:
    shutil.copytree(aged[0], tmp_path / "bank")
    return banks.open_bank(tmp_path / "bank")


def opens(bank: banks.Bank, snapshots: list[str]) -> list[bool]:
    """Which snapshots open, with all that they hold."""
    found = []
    for snapshot in snapshots:
        try:
            for name in (then := banks.open_bank(bank.path, snapshot)).expeditions():
                assert np.isfinite(then.spectra(name)["intensity"].values).any()
                assert then.spectra(name, level="counts")["counts"].values.sum() > 0
        except BankNotFoundError:
            found.append(False)
        else:
            found.append(True)
    return found


def test_without_an_age_no_commit_is_lost(bank: banks.Bank, aged: tuple[Path, list[str]]) -> None:
    done = compacting.compact(bank, grace=AT_ONCE)
    assert (done.expired, done.kept, done.objects) == ((), {}, 0)
    assert opens(bank, aged[1]) == [True] * 6


def test_old_snapshots_go_and_releases_and_the_head_stay(bank: banks.Bank, aged: tuple[Path, list[str]]) -> None:
    before, snapshots = files(bank), aged[1]
    assert compacting.compact(bank, keep_days=1, grace=AT_ONCE).expired == (), "they are of today"
    would = compacting.compact(bank, keep_days=ALL, grace=AT_ONCE, dry_run=True)
    assert (opens(bank, snapshots), files(bank)) == ([True] * 6, before)
    done = compacting.compact(bank, keep_days=ALL, grace=AT_ONCE)
    assert done.expired == would.expired == (snapshots[0], *snapshots[2:5])
    assert done.kept == would.kept == {snapshots[1]: "release release-1", snapshots[5]: "branch main"}
    gone = before.keys() - files(bank).keys()
    assert (done.objects, done.bytes) == (len(gone), sum(before[path] for path in gone))
    assert done.objects > 4, "also the intensities that only these held"
    assert opens(bank, snapshots) == [False, True, False, False, False, True]
    assert banks.open_bank(bank.path, "release-1").snapshot == snapshots[1]
    assert [commit.snapshot for commit in banks.open_bank(bank.path).log()] == [snapshots[5]]


def files(bank: banks.Bank) -> dict[str, int]:
    """The repository's own files and their sizes."""
    return {
        str(path): path.stat().st_size
        for path in (bank.path / "repository").rglob("*")
        if path.is_file() and "refs" not in path.parts
    }


def test_a_snapshot_in_the_middle_that_a_model_needs_stays_for_good(
    bank: banks.Bank, aged: tuple[Path, list[str]], tmp_path: Path
) -> None:
    snapshots = aged[1]
    wanted = {snapshots[3]: "models:/quantify/1", "0000000000000000000G": "models:/of-another-bank/1"}
    done = compacting.compact(bank, keep_days=ALL, keep=wanted, grace=AT_ONCE)
    assert done.kept[snapshots[3]] == "models:/quantify/1"
    bank.add(made(tmp_path / "cruise3", name="cruise3", sections=["S1"], count=2, seed=4, laboratory=None))
    for _ in range(2):  # also when nobody names it any more
        compacting.compact(bank, keep_days=ALL, grace=AT_ONCE)
    assert opens(bank, snapshots) == [False, True, False, True, False, False]
    assert bank.releases() == {f"kept-{snapshots[3]}": snapshots[3], "release-1": snapshots[1]}


def test_what_an_expiry_cut_off_and_grace_still_holds_can_be_kept_after_all(
    bank: banks.Bank, aged: tuple[Path, list[str]]
) -> None:
    snapshots = aged[1]
    assert compacting.compact(bank, keep_days=ALL, grace=timedelta(days=1)).objects == 0, "younger than the grace"
    compacting.compact(bank, keep_days=ALL, keep={snapshots[2]: "models:/late/1"}, grace=AT_ONCE)
    assert opens(bank, snapshots) == [False, True, True, False, False, True]


def test_leftovers_of_a_killed_writer_go_once_they_are_older_than_the_grace(bank: banks.Bank) -> None:
    session = repository.open_repository(bank.address).session()  # nobody will commit it
    whole = bank.run("cruise1", "s1", "counts").load()
    layout.write(session.store, {"cruise9/s1": whole.assign(counts=whole["counts"] + 1)})
    left = files(bank)
    assert compacting.compact(bank).objects == 0, "a writer may be at work on them"
    assert files(bank) == left
    for path in left:
        os.utime(path, (time.time() - 2 * 86400,) * 2)
    assert compacting.compact(bank).objects > 0
    assert opens(bank, [bank.snapshot]) == [True]


def test_a_compaction_waits_for_a_writer_at_work(bank: banks.Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    writing = repository.Repository.writing
    monkeypatch.setattr(
        repository.Repository,
        "writing",
        lambda self: order.append("locked") or writing(self),  # type: ignore[func-returns-value]
    )
    collect = type(bank._repository._opened).garbage_collect
    monkeypatch.setattr(
        type(bank._repository._opened),
        "garbage_collect",
        lambda *words, **more: order.append("collected") or collect(*words, **more),  # type: ignore[func-returns-value]
    )
    compacting.compact(bank)
    assert order == ["locked", "collected"]


def test_where_nothing_keeps_writers_out_a_short_grace_is_refused() -> None:
    bank = banks.create("memory://compacted", site="lab", grid=GRID)
    with pytest.raises(BankError, match=r"nothing keeps other writers out here.*grace of at least 1:00:00"):
        compacting.compact(bank, grace=timedelta(minutes=59))
    assert compacting.compact(bank, keep_days=1).objects == 0
    with pytest.raises(BankError, match="an age cannot be negative"):
        compacting.compact(bank, keep_days=-1)


def test_a_compacted_bank_is_added_to_compared_and_listed_like_any_other(
    bank: banks.Bank, aged: tuple[Path, list[str]], tmp_path: Path
) -> None:
    compacting.compact(bank, keep_days=ALL, grace=AT_ONCE)
    added = bank.add(made(tmp_path / "cruise3", name="cruise3", sections=["S1"], count=2, seed=4, laboratory=None))
    assert added.runs == {"s1": 2}
    assert [commit.snapshot for commit in bank.log()] == [added.snapshot, aged[1][5]]
    release = banks.open_bank(bank.path, "release-1")
    told = {one.expedition: (one.added, one.rebuilt) for one in comparing.diff(release, bank)}
    assert told == {"cruise1": (0, 60), "cruise2": (2, 0), "cruise3": (2, 0)}, "though the commits between are gone"


@pytest.mark.slow
def test_the_command_keeps_what_registered_models_were_trained_on(
    bank: banks.Bank,
    aged: tuple[Path, list[str]],
    store: Path,  # noqa: F811 - the fixture
    run: Callable[[bundle.Bundle], Path],  # noqa: F811 - the fixture
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    snapshots = aged[1]
    expire = ["compact", bank.path, "--expire-older-than", "0", "--grace-hours", "0"]
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{bank.path}/nothing.db")
        assert "Set MLFLOW_TRACKING_URI, or say --without-models" in said(capsys, *expire, code=1)
        assert said(capsys, *expire, "--without-models", "--dry-run").count("would go: snapshot") == 4
        assert not (bank.path / "nothing.db").exists()
    lineage = bundle.DataLineage(snapshots={"lab": snapshots[2]}, cores=("lab/cruise1/C/1",))
    uri = hub.register(run(quantifier(lineage=lineage)), "compacted", "champion")
    told = said(capsys, *expire, "--keep", snapshots[3])
    assert f"stays: snapshot {snapshots[2]} ({uri})" in told
    assert f"stays: snapshot {snapshots[3]} (--keep {snapshots[3]})" in told
    assert opens(bank, snapshots) == [False, True, True, True, False, True]
    withdraw = ["withdraw", bank.path, "cruise1", "--core", "C/1", "--because", "dry"]
    assert f"seen by {uri} @champion\n" in said(capsys, *withdraw)
    other = ["withdraw", bank.path, "cruise2", "--run", "s1", "--because", "shaken"]
    assert said(capsys, *other).endswith("no registered model has seen it\n")
