"""A bank: what goes in comes out bit for bit, once, as one commit that nobody can see half of."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from corebank import bank as banks
from corebank import calibrate, contribution
from corebank.bank import adding, view
from corebank.contribution import Contribution
from corebank.errors import BankError, BankNotFoundError, CorebankError
from corebank.schema import RUN_ATTRIBUTES, SPECTRUM, EnergyGrid
from tests.bank.conftest import made
from tests.bank.counting import WHOLE, counted
from tests.conftest import GRID
from tests.scanner import SECTION, contents, spectra, write_expedition, write_itrax, write_zip


@settings(deadline=None, max_examples=4)
@given(hnp.arrays(np.uint32, (3, 64), elements=st.integers(0, 2**32 - 1)))
def test_counts_come_back_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, counts: np.ndarray) -> None:
    folder = tmp_path_factory.mktemp("exact")
    write_expedition(folder / "c", sections=["S1"], laboratory=None)
    for path in (folder / "c" / "S1" / "XRF data").iterdir():
        path.unlink()
    for path in (folder / "c" / "S1").glob("*.*"):
        path.unlink()
    write_itrax(folder / "new", counts)
    (folder / "c" / "S1" / "XRF data").rmdir()
    (folder / "c" / "S1").rmdir()
    (folder / "new").rename(folder / "c" / "S1")
    bank = banks.create(folder / "bank", site="lab", grid=GRID)
    bank.add(contribution.checked(folder / "c"))
    found = banks.open_bank(bank.path).run("cruise1", "s1", "counts")["counts"]
    assert found.dtype == np.uint32
    np.testing.assert_array_equal(found.values, counts)


def test_every_column_and_attribute_comes_back_as_it_went_in(bank: banks.Bank, tmp_path: Path) -> None:
    given_ = made(tmp_path / "cruise1")
    added = bank.add(given_)
    for name, run in given_.runs.items():
        found = bank.run("cruise1", name, "counts").load()
        for column in SPECTRUM.keys() - {"contribution"}:
            np.testing.assert_array_equal(found[column].values, run[column].values, err_msg=column)
            assert found[column].attrs.get("units", "") == SPECTRUM[column].units
        assert set(found["contribution"].values) == {added.contribution}
        assert {key: found.attrs[key] for key in RUN_ATTRIBUTES} == {key: run.attrs[key] for key in RUN_ATTRIBUTES}
        assert found.attrs["calibration_version"] == calibrate.CALIBRATION_VERSION
        on_grid = bank.run("cruise1", name).load()
        np.testing.assert_array_equal(
            on_grid["intensity"].values, calibrate.intensity(run, GRID, name)["intensity"].values
        )
        np.testing.assert_array_equal(on_grid["energy"].values, GRID.centres)
        assert np.isnan(on_grid["intensity"].values).any()
    pd.testing.assert_frame_equal(bank.measurements("cruise1"), given_.measurements, check_dtype=False)
    about = bank.attributes("cruise1")
    assert (about["licence"], about["cores"][0]["name"], about["cores"][0]["water_depth"]) == (
        "CC-BY-4.0",
        "C/1",
        1200.0,
    )


def test_unknown_times_stay_unknown(bank: banks.Bank, tmp_path: Path) -> None:
    given_ = made(tmp_path / "cruise1", sections=["S1"])
    times = np.array(["2020-09-22T23:02:00", "NaT", "NaT", "1969-12-31T00:00:00", "NaT"], dtype="datetime64[s]")
    given_.runs["s1"]["scanned_at"] = ("spectrum", times)
    bank.add(given_)
    np.testing.assert_array_equal(bank.run("cruise1", "s1")["scanned_at"].values.astype("datetime64[s]"), times)


def test_a_contribution_is_one_commit_with_its_words(bank: banks.Bank, tmp_path: Path) -> None:
    empty = bank.snapshot
    added = bank.add(made(tmp_path / "cruise1"))
    first, second = bank.log()
    assert (first.snapshot, second.snapshot, added.snapshot) == (bank.snapshot, empty, bank.snapshot)
    assert first.message == "add cruise1: 10 spectra in 2 runs, 3 measurements"
    assert first.about["contribution"] == added.contribution
    assert (added.runs, added.measurements, added.already, added.nothing_new) == ({"s1": 5, "s2": 5}, 3, {}, False)


def test_the_same_folder_a_second_time_adds_nothing_and_says_so(bank: banks.Bank, tmp_path: Path) -> None:
    bank.add(made(tmp_path / "cruise1"))
    before = bank.snapshot
    again = bank.add(contribution.checked(tmp_path / "cruise1"))
    assert again.nothing_new
    assert again.already == {"s1": 5, "s2": 5}
    assert bank.snapshot == again.snapshot == before


def test_a_renamed_copy_adds_nothing_either(bank: banks.Bank, tmp_path: Path) -> None:
    bank.add(made(tmp_path / "cruise1", zipped=True))
    copy = write_expedition(tmp_path / "copy", sections=["S1 (2)", "S2 (2)"])
    words = copy / "contribution.toml"
    words.write_text(
        words.read_text().replace("s1 (2)", "first").replace("s2 (2)", "second").replace("lab.csv", "lab (2).csv")
    )
    (copy / "lab.csv").rename(copy / "lab (2).csv")
    again = bank.add(contribution.checked(copy))
    assert again.nothing_new
    assert again.already == {"first": 5, "second": 5}


def test_files_in_another_order_add_nothing(bank: banks.Bank, tmp_path: Path) -> None:
    bank.add(made(tmp_path / "cruise1", zipped=True))
    for archive in (tmp_path / "cruise1").rglob("*.zip"):
        with zipfile.ZipFile(archive) as packed:
            members = {name: packed.read(name) for name in reversed(packed.namelist())}
        write_zip(archive, members)
    assert bank.add(contribution.checked(tmp_path / "cruise1")).nothing_new


def test_one_section_more_adds_that_section_alone(bank: banks.Bank, tmp_path: Path) -> None:
    bank.add(made(tmp_path / "cruise1"))
    more = bank.add(
        made(
            tmp_path / "more",
            sections=["S1", "S2", "S3"],
            laboratory="depth_cm,TOC,CaCO3\n0.1,1.5,30\n0.3,b.d.l.,-4.6\n9,2,3\n",
        )
    )
    assert (more.runs, more.measurements, more.already) == ({"s3": 5}, 2, {"s1": 5, "s2": 5})
    assert bank.runs("cruise1") == {"s1": 5, "s2": 5, "s3": 5}
    assert bank.measurements("cruise1")["value"].tolist() == [1.5, 30.0, -4.6, 2.0, 3.0]
    assert bank.attributes("cruise1")["measurements"] == 5


def unchanged(bank: banks.Bank, given_: Contribution, found: str) -> None:
    before = bank.snapshot
    with pytest.raises(BankError, match=found):
        bank.add(given_)
    assert banks.open_bank(bank.path).snapshot == before


def test_other_spectra_under_a_name_that_is_taken_are_refused(bank: banks.Bank, tmp_path: Path) -> None:
    bank.add(made(tmp_path / "cruise1"))
    unchanged(
        bank,
        made(tmp_path / "other", seed=7),
        r"bank, cruise1/s1: shares 0 of 5 spectra with run s1\. Give the scan a run name of its own",
    )
    unchanged(bank, made(tmp_path / "longer", count=6), "shares [0-5] of 6 spectra with run s1")


def test_a_contribution_for_another_site_is_refused(bank: banks.Bank, tmp_path: Path) -> None:
    unchanged(
        bank,
        made(tmp_path / "cruise1", site="elsewhere"),
        "belongs to lab, the contribution to elsewhere. Correct site",
    )


@pytest.mark.parametrize("words", [{"name": "contributions"}, {"sections": ["measurements"]}])
def test_names_that_the_bank_uses_itself_are_refused(
    bank: banks.Bank, tmp_path: Path, words: dict[str, object]
) -> None:
    unchanged(
        bank,
        made(tmp_path / "cruise1", **words),
        "nothing can be called (contributions|measurements), which the bank uses itself",
    )


def test_a_bank_opens_as_it_was_at_any_snapshot_release_or_branch(bank: banks.Bank, tmp_path: Path) -> None:
    bank.add(made(tmp_path / "cruise1"))
    first = bank.snapshot
    bank.tag("release-1")
    bank.add(made(tmp_path / "cruise2", name="cruise2", seed=1))
    for at in (first, "release-1"):
        assert banks.open_bank(bank.path, at).expeditions() == ["cruise1"]
        assert len(banks.open_bank(bank.path, at).log()) == 2
    assert banks.open_bank(bank.path, "main").expeditions() == ["cruise1", "cruise2"]
    for wrong in ("release-2", "", "ZZZZZZZZZZZZZZZZZZZZ", f"{'0' if first[0] != '0' else '4'}{first[1:]}"):
        with pytest.raises(
            BankNotFoundError,
            match=f"there is no snapshot, release or branch '{wrong}'. Known are main, release-1; corebank log",
        ):
            banks.open_bank(bank.path, wrong)


def test_a_release_is_never_moved(bank: banks.Bank, tmp_path: Path) -> None:
    first = bank.snapshot
    bank.tag("release-1")
    bank.add(made(tmp_path / "cruise1"))
    with pytest.raises(BankError, match=r"there is, or was, a release 'release-1'\. Choose a new name"):
        bank.tag("release-1")
    assert banks.open_bank(bank.path, "release-1").snapshot == first
    with pytest.raises(BankError, match="'main' is a branch"):
        bank.tag("main")


def test_a_bank_is_made_in_a_new_or_empty_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "bank").mkdir()
    banks.create(tmp_path / "bank", site="lab")
    with pytest.raises(BankError, match=r"is there already and not empty. Choose a new folder"):
        banks.create(tmp_path / "bank", site="lab")
    with pytest.raises(BankError, match="ftp:// is no place for a bank"):
        banks.create("ftp://somewhere/bank", site="lab")
    with pytest.raises(BankError, match=r"'The Lab' is no name for a site.*the-lab"):
        banks.create(tmp_path / "other", site="The Lab")
    assert banks.open_bank(tmp_path / "bank").grid == EnergyGrid()


def test_what_is_not_there_is_said_with_what_is(small_bank: Path, tmp_path: Path) -> None:
    with pytest.raises(BankNotFoundError, match=r"there is no bank. Make one with: corebank init"):
        banks.open_bank(tmp_path / "nothing")
    bank = banks.open_bank(small_bank)
    with pytest.raises(BankNotFoundError, match=r"there is no expedition 'cruise9'. It holds cruise1"):
        bank.runs("cruise9")
    with pytest.raises(BankNotFoundError, match=r"there is no run 's9'. Its runs are s1, s2"):
        bank.spectra("cruise1", "s9")
    with pytest.raises(BankError, match=r"level is 'raw'. Ask for intensity or counts"):
        bank.run("cruise1", "s1", "raw")  # type: ignore[arg-type] - that is the point
    assert isinstance(BankNotFoundError("a", "b", "c"), CorebankError)


def test_an_expedition_without_laboratory_values_says_so(bank: banks.Bank, tmp_path: Path) -> None:
    bank.add(made(tmp_path / "cruise1", laboratory=None))
    with pytest.raises(BankNotFoundError, match=r"cruise1: has no laboratory values. Bring some in"):
        bank.measurements("cruise1")
    more = bank.add(made(tmp_path / "again"))
    assert (more.runs, more.measurements) == ({}, 3)
    assert bank.measurements("cruise1")["value"].tolist() == [1.5, 30.0, -4.6]


def test_detectors_of_different_sizes_read_together_on_the_grid_and_not_as_counts(
    bank: banks.Bank, tmp_path: Path
) -> None:
    folder = write_expedition(tmp_path / "cruise1", sections=["S1"], laboratory=None)
    write_itrax(folder / "S2", spectra(3, seed=3, channels=32), gain=0.08)
    with (folder / "contribution.toml").open("a") as words:
        words.write(
            SECTION.format(section="S2", top="1 m", run="s2").replace(
                "[[core.section]]", "[[core]]\nname = 'C/2'\n[[core.section]]"
            )
        )
    bank.add(contribution.checked(folder))
    assert bank.spectra("cruise1").sizes == {"spectrum": 8, "energy": 160}
    with pytest.raises(BankError, match=r"its runs have different numbers of channels. Name one run: s1, s2"):
        bank.spectra("cruise1", level="counts")
    assert bank.spectra("cruise1", "s2", "counts").sizes == {"spectrum": 3, "channel": 32}


def test_ten_neighbouring_spectra_are_one_chunk_whatever_the_size_of_the_run(bank: banks.Bank, tmp_path: Path) -> None:
    given_ = made(tmp_path / "cruise1", sections=["S1"], count=600, laboratory=None)
    bank.add(given_)
    run = bank.run("cruise1", "s1", "counts")
    assert run["counts"].chunks == ((600,), (64,)), "a shard at a time, where all is read"
    metre = run["counts"].isel(spectrum=slice(300, 310))
    with counted() as keys:
        banks.open_bank(bank.path).run("cruise1", "s1", "counts")["counts"].isel(spectrum=slice(300, 310)).load()
    asked = [key for key in keys if "/counts/c/" in key]
    assert 1 <= len(asked) <= 2, "the shard's index and one chunk of 256; with zarr 3.4 one request is seen"
    assert not set(asked) & set(WHOLE), "never the whole shard"
    np.testing.assert_array_equal(metre.values, given_.runs["s1"]["counts"].values[300:310])


def test_a_bank_of_a_newer_layout_is_not_misread(bank: banks.Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "SCHEMA_VERSION", banks.SCHEMA_VERSION - 1)
    with pytest.raises(BankError, match=r"was written by corebank .*, with a newer layout. Install a newer corebank"):
        banks.open_bank(bank.path).expeditions()


def test_reading_changes_nothing(small_bank: Path) -> None:
    before = contents(small_bank)
    bank = banks.open_bank(small_bank)
    bank.spectra("cruise1").load()
    bank.measurements("cruise1")
    bank.log()
    assert contents(small_bank) == before


def test_the_catalog_beside_the_bank_lists_what_it_holds(small_bank: Path) -> None:
    listed = yaml.safe_load((small_bank / "catalog.yaml").read_text())
    snapshot = banks.open_bank(small_bank).snapshot
    assert listed["metadata"] == {"version": 1, "site": "lab", "bank": "{{ CATALOG_DIR }}", "snapshot": snapshot}
    assert list(listed["sources"]) == ["cruise1", "cruise1-measurements"]
    entry = listed["sources"]["cruise1"]
    assert entry["driver"] == "corebank_spectra"
    assert entry["description"] == "Cruise cruise1"
    assert entry["parameters"]["run"]["allowed"] == ["", "s1", "s2"]
    assert entry["metadata"]["runs"] == {"s1": 5, "s2": 5}
    assert str(small_bank) not in (small_bank / "catalog.yaml").read_text(), "a bank can be moved"


@settings(deadline=None, max_examples=6)
@given(st.permutations(range(3)))
def test_a_contribution_is_named_by_what_it_holds(tmp_path_factory: pytest.TempPathFactory, order: list[int]) -> None:
    folder = tmp_path_factory.mktemp("named")
    names = [f"S{row}" for row in order]
    first = made(folder / "a", sections=["S1"], count=2)
    assert adding.identifier(first) == adding.identifier(contribution.checked(folder / "a"))
    assert adding.identifier(first) != adding.identifier(made(folder / "b", sections=names, count=2))


def test_looking_for_a_bank_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(BankNotFoundError, match=r"there is no bank. Make one with: corebank init"):
        banks.open_bank(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_only_looks_like_a_bank_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    with pytest.raises(BankNotFoundError, match=r"there is no bank. Make one with: corebank init"):
        banks.open_bank(tmp_path)
