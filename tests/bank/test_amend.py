"""Amending: what is said of spectra changes, with its reason; the spectra never do, and yesterday stays readable."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from corebank import bank as banks
from corebank import cli, contribution
from corebank.errors import BankError
from tests.conftest import GRID
from tests.scanner import results_table, write_expedition


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_expedition(tmp_path / "cruise1")


@pytest.fixture
def bank(tmp_path: Path, folder: Path) -> banks.Bank:
    made = banks.create(tmp_path / "bank", site="lab", grid=GRID)
    made.add(contribution.checked(folder))
    return made


def say(folder: Path, old: str, new: str) -> None:
    path = folder / "contribution.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_saying_the_same_again_changes_nothing_and_makes_no_commit(bank: banks.Bank, folder: Path) -> None:
    before = bank.snapshot
    amended = bank.amend(contribution.checked(folder), "to see")
    assert (amended.changed, amended.snapshot, len(bank.log())) == ((), before, 2)


def test_a_corrected_top_moves_the_depths_and_leaves_the_old_snapshot_alone(bank: banks.Bank, folder: Path) -> None:
    before = bank.snapshot
    counts = bank.run("cruise1", "s2", "counts")["counts"].values
    say(folder, 'top = "10 cm"', 'top = "12 cm"')
    amended = bank.amend(contribution.checked(folder), "S2 starts at 12 cm")
    assert amended.changed == ("s2: depth",)
    np.testing.assert_array_equal(bank.run("cruise1", "s2")["depth"].values, 120 + np.arange(5))
    np.testing.assert_array_equal(bank.run("cruise1", "s2", "counts")["counts"].values, counts)
    old = banks.open_bank(bank.path, at=before)
    np.testing.assert_array_equal(old.run("cruise1", "s2")["depth"].values, 100 + np.arange(5))
    newest = bank.log()[0]
    assert newest.message == "amend cruise1: S2 starts at 12 cm"
    assert newest.about["because"] == "S2 starts at 12 cm"


def test_words_and_the_machine_are_amended_where_they_stand(bank: banks.Bank, folder: Path) -> None:
    say(folder, 'licence = "CC-BY-4.0"', 'licence = "CC0-1.0"')
    say(folder, 'head = "head-1"', 'head = "head-2"')
    amended = bank.amend(contribution.checked(folder), "the head was swapped in May")
    assert amended.changed == ("expedition: licence", "s1: head", "s2: head")
    assert bank.attributes("cruise1")["licence"] == "CC0-1.0"
    assert bank.run("cruise1", "s1").attrs["head"] == "head-2"
    assert bank.runs("cruise1") == {"s1": 5, "s2": 5}


def test_a_better_calibration_makes_the_intensity_again(bank: banks.Bank, folder: Path) -> None:
    rows = [(f"L{row:06d}", float(row), 1, 0.095, -0.01) for row in range(5)]
    (folder / "S1" / "Results.txt").write_bytes(results_table(rows))
    checked = contribution.checked(folder)
    amended = bank.amend(checked, "re-evaluated")
    assert amended.changed == ("s1: energy_gain", "s1: evaluation Results.txt", "s1: calibrated by Results.txt")
    fresh = banks.create(bank.path.parent / "fresh", site="lab", grid=GRID)
    fresh.add(checked)
    for level in ("intensity", "counts"):
        now, wanted = (one.run("cruise1", "s1", level)[level].values for one in (bank, fresh))
        np.testing.assert_array_equal(now, wanted)


def test_laboratory_values_are_replaced_and_others_kept(bank: banks.Bank, folder: Path) -> None:
    other = write_expedition(
        folder.parent / "more", sections=["S3"], seed=5, laboratory="depth_cm,TOC,CaCO3\n0.1,9,8\n"
    )
    (other / "lab.csv").rename(other / "lab2.csv")
    say(other, 'file = "lab.csv"', 'file = "lab2.csv"')
    bank.add(contribution.checked(other))
    (folder / "lab.csv").write_text("depth_cm,TOC,CaCO3\n0.1,1.6,31\n")
    bank.amend(contribution.checked(folder), "measured again")
    values = bank.measurements("cruise1")
    assert sorted(values["value"]) == [1.6, 8.0, 9.0, 31.0]
    assert bank.attributes("cruise1")["measurements"] == 4


@pytest.mark.parametrize("because", ["", "  "])
def test_an_amendment_without_a_reason_is_refused(bank: banks.Bank, folder: Path, because: str) -> None:
    with pytest.raises(BankError, match="an amendment needs a reason"):
        bank.amend(contribution.checked(folder), because)


def test_new_spectra_do_not_come_in_as_an_amendment(bank: banks.Bank, folder: Path) -> None:
    before = bank.snapshot
    more = write_expedition(folder.parent / "more", sections=["S1", "S2"], count=6)
    with pytest.raises(BankError, match=r"cruise1/s1: holds 5 spectra, the folder 6, and they are not the same"):
        bank.amend(contribution.checked(more), "a longer scan")
    strange = write_expedition(folder.parent / "strange", sections=["S9"], seed=3)
    with pytest.raises(BankError, match="there is no run s9 to amend"):
        bank.amend(contribution.checked(strange), "another")
    assert banks.open_bank(bank.path).snapshot == before


def test_the_command_says_what_it_changed(bank: banks.Bank, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    say(folder, 'top = "10 cm"', 'top = "12 cm"')
    words = ["amend", str(bank.path), str(folder), "--because", "S2 starts at 12 cm"]
    for expected in ("amended s2: depth\nsnapshot ", "nothing to amend: the bank says all of it already"):
        with pytest.raises(SystemExit, match="0"):
            cli.run(cli.app, words)
        assert capsys.readouterr().out.startswith(expected)


def test_every_evaluation_of_a_run_is_in_the_bank_beside_its_spectra(tmp_path: Path) -> None:
    folder = write_expedition(tmp_path / "cruise1", sections=["S1"])
    (folder / "S1" / "2013").mkdir()
    rows = [(f"L{row:06d}", float(row), 1, 0.11, 0.0) for row in (4, 2, 0)]
    (folder / "S1" / "2013" / "Results.txt").write_bytes(results_table(rows))
    made = banks.create(tmp_path / "bank", site="lab", grid=GRID)
    made.add(contribution.checked(folder))
    tables = made.evaluations("cruise1", "s1")
    assert list(tables) == ["Results.txt", "2013/Results.txt"], "the one that calibrates comes first"
    assert [table.attrs["calibrates"] for table in tables.values()] == [True, False]
    early = tables["2013/Results.txt"]
    pd.testing.assert_series_equal(
        early["gain"], pd.Series([0.11, np.nan, 0.11, np.nan, 0.11], name="gain"), check_names=True
    )
    assert early["Fe"].notna().sum() == 3
    assert made.run("cruise1", "s1").sizes["spectrum"] == 5


def test_an_evaluation_of_the_same_name_in_another_folder_is_not_taken_for_the_one_that_calibrates(
    tmp_path: Path,
) -> None:
    folder = write_expedition(tmp_path / "cruise1", sections=["S1"], laboratory=None)
    (folder / "S1" / "2013").mkdir()
    rows = [(f"L{row:06d}", float(row), 1, 0.09, 0.0) for row in range(5)]
    (folder / "S1" / "2013" / "Results.txt").write_bytes(results_table(rows))
    say(folder, 'run = "s1"', 'run = "s1"\nevaluation = "2013/Results.txt"')
    made = banks.create(tmp_path / "bank", site="lab", grid=GRID)
    made.add(contribution.checked(folder))
    tables = made.evaluations("cruise1", "s1")
    assert {name: table.attrs["calibrates"] for name, table in tables.items()} == {
        "2013/Results.txt": True,
        "Results.txt": False,
    }
    assert set(made.run("cruise1", "s1")["energy_gain"].values) == {0.09}


def fitted(folder: Path, gain: float, name: str = "Results.txt") -> str:
    """Write an evaluation of section S1 anew; returns the hash of its bytes."""
    path = folder / "S1" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(results_table([(f"L{row:06d}", float(row), 1, gain, -0.01) for row in range(5)]))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def known(bank: banks.Bank) -> dict[str, tuple[str, bool, float]]:
    """Evaluations of run s1: name -> hash, whether it calibrates, and the gain that it gives."""
    return {
        name: (table.attrs["sha256"], table.attrs["calibrates"], float(table["gain"].iloc[0]))
        for name, table in bank.evaluations("cruise1", "s1").items()
    }


def test_a_new_evaluation_comes_in_beside_the_earlier_ones_and_calibrates(bank: banks.Bank, folder: Path) -> None:
    (first,) = known(bank).values()
    then = banks.open_bank(bank.path)
    second = fitted(folder, 0.095)
    bank.amend(contribution.checked(folder), "fitted again")
    assert known(bank) == {
        "Results.txt": (second, True, 0.095),
        f"Results.txt@{first[0][:8]}": (first[0], False, first[2]),
    }
    third = fitted(folder, 0.098)
    bank.amend(contribution.checked(folder), "and again")
    assert list(known(bank)) == ["Results.txt", f"Results.txt@{first[0][:8]}", f"Results.txt@{second[:8]}"]
    assert known(bank)["Results.txt"] == (third, True, 0.098)
    assert set(bank.run("cruise1", "s1")["energy_gain"].values) == {0.098}
    assert known(then) == {"Results.txt": first}
    assert bank.amend(contribution.checked(folder), "to see").changed == ()


def test_an_evaluation_that_comes_back_is_not_stored_twice(bank: banks.Bank, folder: Path) -> None:
    first = fitted(folder, 0.095)
    bank.amend(contribution.checked(folder), "fitted again")
    second = fitted(folder, 0.098)
    bank.amend(contribution.checked(folder), "and again")
    assert fitted(folder, 0.095) == first
    amended = bank.amend(contribution.checked(folder), "the former was better")
    assert amended.changed == ("s1: energy_gain", "s1: calibrated by Results.txt")
    assert len(known(bank)) == 3
    assert known(bank)["Results.txt"] == (first, True, 0.095)
    assert known(bank)[f"Results.txt@{second[:8]}"] == (second, False, 0.098)


def test_another_evaluation_is_chosen_and_the_former_one_stays(bank: banks.Bank, folder: Path) -> None:
    (former,) = known(bank).values()
    early = fitted(folder, 0.09, "2013/Results.txt")
    say(folder, 'run = "s1"', 'run = "s1"\nevaluation = "2013/Results.txt"')
    amended = bank.amend(contribution.checked(folder), "the early fit is the better one")
    assert "s1: evaluation 2013/Results.txt" in amended.changed
    assert known(bank) == {"2013/Results.txt": (early, True, 0.09), "Results.txt": (former[0], False, former[2])}
