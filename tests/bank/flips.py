"""Single bytes of a bank's repository changed, one at a time, and what becomes of each: ``python -m tests.bank.flips``.

A flip is *named* when opening, reading or verifying the bank raises or lists a fault, *nothing* when all that can be
read is what it was, and *silent* when something else is read and nobody says so. A flip may be returned by a reader
and named by verify alone; for spectra, columns, attributes and labels even that is counted, as *returned*.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import numpy as np

from corebank import bank as banks
from corebank import contribution
from corebank.bank import verifying
from corebank.errors import CorebankError
from tests.conftest import GRID
from tests.scanner import write_expedition


@dataclass(frozen=True)
class Outcome:
    """What became of one flip."""

    kind: str
    """Folder of the repository that the file lies in."""
    place: str
    """File and offset, and what the byte was turned by."""
    became: str
    """nothing, read (the reader raised), verify (it alone said so), returned or silent."""
    said: str
    typed: bool
    """False where opening, attributes or measurements raised anything but a `CorebankError`."""


def small_bank(folder: Path) -> Path:
    """Two commits and a release: two runs with an evaluation each, laboratory values, words."""
    bank = banks.create(folder / "bank", site="lab", grid=GRID)
    bank.add(contribution.checked(write_expedition(folder / "cruise1", sections=["S1"])))
    bank.tag("release-1")
    bank.add(contribution.checked(write_expedition(folder / "more", sections=["S2"], seed=3, laboratory=None)))
    return bank.path


def everything(path: Path) -> dict[str, Any]:
    """All that can be read of a bank: words first, then every array of every run, as comparable values."""
    bank = banks.open_bank(path)
    found: dict[str, Any] = {"about": bank.about, "expeditions": bank.expeditions()}
    for expedition in bank.expeditions():
        found[expedition] = bank.attributes(expedition)
        found[f"{expedition} measurements"] = bank.measurements(expedition).to_csv()
    for expedition in bank.expeditions():
        for run in bank.runs(expedition):
            for level in ("counts", "intensity"):
                with dask.config.set(scheduler="synchronous"):  # threads cost more than they save on five spectra
                    spectra = bank.run(expedition, run, level).load()
                found[f"{expedition}/{run} {level}"] = {
                    "attributes": spectra.attrs,
                    **{
                        str(name): (array.dims, array.attrs, array.values.tolist(), str(array.dtype))
                        for name, array in spectra.variables.items()
                    },
                }
            for name, table in bank.evaluations(expedition, run).items():
                found[f"{expedition}/{run} {name}"] = (table.to_csv(), table.attrs)
    return found


def history(path: Path) -> dict[str, Any]:
    """What a bank tells of its commits and releases; not the time of a commit, which nothing but Icechunk records."""
    bank = banks.open_bank(path)
    return {
        "log": [(one.snapshot, one.message, one.about) for one in bank.log()],
        "releases": bank._repository.releases(),
    }


def text(found: dict[str, Any]) -> str:
    """All of it as one text that is equal when all is equal, NaN included, in whatever order keys come."""
    return json.dumps(found, sort_keys=True, default=str)


def attempt(path: Path, file: Path, offset: int, turn: int, truth: tuple[str, str]) -> Outcome:
    """Change one byte, read everything, verify, and put the byte back."""
    before = file.read_bytes()
    changed = bytearray(before)
    changed[offset] ^= turn
    kind = file.relative_to(path / "repository").parts[0]
    place = f"{file.relative_to(path / 'repository')} byte {offset} ^ {turn}"
    file.write_bytes(bytes(changed))
    try:
        return Outcome(kind, place, *_became(path, truth))
    finally:
        file.write_bytes(before)


def _became(path: Path, truth: tuple[str, str]) -> tuple[str, str, bool]:
    try:
        now = text(everything(path))
    except Exception as error:
        return "read", f"{type(error).__name__}: {error}", isinstance(error, CorebankError) or _in_data(error)
    except BaseException as error:  # icechunk's Rust code panics with one
        if isinstance(error, KeyboardInterrupt):
            raise
        return "read", f"{type(error).__name__}: {error}", False
    told, typed = "", True
    try:
        told = "; ".join(map(str, verifying.verify(banks.open_bank(path))))
        past = text(history(path))
    except Exception as error:
        past, told, typed = "", f"{type(error).__name__}: {error}", isinstance(error, CorebankError)
    if now != truth[0]:
        return ("returned" if told else "silent"), told, typed
    if told:
        return "verify", told, typed
    return ("nothing", "", True) if past == truth[1] else ("silent log", past, True)


def _in_data(error: Exception) -> bool:
    """Whether an error came up while data was loaded, where dask, zarr or a codec may speak for itself."""
    trace, names = error.__traceback__, []
    while trace is not None:
        names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    return "load" in names and "read_measurements" not in names


def drawn(path: Path, number: int, seed: int) -> list[tuple[Path, int, int]]:
    """`number` flips: the kinds of files in turn, then a file, a byte of it and a change by chance."""
    kinds: dict[str, list[Path]] = {}
    for file in sorted((path / "repository").rglob("*")):
        if file.is_file():
            kinds.setdefault(file.relative_to(path / "repository").parts[0], []).append(file)
    rng, flips = np.random.default_rng(seed), []
    for turn in range(number):
        files = kinds[sorted(kinds)[turn % len(kinds)]]
        file = files[rng.integers(len(files))]
        flips.append((file, int(rng.integers(file.stat().st_size)), int(rng.integers(1, 256))))
    return flips


def table(outcomes: list[Outcome]) -> str:
    """Outcomes by kind of file, as lines of text."""
    became = ("nothing", "read", "verify", "returned", "silent log", "silent")
    counted = Counter((one.kind, one.became) for one in outcomes)
    lines = [f"{'':14}" + "".join(f"{name:>12}" for name in became)]
    lines += [
        f"{kind:14}" + "".join(f"{counted[kind, name]:12}" for name in became)
        for kind in sorted({one.kind for one in outcomes})
    ]
    return "\n".join(lines)


def main(number: int = 1000, seed: int = 0) -> None:
    """Flip; print what was silent or not told as an error of corebank as it comes, and the table now and then."""
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as scratch:
        path = small_bank(Path(scratch))
        truth = text(everything(path)), text(history(path))
        for flip in drawn(path, number, seed):
            outcomes.append(one := attempt(path, *flip, truth))
            if one.became in ("silent", "silent log", "returned") or not one.typed:
                print(one.became, "" if one.typed else "no CorebankError", one.place, one.said[:300], flush=True)
            if len(outcomes) % 50 == 0 or len(outcomes) == number:
                print(f"{len(outcomes)} flips\n{table(outcomes)}", flush=True)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
