"""For member labs too: made-up runs for property tests, and the contract that every reader of a scanner's files keeps.

A lab that writes a reader for its own scanner proves it with one line, given a function that writes one valid file::

    reader_contract(my_spectrum, read=my_reader)

Needs hypothesis, which corebank itself does not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.strategies import SearchStrategy

from corebank import schema
from corebank.errors import CorebankError
from corebank.readers import read as read_any

Writer = Callable[[np.ndarray], bytes]
"""Counts (channel,) uint32 -> the bytes of one valid spectrum file."""
Reader = Callable[[Path], xr.Dataset]
"""A spectrum file -> a Dataset with ``counts`` (spectrum, channel), as `corebank.readers.read`."""


def counts(channels: int = 64, largest: int = 2**32 - 1) -> SearchStrategy[np.ndarray]:
    """Counts of one spectrum, (channels,) uint32 [count], from nothing to the largest number that a bank can hold."""
    return hnp.arrays(np.uint32, channels, elements=st.integers(0, largest))


@st.composite
def runs(draw: st.DrawFn, channels: int = 64, largest: int = 100_000) -> xr.Dataset:
    """A run over (spectrum, channel) that passes `corebank.schema.validate_run`: 1 to 6 spectra, every one calibrated.

    Gains are 0.008 to 0.1 keV, offsets -0.4 to 0.1 keV: those of real detectors, and wider channels so that a few of
    them reach far.
    """
    size = draw(st.integers(1, 6))
    table = draw(hnp.arrays(np.uint32, (size, channels), elements=st.integers(0, largest)))
    ever = np.flatnonzero(table.any(axis=0))
    live = draw(hnp.arrays(np.float64, size, elements=st.floats(0.5, 100)))
    voltage = draw(st.sampled_from([10.0, 30.0, 50.0, float("nan")]))
    columns: dict[str, object] = {
        "core": ["core"] * size,
        "section": ["section"] * size,
        "section_position": np.arange(size),
        "depth": np.arange(size),
        "energy_gain": draw(hnp.arrays(np.float64, size, elements=st.floats(0.008, 0.1))),
        "energy_offset": draw(hnp.arrays(np.float64, size, elements=st.floats(-0.4, 0.1))),
        "energy_source": ["drawn"] * size,
        "live_time": live,
        "real_time": live * draw(st.floats(1, 5)),
        "tube_voltage": np.full(size, voltage),
        "tube_current": np.ones(size),
        "scanned_at": np.full(size, np.datetime64("NaT", "s")),
        "source": [f"L{row:06d}.spe" for row in range(size)],
        "source_sha256": [f"{row:064x}" for row in range(size)],
        "flags": np.zeros(size),
        "replicate_of": [""] * size,
        "contribution": [""] * size,
    }
    settings_of_the_run = {
        "scanner": "drawn", "model": "", "head": "", "anode": "Mo", "filter": "", "tube_voltage": voltage,
        "tube_current": 1.0, "channels": channels, "first_channel": int(ever[0]) if ever.size else 0,
        "last_channel": int(ever[-1]) if ever.size else channels - 1,
    }  # fmt: skip
    run = xr.Dataset(
        {"counts": (schema.COUNTS.dims, table, schema.attributes(schema.COUNTS)), **schema.spectrum_columns(columns)},
        attrs=settings_of_the_run,
    )
    return schema.validate_run(run, "a drawn run")


def reader_contract(
    write: Writer, read: Reader = read_any, *, name: str = "spectrum.spe", channels: int = 64, examples: int = 40
) -> None:
    """Try a reader on made-up files; raises AssertionError, or the error that the reader let through.

    Parameters
    ----------
    write
        Makes the bytes of a valid file; nothing may follow its last count but the end of that line.
    read
        The reader under test.
    name
        What the file is called, where the format keeps something in the name.
    channels
        Channels of the detector.
    examples
        Files tried for each law.

    The laws: counts come back bit for bit; no file that was cut short is read as a spectrum; whatever a file holds,
    the reader raises a `corebank.errors.CorebankError` or returns.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name

        @settings(deadline=None, max_examples=examples, database=None, report_multiple_bugs=False)
        @given(counts(channels))
        def counts_come_back_bit_for_bit(wanted: np.ndarray) -> None:
            path.write_bytes(write(wanted))
            found = read(path)["counts"].values
            assert found.dtype == np.uint32, f"counts are {found.dtype}"
            np.testing.assert_array_equal(found, wanted[None, :])

        @settings(deadline=None, max_examples=examples, database=None, report_multiple_bugs=False)
        @given(counts(channels), st.data())
        def no_file_cut_short_is_read(wanted: np.ndarray, data: st.DataObject) -> None:
            whole = write(wanted)
            # Cuts in the last line are the ones that readers miss: a number loses digits, or only its line end.
            last = len(whole) - 1
            cut = data.draw(st.integers(0, last) | st.integers(max(0, last - 12), last), label="bytes left")
            path.write_bytes(whole[:cut])
            try:
                read(path)
            except CorebankError:
                return
            raise AssertionError(f"{cut} of {len(whole)} bytes were read as a whole spectrum")

        @settings(deadline=None, max_examples=examples, database=None, report_multiple_bugs=False)
        @given(counts(channels), st.data())
        def only_our_errors_are_raised(wanted: np.ndarray, data: st.DataObject) -> None:
            whole = write(wanted)
            at = data.draw(st.integers(0, len(whole)), label="at")
            until = data.draw(st.integers(at, min(at + 40, len(whole))), label="until")
            changed = st.binary(max_size=12).map(lambda put: whole[:at] + put + whole[until:])
            path.write_bytes(data.draw(st.binary(max_size=200) | changed, label="content"))
            with suppress(CorebankError):
                read(path)

        counts_come_back_bit_for_bit()
        no_file_cut_short_is_read()
        only_our_errors_are_raised()
