"""What MLflow calls when it loads a version, and what it is told of the tables that go in and come out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corebank import bundle
from corebank.hub import store

CODE = "from corebank import hub, predict\n\nhub.serve(predict.quantify)\n"
"""All the code that a version carries; MLflow runs it to load the model."""


def serve(quantify: Callable[[bundle.Bundle, Any], pd.DataFrame]) -> None:
    """Make `quantify` what MLflow calls for this model; run by `CODE` when MLflow loads a version."""
    mlflow = store.mlflow()

    class Quantify(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]  # its base is only known at run time
        def load_context(self, context: Any) -> None:
            self.bundle = bundle.load(Path(context.artifacts["bundle"]))

        # Without an input schema MLflow hands over whatever it is given, also a Dataset; the hint spares a warning.
        def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
            return quantify(self.bundle, model_input)

    mlflow.models.set_model(Quantify())


def signature(values: pd.DataFrame | None) -> Any:
    """MLflow's signature of a model that gave `values`: the columns that come out, and none that go in.

    What goes in is shown by `example` and checked by the model. An input schema would make MLflow refuse a Dataset
    (decision 0008).
    """
    return None if values is None else store.mlflow().models.infer_signature(model_output=values)


def example(made: bundle.Bundle) -> pd.DataFrame | None:
    """Two rows of a table that the model reads, as MLflow shows it; None for a foundation model.

    The numbers show the layout and nothing else: every bin of the made-up spectra has the same rate [count/s].
    """
    if not made.proxies:
        return None
    known = [found for machine in made.lineage.machines if (found := re.fullmatch(r"(\w+) ([\d.]+) kV", machine))]
    anode, voltage = known[0].groups() if known else ("Mo", "30")
    place = {
        "core": ["EXAMPLE-1"] * 2,
        "section": ["S1"] * 2,
        "section_position": [0.0, 5.0],
        "depth": [100.0, 105.0],
        "anode": [anode] * 2,
        "tube_voltage": [float(voltage)] * 2,
    }
    bins = [f"{energy:.6g}" for energy in made.grid.centres]
    rates = np.repeat([[10.0], [20.0]], len(bins), axis=1)
    return pd.concat([pd.DataFrame(place), pd.DataFrame(rates, columns=bins)], axis=1)
