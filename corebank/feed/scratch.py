"""Blocks kept on a disk, as the slots hold them, for a selection that does not fit into memory.

Unpacking and scaling a spectrum take twenty times as long as reading it from a file of plain numbers, and a bank behind
a network takes longer still. So what was read once is kept there until the feed is gone. The file has no name: the
system takes its room back whenever the process ends, killed or not, and nobody else finds an old one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from corebank.errors import FeedError
from corebank.feed.slots import Rows


class Scratch:
    """A file with room for every block of a selection.

    Parameters
    ----------
    folder
        On a local disk.
    edges
        (blocks + 1,) first row of each block, and the number of rows.
    bins
        Energy bins of a row.
    sharing
        Processes that each make such a file on this disk, see `sharing`.

    Raises
    ------
    FeedError
        When there is no such folder, or its disk has less room than the files of all processes take.
    """

    def __init__(self, folder: Path, edges: NDArray[np.int64], bins: int, *, sharing: int = 1) -> None:
        if not folder.is_dir():
            raise FeedError(folder, "no folder", "Make it, or name another one as scratch")
        self._edges, self._bins, self._a_row = edges, bins, 4 * (bins + 2)
        wanted, free = int(edges[-1]) * self._a_row, shutil.disk_usage(folder).free
        if wanted * sharing > free:
            each = f" in each of the {sharing} processes that share the disk" if sharing > 1 else ""
            raise FeedError(
                folder,
                f"{free / 1e9:.1f} GB free, and the selection takes {wanted / 1e9:.1f} GB{each}",
                "Name a folder of another disk as scratch, select less, or go without: epochs then read the bank",
            )
        self._folder, self._lock, self._there = folder, threading.Lock(), set[int]()
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (closed by the line below)
        weakref.finalize(self, _close, self._file)

    def rows(self, block: int, make: Callable[[], Rows]) -> Rows:
        """The rows of a block, from the file; the first time what `make` returns, which is then written there.

        Raises `FeedError` when the disk is full, or has lost what was written.
        """
        first, last = self._edges[block : block + 2].tolist()
        if block in self._there:
            held = Rows(*(np.empty((last - first, width), np.float32) for width in (self._bins, 1, 1)))
            with self._lock:
                self._file.seek(first * self._a_row)
                whole = all(self._file.readinto(part.data.cast("B")) == part.nbytes for part in held)
            if not whole:
                raise FeedError(self._folder, "the scratch file is shorter than what was written", "Look at the disk")
            return held
        made = make()
        try:
            with self._lock:
                self._file.seek(first * self._a_row)
                for part in made:
                    self._file.write(part.data.cast("B"))
                self._file.flush()
        except OSError as error:
            raise FeedError(
                self._folder, f"the scratch file cannot be written: {error.strerror}", "Name another folder as scratch"
            ) from error
        self._there.add(block)
        return made


def sharing(world: int) -> int:
    """How many of `world` processes run on this computer, and so write to its disks.

    torchrun says it in ``LOCAL_WORLD_SIZE``; where nobody does, all of them are taken to be here.
    """
    return int(os.environ.get("LOCAL_WORLD_SIZE") or world) if world > 1 else 1


def _close(file: IO[bytes]) -> None:
    """Without another word where the disk is full: that was told when it was written to."""
    with contextlib.suppress(OSError):
        file.close()
