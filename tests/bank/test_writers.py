"""Writers of a bank: one that fails or is killed leaves the last commit, and two at once both land."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import yaml

from corebank import bank as banks
from corebank import contribution
from corebank.bank import layout
from tests.bank.conftest import made
from tests.scanner import write_expedition


def test_a_failure_in_the_middle_leaves_the_last_commit(
    bank: banks.Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank.add(made(tmp_path / "cruise1"))
    listed, before = (bank.path / "catalog.yaml").read_text(), bank.snapshot

    def disk_full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(layout, "append_measurements", disk_full)  # both runs are written by then
        with pytest.raises(OSError, match="No space left"):
            bank.add(made(tmp_path / "cruise2", name="cruise2", seed=1))
    reopened = banks.open_bank(bank.path)
    assert (reopened.snapshot, reopened.expeditions()) == (before, ["cruise1"])
    assert (bank.path / "catalog.yaml").read_text() == listed
    assert bank.add(contribution.checked(tmp_path / "cruise2")).runs == {"s1": 5, "s2": 5}


ADD = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from corebank import bank as banks, contribution
    from corebank.bank import layout
    bank, folder, beside = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[1]).parent
    def hang(*args, **kwargs):
        (beside / "ready").touch()
        time.sleep(60)
    checked = contribution.checked(folder)
    if sys.argv[3] == "hang":
        layout.append_measurements = hang
    else:
        (beside / "ready").touch()
    banks.open_bank(bank).add(checked)
""")


def process_that_adds(bank: banks.Bank, folder: Path, how: str) -> subprocess.Popen[str]:
    """Another process that adds `folder`; returns when it begins ("go") or hangs in the middle of it ("hang")."""
    command = [sys.executable, "-c", ADD, str(bank.path), str(folder), how]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not (bank.path.parent / "ready").exists():
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            pytest.fail(process.communicate()[1])
        time.sleep(0.01)
    return process


def test_a_process_killed_while_it_writes_leaves_the_last_commit_and_no_lock(bank: banks.Bank, tmp_path: Path) -> None:
    bank.add(made(tmp_path / "cruise1"))
    before = bank.snapshot
    process = process_that_adds(bank, write_expedition(tmp_path / "cruise2", name="cruise2", seed=1), "hang")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    reopened = banks.open_bank(bank.path)
    assert (reopened.snapshot, reopened.expeditions()) == (before, ["cruise1"])
    assert reopened.add(contribution.checked(tmp_path / "cruise2")).runs == {"s1": 5, "s2": 5}


def test_two_processes_that_add_at_once_both_land(bank: banks.Bank, tmp_path: Path) -> None:
    ours = made(tmp_path / "cruise1")
    process = process_that_adds(bank, write_expedition(tmp_path / "cruise2", name="cruise2", seed=1), "go")
    bank.add(ours)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    reopened = banks.open_bank(bank.path)
    assert reopened.expeditions() == ["cruise1", "cruise2"]
    assert len(reopened.log()) == 3
    listed = yaml.safe_load((bank.path / "catalog.yaml").read_text())["sources"]
    assert set(listed) == {"cruise1", "cruise1-measurements", "cruise2", "cruise2-measurements"}


def test_a_bank_whose_making_was_cut_short_can_be_made_again(tmp_path: Path) -> None:
    (tmp_path / "bank" / ".repository").mkdir(parents=True)
    (tmp_path / "bank" / ".repository" / "half").write_bytes(b"a killed process left this")
    assert banks.create(tmp_path / "bank", site="lab").expeditions() == []
    assert not (tmp_path / "bank" / ".repository").exists()
