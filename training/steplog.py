"""``steps.csv``: a line for each step of a run, with its loss, learning rate and gradient; exact after a resume."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

NAME = "steps.csv"


class Step(NamedTuple):
    """One step."""

    step: int
    """From 1."""

    epoch: int
    """From 1."""

    loss: float
    """Mean over the hidden bins of the whole batch."""

    rate: float
    """Learning rate."""

    gradient: float
    """Norm of the gradient before it was clipped."""


class StepLog:
    """Writes the lines as they come, each at once: whoever looks at a run sees where it is.

    A resumed run's file is whole at any moment: what is kept of it is written beside it, and takes its place. A run
    goes on without the lines that are missing, since nothing but a figure is made from them, and stderr says which.

    Parameters
    ----------
    folder
        Of the run.
    done
        Steps that the checkpoint has: later lines, of a run that was killed since, are dropped.
    write
        False: nothing is written, for processes that leave it to another.
    """

    def __init__(self, folder: Path, done: int, *, write: bool = True) -> None:
        self._file = None
        if not write:
            return
        path = folder / NAME
        kept = [one for one in read(folder) if one.step <= done] if done and path.is_file() else []
        if absent := sorted(set(range(1, done + 1)) - {one.step for one in kept}):
            print(
                f"corebank: {path}: {len(absent)} of the {done} steps before the checkpoint are missing, the first is "
                f"{absent[0]}, the last {absent[-1]}. The run goes on without these lines, which no model needs",
                file=sys.stderr,
            )
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(Step._fields)
            table.writerows(kept)
        unfinished.replace(path)
        self._file = path.open("a", encoding="utf-8", newline="", buffering=1)
        self._table = csv.writer(self._file, lineterminator="\n")

    def add(self, step: Step) -> None:
        """Write a line; floats as the shortest text that reads back to the same bits."""
        if self._file is not None:
            self._table.writerow(step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()


def read(folder: Path) -> list[Step]:
    """The steps of the run in `folder`; a line that a killed run left unfinished is not among them."""
    with (folder / NAME).open(encoding="utf-8", newline="") as file:
        lines = [line for line in file if line.endswith("\n")]
    return [Step(int(one[0]), int(one[1]), *map(float, one[2:])) for one in list(csv.reader(lines))[1:]]
