"""Withdrawing: hidden from every reader from then on, with a reason; never deleted, and back whole when restored."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from corebank import bank as banks
from corebank import catalog, contribution, labels
from corebank.errors import BankError, BankNotFoundError
from tests.bank.conftest import made
from tests.bank.counting import counted
from tests.conftest import GRID


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank with cores C/1 (runs s1 and s2), C/2 (s3) and C/4 (s4), and the folders that they came in, beside it."""
    folder = tmp_path_factory.mktemp("filled")
    bank = banks.create(folder / "bank", site="lab", grid=GRID)
    bank.add(made(folder / "cruise1"))
    bank.add(made(folder / "other", sections=["S3"], count=4, seed=3, core="C/2", laboratory=None))
    bank.tag("release-1")
    laboratory = "depth_cm,TOC,CaCO3\n0.2,7,8\n"  # its table has the name of the first one
    bank.add(made(folder / "more", sections=["S4"], seed=4, core="C/4", laboratory=laboratory))
    return folder


@pytest.fixture
def bank(filled: Path, tmp_path: Path) -> banks.Bank:
    shutil.copytree(filled / "bank", tmp_path / "bank")
    return banks.open_bank(tmp_path / "bank")


def identifiers(bank: banks.Bank) -> list[str]:
    """Of the contributions, oldest first."""
    return [commit.about["contribution"] for commit in reversed(bank.log()) if "contribution" in commit.about]


def test_a_withdrawn_core_is_hidden_from_every_reader_and_older_snapshots_show_it(bank: banks.Bank) -> None:
    before = bank.snapshot
    done = bank.withdraw("cruise1", core="C/1", because="it dried out")
    assert (done.kind, done.name, done.spectra, done.labels, done.cores) == ("core", "C/1", 10, 3, ("C/1",))
    for seen in (bank, banks.open_bank(bank.path)):
        assert seen.runs("cruise1") == {"s3": 4, "s4": 5}
        assert set(seen.spectra("cruise1")["core"].values) == {"C/2", "C/4"}
        assert seen.measurements("cruise1")["value"].tolist() == [7.0, 8.0]
        about = seen.attributes("cruise1")
        assert (about["runs"], about["measurements"]) == ({"s3": 4, "s4": 5}, 2)
        assert [core["name"] for core in about["cores"]] == ["C/2", "C/4"]
        assert [one["because"] for one in about["withdrawn"]] == ["it dried out"]
        with pytest.raises(BankNotFoundError, match=r"run s1 is withdrawn \(core C/1: it dried out\)"):
            seen.run("cruise1", "s1")
        with pytest.raises(BankNotFoundError, match="run s1 is withdrawn"):
            seen.evaluations("cruise1", "s1")
    listed = yaml.safe_load((bank.path / "catalog.yaml").read_text())["sources"]["cruise1"]
    assert listed["parameters"]["run"]["allowed"] == ["", "s3", "s4"]
    for older in (banks.open_bank(bank.path, before), banks.open_bank(bank.path, "release-1"), bank.whole()):
        assert {"s1", "s2", "s3"} <= older.runs("cruise1").keys()
        assert older.run("cruise1", "s1", "counts")["counts"].values.sum() > 0
    assert bank.log()[0].message == "withdraw core C/1 of cruise1: it dried out"


def test_what_is_restored_is_all_back(bank: banks.Bank) -> None:
    before = bank.snapshot
    what: list[dict[str, str]] = [{"core": "C/1"}, {"run": "s2"}, {"contribution": identifiers(bank)[2]}]
    for one in what:
        bank.withdraw("cruise1", **one, because="to see")
    assert bank.runs("cruise1") == {"s3": 4}
    for one in what:
        bank.restore("cruise1", **one, because="seen")
    then = banks.open_bank(bank.path, before)
    assert {**bank.attributes("cruise1"), "withdrawn": []} == {**then.attributes("cruise1"), "withdrawn": []}
    for level in ("counts", "intensity"):
        for run in then.runs("cruise1"):
            now, was = (one.run("cruise1", run, level).load() for one in (bank, then))  # type: ignore[arg-type]
            assert now.identical(was)
    assert bank.measurements("cruise1").equals(then.measurements("cruise1"))
    assert bank.expeditions() == ["cruise1"]


def test_what_two_withdrawals_hide_stays_hidden_until_both_are_over(bank: banks.Bank) -> None:
    assert bank.withdraw("cruise1", run="s2", because="shaken").spectra == 5
    assert bank.withdraw("cruise1", core="C/1", because="dry").spectra == 5
    assert bank.restore("cruise1", core="C/1", because="wet again").spectra == 5
    assert "s2" not in bank.runs("cruise1")
    assert "s2" in bank.whole().runs("cruise1")


def test_rows_of_one_core_are_hidden_inside_a_run_that_holds_several(bank: banks.Bank, tmp_path: Path) -> None:
    mixed = made(tmp_path / "mixed", name="cruise2", sections=["S1"], seed=9, laboratory=None)
    mixed.runs["s1"]["core"] = ("spectrum", np.array(["C/1", "C/9", "C/1", "C/9", "C/9"], dtype=object))
    bank.add(mixed)
    whole = bank.spectra("cruise2").load()
    bank.withdraw("cruise2", core="C/1", because="dry")
    rows = [1, 3, 4]
    assert bank.runs("cruise2") == {"s1": 3}
    assert bank.spectra("cruise2").load().drop_attrs().identical(whole.isel(spectrum=rows).drop_attrs())
    (table,) = bank.evaluations("cruise2", "s1").values()
    (all_of_it,) = bank.whole().evaluations("cruise2", "s1").values()
    assert table.equals(all_of_it.iloc[rows].reset_index(drop=True))
    assert table.attrs["calibrates"]


def test_a_contribution_takes_its_own_laboratory_values_with_it_and_no_others(
    bank: banks.Bank, filled: Path, tmp_path: Path
) -> None:
    first, _, second = identifiers(bank)
    done = bank.withdraw("cruise1", contribution=second, because="another lab's core")
    assert (done.spectra, done.labels) == (5, 2)
    assert bank.measurements("cruise1")["core"].unique().tolist() == ["C/1"]
    bank.restore("cruise1", contribution=second, because="ours after all")
    shutil.copytree(filled / "more", tmp_path / "more")
    (tmp_path / "more" / "lab.csv").write_text("depth_cm,TOC,CaCO3\n0.2,7,8\n0.3,9,9\n")
    again = bank.add(contribution.checked(tmp_path / "more"))
    assert again.measurements == 2
    assert bank.withdraw("cruise1", contribution=second, because="again").labels == 0, "both now name the file and core"
    assert bank.withdraw("cruise1", contribution=first, because="and this").labels == 3


def test_an_expedition_of_which_nothing_is_seen_is_not_listed(bank: banks.Bank, filled: Path) -> None:
    for core in ("C/1", "C/2", "C/4"):
        bank.withdraw("cruise1", core=core, because=f"{core} was mixed up")
    assert bank.expeditions() == []
    assert yaml.safe_load((bank.path / "catalog.yaml").read_text())["sources"] == {}
    for read in (bank.attributes, bank.runs, bank.spectra, bank.measurements):
        with pytest.raises(BankNotFoundError, match=r"all its spectra are withdrawn .*C/2 was mixed up"):
            read("cruise1")
    assert bank.whole().expeditions() == ["cruise1"]
    assert bank.add(contribution.checked(filled / "cruise1")).nothing_new
    bank.restore("cruise1", core="C/2", because="sorted out")
    assert bank.runs("cruise1") == {"s3": 4}


Change = Callable[[banks.Bank], object]


REFUSED: list[tuple[Change, str]] = [
    (lambda bank: bank.withdraw("cruise9", core="C/1", because="x"), "no expedition 'cruise9'. It holds cruise1"),
    (lambda bank: bank.withdraw("cruise1", core="C/9", because="x"), "no core 'C/9'. It has C/1, C/2, C/4"),
    (lambda bank: bank.withdraw("cruise1", run="s9", because="x"), "no run 's9'. It has s1, s2, s3, s4"),
    (
        lambda bank: bank.withdraw("cruise1", contribution="9", because="x"),
        r"no contribution '9'\. It has [0-9a-f]+",
    ),
    (lambda bank: bank.withdraw("cruise1", run="s1", because=" "), "need a reason"),
    (lambda bank: bank.withdraw("cruise1", because="x"), "0 things were named"),
    (lambda bank: bank.withdraw("cruise1", run="s1", core="C/1", because="x"), "2 things were named"),
    (
        lambda bank: bank.withdraw("cruise1", run="s4", because="x"),
        r"run s4 is withdrawn already, since .*\(shaken\)",
    ),
    (lambda bank: bank.restore("cruise1", run="s1", because="x"), "'s1' is not withdrawn. What is .*: run s4"),
    (lambda bank: bank.restore("cruise1", run="s4", because=""), "need a reason"),
]


def test_what_cannot_be_withdrawn_or_restored_is_said_and_nothing_changes(bank: banks.Bank) -> None:
    bank.withdraw("cruise1", run="s4", because="shaken")
    before = bank.snapshot
    for change, found in REFUSED:
        with pytest.raises(BankError, match=found):
            change(bank)
    assert banks.open_bank(bank.path).snapshot == before


def test_a_withdrawn_folder_adds_nothing_and_what_is_new_beside_it_goes_in(
    bank: banks.Bank, filled: Path, tmp_path: Path
) -> None:
    bank.withdraw("cruise1", run="s1", because="shaken")
    again = bank.add(contribution.checked(filled / "cruise1"))
    assert (again.nothing_new, again.withdrawn) == (True, {"s1": 5})
    assert again.already == {"s1": 5, "s2": 5}
    more = bank.add(made(tmp_path / "more", sections=["S1", "S2", "S5"], laboratory=None, seed=0))
    assert (more.runs, more.withdrawn) == ({"s5": 5}, {"s1": 5})
    assert bank.runs("cruise1") == {"s2": 5, "s3": 4, "s4": 5, "s5": 5}


def test_new_spectra_of_a_withdrawn_core_go_in_hidden_and_are_told(bank: banks.Bank, tmp_path: Path) -> None:
    bank.withdraw("cruise1", core="C/4", because="dry")
    more = bank.add(made(tmp_path / "rescan", sections=["S6"], seed=6, core="C/4", laboratory=None))
    assert (more.runs, more.withdrawn) == ({"s6": 5}, {"s6": 5})
    assert not {"s4", "s6"} & bank.runs("cruise1").keys()
    bank.restore("cruise1", core="C/4", because="wet")
    assert {"s4", "s6"} <= bank.runs("cruise1").keys()


def test_what_is_withdrawn_can_be_corrected_and_stays_hidden(bank: banks.Bank, filled: Path, tmp_path: Path) -> None:
    shutil.copytree(filled / "more", tmp_path / "more")
    (tmp_path / "more" / "lab.csv").write_text("depth_cm,TOC,CaCO3\n0.2,7.5,8\n")
    words = tmp_path / "more" / "contribution.toml"
    words.write_text(words.read_text().replace('top = "0 cm"', 'top = "3 cm"'))
    bank.withdraw("cruise1", contribution=identifiers(bank)[2], because="wrong depths and carbon")
    bank.amend(contribution.checked(tmp_path / "more"), "remeasured")
    assert "s4" not in bank.runs("cruise1")
    assert bank.measurements("cruise1")["core"].unique().tolist() == ["C/1"]
    bank.restore("cruise1", contribution=identifiers(bank)[2], because="corrected")
    np.testing.assert_array_equal(bank.run("cruise1", "s4")["depth"].values, 30 + np.arange(5))
    assert sorted(bank.measurements("cruise1").query("core == 'C/4'")["value"]) == [7.5, 8.0]


def test_feeds_and_labels_go_on_without_what_is_withdrawn(bank: banks.Bank) -> None:
    bank.withdraw("cruise1", core="C/1", because="dry")
    selected = catalog.select(bank.path / "catalog.yaml")
    assert set(selected["core"].values) == {"C/2", "C/4"}
    assert bank.snapshot in selected.attrs["snapshots"]
    found = labels.match(selected, catalog.measurements(bank.path / "catalog.yaml"), "TOC")
    assert found.matched.tolist() == [True]
    assert selected["core"].values[found.rows[0]].tolist() == ["C/4"] * 2


def test_nothing_more_is_read_of_a_bank_from_which_nothing_is_withdrawn(bank: banks.Bank) -> None:
    def read(at: str = "main") -> list[str]:
        with counted() as keys:
            seen = banks.open_bank(bank.path, at)
            seen.expeditions()
            seen.attributes("cruise1")
            seen.run("cruise1", "s1")
            seen.spectra("cruise1")
            seen.catalog_text()
        return list(keys)

    first = read()
    assert not [key for key in first if "/c/" in key], "opening reads what a run says of itself, and no chunk"
    bank.withdraw("cruise1", run="s2", because="shaken")
    assert not [key for key in read() if "/c/" in key or "/s2/" in key]
    bank.restore("cruise1", run="s2", because="no matter")
    assert sorted(read()) == sorted(first)
    bank.withdraw("cruise1", core="C/2", because="dry")
    with counted() as keys:
        banks.open_bank(bank.path).run("cruise1", "s1", "counts")["counts"].isel(spectrum=0).load()
    asked = {key for key in keys if "/c/" in key}
    assert asked == {"cruise1/s1/core/c/0", "cruise1/s1/counts/c/0/0"}, "no other run is opened"
