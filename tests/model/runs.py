"""Small pretraining runs for the tests: in this process, or in one of its own that ends as it is told.

    python -m tests.model.runs FOLDER [--resume] [--scratch] [--lacks RANK] [--end KILL|TERM|ERROR at step|write N]

reads ``recipe.toml`` in FOLDER, trains on the tests' small cores, and leaves the bundle there. As one of several
processes where torchrun's environment says so. With ``--scratch`` nothing stays in memory, all in a file in FOLDER.
The process of the rank that ``--lacks`` names does not see the first spectrum.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from corebank import bundle
from corebank.augment import Augmentation
from corebank.bundle import Bundle
from corebank.feed import slots
from tests.model.cores import CONFIG, cores, laboratory
from training import checkpoint
from training.parsing import load, to_toml
from training.pretrain import pretrain
from training.recipe import Optimiser, Pretraining, Probe, Split
from training.steplog import Step, StepLog
from training.stopping import EXIT_CODE, TerminatedError
from training.together import team

PRETRAINING = Pretraining(
    name="f",
    model=CONFIG,
    normalization="log",
    epochs=4,
    batch_size=8,
    checkpoint_every=2,
    split=Split(held_out=("D",)),
    optimiser=Optimiser(rate=2e-3),
)
"""20 steps on cores A, B and C; D is held out."""

EVERYTHING = replace(
    PRETRAINING,
    epochs=9,
    checkpoint_every=5,
    balance=0.7,
    augmentation=Augmentation(thinning=0.5, gain=0.002, offset=0.01),
    probe=Probe(proxies=("CaCO3", "TOC"), every=2, patience=2, stop_units=("C",)),
)
"""The same with everything on that a resumed run must take up again; C only stops it, E trains."""

ROOT = Path(__file__).parents[2]


def selection() -> xr.Dataset:
    """25 spectra of each of five cores of two machines: the last batch of an epoch on three of them holds 3."""
    return cores(25, names=("A", "B", "C", "D", "E"))


def folder(path: Path, recipe: Pretraining | None = None) -> Path:
    """A run's folder, with the recipe for `start` in it."""
    (path / "figures").mkdir(parents=True)
    if recipe is not None:
        (path / "recipe.toml").write_text(to_toml(recipe), encoding="utf-8")
    return path


def here(path: Path, *, resume: bool = False) -> tuple[Bundle, dict[str, Any]]:
    """The run of the recipe in `path`, in this process."""
    recipe = load(path / "recipe.toml", Pretraining)
    return pretrain(recipe, selection(), path, measurements=laboratory(selection()), resume=resume)


@contextmanager
def interrupted(checkpoints: int) -> Iterator[None]:
    """What is done here ends as if a person had interrupted it, right after so many checkpoints were written."""
    save, written = checkpoint.save, 0

    def then_no_more(*arguments: Any) -> None:
        nonlocal written
        save(*arguments)
        written += 1
        if written == checkpoints:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it is one yield
        patch.setattr(checkpoint, "save", then_no_more)
        yield


def start(path: Path, *words: str, world: int = 1) -> list[subprocess.Popen[str]]:
    """The same in `world` processes of their own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(world), "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-m", "tests.model.runs", str(path), *words]
    return [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]


def ended(processes: list[subprocess.Popen[str]], seconds: float = 300) -> list[tuple[int, str]]:
    """Exit code and stderr of each; a process that hangs is killed, and fails the test."""
    try:
        said = [one.communicate(timeout=seconds)[1] for one in processes]
    finally:
        for one in processes:
            one.kill()
            one.wait()
    return [(one.returncode, text) for one, text in zip(processes, said, strict=True)]


def _ends(how: str, place: str, number: int) -> None:
    """Let this process end at a step, or in the middle of writing a checkpoint."""

    def end() -> None:
        if how == "ERROR":
            raise ValueError("a bug")
        os.kill(os.getpid(), getattr(signal, f"SIG{how}"))

    count = 0
    add, write = StepLog.add, vars(checkpoint)["save_file"]

    def at_step(log: StepLog, step: Step) -> None:
        add(log, step)
        if step.step == number:
            end()

    def at_write(*arguments: Any) -> None:
        nonlocal count
        write(*arguments)  # the new file is whole, and not yet in the place of the old one
        count += 1
        if count == number:
            end()

    changed: dict[str, Callable[[], None]] = {
        "step": lambda: setattr(StepLog, "add", at_step),
        "write": lambda: setattr(checkpoint, "save_file", at_write),
    }
    changed[place]()


def main(words: list[str]) -> int:
    """The program that is described above."""
    path = Path(words[0])
    if "--end" in words:
        how, place, number, *whose = words[words.index("--end") + 1].split(":")
        if not whose or whose[0] == os.environ.get("RANK"):
            _ends(how, place, int(number))
    scratch = path if "--scratch" in words else None
    if scratch:
        slots.MEMORY = 0
    recipe = load(path / "recipe.toml", Pretraining)
    try:
        with team("cpu") as member:
            spectra, values = selection(), laboratory(selection())
            resume = "--resume" in words
            if words[-2:] == ["--lacks", str(member.rank)]:
                spectra = spectra.isel(spectrum=slice(1, None))
            model, report = pretrain(
                recipe, spectra, path, measurements=values, resume=resume, here=member, scratch=scratch
            )
    except TerminatedError as error:
        print(error, file=sys.stderr)
        return EXIT_CODE
    if member.first:
        bundle.save(model, path / "bundle")
        (path / "metrics.json").write_text(json.dumps(report), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
