"""bAxil tables of peak areas: every number as it stands, negative ones too, under the name of its spectrum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from corebank.errors import ReadError
from corebank.readers import baxil
from corebank.readers.files import File
from tests.scanner import results_table

LINES = ["Al-Ka", "P -Ka", "K -Ka", "Fe-Ka", "U -La"]
WHAT = ["Chi2", "Area", "AreaStd", "cps", "cpsStd"]
FIRST = ["Spectrum", "Sample", "User", "Live time", "Real time", "Excitation", "Throughput"]
NUMBERS = hnp.arrays(
    np.float64,
    st.tuples(st.integers(0, 4), st.just(len(LINES) * len(WHAT))),
    elements=st.floats(-1e6, 1e9, allow_nan=False),
)


def areas(values: np.ndarray, *, newline: str = "\n", form: str = "{!r}") -> bytes:
    header = [f'" {name}"' for name in [*FIRST, *(f"{line} {what}" for line in LINES for what in WHAT)]]
    rows = [
        [f'"C1_0848  {10 * i}.0mm  10s.spe "', '" "', '"me"', '" 10.00"', "17.5", '"10 kV"', "0.9"]
        + [form.format(float(value)) for value in row]
        for i, row in enumerate(values)
    ]
    return (newline.join([" ,".join(header), *(",".join(row) for row in rows)]) + newline).encode("latin-1")


@settings(deadline=None, max_examples=30)
@given(NUMBERS, st.sampled_from(["\n", "\r\n"]))
def test_every_area_comes_back_as_it_was_written(values: np.ndarray, newline: str) -> None:
    content = areas(values, newline=newline)
    assert baxil.is_table(content[:8192])
    found = baxil.read(File("areas.csv", content))
    names = [f"{line.replace(' ', '')} {what}" for line in LINES for what in WHAT]
    np.testing.assert_array_equal(found[names].to_numpy(), values)
    assert list(found.index) == [f"C1_0848  {10 * i}.0mm  10s" for i in range(len(values))]
    assert list(found["Live time"]) == [10.0] * len(values)


@settings(deadline=None, max_examples=40)
@given(NUMBERS, st.data())
def test_a_table_cut_inside_a_line_is_refused(values: np.ndarray, data: st.DataObject) -> None:
    content = areas(values)
    cut = data.draw(st.integers(0, len(content) - 1))
    try:
        found = baxil.read(File("areas.csv", content[:cut]))
    except ReadError:
        return
    assert content[:cut].endswith(b"\n")
    assert len(found) < len(values), "the cut took whole lines"


def test_empty_cells_are_unknown_and_decimal_commas_are_read_in_quotes() -> None:
    content = areas(np.array([[-1.5] * 25])).replace(b"-1.5,-1.5", b',"-2,5"', 1)
    found = baxil.read(File("areas.csv", content))
    assert np.isnan(found["Al-Ka Chi2"].item())
    assert (found["Al-Ka Area"].item(), found["Al-Ka AreaStd"].item()) == (-2.5, -1.5)
    assert found["Excitation"].item() == "10 kV"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"depth,Fe-Ka cps\n1,2\n", "areas.csv: no bAxil header"),
        (areas(np.zeros((1, 25)))[:-1], "areas.csv: the file ends in the middle of a line"),
        (areas(np.zeros((1, 25))).replace(b",0.0", b"", 1), "areas.csv, line 2: 31 cells under 32 columns"),
        (
            areas(np.zeros((1, 25))).replace(b",0.0", b",oops", 1),
            "line 2: column Al-Ka Chi2 holds 'oops', not a number",
        ),
        (areas(np.zeros((1, 25))).replace(b"K -Ka", b"P -Ka"), "areas.csv: two columns are called 'P-Ka Area'"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_in_a_sentence(content: bytes, found: str) -> None:
    with pytest.raises(ReadError, match=rf"{found}.*[.] (Copy|Export) .*[.]$"):
        baxil.read(File("areas.csv", content))


@pytest.mark.parametrize("head", [b"", b"\xff\xfe", b'"', b"Spectrum,Sample\n", results_table([]), b"\0" * 100])
def test_no_other_file_is_taken_for_a_table_of_areas(head: bytes) -> None:
    assert not baxil.is_table(head)
