"""Counts on their way from raw files to a bank: kept in a scratch folder, block by block, and read back lazily.

A contribution may be far larger than memory. Its counts are parsed once, written to scratch as plain ``.npy`` blocks
and seen as one dask array; the scratch folder goes when the last array that reads from it goes.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

import dask.array as da
import numpy as np
from dask.delayed import delayed

from corebank.readers.blocks import BLOCK


class Scratch:
    """A folder that goes when nothing refers to it any more, or the program ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="corebank-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class Spool:
    """Rows of counts, all of one length, appended in order."""

    def __init__(self, channels: int) -> None:
        self.channels, self.rows = channels, 0
        self._scratch = Scratch()
        self._waiting: list[np.ndarray] = []
        self._blocks: list[tuple[Path, int]] = []

    def append(self, counts: np.ndarray) -> None:
        """Add spectra, (spectrum, channel) uint32."""
        self._waiting.extend(counts)
        self.rows += len(counts)
        while len(self._waiting) >= BLOCK:
            self._flush(BLOCK)

    def array(self) -> da.Array:
        """Everything added so far, lazy (spectrum, channel) uint32, in blocks of `BLOCK` spectra."""
        if self._waiting:
            self._flush(len(self._waiting))
        read = delayed(_read, pure=True)
        parts = [
            da.from_delayed(read(self._scratch, path), shape=(rows, self.channels), dtype=np.uint32)
            for path, rows in self._blocks
        ]
        whole: da.Array = da.concatenate(parts) if parts else da.zeros((0, self.channels), dtype=np.uint32)
        return whole

    def _flush(self, rows: int) -> None:
        path = self._scratch.path / f"{len(self._blocks)}.npy"
        np.save(path, np.stack(self._waiting[:rows]).astype(np.uint32, copy=False), allow_pickle=False)
        self._blocks.append((path, rows))
        del self._waiting[:rows]


def _read(_scratch: Scratch, path: Path) -> np.ndarray:
    """One block. Takes the scratch folder along, which lives as long as anything may read from it."""
    block: np.ndarray = np.load(path, allow_pickle=False)
    return block
