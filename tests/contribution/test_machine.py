"""What the machine says of itself: settings that cannot be, that changed, or that contribution.toml must complete."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from corebank import contribution
from corebank.contribution import Finding
from tests.scanner import itrax_spe, spectra, write_expedition


def folder_with(tmp_path: Path, **row_two: object) -> Path:
    """One section of six spectra, of which the third is written with other header words."""
    folder = write_expedition(tmp_path / "c", sections=["S1"], count=6, laboratory=None)
    header = {key: str(value) for key, value in row_two.items() if key != "swap"}
    content = itrax_spe(spectra(6)[2], position=2.0, **header)  # type: ignore[arg-type]  # all of these are text
    for old, new in dict(row_two.get("swap", {})).items():  # type: ignore[call-overload]  # a dict where it is given
        assert old in content
        content = content.replace(old, new)
    (folder / "S1" / "XRF data" / "L000002.spe").write_bytes(content)
    return folder


def told(folder: Path) -> list[Finding]:
    return [one for one in contribution.check(folder)[0].findings if one.severity != "info"]


def say(folder: Path, old: str, new: str) -> None:
    path = folder / "contribution.toml"
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("change", "kind", "found"),
    [
        ({"live": "20.0", "real": "10.0"}, "implausible", "live time 20 s is longer than the clock's 10 s"),
        ({"swap": {b"30.000000\tmA": b"900.000000\tmA"}}, "implausible", "tube current 900 mA in 1 of 6 spectra"),
        ({"swap": {b"30.000000\tmA": b"50.000000\tmA"}}, "setting-change", "tube current differs from the rest"),
        ({"live": "28.5", "real": "30.0"}, "setting-change", "measuring time differs from the rest"),
        ({"live": "0.0"}, "live-time", "1 of 6 spectra have live time 0 s"),
        ({"live": ""}, "live-time", "1 of 6 spectra have no live time"),
    ],
)
def test_a_setting_that_cannot_be_or_changed_is_told_with_its_spectrum(
    tmp_path: Path, change: dict[str, object], kind: str, found: str
) -> None:
    hits = [one for one in told(folder_with(tmp_path, **change)) if one.kind == kind]
    assert [one.items for one in hits] == [("S1/XRF data/L000002.spe",)]
    assert found in hits[0].found


def test_another_voltage_in_the_middle_of_a_scan_is_a_run_of_its_own_and_told(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, swap={b"30.000000\tkV": b"50.000000\tkV"})
    report, found = contribution.check(folder)
    assert found is not None
    assert report.runs == {"s1-30kv": 5, "s1-50kv": 1}
    assert ("setting-change", "s1-50kv") in [(one.kind, one.where) for one in report.findings]


def test_two_voltages_at_the_same_places_are_two_measurements_and_no_fault(tmp_path: Path) -> None:
    folder = write_expedition(tmp_path / "c", sections=["S1"], count=4, laboratory=None)
    for row, counts in enumerate(spectra(4, seed=9)):
        content = itrax_spe(counts, position=float(row)).replace(b"30.000000\tkV", b"10.000000\tkV")
        (folder / "S1" / "XRF data" / f"M{row}.spe").write_bytes(content)
    say(folder, 'head = "head-1"', 'calibration = { gain = "100 eV", offset = "-10 eV" }')  # the table has no M
    report, found = contribution.check(folder)
    assert found is not None
    assert dict(report.runs) == {"s1-10kv": 4, "s1-30kv": 4}
    assert [one.kind for one in report.findings if one.kind.startswith(("separate", "setting"))] == [
        "separate-settings"
    ]
    assert found.runs["s1-10kv"].attrs["tube_voltage"] == 10.0


def test_what_the_files_leave_out_can_be_said(tmp_path: Path) -> None:
    folder = write_expedition(tmp_path / "c", sections=["S1"], count=3, laboratory=None)
    for row, counts in enumerate(spectra(3)):
        content = itrax_spe(counts, live="").replace(b"\rPosition\t", b"\rsomewhere\t")
        (folder / "S1" / "XRF data" / f"L{row:06d}.spe").write_bytes(content)
    assert {one.kind for one in told(folder)} == {"no-position", "live-time"}
    say(folder, 'head = "head-1"', 'live_time = "9 s"')
    say(folder, 'top = "0 cm"', 'top = "0 cm"\nstep = "5 mm"')
    run = contribution.checked(folder).runs["s1"]
    assert set(run["live_time"].values) == {9.0}
    np.testing.assert_array_equal(run["section_position"].values, [0.0, 5.0, 10.0])
    np.testing.assert_array_equal(run["counts"].values, spectra(3))


def test_an_open_question_keeps_a_folder_out_until_it_is_answered(tmp_path: Path) -> None:
    folder = write_expedition(tmp_path / "c", sections=["S1"], count=3, laboratory=None)
    (folder / "S1" / "document.txt").unlink()
    for row, counts in enumerate(spectra(3)):
        content = itrax_spe(counts, position=float(row), date="05/06/2008", time="01:34")
        (folder / "S1" / "XRF data" / f"L{row:06d}.spe").write_bytes(content)
    report, found = contribution.check(folder)
    assert (found, report.refused, report.needs_decision) == (None, False, True)
    (question,) = [one for one in report.findings if one.severity == "decision"]
    assert 'dates = "day-first"' in question.fix
    say(folder, 'head = "head-1"', 'dates = "day-first"')
    answered = contribution.checked(folder)
    assert str(answered.runs["s1"]["scanned_at"].values[0]) == "2008-06-05T01:34:00"
    assert 'dates = "day-first"' in answered.metadata.text, "the answer goes into the bank with the rest"
