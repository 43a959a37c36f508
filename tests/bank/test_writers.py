"""Writers of a bank: one that fails or is killed leaves the last commit, and those that meet all land or are refused.

``ROUNDS=20 pytest tests/bank/test_writers.py`` lets the four processes meet more often than once of each kind.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from corebank import bank as banks
from corebank import contribution
from corebank.bank import repository, writers
from corebank.contribution import Contribution
from corebank.errors import BankError
from tests.bank import stores
from tests.bank.conftest import made
from tests.conftest import GRID
from tests.scanner import write_expedition

ROUNDS = int(os.environ.get("ROUNDS", "1"))

WRITER = textwrap.dedent("""
    import json, sys, time
    from pathlib import Path
    from corebank import bank as banks, contribution
    from corebank.bank.repository import Repository
    from corebank.errors import BankError
    checked = {}
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:  # one line an order: which bank, which folder, and when to stop for good
        order = json.loads(line)
        folder = order["folder"]
        if folder not in checked:
            checked[folder] = contribution.checked(Path(folder))
        if order["how"] == "check":
            print(json.dumps("checked"), flush=True)
            continue
        if order["how"] == "hang":  # all is written, and nothing committed
            Repository.commit = lambda *_: (print(json.dumps("hangs"), flush=True), time.sleep(60))
        try:
            added = banks.open_bank(order["bank"]).add(checked[folder])
            print(json.dumps({"runs": added.runs, "snapshot": added.snapshot}), flush=True)
        except BankError as error:
            print(json.dumps({"refused": str(error)}), flush=True)
""")


class Writer:
    """A process that adds what it is told to."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRITER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )

    def order(self, bank: str | Path, folder: Path, how: str = "add") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"bank": str(bank), "folder": str(folder), "how": how}) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        if line := self.process.stdout.readline():
            return json.loads(line)
        return pytest.fail(self.process.communicate()[1])

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def processes(count: int, environment: dict[str, str]) -> Iterator[list[Writer]]:
    started = [Writer(environment) for _ in range(count)]
    try:
        for writer in started:
            assert writer.answer() == "ready"
        yield started
    finally:
        for writer in started:
            writer.stop()


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with stores.s3() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def four(store: str) -> Iterator[list[Writer]]:
    """Four processes that add to banks on a local path and on S3."""
    environment = {
        "AWS_ENDPOINT_URL": store,
        "AWS_ACCESS_KEY_ID": stores.KEY,
        "AWS_SECRET_ACCESS_KEY": stores.SECRET,
        "AWS_REGION": "us-east-1",
    }
    with processes(4, environment) as started:
        yield started


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Four contributions of each kind: how those of one kind lie to each other is the name of the kind."""
    root = tmp_path_factory.mktemp("folders")

    def folder(kind: str, number: int, **words: Any) -> Path:
        return write_expedition(root / kind / str(number), count=3, **words)

    return {
        "different expeditions": [
            folder("different", n, name=f"cruise{n}", sections=("S1",), seed=n) for n in range(4)
        ],
        "one expedition, different runs": [
            folder("runs", n, core=f"C/{n}", sections=(f"S{n}",), seed=n, laboratory=None) for n in range(4)
        ],
        "the same contribution": [folder("same", 0, sections=("S1",))] * 4,
        "one run name, different spectra": [
            folder("clash", n, sections=("S1",), seed=n, laboratory=None) for n in range(4)
        ],
    }


@pytest.mark.slow
@pytest.mark.parametrize("where", ["local", "s3"])
@pytest.mark.parametrize(
    "kind",
    [
        "different expeditions",
        "one expedition, different runs",
        "the same contribution",
        "one run name, different spectra",
    ],
)
@pytest.mark.parametrize("_round", range(ROUNDS))
def test_of_four_processes_that_add_at_once_each_lands_once_or_is_refused_aloud(
    where: str,
    kind: str,
    _round: int,
    four: list[Writer],
    folders: dict[str, list[Path]],
    store: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stores.s3_environment(monkeypatch, store)
    address = str(tmp_path / "bank") if where == "local" else f"s3://{stores.new_bucket(store)}/bank"
    banks.create(address, site="lab", grid=GRID)
    given = [contribution.checked(folder) for folder in folders[kind]]
    for writer, folder in zip(four, folders[kind], strict=True):
        writer.order(address, folder, "check")
    assert [writer.answer() for writer in four] == ["checked"] * 4
    for writer, folder in zip(four, folders[kind], strict=True):
        writer.order(address, folder)
    answers = [writer.answer() for writer in four]

    landed = [one for one, answer in zip(given, answers, strict=True) if answer.get("runs")]
    refused = [answer["refused"] for answer in answers if "refused" in answer]
    assert len(landed) == (4 if "different" in kind and "one run name" not in kind else 1)
    assert len(refused) == (3 if "one run name" in kind else 0)
    assert all("shares 0 of 3 spectra with run s1" in said for said in refused)
    bank = banks.open_bank(address)
    assert holds_once(bank, landed)
    assert len(bank.log()) == 1 + len(landed)
    assert {answer["snapshot"] for answer in answers if answer.get("runs")} < {one.snapshot for one in bank.log()}
    listed = repository.open_repository(address)
    assert {name for name in yaml.safe_load(listed.read_text("catalog.yaml") or "")["sources"] if "-" not in name} == {
        one.metadata.expedition.name for one in landed
    }
    assert json.loads(listed.read_text("index.json") or "")["snapshot"] == bank.snapshot


def holds_once(bank: banks.Bank, landed: list[Contribution]) -> bool:
    """True when a bank holds the counts of these contributions, every spectrum once, and nothing else."""
    found = {
        (expedition, run): bank.run(expedition, run, "counts")["counts"].values
        for expedition in bank.expeditions()
        for run in bank.runs(expedition)
    }
    runs = [(one.metadata.expedition.name, name, run) for one in landed for name, run in one.runs.items()]
    cores = {(one.metadata.expedition.name, core.name) for one in landed for core in one.metadata.cores}
    told = {(name, core["name"]) for name in bank.expeditions() for core in bank.attributes(name)["cores"]}
    return (
        len(runs) == len(found)
        and all(np.array_equal(found[name, run], counts["counts"].values) for name, run, counts in runs)
        and cores == told
    )


def test_threads_that_add_to_a_bank_in_memory_all_land(tmp_path: Path) -> None:
    address = f"memory://{uuid.uuid4().hex}"
    bank = banks.create(address, site="lab", grid=GRID)
    given = [made(tmp_path / str(n), name=f"cruise{n}", sections=("S1",), seed=n, laboratory=None) for n in range(3)]
    threads = [threading.Thread(target=banks.open_bank(address).add, args=(one,)) for one in given]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert holds_once(banks.open_bank(address), given)
    assert len(banks.open_bank(address).log()) == 1 + len(bank.log()) + 2


def test_on_a_local_path_a_writer_waits_until_the_other_has_done(
    bank: banks.Bank, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    other = threading.Thread(
        target=lambda: repository.open_repository(bank.address).atomically(lambda: told.append("second"))
    )

    def first() -> None:
        other.start()
        other.join(timeout=0.3)  # long enough for it to write, were it let in
        told.append("first")

    repository.open_repository(bank.address).atomically(first)
    other.join()
    assert told == ["first", "second"]
    assert "waiting for another writer" in capsys.readouterr().err


# What one writer decided on one head may not be written on another.


@pytest.fixture
def remote() -> banks.Bank:
    return banks.create(f"memory://{uuid.uuid4().hex}", site="lab", grid=GRID)


def test_a_session_is_refused_when_the_head_that_was_looked_at_has_moved(remote: banks.Bank, tmp_path: Path) -> None:
    looked_at = repository.open_repository(remote.address)
    looked_at.snapshot("main")
    remote.add(made(tmp_path / "cruise1", sections=("S1",)))
    with pytest.raises(writers.ConflictError, match="other writers committed in between"):
        looked_at.session()


def test_a_unit_of_work_is_done_again_until_no_other_writer_came_in_between(remote: banks.Bank) -> None:
    ours = repository.open_repository(remote.address)
    seen: list[str] = []

    def commit(message: str) -> str:
        head = repository.open_repository(remote.address)
        seen.append(head.snapshot("main"))
        session = head.session()
        if len(seen) < 6 and message == "ours":  # another writer, while we work: three times
            commit("theirs")
        banks.layout.describe(session.store, "", {"about": f"{message} {len(seen)}"})
        return head.commit(session, message)

    snapshot = ours.atomically(lambda: commit("ours"))
    assert [one.message for one in ours.log(snapshot)] == ["ours", "theirs", "theirs", "theirs", "a new bank for lab"]
    assert len(set(seen)) == 4


def test_one_that_never_gets_through_is_refused_aloud_after_some_tries(
    remote: banks.Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers.time, "sleep", lambda _: None)
    tried: list[int] = []

    def work() -> None:
        tried.append(1)
        raise writers.ConflictError(remote.address)

    with pytest.raises(BankError, match="other writers committed in between"):
        repository.open_repository(remote.address).atomically(work)
    assert len(tried) == writers.TRIES


# One that fails or is killed.


def test_a_failure_in_the_middle_leaves_the_last_commit(
    bank: banks.Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank.add(made(tmp_path / "cruise1"))
    listed, before = (bank.path / "catalog.yaml").read_text(), bank.snapshot

    def fails(*_: object, **__: object) -> str:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(repository.Repository, "commit", fails)  # all is written by then
        with pytest.raises(OSError, match="Input/output"):
            bank.add(made(tmp_path / "cruise2", name="cruise2", seed=1))
    reopened = banks.open_bank(bank.path)
    assert (reopened.snapshot, reopened.expeditions()) == (before, ["cruise1"])
    assert (bank.path / "catalog.yaml").read_text() == listed
    assert bank.add(contribution.checked(tmp_path / "cruise2")).runs == {"s1": 5, "s2": 5}


def test_a_process_killed_while_it_writes_leaves_the_last_commit_and_no_lock(bank: banks.Bank, tmp_path: Path) -> None:
    bank.add(made(tmp_path / "cruise1"))
    before = bank.snapshot
    with processes(1, {}) as (writer,):
        writer.order(bank.path, write_expedition(tmp_path / "cruise2", name="cruise2", seed=1), "hang")
        assert writer.answer() == "hangs"
        os.kill(writer.process.pid, signal.SIGKILL)
        writer.process.wait()
        reopened = banks.open_bank(bank.path)
        assert (reopened.snapshot, reopened.expeditions()) == (before, ["cruise1"])
        assert reopened.add(contribution.checked(tmp_path / "cruise2")).runs == {"s1": 5, "s2": 5}


def test_a_bank_whose_making_was_cut_short_can_be_made_again(tmp_path: Path) -> None:
    (tmp_path / "bank" / ".repository").mkdir(parents=True)
    (tmp_path / "bank" / ".repository" / "half").write_bytes(b"a killed process left this")
    assert banks.create(tmp_path / "bank", site="lab").expeditions() == []
    assert not (tmp_path / "bank" / ".repository").exists()
