"""Laboratory values meet spectra: which spectra lie in the depth interval of each label.

A spectrum belongs to a label of its own expedition and core (and section, where the label names one) when its composite
depth lies in [top, bottom); an interval without thickness takes the spectra at exactly its depth. Labels without a
spectrum are kept and told, never lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from corebank.errors import SchemaError

PLACE = ["site", "expedition", "core", "section", "depth_top", "depth_bottom"]
"""What tells one depth interval from another."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels:
    """Depth intervals with a laboratory value of at least one proxy; n intervals, k proxies."""

    intervals: pd.DataFrame
    """(n,) rows of `PLACE`; depths in mm, composite."""

    proxies: tuple[str, ...]
    units: tuple[str, ...]
    """Unit of each proxy, as it stands in the measurements."""

    values: NDArray[np.float64]
    """(n, k) in `units`; NaN where the interval has no value of the proxy. Repeated analyses are averaged."""

    rows: tuple[NDArray[np.int64], ...]
    """Positions along ``spectrum`` of the spectra in each interval, in order; empty where there is none."""

    def __len__(self) -> int:
        return len(self.intervals)

    def __getitem__(self, keep: NDArray[np.bool_]) -> Labels:
        """The intervals for which `keep` (n,) is True."""
        rows = tuple(row for row, wanted in zip(self.rows, keep, strict=True) if wanted)
        return Labels(
            intervals=self.intervals[keep].reset_index(drop=True),
            proxies=self.proxies,
            units=self.units,
            values=self.values[keep],
            rows=rows,
        )

    @property
    def matched(self) -> NDArray[np.bool_]:
        """(n,) whether the interval holds a spectrum."""
        return np.array([len(row) > 0 for row in self.rows], dtype=bool)


def match(spectra: xr.Dataset, measurements: pd.DataFrame, proxy: str | Sequence[str]) -> Labels:
    """Find the spectra in the depth interval of each label of one or several proxies.

    Parameters
    ----------
    spectra
        Needs ``core``, ``section`` and ``depth`` [mm]; ``site`` and ``expedition`` are compared where it has them.
    measurements
        Laboratory values, see `corebank.schema`.
    proxy
        One name, or several; an interval needs a value of at least one.

    Raises
    ------
    SchemaError
        When nothing was measured of a proxy, or one proxy stands in several units.
    """
    proxies = (proxy,) if isinstance(proxy, str) else tuple(proxy)
    table = measurements[measurements["proxy"].isin(proxies) & measurements["value"].notna()]
    units = tuple(_unit(table, measurements, name) for name in proxies)
    wide = table.pivot_table(index=PLACE, columns="proxy", values="value", aggfunc="mean")[list(proxies)]
    intervals = wide.index.to_frame(index=False)
    return Labels(
        intervals=intervals,
        proxies=proxies,
        units=units,
        values=wide.to_numpy(dtype=np.float64),
        rows=tuple(_inside(spectra, intervals)),
    )


def _inside(spectra: xr.Dataset, intervals: pd.DataFrame) -> Iterator[NDArray[np.int64]]:
    """Rows of `spectra` in each of `intervals`."""
    depth = spectra["depth"].values
    names = {part: spectra[part].values.astype(str) for part in PLACE[:4] if part in spectra}
    for interval in intervals.itertuples(index=False):
        top, bottom = float(interval.depth_top), float(interval.depth_bottom)  # type: ignore[arg-type]  # a named tuple
        inside = (depth >= top) & (depth < bottom) if bottom > top else depth == top
        for part, have in names.items():
            wanted = str(getattr(interval, part))
            if wanted or part != "section":
                inside = inside & (have == wanted)
        yield np.flatnonzero(inside)


def _unit(table: pd.DataFrame, measurements: pd.DataFrame, proxy: str) -> str:
    """The one unit of a proxy."""
    units = sorted(set(table.loc[table["proxy"] == proxy, "unit"].astype(str)))
    if len(units) == 1:
        return units[0]
    where = f"measurements of {proxy}"
    if units:
        raise SchemaError(where, f"units {', '.join(units)}", "Convert them to one unit when they are contributed")
    known = ", ".join(sorted(set(measurements["proxy"].astype(str)))) or "nothing"
    raise SchemaError(where, "there are none", f"Choose among {known}")
