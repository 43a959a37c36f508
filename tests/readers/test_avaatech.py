"""Avaatech spectra: found by their keys, never by line number, and only whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import readers
from corebank.errors import ReadError
from corebank.readers import avaatech
from corebank.readers.files import File
from corebank.testing import counts, reader_contract
from tests.scanner import avaatech_spe, spectra

NAME = "SO264-15-2_0848  400,5mm  10s  10kV 150uA Pd-Thin   0.0mm Run1 Rep0 Sett Low.spe"
KEYS = ["Core_ID", "Section_ID", "Run_ID", "X_Position", "Replicate_ID", "Slit_DC", "TotalCPS", "TUBE_CUR", "DATE_MEA"]
ONE = spectra(1)[0]


def parse(content: bytes, name: str = "a.spe") -> avaatech.Spectrum:
    return avaatech.parse(File(name, content))


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
def test_the_reader_keeps_the_contract_of_readers(newline: bytes) -> None:
    reader_contract(lambda wanted: avaatech_spe(wanted, newline=newline))


@settings(deadline=None)
@given(counts(), st.lists(st.sampled_from(KEYS), unique=True), st.integers(1, 20))
def test_counts_do_not_depend_on_which_keys_are_left_out_or_how_lines_are_filled(
    wanted: np.ndarray, omit: list[str], per_line: int
) -> None:
    found = parse(avaatech_spe(wanted, omit=omit, per_line=per_line))
    np.testing.assert_array_equal(found.counts, wanted)
    assert (found.position, found.number("MEAS_TIM", 1)) == (40.0, 17.0)


@settings(deadline=None, max_examples=200)
@given(counts(largest=10**6), st.data())
def test_no_proper_prefix_of_a_spectrum_is_read(wanted: np.ndarray, data: st.DataObject) -> None:
    whole = avaatech_spe(wanted)
    cut = data.draw(st.one_of(st.just(len(whole) - 1), st.integers(0, len(whole) - 1)))
    with pytest.raises(ReadError):
        parse(whole[:cut])


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200).map(lambda tail: b"$A:\r\n1\r\n$DATA:\r\n" + tail))
def test_arbitrary_bytes_under_data_raise_nothing_but_read_errors(content: bytes) -> None:
    try:
        parse(content)
    except ReadError as error:
        assert "a.spe" in str(error)  # noqa: PT017 - a few of these are spectra: "0 0 7"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"$A:\n1\n", r"no \$DATA: section"),
        (avaatech_spe(ONE)[:-2], "ends in the middle of a line"),
        (avaatech_spe(ONE, span="0 2047"), "64 of 2048 channels from channel 0"),
        (avaatech_spe(ONE, span="1 64"), "64 of 64 channels from channel 1"),
        (avaatech_spe(ONE, span="zero 63"), "no channel range and whole counts"),
        (avaatech_spe([1.0, 2.0]).replace(b"      2", b"    2.5"), "no channel range and whole counts"),
        (avaatech_spe([1, 2]).replace(b"      2", b"     -2"), "a number that is no count"),
        (avaatech_spe([1, 2]).replace(b"      2", b"4294967296"), "a number that is no count"),
        (avaatech_spe([1, 2]).replace(b"      2", b"9" * 40), "no channel range and whole counts"),
        (avaatech_spe(ONE, volt="ten"), r"\$ACC_VOLT: holds 'ten', not a number"),
    ],
)
def test_what_is_wrong_with_a_spectrum_is_said_in_a_sentence(content: bytes, found: str) -> None:
    with pytest.raises(ReadError, match=rf"^a\.spe: .*{found}.*[.] (Copy|Give) .*[.]$"):
        parse(content).number("ACC_VOLT")


def test_decimal_commas_and_both_times_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.spe").write_bytes(avaatech_spe(ONE, depth="40,5", live_real="10,5 46", current="0,150"))
    run = readers.read(tmp_path / "a.spe")
    assert (run["section_position"].item(), run["live_time"].item(), run["real_time"].item()) == (40.5, 10.5, 46.0)
    assert (run["tube_voltage"].item(), run["tube_current"].item()) == (10.0, 0.15)
    assert str(run["scanned_at"].values[0]) == "2018-11-05T08:14:03"
    assert np.isnan(run["energy_gain"].item()), "the files carry no calibration"


def test_position_and_filter_are_taken_from_the_name_where_the_file_omits_them(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(avaatech_spe(ONE, omit=["Depth"]))
    run = readers.read(tmp_path / NAME)
    assert run["section_position"].item() == 400.5
    assert run.attrs["filter"] == "Pd-Thin"
    assert parse(avaatech_spe(ONE), "c 1.0mm 10kV 150uA No-Filter.spe").filter == "none"
    assert parse(avaatech_spe(ONE), "c 1.0mm 10kV 1000uA.spe").filter == ""


def test_a_name_with_exclamation_marks_is_no_archive() -> None:
    """One generation of the scanner writes its names as SO264!...!Sett Low.spe."""
    assert File("S1/SO264!15!10kV 150uA!No-Filter!Sett Low.spe", b"").stem == "SO264!15!10kV 150uA!No-Filter!Sett Low"
    assert File("S1/XRF data.ZIP!XRF data/L000001.spe", b"").stem == "L000001"


def test_a_spectrum_without_any_position_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.spe").write_bytes(avaatech_spe(ONE, omit=["Depth"]))
    with pytest.raises(ReadError, match=r"a\.spe: the header gives no section position"):
        readers.read(tmp_path / "a.spe")


def test_two_voltages_in_one_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.spe").write_bytes(avaatech_spe(ONE))
    (tmp_path / "b.spe").write_bytes(avaatech_spe(spectra(1, seed=1)[0], volt="30"))
    with pytest.raises(ReadError, match=r"b\.spe: 64 channels, 30 kV .*, while a\.spe has 64, 10 kV"):
        readers.read_scan(readers.scans(tmp_path)[0][0])
