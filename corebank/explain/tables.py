"""An explanation as tables and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from corebank.errors import PredictError


def to_table(explanation: xr.Dataset) -> pd.DataFrame:
    """What `corebank.explain.explain` returned as a long table: a row per proxy, spectrum and element.

    Columns: ``proxy``, ``spectrum`` (number in the selection), where it was measured (core, section ...), ``element``,
    ``share``, ``effect``, ``unit``, ``value``, ``interaction``. Elements that a spectrum does not show have no row.
    """
    place = [str(name) for name in explanation.coords if explanation[name].dims == ("spectrum",)]
    k, parts, n = explanation["share"].shape
    columns = {
        "proxy": np.repeat(explanation["proxy"].values, n * parts),
        "spectrum": np.tile(np.repeat(np.arange(n), parts), k),
        **{name: np.tile(np.repeat(explanation[name].values, parts), k) for name in place if name != "spectrum"},
        "element": np.tile(explanation["element"].values, k * n),
        "share": explanation["share"].transpose("proxy", "spectrum", "element").values.ravel(),
        "effect": explanation["effect"].transpose("proxy", "spectrum", "element").values.ravel(),
        "unit": np.repeat(explanation["unit"].values, n * parts),
        "value": np.repeat(explanation["value"].values.ravel(), parts),
        "interaction": np.repeat(explanation["interaction"].values.ravel(), parts),
    }
    table = pd.DataFrame(columns)
    return table[table["effect"].notna()].reset_index(drop=True)


def summary(explanation: xr.Dataset, proxy: str) -> pd.DataFrame:
    """What the values of a proxy rest on over all spectra: a row per element, the largest share first.

    Columns: ``share`` (mean), ``untrained`` (what untrained networks give), ``effect`` (mean [unit of the proxy], its
    sign says whether the element raises the values), ``sensitivity``, ``lines`` and ``also``. Raises `PredictError` for
    a proxy that was not explained.
    """
    one = chosen(explanation, proxy)
    table = pd.DataFrame(
        {
            "share": one["share"].mean("spectrum").values,
            "untrained": one["untrained"].values,
            "effect": one["effect"].mean("spectrum").values,
            "sensitivity": one["sensitivity"].values,
            "lines": one["lines"].values,
            "also": one["also"].values,
        },
        index=pd.Index(one["element"].values, name="element"),
    )
    return table.sort_values("share", ascending=False, kind="stable")


def write(explanation: xr.Dataset, path: Path) -> None:
    """Write an explanation as ``.csv`` (`to_table`) or ``.nc`` (all of it); `PredictError` for another ending."""
    if path.suffix == ".csv":
        to_table(explanation).to_csv(path, index=False)
    elif path.suffix == ".nc":
        explanation.to_netcdf(path)
    else:
        ending = path.suffix or "a file without an ending"
        raise PredictError(path, f"cannot write {ending}", "End its name in .csv or .nc")


def chosen(explanation: xr.Dataset, proxy: str) -> xr.Dataset:
    """The part of an explanation that is of one proxy; raises `PredictError` when there is none."""
    names = [str(name) for name in explanation["proxy"].values]
    if proxy not in names:
        raise PredictError("explanation", f"nothing of {proxy}", f"Choose among {', '.join(names)}")
    return explanation.isel(proxy=names.index(proxy))
