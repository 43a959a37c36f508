"""However large a selection is, a block or two of it is in memory, and the network need not wait for the next."""

from __future__ import annotations

import threading

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import predict
from corebank.predict import reading
from tests.registry.models import CONFIG, quantifier, spectra

BLOCK = 512


class Counted:
    """A lazy selection of blocks that counts which have been read, and says so to whoever waits."""

    def __init__(self, blocks: int) -> None:
        self.rates = spectra(BLOCK)["intensity"].values
        self.read: list[int] = []
        self.more = threading.Condition()
        size = (BLOCK,) * blocks
        intensity = da.map_blocks(self._made, chunks=(size, (CONFIG.bins,)), dtype=np.float32, meta=self.rates[:0])
        self.spectra = xr.Dataset(
            {"intensity": (("spectrum", "energy"), intensity, {"units": "count/s"})},
            coords={"energy": CONFIG.grid.centres},
        )

    def _made(self, block_info: dict[None, dict[str, tuple[int, int]]]) -> np.ndarray:
        with self.more:
            self.read.append(block_info[None]["chunk-location"][0])
            self.more.notify_all()
        return self.rates


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PIECE", BLOCK)


@pytest.mark.usefixtures("small_pieces")
def test_no_block_is_read_long_before_its_turn_nor_twice() -> None:
    counted = Counted(40)
    for done, table in enumerate(predict.stream(quantifier(outlier=None), counted.spectra)):
        assert len(counted.read) <= done + 4  # this one, and three that wait
        assert len(table) == BLOCK
    assert counted.read == list(range(40))


@pytest.mark.usefixtures("small_pieces")
def test_the_next_block_is_read_while_the_network_is_busy_with_this_one() -> None:
    counted = Counted(4)
    coming = predict.stream(quantifier(outlier=None), counted.spectra)
    next(coming)
    with counted.more:  # nobody asks for another table, and yet it is read
        assert counted.more.wait_for(lambda: len(counted.read) >= 2, timeout=60)
    coming.close()


@pytest.mark.usefixtures("small_pieces")
def test_who_leaves_early_has_no_more_blocks_read() -> None:
    counted = Counted(40)
    coming = predict.stream(quantifier(outlier=None), counted.spectra)
    next(coming)
    coming.close()
    assert len(counted.read) <= 5
    assert not [one for one in threading.enumerate() if one.name.startswith("predict")]


def test_what_is_not_asked_for_is_not_read() -> None:
    """A bank's selection has columns that no prediction needs; opening it must not fetch them."""

    @dask.delayed
    def never() -> np.ndarray:
        raise AssertionError("read")

    lazy = da.from_delayed(never(), shape=(12,), dtype=float)
    ds = spectra().assign(of_no_use=("spectrum", lazy))
    assert len(predict.quantify(quantifier(), ds)) == 12


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=12))
def test_blocks_are_whole_dask_blocks_in_order_and_small_ones_are_read_together(sizes: list[int]) -> None:
    rows = sum(sizes)
    lazy = xr.DataArray(da.zeros((rows, 1), chunks=(tuple(sizes), 1)), dims=("spectrum", "energy"))
    found = list(reading.spans(lazy))
    assert [span.start for span in found] == [0, *(span.stop for span in found[:-1])]
    assert found[-1].stop == rows
    ends = set(np.cumsum(sizes).tolist())
    assert {span.stop for span in found} <= ends
    for span in found[:-1]:
        assert span.stop - span.start >= reading.PIECE
        inside = sorted(end for end in ends if span.start < end < span.stop)
        assert not inside or inside[-1] - span.start < reading.PIECE  # no more of them than make a piece


def test_what_is_in_memory_goes_piece_by_piece() -> None:
    found = list(reading.spans(xr.DataArray(np.zeros((2500, 1)), dims=("spectrum", "energy"))))
    assert [(span.start, span.stop) for span in found] == [(0, 1024), (1024, 2048), (2048, 2500)]
