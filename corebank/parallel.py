"""The same work on many things, in parallel through Dask, a bounded number at a time, with a progress bar.

Threads of this process do it; inside `scheduler` a cluster does, or, when there is much to do, processes of this
machine: parsing text holds Python's lock, so that threads hardly run side by side. Results come back in order, and no
more than two windows of them are held at once, so memory does not grow with the number of things.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, partial
from multiprocessing import get_context
from typing import Any, TypeVar

from dask.base import compute
from dask.delayed import delayed
from tqdm import tqdm

Thing = TypeVar("Thing")
Result = TypeVar("Result")

WINDOW = 8
"""Things worked on between two looks at the results; a block of 256 spectra of 2,048 channels is 2 MB."""

MANY = 12
"""Things from which on processes are worth the two seconds in which they start; three thousand spectra are as many."""

_SHOWN_AFTER = 2.0


def each(
    work: Callable[[Thing], Result], things: Sequence[Thing], about: str, *, sizes: Sequence[int] | None = None
) -> Iterator[Result]:
    """The results of `work` on each of `things`, in order.

    Parameters
    ----------
    work
        A module's function: a cluster's worker must be able to import it.
    things
        What to work on; each is sent to a worker as it is.
    about
        What the progress bar says. It appears after two seconds, on a terminal only.
    sizes
        What each thing adds to the bar; 1 where it is not given.
    """
    bar = tqdm(
        total=sum(sizes) if sizes is not None else len(things),
        desc=about,
        unit="",
        delay=_SHOWN_AFTER,
        disable=not sys.stderr.isatty(),
        leave=False,
    )
    crew = _crew(len(things))
    windows = [range(start, min(start + WINDOW, len(things))) for start in range(0, len(things), WINDOW)]

    def done(window: range) -> tuple[Result, ...]:
        return tuple(compute(*(delayed(partial(work, things[one]), pure=False)() for one in window), **crew))

    # The next window is worked on while the results of this one are used.
    with bar, ThreadPoolExecutor(1) as ahead:
        waiting = [ahead.submit(done, window) for window in windows[:1]]
        for number, window in enumerate(windows):
            results = waiting.pop().result()
            waiting = [ahead.submit(done, after) for after in windows[number + 1 : number + 2]]
            for one, result in zip(window, results, strict=True):
                bar.update(1 if sizes is None else sizes[one])
                yield result


_PROGRAM = ContextVar("program", default=False)
"""True inside `scheduler`: only a program of ours may start processes, which import the main module once more."""


def _crew(things: int) -> dict[str, Any]:
    """Arguments of `dask.compute` that say who does the work; none for whoever Dask is set to use."""
    if not _PROGRAM.get() or things < MANY:
        return {}
    return {"scheduler": "processes", "pool": _processes()}


@lru_cache(maxsize=1)
def _processes() -> ProcessPoolExecutor:
    """The processes of this program, started when they are first needed; they end with it."""
    return ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn"))


@contextmanager
def scheduler(address: str) -> Iterator[None]:
    """Let a Dask cluster, or processes of this machine, do what `each` asks for inside this block. For programs.

    Parameters
    ----------
    address
        ``tcp://host:port`` of a scheduler whose workers see the same files under the same paths, or empty.
    """
    if not address:
        token = _PROGRAM.set(True)
        try:
            yield
        finally:
            _PROGRAM.reset(token)
        return
    from distributed import Client

    with Client(address):
        yield
