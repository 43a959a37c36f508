"""Blocks kept on a disk: the same batches to the bit, the bank read once, and nothing left behind."""

from __future__ import annotations

import errno
import gc
import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank.augment import Augmentation
from corebank.errors import FeedError
from corebank.feed import slots
from tests.feed.selections import Noting, make, rates, same, selection, sizes

VARIED = Augmentation(thinning=0.5, gain=0.01, offset=0.1)


@given(
    blocks=sizes,
    kind=st.sampled_from(["plain", "log", "times", "varied"]),
    start=st.integers(0, 3),
    world=st.sampled_from([1, 2]),
)
@settings(max_examples=30)
def test_batches_are_those_of_a_feed_without_to_the_bit(blocks: list[int], kind: str, start: int, world: int) -> None:
    """In the first epoch, which is taken up in the middle, and in those after it."""
    some = np.random.default_rng(1).choice([0.0, 0.3, 1.0, 2.5], sum(blocks))
    some[0] = 1
    chosen: dict[str, Any] = {"rank": world - 1, "world": world}
    chosen |= {"times": some} if kind == "times" else {"augmentation": VARIED} if kind == "varied" else {}
    with pytest.MonkeyPatch.context() as patched, tempfile.TemporaryDirectory() as folder:
        patched.setattr(slots, "MEMORY", 0)
        without = make(selection(blocks), **chosen)
        with_it = make(selection(blocks), scratch=Path(folder), **chosen)
        for epoch, first in ((0, start), (1, 0), (2, 0)):
            expected, found = list(without.epoch(epoch, start=first)), list(with_it.epoch(epoch, start=first))
            assert len(expected) == len(found)
            assert all(same(one, other) for one, other in zip(expected, found, strict=True))


def test_the_bank_is_read_once_and_no_file_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(slots, "MEMORY", 0)
    noting = Noting(rates(24))
    one = make(selection([9, 4, 11], array=noting), scratch=tmp_path)
    for epoch in range(3):
        assert sum(len(batch.row_B) for batch in one.epoch(epoch)) == 24
    assert sorted(noting.asked) == [(0, 9), (9, 13), (13, 24)]
    assert list(tmp_path.iterdir()) == [], "the file has no name: nothing is left of a process that is killed"


def test_what_fits_into_memory_takes_no_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: pytest.fail("nothing is to be written"))
    assert list(make(selection([9, 4, 11]), scratch=tmp_path).epoch(0))


def test_a_disk_without_room_and_a_folder_that_is_not_there_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(slots, "MEMORY", 0)
    with pytest.raises(FeedError, match="no folder"):
        make(selection([4]), scratch=tmp_path / "away")
    room = 4 * (selection([4]).sizes["energy"] + 2) * 4
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(room, 0, room))  # type: ignore[attr-defined]
    make(selection([4]), scratch=tmp_path)
    with pytest.raises(FeedError, match=r"0\.0 GB free, and the selection takes 0\.0 GB"):
        make(selection([4, 1]), scratch=tmp_path)


@pytest.mark.parametrize(
    ("world", "here", "sharing"),
    [(1, None, 1), (1, "4", 1), (4, None, 4), (4, "2", 2), (4, "1", 1)],
    ids=["one", "one of torchrun's", "all here", "two computers", "four computers"],
)
def test_the_processes_of_one_computer_need_room_for_as_many_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: int, here: str | None, sharing: int
) -> None:
    """Each writes nearly the whole selection; those of other computers write elsewhere."""
    spectra = selection([9, 4, 11])
    room = sharing * 24 * 4 * (spectra.sizes["energy"] + 2)
    monkeypatch.setattr(slots, "MEMORY", 0)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if here is not None:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", here)
    for free, enough in ((room, True), (room - 1, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: shutil._ntuple_diskusage(free, 0, free))  # type: ignore[attr-defined]
        if enough:
            assert list(make(spectra, world=world, scratch=tmp_path).epoch(0))
            continue
        told = f"GB in each of the {sharing} processes that share the disk" if sharing > 1 else r"takes 0\.0 GB\. Name"
        with pytest.raises(FeedError, match=told):
            make(spectra, world=world, scratch=tmp_path)


class Full(io.BytesIO):
    """A file on a disk that is full."""

    def write(self, _: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_fills_up_on_the_way_ends_the_epoch_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    full = Full()
    monkeypatch.setattr(slots, "MEMORY", 0)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)
    one = make(selection([9, 4, 11]), scratch=tmp_path)
    with pytest.raises(FeedError, match="the scratch file cannot be written: No space left on device"):
        list(one.epoch(0))
    del one
    gc.collect()
    assert full.closed


def test_what_a_disk_has_lost_is_not_taken_for_spectra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = io.BytesIO()
    monkeypatch.setattr(slots, "MEMORY", 0)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: kept)
    one = make(selection([9, 4, 11]), scratch=tmp_path)
    assert list(one.epoch(0))
    kept.truncate(len(kept.getvalue()) - 1)
    with pytest.raises(FeedError, match="shorter than what was written"):
        list(one.epoch(1))
