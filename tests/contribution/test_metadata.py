"""contribution.toml: every problem found, all at once, each with its place in the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank.contribution import metadata, toml
from corebank.errors import ContributionError

GOOD = """\
[expedition]
name = "cruise1"
title = "Cruise 1"
site = "lab"
steward = "A. Steward"
licence = "CC-BY-4.0"
embargo_until = 2027-06-30

[scanner]
kind = "avaatech"
calibration = { gain = "20 eV", offset = "-10 eV" }

[[core]]
name = "C/1"
latitude = 54.5
longitude = -20.25
water_depth = "1.2 km"

[[core.section]]
folder = "./S1/"
name = "S1 upper"
top = "33.4 cm"
stretch = 1.58

[[measurements]]
file = "lab.csv"
depth = "depth [cm]"
columns = { TOC = "TOC_pct [wt%]" }
"""

BREAKS = {
    "no name": ('name = "cruise1"', "", "expedition.name: is missing"),
    "no slug": (
        'name = "cruise1"',
        'name = "Cruise 1"',
        "expedition.name: is 'Cruise 1', should be small letters, digits and hyphens, such as \"cruise-1\"",
    ),
    "site no slug": ('site = "lab"', 'site = "The Lab"', "expedition.site: is 'The Lab'"),
    "blank title": ('title = "Cruise 1"', 'title = "  "', "expedition.title: is missing"),
    "no steward": ('steward = "A. Steward"', "", "expedition.steward: is missing"),
    "no licence": ('licence = "CC-BY-4.0"', "", "expedition.licence: is missing"),
    "number for text": ('title = "Cruise 1"', "title = 1", "expedition.title: is 1, should be text between quotes"),
    "no date": (
        "embargo_until = 2027-06-30",
        'embargo_until = "June"',
        "expedition.embargo_until: is 'June', should be a date",
    ),
    "no flag": (
        "embargo_until = 2027-06-30",
        'synthetic = "yes"',
        "expedition.synthetic: is 'yes', should be true or false",
    ),
    "unknown key": (
        'title = "Cruise 1"',
        'title = "Cruise 1"\nauthor = "me"',
        "expedition.author: is unknown; known here are citation, doi",
    ),
    "unknown table": ("[scanner]", "[scaner]", "scaner: is unknown"),
    "gain alone": ('gain = "20 eV", ', "", "scanner.calibration: gain and offset go together"),
    "gain without unit": (
        '"20 eV"',
        '"0.02"',
        "scanner.calibration.gain: gain: '0.02' has no unit|scanner.calibration.gain: '0.02' has no unit",
    ),
    "calibration no table": (
        'calibration = { gain = "20 eV", offset = "-10 eV" }',
        "calibration = 20",
        "scanner.calibration: should be a table",
    ),
    "core no array": ("[[core]]", "[core]", "core: should be written as [[core]]"),
    "latitude": (
        "latitude = 54.5",
        "latitude = 154.5",
        "core[1].latitude: is 154.5, should be a number from -90 to 90",
    ),
    "latitude text": ("latitude = 54.5", 'latitude = "54N"', "core[1].latitude: is '54N', should be a number"),
    "longitude": (
        "longitude = -20.25",
        "longitude = nan",
        "core[1].longitude: is nan, should be a number from -180 to 360",
    ),
    "water depth": ('"1.2 km"', '"1.2 s"', "core[1].water_depth: '1.2 s' cannot be given in m"),
    "no section name": ('name = "S1 upper"', "", "core[1].section[1].name: is missing"),
    "no folder": ('folder = "./S1/"', "", "core[1].section[1].folder: is missing"),
    "no top": ('top = "33.4 cm"', "", "core[1].section[1].top: is missing"),
    "top without unit": ('"33.4 cm"', '"33.4"', "core[1].section[1].top: '33.4' has no unit. Write the unit too"),
    "stretch": ("stretch = 1.58", "stretch = 0", "core[1].section[1].stretch: is 0, should be a number from 0.1 to 10"),
    "run no slug": ("stretch = 1.58", 'run = "S 1"', "core[1].section[1].run: is 'S 1'"),
    "no run of that name": (
        'name = "S1 upper"',
        'name = "§"',
        "core[1].section[1].run: is missing, and none can be made of '§'",
    ),
    "no file": ('file = "lab.csv"', "", "measurements[1].file: is missing"),
    "depth without unit": ('"depth [cm]"', '"depth"', "measurements[1].depth: 'depth' names no unit"),
    "two ways of depth": (
        'depth = "depth [cm]"',
        'depth = "depth [cm]"\ntop = "a [cm]"\nbottom = "b [cm]"',
        "measurements[1]: give depths in one way",
    ),
    "a section beside a composite depth": (
        'depth = "depth [cm]"',
        'depth = "depth [cm]"\nsection = "section"',
        "measurements[1]: give depths in one way",
    ),
    "a file outside the folder": (
        'file = "lab.csv"',
        'file = "../lab.csv"',
        "measurements[1].file: is '../lab.csv', should be a file inside the folder",
    ),
    "no way of depth": ('depth = "depth [cm]"', "", "measurements[1]: give depths in one way"),
    "no columns": ('columns = { TOC = "TOC_pct [wt%]" }', "", "measurements[1].columns: is missing"),
    "column unit": (
        '"TOC_pct [wt%]"',
        '"TOC_pct [percentish]"',
        "measurements[1].columns.TOC: unit 'percentish' of 'TOC_pct [percentish]' is unknown",
    ),
    "thickness": (
        'file = "lab.csv"',
        'file = "lab.csv"\nthickness = "thin"',
        "measurements[1].thickness: 'thin' is not a quantity",
    ),
}


def read(folder: Path, text: str) -> metadata.Metadata:
    (folder / "contribution.toml").write_text(text, encoding="utf-8")
    return metadata.read(folder / "contribution.toml")


@pytest.mark.parametrize(("old", "new", "found"), BREAKS.values(), ids=BREAKS.keys())
def test_each_rule_is_missed_when_it_is_broken(tmp_path: Path, old: str, new: str, found: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(ContributionError) as caught:
        read(tmp_path, GOOD.replace(old, new))
    assert any(one in caught.value.found for one in found.split("|")), caught.value.found
    assert caught.value.fix == "Correct these places in the file"


HIDING = {"core no array", "unknown table", "no run of that name"}
"""Breaks that take others away with them, or that another one mends."""


def lines_of(name: str) -> set[int]:
    """The lines of the good file that a break touches."""
    first = GOOD[: GOOD.index(BREAKS[name][0])].count("\n")
    return {first}


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(sorted(BREAKS.keys() - HIDING)), min_size=2, unique=True))
def test_everything_wrong_is_reported_at_once(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    """Breaks of different lines do not hide each other."""
    text, broken, touched = GOOD, [], set[int]()
    for name in names:
        if not lines_of(name) & touched:
            touched |= lines_of(name)
            text = text.replace(*BREAKS[name][:2])
            broken.append(BREAKS[name][2])
    with pytest.raises(ContributionError) as caught:
        read(tmp_path_factory.mktemp("toml"), text)
    assert [found for found in broken if not any(one in caught.value.found for one in found.split("|"))] == []


def test_two_problems_are_two_clauses(tmp_path: Path) -> None:
    with pytest.raises(
        ContributionError, match=r"contribution\.toml: expedition\.steward: is missing; core\[1\]\.latitude: is 154\.5"
    ):
        read(tmp_path, GOOD.replace("54.5", "154.5").replace('steward = "A. Steward"\n', ""))


@pytest.mark.parametrize(
    ("extra", "found"),
    [
        (
            '[[core]]\nname = "C/1"\n[[core.section]]\nfolder = "S2"\nname = "S2"\ntop = "1 m"\n',
            "core: 'C/1' stands 2 times; each needs its own",
        ),
        (
            '[[core]]\nname = "C/2"\n[[core.section]]\nfolder = "S2"\nname = "S1 UPPER"\ntop = "1 m"\n',
            "run: 's1-upper' stands 2 times",
        ),
        (
            '[[core]]\nname = "C/2"\n[[core.section]]\nfolder = "S1"\nname = "S2"\ntop = "1 m"\n',
            "folder: 'S1' stands 2 times",
        ),
    ],
)
def test_names_that_must_differ_are_compared(tmp_path: Path, extra: str, found: str) -> None:
    with pytest.raises(ContributionError) as caught:
        read(tmp_path, GOOD + extra)
    assert found in caught.value.found


def test_a_file_without_sections_brings_nothing(tmp_path: Path) -> None:
    with pytest.raises(ContributionError, match=r"core\.section: there is none, so there is nothing to bring in"):
        read(tmp_path, GOOD.split("[[core]]")[0])


def test_a_file_that_is_not_there_or_no_toml_says_so(tmp_path: Path) -> None:
    with pytest.raises(ContributionError, match=r"nothing\.toml: there is no such file\. Write one"):
        metadata.read(tmp_path / "nothing.toml")
    with pytest.raises(ContributionError, match=r"cannot be read \(Is a directory\)"):
        metadata.read(tmp_path)
    with pytest.raises(ContributionError, match=r"is not valid TOML \(.*line 1"):
        read(tmp_path, "[expedition\n")
    (tmp_path / "contribution.toml").write_bytes(b'title = "\xff"')
    with pytest.raises(ContributionError, match="is not valid TOML"):
        metadata.read(tmp_path / "contribution.toml")


def test_a_good_file_becomes_frozen_values_in_the_banks_units(tmp_path: Path) -> None:
    words = read(tmp_path, GOOD)
    section, laboratory = words.sections[0], words.measurements[0]
    assert (section.core, section.folder, section.name, section.run) == ("C/1", "S1", "S1 upper", "s1-upper")
    assert (section.top, section.stretch) == (334.0, 1.58)
    assert (words.scanner.gain, words.scanner.offset) == (pytest.approx(0.02), pytest.approx(-0.01))
    assert (words.cores[0].latitude, words.cores[0].water_depth) == (54.5, pytest.approx(1200))
    assert words.expedition.embargo_until == "2027-06-30"
    assert (laboratory.columns, laboratory.depth, laboratory.thickness) == (
        {"TOC": ("TOC_pct", "wt%")},
        ("depth", "cm"),
        10.0,
    )
    assert read(tmp_path, GOOD.replace('"lab.csv"', '"lab.csv"\nthickness = "0 mm"')).measurements[0].thickness == 0.0


@settings(deadline=None)
@given(st.text())
def test_a_slug_is_small_letters_digits_and_hyphens_or_nothing(name: str) -> None:
    assert toml.slugged(toml.slugged(name)) == toml.slugged(name)
    assert not toml.slugged(name) or toml.is_slug(toml.slugged(name))
