"""What can go wrong where a bank lies: each is told as a sentence, and the bank stands at its last commit."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from corebank import bank as banks
from corebank.bank import beside, faults, repository, writers
from corebank.contribution import Contribution
from corebank.errors import BankNotFoundError
from tests.bank.standing import stands, two_cruises, whole
from tests.conftest import GRID
from tests.scanner import write_expedition


@pytest.fixture(scope="module")
def cruises(tmp_path_factory: pytest.TempPathFactory) -> tuple[Contribution, Contribution]:
    return two_cruises(tmp_path_factory.mktemp("cruises"))


# The disk.


@contextmanager
def mounted(folder: Path, *how: str) -> Iterator[None]:
    """`mount` on a folder until the block ends; the test is skipped where this account may not."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *how, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this account may not mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.skipif(not shutil.which("mount"), reason="there is no mount here")
def test_a_full_disk_is_named_and_costs_nothing_wherever_it_fills(
    tmp_path: Path, cruises: tuple[Contribution, Contribution]
) -> None:
    disk = tmp_path / "disk"
    with mounted(disk, "-t", "tmpfs", "-o", "size=4m", "tmpfs"):
        bank = banks.create(disk / "bank", site="lab", grid=GRID)
        before = bank.add(cruises[0]).snapshot
        told: list[str] = []
        for free in (0, 8, 32, 64, 96, 112, 128, 160):  # kB: from nothing at all to nearly enough
            if bank.snapshot != before:
                break
            (disk / "filler").write_bytes(bytes(max(0, shutil.disk_usage(disk).free - free * 1024)))
            try:
                bank.add(cruises[1])
            except faults.StorageError as error:
                told.append(str(error))
            bank = stands(disk / "bank", before, cruises)
            (disk / "filler").unlink()
        assert len(told) >= 3
        assert all(said.startswith(f"{disk / 'bank'}: the disk is full. Free some space") for said in told)
        bank.add(cruises[1])
        assert stands(disk / "bank", "", cruises).expeditions() == ["cruise1", "cruise2"]


@contextmanager
def unwritable(folder: Path) -> Iterator[str]:
    """`folder` without the right to write in it; what the error will say of it."""
    if os.geteuid() == 0:  # whom no mode of a file stops
        with mounted(folder, "--bind", str(folder)):
            subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
            yield "a disk that can only be read"
        return
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        yield "this account may not do that there"
    finally:
        for path in (folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode | 0o200)


@pytest.mark.skipif(not shutil.which("mount"), reason="there is no mount here")
def test_a_folder_that_cannot_be_written_is_named_and_can_be_read(
    tmp_path: Path, cruises: tuple[Contribution, Contribution]
) -> None:
    folder = tmp_path / "lab"
    bank = banks.create(folder / "bank", site="lab", grid=GRID)
    before = bank.add(cruises[0]).snapshot
    with unwritable(folder) as said:
        for write in (
            lambda: bank.add(cruises[1]),
            lambda: bank.tag("v1"),
            lambda: banks.create(folder / "other", site="lab"),
        ):
            with pytest.raises(faults.StorageError, match=said):
                write()
        assert stands(folder / "bank", before, cruises).snapshot == before
    bank.add(cruises[1])
    assert sorted(path.name for path in folder.iterdir()) == ["bank"]


@pytest.mark.parametrize(("meets", "lands"), [(1, False), (2, True)])
def test_a_commit_is_told_as_done_only_when_it_is_on_the_disk(
    meets: int, lands: bool, tmp_path: Path, cruises: tuple[Contribution, Contribution], monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = banks.create(tmp_path / "bank", site="lab", grid=GRID)
    before = bank.add(cruises[0]).snapshot
    asked: list[str] = []

    def fails(address: str) -> None:
        asked.append(address)
        if len(asked) == meets:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(writers, "onto_disk", fails)
        with pytest.raises(faults.StorageError, match="the disk fails"):
            bank.add(cruises[1])
    assert asked == [str(bank.path)] * meets  # the chunks before they are named, and then the commit
    assert (stands(bank.path, before, cruises).snapshot != before) == lands


# The clock.

CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(id, now);
    if (id == CLOCK_REALTIME) now->tv_sec += atol(getenv("CLOCK_IS_AHEAD"));
    return done;
}
"""

ADD = textwrap.dedent("""
    import sys
    from pathlib import Path
    from corebank import bank as banks, contribution
    from corebank.errors import BankError
    try:
        banks.open_bank(sys.argv[1]).add(contribution.checked(Path(sys.argv[2])))
    except BankError as error:
        sys.exit(str(error))
""")


@pytest.mark.skipif(not shutil.which("cc") or sys.platform != "linux", reason="no compiler to bend the clock with")
@pytest.mark.parametrize("ahead", [-86_400, 86_400])
def test_a_clock_that_is_a_day_off_is_refused_and_damages_nothing(
    ahead: int, tmp_path: Path, cruises: tuple[Contribution, Contribution]
) -> None:
    bank = banks.create(tmp_path / "bank", site="lab", grid=GRID)
    before = bank.add(cruises[0]).snapshot
    (tmp_path / "clock.c").write_text(CLOCK)
    bent = tmp_path / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(bent), str(tmp_path / "clock.c"), "-ldl"], check=True)
    folder = write_expedition(tmp_path / "2", name="cruise2", sections=("S1",), count=40, seed=1, laboratory=None)
    done = subprocess.run(
        [sys.executable, "-c", ADD, str(bank.path), str(folder)],
        env=os.environ | {"LD_PRELOAD": str(bent), "CLOCK_IS_AHEAD": str(ahead)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "the clock of this machine disagrees" in done.stderr
    assert stands(bank.path, before, cruises).snapshot == before
    bank.add(cruises[1])
    assert stands(bank.path, "", cruises).expeditions() == ["cruise1", "cruise2"]


# What a damaged repository is called.


def test_a_lost_and_a_damaged_file_are_told_apart_from_a_bank_that_is_not_there(
    tmp_path: Path, cruises: tuple[Contribution, Contribution]
) -> None:
    bank = banks.create(tmp_path / "bank", site="lab", grid=GRID)
    bank.add(cruises[1])
    head = bank.path / "repository" / "snapshots" / bank.snapshot
    kept = head.read_bytes()
    head.unlink()
    with pytest.raises(faults.StorageError, match="a file of the repository is missing"):
        banks.open_bank(bank.path).expeditions()
    head.write_bytes(kept[: len(kept) // 2])
    with pytest.raises(faults.StorageError, match="the repository says"):
        banks.open_bank(bank.path).expeditions()
    head.write_bytes(kept)
    assert whole(banks.open_bank(bank.path), cruises[1])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO, errno.EDQUOT])
def test_what_the_system_says_is_told_with_what_to_do(number: int) -> None:
    told = str(faults.told("/lab/bank", OSError(number, os.strerror(number))))
    assert told.startswith("/lab/bank: ")
    assert "the repository says" not in told


def test_the_message_of_a_commit_is_not_taken_for_what_went_wrong() -> None:
    wrapped = (
        "  x session error: odd\n  | \n  | context:\n  |    0: icechunk::commit\n  |        with add 403 spectra\n"
    )
    assert "the repository says: x session error: odd. Run" in str(faults.told("/lab/bank", ValueError(wrapped)))


def test_a_name_in_the_address_is_not_taken_for_what_went_wrong() -> None:
    assert "the repository says" in str(faults.told("/lab/403 AccessDenied", ValueError("/lab/403 AccessDenied odd")))


def test_corebanks_own_errors_pass_as_they_are() -> None:
    address = f"memory://{uuid.uuid4().hex}"
    with pytest.raises(BankNotFoundError), faults.telling(address, Exception):
        repository.open_repository(address)
    assert beside.names(address) == set()
