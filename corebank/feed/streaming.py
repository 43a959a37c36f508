"""From blocks to batches: reading ahead, in threads, while the model works."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import Context, copy_context
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from corebank.augment import Augmentation
from corebank.errors import FeedError
from corebank.feed import slots
from corebank.feed.batch import Batch, settings
from corebank.feed.blocks import Blocks
from corebank.feed.order import BUFFER, Order, Plan, order
from corebank.feed.sampling import Sampling
from corebank.feed.scratch import Scratch, sharing
from corebank.feed.slots import Slots
from corebank.model import SETTINGS
from corebank.normalize import Normalization, zeroed
from corebank.schema import EnergyGrid

READERS = 4
"""Blocks that are read at once; a remote store, or a cluster, makes each of them wait."""

AHEAD_ROWS = 8_192
"""Rows of blocks that are asked for before their turn; a block that is larger is asked for alone."""

AHEAD = 4
"""Batches that are made before the model asks for them."""

LIVE_TIME = SETTINGS.index("live_time")


class Feed:
    """Batches of a selection, each spectrum exactly once an epoch, or as often as `times` says.

    An epoch and the number of a batch are all the state there is: `epoch` goes on from any of them.

    Parameters
    ----------
    spectra
        ``intensity`` (spectrum, energy) [count/s], NaN where not measured; dask-backed or in memory. Blocks are its
        chunks along ``spectrum`` (see `corebank.rows.aligned`).
    normalization
        How spectra are scaled.
    batch_size
        Spectra in a batch of all ranks together; the last one of an epoch may hold fewer.
    seed
        Decides the order, together with the number of the epoch.
    buffer
        Rows of the shuffle buffer, of all ranks together.
    rank, world
        Of each batch this process gets the rows `rank`, `rank` + `world`, ...; of a short last one perhaps none.
    times
        (spectrum,) how often each is wanted in an epoch, whole or not; None for once. An epoch holds it rounded down or
        up (`corebank.feed.sampling`).
    augmentation
        Vary rates before they are normalised, by chance that seed, epoch, number of the batch and rank decide.
    device
        Where batches are put, and where they are augmented.
    scratch
        Folder on a local disk. A selection that does not fit into memory is kept there, normalised, in a file that is
        gone with the feed: the bank is read in the first epoch only. Each process has a file of its own. None reads
        the bank in each epoch.

    Raises
    ------
    FeedError
        When the selection is empty, holds no intensity, or names an anode that is no element; when `times` are no
        numbers for its spectra, or there is no such rank; when the disk of `scratch` has too little room for the
        files of all processes on this computer.
    """

    def __init__(
        self,
        spectra: xr.Dataset,
        *,
        normalization: Normalization,
        batch_size: int,
        seed: int,
        buffer: int = BUFFER,
        rank: int = 0,
        world: int = 1,
        times: NDArray[np.float64] | None = None,
        augmentation: Augmentation | None = None,
        device: str | torch.device = "cpu",
        scratch: Path | None = None,
    ) -> None:
        if "intensity" not in spectra:
            raise FeedError("feed", "the selection has no intensity", "Open it at the intensity level")
        if not 0 <= rank < world:
            raise FeedError("feed", f"rank {rank} of {world}", "Count ranks from 0")
        self._blocks = Blocks(spectra["intensity"])
        self.rows = self._blocks.rows
        """Spectra of the selection."""
        if times is not None and np.shape(times) != (self.rows,):
            raise FeedError("feed times", f"{np.shape(times)} for {self.rows} spectra", "Give a number for each")
        self._sampling = None if times is None else Sampling(np.asarray(times, dtype=np.float64), seed)
        self.spectra_per_epoch = self.rows if self._sampling is None else self._sampling.total
        """Spectra that all ranks together see in an epoch."""
        self._settings = torch.from_numpy(settings(spectra))
        self._normalization, self._batch_size, self._seed, self._buffer = normalization, batch_size, seed, buffer
        self._rank, self._world, self._device = rank, world, torch.device(device)
        self._augmentation = augmentation if augmentation and augmentation.on else None
        if self._augmentation and "grid" not in spectra.attrs:
            raise FeedError("feed", "no energy grid, which augmentation needs", "Set attribute 'grid'")
        self._grid = EnergyGrid.from_json(spectra.attrs["grid"]) if self._augmentation else None
        self._kept: Slots | None = None
        if self.rows * self._blocks.bins * 4 * world <= slots.MEMORY:
            self._kept = self._slots(self.rows)
        self._scratch: Scratch | None = None
        if self._kept is None and scratch is not None:
            self._scratch = Scratch(scratch, self._blocks.edges, self._blocks.bins, sharing=sharing(world))
        self._spare: list[Slots] = []
        self._there: set[int] = set()

    def __len__(self) -> int:
        """Batches in an epoch, on every rank."""
        return -(-self.spectra_per_epoch // self._batch_size)

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch `epoch` from number `start` on: exactly those that an unbroken epoch would have given.

        Blocks of which this rank needs no row from there on are not read. An error in reading a block is raised here,
        as it is, instead of the batch that needs the block. Whoever leaves in the middle waits only for the blocks that
        are being read.
        """
        with ExitStack() as threads:
            # Last in, first out: the maker of batches waits for readers, so these are told to stop first.
            maker = ThreadPoolExecutor(1, thread_name_prefix="feed")
            threads.callback(maker.shutdown, cancel_futures=True)
            readers = ThreadPoolExecutor(READERS, thread_name_prefix="feed-reader")
            threads.callback(readers.shutdown, cancel_futures=True)
            batches = self._batches(epoch, start, readers, copy_context())
            coming = deque(maker.submit(next, batches, None) for _ in range(AHEAD))
            while (batch := coming.popleft().result()) is not None:
                coming.append(maker.submit(next, batches, None))
                yield batch

    def order(self, epoch: int) -> Order:
        """What epoch `epoch` reads, and in which order it leaves the shuffle buffer, for all ranks together."""
        times = self._sampling.draw(epoch) if self._sampling else None
        return order(self._blocks.edges, self._seed, epoch, buffer=self._buffer, times=times)

    def _batches(self, epoch: int, start: int, readers: ThreadPoolExecutor, context: Context) -> Iterator[Batch]:
        whole = self.order(epoch)
        share = whole.share(self._batch_size, rank=self._rank, world=self._world, start=start)
        plan = Plan.of(whole, share, np.diff(self._blocks.edges)[whole.blocks], AHEAD_ROWS)
        room = self._kept or self._room(plan.slots)
        free, slot_of = np.arange(len(room)), np.empty(len(whole.rows), dtype=np.int64)
        left, asked, there = len(free), 0, 0
        coming: deque[Future[None] | None] = deque()
        for batch, (needed, ahead) in enumerate(zip(plan.needed.tolist(), plan.asked.tolist(), strict=True)):
            while asked < ahead:
                numbers = plan.numbers[plan.ends[asked] : plan.ends[asked + 1]]
                block, rows = int(whole.blocks[plan.visits[asked]]), whole.rows[numbers]
                if self._kept is not None:
                    slot_of[numbers] = rows
                    first, last = self._blocks.edges[block : block + 2].tolist()
                    into = rows = np.arange(first, last)  # another epoch needs the others
                else:
                    into = slot_of[numbers] = free[left - len(rows) : left]
                    left -= len(rows)
                known = block in self._there
                coming.append(
                    None if known else readers.submit(context.copy().run, self._read, block, rows, into.copy(), room)
                )
                asked += 1
            while there < needed:
                if (reading := coming.popleft()) is not None:
                    reading.result()
                there += 1
            numbers = share.numbers[share.ends[batch] : share.ends[batch + 1]]
            here = slot_of[numbers]
            yield self._batch(room, here, whole.rows[numbers], (epoch, start + batch))
            if self._kept is None:
                free[left : left + len(here)] = here
                left += len(here)
        if self._kept is None:
            self._spare[:] = [room]  # only of a whole epoch: of a broken one readers may still be writing

    def _room(self, needed: int) -> Slots:
        """The slots of an epoch that has ended, whose memory this process has already, or new ones."""
        try:
            spare = self._spare.pop()  # by one epoch only, where several are under way
        except IndexError:
            return self._slots(needed)
        return spare if len(spare) >= needed else self._slots(needed)

    def _read(self, block: int, rows: NDArray[np.int64], into: NDArray[np.int64], room: Slots) -> None:
        """Read a block, and put `rows` of the selection into the slots `into`; runs in a reader's thread."""
        rows = rows - self._blocks.edges[block]
        if self._scratch is None:
            room.put(into, self._blocks.read(block), rows)
        else:
            held = self._scratch.rows(block, lambda: room.made(self._blocks.read(block)))
            room.copy(into, held, rows)
        if room is self._kept:
            self._there.add(block)

    def _batch(self, room: Slots, here: NDArray[np.int64], rows: NDArray[np.int64], number: tuple[int, int]) -> Batch:
        row_B = torch.from_numpy(rows)  # noqa: N806
        held = room.get(here)
        settings_BS = self._settings[row_B].to(self._device)  # noqa: N806
        if self._augmentation is None or self._grid is None:
            measured = np.isfinite(held.values)
            arrays = (zeroed(held.values, measured, out=held.values), measured, held.mean, held.scale)
            values, known, mean, scale = (torch.from_numpy(array).to(self._device) for array in arrays)
            return Batch(values, known, settings_BS, row_B, mean, scale)
        chance = np.random.SeedSequence((self._seed, *number, self._rank)).generate_state(1, np.uint64)
        generator = torch.Generator(self._device).manual_seed(int(chance[0] >> np.uint64(1)))
        rates = torch.from_numpy(held.values).to(self._device)
        rates, live_time = self._augmentation(rates, settings_BS[:, LIVE_TIME].clone(), generator, self._grid)
        settings_BS[:, LIVE_TIME] = live_time
        values, known, mean, scale = self._normalization.tensors(rates)
        return Batch(values, known, settings_BS, row_B, mean, scale)

    def _slots(self, number: int) -> Slots:
        return Slots(number, self._blocks.bins, None if self._augmentation else self._normalization)
