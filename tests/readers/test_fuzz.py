"""Whatever bytes a reader is given: it gives spectra with whole counts, or says in our own words why not.

The same property, with warnings as errors, was put to a coverage-guided fuzzer (atheris, a target per parser), which
looks further than a test can.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corebank.errors import CorebankError
from corebank.readers import avaatech, baxil, emsa, itrax, table
from corebank.readers.files import File
from corebank.readers.spectrum import Spectrum
from tests.readers.test_avaatech import BLANKS, MARKS
from tests.readers.test_baxil import areas
from tests.readers.test_emsa import HORIBA, PIXL, column, msa, pairs
from tests.readers.test_table import by_column, by_row, xlsx
from tests.scanner import avaatech_spe, itrax_spe, spectra

FEW = spectra(2, channels=8)
WIDE = spectra(2)
SEEDS: dict[str, list[bytes]] = {
    "itrax": [itrax_spe(FEW[0]), itrax_spe(FEW[0], newline=b"\n", whole=True)],
    "avaatech": [avaatech_spe(FEW[0]), avaatech_spe(FEW[0], live_real="10,5 46", omit=["Depth", "TUBE_CUR"])],
    "emsa": [
        msa({**HORIBA, "NPOINTS": "8"}, pairs(FEW[0])),
        msa({**PIXL, "NPOINTS": "8"}, column(FEW[0]), spectrum="#SPECTRUM", end=None),
        msa({**PIXL, "NPOINTS": "8", "DATATYPE": "YY"}, [f"{a}, {b}" for a, b in FEW.T]),
    ],
    "table": [by_row(WIDE), by_column(WIDE), xlsx(["core", *map(str, range(64))], [["C1", *map(int, WIDE[0])]])],
}
PARSERS: dict[str, Callable[[File], list[Spectrum]]] = {
    "itrax": itrax.parse,
    "avaatech": avaatech.parse,
    "emsa": emsa.parse,
    "table": table.parse,
}
IS_SPECTRUM = {
    "itrax": itrax.is_spectrum,
    "avaatech": avaatech.is_spectrum,
    "emsa": emsa.is_spectrum,
    "table": table.is_spectrum,
}
ODD = [
    b"", b",", b".", b"-", b"\r", b"\n", b"\t", b'"', b"$", b"#", b"_", b"\x85", b"\xa0", b"\xc2\xb2", b"e9", b"1e400",
    b"nan", b"inf", b"9" * 30, b"0x1", b"$DATA:\n", b"#SPECTRUM\n", b"#ENDOFDATA\n", b"\xef\xbb\xbf",
]  # fmt: skip
PIECES = st.one_of(st.binary(max_size=8), st.sampled_from(ODD))


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A valid file with up to four pieces of it replaced, repeated or taken out."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        until = draw(st.integers(at, min(at + 30, len(content))))
        put = draw(st.one_of(PIECES, st.just(2 * content[at:until])))
        content = content[:at] + put + content[until:]
    return content


@pytest.mark.parametrize("kind", PARSERS)
def test_a_damaged_file_is_read_whole_or_refused_in_our_own_words(kind: str) -> None:
    @settings(deadline=None, max_examples=120)
    @given(mutated(SEEDS[kind]), st.sampled_from([BLANKS, MARKS, "L000000.spe", "x"]))
    def holds(content: bytes, name: str) -> None:
        IS_SPECTRUM[kind](content[:8192])
        try:
            found = PARSERS[kind](File(name, content))
        except CorebankError as error:
            assert str(error) == f"{error.where}: {error.found}. {error.fix}."  # noqa: PT017 - some are still spectra
            return
        assert found
        for one in found:
            assert one.counts.dtype == np.uint32
            assert one.counts.ndim == 1
            assert one.counts.size
            for field in ("position", "depth", "live_time", "real_time", "tube_voltage", "tube_current", "total"):
                assert not math.isinf(getattr(one, field)), field

    holds()


@pytest.mark.parametrize("kind", PARSERS)
def test_arbitrary_bytes_are_no_spectrum_of_any_kind(kind: str) -> None:
    @settings(deadline=None, max_examples=60)
    @given(st.binary(max_size=300))
    @example(b"")
    @example(b"\0" * 300)
    @example(b"PK\x03\x04")
    @example(b"PAR1PAR1")
    @example(b"\xff\xfe\x00")
    def refused(content: bytes) -> None:
        assert not IS_SPECTRUM[kind](content)
        with pytest.raises(CorebankError):
            PARSERS[kind](File("a", content))

    refused()


@pytest.mark.parametrize("kind", PARSERS)
def test_no_format_takes_the_files_of_another(kind: str) -> None:
    for other, seeds in SEEDS.items():
        texts = [seed for seed in seeds if not table.is_workbook(seed)]
        assert [IS_SPECTRUM[kind](seed[:8192]) for seed in texts] == [kind == other] * len(texts), other


@settings(deadline=None, max_examples=60)
@given(mutated([areas(np.full((2, 25), -1.5))]))
def test_a_damaged_table_of_areas_is_read_whole_or_refused_in_our_own_words(content: bytes) -> None:
    try:
        found = baxil.read(File("areas.csv", content))
    except CorebankError:
        return
    assert found.index.name == "spectrum"
    assert not np.isinf(found.select_dtypes("number").to_numpy()).any()
