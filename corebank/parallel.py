"""The same work on many things, in parallel through Dask, a bounded number at a time, with a progress bar.

Threads of this process do it, unless a `dask.distributed.Client` is open: then the cluster does. Results come back in
order, and no more than a window of them is held at once, so memory does not grow with the number of things.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from dask.base import compute
from dask.delayed import delayed
from tqdm import tqdm

Thing = TypeVar("Thing")
Result = TypeVar("Result")

WINDOW = 8
"""Things worked on between two looks at the results; a block of 256 spectra of 2,048 channels is 2 MB."""

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
    windows = [range(start, min(start + WINDOW, len(things))) for start in range(0, len(things), WINDOW)]

    def done(window: range) -> tuple[Result, ...]:
        return tuple(compute(*(delayed(partial(work, things[one]), pure=False)() for one in window)))

    # The next window is worked on while the results of this one are used.
    with bar, ThreadPoolExecutor(1) as ahead:
        waiting = [ahead.submit(done, window) for window in windows[:1]]
        for number, window in enumerate(windows):
            results = waiting.pop().result()
            waiting = [ahead.submit(done, after) for after in windows[number + 1 : number + 2]]
            for one, result in zip(window, results, strict=True):
                bar.update(1 if sizes is None else sizes[one])
                yield result


@contextmanager
def scheduler(address: str) -> Iterator[None]:
    """Let a Dask cluster do what `each` asks for inside this block; with an empty address, threads of this process do.

    Parameters
    ----------
    address
        ``tcp://host:port`` of a scheduler whose workers see the same files under the same paths.
    """
    if not address:
        yield
        return
    from distributed import Client

    with Client(address):
        yield
