"""How much memory streaming takes: measured in a process of its own, on far more spectra than it may hold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, sys
from pathlib import Path

import dask.array as da
import numpy as np
import torch
import xarray as xr

from corebank.feed import Feed
from corebank.normalize import Normalization
from tests.memory import peak

torch.set_num_threads(1)
rows, shard = int(sys.argv[1]), 4096


def made(block_info=None):
    '''A shard of spectra, each with its row number as its first bin.'''
    (first, last), _ = block_info[None]["array-location"]
    shape = np.linspace(400, 1, 2048, dtype=np.float32)
    block = np.empty((last - first, 2048), np.float32)
    block[:] = shape
    block[:, 0] = np.arange(first, last)
    return block


chunks = (tuple(min(shard, rows - first) for first in range(0, rows, shard)), (2048,))
intensity = da.map_blocks(made, chunks=chunks, dtype=np.float32, meta=np.empty((0, 0), np.float32))
spectra = xr.Dataset({"intensity": (("spectrum", "energy"), intensity)})
scratch = Path(sys.argv[2]) if sys.argv[2:] else None
feed = Feed(spectra, normalization=Normalization(), batch_size=256, seed=0, scratch=scratch)


before, seen, peaks = peak(), np.zeros(rows, bool), []
for number, batch in enumerate(feed.epoch(0)):
    found = np.rint((batch.values_BE * batch.scale_B1 + batch.mean_B1)[:, 0].numpy()).astype(int)
    assert (found == batch.row_B.numpy()).all()
    seen[found] = True
    if number in (len(feed) // 4, len(feed) - 1):
        peaks.append(peak())
print(json.dumps({"bytes": intensity.nbytes, "seen": int(seen.sum()), "before": before, "peaks": peaks}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("scratch", [False, True], ids=["streamed", "scratch"])
def test_streaming_far_more_than_memory_stays_below_a_gigabyte(scratch: bool, tmp_path: Path) -> None:
    """3.3 GB of intensity, eight times what a feed keeps and 24 times its buffer: flat after the first quarter."""
    rows = 400_000
    words = [sys.executable, "-c", PROGRAM, str(rows), *([str(tmp_path)] if scratch else [])]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["bytes"] > 3e9
    assert told["seen"] == rows
    quarter, end = told["peaks"]
    assert end < 1e9, told
    assert end - told["before"] < 700e6, told
    assert end - quarter < 100e6, "as much at the end of the epoch as after a quarter of it"
