"""The files of a folder: all of them accounted for, archives opened, and nothing followed out of the folder."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import readers
from corebank.errors import ReadError
from corebank.readers.files import entries, loaded, natural
from tests.scanner import (
    avaatech_spe,
    contents,
    itrax_spe,
    results_table,
    settings_dfl,
    spectra,
    write_itrax,
    write_zip,
)

ONE = spectra(1)[0]


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=2, unique=True))
def test_numbered_names_stand_in_the_order_of_their_numbers(numbers: list[int]) -> None:
    names = [f"L{number}.spe" for number in numbers]
    assert sorted(names, key=natural) == [f"L{number}.spe" for number in sorted(numbers)]


@settings(deadline=None)
@given(st.lists(st.text(), min_size=2))
def test_any_names_can_be_put_in_order(names: list[str]) -> None:
    sorted(names, key=natural)


def test_every_file_found_is_in_a_series_or_set_aside_with_a_reason(tmp_path: Path) -> None:
    write_itrax(tmp_path / "S1", spectra(3), zipped=True)
    write_itrax(tmp_path / "S2", spectra(2, seed=1))
    (tmp_path / "S2" / "notes.txt").write_text("rescanned")
    (tmp_path / "S2" / "fit.dfl").write_bytes(settings_dfl())
    (tmp_path / "readme.md").write_text("hello")
    (tmp_path / "S2" / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "S2" / "._fit.dfl").write_bytes(b"\0")
    scans, set_aside = readers.scans(tmp_path)
    used = [file.name for scan in scans for file in [*scan.spectra, *scan.companions]]
    found = [entry.name for entry in entries(tmp_path)[0]]
    assert sorted([*used, *set_aside]) == sorted(found)
    assert not [name for name in found if "__MACOSX" in name or "._" in name or "DS_Store" in name]
    assert {scan.folder: len(scan.spectra) for scan in scans} == {"S1": 3, "S2": 2}
    assert next(file.name for file in scans[0].spectra) == "S1/XRF data.zip!XRF data/L000000.spe"
    assert set_aside["S1/sumspectra.spe"].startswith("sum spectrum")
    assert set_aside["S2/notes.txt"] == "neither a spectrum nor a table that corebank knows"
    assert set_aside["readme.md"] == "not a spectrum, and beside none that it could describe"


def test_a_spectrum_that_lies_there_twice_counts_once(tmp_path: Path) -> None:
    """People unpack XRF data.zip and leave it beside what it held."""
    write_itrax(tmp_path / "S1", spectra(3), zipped=True)
    with zipfile.ZipFile(tmp_path / "S1" / "XRF data.zip") as archive:
        archive.extractall(tmp_path / "S1")
    found = readers.read_scan(readers.scans(tmp_path)[0][0])
    assert found.runs[0].sizes["spectrum"] == 3
    assert sum(why.startswith("the same bytes as S1/XRF data") for why in found.set_aside.values()) == 3
    assert [(note.kind, len(note.items)) for note in found.notes] == [("copies", 3)]


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"nowhere: there is no such folder\. Give the folder that holds"):
        readers.scans(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name", ["../escape.spe", "a/../../escape.spe", "/etc/escape.spe", "..\\escape.spe", "C:\\escape.spe"]
)
def test_an_archive_that_points_out_of_itself_is_refused_whole(tmp_path: Path, name: str) -> None:
    write_zip(tmp_path / "XRF data.zip", {"XRF data/L000000.spe": itrax_spe(ONE), name: itrax_spe(ONE)})
    with pytest.raises(ReadError, match=r"XRF data\.zip: member .*escape\.spe' points out of the archive"):
        readers.scans(tmp_path)


GOOD = {row.tobytes() for row in spectra(2)}
ARCHIVE_MEMBERS = {f"XRF data/L{row:06d}.spe": itrax_spe(counts) for row, counts in enumerate(spectra(2))}


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_damaged_archive_is_refused_or_read_and_never_breaks_the_program(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    write_zip(folder / "x.zip", ARCHIVE_MEMBERS)
    content = bytearray((folder / "x.zip").read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[at] = data.draw(st.integers(0, 255))
    (folder / "x.zip").write_bytes(bytes(content))
    found = readers.survey(folder)
    damaged = [note.where for note in found.notes]
    read_in = [readers.read_scan(scan) for scan in found.scans]
    damaged += [note.where for one in read_in for note in one.notes]
    assert all(where.startswith("x.zip") for where in damaged)
    for run in (run for one in read_in for run in one.runs):  # what is read of it is whole
        assert all(row.tobytes() in GOOD for row in run["counts"].values)


def test_the_contents_of_an_archive_are_listed_once_however_many_blocks_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And again when it has changed."""
    listed: list[Path] = []

    class Noting(zipfile.ZipFile):
        def __init__(self, path: Path) -> None:
            listed.append(path)
            super().__init__(path)

    packed = [tmp_path / "a.zip", tmp_path / "b.zip"]
    for path in packed:
        write_zip(path, {f"L{row}.spe": f"{path.stem}{row}".encode() for row in range(6)})
    monkeypatch.setattr(zipfile, "ZipFile", Noting)
    found, _ = entries(tmp_path)
    blocks = [found[start : start + 2] for start in range(6, 12, 2)]
    assert [file.content for block in blocks for file in loaded(block)] == [f"b{row}".encode() for row in range(6)]
    assert listed == packed
    monkeypatch.undo()
    write_zip(packed[1], {f"L{row}.spe": b"changed" for row in range(6)})
    assert {file.content for file in loaded(found[6:])} == {b"changed"}
    assert [file.content for file in loaded(found[:1])] == [b"a0"]


@pytest.mark.parametrize("cut", [0, 1, 30, 500, -1])
def test_an_archive_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    write_zip(tmp_path / "x.zip", ARCHIVE_MEMBERS)
    (tmp_path / "x.zip").write_bytes((tmp_path / "x.zip").read_bytes()[:cut])
    with pytest.raises(ReadError, match=r"x\.zip: is not a whole zip archive \(.*\)\. Copy it again"):
        readers.scans(tmp_path)


def test_an_archive_that_swells_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["corebank.readers.files"], "MAX_MEMBER_BYTES", 2**20)
    write_zip(tmp_path / "bomb.zip", {f"L{part}.spe": bytes(2**20) for part in range(8)})
    with pytest.raises(ReadError, match=r"bomb\.zip: would unpack to 8 MB"):
        readers.scans(tmp_path)
    write_zip(tmp_path / "bomb.zip", {"L0.spe": bytes(2**20 + 1)})
    with pytest.raises(ReadError, match=r"member 'L0\.spe' is 1 MB"):
        readers.scans(tmp_path)


def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.spe").write_bytes(itrax_spe(ONE))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "L000000.spe").write_bytes(itrax_spe(ONE))
    (folder / "L000001.spe").symlink_to("L000000.spe")
    assert [entry.name for entry in entries(folder)[0]] == ["L000000.spe", "L000001.spe"]
    (folder / "L000002.spe").symlink_to(tmp_path / "secret.spe")
    with pytest.raises(
        ReadError, match=r"L000002\.spe: is a link to .*secret\.spe, outside the folder\. Copy the file itself"
    ):
        readers.scans(folder)


def test_a_linked_folder_outside_is_refused_instead_of_being_passed_over(tmp_path: Path) -> None:
    write_itrax(tmp_path / "elsewhere", spectra(2))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "S1").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ReadError, match=r"S1: is a link to .*elsewhere, outside the folder"):
        readers.scans(tmp_path / "folder")


def test_what_is_no_file_is_refused_instead_of_being_waited_for(tmp_path: Path) -> None:
    (tmp_path / "gone.spe").symlink_to("nothing.spe")
    with pytest.raises(ReadError, match=r"gone\.spe: is no file that can be read"):
        readers.scans(tmp_path)
    (tmp_path / "gone.spe").unlink()
    os.mkfifo(tmp_path / "pipe.spe")
    with pytest.raises(ReadError, match=r"pipe\.spe: is no file that can be read"):
        readers.scans(tmp_path)


def test_one_bad_archive_hides_none_of_the_other_files(tmp_path: Path) -> None:
    write_itrax(tmp_path / "S1", spectra(3))
    (tmp_path / "S2").mkdir()
    write_zip(tmp_path / "S2" / "XRF data.zip", {"../escape.spe": itrax_spe(ONE)})
    (tmp_path / "S1" / "half.zip").write_bytes(b"PK\3\4")
    found = readers.survey(tmp_path)
    assert [len(scan.spectra) for scan in found.scans] == [3]
    assert {note.where: note.kind for note in found.notes} == {
        "S1/half.zip": "unreadable",
        "S2/XRF data.zip": "unsafe",
    }
    assert {"S1/half.zip", "S2/XRF data.zip"} <= found.set_aside.keys()


def test_looking_changes_nothing(tmp_path: Path) -> None:
    write_itrax(tmp_path / "S1", spectra(3), zipped=True)
    (tmp_path / "S1" / "a.spe").write_bytes(avaatech_spe(ONE))
    (tmp_path / "result.txt").write_bytes(results_table([]))
    before = contents(tmp_path)
    readers.scans(tmp_path)
    assert contents(tmp_path) == before
