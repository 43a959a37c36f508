"""One value for each sampled interval of depth, as laboratories report them, from the values of its spectra."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from corebank.errors import PredictError


def by_interval(
    values: pd.DataFrame, tops: ArrayLike, bottoms: ArrayLike, *, cores: Sequence[str] | None = None
) -> pd.DataFrame:
    """Average predicted values over intervals of depth.

    Parameters
    ----------
    values
        What `corebank.predict.quantify` returned; its ``depth`` must be known.
    tops, bottoms
        Composite depths [mm], (n,); a spectrum belongs to an interval when its depth lies in [top, bottom), the rule by
        which labels meet spectra.
    cores
        The core of each interval, (n,); needed where `values` are of several cores.

    Returns
    -------
    DataFrame
        A row per interval: ``core``, ``depth_top``, ``depth_bottom`` [mm], ``spectra`` (how many have a value); for
        each proxy P ``P``, ``P_lower``, ``P_upper``, ``P_unit`` and ``P_warned`` (spectra with a warning about P). NaN
        where no spectrum of the interval has a value.

    Notes
    -----
    ``P`` is the mean over the spectra, ``P_lower`` and ``P_upper`` are the means of their bounds: as wide as for one
    spectrum. Neighbouring spectra are wrong together (same machine, same matrix, same model), so averaging them earns
    no narrower interval; where their errors do differ, the interval is on the wide side.

    Raises `PredictError` when a depth or the core of an interval is not known, or an interval ends before it begins.
    """
    top, bottom = (
        np.atleast_1d(np.asarray(tops, dtype=np.float64)),
        np.atleast_1d(np.asarray(bottoms, dtype=np.float64)),
    )
    if top.shape != bottom.shape or not (bottom > top).all():
        raise PredictError(
            "intervals", "tops and bottoms do not make intervals", "Give each top above its bottom, in mm"
        )
    depth, held = values["depth"].to_numpy(np.float64), values["core"].to_numpy(object)
    if not np.isfinite(depth).all():
        raise PredictError(
            "intervals",
            f"{int((~np.isfinite(depth)).sum())} spectra have no depth",
            "Give section tops, or leave them out",
        )
    if cores is None and len(set(held)) != 1:
        raise PredictError("intervals", f"the values are of {len(set(held))} cores", "Say the core of each interval")
    wanted = [held[0]] * len(top) if cores is None else list(cores)
    if len(wanted) != len(top):
        raise PredictError(
            "intervals", f"{len(wanted)} cores for {len(top)} intervals", "Say the core of each interval"
        )
    proxies = [str(name).removesuffix("_unit") for name in values if str(name).endswith("_unit")]
    rows = []
    for core, above, below in zip(wanted, top, bottom, strict=True):
        part = values[(held == core) & (depth >= above) & (depth < below)]
        row = {
            "core": core,
            "depth_top": above,
            "depth_bottom": below,
            "spectra": int(part[proxies].notna().any(axis=1).sum()),
        }
        for proxy in proxies:
            row |= {name: part[name].mean() for name in (proxy, f"{proxy}_lower", f"{proxy}_upper")}
            row[f"{proxy}_unit"] = values[f"{proxy}_unit"].iloc[0]
            row[f"{proxy}_warned"] = int((part[f"{proxy}_warning"] != "").sum())
        rows.append(row)
    return pd.DataFrame(rows)
