"""The corebank command: what it prints, where, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from corebank import cli
from tests.scanner import contents, write_expedition


@pytest.fixture
def corebank(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def] - a function of the words after "corebank"
    def run(*words: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.run(cli.app, [str(word) for word in words])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def test_a_folder_becomes_a_release_in_five_commands(corebank, tmp_path: Path) -> None:  # type: ignore[no-untyped-def] - see above
    bank, folder = tmp_path / "bank", write_expedition(tmp_path / "cruise1")
    assert corebank("init", bank, "--site", "lab", "--step", "50 eV", "--bins", "160") == (
        0, f"{bank}: an empty bank for lab. Bring in a folder with: corebank add {bank} FOLDER\n", "",
    )  # fmt: skip
    code, out, _ = corebank("check", folder)
    assert (code, out.splitlines()[0]) == (0, f"{folder}: 17 files found, 15 used, 2 set aside")
    code, out, err = corebank("add", bank, folder)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].startswith("added 10 spectra in 2 runs and 3 measurements, snapshot ")
    snapshot = out.split()[-1]
    code, out, _ = corebank("add", bank, folder)
    assert (code, out.splitlines()[-1]) == (0, f"nothing new: the bank held all of it, at snapshot {snapshot}")
    code, out, _ = corebank("log", bank)
    assert out.splitlines()[0].startswith(snapshot)
    assert out.splitlines()[0].endswith("add cruise1: 10 spectra in 2 runs, 3 measurements")
    assert corebank("tag", bank, "release-1") == (0, f"release release-1 is snapshot {snapshot}\n", "")
    code, _, err = corebank("tag", bank, "release-1")
    assert code == 1
    assert err.startswith(f"corebank: {bank}: there is, or was, a release 'release-1'")


def test_json_is_one_document_and_nothing_else(corebank, small_bank: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def] - see above
    folder = write_expedition(tmp_path / "cruise1")
    code, out, _ = corebank("check", folder, "--json", "-")
    report = json.loads(out)
    assert (code, report["refused"], report["runs"], report["files_found"]) == (0, False, {"s1": 5, "s2": 5}, 17)
    code, out, _ = corebank("check", folder, "--json", tmp_path / "report.json")
    assert out.startswith(str(folder))
    assert json.loads((tmp_path / "report.json").read_text()) == report
    code, out, _ = corebank("log", small_bank, "--json")
    assert [commit["message"] for commit in json.loads(out)] == [
        "add cruise1: 10 spectra in 2 runs, 3 measurements",
        "a new bank for lab",
    ]


def test_a_refusal_gives_its_reasons_and_ends_with_one(corebank, small_bank: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def] - see above
    folder = write_expedition(tmp_path / "cruise1", laboratory="depth_cm,TOC,CaCO3\n1,300,1\n")
    before = contents(small_bank)
    code, out, _ = corebank("check", folder)
    assert (code, "refused: lab.csv, line 2, column TOC: " in out) == (1, True)
    code, out, _ = corebank("check", folder, "--json", "-")
    assert (code, json.loads(out)["refused"]) == (1, True)
    code, out, err = corebank("add", small_bank, folder)
    assert (code, out) == (1, "")
    assert "  refused: lab.csv, line 2, column TOC: " in err
    assert err.splitlines()[-1].startswith(f"corebank: {folder}: nothing was added. Mend what is refused")
    assert contents(small_bank) == before


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["add", "BANK", "nowhere"], "nowhere/contribution.toml: there is no such file. Write one"),
        (["add", "nowhere", "FOLDER"], "nowhere: there is no bank. Make one with: corebank init"),
        (["log", "BANK", "--at", "release-9"], "there is no snapshot, release or branch 'release-9'"),
        (["init", "BANK", "--site", "lab"], "is there already and not empty"),
        (["init", "new", "--site", "The Lab"], "'The Lab' is no name for a site"),
        (["init", "new", "--site", "lab", "--step", "20"], "--step: '20' has no unit"),
        (["init", "new", "--site", "lab", "--bins", "0"], "energy grid: start 0.0 keV, step 0.02 keV, 0 bins"),
    ],
)
def test_what_cannot_be_done_is_a_sentence_on_stderr(  # type: ignore[no-untyped-def] - see above
    corebank, small_bank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], found: str
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"BANK": str(small_bank), "FOLDER": str(write_expedition(tmp_path / "cruise1"))}
    code, out, err = corebank(*(places.get(word, word) for word in words))
    assert (code, out) == (1, "")
    assert err.startswith("corebank: ")
    assert found in err
    assert err.endswith(".\n")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["add", "bank"],
        ["init", "bank"],
        ["frobnicate"],
        ["log", "bank", "--josn"],
        ["init", "bank", "--site", "lab", "--bins", "many"],
    ],
)
def test_wrong_usage_ends_with_two(corebank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:  # type: ignore[no-untyped-def] - see above
    monkeypatch.chdir(tmp_path)
    code, _out, _ = corebank(*words)
    assert (code, list(tmp_path.iterdir())) == (2, [])


def test_every_command_explains_itself(corebank) -> None:  # type: ignore[no-untyped-def] - see above
    code, out, _ = corebank("--help")
    assert code == 0
    for name in cli.COMMANDS:
        assert name.split()[0] in out
        assert corebank(*name.split(), "--help")[0] == 0


def test_help_waits_for_no_heavy_import_and_the_command_is_installed() -> None:
    heavy = ["torch", "mlflow", "zarr", "xarray", "icechunk", "pandas", "pandera", "intake", "matplotlib"]
    code = f"import sys, corebank.cli; print([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    command = Path(sys.executable).with_name("corebank")
    ended = subprocess.run([command, "log", "nowhere"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "there is no bank" in ended.stderr


def test_a_missing_extra_says_what_to_install_and_any_other_missing_module_is_a_bug(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def needs(name: str) -> Callable[..., None]:
        def program(*_: object, **__: object) -> None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        return program

    with pytest.raises(SystemExit, match="1"):
        cli.run(needs("torch"))  # type: ignore[arg-type]  # stands for an App
    said = 'corebank: this needs torch, which is not installed. Install it with: pip install "corebank[models]".\n'
    assert capsys.readouterr().err == said
    with pytest.raises(ModuleNotFoundError, match="numpyy"):
        cli.run(needs("numpyy"))  # type: ignore[arg-type]  # stands for an App
