"""verify: a sound bank has no faults; each kind of damage is named with its place, and does not hide another."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from corebank import bank as banks
from corebank import calibrate, cli, contribution
from corebank.bank import chunks, layout, verifying
from corebank.bank.damage import Fault
from corebank.errors import BankError
from tests.bank.conftest import made
from tests.conftest import GRID
from tests.scanner import write_expedition


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``bank``, two runs of 300 spectra in chunks of 256 and laboratory values, and ``cruise1``."""
    folder = tmp_path_factory.mktemp("filled")
    write_expedition(folder / "cruise1", count=300, zipped=True)
    banks.create(folder / "bank", site="lab", grid=GRID).add(contribution.checked(folder / "cruise1"))
    return folder


@pytest.fixture
def bank(filled: Path, tmp_path: Path) -> banks.Bank:
    """A copy of it to spoil."""
    return banks.open_bank(shutil.copytree(filled / "bank", tmp_path / "bank"))


def spoil(bank: banks.Bank, work: Any) -> banks.Bank:
    """The bank after a commit in which `work` wrote to its store behind corebank's back."""
    session = bank._repository.session()
    work(session.store)
    bank._repository.commit(session, "damage")
    return banks.open_bank(bank.path)


def put(path: str, rows: Any, value: Any) -> Any:
    """Write `value` into rows of an array."""
    return lambda store: zarr.open_array(store, path=path, mode="r+").__setitem__(rows, value)


def only(faults: tuple[Fault, ...]) -> Fault:
    assert len(faults) == 1, list(map(str, faults))
    return faults[0]


def test_a_bank_is_sound_after_all_that_corebank_does_to_it(bank: banks.Bank, tmp_path: Path) -> None:
    folder = write_expedition(tmp_path / "cruise3", name="cruise3")
    bank.add(contribution.checked(folder))
    bank.add(made(tmp_path / "cruise2", name="cruise2", seed=9))
    bank.tag("release-1")
    words = folder / "contribution.toml"
    words.write_text(words.read_text().replace('top = "10 cm"', 'top = "12 cm"'))
    (folder / "lab.csv").write_text("depth_cm,TOC,CaCO3\n0.1,1.6,31\n")
    bank.amend(contribution.checked(folder), "measured again")
    bank.withdraw("cruise2", run="s1", because="a test")
    verified = verifying.examine(bank)
    assert (verified.faults, verified.unchecked, verified.spectra) == ((), (), 620)


def test_changed_counts_are_named_by_chunk_and_rows(bank: banks.Bank) -> None:
    changed = np.array([3, 4, 290])
    spoiled = spoil(bank, put("cruise1/s2/counts", (changed, 20), 7))
    counts = [fault for fault in verifying.verify(spoiled) if fault.array == "counts"]
    assert [(one.where, one.chunk, one.rows) for one in counts] == [
        ("cruise1/s2", (0, 0), (3, 4)),
        ("cruise1/s2", (1, 0), (290, 290)),
    ]
    assert str(counts[1]) == (
        "cruise1/s2, counts, chunk 1/0, row 290: the counts of 1 spectra are not what was written"
    )


def test_intensities_that_counts_do_not_give_are_named(bank: banks.Bank) -> None:
    stored = bank.run("cruise1", "s1")["intensity"].values
    row, energy = 270, int(np.flatnonzero(np.isfinite(stored[270]))[3])
    fault = only(verifying.verify(spoil(bank, put("cruise1/s1/intensity", (row, energy), stored[row, energy] * 1.001))))
    assert (fault.where, fault.array, fault.chunk, fault.rows) == ("cruise1/s1", "intensity", (1, 0), (270, 270))
    rounded = np.nextafter(stored[row, energy], np.float32(np.inf))
    assert verifying.verify(spoil(bank, put("cruise1/s1/intensity", (row, energy), rounded))) == ()


def test_a_bin_that_was_not_measured_must_be_nan(bank: banks.Bank) -> None:
    energy = int(np.flatnonzero(np.isnan(bank.run("cruise1", "s1")["intensity"].values[0]))[0])
    fault = only(verifying.verify(spoil(bank, put("cruise1/s1/intensity", (0, energy), 0.0))))
    assert (fault.array, fault.rows) == ("intensity", (0, 0))


@pytest.mark.parametrize(
    ("column", "value", "found"),
    [
        ("flags", 1 << 30, "bits that mean nothing"),
        ("source_sha256", "abc", "is no SHA-256"),
        ("contribution", "f" * 16, "a contribution that the bank does not hold"),
        ("core", "C/2", "a core that the expedition does not list"),
        ("replicate_of", "0" * 64, "repeat one that the expedition does not hold"),
        ("energy_gain", 0.5, "is not within 0.001 to 0.1"),
        ("live_time", -1.0, "is not within"),
    ],
)
def test_a_value_that_no_bank_can_hold_is_named(bank: banks.Bank, column: str, value: Any, found: str) -> None:
    faults = verifying.verify(spoil(bank, put(f"cruise1/s1/{column}", 5, value)))
    fault = next(one for one in faults if one.array == column)
    assert (fault.where, fault.rows) == ("cruise1/s1", (5, 5))
    assert found in fault.found


def test_changed_attributes_are_refused_by_the_reader_and_named(bank: banks.Bank) -> None:
    def lie(store: Any) -> None:
        zarr.open_group(store, path="cruise1/s1", mode="r+").attrs["anode"] = "Rh"
        zarr.open_group(store, path="cruise1", mode="r+").attrs["licence"] = "CC0-1.0"

    spoiled = spoil(bank, lie)
    assert {fault.where for fault in verifying.verify(spoiled)} == {"cruise1", "cruise1/s1"}
    with pytest.raises(BankError, match="its attributes are not those that were written"):
        spoiled.attributes("cruise1")


def test_a_changed_document_of_an_array_is_refused_by_the_reader_and_named(bank: banks.Bank) -> None:
    def lie(store: Any) -> None:
        zarr.open_array(store, path="cruise1/s1/depth", mode="r+").attrs["units"] = "cm"

    spoiled = spoil(bank, lie)
    faults = verifying.verify(spoiled)
    assert ("cruise1/s1", "depth", "its unit is 'cm', should be 'mm'") in {
        (fault.where, fault.array, fault.found) for fault in faults
    }
    with pytest.raises(BankError, match="is not what was written"):
        spoiled.run("cruise1", "s1")


def test_a_lost_chunk_is_never_read_as_zeros(bank: banks.Bank) -> None:
    def lose(store: Any) -> None:
        chunks.sync(store.delete("cruise1/s1/counts/c/0/0"))

    spoiled = spoil(bank, lose)
    with pytest.raises(BankError, match="chunk 0/0 is not there"):
        spoiled.run("cruise1", "s1", "counts")["counts"].load()
    lost = [fault for fault in verifying.verify(spoiled) if fault.array == "counts"]
    assert [(one.chunk, one.rows) for one in lost] == [((0, 0), (0, 255)), ((1, 0), (256, 299))]


def test_what_is_missing_and_what_is_too_much_is_named(bank: banks.Bank) -> None:
    def lose(store: Any) -> None:
        del zarr.open_group(store, mode="a")["cruise1/s2"]
        del zarr.open_group(store, mode="a")["cruise1/s1/depth"]
        zarr.create_array(store, name="cruise1/s1/extra", shape=(1,), dtype="f8")
        layout.describe(store, "cruise1/s3", {})
        layout.describe(store, "cruise1", {"measurements": 4})

    found = {str(fault) for fault in verifying.verify(spoil(bank, lose))}
    assert "cruise1/s2, rows 0 to 299: the run is not there" in found
    assert "cruise1/s3: no run of this name is listed" in found
    assert "cruise1/s1, extra: no array has this name" in found
    assert any(line.startswith("cruise1/s1, depth: cannot be read") for line in found)
    assert "cruise1/measurements: 3 measurements are there, the expedition tells of 4" in found


def test_measurements_and_contributions_are_looked_at(bank: banks.Bank) -> None:
    def spoil_them(store: Any) -> None:
        zarr.open_array(store, path="cruise1/measurements/depth_top", mode="r+")[1] = 500.0
        layout.describe(store, "contributions/0123456789abcdef", {"expedition": "cruise9"})

    faults = verifying.verify(spoil(bank, spoil_them))
    assert {fault.where for fault in faults} == {"cruise1/measurements", "contributions/0123456789abcdef"}
    assert any("breaks the schema" in fault.found for fault in faults)


def test_a_run_of_another_calibration_is_read_and_said_to_be_unchecked(
    bank: banks.Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "CALIBRATION_VERSION", calibrate.CALIBRATION_VERSION + 1)
    verified = verifying.examine(bank)
    assert verified.faults == ()
    assert "cruise1/s1, cruise1/s2: another version of the calibration" in verified.unchecked[0]


def test_an_early_bank_is_read_and_what_it_cannot_tell_is_said() -> None:
    old = next((Path(__file__).parents[1] / "old").rglob("repository")).parent
    verified = verifying.examine(banks.open_bank(old))
    assert verified.faults == ()
    assert "written by an early corebank, without digests" in verified.unchecked[0]


def test_a_release_that_was_lost_is_named(bank: banks.Bank) -> None:
    bank.tag("release-1")
    (bank.path / "repository" / "refs" / "tag.release-1" / "ref.json").write_text("{}")
    assert only(verifying.verify(banks.open_bank(bank.path))).where in ("release release-1", "the releases")


def test_the_command_exits_1_with_the_faults_and_0_without(
    bank: banks.Bank, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = bank.snapshot
    spoil(bank, put("cruise1/s1/counts", (5, 20), 7))
    for words, code, said in (
        (["verify", str(bank.path), "--at", sound], 0, "sound: 600 spectra"),
        (["verify", str(bank.path)], 1, "cruise1/s1, counts, chunk 0/0, row 5: "),
    ):
        with pytest.raises(SystemExit, match=str(code)):
            cli.run(cli.app, words)
        assert said in capsys.readouterr().out
    with pytest.raises(SystemExit, match="1"):
        cli.run(cli.app, ["verify", str(bank.path), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["sound"], told["faults"][0]["array"], told["faults"][0]["rows"]) == (False, "counts", [5, 5])
