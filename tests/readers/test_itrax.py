"""Itrax spectra: every count as the file holds it, and nothing that is not a whole, unchanged spectrum."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import readers
from corebank.errors import ReadError
from corebank.readers import itrax
from corebank.readers.files import File
from corebank.readers.itrax_counts import usual_table
from corebank.testing import counts, reader_contract
from tests.scanner import CHANNELS, itrax_spe, spectra, write_itrax

LINE_ENDS = st.sampled_from([b"\r\n", b"\n"])
ONE = spectra(1)[0]


def read_bytes(content: bytes, name: str = "L000000.spe") -> readers.Spectrum:
    return itrax.parse(File(name, content))[0]


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
def test_the_reader_keeps_the_contract_of_readers(newline: bytes) -> None:
    reader_contract(lambda wanted: itrax_spe(wanted, newline=newline), name="L000000.spe")


@settings(deadline=None)
@given(counts(), LINE_ENDS, st.booleans())
def test_counts_come_back_as_written_whatever_the_line_ends_and_the_decimals(
    wanted: np.ndarray, newline: bytes, whole: bool
) -> None:
    np.testing.assert_array_equal(read_bytes(itrax_spe(wanted, newline=newline, whole=whole)).counts, wanted)


@settings(deadline=None)
@given(counts(largest=99_999_999), LINE_ENDS)
def test_the_scanners_own_spelling_is_read_in_words_of_eight_bytes(wanted: np.ndarray, newline: bytes) -> None:
    content = itrax_spe(wanted, newline=newline)
    found = usual_table(content, content.index(b"content\t\t\r") + 10, len(wanted))
    assert found is not None
    np.testing.assert_array_equal(found, wanted)


@settings(deadline=None, max_examples=400)
@given(counts(largest=10**7), LINE_ENDS, st.data())
def test_a_changed_byte_of_a_table_reads_as_number_by_number_or_not_in_words(
    wanted: np.ndarray, newline: bytes, data: st.DataObject
) -> None:
    content = bytearray(itrax_spe(wanted, newline=newline))
    start = content.index(b"content\t\t\r") + 10
    at = data.draw(st.integers(start, len(content) - 1))
    content[at] = data.draw(st.sampled_from(b"0123456789.\t\r\n -+eE/:\x00\xff") | st.integers(0, 255))
    found = usual_table(bytes(content), start, len(wanted))
    if found is not None:
        table = np.array(bytes(content[start:]).split(), dtype=np.float64).reshape(-1, 2)
        np.testing.assert_array_equal(table[:, 0], np.arange(1, len(wanted) + 1))
        np.testing.assert_array_equal(table[:, 1], found)


@pytest.mark.parametrize(
    "spelling",
    [itrax_spe(ONE, whole=True), itrax_spe([10**8, 1]), itrax_spe(ONE) + b"\r\n", itrax_spe(ONE).replace(b"\t", b" ")],
    ids=["whole numbers", "nine digits", "a blank line", "blanks"],
)
def test_any_other_spelling_is_left_to_the_reader_that_takes_each_number_by_itself(spelling: bytes) -> None:
    assert usual_table(spelling, spelling.index(b"content") + 10, 64) is None


@settings(deadline=None, max_examples=200)
@given(counts(largest=10**6), LINE_ENDS, st.data())
def test_no_proper_prefix_of_a_spectrum_is_read(wanted: np.ndarray, newline: bytes, data: st.DataObject) -> None:
    whole = itrax_spe(wanted, newline=newline)
    with pytest.raises(ReadError, match=r"Copy it from the scanner again|Give the raw"):
        read_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])


@settings(deadline=None)
@given(counts(largest=10**6), st.integers(0, CHANNELS - 1), st.integers(1, 10**6))
def test_a_count_that_grew_is_refused_by_the_files_own_total(
    tmp_path_factory: pytest.TempPathFactory, wanted: np.ndarray, channel: int, more: int
) -> None:
    changed = wanted.copy()
    changed[channel] += more
    path = tmp_path_factory.mktemp("grown") / "L000000.spe"
    path.write_bytes(itrax_spe(changed, events=str(wanted.sum(dtype=np.int64))))
    with pytest.raises(ReadError, match=r"the channels add up to \d+, the file's own total is \d+"):
        readers.read(path)


@settings(deadline=None, max_examples=200)
@given(
    st.binary(max_size=400)
    | st.binary(max_size=400).map(lambda tail: b"Date:\t22-Sep-20\t\t\rchannel\tcontent\t\t\r" + tail)
)
def test_arbitrary_bytes_raise_nothing_but_read_errors(content: bytes) -> None:
    with pytest.raises(ReadError):
        read_bytes(content)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"a,b\n1,2\n", "no 'channel, content' table under a header"),
        (itrax_spe(ONE)[:-1], "ends in the middle of a line"),
        (itrax_spe(ONE)[: itrax_spe(ONE).rindex(b"64.000")], "63 of 64 channels"),
        (itrax_spe(ONE, channels=""), "no number_mca_channels"),
        (itrax_spe(ONE, channels="inf"), "no number_mca_channels"),
        (itrax_spe([], channels="0") + b"\n\n", "says number_mca_channels = 0"),
        (itrax_spe(ONE).replace(b"\n7.000\t", b"\nseven\t"), "something that is no number"),
        (itrax_spe(ONE).replace(b"\n7.000\t", b"\n8.000\t"), "not numbered 1 to 64"),
        (itrax_spe(ONE).replace(b"\n7.000\t", b"\n7.000\t-"), r"line 7 of the table holds -\d+, which is no count"),
        (
            itrax_spe(ONE).replace(b"\n7.000\t", b"\n7.000\t0."),
            r"line 7 of the table holds 0\.\d+, which is no count|no number",
        ),
        (itrax_spe(ONE, live="soon"), None),
    ],
    ids=[
        "a table",
        "cut in a line",
        "cut between lines",
        "no channels",
        "endless channels",
        "not one channel",
        "a word",
        "a number twice",
        "negative",
        "a fraction",
        "live time",
    ],
)
def test_what_is_wrong_with_a_spectrum_is_said_in_a_sentence(content: bytes, found: str | None) -> None:
    with pytest.raises(ReadError, match=f"^L000000.spe: .*{found or 'livetime'}.*[.] (Copy|Give) .*[.]$"):
        read_bytes(content)


def test_one_spectrum_reads_with_its_settings_and_without_an_energy_axis(tmp_path: Path) -> None:
    (tmp_path / "L000007.spe").write_bytes(
        itrax_spe(ONE, position=71.540018, live="13.4", real="15.0", comments="not in position")
    )
    run = readers.read(tmp_path / "L000007.spe")
    assert run["counts"].dtype == np.uint32
    np.testing.assert_array_equal(run["counts"].values, [ONE])
    assert run["section_position"].item() == 71.540018
    assert (run["live_time"].item(), run["real_time"].item()) == (13.4, 15.0)
    assert (run["tube_voltage"].item(), run["tube_current"].item(), run.attrs["anode"]) == (30.0, 30.0, "Mo")
    assert run["scanned_at"].item() == np.datetime64("2020-09-22T23:02:00", "s").item()
    assert run["flags"].item() == 8, "not in position"
    # The header says 1 keV per channel in every file: that is no calibration, and is not taken for one.
    assert np.isnan(run["energy_gain"].item())
    assert run["energy_source"].item() == ""


def test_a_file_that_is_no_spectrum_is_refused_by_its_bytes_not_by_its_ending(tmp_path: Path) -> None:
    (tmp_path / "a.spe").write_bytes(b"keV, counts\n0.0, 12\n")
    (tmp_path / "b.txt").write_bytes(itrax_spe(ONE))
    with pytest.raises(ReadError, match=r"a\.spe: is no spectrum of a scanner that corebank knows"):
        readers.read(tmp_path / "a.spe")
    with pytest.raises(ReadError, match=r"c\.spe: cannot be read \(No such file"):
        readers.read(tmp_path / "c.spe")
    np.testing.assert_array_equal(readers.read(tmp_path / "b.txt")["counts"].values, [ONE])


def read_folder(folder: Path) -> list[readers.Reading]:
    return [readers.read_scan(scan) for scan in readers.scans(folder)[0]]


def test_a_count_that_shrank_is_refused_where_the_rest_of_the_run_is_whole(tmp_path: Path) -> None:
    """2020 files: every event lies in a channel, so a spectrum that holds fewer was changed."""
    write_itrax(tmp_path / "S1", drawn := spectra(6))
    changed = drawn[3].copy()
    changed[20] -= 200
    (tmp_path / "S1" / "XRF data" / "L000003.spe").write_bytes(
        itrax_spe(changed, position=3.0, events=str(drawn[3].sum()))
    )
    (note,) = read_folder(tmp_path)[0].notes
    assert (note.kind, note.where) == ("counts-changed", "S1/XRF data/L000003.spe")
    assert note.found.endswith(f"the file's own total is {drawn[3].sum()} (the rest of the scan: 0 less)")


def test_events_above_the_last_channel_are_no_fault(tmp_path: Path) -> None:
    """2008 files: a fifth of the events lies above the last channel in every spectrum."""
    write_itrax(tmp_path / "S1", spectra(6), events="99999")
    assert read_folder(tmp_path)[0].notes == []


@pytest.mark.parametrize("other", ["another anode", "fewer channels", "another voltage"])
def test_each_machine_setting_in_a_folder_is_a_run_of_its_own(tmp_path: Path, other: str) -> None:
    write_itrax(tmp_path / "S1", drawn := spectra(3))
    odd = {
        "another anode": itrax_spe(ONE, anode="Cr", position=9),
        "fewer channels": itrax_spe(ONE[:32], position=9),
        "another voltage": itrax_spe(ONE, position=9).replace(b"30.000000\tkV", b"50.000000\tkV"),
    }[other]
    (tmp_path / "S1" / "XRF data" / "L000003.spe").write_bytes(odd)
    (found,) = read_folder(tmp_path)
    assert [run.sizes["spectrum"] for run in found.runs] == [3, 1]
    np.testing.assert_array_equal(found.runs[0]["counts"].values, drawn)
    words = {"another anode": "anode Cr", "fewer channels": "32 channels", "another voltage": "50 kV"}[other]
    assert words in found.settings[1]
    assert words not in found.settings[0]


def test_every_damaged_file_of_a_folder_is_told_of_and_the_others_are_read(tmp_path: Path) -> None:
    write_itrax(tmp_path / "S1", spectra(5))
    for row in (1, 3):
        path = tmp_path / "S1" / "XRF data" / f"L{row:06d}.spe"
        path.write_bytes(path.read_bytes()[:-20])
    (found,) = read_folder(tmp_path)
    assert [(note.kind, note.where[-11:]) for note in found.notes] == [
        ("unreadable", "L000001.spe"),
        ("unreadable", "L000003.spe"),
    ]
    assert found.runs[0].sizes["spectrum"] == 3


def test_a_sum_spectrum_under_another_name_is_no_scan_point(tmp_path: Path) -> None:
    write_itrax(tmp_path / "S1", drawn := spectra(9))
    (tmp_path / "S1" / "XRF data" / "all.spe").write_bytes(itrax_spe(drawn.sum(axis=0), position=0.0))
    (found,) = read_folder(tmp_path)
    np.testing.assert_array_equal(found.runs[0]["counts"].values, drawn)
    assert found.set_aside == {"S1/XRF data/all.spe": "sum spectrum: its counts are those of the whole scan together"}


def test_spectra_stand_in_order_of_position_whatever_their_files_are_called(tmp_path: Path) -> None:
    drawn = spectra(3)
    for name, position, row in (("L1", 20.0, 2), ("L2", 0.0, 0), ("L10", 10.0, 1)):
        (tmp_path / f"{name}.spe").write_bytes(itrax_spe(drawn[row], position=position))
    run = readers.read_scan(readers.scans(tmp_path)[0][0]).runs[0]
    np.testing.assert_array_equal(run["counts"].values, drawn)
    assert list(run["source"].values) == ["L2.spe", "L10.spe", "L1.spe"]
