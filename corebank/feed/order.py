"""The order of an epoch, worked out on numbers alone before anything is read.

A block is visited once in an epoch, or as often as its most wanted spectrum appears. Visits are ordered by chance; one
block's visits lie evenly over the epoch, so that appearances of a spectrum are far apart. What a visit brings is
shuffled into a buffer, and what the buffer cannot hold leaves it for the batches. *Appearances* are numbered in the
order in which they are read; with every spectrum once, there are as many as rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BUFFER = 16_384
"""Spectra in the shuffle buffer. Of 60,000 spectra of 100 cores, stored core after core in blocks of 4,096, a batch of
256 then mixes 67 cores; no buffer gives 8, a full permutation 92 (table in docs/explanation/feed.md)."""

ARRIVAL = 8
"""The buffer is shuffled anew when at least one part in so many has come in, not for each short block."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one rank does in an epoch from some batch on."""

    numbers: NDArray[np.int64]
    """Appearances, batch after batch."""

    ends: NDArray[np.int64]
    """(batches + 1,) where each batch begins in `numbers`, and where the last one ends."""


@dataclass(frozen=True, slots=True)
class Order:
    """An epoch: what is read, and how it leaves the buffer."""

    blocks: NDArray[np.int64]
    """(visits,) the block of each visit, in the order of reading."""

    ends: NDArray[np.int64]
    """(visits + 1,) where the appearances of each visit begin, and where the last one ends."""

    rows: NDArray[np.int64]
    """(appearances,) the row of each, in the order of reading; rising within a visit."""

    leaving: NDArray[np.int64]
    """(appearances,) their numbers, in the order of leaving."""

    def share(self, batch_size: int, *, rank: int = 0, world: int = 1, start: int = 0) -> Share:
        """Rows `rank`, `rank` + `world`, ... of each batch from `start` on."""
        total = len(self.leaving)
        begins = np.arange(min(start * batch_size, total), total, batch_size)
        held = np.minimum(batch_size, total - begins)
        mine = np.maximum(-(-(held - rank) // world), 0)
        if world == 1:
            numbers = self.leaving[start * batch_size :]
        else:
            place = np.arange(start * batch_size, total) % batch_size
            numbers = self.leaving[start * batch_size :][place % world == rank]
        return Share(numbers, np.concatenate(([0], np.cumsum(mine))))


@dataclass(frozen=True, slots=True)
class Plan:
    """When this rank reads what: of all visits those that bring it something."""

    visits: NDArray[np.int64]
    """(n,) numbers of these visits."""

    numbers: NDArray[np.int64]
    """This rank's appearances in the order of reading."""

    ends: NDArray[np.int64]
    """(n + 1,) where those of each visit begin in `numbers`, and where the last ones end."""

    needed: NDArray[np.int64]
    """(batches,) how many of the visits must be done before each batch."""

    asked: NDArray[np.int64]
    """(batches,) how many are asked for by then."""

    slots: int
    """Most rows that wait at once."""

    @classmethod
    def of(cls, whole: Order, share: Share, sizes: NDArray[np.int64], ahead: int) -> Plan:
        """Of an order and a rank's share in it.

        `sizes` (visits,) are the rows of the visited blocks; so many rows `ahead` are asked for before their turn, or a
        block.
        """
        mine = np.zeros(len(whole.rows), dtype=np.bool_)
        mine[share.numbers] = True
        numbers = np.flatnonzero(mine)
        begins = np.searchsorted(numbers, whole.ends)
        visits = np.flatnonzero(np.diff(begins))
        ends = np.append(begins[visits], len(numbers))
        newest, held = np.full(len(share.ends) - 1, -1), np.diff(share.ends) > 0
        if held.any():
            newest[held] = np.maximum.reduceat(share.numbers, share.ends[:-1][held])
        # Of all batches up to each; a rank whose only batch is empty reads nothing.
        needed = np.searchsorted(whole.ends[visits], np.maximum.accumulate(newest), side="right")
        read = np.concatenate(([0], np.cumsum(sizes[visits])))
        asked = np.searchsorted(read, read[needed] + ahead, side="right") - 1
        asked = np.minimum(np.maximum(asked, needed + 1), len(visits))
        waiting = ends[asked] - share.ends[:-1]
        return cls(visits, numbers, ends, needed, asked, int(waiting.max(initial=0)))


def order(edges: NDArray[np.int64], seed: int, epoch: int, *, buffer: int, times: NDArray[np.int64] | None) -> Order:
    """The order of an epoch.

    Parameters
    ----------
    edges
        (blocks + 1,) first row of each block, and the number of rows.
    seed, epoch
        Decide it; two of either give two orders.
    buffer
        Spectra in the shuffle buffer; 0 for none, which still shuffles within a block.
    times
        (rows,) appearances of each row in this epoch; None for once each.
    """
    random = np.random.default_rng((seed, epoch))
    blocks = len(edges) - 1
    visited = random.permutation(blocks)
    if times is None:
        rows = [np.arange(edges[block], edges[block + 1]) for block in visited.tolist()]
    else:
        visited, rows = _visits(edges, visited, times, np.random.default_rng((seed, epoch, 1)))
    ends = np.concatenate(([0], np.cumsum([len(one) for one in rows])))
    return Order(visited, ends, np.concatenate(rows), _shuffled(ends, buffer, random))


def _visits(
    edges: NDArray[np.int64], turn: NDArray[np.int64], times: NDArray[np.int64], random: np.random.Generator
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """The block of each visit and the rows it brings; `turn` (blocks,) decides which block comes first."""
    when, block_of, rows_of = [], [], []
    for place, block in enumerate(turn.tolist()):
        wanted = times[edges[block] : edges[block + 1]]
        visits = int(wanted.max())
        for visit, local in enumerate(_spread(wanted, visits, random)):
            when.append((visit + (place + 0.5) / len(turn)) / visits)
            block_of.append(block)
            rows_of.append(local + edges[block])
    queue = np.argsort(when, kind="stable").tolist()
    return np.array([block_of[one] for one in queue]), [rows_of[one] for one in queue]


def _spread(wanted: NDArray[np.int64], visits: int, random: np.random.Generator) -> list[NDArray[np.int64]]:
    """Which rows of a block come at each of its visits: a row that is `wanted` less often skips some of them evenly."""
    if visits <= 1:
        return [np.flatnonzero(wanted)] * visits
    begin = random.integers(0, visits, len(wanted))
    row = np.repeat(np.arange(len(wanted)), wanted)
    turn = np.arange(len(row)) - np.repeat(np.cumsum(wanted) - wanted, wanted)
    visit = (turn * visits + begin[row]) // wanted[row]  # whole numbers at least one apart, all below `visits`
    sorted_by_visit = np.argsort(visit, kind="stable")
    return np.split(row[sorted_by_visit], np.cumsum(np.bincount(visit, minlength=visits))[:-1])


def _shuffled(ends: NDArray[np.int64], buffer: int, random: np.random.Generator) -> NDArray[np.int64]:
    """The numbers 0 ... `ends[-1]` - 1 in the order in which they leave the buffer."""
    leaving, gone = np.empty(ends[-1], dtype=np.int64), 0
    held = np.empty(0, dtype=np.int64)
    for first, last in _arrivals(ends, buffer // ARRIVAL):
        held = random.permutation(np.concatenate((held, np.arange(first, last))))
        left = held[buffer:]
        leaving[gone : gone + len(left)] = left
        gone, held = gone + len(left), held[:buffer]
    leaving[gone:] = held
    return leaving


def _arrivals(ends: NDArray[np.int64], least: int) -> Iterator[tuple[int, int]]:
    """Appearances from - to that come in together: whole visits, at least so many."""
    first = 0
    for last in ends[1:].tolist():
        if last - first >= least or last == ends[-1]:
            yield first, last
            first = last
