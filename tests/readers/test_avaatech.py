"""Avaatech spectra: found by keys, never by line number, and only whole; what the header omits, the name tells."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank.errors import ReadError
from corebank.readers import avaatech, avaatech_names
from corebank.readers.files import File
from corebank.readers.spectrum import Spectrum
from corebank.testing import counts, reader_contract
from tests.scanner import avaatech_spe, spectra

BLANKS = "SO264-15-2_0848  400,5mm  12,5s  10kV 150uA Pd-Thin   0.0mm Run2 Rep1 Sett Low.spe"
MARKS = "SO264!15-2!0848! 8520.5!2018-11-05!08-14-03!10!10!150!  40,5!0.0!No-Filter!10.0!12.0!Run1!Rep2!Sett Low.spe "
KEYS = ["Core_ID", "Section_ID", "Run_ID", "X_Position", "Replicate_ID", "Slit_DC", "TotalCPS", "TUBE_CUR", "DATE_MEA"]
ONE = spectra(1)[0]


def parse(content: bytes, name: str = "a.spe") -> Spectrum:
    (found,) = avaatech.parse(File(name, content))
    return found


def read(path: Path) -> xr.Dataset:
    return xr.Dataset({"counts": (("spectrum", "channel"), parse(path.read_bytes()).counts[None])})


@pytest.mark.parametrize("newline", [b"\r\n", b"\n", b"\r"], ids=["CRLF", "LF", "CR"])
def test_the_reader_keeps_the_contract_of_readers(newline: bytes) -> None:
    reader_contract(lambda wanted: avaatech_spe(wanted, newline=newline), read)


@settings(deadline=None, max_examples=40)
@given(counts(), st.lists(st.sampled_from(KEYS), unique=True), st.integers(1, 20))
def test_counts_do_not_depend_on_which_keys_are_left_out_or_how_lines_are_filled(
    wanted: np.ndarray, omit: list[str], per_line: int
) -> None:
    found = parse(avaatech_spe(wanted, omit=omit, per_line=per_line))
    np.testing.assert_array_equal(found.counts, wanted)
    assert (found.position, found.live_time, found.real_time) == (40.0, 10.0, 17.0)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(KEYS), unique=True))
def test_a_key_whose_value_line_alone_is_left_out_takes_nothing_from_its_neighbour(emptied: list[str]) -> None:
    lines = avaatech_spe(ONE).split(b"\r\n")
    left = [
        line
        for before, line in zip([b"", *lines], lines, strict=False)
        if before.decode("latin-1").strip("$:") not in emptied
    ]
    found, whole = parse(b"\r\n".join(left)), parse(avaatech_spe(ONE))
    assert found.header == {key: text for key, text in whole.header.items() if key not in emptied}
    np.testing.assert_array_equal(found.counts, ONE)


@settings(deadline=None, max_examples=40)
@given(counts(largest=10**6), st.data())
def test_no_proper_prefix_of_a_spectrum_is_read(wanted: np.ndarray, data: st.DataObject) -> None:
    whole = avaatech_spe(wanted)
    cut = data.draw(st.one_of(st.just(len(whole) - 1), st.integers(0, len(whole) - 1)))
    with pytest.raises(ReadError):
        parse(whole[:cut])


@settings(deadline=None, max_examples=40)
@given(st.text(max_size=60), st.sampled_from([BLANKS, MARKS]), st.data())
def test_no_name_however_odd_stops_a_spectrum_from_being_read(odd: str, name: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(name)))
    found = parse(avaatech_spe(ONE, omit=KEYS), name[:at] + odd + name[at:])
    np.testing.assert_array_equal(found.counts, ONE)


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 2000), st.floats(0, 60), st.integers(1, 3000))
def test_both_styles_of_names_say_the_same_of_the_same_measurement(place: float, live: float, current: int) -> None:
    blanks = f"C1-2_0848 {place:6.1f}mm {live:.1f}s  30kV {current}uA Cu   0.0mm Run1 Rep3 Sett Low.spe"
    marks = f"C1-2!0848!{place:6.1f}!2018-11-05!08-14-03!{live:.1f}!30!{current}!{place:.1f}!0.0!Cu!10!12!Run1!Rep3"
    one, other = avaatech_names.parse(blanks), avaatech_names.parse(marks.replace(".", ",") + ".spe")
    for name in ("core", "section", "position", "live_time", "tube_voltage", "tube_current", "filter", "replicate"):
        assert getattr(one, name) == getattr(other, name), name
    assert (one.core, one.section, one.tube_voltage, one.filter, one.replicate) == ("C1-2", "0848", 30.0, "Cu", 3)
    assert math.isclose(one.tube_current, current / 1000)
    assert math.isclose(one.position, place, abs_tol=0.051)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"$A:\n1\n", r"no \$DATA: section"),
        (b"counts\n1\n", r"does not begin with a \$KEY: line"),
        (avaatech_spe(ONE) + avaatech_spe(ONE), r"two \$DATA: sections"),
        (avaatech_spe(ONE)[:-2], "ends in the middle of a line"),
        (avaatech_spe(ONE, span="0 2047"), "64 of 2048 channels from channel 0"),
        (avaatech_spe(ONE, span="1 64"), "64 of 64 channels from channel 1"),
        (avaatech_spe(ONE, span="zero 63"), "begin with the first and the last channel"),
        (avaatech_spe([1, 2]).replace(b"      2", b"    2.5"), r"channel 1 holds '2\.5', which is no count"),
        (avaatech_spe([1, 2]).replace(b"      2", b"     -2"), "channel 1 holds '-2', which is no count"),
        (avaatech_spe([1, 2]).replace(b"      2", b"4294967296"), "channel 1 holds '4294967296'"),
        (avaatech_spe([1, 2]).replace(b"      2", b"9" * 40), "channel 1 holds '9{40}'"),
        (avaatech_spe([1, 2]).replace(b"      1", b"    1_0"), "channel 0 holds '1_0'"),
        (avaatech_spe([1, 2]).replace(b"      1", b"    nan"), "channel 0 holds 'nan'"),
        (avaatech_spe([1, 2]).replace(b"      1", b"    1-1"), "channel 0 holds '1-1'"),
        (avaatech_spe(ONE, volt="ten"), r"\$ACC_VOLT: holds 'ten', not a number"),
        (avaatech_spe(ONE, volt="inf"), r"\$ACC_VOLT: holds 'inf', not a number"),
    ],
)
def test_what_is_wrong_with_a_spectrum_is_said_in_a_sentence(content: bytes, found: str) -> None:
    with pytest.raises(ReadError, match=rf"^a\.spe: .*{found}.*[.] (Copy|Give) .*[.]$"):
        parse(content)


def test_decimal_commas_and_both_times_are_read() -> None:
    found = parse(avaatech_spe(ONE, depth="40,5", live_real="10,5 46", current="0,150"))
    assert (found.position, found.live_time, found.real_time) == (40.5, 10.5, 46.0)
    assert (found.tube_voltage, found.tube_current) == (10.0, 0.15)
    assert (found.day, found.clock) == ("11-05-2018", "08:14:03")
    assert np.isnan([found.gain, found.offset]).all(), "the files carry no calibration"
    assert (found.core, found.section, found.replicate) == ("SO264-15-2", "0848", 0)


def test_the_name_tells_what_the_header_leaves_out() -> None:
    bare = avaatech_spe(ONE, omit=[*KEYS, "Depth", "ACC_VOLT", "MEAS_TIM"])
    found = parse(bare, BLANKS)
    assert (found.core, found.section, found.position, found.replicate) == ("SO264-15-2", "0848", 400.5, 1)
    assert (found.live_time, found.tube_voltage, found.tube_current, found.filter) == (12.5, 10.0, 0.15, "Pd-Thin")
    assert (found.header["name run"], found.header["name setting"]) == ("Run2", "Sett Low")
    found = parse(bare, f"S1/{MARKS}")
    assert (found.core, found.section, found.position, found.depth) == ("SO264", "0848", 40.5, 8520.5)
    assert (found.day, found.clock, found.filter, found.replicate) == ("2018-11-05", "08:14:03", "none", 2)
    assert found.header["name core identifier"] == "15-2"
    nothing = parse(bare)
    assert np.isnan([nothing.position, nothing.depth, nothing.live_time, nothing.tube_current, nothing.total]).all()


@pytest.mark.parametrize(
    ("name", "core", "section", "position", "filter_"),
    [
        ("U1489-1H-4A   40.0mm   6s   9kV 250uA No-Filter.spe", "U1489-1H-4A", "", 40.0, "none"),
        ("PS75-056-1_10430B  20.0mm  12s 10kV 1000uA F1.spe", "PS75-056-1", "10430B", 20.0, "F1"),
        ("LV28-44-3_TC_00TC  5.0mm 12s 10kV 1200uA.spe", "LV28-44-3_TC", "00TC", 5.0, ""),
        ("U1 Y0.0mm X41.0mm DC10.0mm CC12.0mm 9kV 250uA Cu.spe", "U1", "", 41.0, "Cu"),
        ("C_0123   7.0mm  10s 50kV 100uA No Filter Run1.spe", "C", "0123", 7.0, "none"),
        ("S1.zip!in/C_0123 7mm 10s 50kV 1mm.axml ", "C", "0123", 7.0, ""),
    ],
)
def test_older_names_are_read_by_the_units_in_them(
    name: str, core: str, section: str, position: float, filter_: str
) -> None:
    found = avaatech_names.parse(name)
    assert (found.core, found.section, found.position, found.filter) == (core, section, position, filter_)


@pytest.mark.parametrize(
    ("text", "start", "suffix"),
    [("0848", 8480, ""), ("848", 8480, ""), ("10430B", 10430, "B"), ("104300", 104300, ""), ("00TC", 0, "TC")],
)
def test_a_section_start_is_in_centimetres_or_millimetres_by_its_number_of_digits(
    text: str, start: float, suffix: str
) -> None:
    assert avaatech.section_start(text) == (start, suffix)


@pytest.mark.parametrize("text", ["", "S1", "12", "1234567", "8.5", "TC00", "0848 B"])
def test_no_section_start_is_guessed_from_another_kind_of_name(text: str) -> None:
    start, suffix = avaatech.section_start(text)
    assert np.isnan(start)
    assert suffix == ""


def test_a_depth_beyond_the_place_on_the_stage_is_a_composite_depth() -> None:
    def places(depth: str, stage: str) -> tuple[float, float]:
        spe = avaatech_spe(ONE, depth=depth).replace(
            b"$X_Position:\r\n" + depth.encode(), f"$X_Position:\r\n{stage}".encode()
        )
        found = parse(spe)
        return found.position, found.depth

    assert places("8520.5", "40.5") == (40.5, 8520.5)
    np.testing.assert_equal(places("40.5", "40.5"), (40.5, math.nan))
    np.testing.assert_equal(places("40.5", "140.5"), (40.5, math.nan))


def test_a_tube_current_in_microamperes_is_believed_only_if_the_name_repeats_it() -> None:
    assert parse(avaatech_spe(ONE, current="150"), BLANKS).tube_current == 0.15
    assert parse(avaatech_spe(ONE, current="0,2"), BLANKS).tube_current == 0.2
    assert parse(avaatech_spe(ONE, current="150")).tube_current == 150.0


def with_rate(rate: str, live_real: str) -> float:
    return parse(
        avaatech_spe(ONE, live_real=live_real).replace(b"$TotalCPS:\r\n123", b"$TotalCPS:\r\n" + rate.encode())
    ).total


@pytest.mark.parametrize("time", [10, 17, 1], ids=["live", "real", "total"])
def test_a_total_that_agrees_with_the_counts_equals_them_over_whichever_time_it_was_counted(time: int) -> None:
    counted = int(ONE.sum())
    assert with_rate(f"{counted / time:.0f}", "10 17") == counted
    assert with_rate(f"{counted / time:.2f}".replace(".", ","), "10 17") == counted
    assert with_rate(f"{counted / time * 1.1:.0f}", "10 17") == pytest.approx(1.1 * counted, rel=1e-3)


def test_one_changed_count_breaks_a_total_over_the_live_time() -> None:
    counted = int(ONE.sum())
    assert with_rate(f"{(counted + 1) / 10:.2f}", "10 17") == pytest.approx(counted + 1)
    assert with_rate(f"{(counted - 1) / 10:.2f}", "10 10") == pytest.approx(counted - 1)


def test_a_rate_over_a_rounded_real_time_is_believed_to_its_rounding() -> None:
    counted = int(ONE.sum())
    assert with_rate(f"{counted / 16.52:.0f}", "10 17") == counted
    assert with_rate(f"{counted / 16.52:.0f}", "10 18") != counted


def test_steel_spe_of_pymca_is_read_whole_and_no_prefix_of_it() -> None:
    """A real file of the $KEY: family: two keys, and counts with a decimal point."""
    spec = find_spec("PyMca5")
    if spec is None or spec.origin is None:
        pytest.skip("PyMca5, whose Steel.spe this reads, is not installed; it is in the dependency group dev")
    content = (Path(spec.origin).parent / "PyMcaData" / "Steel.spe").read_bytes()
    found = parse(content)
    assert found.counts.size == 2048
    np.testing.assert_array_equal(found.counts, np.loadtxt(content.decode().splitlines()[4:]).ravel())
    for cut in range(0, len(content), 97):
        with pytest.raises(ReadError):
            parse(content[:cut])
