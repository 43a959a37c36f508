"""What happened to a bank: its log and releases, what differs between two snapshots, intensities made anew."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from corebank import bank as banks
from corebank import calibrate, cli, contribution
from corebank.bank import comparing
from corebank.bank.records import Difference
from tests.bank.conftest import made
from tests.bank.counting import counted
from tests.conftest import GRID


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A bank with a past, and its snapshots by what was done."""
    folder = tmp_path_factory.mktemp("lived")
    bank = banks.create(folder / "bank", site="lab", grid=GRID)
    at = {"made": bank.snapshot}
    bank.add(made(folder / "cruise1"))
    at["added"] = bank.snapshot
    bank.tag("release-1")
    bank.add(made(folder / "cruise2", name="cruise2", seed=2, core="D/1", laboratory=None))
    at["second"] = bank.snapshot
    words = folder / "cruise1" / "contribution.toml"
    words.write_text(words.read_text().replace('top = "10 cm"', 'top = "12 cm"').replace("CC-BY-4.0", "CC0-1.0"))
    (folder / "cruise1" / "lab.csv").write_text("depth_cm,TOC,CaCO3\n0.1,1.6,30\n0.3,b.d.l.,-4.6\n")
    bank.amend(contribution.checked(folder / "cruise1"), "S2 starts at 12 cm")
    at["amended"] = bank.snapshot
    bank.withdraw("cruise1", run="s1", because="shaken")
    at["withdrawn"] = bank.snapshot
    bank.withdraw("cruise2", core="D/1", because="dry")
    at["hidden"] = bank.snapshot
    bank.restore("cruise1", run="s1", because="no matter")
    at["restored"] = bank.snapshot
    return bank.path, at


@pytest.fixture
def bank(lived: tuple[Path, dict[str, str]], tmp_path: Path) -> banks.Bank:
    shutil.copytree(lived[0], tmp_path / "bank")
    return banks.open_bank(tmp_path / "bank")


def between(lived: tuple[Path, dict[str, str]], before: str, after: str) -> tuple[Difference, ...]:
    path, at = lived
    return comparing.diff(banks.open_bank(path, at[before]), banks.open_bank(path, at[after]))


def test_what_came_is_told_by_expedition_and_core(lived: tuple[Path, dict[str, str]]) -> None:
    assert between(lived, "made", "added") == (Difference("cruise1", "C/1", added=10, labels_added=3),)
    assert between(lived, "added", "second") == (Difference("cruise2", "D/1", added=10),)
    assert between(lived, "second", "amended") == (
        Difference("cruise1", "", words=("licence",)),
        Difference("cruise1", "C/1", amended={"depth": 5}, labels_added=1, labels_removed=1),
    )
    assert between(lived, "amended", "withdrawn") == (Difference("cruise1", "C/1", withdrawn=5),)
    assert between(lived, "withdrawn", "restored") == (
        Difference("cruise1", "C/1", restored=5),
        Difference("cruise2", "D/1", withdrawn=10),
    )


def test_nothing_differs_from_itself(lived: tuple[Path, dict[str, str]]) -> None:
    for name in lived[1]:
        assert between(lived, name, name) == ()


def test_a_difference_the_other_way_round_is_its_mirror(lived: tuple[Path, dict[str, str]]) -> None:
    for before, after in (("made", "second"), ("second", "withdrawn"), ("withdrawn", "restored")):
        assert between(lived, after, before) == tuple(mirrored(one) for one in between(lived, before, after))


def mirrored(one: Difference) -> Difference:
    return replace(
        one,
        added=one.removed,
        removed=one.added,
        withdrawn=one.restored,
        restored=one.withdrawn,
        labels_added=one.labels_removed,
        labels_removed=one.labels_added,
    )


def test_the_short_way_by_icechunks_record_tells_what_reading_everything_tells(
    lived: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [("made", "restored"), ("added", "hidden"), ("second", "amended"), ("restored", "added")]
    short = [between(lived, *pair) for pair in pairs]
    monkeypatch.setattr(comparing, "_touched", lambda before, after: None)
    assert [between(lived, *pair) for pair in pairs] == short
    assert all(short)


def test_what_no_commit_touched_is_not_opened(lived: tuple[Path, dict[str, str]]) -> None:
    with counted() as keys:
        between(lived, "second", "amended")
    asked = {key for key in keys if "/c/" in key}
    assert "cruise1/s2/depth/c/0" in asked
    assert not [key for key in asked if key.startswith("cruise2") or "/counts/" in key or "/intensity/" in key]
    assert not [key for key in asked if key.startswith("cruise1/s1")], "only its words and labels were amended"


def better(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A calibration that gives twice the intensity; rows that it is asked for at once."""
    asked: list[int] = []
    rates = calibrate._rates

    def doubled(counts: np.ndarray, columns: np.ndarray, grid: object) -> np.ndarray:
        asked.append(len(counts))
        return 2 * rates(counts, columns, grid)  # type: ignore[arg-type]

    monkeypatch.setattr(calibrate, "_rates", doubled)
    monkeypatch.setattr(calibrate, "CALIBRATION_VERSION", calibrate.CALIBRATION_VERSION + 1)
    return asked


def test_a_better_calibration_makes_every_intensity_anew_and_no_count(
    bank: banks.Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = banks.open_bank(bank.path)
    assert bank.rebuild().runs == {}
    assert (bank.snapshot, len(bank.log())) == (before.snapshot, len(before.log()))
    better(monkeypatch)
    done = bank.rebuild("cruise1")
    assert (done.runs, done.snapshot) == ({"cruise1/s1": 5, "cruise1/s2": 5}, bank.snapshot)
    rest = bank.rebuild()
    assert rest.runs == {"cruise2/s1": 5, "cruise2/s2": 5}, "of a withdrawn core, too"
    for expedition in ("cruise1", "cruise2"):
        for run in ("s1", "s2"):
            was, now = (one.whole().run(expedition, run) for one in (before, bank))
            np.testing.assert_array_equal(now["intensity"].values, 2 * was["intensity"].values)
            assert now.attrs["calibration_version"] == calibrate.CALIBRATION_VERSION
            counts = [one.whole().run(expedition, run, "counts")["counts"].values for one in (before, bank)]
            np.testing.assert_array_equal(*counts)
    assert bank.rebuild().runs == {}
    assert bank.log()[0].about["rebuilds"] == ["cruise2/s1", "cruise2/s2"]
    assert comparing.diff(before, bank) == (
        Difference("cruise1", "C/1", rebuilt=10),
        Difference("cruise2", "D/1", rebuilt=10),
    )


def test_a_long_run_is_made_anew_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = banks.create(tmp_path / "bank", site="lab", grid=GRID)
    bank.add(made(tmp_path / "long", sections=["S1"], count=4200, laboratory=None, zipped=True))
    asked = better(monkeypatch)
    assert bank.rebuild().runs == {"cruise1/s1": 4200}
    assert sorted(size for size in asked if size) == [104, 4096], "a shard at a time"


def test_an_intensity_that_an_amendment_makes_anew_is_of_todays_calibration(
    bank: banks.Bank, lived: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cruise1"
    shutil.copytree(lived[0].parent / "cruise1", folder)
    table = folder / "S1" / "Results.txt"
    table.write_bytes(table.read_bytes().replace(b"\t0.1\t", b"\t0.095\t"))
    better(monkeypatch)
    bank.amend(contribution.checked(folder), "a better fit")
    assert bank.rebuild("cruise1").runs == {"cruise1/s2": 5}


def said(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        cli.run(cli.app, [str(word) for word in words])
    assert left.value.code == code
    out, err = capsys.readouterr()
    return err if code else out


def test_the_log_tells_of_releases_and_is_json_when_asked(
    bank: banks.Bank, lived: tuple[Path, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.loads(said(capsys, "log", bank.path, "--json"))
    assert [one["message"] for one in told[:2]] == [
        "restore run s1 of cruise1: no matter",
        "withdraw core D/1 of cruise2: dry",
    ]
    assert [one["releases"] for one in told] == [[]] * 5 + [["release-1"], []]
    assert "3 measurements  [release-1]\n" in said(capsys, "log", bank.path)
    assert said(capsys, "tag", bank.path) == f"{lived[1]['added']}  release-1\n"
    assert said(capsys, "tag", bank.path, "release-2").startswith("release release-2 is snapshot")
    assert said(capsys, "tag", bank.path).splitlines()[1].endswith("  release-2")


def test_the_commands_say_what_they_did(bank: banks.Bank, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "diff", bank.path, "release-1").splitlines() == [
        "cruise1: says something else of licence",
        "cruise1, C/1: amended depth of 5; 1 laboratory values added; 1 laboratory values removed",
        "cruise2, D/1: 10 spectra added; 10 spectra withdrawn",
    ]
    (only,) = json.loads(said(capsys, "diff", bank.path, bank.log()[1].snapshot, "--json"))
    assert (only["core"], only["restored"], only["added"]) == ("C/1", 5, 0)
    assert said(capsys, "diff", bank.path, "main") == "nothing differs between main and main\n"
    words = ["withdraw", bank.path, "cruise1", "--core", "C/1", "--because", "dry"]
    told = "core C/1 of cruise1: 10 spectra and 3 laboratory values"
    assert said(capsys, *words).startswith(f"withdrew {told} hidden, snapshot ")
    assert "core C/1 is withdrawn already" in said(capsys, *words, code=1)
    words[0] = "restore"
    assert said(capsys, *words).startswith(f"restored {told} seen again, snapshot ")
    assert said(capsys, "rebuild", bank.path).startswith("nothing to rebuild: every intensity is current, at snapshot")
    assert said(capsys, "migrate", bank.path).startswith("nothing to migrate: layout ")
