"""What reading costs where every object is a request: counted at a web server, for banks of two runs and of twenty.

The server serves the repository's own files, so what is counted is what Icechunk asks for, caches and all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corebank import bank as banks
from corebank import catalog, contribution
from tests.bank.stores import web
from tests.conftest import GRID
from tests.scanner import write_expedition

SIZES = (2, 20)
"""Runs of the expedition ``wide`` in the small and the large bank."""

AHEAD = 6
"""Manifests that Icechunk may fetch of itself, in the background, when a snapshot is opened."""


class Requests(list[tuple[str, str | None]]):
    """What was asked of the server: (path, range)."""

    def of(self, kind: str) -> list[tuple[str, str | None]]:
        """Those for one kind of object: chunks, manifests, snapshots, refs."""
        return [(path, part) for path, part in self if f"/repository/{kind}/" in path]

    @property
    def objects(self) -> set[str]:
        """Chunk objects that were asked for, whole or in part."""
        return {path for path, _ in self.of("chunks")}

    def during(self, work: Callable[[], Any]) -> Any:
        """Do `work` and hold what it asks for, nothing else."""
        self.clear()
        return work()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Number of runs -> bank: ``wide`` with so many, and ``long`` with one of 600 spectra in three chunks."""
    root, made = tmp_path_factory.mktemp("requests"), {}
    long = contribution.checked(
        write_expedition(root / "long", name="long", sections=["L"], count=600, laboratory=None)
    )
    for size in SIZES:
        sections = [f"S{number}" for number in range(size)]
        wide = write_expedition(root / f"wide-{size}", name="wide", sections=sections, count=12)
        bank = banks.create(root / f"bank-{size}", site="lab", grid=GRID)
        bank.add(long)
        bank.add(contribution.checked(wide))
        made[size] = bank.path
    return made


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, Requests]]:
    asked = Requests()
    with web(folder, asked) as address:
        yield address, asked


def test_opening_one_run_asks_for_as_many_objects_whatever_the_bank_holds(folders: dict[int, Path]) -> None:
    numbers = {}
    for size, folder in folders.items():
        with served(folder) as (address, asked):
            asked.during(lambda address=address: banks.open_bank(address).run("wide", "s1"))
            assert not asked.objects, "no data are read before they are asked for"
            assert len({path for path, _ in asked.of("snapshots")}) == 1, "one snapshot names every group and array"
            assert len(asked.of("manifests")) <= AHEAD + 2
            numbers[size] = len(asked) - len(asked.of("manifests"))
    assert numbers[2] == numbers[20] <= 8


def test_what_a_bank_tells_of_itself_costs_nothing_once_it_is_open(folders: dict[int, Path]) -> None:
    with served(folders[20]) as (address, asked):
        bank = banks.open_bank(address)
        asked.during(lambda: [bank.expeditions(), bank.runs("wide"), bank.attributes("long"), bank.grid, bank.site])
        assert len(asked) == len(asked.of("manifests")) <= AHEAD


def test_ten_neighbouring_spectra_are_one_range_of_one_object(folders: dict[int, Path]) -> None:
    """A shard says at its end where its chunks lie; after that look, one chunk of three is asked for."""
    with served(folders[20]) as (address, asked):
        counts = banks.open_bank(address).run("long", "l", "counts")["counts"]
        found = asked.during(counts.isel(spectrum=slice(300, 310)).load)
        assert len(asked.objects) == 1
        assert len(asked.of("manifests")) <= 1
        index, chunk = sorted((span(part) for _, part in asked.of("chunks")), key=len)
        assert len(index) == 16 * 3 + 4, "offset and length of three chunks, and a checksum"
        whole = sum(len(span(part)) for _, part in chunks_of(counts, asked))
        assert len(chunk) < whole / 2
        np.testing.assert_array_equal(found.values, counts.values[300:310])


def chunks_of(counts: Any, asked: Requests) -> list[tuple[str, str | None]]:
    """The ranges that reading all of an array asks for, but for those of shard indices."""
    asked.during(counts.load)
    return [(path, part) for path, part in asked.of("chunks") if len(span(part)) > 100]


def span(part: str | None) -> range:
    """The bytes of a Range header."""
    first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", part or "").groups()  # type: ignore[union-attr] - or it raises
    return range(int(first), int(last) + 1)


def test_opening_an_expedition_reads_no_spectrum_and_two_manifests_a_run_at_most(folders: dict[int, Path]) -> None:
    for size, folder in folders.items():
        with served(folder) as (address, asked):
            bank = banks.open_bank(address)
            spectra = asked.during(lambda bank=bank: bank.spectra("wide"))
            assert spectra.sizes["spectrum"] == 12 * size
            assert len(asked) == len(asked.of("manifests")) <= AHEAD + 2 * size


def test_a_selection_over_an_expedition_reads_no_counts_and_no_intensity(
    folders: dict[int, Path], tmp_path: Path
) -> None:
    with served(folders[20]) as (address, asked):
        bank = banks.open_bank(address)
        listed = tmp_path / "catalog.yaml"
        listed.write_text(bank.catalog_text(address), encoding="utf-8")
        lazy = asked.during(lambda: catalog.select(listed, expeditions=["wide"]))
        looked_at = asked.objects
        asked.during(lazy["intensity"].load)
        assert len(asked.objects) == 20, "one object a run holds its intensities"
        assert not looked_at & asked.objects
        asked.during(lambda: [bank.run("wide", f"s{number}", "counts")["counts"].load() for number in range(20)])
        assert len(asked.objects) == 20
        assert not looked_at & asked.objects
