"""A process that adds a folder to a bank as often as it is asked, killed at the moment it is asked to die.

``python -m tests.bank.killing FOLDER`` imports corebank and checks the folder once, then reads lines ``BANK SECONDS
FILES`` from stdin: for each it forks a child that adds the checked folder to the bank, kills it with SIGKILL after so
many seconds or as soon as it has written so many files (nan: never), and answers with the seconds that the child lived,
the files that it wrote and its exit code. No thread is left before a fork: zarr, icechunk and dask start theirs in the
child.

``python -m tests.bank.killing`` alone, by hand, kills ``corebank add`` itself 50 times and prints the table.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import dask
import numpy as np
from tqdm import tqdm

from corebank import bank as banks
from corebank import contribution
from corebank.bank import verifying
from corebank.contribution import Contribution
from tests.bank.flips import everything, text
from tests.conftest import GRID
from tests.scanner import write_expedition

BEFORE, WRITING, COMMITTING, CATALOG, AFTER = "before", "writing", "committing", "committed, no catalog", "after"
"""Where a writer was when it died, as its files tell."""


def prepared(folder: Path) -> tuple[Path, Path]:
    """A bank with one contribution in it, and the folder of another one to the same expedition."""
    bank = banks.create(folder / "bank", site="lab", grid=GRID)
    bank.add(contribution.checked(write_expedition(folder / "first", sections=["S1"])))
    more = write_expedition(
        folder / "second", sections=["S2"], seed=3, laboratory="depth_cm,TOC,CaCO3\n0.2,1.1,20\n0.4,2,21\n"
    )
    return bank.path, more


class Moment(NamedTuple):
    """When a writer dies: the earlier of the two."""

    seconds: float = math.inf
    files: float = math.inf
    """Files of the repository that it has written."""


class Writer:
    """Adds a folder to banks and is killed while it does."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bank.killing", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def add(self, bank: Path, moment: Moment) -> tuple[Moment, int]:
        """Add the folder to `bank`, killed at `moment`; how long it lived and what it wrote, and its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{bank} {moment.seconds} {moment.files}\n")
        self._process.stdin.flush()
        seconds, files, code = self._process.stdout.readline().split()
        return Moment(float(seconds), float(files)), int(code)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@contextmanager
def writer(folder: Path) -> Iterator[Writer]:
    """A `Writer` that ends with the block."""
    made = Writer(folder)
    try:
        yield made
    finally:
        made.close()


@dataclass(frozen=True)
class Truth:
    """All that can be read of a bank before and after the contribution that is killed."""

    before: str
    after: str
    files: frozenset[str]
    catalog: str

    contribution: Contribution
    """The folder, checked."""

    @classmethod
    def of(cls, base: Path, folder: Path, scratch: Path) -> Truth:
        """Read it off `base`, and off a copy to which `folder` was added."""
        whole, checked = Path(shutil.copytree(base, scratch / "whole")), contribution.checked(folder)
        banks.open_bank(whole).add(checked)
        catalog = (base / "catalog.yaml").read_text()
        return cls(text(everything(base)), text(everything(whole)), _files(base), catalog, checked)


def survived(bank: Path, truth: Truth) -> str:
    """Where the writer of `bank` died; raises AssertionError unless all of it or nothing is there, and all can be."""
    new = {name.partition("/")[0] for name in _files(bank) - truth.files}
    found = text(everything(bank))
    assert found in (truth.before, truth.after), "a reader sees something between the two commits"
    committed = found == truth.after
    if committed:
        where = CATALOG if (bank / "catalog.yaml").read_text() == truth.catalog else AFTER
    else:
        where = COMMITTING if new & {"manifests", "snapshots", "transactions"} else WRITING if new else BEFORE
    again = banks.open_bank(bank).add(truth.contribution)
    assert again.nothing_new == committed
    assert (bank / "catalog.yaml").read_text() != truth.catalog
    whole = banks.open_bank(bank)
    assert verifying.verify(whole) == ()
    assert (whole.runs("cruise1"), len(whole.measurements("cruise1"))) == ({"s1": 5, "s2": 5}, 7)
    return where


def moments(whole: Moment, times: int, seed: int) -> list[Moment]:
    """Moments spread over a whole add: in turn by the clock and by the files that it has written, and a little beyond.

    Each is drawn by chance from one of as many equal parts. By the clock alone, two of three die before the first file.
    """
    at = 1.1 * (np.arange(times) + np.random.default_rng(seed).random(times)) / times
    return [
        Moment(seconds=float(share * whole.seconds))
        if number % 2
        else Moment(files=float(np.ceil(share * whole.files)))
        for number, share in enumerate(at)
    ]


def _files(bank: Path) -> frozenset[str]:
    return frozenset(
        f"{Path(folder).name}/{name}" for folder, _, names in os.walk(bank / "repository") for name in names
    )


def _serve(folder: Path) -> None:
    tqdm.monitor_interval = 0  # no thread that looks after progress bars
    with ThreadPoolExecutor(2) as crew, dask.config.set(pool=crew):  # which ends here; a child makes its own
        checked = contribution.checked(folder)
    assert threading.active_count() == 1, threading.enumerate()
    for line in sys.stdin:
        bank, seconds, files = line.strip().rsplit(" ", 2)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                banks.open_bank(bank).add(checked)
                code = 0
            finally:
                os._exit(code)
        lived, code = _ended(child, Path(bank), Moment(float(seconds), float(files)))
        print(lived.seconds, lived.files, code, flush=True)


def _ended(child: int, bank: Path, moment: Moment) -> tuple[Moment, int]:
    """Wait for a child, and kill it when its moment has come."""
    start, before = time.perf_counter(), len(_files(bank))
    killed = False
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        lived = Moment(time.perf_counter() - start, len(_files(bank)) - before)
        if done:
            return lived, os.waitstatus_to_exitcode(status)
        if not killed and (lived.seconds >= moment.seconds or lived.files >= moment.files):
            os.kill(child, signal.SIGKILL)
            killed = True
        time.sleep(0.002)


def main(times: int = 50, seed: int = 0) -> None:
    """Kill the command itself at moments spread over its life; print where it died."""
    with tempfile.TemporaryDirectory() as scratch:
        at = Path(scratch)
        base, folder = prepared(at)
        truth = Truth.of(base, folder, at)

        def command(bank: Path, moment: Moment) -> Moment:
            words = [sys.executable, "-m", "corebank", "add", str(bank), str(folder)]
            child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return _ended(child.pid, bank, moment)[0]

        lived = command(Path(shutil.copytree(base, at / "timed")), Moment())
        died: Counter[str] = Counter()
        for number, moment in enumerate(moments(lived, times, seed)):
            bank = Path(shutil.copytree(base, at / f"bank-{number}"))
            command(bank, moment)
            died[survived(bank, truth)] += 1
            shutil.rmtree(bank)
    print(f"corebank add takes {lived.seconds:.1f} s and writes {lived.files} files; killed {times} times:")
    for where in (BEFORE, WRITING, COMMITTING, CATALOG, AFTER):
        print(f"  {where}: {died[where]}")


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].isdigit():
        _serve(Path(sys.argv[1]))
    else:
        main(*(int(word) for word in sys.argv[1:]))
