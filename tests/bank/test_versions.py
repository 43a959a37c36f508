"""Banks that older versions wrote: read as they were, written into by nobody, brought up to date in one commit.

Every folder of ``tests/old`` is one such bank with what it held (``tests/old/README.md``); a new layout adds a folder.
"""

from __future__ import annotations

import importlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from corebank import bank as banks
from corebank.bank import layout, migrating, verifying
from corebank.bank.records import SCHEMA_VERSION
from corebank.errors import BankError
from tests.bank.conftest import made
from tests.old import facts
from tests.scanner import contents

OLD = Path(__file__).parents[1] / "old"
FROZEN = sorted(path.parent.name for path in OLD.glob("*/expected.json"))
OLDER = [name for name in FROZEN if name != f"v{SCHEMA_VERSION}"]


def expected(name: str) -> dict[str, Any]:
    return dict(json.loads((OLD / name / "expected.json").read_text(encoding="utf-8")))


def thawed(name: str, folder: Path) -> banks.Bank:
    """A copy of a frozen bank, which may be written into."""
    return banks.open_bank(shutil.copytree(OLD / name / "bank", folder / name))


def assert_said_then(now: dict[str, Any], then: dict[str, Any]) -> None:
    """What was held then is held now, and nothing else but columns that a later version reads beside the others."""
    assert now["expeditions"].keys() == then["expeditions"].keys()
    for name, expedition in then["expeditions"].items():
        found = now["expeditions"][name]
        assert found["attributes"] == expedition["attributes"]
        assert found["measurements"] == expedition["measurements"]
        assert found["runs"].keys() == expedition["runs"].keys()
        for run, held in expedition["runs"].items():
            assert found["runs"][run]["attributes"] == held["attributes"]
            assert found["runs"][run]["evaluations"] == held["evaluations"]
            arrays = found["runs"][run]["arrays"]
            assert {array: arrays[array] for array in held["arrays"]} == held["arrays"], f"{name}/{run}"
            assert arrays.keys() - held["arrays"].keys() <= {layout.COUNTS_DIGEST}
    assert (now["site"], now["grid"]) == (then["site"], then["grid"])


def test_the_frozen_banks_are_those_that_were_published() -> None:
    assert FROZEN[:1] == ["v1"]
    for name in FROZEN:
        assert f"v{expected(name)['schema_version']}" == name
        spectra = [run for one in expected(name)["at"]["main"]["expeditions"].values() for run in one["runs"].values()]
        assert len(spectra) == 5
        assert sum(path.stat().st_size for path in (OLD / name).rglob("*") if path.is_file()) < 300_000


@pytest.mark.parametrize("name", FROZEN)
def test_everything_in_an_old_bank_reads_as_the_code_of_its_day_read_it(name: str, tmp_path: Path) -> None:
    bank, then = thawed(name, tmp_path), expected(name)
    before = contents(bank.path)
    now = facts.of_bank(bank.path, list(then["at"]))
    assert now["log"] == then["log"]
    for at in then["at"]:
        assert_said_then(now["at"][at], then["at"][at])
    assert contents(bank.path) == before, "reading changes nothing"


@pytest.mark.parametrize("name", OLDER)
def test_nothing_is_written_into_an_older_layout(name: str, tmp_path: Path) -> None:
    bank = thawed(name, tmp_path)
    before = contents(bank.path)
    sentence = (
        rf"is of layout {expected(name)['schema_version']}, and this corebank writes layout {SCHEMA_VERSION}\. "
        rf"Bring it up to date with: corebank migrate {bank.path}"
    )
    with pytest.raises(BankError, match=sentence):
        bank.add(made(tmp_path / "new", name="cruise9", seed=9))
    with pytest.raises(BankError, match=sentence):
        bank.amend(made(tmp_path / "same"), "to see")
    with pytest.raises(BankError, match=sentence):
        bank.withdraw("cruise1", run="s1", because="to see")
    with pytest.raises(BankError, match=sentence):
        bank.rebuild()
    assert {key: value for key, value in contents(bank.path).items() if key != ".writing.lock"} == before


@dataclass(frozen=True)
class Migrated:
    """A frozen bank that was brought up to date; only read it."""

    name: str
    path: Path
    before: str
    """The head as it was."""
    told: str | None
    """What `migrate` returned."""


@pytest.fixture(scope="module", params=OLDER)
def migrated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Migrated:
    bank = thawed(request.param, tmp_path_factory.mktemp("migrated"))
    before = bank.snapshot
    told = bank.migrate()
    assert bank.snapshot == told
    return Migrated(request.param, bank.path, before, told)


def test_a_migrated_bank_reads_as_before_in_one_commit_more(migrated: Migrated) -> None:
    bank, then = banks.open_bank(migrated.path), expected(migrated.name)
    assert bank.snapshot == migrated.told != migrated.before
    assert bank.about["schema_version"] == SCHEMA_VERSION
    found = facts.of_bank(bank.path, [*then["at"], migrated.before])
    newest, *others = found["log"]
    assert others == then["log"]
    assert newest["message"] == f"migrate from layout {then['schema_version']} to layout {SCHEMA_VERSION}"
    assert_said_then(found["at"]["main"], then["at"]["main"])
    assert_said_then(found["at"][migrated.before], then["at"]["main"])
    for at in then["at"].keys() - {"main"}:  # what was released stays in the layout that it was released in
        assert_said_then(found["at"][at], then["at"][at])
        assert banks.open_bank(bank.path, at).about["schema_version"] == then["schema_version"]


def test_a_migrated_bank_passes_its_check_and_holds_the_digest_of_every_spectrum(migrated: Migrated) -> None:
    bank = banks.open_bank(migrated.path)
    examined = verifying.examine(bank)
    assert (examined.faults, examined.unchecked) == ((), ())
    for expedition in bank.expeditions():
        for run in bank.runs(expedition):
            digests = zarr.open_array(bank._store, path=f"{expedition}/{run}/{layout.COUNTS_DIGEST}", mode="r")[...]
            counts = bank.run(expedition, run, "counts")["counts"].values
            np.testing.assert_array_equal(digests, layout.digests(counts))


def test_a_migrated_bank_takes_contributions_again(migrated: Migrated, tmp_path: Path) -> None:
    bank = banks.open_bank(shutil.copytree(migrated.path, tmp_path / "bank"))
    again, more = bank.add(made(tmp_path / "same")), bank.add(made(tmp_path / "new", name="cruise9", seed=9))
    assert again.already == {"s1": 5, "s2": 5}
    assert more.runs == {"s1": 5, "s2": 5}
    assert bank.expeditions() == [*expected(migrated.name)["at"]["main"]["expeditions"], "cruise9"]
    assert bank.migrate() is None


def test_a_migrated_bank_lies_as_one_that_todays_code_writes(
    migrated: Migrated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks, shards, codecs, fill values, names of dimensions and attributes, array by array and group by group."""
    monkeypatch.syspath_prepend(OLD)  # it is a program, which stands for itself
    freeze: Any = importlib.import_module("freeze")
    fresh = banks.create(tmp_path / "fresh", site="lab", grid=freeze.GRID)
    freeze.fill(fresh)
    ours, theirs = documents(banks.open_bank(migrated.path)), documents(fresh)
    assert ours.keys() == theirs.keys()
    assert {path for path in ours if ours[path] != theirs[path]} == set()


def documents(bank: banks.Bank) -> dict[str, Any]:
    """Path -> what Zarr knows of a group or array, without what differs between two banks of the same content."""
    found: dict[str, Any] = {"": dict(bank.about)}
    for path, node in zarr.open_group(bank._store, mode="r").members(max_depth=None):
        document = node.metadata.to_dict()
        attributes = dict(document.pop("attributes"))
        own = {"digest", "calibration_version", "report", "written_by", "toml"}
        found[path] = {**document, "attributes": {key: attributes[key] for key in attributes.keys() - own}}
        found[path]["signed"] = "digest" in attributes
    return found


def test_migrating_a_bank_of_todays_layout_makes_no_commit(small_bank: Path) -> None:
    before = contents(small_bank / "repository")
    assert banks.open_bank(small_bank).migrate() is None
    assert contents(small_bank / "repository") == before


def test_a_migration_that_fails_half_way_leaves_the_bank_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = thawed("v1", tmp_path)
    before, write = bank.snapshot, layout.write
    written: list[str] = []

    def full(store: Any, new: Any) -> None:
        if written:
            raise OSError(28, "No space left on device")
        written.extend(new)
        write(store, new)

    monkeypatch.setattr(migrating.layout, "write", full)
    with pytest.raises(OSError, match="No space left"):
        bank.migrate()
    assert written, "one expedition was written"
    now = banks.open_bank(bank.path)
    assert now.snapshot == before
    assert now.about["schema_version"] == 1
    assert_said_then(facts.of_snapshot(now), expected("v1")["at"]["main"])


def test_a_migration_that_would_change_a_count_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bank, write = thawed("v1", tmp_path), layout.write
    before = bank.snapshot

    def mistaken(store: Any, new: dict[str, Any]) -> None:
        if run := new.get("cruise2/l1"):
            counts = run["counts"].copy(data=run["counts"].values)
            counts[259, 20] += 1
            new = {**new, "cruise2/l1": run.assign(counts=counts)}
        write(store, new)

    monkeypatch.setattr(migrating.layout, "write", mistaken)
    with pytest.raises(
        BankError, match=r"cruise2/l1: other counts would be written than were held\. Nothing was changed"
    ):
        bank.migrate()
    assert banks.open_bank(bank.path).snapshot == before
