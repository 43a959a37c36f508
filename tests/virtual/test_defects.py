"""Planted defects: the bytes that are said to change do, no others, and what is physical is made of photons."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from corebank.contribution.findings import KINDS
from corebank.errors import RecipeError
from corebank.virtual import EXPEDITIONS, INSTRUMENTS, Expedition, defects, write
from corebank.virtual.defects import DEFECTS, Planted
from corebank.virtual.defects.exposure import moved
from corebank.virtual.defects.folder import Folder
from corebank.virtual.defects.point import Point
from corebank.virtual.defects.spectra import COUNTER

FEW = {"cores": 1, "sections_per_core": 2, "spectra_per_section": 14, "labels_per_core": 5}
FOLDERS = {
    "zipped": (replace(EXPEDITIONS["seed"], **FEW), True),
    "plain": (replace(EXPEDITIONS["vl1"], **FEW, seed=6), False),
    "2008": (replace(EXPEDITIONS["vl1"], **FEW), True),
    "avaatech": (replace(EXPEDITIONS["vs1"], **FEW), True),
}
DAMAGED = {"cut-short", "emptied", "no-count"}
Fresh = Callable[[str], tuple[Path, Expedition]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("written")
    for name, (expedition, zipped) in FOLDERS.items():
        write(root / name, expedition, zipped=zipped)
    return root


@pytest.fixture
def fresh(written: Path, tmp_path: Path) -> Fresh:
    """A new copy of one of the folders, to be changed."""
    copies = iter(range(1000))

    def copy(name: str) -> tuple[Path, Expedition]:
        folder = tmp_path / f"{name}-{next(copies)}" / "lab"
        shutil.copytree(written / name, folder)
        return folder, FOLDERS[name][0]

    return copy


def contents(folder: Path) -> dict[str, bytes]:
    """Every file, members of archives and links included; what cannot be unpacked has the archive's bytes."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = str(path.readlink()).encode()
        elif path.suffix == ".zip":
            try:
                with zipfile.ZipFile(path) as archive:
                    for member in archive.namelist():
                        if archive.getinfo(member).file_size > 10**7:
                            found[f"{name}!{member}"] = b"large"
                            continue
                        try:
                            found[f"{name}!{member}"] = archive.read(member)
                        except (zipfile.BadZipFile, zipfile.zlib.error):
                            found[f"{name}!{member}"] = b"damaged"
            except zipfile.BadZipFile:
                found[name] = b"damaged"
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def planted(name: str, folder: Path, expedition: Expedition, seed: int) -> Planted:
    return DEFECTS[name].plant(folder, np.random.default_rng(seed), expedition)


def fitting(name: str, written: Path) -> list[str]:
    """The folders that a defect can be planted into."""
    return [kind for kind, (made, _) in FOLDERS.items() if DEFECTS[name].fits(Folder(written / kind, made))]


def is_spectrum(content: bytes) -> bool:
    return b"channel\tcontent\t\t\r" in content or b"\n$DATA:" in content


def line(counts: np.ndarray, energy: float, expedition: Expedition, width: float = 0.12) -> float:
    """Share of the counts near an energy [keV]."""
    near = np.abs(INSTRUMENTS[expedition.instrument].energies - energy) < width
    return float(counts[near].sum() / counts.sum())


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_changes_what_it_says_and_nothing_else(name: str, written: Path, fresh: Fresh) -> None:
    kinds = fitting(name, written)
    assert kinds, "each defect fits some folder"
    kind = kinds[len(name) % len(kinds)]
    folder, expedition = fresh(kind)
    parts, before = Folder(folder, expedition).parts, contents(folder)
    truth = planted(name, folder, expedition, len(name))
    after = contents(folder)
    touched = changed(before, after)
    assert touched
    said = {truth.where, *truth.also, *truth.items}
    said |= {part.folder for part in parts if part.run in said}
    spectra = {one for one in touched if one.endswith((".spe", ".txt")) and is_spectrum(before.get(one, b""))}
    if name == "missing-positions":
        assert after.keys() == before.keys() - spectra
        assert all(one in truth.what for one in spectra)
    elif DEFECTS[name].extent == "spectra" and truth.items and spectra:
        assert spectra & after.keys() == {one for one in truth.items if one in before}
    for one in touched:
        in_words = one == "contribution.toml" and DEFECTS[name].extent != "spectra"
        assert in_words or {one, one.split("/")[0], one.partition("!")[0]} & said or one in truth.what, one
    for one in touched & after.keys():
        if is_spectrum(after[one]) and name not in DAMAGED and "sumspectra" not in one and "._" not in one:
            point = Point(one, after[one])
            assert point.counts.size == INSTRUMENTS[expedition.instrument].channels
            assert point.counts.min() >= 0
            off = abs(point.counts.sum() - float(point.get("total"))) if point.is_itrax else 0.0
            assert (off > 0.002 * point.counts.sum()) == (name == "count-changed" and kind != "avaatech")


@pytest.mark.parametrize("name", DEFECTS)
def test_the_same_seed_plants_the_same_bytes_and_another_seed_elsewhere(name: str, written: Path, fresh: Fresh) -> None:
    kinds = fitting(name, written)
    kind = "plain" if "plain" in kinds else kinds[-1]  # fewer channels and no archive: quicker
    results = []
    for seed in (0, 0, 1, 2, 3, 4, 5, 6, 7):
        folder, expedition = fresh(kind)
        truth = planted(name, folder, expedition, seed)
        results.append((truth, contents(folder)))
        if seed and results[-1] != results[0]:
            break
    assert results[0] == results[1]
    only_one_way = {"wrong-scanner", "table-gone", "top-in-wrong-unit", "tops-swapped", "copied-section"}
    assert (results[-1] != results[0]) == (name not in only_one_way)


def test_every_kind_of_finding_that_is_more_than_information_can_be_planted() -> None:
    kinds = {one.kind for one in DEFECTS.values()}
    assert {name for name, kind in KINDS.items() if kind.severity != "info"} <= kinds
    assert kinds - {""} <= KINDS.keys()
    assert all(one.companions.keys() <= KINDS.keys() for one in DEFECTS.values())


def test_a_scan_point_keeps_every_byte_that_is_not_set(fresh: Fresh) -> None:
    for kind in FOLDERS:
        folder = Folder(*fresh(kind))
        (point,) = folder.points(folder.spectra(folder.parts[0])[3:4])
        name, content = point.name, point.content
        for key in ("position", "live", "real", "voltage", "current"):
            point.put(key, point.get(key))
        point.counts = point.counts
        assert (point.name, point.content) == (name, content)


@pytest.mark.parametrize("kind", ["zipped", "2008", "avaatech"])
def test_a_head_that_stands_too_high_sees_more_argon_and_less_silicon(kind: str, fresh: Fresh) -> None:
    folder, expedition = fresh(kind)
    before = contents(folder)
    truth = planted("air-gap", folder, expedition, 3)
    for point in Folder(folder, expedition).points(truth.items):
        old = Point(point.name, before[point.name])
        assert line(point.counts, 2.957, expedition, 0.08) > 1.1 * line(old.counts, 2.957, expedition, 0.08)
        if kind != "avaatech":  # there a new exposure is one under another film of water
            assert line(point.counts, 1.74, expedition, 0.08) < line(old.counts, 1.74, expedition, 0.08)


@pytest.mark.parametrize("name", ["hidden-tube", "hidden-spectra"])
def test_a_hidden_tube_shows_its_own_scattered_line(name: str, fresh: Fresh) -> None:
    folder, expedition = fresh("zipped")
    before = contents(folder)
    truth = planted(name, folder, expedition, 1)
    for point in Folder(folder, expedition).points(truth.items):
        old = Point(point.name, before[point.name])
        assert line(point.counts, 17.48, expedition) < 0.2 * line(old.counts, 17.48, expedition)
        assert line(point.counts, 5.41, expedition) > 3 * line(old.counts, 5.41, expedition)
        assert b"Tube anode:\tMo" in point.content


def test_photons_move_by_the_stretch_and_the_shift_and_none_is_made() -> None:
    rng, counts = np.random.default_rng(0), np.zeros(2048, dtype=np.int64)
    counts[[300, 1000]] = 40_000
    channels = np.arange(2048)
    out = moved(counts, 1.02, -5.0, rng)
    assert out.sum() == counts.sum()
    for line_at in (300, 1000):
        near = np.abs(channels - line_at * 1.02 + 5) < 3
        assert np.average(channels[near], weights=out[near]) == pytest.approx(line_at * 1.02 - 5, abs=0.02)
    assert moved(counts, 2.5, 0.0, rng).sum() == 40_000, "photons beyond the last channel are lost"


def test_a_jump_of_the_gain_moves_the_iron_line(fresh: Fresh) -> None:
    folder, expedition = fresh("zipped")
    before = contents(folder)
    truth = planted("gain-jump", folder, expedition, 2)
    stretch = 1 + float(re.search(r"([+-][\d.]+)%", truth.what)[1]) / 100
    energies = INSTRUMENTS[expedition.instrument].energies
    inside = (energies > 6) & (energies < 6.8)
    for point in Folder(folder, expedition).points(truth.items):
        old, new = (
            np.flatnonzero(inside)[c[inside].argmax()] for c in (Point("", before[point.name]).counts, point.counts)
        )
        assert new == pytest.approx(old * stretch, abs=2.5)


def test_copies_are_exact_and_near_copies_are_closer_than_photons_allow(fresh: Fresh) -> None:
    for name, exact in (("duplicate", True), ("near-duplicate", False)):
        for seed in range(4):
            folder, expedition = fresh("zipped")
            truth = planted(name, folder, expedition, seed)
            (copy,), (first,) = (Folder(folder, expedition).points(names) for names in (truth.items, truth.partners))
            assert copy.get("position") != first.get("position")
            assert (copy.counts == first.counts).all() == exact
            chi2 = ((copy.counts - first.counts) ** 2 / np.maximum(copy.counts + first.counts, 1)).sum()
            assert chi2 < 0.2 * copy.counts.size


def test_what_is_saturated_blind_dim_or_empty_is_so_by_its_numbers(fresh: Fresh) -> None:
    for kind in ("zipped", "avaatech"):
        for name in ("saturated", "high-dead-time", "low-counts", "empty"):
            folder, expedition = fresh(kind)
            truth = planted(name, folder, expedition, 1)
            for point in Folder(folder, expedition).points(truth.items):
                counts = point.counts
                assert ((counts == COUNTER).sum() >= 3) == (name == "saturated")
                assert (1 - point.number("live") / point.number("real") > 0.5) == (name == "high-dead-time")
                assert (0 < counts.sum() < 1000) == (name == "low-counts")
                assert (counts.sum() == 0) == (name == "empty")


def test_a_file_of_an_avaatech_says_the_same_in_its_name_and_its_header(fresh: Fresh) -> None:
    for name in (
        "overlap",
        "wrong-core-name",
        "impossible-setting",
        "two-voltages",
        "current-changed",
        "voltage-changed",
    ):
        folder, expedition = fresh("avaatech")
        planted(name, folder, expedition, 4)
        for path in (folder / "VS1-1_S2").glob("*.spe"):
            point = Point(path.name, path.read_bytes())
            text = point.content.decode("ascii")
            assert f"$SPEC_ID:\r\n{path.stem}\r\n" in text
            assert path.name.startswith(f"{point.get('core')}_{point.get('start')} ")
            assert f"s {point.number('voltage'):3.0f}kV {point.number('current') * 1000:.0f}uA" in path.name


def test_all_defects_at_once_leave_each_other_alone_and_the_truth_lies_beside(tmp_path: Path) -> None:
    expedition = replace(EXPEDITIONS["vl1"], cores=1, spectra_per_section=20, labels_per_core=10)
    rng = np.random.default_rng(8)
    found = defects.write(tmp_path / "lab", expedition, defects=["all"], rng=rng)
    items = [item for one in found for item in one.items if item.endswith(".spe")]
    assert len(items) == len(set(items))
    truth = json.loads((tmp_path / "lab" / defects.TRUTH).read_text(encoding="utf-8"))
    assert [one["defect"] for one in truth["planted"]] == [one.defect for one in found]
    assert {one.defect for one in found} | truth["left_out"].keys() == DEFECTS.keys()
    fits = {name for name, one in DEFECTS.items() if "itrax" in one.scanners and one.extent != "folder"}
    assert fits - {one.defect for one in found} == {"rates-in-thousands"}, "which is no defect of a scanner of 2008"


def test_defects_are_planted_by_name(fresh: Fresh) -> None:
    folder, _ = fresh("2008")  # vl1: the folder's own words tell what wrote it
    one, other = defects.plant_named(folder, ["gain-jump", "air-gap"], seed=5)
    assert (one.defect, other.kind) == ("gain-jump", "air-gap")
    assert not set(one.items) & set(other.items)
    with pytest.raises(RecipeError, match="gain-jmp is unknown"):
        defects.plant_named(folder, ["gain-jmp"])
    with pytest.raises(RecipeError, match="wrong-core-name: cannot be planted"):
        defects.plant_named(folder, ["wrong-core-name"])
    with pytest.raises(RecipeError, match="no section left"):
        defects.plant_named(folder, ["rescan", "hidden-tube", "rescan"])
    toml = folder / "contribution.toml"
    toml.write_text(toml.read_text().replace('name = "vl1"', 'name = "mine"'))
    with pytest.raises(RecipeError, match="no folder of a known virtual expedition"):
        defects.plant_named(folder, ["air-gap"])
