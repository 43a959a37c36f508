"""What is worked out of each block of spectra, once, while its counts are in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields

import dask.array as da
import numpy as np
from dask.base import compute
from dask.delayed import delayed

ROWS = 512
"""Spectra looked at together: 4 MB of counts for 2,048 channels."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Statistics of some spectra, each over (spectrum,)."""

    total: np.ndarray
    """Counts in all, int64."""
    digest: np.ndarray
    """Hash of the counts, 16 bytes."""


def collected(counts: np.ndarray | da.Array) -> Block:
    """Statistics of all spectra of ``counts`` (spectrum, channel), block by block where it is a dask array."""
    if isinstance(counts, da.Array):
        rows = counts.rechunk({1: -1}).to_delayed().ravel()
        parts = list(compute(*(delayed(_block)(one) for one in rows)))
    else:
        parts = [_block(counts[start : start + ROWS]) for start in range(0, counts.shape[0], ROWS)]
    parts = parts or [_block(np.zeros((0, counts.shape[1]), dtype=np.uint32))]
    return Block(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Block)))


def _block(counts: np.ndarray) -> Block:
    counts = np.ascontiguousarray(counts)
    digests = [hashlib.blake2b(row.data, digest_size=16).digest() for row in counts]
    return Block(
        total=counts.sum(axis=1, dtype=np.int64),
        digest=np.array(digests, dtype="V16"),
    )
