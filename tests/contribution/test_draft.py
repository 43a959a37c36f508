"""The drafted contribution.toml: a valid one for every folder, each guess marked, nothing overwritten."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import contribution, virtual
from corebank.contribution import draft, metadata, toml
from corebank.contribution.draft import names, sections, words
from corebank.contribution.draft.names import Place
from corebank.contribution.draft.sections import Part
from corebank.contribution.metadata import Metadata
from corebank.errors import ContributionError, ReadError
from tests.scanner import avaatech_spe, contents, itrax_spe, spectra, write_expedition, write_itrax

ANSWERS = {
    "title": "A title",
    "site": "lab",
    "steward": "A. Steward",
    "licence": "CC-BY-4.0",
    "anode": "Rh",
    "step": "5 mm",
    "live_time": "10 s",
    "tube_voltage": "30 kV",
}
"""What a person writes where a draft says fill in."""

FACTS = {"kind", "folder"}
"""Keys that a draft takes from the folder as they are; every other value is a guess or a blank."""

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=20)


def filled(text: str) -> str:
    """A draft with every blank filled in, and nothing else touched."""
    return re.sub(
        r'^(\w+) = ""  # fill in: .*$', lambda found: f'{found[1]} = "{ANSWERS[found[1]]}"', text, flags=re.MULTILINE
    )


def accepted(folder: Path, to: Path) -> Metadata:
    """The words of a folder's draft, filled in at `to`."""
    draft.write(folder, to)
    to.write_text(filled(to.read_text(encoding="utf-8")), encoding="utf-8")
    return metadata.read(to)


def places(words_: Metadata) -> list[tuple[str, str, str, float]]:
    return [(part.core, part.name, part.folder, part.top) for part in words_.sections]


@given(st.text())
def test_any_text_survives_as_a_value_and_stays_one_line_as_a_comment(text: str) -> None:
    shown = "".join("?" if 0xD800 <= ord(letter) < 0xE000 else letter for letter in text)
    assert tomllib.loads(words.guess("k", text, text)) == {"k": shown}
    assert tomllib.loads(words.fact(text or "k", text)) == {shown or "k": shown}
    assert tomllib.loads(words.comment(text)) == {}


@given(NAMES, NAMES)
def test_every_folder_name_gives_a_core_and_a_section(name: str, root: str) -> None:
    found = names.place(name, root)
    assert found.core
    assert found.section
    assert found.repeat >= 0


@given(st.lists(st.tuples(st.sampled_from("AB"), NAMES, st.integers(0, 3), st.floats(1, 1500)), min_size=1, max_size=8))
def test_sections_lie_end_to_end_and_no_two_runs_share_a_name(found: list[tuple[str, str, int, float]]) -> None:
    parts = sections.arranged(
        [
            Part(folder=f"{core}/{number}", core=core, section=section, repeat=repeat, end=end, why="")
            for number, (core, section, repeat, end) in enumerate(found)
        ]
    )
    assert len({part.run for part in parts}) == len(parts)
    assert all(toml.is_slug(part.run) for part in parts)
    for core in "AB":
        own = [part for part in parts if part.core == core]
        top = 0.0
        for section in dict.fromkeys(part.section for part in own):
            repeats = [part for part in own if part.section == section]
            assert all(part.top == pytest.approx(top) for part in repeats)
            top += max(part.end for part in repeats)


@settings(deadline=None, max_examples=20)
@given(st.lists(NAMES.filter(lambda name: name.strip().strip(".") == name), min_size=1, max_size=3, unique=True))
def test_whatever_folders_are_called_the_draft_is_accepted_and_lists_them_all(
    tmp_path_factory: pytest.TempPathFactory, folders: list[str]
) -> None:
    root = tmp_path_factory.mktemp("cruise")
    made = set()
    for row, name in enumerate(folders):
        if len(name.encode()) < 200 and not (root / name).exists() and not name.lower().endswith(".zip"):
            (root / name).mkdir()
            (root / name / "L000000.spe").write_bytes(itrax_spe(spectra(1, seed=row)[0]))
            made.add(name)
    if made:
        found = accepted(root, tmp_path_factory.mktemp("words") / "contribution.toml")
        assert {part.folder for part in found.sections} == made - {""}


@pytest.mark.parametrize(
    ("folder", "root", "core", "section", "repeat"),
    [
        ("CD166_19_S1/CD166_19_S1_REP2", "x", "CD166_19", "S1", 2),
        ("VM1-1_S2", "x", "VM1-1", "S2", 0),
        ("ARD_13_8_Mo/ARD1A", "x", "ARD1", "A", 0),
        ("LP081B_II", "x", "LP081", "B_II", 0),
        ("U1489-1H-4A", "x", "U1489-1H", "4A", 0),
        ("SO264-15-2_TC", "x", "SO264-15-2_TC", "SO264-15-2_TC", 0),
        ("SO202-37-2_re", "x", "SO202-37-2", "SO202-37-2", 2),
        ("GC07/Section 3", "x", "GC07", "Section 3", 0),
        ("GC07/GC07_3", "x", "GC07", "3", 0),
        ("GC07/GC07_3/XRF data", "x", "GC07", "3", 0),
        ("S1", "cruise1", "cruise1", "S1", 0),
        ("GC07_S1_200um", "x", "GC07", "S1", 0),
        (".", "GC07", "GC07", "GC07", 0),
    ],
)
def test_names_met_in_archives_are_taken_apart(folder: str, root: str, core: str, section: str, repeat: int) -> None:
    found = names.place(folder, root)
    assert found == Place(core, section, repeat, found.why)


@pytest.mark.parametrize("name", ["vm1", "vs1"])
def test_a_virtual_expedition_is_drafted_as_it_was_written_and_passes_its_check(tmp_path: Path, name: str) -> None:
    small = replace(virtual.EXPEDITIONS[name], cores=2, sections_per_core=2, spectra_per_section=12, labels_per_core=6)
    virtual.write(tmp_path / name, small)
    path = tmp_path / name / "contribution.toml"
    true = metadata.read(path)
    path.unlink()
    found = accepted(tmp_path / name, path)
    assert places(found) == places(true)
    assert [part.run for part in found.sections] == [part.run for part in true.sections]
    assert dict(found.measurements[0].columns) == dict(true.measurements[0].columns)
    assert (found.measurements[0].top, found.measurements[0].core) == (true.measurements[0].top, "core")
    report, _ = contribution.check(tmp_path / name)
    assert report.passes, str(report)


@pytest.mark.real
@pytest.mark.parametrize(
    ("folder", "cores", "runs", "tables"),
    [
        ("itrax-cd166", ["CD166_19"], ["s1-rep1", "s1-rep2", "s2-rep1", "s2-rep2", "s3-rep1", "s3-rep2"], []),
        ("itrax-ardley", ["ARD1"], ["ard1a", "ard1b", "ard1c", "ard1d", "ard1e"], ["labels_tidy.csv"]),
        ("itrax-lagopato", ["LP08-1"], ["lp08-1c"], ["labels_tidy.csv"]),
        ("xrflab-reference-sediments", None, None, []),
    ],
)
def test_the_real_folders_are_drafted_and_accepted(
    tmp_path: Path, data: Path, folder: str, cores: list[str] | None, runs: list[str] | None, tables: list[str]
) -> None:
    found = accepted(data / folder, tmp_path / "contribution.toml")
    assert cores is None or [core.name for core in found.cores] == cores
    assert runs is None or [part.run for part in found.sections] == runs
    assert [table.file for table in found.measurements] == tables
    assert found.scanner.kind == ("emsa" if folder.startswith("xrflab") else "itrax")


def test_every_value_is_a_fact_of_the_folder_a_marked_guess_or_a_marked_blank(tmp_path: Path) -> None:
    text = draft.text(write_expedition(tmp_path / "cruise1"))
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            key = line.split(" =")[0]
            assert key in FACTS or re.search(r"  # (guess|fill in): \S", line), line
    assert text.count("# fill in") == len(ANSWERS.keys() & {"title", "site", "steward", "licence"})
    (tmp_path / "drafted.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ContributionError, match=r"expedition\.title: is missing"):
        metadata.read(tmp_path / "drafted.toml")


def test_a_draft_never_overwrites_and_changes_nothing_else(tmp_path: Path) -> None:
    folder = write_expedition(tmp_path / "cruise1")
    before = contents(folder)
    with pytest.raises(ContributionError, match="there is one already"):
        draft.write(folder)
    assert draft.write(folder, tmp_path / "mine.toml") == tmp_path / "mine.toml"
    assert contents(folder) == before
    with pytest.raises(ContributionError, match=r"cannot be written .*--toml"):
        draft.write(folder, tmp_path / "nowhere" / "mine.toml")
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_without_spectra_has_no_draft(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ContributionError, match="holds no spectrum of a scanner that corebank knows"):
        draft.write(tmp_path)
    with pytest.raises(ReadError, match="there is no such folder"):
        draft.text(tmp_path / "nowhere")
    assert contents(tmp_path) == {"notes.txt": b"hello"}


def test_a_damaged_spectrum_is_told_and_the_rest_is_drafted(tmp_path: Path) -> None:
    write_itrax(tmp_path / "GC1_S1", spectra(3))
    (tmp_path / "GC1_S2").mkdir()
    (tmp_path / "GC1_S2" / "L000000.spe").write_bytes(itrax_spe(spectra(1)[0])[:-40])
    text = draft.text(tmp_path)
    assert "# GC1_S2 could not be looked into: GC1_S2/L000000.spe: " in text
    assert [part["name"] for part in tomllib.loads(text)["core"][0]["section"]] == ["S1", "S2"]


def test_sections_that_share_an_avaatech_folder_get_their_files_their_starts_and_their_trigger_core(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "SO264"
    folder.mkdir()
    for start in ("0000", "0100", "00TC", "10430B"):
        for row in range(3):
            name = f"SO264-15-2_{start} {10.0 * row:7.1f}mm  10s  10kV 150uA No-Filter   0.0mm Run1 Rep0 Sett Low.spe"
            (folder / name).write_bytes(avaatech_spe(spectra(1, seed=row)[0], depth=f"{10.0 * row}"))
    found = accepted(folder, tmp_path / "contribution.toml")
    assert [(part.core, part.name, part.top, part.files) for part in found.sections] == [
        ("SO264-15-2", "0000", 0.0, "SO264-15-2_0000 *"),
        ("SO264-15-2", "0100", 1000.0, "SO264-15-2_0100 *"),
        ("SO264-15-2", "10430B", 10430.0, "SO264-15-2_10430B *"),
        ("SO264-15-2_TC", "00TC", 0.0, "SO264-15-2_00TC *"),
    ]
    assert [part.names for part in found.sections] == ["", "", "", "contribution.toml"]


def test_a_core_that_the_files_call_otherwise_is_pointed_out_and_not_decided(tmp_path: Path) -> None:
    folder = tmp_path / "SO264"
    folder.mkdir()
    name = "SO264-69-2_0000    0.0mm  10s  10kV 150uA No-Filter   0.0mm Run1 Rep0 Sett Low.spe"
    (folder / name).write_bytes(avaatech_spe(spectra(1)[0]))  # its $Core_ID is SO264-15-2
    text = draft.text(folder)
    assert "begins or ends with a blank" not in text
    folder.rename(tmp_path / "more")
    (tmp_path / "all").mkdir()
    (tmp_path / "more").rename(tmp_path / "all" / "SO264 ")
    assert "# look: the folder's name begins or ends with a blank" in draft.text(tmp_path / "all")
    assert '# names = "contribution.toml"  if the core that the files name, SO264-15-2, is wrong' in text
    assert '\nname = "SO264-69-2"  # guess' in text


def test_a_table_of_spectra_becomes_one_section_per_core_at_its_composite_depths(tmp_path: Path) -> None:
    rows = pd.DataFrame(np.full((4, 256), 7), columns=[str(channel) for channel in range(256)])
    rows["core"], rows["composite_depth_mm"] = ["A-1", "A-1", "B-2", "B-2"], [0, 10, 0, 10]
    rows["section_depth_mm"], rows["filename"] = [0, 10, 0, 10], ["a1.spe", "a2.spe", "b1.spe", "b2.spe"]
    (tmp_path / "corpus").mkdir()
    rows.to_csv(tmp_path / "corpus" / "spectra.csv", index=False)
    found = accepted(tmp_path / "corpus", tmp_path / "contribution.toml")
    assert [(part.core, part.folder, part.files, part.top) for part in found.sections] == [
        ("A-1", "spectra.csv", "A-1/*", 0.0),
        ("B-2", "spectra.csv", "B-2/*", 0.0),
    ]
    assert 'live_time = ""  # fill in' in draft.text(tmp_path / "corpus")
