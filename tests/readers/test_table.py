"""Tables of spectra, by rows and by columns: all counts, and no other table taken for one."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from corebank.errors import ReadError
from corebank.readers import table
from corebank.readers.files import File
from corebank.readers.spectrum import Spectrum
from corebank.readers.table_headers import axis
from tests.scanner import CHANNELS, avaatech_spe, itrax_spe, results_table, spectra

COUNTS = hnp.arrays(np.uint32, st.tuples(st.integers(1, 4), st.just(CHANNELS)), elements=st.integers(0, 2**32 - 1))
CHANNEL_NAMES = [str(channel) for channel in range(CHANNELS)]
NAME = "SO264-15-2_0848  400.0mm  10s  10kV 150uA No-Filter   0.0mm Run1 Rep1 Sett Low.spe"


def text(header: Sequence[str], rows: Sequence[Sequence[object]], mark: str = ",", newline: str = "\n") -> bytes:
    lines = [mark.join(map(str, row)) for row in [header, *rows]]
    return (newline.join(lines) + newline).encode()


def by_row(counts: np.ndarray, names: Sequence[str] = CHANNEL_NAMES, **how: str) -> bytes:
    """The corpus layout: channels, then the columns that say where."""
    header = [*names, "core", "composite_depth_mm", "section_depth_mm", "cps", "filename"]
    rows = [[*row, "C1", 8480 + 10 * i, 10 * i, row.sum(dtype=int), f"f{i}.spe"] for i, row in enumerate(counts)]
    return text(header, rows, **how)


def by_column(counts: np.ndarray, first: str = "channel", names: Sequence[str] = CHANNEL_NAMES, **how: str) -> bytes:
    header = [first, *(f"S1 {10.5 * i}mm" for i in range(len(counts)))]
    return text(header, [[name, *row] for name, row in zip(names, counts.T, strict=True)], **how)


def xlsx(header: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    for row in [header, *rows]:
        book.active.append(list(row))
    book.save(out)
    return out.getvalue()


def parse(content: bytes, name: str = "t.csv") -> list[Spectrum]:
    assert table.holds_spectra(File(name, content))
    return table.parse(File(name, content))


def stack(found: Sequence[Spectrum]) -> np.ndarray:
    return np.stack([one.counts for one in found])


@settings(deadline=None, max_examples=30)
@given(
    COUNTS,
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([by_row, by_column]),
)
def test_counts_come_back_bit_for_bit_from_any_layout(
    wanted: np.ndarray, mark: str, newline: str, write: Callable[..., bytes]
) -> None:
    content = write(wanted, mark=mark, newline=newline)
    assert table.is_spectrum(content[:8192])
    found = parse(content)
    assert found[0].counts.dtype == np.uint32
    np.testing.assert_array_equal(stack(found), wanted)
    assert len({one.source for one in found}) == len(found)


@settings(deadline=None, max_examples=40)
@given(COUNTS, st.data(), st.sampled_from([by_row, by_column]))
def test_no_count_is_lost_when_a_table_is_cut_short(
    wanted: np.ndarray, data: st.DataObject, write: Callable[..., bytes]
) -> None:
    """A cut between two rows leaves whole spectra; any other cut is refused."""
    whole = write(wanted)
    cut = data.draw(st.integers(0, len(whole) - 1))
    try:
        found = table.parse(File("t.csv", whole[:cut]))
    except ReadError:
        return
    assert write is by_row
    assert whole[:cut].endswith(b"\n")
    np.testing.assert_array_equal(stack(found), wanted[: len(found)])


@settings(deadline=None, max_examples=40)
@given(
    st.floats(0.002, 0.05), st.floats(-0.5, 0.5), st.integers(4, 7), st.sampled_from(["{} keV", "{}_keV", "{}", "E{}"])
)
def test_energies_in_headers_are_an_axis_as_exact_as_they_are_written(
    gain: float, offset: float, decimals: int, form: str
) -> None:
    offset = abs(offset) if form == "E{}" else offset
    names = [form.format(f"{offset + gain * i:.{decimals}f}") for i in range(CHANNELS)]
    (one,) = parse(by_row(spectra(1), names))
    assert one.gain == pytest.approx(gain, abs=2 * 10.0**-decimals)
    assert one.offset == pytest.approx(offset, abs=10.0**-decimals)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([str(i) for i in range(64)], (np.nan, np.nan)),
        ([f"ch_{i:04d}" for i in range(1, 65)], (np.nan, np.nan)),
        ([f"Channel {i}" for i in range(64)], (np.nan, np.nan)),
        ([f"X{i}" for i in range(64)], (np.nan, np.nan)),
        ([f"{20 * i} eV" for i in range(64)], (0.02, 0.0)),
        ([str(20 * i - 400) for i in range(64)], (0.02, -0.4)),
        ([f"{i / 50:.2f}".replace(".", ",") for i in range(64)], (0.02, 0.0)),
        ([str(round(i / 50, 2)) for i in range(64)], (0.02, 0.0)),
        ([f"{i / 50} (keV)" for i in range(64)], (0.02, 0.0)),
        ([str(i) for i in range(63)], None),
        ([str(i) for i in range(26, 2048)], None),
        ([str(year) for year in range(1900, 2020)], None),
        ([str(i) for i in [*range(40), *range(41, 70)]], None),
        ([str(i) for i in reversed(range(64))], None),
        ([f"{2000 * i} eV" for i in range(64)], None),
        (["1.0"] * 64, None),
        ([f"sample {i}" for i in range(64)], None),
        ([f"{i} mm" for i in range(64)], None),
    ],
)
def test_only_channels_and_even_energies_are_an_axis(names: list[str], found: tuple[float, float] | None) -> None:
    seen = axis(["core", *names, "depth_mm"])
    if found is None:
        assert seen is None
    else:
        assert seen is not None
        assert seen[:2] == (1, 64)
        np.testing.assert_allclose(seen[2:], found, atol=1e-12)


def test_the_corpus_layout_is_understood_column_by_column() -> None:
    wanted = spectra(2, channels=2048)
    names = [str(channel) for channel in range(2048)]
    header = [*names, "core", "composite_depth_mm", "section_depth_mm", "cps", "filename"]
    rows = [[*row, "SO264-15-2", 8880, 400, f"{row.sum() / 10:.1f}", NAME] for row in wanted]
    content = text(header, rows)
    assert table.is_spectrum(content[:8192]), "the header alone is longer than that"
    one, two = parse(content, "corpus.csv")
    np.testing.assert_array_equal(stack([one, two]), wanted)
    assert (one.core, one.section, one.position, one.depth) == ("SO264-15-2", "0848", 400.0, 8880.0)
    assert (one.live_time, one.tube_voltage, one.tube_current) == (10.0, 10.0, 0.15), "the name has the settings"
    assert (one.filter, one.replicate, one.total) == ("none", 1, float(wanted[0].sum()))
    assert one.source == f"corpus.csv!SO264-15-2/{NAME}"
    assert two.source == f"corpus.csv!SO264-15-2/{NAME} (3)", "no two spectra have one name"


def test_columns_are_read_in_the_units_that_they_name() -> None:
    header = ["Core", "Depth [cm]", "Live time (s)", "tube current uA", "voltage", "gain_eV", "colour", *CHANNEL_NAMES]
    (one,) = parse(text(header, [["C1", "1,5", "10", "150", "30", "20", "grey", *spectra(1)[0]]], mark=";"))
    assert (one.core, one.position, one.live_time, one.tube_voltage) == ("C1", 15.0, 10.0, 30.0)
    assert (one.tube_current, one.gain, one.header["colour"]) == (0.15, 0.02, "grey")
    assert one.source == "t.csv!C1/2"


def test_a_column_of_counts_may_be_named_by_its_place() -> None:
    one, two = parse(by_column(spectra(2), "keV", [f"{0.02 * i:.2f}" for i in range(CHANNELS)]))
    assert (one.position, two.position) == (0.0, 10.5)
    assert (one.gain, one.offset, two.source) == (pytest.approx(0.02), 0.0, "t.csv!S1 10.5mm")


def test_a_row_keeps_its_hash_when_rows_are_added_or_reordered() -> None:
    wanted = spectra(3)
    first, more = parse(by_row(wanted[:2])), parse(by_row(wanted))
    assert [one.sha256 for one in more[:2]] == [one.sha256 for one in first]
    assert len({one.sha256 for one in more}) == 3


@pytest.mark.parametrize("write", ["xlsx", "parquet"])
def test_workbooks_and_parquet_are_read_as_text_is(write: str) -> None:
    wanted = spectra(3)
    header = ["core", "depth_mm", *CHANNEL_NAMES]
    rows = [["C1", 10.5 * i, *map(int, row)] for i, row in enumerate(wanted)]
    if write == "xlsx":
        content = xlsx(header, rows)
    else:
        if find_spec("pyarrow") is None:
            pytest.skip("pyarrow, which reads and writes Parquet, is in the extra tables")
        out = io.BytesIO()
        pd.DataFrame(rows, columns=header).to_parquet(out)
        content = out.getvalue()
    assert not table.is_spectrum(content[:8192])
    assert table.is_workbook(content[:8192])
    found = parse(content, f"t.{write}")
    np.testing.assert_array_equal(stack(found), wanted)
    assert [one.position for one in found] == [0.0, 10.5, 21.0]
    for cut in (10, len(content) // 2, len(content) - 1):
        with pytest.raises(ReadError):
            table.parse(File("t", content[:cut]))


@pytest.mark.parametrize(
    "content",
    [
        b"depth_cm,TOC,CaCO3\n0.1,1.5,30\n",
        b"core;" + ";".join(f"E{i}" for i in range(20)).encode() + b"\n",
        b"channel,a,b\n0,1,2\n1,3,4\n",
        b"energy,mu\n" + b"".join(b"%d,0.%d\n" % (i, i) for i in range(100)),
        b"depth," + b"a,b\n" + b"".join(b"%d,1,2\n" % i for i in range(100)),
        b",".join(b"%d nm" % i for i in range(400, 800)) + b"\n",
        results_table([("L000000", 0.0, 1, 0.02, 0.0)]),
        itrax_spe(spectra(1)[0]),
        avaatech_spe(spectra(1)[0]),
        xlsx(["depth", "TOC"], [[1, 2]]),
        b"PK\x03\x04 no workbook", b"PAR1 no table", b"\x00\x01\x02", b"", b"\n\n\n", b'"', b",,,,\n",
    ],
)  # fmt: skip
def test_no_other_table_or_file_is_taken_for_spectra(content: bytes) -> None:
    assert not table.is_spectrum(content[:8192])
    assert not table.holds_spectra(File("t", content))
    with pytest.raises(ReadError):
        table.parse(File("t", content))


def test_no_table_beside_the_real_cores_is_taken_for_spectra(data: Path) -> None:
    files = [
        path for path in data.glob("[!s]*/**/*") if path.suffix.lower() in (".csv", ".txt", ".xlsx", ".md", ".cff")
    ]
    assert len(files) > 40
    taken = [path.name for path in files if table.holds_spectra(File(path.name, path.read_bytes()))]
    assert taken == []


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (by_row(spectra(1))[:-1], "t.csv: the file ends in the middle of a line"),
        (by_row(spectra(1)).replace(b",300,", b",2.5,").replace(b",0,0,", b",0,-1,", 1), "t.csv, row 2: channel"),
        (by_row(spectra(1)).replace(b"\n0,0,", b"\n0,,", 1), "t.csv, row 2: channel 1 holds '', which is no count"),
        (by_row(spectra(1)).replace(b"section_depth_mm", b"section_depth"), "t.csv, column section_depth: has no unit"),
        (by_row(spectra(1)).replace(b"C1,8480", b"C1,x8480"), "t.csv, row 2: column composite_depth_mm holds 'x8480'"),
        (by_row(spectra(0)), "a table of spectra without a single one"),
        (by_column(spectra(2))[: by_column(spectra(2)).rindex(b"63,")], "t.csv: no 64 columns or lines"),
        (by_column(spectra(2, channels=65), names=[*CHANNEL_NAMES, "64"]), "t.csv: 65 channels, which no detector has"),
        (text(["a", "b"], [[1, 2]]), "t.csv: no 64 columns or lines"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_in_a_sentence(content: bytes, found: str) -> None:
    with pytest.raises(ReadError, match=rf"{found}.*[.] (Copy|Put|Name) .*[.]$"):
        table.parse(File("t.csv", content))
