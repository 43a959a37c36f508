"""Export: what comes back from plain Zarr, NetCDF and Parquet is what went in, with its words; half a file never is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import bank as banks
from corebank import cli, predict
from corebank.bank import exporting, layout
from corebank.contribution import laboratory, with_provenance
from corebank.errors import BankError
from corebank.schema import PROVENANCE, RUN_ATTRIBUTES, SPECTRUM, attributes, spectrum_columns
from tests.scanner import write_expedition

ENDINGS = (".zarr", ".nc", ".parquet")

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
"""Text without NUL, which HDF5 ends its strings with."""


def opened(out: Path, group: str | None = None) -> xr.Dataset:
    """A file as a stranger to corebank opens it; Parquet as columns over ``spectrum``."""
    if out.suffix == ".zarr":
        return xr.open_zarr(out, group=group).load()
    if out.suffix == ".nc":
        with xr.open_dataset(out, engine="h5netcdf", group=group) as found:
            return found.load()
    table = pd.read_parquet(out)
    told = json.loads(pq.read_schema(out).metadata[b"corebank"])
    return xr.Dataset({name: ("spectrum", table[name].to_numpy()) for name in table}, attrs=told)


def alike(found: Any, wanted: Any, what: str) -> None:
    """Equal values, text as text and times as times whatever holds them."""
    one, other = np.asarray(found), np.asarray(wanted)
    if other.dtype.kind in "OTU":
        assert [str(value) for value in one] == [str(value) for value in other], what
    elif other.dtype.kind == "M":
        np.testing.assert_array_equal(one.astype("datetime64[s]"), other.astype("datetime64[s]"), err_msg=what)
    else:
        assert one.dtype == other.dtype, what
        np.testing.assert_array_equal(one, other, err_msg=what)


@st.composite
def selections(draw: st.DrawFn) -> xr.Dataset:
    """Spectra of any words, numbers, times and gaps, in chunks that fit nothing, with what a reader leaves behind."""
    rows = draw(st.integers(1, 12))

    def several(values: st.SearchStrategy[Any], dtype: Any) -> np.ndarray[Any, Any]:
        return np.array(draw(st.lists(values, min_size=rows, max_size=rows)), dtype=dtype)

    kinds: dict[str, Callable[[], np.ndarray[Any, Any]]] = {
        "str": lambda: several(WORDS, object),
        "float64": lambda: several(st.floats(width=64), np.float64),
        "uint32": lambda: several(st.integers(0, 2**32 - 1), np.uint32),
        "datetime64[s]": lambda: several(
            st.integers(-(2**31), 2**32).map(lambda at: np.datetime64(at, "s")) | st.just(np.datetime64("NaT")),
            "datetime64[s]",
        ),
    }
    columns = spectrum_columns({name: kinds[variable.dtype]() for name, variable in SPECTRUM.items()})
    rates = several(st.floats(width=32), np.float32)[:, None] * np.ones((1, 3), np.float32)
    run = xr.Dataset(
        {"intensity": (("spectrum", "energy"), rates, {"units": "count/s"}), **columns},
        coords={"energy": ("energy", np.arange(3) * 0.05, {"units": "keV"})},
        attrs=dict.fromkeys(RUN_ATTRIBUTES, ""),
    )
    lazy = with_provenance(run, draw(WORDS), "e", "r").chunk(spectrum=draw(st.integers(1, 12)))
    lazy["intensity"].encoding = {"chunks": (5, 2), "_FillValue": 3.0, "dtype": "int16", "scale_factor": 2.0}
    lazy["core"].encoding = {"dtype": "S1"}
    return lazy.assign_attrs(snapshots=json.dumps({"lab": draw(WORDS)}), terms=draw(WORDS), calibration_version=1)


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_comes_back_is_what_went_in(ending: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(deadline=None, max_examples=6)
    @given(selections())
    def law(spectra: xr.Dataset) -> None:
        out = tmp_path_factory.mktemp("law") / f"out{ending}"
        exporting.export(spectra, out)
        found = opened(out)
        for name in (*SPECTRUM, *PROVENANCE):
            alike(found[name], spectra[name], name)
        if ending == ".parquet":
            bins = np.stack([found[name].values for name in ("0", "0.05", "0.1")], axis=1)
            alike(bins, spectra["intensity"], "intensity")
        else:
            for name in ("intensity", "energy"):
                alike(found[name], spectra[name], name)
            assert {name: found[name].attrs for name in found.variables} == {
                name: spectra[name].attrs for name in spectra.variables
            }
        assert found.attrs.items() >= spectra.attrs.items()

    law()


@pytest.mark.parametrize("level", ["intensity", "counts"])
def test_a_bank_goes_out_with_its_laboratory_values_and_where_all_came_from(
    small_bank: Path, tmp_path: Path, level: str
) -> None:
    bank = banks.open_bank(small_bank)
    spectra = bank.spectra("cruise1", level=level)  # type: ignore[arg-type] - parametrised
    labels = bank.measurements("cruise1")
    for ending in ENDINGS:
        out = tmp_path / f"{level}{ending}"
        exporting.export(spectra, out, labels)
        found = opened(out)
        assert (found.attrs["bank"], found.attrs["snapshot"]) == (str(small_bank), bank.snapshot)
        if ending == ".parquet":
            axis = [f"{energy:.6g}" for energy in spectra["energy"].values] if level == "intensity" else None
            names = axis or [f"channel_{number}" for number in range(spectra.sizes["channel"])]
            alike(np.stack([found[name].values for name in names], axis=1), spectra[level], level)
            values = pd.read_parquet(tmp_path / f"{level}.measurements.parquet")
            field = pq.read_schema(out).field("depth")
            assert field.metadata[b"units"] == b"mm"
        else:
            alike(found[level], spectra[level], level)
            assert found["depth"].attrs == attributes(SPECTRUM["depth"])
            beside = opened(out, "measurements")
            values = pd.DataFrame({name: beside[name].values for name in beside.data_vars})
        for name in laboratory.COLUMNS:
            alike(values[name], labels[name], name)


def test_plain_zarr_lies_as_in_a_bank_and_opens_alone(tmp_path: Path) -> None:
    rows = layout.SHARD + 300
    spectra = xr.Dataset({"counts": (("spectrum", "channel"), da.zeros((rows, 64), dtype=np.uint32, chunks=(999, 64)))})
    exporting.export(spectra, tmp_path / "out.zarr")
    counts = xr.open_zarr(tmp_path / "out.zarr")["counts"]
    assert (counts.encoding["chunks"], counts.encoding["shards"]) == ((layout.CHUNK, 64), (layout.SHARD, 64))


def test_unmeasured_bins_are_null_and_row_groups_are_bounded(small_bank: Path, tmp_path: Path) -> None:
    spectra = banks.open_bank(small_bank).spectra("cruise1")
    exporting.export(spectra, tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    energy, rates = spectra["energy"].values, spectra["intensity"].values
    empty = [f"{energy[column]:.6g}" for column in np.flatnonzero(np.isnan(rates).all(axis=0))]
    assert empty
    assert {table[name].null_count for name in empty} == {10}
    many = xr.Dataset({"counts": (("spectrum", "channel"), np.zeros((exporting.ROWS + 1, 2), np.uint32))})
    exporting.export(many, tmp_path / "many.parquet")
    told = pq.read_metadata(tmp_path / "many.parquet")
    assert [told.row_group(number).num_rows for number in range(told.num_row_groups)] == [exporting.ROWS, 1]


def test_an_exported_table_is_what_predict_reads(small_bank: Path, tmp_path: Path) -> None:
    spectra = banks.open_bank(small_bank).spectra("cruise1")
    exporting.export(spectra, tmp_path / "out.parquet")
    run = predict.from_table(pd.read_parquet(tmp_path / "out.parquet"))
    np.testing.assert_array_equal(run["intensity"].values, spectra["intensity"].values)
    np.testing.assert_allclose(run["energy"].values, spectra["energy"].values)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_failed_export_leaves_nothing_and_what_is_there_is_never_replaced(ending: str, tmp_path: Path) -> None:
    def fail(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        raise OSError("the disk is gone")

    good = da.zeros((6000, 4), dtype=np.uint32, chunks=(3000, 4))
    bad = da.concatenate([good, da.map_blocks(fail, good, dtype=np.uint32, meta=np.empty((0, 0), np.uint32))])
    out = tmp_path / f"out{ending}"
    with pytest.raises(OSError, match="the disk is gone"):
        exporting.export(xr.Dataset({"counts": (("spectrum", "channel"), bad)}), out)
    assert list(tmp_path.iterdir()) == []
    exporting.export(xr.Dataset({"counts": (("spectrum", "channel"), good)}), out)
    with pytest.raises(BankError, match="is there already"):
        exporting.export(xr.Dataset({"counts": (("spectrum", "channel"), good)}), out)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_another_ending_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(BankError, match=r"nothing is written as \.csv"):
        exporting.export(xr.Dataset(), tmp_path / "out.csv")


def test_the_command_takes_a_selection_and_drops_what_may_not_leave(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bank = banks.create(tmp_path / "bank", site="lab")
    from corebank import contribution

    bank.add(contribution.checked(write_expedition(tmp_path / "cruise1")))
    kept_back = write_expedition(tmp_path / "cruise2", name="cruise2", core="K/2", seed=5)
    words = kept_back / "contribution.toml"
    words.write_text(words.read_text().replace("[scanner]", 'embargo_until = "2999-01-01"\n\n[scanner]', 1))
    bank.add(contribution.checked(kept_back))

    def export(*words: str) -> str:
        with pytest.raises(SystemExit, match="0"):
            cli.run(cli.app, ["export", str(bank.path), *words])
        return capsys.readouterr().out

    assert "10 spectra and 3 laboratory values" in export(str(tmp_path / "open.zarr"))
    found = xr.open_zarr(tmp_path / "open.zarr")
    assert set(found["expedition"].values.astype(object)) == {"cruise1"}
    assert "lab/cruise2" in json.loads(found.attrs["dropped"])
    assert json.loads(found.attrs["licences"]) == {"lab/cruise1": "CC-BY-4.0"}
    assert json.loads(found.attrs["citations"]) == {"lab/cruise1": "Steward (2020)"}
    assert "20 spectra" in export(str(tmp_path / "all.nc"), "--include-embargoed")
    words_of_one = ("--core", "K/2", "--run", "s1", "--level", "counts", "--include-embargoed")
    assert "5 spectra and 3 laboratory values" in export(str(tmp_path / "one.parquet"), *words_of_one)
    assert set(pd.read_parquet(tmp_path / "one.measurements.parquet")["core"]) == {"K/2"}
