"""The contract that corebank.testing hands to member labs catches the readers that labs write first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from corebank.errors import ReadError
from corebank.testing import reader_contract


def write(counts: np.ndarray) -> bytes:
    """A format as simple as can be: how many channels, then a count per line."""
    return b"".join(b"%d\n" % number for number in (len(counts), *counts))


def careful(path: Path) -> xr.Dataset:
    content = path.read_bytes()
    lines = content.split(b"\n")
    if lines[-1] or not all(line.isdigit() and len(line) <= 10 for line in lines[:-1]) or len(lines) < 3:
        raise ReadError(path, "holds no counts, or half a line", "Copy it again")
    if int(lines[0]) != len(lines) - 2 or any(int(line) >= 2**32 for line in lines[:-1]):
        raise ReadError(path, "was cut short", "Copy it again")
    return xr.Dataset({"counts": (("spectrum", "channel"), np.array([lines[1:-1]], dtype=np.uint32))})


def trusting(path: Path) -> xr.Dataset:
    """Takes what is there for all there is."""
    lines = [line for line in path.read_bytes().split() if line.isdigit()]
    return xr.Dataset({"counts": (("spectrum", "channel"), np.array([lines[1:]], dtype=np.uint64).astype(np.uint32))})


def rounding(path: Path) -> xr.Dataset:
    """Loses the last bit of each count."""
    return careful(path) // 2 * 2


def breaking(path: Path) -> xr.Dataset:
    """Lets whatever Python raises through."""
    try:
        return careful(path)
    except ReadError as error:
        if not path.read_bytes().startswith(b"64"):
            raise KeyError("channels") from error
        raise


def test_a_careful_reader_passes() -> None:
    reader_contract(write, careful)


@pytest.mark.parametrize(
    ("reader", "found"),
    [(trusting, "bytes were read as a whole spectrum"), (rounding, "Arrays are not equal")],
    ids=["prefixes", "rounding"],
)
def test_a_reader_that_takes_prefixes_or_rounds_counts_fails(reader: object, found: str) -> None:
    with pytest.raises(AssertionError, match=found):
        reader_contract(write, reader)  # type: ignore[arg-type]  # one of the functions above


def test_a_reader_that_lets_other_errors_through_fails() -> None:
    with pytest.raises(KeyError, match="channels"):
        reader_contract(write, breaking)
