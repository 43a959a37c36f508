"""EMSA/MAS spectra: with and without an energy axis, in pairs, in one column or one per detector, and only whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank.errors import ReadError
from corebank.readers import emsa
from corebank.readers.files import File
from corebank.readers.spectrum import Spectrum
from corebank.testing import counts, reader_contract
from tests.scanner import spectra

ONE, TWO = spectra(2)
HORIBA = {
    "FORMAT": "EMSA/MAS Spectral Data File", "DATE": "21-AUG-2025", "TIME": "15:09", "NPOINTS": "64.",
    "XUNITS": "keV", "YUNITS": "counts", "DATATYPE": "XY", "XPERCHAN": "0.0100000", "OFFSET": "-0.400000",
    "LIVETIME": "30.000000", "REALTIME": "39.646388", "BEAMKV": "50.0000", "PROBECUR": "714000.",
    "XPOSITION mm": "12.5000", "#OXINSTPT": "4",
}  # fmt: skip
PIXL = {"FORMAT": "EMSA/MAS spectral data file", "NPOINTS": "64", "XUNITS": "eV", "YUNITS": "COUNTS"}


def msa(
    header: Mapping[str, str],
    rows: Sequence[str],
    *,
    spectrum: str = "#SPECTRUM    : Spectral Data Starts Here",
    end: str | None = "#ENDOFDATA   : ",
    newline: str = "\n",
) -> bytes:
    lines = [f"#{key:12}: {value}" for key, value in header.items()] + [spectrum, *rows]
    return newline.join([*lines, *([end] if end is not None else []), ""]).encode("latin-1")


def pairs(values: np.ndarray, gain: float = 0.01, offset: float = -0.4) -> list[str]:
    return [f"{offset + gain * i:.5f}, {int(value)}." for i, value in enumerate(values)]


def column(values: np.ndarray) -> list[str]:
    return [f"   {int(value):d}" for value in values]


def parse(content: bytes, name: str = "a.txt") -> list[Spectrum]:
    assert emsa.is_spectrum(content[:8192])
    return emsa.parse(File(name, content))


def read(path: Path) -> xr.Dataset:
    found = emsa.parse(File(path.name, path.read_bytes()))
    return xr.Dataset({"counts": (("spectrum", "channel"), np.stack([one.counts for one in found]))})


@pytest.mark.parametrize("newline", ["\r\n", "\n", "\r"], ids=["CRLF", "LF", "CR"])
@pytest.mark.parametrize("end", ["#ENDOFDATA", None])
def test_the_reader_keeps_the_contract_of_readers_in_pairs(newline: str, end: str | None) -> None:
    lines = {"end": None, "newline": newline}
    reader_contract(lambda wanted: msa(HORIBA, pairs(wanted), **lines), read, examples=15)  # type: ignore[arg-type]


@pytest.mark.parametrize("header", [PIXL, {**PIXL, "DATATYPE": "Y"}], ids=["no type", "Y"])
def test_the_reader_keeps_the_contract_of_readers_in_one_column(header: dict[str, str]) -> None:
    reader_contract(lambda wanted: msa(header, column(wanted), spectrum="#SPECTRUM", end=None), read, examples=15)


@settings(deadline=None, max_examples=30)
@given(counts(), st.integers(1, 9), st.sampled_from(["{}", "{}.", "{}.0", "{:.3f}", "{:.6E}"]))
def test_counts_are_the_same_however_they_are_written_and_laid_out(wanted: np.ndarray, wide: int, form: str) -> None:
    wanted = wanted % 1_000_000  # so that all digits are in the shortest form
    words = [form.format(int(value)) for value in wanted]
    rows = [", ".join(words[start : start + wide]) for start in range(0, len(words), wide)]
    (found,) = parse(msa({**PIXL, "DATATYPE": "Y"}, rows))
    np.testing.assert_array_equal(found.counts, wanted)


@settings(deadline=None, max_examples=40)
@given(st.data(), st.sampled_from([[], ["NPOINTS"], ["ENDOFDATA"], ["NPOINTS", "ENDOFDATA"]]))
def test_no_prefix_that_lacks_a_count_is_read_whichever_key_tells_the_end(
    data: st.DataObject, without: list[str]
) -> None:
    """Only a file that says how many counts there are is whole without the line that ends them."""
    header = {key: value for key, value in HORIBA.items() if key not in without}
    whole = msa(header, pairs(ONE), end=None if "ENDOFDATA" in without else "#ENDOFDATA   : ")
    assert len(parse(whole)) == 1
    last = len(whole) - 1
    cut = data.draw(st.integers(0, last) | st.integers(last - 40, last))
    if "ENDOFDATA" not in without and whole[:cut].endswith(b"\n") and whole[cut:].startswith(b"#ENDOFDATA"):
        cut -= 1
    with pytest.raises(ReadError):
        emsa.parse(File("a.txt", whole[:cut]))


@pytest.mark.parametrize(
    ("header", "axis"),
    [
        ({"XUNITS": "keV", "XPERCHAN": "0.01", "OFFSET": "-0.4"}, (0.01, -0.4)),
        ({"XUNITS": "eV", "XPERCHAN": "10", "OFFSET": "-400"}, (0.01, -0.4)),
        ({"XPERCHAN": "10", "OFFSET": "-400"}, (0.01, -0.4)),
        ({"XPERCHAN": "0,01", "OFFSET": "-0,4"}, (0.01, -0.4)),
        ({"XUNITS": "keV", "XPERCHAN": " 7.9862 eV per channel", "OFFSET": " -8.9 eV"}, (0.0079862, -0.0089)),
        ({"XUNITS": "Channel", "XPERCHAN": "0", "OFFSET": "0"}, (np.nan, np.nan)),
        ({}, (np.nan, np.nan)),
    ],
)
def test_the_energy_axis_is_in_kiloelectronvolts_whatever_the_file_writes(
    header: dict[str, str], axis: tuple[float, float]
) -> None:
    (found,) = parse(msa({"FORMAT": "EMSA/MAS", "NPOINTS": "64", **header}, column(ONE)))
    np.testing.assert_allclose((found.gain, found.offset), axis, rtol=1e-12)


def test_energies_beside_the_counts_are_an_axis_of_their_own() -> None:
    (found,) = parse(msa({"FORMAT": "EMSA/MAS", "DATATYPE": "XY"}, pairs(ONE, 0.02, 0.05)))
    np.testing.assert_allclose((found.gain, found.offset), (0.02, 0.05), rtol=1e-6)
    np.testing.assert_array_equal(found.counts, ONE)


def test_settings_are_given_in_the_units_of_the_bank() -> None:
    (found,) = parse(msa(HORIBA, pairs(ONE)))
    assert (found.live_time, found.real_time, found.tube_voltage) == (30.0, 39.646388, 50.0)
    assert (found.tube_current, found.position) == (pytest.approx(0.714), 12.5)
    assert (found.day, found.clock, found.header["##OXINSTPT"]) == ("21-AUG-2025", "15:09", "4")
    other = {"LIVETIME -ms": "8900", "BEAMKV -kV": "28", "PROBECUR -uA": "20", "XPOSITION cm": "1.25"}
    (found,) = parse(msa({**PIXL, **other}, column(ONE)))
    assert (found.live_time, found.tube_voltage, found.position) == (pytest.approx(8.9), 28.0, 12.5)
    assert found.tube_current == pytest.approx(0.02)
    (found,) = parse(msa({**HORIBA, "#DEPTH mm": "400.5"}, pairs(ONE)))
    assert found.position == 400.5


def test_two_detectors_are_two_spectra_in_one_file_or_in_two() -> None:
    header = {**PIXL, "DATATYPE": "YY", "LIVETIME": " 8.5,  9.5", "XPERCHAN": "7.98, 8.06   eV per channel"}
    rows = [f"{a}, {b}" for a, b in zip(ONE, TWO, strict=True)]
    one, two = parse(msa({**header, "OFFSET": "-8, -9"}, rows, spectrum="#SPECTRUM"))
    np.testing.assert_array_equal((one.counts, two.counts), (ONE, TWO))
    assert (one.source, one.detector, one.live_time, one.gain) == ("a.txt!A", "A", 8.5, pytest.approx(0.00798))
    assert (two.source, two.detector, two.live_time, two.gain) == ("a.txt!B", "B", 9.5, pytest.approx(0.00806))
    assert one.sha256 != two.sha256
    (alone,) = parse(msa({**PIXL, "#DETECTOR_ID": "B"}, column(ONE), end="\n\n"))
    assert (alone.detector, alone.source) == ("B", "a.txt")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"#FORMAT : something else\n", "does not begin with #FORMAT"),
        (b"#FORMAT : EMSA/MAS\n", "no #SPECTRUM line"),
        (msa(HORIBA, pairs(ONE))[:-1], "ends in the middle of a line"),
        (msa({**HORIBA, "NPOINTS": "4096."}, pairs(ONE)), "64 of 4096 channels"),
        (msa({**HORIBA, "NPOINTS": "many"}, pairs(ONE)), "#NPOINTS holds 'many', not a number"),
        (msa({"FORMAT": "EMSA/MAS"}, column(ONE[:50]), end=None), "50 channels, and neither #NPOINTS nor"),
        (msa({**HORIBA, "YUNITS": "counts/s"}, pairs(ONE)), "rates, not counts"),
        (msa({**PIXL, "NPOINTS": "2"}, ["1", "2.5"]), r"channel 1 holds '2\.5', which is no count"),
        (msa({**PIXL, "NPOINTS": "2"}, ["-1", "2"]), "channel 0 holds '-1', which is no count"),
        (msa({**PIXL, "NPOINTS": "0"}, []), "holds no counts"),
        (msa(HORIBA, [*pairs(ONE)[:-1], "0.23000"]), "the data are not in pairs"),
        (msa(HORIBA, [*pairs(ONE)[:-1], "x, 5"]), "the energies beside the counts are no numbers"),
        (msa(HORIBA, [*pairs(ONE)[:-1], "0.33, 5"]), "do not rise evenly"),
        (msa({**HORIBA, "XPERCHAN": "0.02"}, pairs(ONE)), r"from -0\.4 to 0\.23, but XPERCHAN and OFFSET make that"),
        (msa({**PIXL, "BEAMKV -furlong": "5"}, column(ONE)), "#BEAMKV is in 'furlong'"),
    ],
)
def test_what_is_wrong_with_a_spectrum_is_said_in_a_sentence(content: bytes, found: str) -> None:
    with pytest.raises(ReadError, match=rf"^a\.txt: .*{found}.*[.] (Copy|Give|Export|Find) .*[.]$"):
        emsa.parse(File("a.txt", content))


def test_every_real_reference_sediment_is_read_as_numpy_reads_it(data: Path) -> None:
    files = sorted((data / "xrflab-reference-sediments" / "Spectrum value from standard").rglob("*.txt"))
    assert len(files) == 36
    for path in files:
        content = path.read_bytes()
        (found,) = parse(content, path.name)
        table = np.loadtxt([row for row in content.decode().splitlines() if row[:1] != "#"], delimiter=",")
        np.testing.assert_array_equal(found.counts, table[:, 1])
        np.testing.assert_allclose(found.offset + found.gain * np.arange(4096), table[:, 0], atol=1e-9)
        assert (found.live_time, found.tube_voltage) == (30.0, 50.0)
        for cut in (len(content) - 1, len(content) - 20, len(content) // 2, 900):
            with pytest.raises(ReadError):
                emsa.parse(File(path.name, content[:cut]))
