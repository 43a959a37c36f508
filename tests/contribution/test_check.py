"""A contributed folder: what would go in, what stands in the way, and not one byte of it changed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from corebank import contribution
from corebank.contribution import Contribution
from corebank.errors import ContributionError
from corebank.schema import PROVENANCE, EnergyGrid, run_problems
from tests.conftest import GRID
from tests.scanner import SECTION, avaatech_spe, contents, itrax_spe, spectra, write_expedition, write_itrax


def toml(folder: Path, old: str, new: str) -> Path:
    """Change one thing of a folder's contribution.toml."""
    path = folder / "contribution.toml"
    assert old in path.read_text(encoding="utf-8")
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    return folder


def refusals(folder: Path) -> str:
    """What a check refuses, in one text; checks that nothing would go in."""
    report, found = contribution.check(folder)
    assert report.refused
    assert found is None
    with pytest.raises(ContributionError, match="Mend this and run corebank check again"):
        contribution.checked(folder)
    return "; ".join(
        f"{finding.where}: {finding.found}" for finding in report.findings if finding.severity == "refused"
    )


@pytest.mark.parametrize("zipped", [False, True], ids=["folders", "zips"])
def test_a_good_folder_passes_and_every_file_is_accounted_for(tmp_path: Path, zipped: bool) -> None:
    report, found = contribution.check(write_expedition(tmp_path / "cruise1", zipped=zipped))
    assert isinstance(found, Contribution)
    assert report.runs == {"s1": 5, "s2": 5}
    assert report.measurements == 3
    assert Counter(finding.kind for finding in report.findings) == {
        "calibration-unchecked": 2,  # noise has no lines
        "depth-gap": 1,
        "no-number": 1,
        "negative": 1,
    }
    assert all(one.where and one.found and one.why and one.fix for one in report.findings)
    assert (report.files_used, set(report.set_aside)) == (15, {"S1/sumspectra.spe", "S2/sumspectra.spe"})
    assert json.loads(report.to_json())["files_found"] == 17
    assert str(report).startswith(f"{tmp_path / 'cruise1'}: 17 files found, 15 used, 2 set aside\n")
    assert "  set aside: S1/sumspectra.spe and 1 more: sum spectrum" in str(report)
    assert "\n  s1: 5 spectra\n" in str(report)
    for name, row in (("s1", 0), ("s2", 1)):
        np.testing.assert_array_equal(found.runs[name]["counts"].values, spectra(5, seed=row))
        assert run_problems(found.runs[name]) == []


def test_checking_never_writes_into_the_folder(tmp_path: Path) -> None:
    folder = write_expedition(tmp_path / "cruise1", zipped=True)
    before = contents(folder)
    contribution.check(folder)
    contribution.spectra(folder, GRID)
    (folder / "S1" / "Results.txt").write_bytes(b"C:\\Data\npeakarea\n")
    assert "no file" not in refusals(folder)
    assert contribution.check(folder)[0].set_aside["S1/Results.txt"] == "the result table has no header line"
    assert contents(folder) == before | {"S1/Results.txt": b"C:\\Data\npeakarea\n"}


def test_depth_is_the_sections_top_plus_its_stretch_times_the_position(tmp_path: Path) -> None:
    folder = toml(write_expedition(tmp_path / "cruise1"), 'top = "10 cm"', 'top = "10 cm"\nstretch = 1.5')
    run = contribution.checked(folder).runs["s2"]
    np.testing.assert_allclose(run["depth"].values, 100 + 1.5 * np.arange(5))
    assert (set(run["core"].values), set(run["section"].values)) == ({"C/1"}, {"S2"})
    assert (run.attrs["head"], run.attrs["anode"]) == ("head-1", "Mo")


def test_a_section_scanned_twice_is_linked_to_its_first_scan(tmp_path: Path) -> None:
    folder = write_expedition(tmp_path / "cruise1", sections=["S1"], count=4)
    write_itrax(folder / "S1 REP2", spectra(5, seed=9), start=0.2)  # a fifth of a step off; the last has no partner
    write_itrax(folder / "S1 far", spectra(4, seed=8), start=0.4)  # beyond a quarter of a step
    text = (folder / "contribution.toml").read_text()
    for name in ("S1 REP2", "S1 far"):
        text += SECTION.format(section=name, top="0 mm", run=name.lower().replace(" ", "-")).replace(
            f'name = "{name}"', 'name = "S1"'
        )
    (folder / "contribution.toml").write_text(text)
    report, found = contribution.check(folder)
    assert found is not None
    first, second, far = (found.runs[name] for name in ("s1", "s1-rep2", "s1-far"))
    assert list(first["replicate_of"].values) == [""] * 4
    assert list(second["replicate_of"].values) == [*first["source_sha256"].values, ""]
    assert not any(sha in set(first["source_sha256"].values) for sha in far["replicate_of"].values)
    assert ("replicates", "s1-rep2", "4 of 5 spectra lie where run s1 has one, which counts") in [
        (one.kind, one.where, one.found) for one in report.findings
    ]
    toml(
        folder,
        'name = "S1"\ntop = "0 mm"\nrun = "s1-rep2"',
        'name = "S1"\ntop = "0 mm"\nsupersedes = ["s1"]\nrun = "s1-rep2"',
    )
    turned = contribution.checked(folder).runs
    assert list(turned["s1-rep2"]["replicate_of"].values) == [""] * 5
    assert list(turned["s1"]["replicate_of"].values) == list(turned["s1-rep2"]["source_sha256"].values[:4])


def test_spectra_that_nobody_listed_stay_out_and_are_told(tmp_path: Path) -> None:
    folder = write_expedition(tmp_path / "cruise1")
    write_itrax(folder / "S3", spectra(2, seed=5))
    report, found = contribution.check(folder)
    assert found is not None
    assert ("flagged", "unlisted", "S3", "2 files with spectra that contribution.toml does not list") in [
        (one.severity, one.kind, one.where, one.found) for one in report.findings
    ]
    assert report.set_aside["S3/Results.txt"] == "its folder is not listed in contribution.toml"
    assert report.files_used + len(report.set_aside) == len(contents(folder)) - 1, "all but contribution.toml itself"


def test_every_folder_at_fault_is_told_at_once(tmp_path: Path) -> None:
    folder = write_expedition(tmp_path / "cruise1", sections=["S1", "S2", "S3"])
    (folder / "S1").rename(folder / "S1 (copy)")
    spectrum = folder / "S2" / "XRF data" / "L000002.spe"
    spectrum.write_bytes(spectrum.read_bytes()[:-1])
    (folder / "lab.csv").write_text("depth_cm,TOC,CaCO3\n1,300,1\n")
    found = refusals(folder)
    assert "S1: no spectra in this folder. Folders with spectra: S1 (copy)" in found
    assert "S2/XRF data/L000002.spe: the channel table ends in the middle of a line" in found
    assert "300 wt%" in found


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (
            'kind = "itrax"',
            'kind = "avaatech"',
            "S1: holds itrax spectra, [scanner] kind says avaatech",
        ),
        ('head = "head-1"', 'anode = "Cr"', "S1: the files say anode Mo, [scanner] says Cr"),
        ('file = "lab.csv"', 'file = "gone.csv"', "gone.csv: is named under [[measurements]] and not in the folder"),
        ("TOC [wt%]", "Toc [wt%]", "lab.csv: has no column 'Toc'"),
        ("depth_cm [cm]", "depth_cm [s]", "lab.csv: '1 s' cannot be given in mm"),
    ],
)
def test_words_that_the_files_contradict_are_refused(tmp_path: Path, old: str, new: str, found: str) -> None:
    assert found in refusals(toml(write_expedition(tmp_path / "cruise1"), old, new))


def test_spectra_without_a_calibration_are_refused_with_what_to_write(tmp_path: Path) -> None:
    folder = write_expedition(tmp_path / "cruise1", sections=["S1"])
    (folder / "S1" / "Results.txt").unlink()
    assert refusals(folder).startswith("s1: ")
    (refused,) = [one for one in contribution.check(folder)[0].findings if one.severity == "refused"]
    assert refused.kind == "calibration-missing"
    assert 'write calibration = { gain = "20 eV", offset = "0 eV" } under [scanner]' in refused.fix
    toml(folder, 'head = "head-1"', 'head = "head-1"\ncalibration = { gain = "100 eV", offset = "-10 eV" }')
    run = contribution.checked(folder).runs["s1"]
    assert set(run["energy_source"].values) == {"contribution.toml"}
    np.testing.assert_allclose(run["energy_gain"].values, 0.1)
    toml(folder, '"100 eV"', '"1 keV"')
    assert "s1: 1 keV per channel from -0.01 keV in 5 of 5 spectra, by contribution.toml" in refusals(folder)


def test_a_calibration_in_the_toml_does_not_overrule_the_scanners_own(tmp_path: Path) -> None:
    folder = toml(
        write_expedition(tmp_path / "cruise1"), 'head = "head-1"', 'calibration = { gain = "20 eV", offset = "0 eV" }'
    )
    assert set(contribution.checked(folder).runs["s1"]["energy_source"].values) == {"S1/Results.txt"}


def test_flags_are_told_and_hinder_nothing(tmp_path: Path) -> None:
    folder = write_expedition(tmp_path / "cruise1", sections=["S1"], laboratory=None)
    (folder / "S1" / "XRF data" / "L000000.spe").write_bytes(itrax_spe(np.zeros(64, int)))
    report, found = contribution.check(folder)
    assert found is not None
    assert {(one.found, one.items) for one in report.findings if one.severity == "flagged"} == {
        ("1 of 5 spectra: empty", ("S1/XRF data/L000000.spe",)),
        ("1 of 5 spectra: low counts", ("S1/XRF data/L000000.spe",)),
    }


def test_an_avaatech_folder_goes_in_with_the_calibration_of_its_words(tmp_path: Path) -> None:
    folder = write_expedition(tmp_path / "cruise1", sections=["S1"], laboratory=None)
    for path in (folder / "S1").rglob("*.*"):
        path.unlink()
    for row, counts in enumerate(spectra(3)):
        (folder / "S1" / f"a{row}.spe").write_bytes(
            avaatech_spe(counts, depth=f"{10 * row}", volt="5", omit=["TotalCPS", "Core_ID"])
        )
    toml(
        folder,
        'kind = "itrax"',
        'kind = "avaatech"\nanode = "Rh"\nfilter = "none"\ncalibration = { gain = "100 eV", offset = "0 eV" }',
    )
    run = contribution.checked(folder).runs["s1"]
    assert (run.attrs["scanner"], run.attrs["anode"], run.attrs["filter"], run.attrs["tube_voltage"]) == (
        "avaatech",
        "Rh",
        "none",
        5.0,
    )


def test_the_toml_may_lie_elsewhere(tmp_path: Path) -> None:
    folder = write_expedition(tmp_path / "cruise1")
    (folder / "contribution.toml").rename(tmp_path / "words.toml")
    assert not contribution.check(folder, tmp_path / "words.toml")[0].refused
    with pytest.raises(ContributionError, match=r"contribution\.toml: there is no such file"):
        contribution.check(folder)


def test_a_folder_reads_for_prediction_without_any_words(tmp_path: Path) -> None:
    folder = tmp_path / "Kern 7"
    for name, seed in (("S_1", 0), ("S 1", 1)):  # two folders, one slug
        write_itrax(folder / name, spectra(3, seed=seed))
    found = contribution.spectra(folder, GRID)
    assert found.sizes == {"spectrum": 6, "energy": 160}
    assert set(found["core"].values) == {"Kern 7"}
    assert sorted(set(found["section"].values)) == ["S 1", "S_1"]
    assert set(PROVENANCE) <= set(found.data_vars)
    assert EnergyGrid.from_json(found.attrs["grid"]) == GRID
    np.testing.assert_array_equal(found["depth"].values, [0, 1, 2, 0, 1, 2])
    (folder / "S 1" / "Results.txt").unlink()
    with pytest.raises(ContributionError, match=r"kern-7|Kern 7/S 1"):
        contribution.spectra(folder, GRID)


def test_a_folder_with_words_reads_as_they_say(tmp_path: Path) -> None:
    found = contribution.spectra(write_expedition(tmp_path / "cruise1"), GRID)
    assert (set(found["site"].values), set(found["expedition"].values), list(found["run"].values[[0, -1]])) == (
        {"lab"},
        {"cruise1"},
        ["s1", "s2"],
    )
    assert found["depth"].values[5] == 100.0


def test_a_folder_without_spectra_reads_as_nothing(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ContributionError, match="holds no spectrum of a scanner that corebank knows"):
        contribution.spectra(tmp_path, GRID)
