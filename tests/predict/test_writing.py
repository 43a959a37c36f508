"""Values come back from every kind of file as they went in, table after table, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import predict
from corebank.errors import PredictError
from tests.registry.models import quantifier, spectra

ENDINGS = ["csv", "parquet", "nc", "zarr"]


@cache
def quantified() -> pd.DataFrame:
    """Predicted values of twenty spectra, every third with a warning."""
    ds = spectra(20)
    ds["flags"].values[::3] = 2
    return predict.quantify(quantifier(), ds)


def values(rows: int) -> pd.DataFrame:
    """The first of them."""
    return quantified()[:rows]


def read(path: Path) -> pd.DataFrame:
    """What `predict.write` wrote, as a table; units stand in attributes or columns."""
    if path.suffix == ".csv":
        return pd.read_csv(path, keep_default_na=False)
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    options = {"engine": "zarr", "consolidated": False} if path.suffix == ".zarr" else {}
    with xr.open_dataset(path, **options) as ds:
        assert {ds[name].attrs["units"] for name in ("TOC", "TOC_lower", "TOC_upper")} == {"wt%"}
        assert ds["depth"].attrs["units"] == "mm"
        table = ds.load().to_dataframe().reset_index(drop=True)
        return table.assign(**{f"{name}_unit": ds[name].attrs["units"] for name in ("CaCO3", "TOC")})


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.sampled_from(ENDINGS))
@settings(deadline=None, max_examples=16)
def test_values_in_many_tables_are_written_like_those_in_one(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], ending: str
) -> None:
    whole = values(sum(sizes))
    ends = np.cumsum(sizes)
    tables = [whole[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    path = tmp_path_factory.mktemp("values") / f"v.{ending}"
    predict.write(iter(tables), path)
    pd.testing.assert_frame_equal(read(path)[list(whole)], whole, check_dtype=False)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_breaks_off_leaves_no_file_and_an_older_one_as_it_was(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"v.{ending}"
    if ending != "zarr":
        path.write_text("of yesterday")

    def broken() -> Iterator[pd.DataFrame]:
        yield values(3)
        raise PredictError("spectra", "one is none", "Leave it out")

    with pytest.raises(PredictError, match="one is none"):
        predict.write(broken(), path)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == (
        [] if ending == "zarr" else [(path.name, "of yesterday")]
    )


def test_an_unknown_ending_and_an_occupied_store_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PredictError, match=r"cannot write \.xlsx"):
        predict.write(values(2), tmp_path / "v.xlsx")
    predict.write(values(2), tmp_path / "v.zarr")
    with pytest.raises(PredictError, match="there already"):
        predict.write(values(2), tmp_path / "v.zarr")


def test_values_of_a_zarr_lie_in_chunks_of_one_size_whatever_the_first_table_held(tmp_path: Path) -> None:
    predict.write(iter([values(2), values(7)]), tmp_path / "v.zarr")
    with xr.open_dataset(tmp_path / "v.zarr", engine="zarr", consolidated=False, chunks={}) as ds:
        assert ds["CaCO3"].encoding["chunks"] == (4096,)
