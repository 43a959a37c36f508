"""``catalog.yaml`` and ``index.json``: what they say, and that additions give what a rebuild from nothing gives."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from corebank import bank as banks
from corebank import contribution
from corebank.bank import descriptor, index, listing
from corebank.bank.view import View
from tests.bank.conftest import made
from tests.conftest import GRID
from tests.scanner import write_expedition


def both(bank: banks.Bank) -> tuple[str, str]:
    return (bank.path / "catalog.yaml").read_text("utf-8"), (bank.path / "index.json").read_text("utf-8")


def rows(bank: banks.Bank) -> dict[tuple[str, str], dict[str, Any]]:
    document = index.parsed((bank.path / "index.json").read_text("utf-8"))
    assert document is not None
    return {(name, run): row for name, runs in index.rows_of(document).items() for run, row in runs.items()}


def assert_as_from_nothing(bank: banks.Bank) -> None:
    published = both(bank)
    listing.publish(View(bank._repository, bank.snapshot), bank._repository, anew=True)
    assert both(bank) == published


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often which run's spectra were read for the index, and which expedition's attributes for the catalog."""
    counted: Counter[str] = Counter()

    def counting(original: Callable[..., Any], what: str) -> Callable[..., Any]:
        def read(view: View, *names: Any, **words: Any) -> Any:
            counted[" ".join([what, *(name for name in names if isinstance(name, str))])] += 1
            return original(view, *names, **words)

        return read

    monkeypatch.setattr(index, "_read", counting(index._read, "run"))
    monkeypatch.setattr(listing, "_block", counting(listing._block, "block"))
    return counted


CHANGES = st.lists(
    st.tuples(st.sampled_from(["add", "amend", "withdraw run", "withdraw core", "restore"]), st.integers(0, 2)),
    min_size=1,
    max_size=5,
)


# Without shrinking: each try makes a bank, and a failing list of five is short enough to read.
@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@example(changes=[("add", 0), ("amend", 0), ("withdraw core", 0), ("restore", 0), ("add", 0), ("withdraw run", 0)])
@given(changes=CHANGES)
def test_whatever_is_done_to_a_bank_its_listing_is_what_a_rebuild_gives(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, int]]
) -> None:
    root = tmp_path_factory.mktemp("changes")
    bank = banks.create(root / "bank", site="lab", grid=GRID)
    folders: dict[int, Path] = {}
    withdrawn: list[dict[str, str]] = []
    for number, (change, which) in enumerate(changes):
        name = f"cruise{which}"
        if change == "add" or which not in folders:
            folder = root / f"raw{number}"
            write_expedition(folder, name=name, sections=[f"S{number}"], seed=number, count=3)
            bank.add(contribution.checked(folder))
            folders[which] = folder
        elif change == "amend":
            words = folders[which] / "contribution.toml"
            words.write_text(words.read_text("utf-8").replace("0 cm", f"{number} cm", 1), "utf-8")
            bank.amend(contribution.checked(folders[which]), because="a new top")
        elif change.startswith("withdraw"):
            runs = list(bank.whole().runs(name))
            what = {"run": runs[0]} if change == "withdraw run" else {"core": "C/1"}
            if (mark := {"expedition": name, **what}) not in withdrawn:
                bank.withdraw(name, **what, because="a mix-up")
                withdrawn.append(mark)
        elif withdrawn:
            mark = withdrawn.pop()
            bank.restore(**mark, because="sorted out")
        assert_as_from_nothing(bank)


def test_the_index_has_a_row_for_each_run(filled: banks.Bank) -> None:
    found = rows(filled)
    assert set(found) == {("cruise1", "s1"), ("cruise1", "s2")}
    row = found["cruise1", "s2"]
    assert set(row) == set(index.COLUMNS)
    expected = {
        "title": "Cruise cruise1",
        "scanner": "itrax",
        "head": "head-1",
        "anode": "Mo",
        "tube_voltage": 30.0,
        "spectra": 5,
        "cores": ["C/1"],
        "depth_top": 100.0,
        "depth_bottom": 104.0,
        "core_depths": [[100.0, 104.0]],
        "south": 54.5,
        "north": 54.5,
        "west": -20.25,
        "east": -20.25,
        "licence": "CC-BY-4.0",
        "embargo_until": "",
        "citation": "Steward (2020)",
    }
    assert {name: row[name] for name in expected} == expected
    # The small detector counts in channels 4 to 63 of 0.1 keV from -0.01 keV; bins are 0.05 keV.
    assert (row["energy_min"], row["energy_max"]) == (0.375, 6.325)
    mean = filled.run("cruise1", "s2")["intensity"].values.mean(axis=0)
    kept = descriptor.from_integers(np.array(row["descriptor"]))
    np.testing.assert_allclose(kept, descriptor.described(mean, GRID.edges), atol=1 / descriptor.SCALE)


def test_laboratory_values_count_where_a_run_was_scanned(filled: banks.Bank) -> None:
    """The table's samples lie at 0 to 4 mm: where s1 was scanned, and not at 100 mm, where s2 was."""
    assert rows(filled)["cruise1", "s1"]["proxies"] == {"CaCO3": 2, "TOC": 1}
    assert rows(filled)["cruise1", "s2"]["proxies"] == {}


def test_an_addition_reads_nothing_of_what_the_bank_held(bank: banks.Bank, tmp_path: Path, reads: Counter[str]) -> None:
    for number in range(3):
        bank.add(made(tmp_path / f"raw{number}", name=f"cruise{number}", sections=["S1"], seed=number))
    reads.clear()
    bank.add(made(tmp_path / "more", name="cruise1", sections=["S3"], seed=9))
    assert reads == {"run cruise1 s3": 1, "block cruise1 {{ CATALOG_DIR }}": 1}, "the new run, and its expedition"
    assert_as_from_nothing(bank)


def test_nothing_new_writes_nothing(bank: banks.Bank, tmp_path: Path) -> None:
    contributed = made(tmp_path / "raw")
    bank.add(contributed)
    before = {name: (bank.path / name).stat().st_mtime_ns for name in ("catalog.yaml", "index.json")}
    assert bank.add(contributed).nothing_new
    assert {name: (bank.path / name).stat().st_mtime_ns for name in before} == before


@pytest.fixture
def filled(small_bank: Path, tmp_path: Path) -> banks.Bank:
    """A copy of the small bank, to be damaged."""
    shutil.copytree(small_bank, tmp_path / "copy")
    return banks.open_bank(tmp_path / "copy")


@pytest.mark.parametrize("file", ["catalog.yaml", "index.json"])
@pytest.mark.parametrize("how", ["gone", "changed by hand", "cut short"])
def test_files_that_are_not_what_was_written_are_made_anew(filled: banks.Bank, file: str, how: str) -> None:
    path, before = filled.path / file, both(filled)
    content = path.read_text("utf-8")
    if how == "gone":
        path.unlink()
    else:
        path.write_text(content.replace("CC-BY-4.0", "CC0-1.0") if how == "changed by hand" else content[:-40], "utf-8")
    filled.write_catalog()
    assert both(filled) == before


def test_an_older_view_does_not_replace_what_a_later_one_published(filled: banks.Bank, tmp_path: Path) -> None:
    older = filled.snapshot
    filled.add(made(tmp_path / "other", name="cruise2", sections=["S1"], seed=5))
    published = both(filled)
    listing.publish(View(filled._repository, older), filled._repository)
    assert both(filled) == published


def test_the_catalog_says_where_its_bank_is_and_at_which_snapshot(filled: banks.Bank) -> None:
    document = yaml.safe_load(both(filled)[0])
    expected = {"version": 1, "site": "lab", "bank": "{{ CATALOG_DIR }}", "snapshot": filled.snapshot}
    assert document["metadata"] == expected
    assert json.loads(both(filled)[1])["snapshot"] == filled.snapshot


def test_an_expedition_called_like_anothers_measurements_keeps_its_own_lines(bank: banks.Bank, tmp_path: Path) -> None:
    """Blocks are told apart by what their entries open, not by how these are called."""
    bank.add(made(tmp_path / "a", name="c", sections=["S1"], laboratory=None))
    bank.add(made(tmp_path / "b", name="c-measurements", sections=["S1"], seed=2, laboratory=None))
    bank.add(made(tmp_path / "d", name="on", sections=["S1"], seed=3))
    assert_as_from_nothing(bank)
    assert list(yaml.safe_load(both(bank)[0])["sources"]) == ["c", "c-measurements", "on", "on-measurements"]


@pytest.mark.parametrize(
    ("longitudes", "west", "east"),
    [([10.0], 10, 10), ([-20.0, 30.0], -20, 30), ([170.0, -175.0], 170, -175), ([190.0], -170, -170)],
)
def test_a_box_goes_the_short_way_around_the_globe(longitudes: list[float], west: float, east: float) -> None:
    box = index._box([(1.0, longitude) for longitude in longitudes])
    assert (box["west"], box["east"]) == (west, east)
    assert index._box([(None, 3.0)])["west"] is None


def test_a_long_run_is_described_by_blocks_spread_over_it() -> None:
    """4,096 spectra, of which only whole chunks of 256 are read, one in 1,024 and from its middle."""
    import dask.array as da
    import xarray as xr

    taken: list[tuple[int, int]] = []

    def block(block_info: Any = None) -> np.ndarray:
        first, last = block_info[None]["array-location"][0]
        taken.append((first, last))
        return np.full((last - first, 4), float(first))

    lazy = da.map_blocks(block, chunks=((256,) * 16, (4,)), dtype=float, meta=np.empty((0, 0)))
    mean = index._mean(xr.DataArray(lazy, dims=("spectrum", "energy")))
    assert sorted(taken) == [(512, 768), (1536, 1792), (2560, 2816), (3584, 3840)]
    np.testing.assert_allclose(mean, np.mean([first for first, _ in taken]))
