"""What a bundle was not made for is refused; each input here is right in everything but one thing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import bundle, predict
from corebank.bundle import DOCUMENT, FORMAT
from corebank.errors import BundleError, PredictError
from tests.registry.models import CONFIG, foundation, quantifier, spectra

CENTRES = CONFIG.grid.centres


def with_rate(rate: float) -> xr.Dataset:
    """Spectra of which one has another rate in one bin."""
    ds = spectra()
    ds["intensity"].values[7, 40] = rate
    return ds


def with_unit(unit: str | None) -> xr.Dataset:
    """Spectra whose intensity is said to be in `unit`."""
    ds = spectra()
    ds["intensity"].attrs = {"units": unit} if unit else {}
    return ds


def on(energy: np.ndarray, **attributes: str) -> xr.Dataset:
    """Spectra whose bins are said to be centred on `energy`."""
    return spectra().assign_coords(energy=("energy", energy, attributes))


def counted(live: float) -> xr.Dataset:
    """Spectra of whole numbers with a live time [s]."""
    return spectra().assign(live_time=("spectrum", np.full(12, live)))


BROKEN: dict[str, tuple[Callable[[], xr.Dataset], str]] = {
    "none": (lambda: spectra(0), "there are no spectra"),
    "level": (lambda: spectra().rename(intensity="counts"), "no intensity"),
    "dimensions": (lambda: spectra().rename(energy="channel"), "the intensity is over spectrum, channel"),
    "text": (lambda: spectra().assign(intensity=spectra()["intensity"].astype(str)), "holds <U.*, no numbers"),
    "counts": (lambda: with_unit("count"), "is in count, the model reads count/s"),
    "kilo": (lambda: with_unit("kcps"), "is in kcps, the model reads count/s"),
    "no unit": (lambda: with_unit(None), "is in no unit"),
    "no axis": (lambda: spectra().drop_vars("energy"), "no coordinate energy"),
    "half an axis": (
        lambda: spectra().isel(energy=slice(0, 64)),
        "64 bins of 160 eV from 0 keV, the model reads 128 bins",
    ),
    "finer": (lambda: on(CENTRES / 8), "of 20 eV from 0 keV, the model reads"),
    "shifted": (lambda: on(CENTRES + 0.02), "from 0.02 keV, the model reads"),
    "backwards": (lambda: on(CENTRES[::-1]), "128 bins of -160 eV from 20.32 keV, the model reads"),
    "doubled": (lambda: on(np.where(np.arange(128) == 5, CENTRES[4], CENTRES)), "of 0 to 320 eV from 0 keV"),
    "eV": (lambda: on(1000 * CENTRES), "reach 20320 keV; in eV they are the model's own"),
    "eV, said": (lambda: on(1000 * CENTRES, units="eV"), "the energies are in eV, the model reads keV"),
    "negative": (lambda: with_rate(-3), "spectrum 7, bin 40: a rate of -3 count/s, which is negative"),
    "infinite": (lambda: with_rate(np.inf), "spectrum 7, bin 40: a rate of inf count/s, which is infinite"),
    "whole numbers": (lambda: counted(9.7), "whole numbers, as counts are, at a live time of 9.7 s"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_spectra_that_differ_in_one_thing_are_refused(what: str) -> None:
    broken, why = BROKEN[what]
    with pytest.raises(PredictError, match=why):
        predict.quantify(quantifier(), broken())


def test_what_is_right_in_all_of_this_is_quantified() -> None:
    for fine in (spectra(), with_rate(np.nan), with_rate(-1e-9), with_unit("count/s"), counted(1), counted(0.5)):
        assert predict.quantify(quantifier(), fine)["CaCO3"].notna().all()
    swapped = spectra().transpose("energy", "spectrum")  # dimensions have names, so their order says nothing
    pd.testing.assert_frame_equal(predict.quantify(quantifier(), swapped), predict.quantify(quantifier(), spectra()))


def test_a_foundation_model_gives_no_values() -> None:
    with pytest.raises(PredictError, match="a foundation model, which gives no values"):
        predict.quantify(foundation(), spectra())


@given(st.integers(0, 39), st.sampled_from([-1.0, np.inf]), st.integers(1, 40))
@settings(deadline=None, max_examples=10)
def test_one_impossible_rate_is_found_in_whichever_block_it_lies(row: int, rate: float, block: int) -> None:
    ds = spectra(40)
    ds["intensity"].values[row, 100] = rate
    with pytest.raises(PredictError, match=f"spectrum {row}, bin 100"):
        predict.quantify(quantifier(), ds.chunk(spectrum=block))


def table(**columns: object) -> pd.DataFrame:
    """A table of spectra on the model's axis; columns given here are put in."""
    whole = predict.to_table(spectra(3))
    return whole.assign(**columns)


def named(change: Callable[[float], str]) -> pd.DataFrame:
    """The table whose energy columns go by other names."""
    return table().rename(columns={f"{energy:.6g}": change(float(f"{energy:.6g}")) for energy in CENTRES})


TABLES: dict[str, tuple[Callable[[], pd.DataFrame], str]] = {
    "no energies": (lambda: named(lambda energy: f"E{energy}"), "0 columns are named by an energy"),
    "text": (lambda: table(**{"1.6": ["1", "b.d.l.", "2"]}), "an energy column holds text"),
    "eV": (lambda: named(lambda energy: f"{1000 * energy:.6g}"), "in eV they are the model's own"),
    "channels": (lambda: named(lambda energy: str(round(energy / 0.16))), "128 bins of 1000 eV from 0 keV"),
    "twice": (lambda: table(**{"1.60": 5.0}), "two columns are of 1.6 keV: 1.6 and 1.60"),
    "one less": (lambda: table().drop(columns="1.6"), "127 bins of 160 to 320 eV"),
    "negative": (lambda: table(**{"6.4": [3.0, -4.0, 3.0]}), "spectrum 1, bin 40: a rate of -4 count/s"),
    "no rows": (lambda: table()[:0], "there are no spectra"),
}


@pytest.mark.parametrize("what", TABLES)
def test_tables_that_differ_in_one_thing_are_refused(what: str) -> None:
    broken, why = TABLES[what]
    with pytest.raises(PredictError, match=why):
        predict.quantify(quantifier(), broken())


def test_a_table_of_another_unit_is_refused_where_it_says_so() -> None:
    said = table()
    said.attrs["units"] = "count"
    with pytest.raises(PredictError, match="is in count, the model reads count/s"):
        predict.quantify(quantifier(), said)
    with pytest.raises(PredictError, match="is in kcps"):
        predict.quantify(quantifier(), predict.to_table(with_unit("kcps")))


@given(st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=10)
def test_swapped_columns_are_put_in_order_by_their_names(random: object) -> None:
    columns = list(table())
    random.shuffle(columns)  # type: ignore[attr-defined]  # hypothesis' random.Random
    pd.testing.assert_frame_equal(
        predict.quantify(quantifier(), table()[columns]), predict.quantify(quantifier(), table())
    )


def test_a_csv_with_one_energy_twice_is_refused_although_pandas_renames_the_second(tmp_path: Path) -> None:
    path = tmp_path / "spectra.csv"
    text = predict.to_table(spectra(3)).to_csv(index=False).splitlines()
    path.write_text("\n".join([f"{text[0]},1.6", *(f"{line},7" for line in text[1:])]))
    with pytest.raises(PredictError, match=r"two columns are of 1\.6 keV"):
        predict.load(str(path), CONFIG.grid)


def test_a_bundle_of_a_newer_format_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    folder = bundle.save(quantifier(), tmp_path / "bundle")
    document = json.loads((folder / DOCUMENT).read_text())
    (folder / DOCUMENT).write_text(json.dumps(document | {"format": FORMAT + 1}))
    with pytest.raises(BundleError, match=f"format {FORMAT + 1}, this corebank reads {FORMAT}. Upgrade corebank"):
        predict.run(str(folder), "nowhere", tmp_path / "values.csv")


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"out": "v.xlsx"}, r"cannot write \.xlsx. End its name in \.csv, \.parquet, \.nc or \.zarr"),
        ({"out": "no/v.csv"}, "its folder is not there"),
        ({"out": "v.csv", "plot": "p.doc"}, r"cannot write \.doc"),
        ({"out": "v.csv", "explain": "e.xlsx"}, r"cannot write \.xlsx"),
        ({"out": "v.csv", "proxies": ["MnO"]}, "gives no MnO. Choose among CaCO3, TOC"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_read(
    tmp_path: Path, asked: dict[str, object], why: str
) -> None:
    folder = bundle.save(quantifier(), tmp_path / "bundle")
    paths = {name: tmp_path / str(value) if name != "proxies" else value for name, value in asked.items()}
    with pytest.raises(PredictError, match=why):
        predict.run(str(folder), "nowhere", **paths)  # type: ignore[arg-type]  # of several kinds
