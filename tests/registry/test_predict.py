"""A registered model says through MLflow what `corebank.predict` says, to the last digit that float32 has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from corebank import bundle, hub, predict
from corebank.errors import PredictError
from corebank.schema import Flag
from tests.registry.models import quantifier, spectra

Write = Callable[[bundle.Bundle], Path]


def everything() -> xr.Dataset:
    """Spectra with all that makes a difference: foreign and unknown machines, flags, empty spectra, odd ones."""
    ds = spectra(60)
    rates = ds["intensity"].values
    rates[3], rates[4, 60:100] = np.nan, 1e5
    ds["anode"].values[5:8] = ["Rh", "", "Cr"]
    ds["flags"].values[9] = Flag.LOW_COUNTS
    return ds


def test_what_mlflow_serves_equals_what_is_computed_here(store: Path, run: Write, tmp_path: Path) -> None:
    caco3, toc = quantifier().proxies
    model = quantifier(proxies=(replace(caco3, mean=-4.6, half_width_unseen=1.0), toc))
    hub.register(run(model), "same", "champion")
    served, ds = mlflow.pyfunc.load_model("models:/same@champion"), everything()
    expected = predict.quantify(model, ds)
    assert expected["CaCO3"].eq(0).any()
    assert expected["warning"].nunique() > 5
    table = predict.to_table(ds)
    table.to_csv(tmp_path / "spectra.csv", index=False)
    text = {"core": str, "section": str}
    given = {
        "a Dataset": ds,
        "a lazy Dataset": ds.chunk(spectrum=7),
        "a DataFrame": table,
        "columns in another order": table[list(reversed(list(table)))],
        "a DataFrame from a file": pd.read_csv(tmp_path / "spectra.csv", dtype=text),
    }
    for what, one in given.items():
        pd.testing.assert_frame_equal(served.predict(one), expected, rtol=1e-6, obj=what)


def test_what_is_refused_here_is_refused_through_mlflow(store: Path, run: Write) -> None:
    hub.register(run(quantifier()), "refusing", "champion")
    served = mlflow.pyfunc.load_model("models:/refusing@champion")
    wrong = predict.to_table(spectra()).rename(columns={"1.6": "1600"})
    with pytest.raises(PredictError, match="the model reads 128 bins of 160 eV"):
        served.predict(wrong)
