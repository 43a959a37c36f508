"""Do laboratory values and spectra meet? Which samples have no spectrum, and whether labels lie beside their spectra.

Matching is that of `corebank.labels`: a spectrum belongs to a sample of its core (and section, where the sample names
one) when its depth lies in [top, bottom), or at exactly that depth where the interval has no thickness.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from corebank.contribution import label_shift
from corebank.contribution.findings import Finding, finding

_NAMES = ("core", "section")


def match(table: pd.DataFrame, runs: Mapping[str, xr.Dataset]) -> list[Finding]:
    """Findings on how measurements meet spectra; nothing is changed.

    Parameters
    ----------
    table
        Measurements, columns as in `corebank.contribution.laboratory.COLUMNS`.
    runs
        Run -> Dataset over (spectrum, channel); ``counts`` may be lazy and are read block by block, once.

    Returns
    -------
    list
        ``unmatched`` per table and core, with the samples among `items`; ``label-shift`` per table whose values follow
        the spectra clearly better at other depths.
    """
    return _unmatched(table, runs) + label_shift.findings(table, runs)


def _unmatched(table: pd.DataFrame, runs: Mapping[str, xr.Dataset]) -> list[Finding]:
    cores, sections = ([np.empty(0, str)] + [run[name].values.astype(str) for run in runs.values()] for name in _NAMES)
    core_of, section_of = np.concatenate(cores), np.concatenate(sections)
    depths = np.concatenate([np.empty(0), *(run["depth"].values for run in runs.values())])
    findings = []
    for (source, core), rows in table.groupby(["source", "core"], sort=False):
        samples = rows.groupby(["section", "depth_top", "depth_bottom"], sort=True)["proxy"].unique()
        missed = []
        for place, proxies in zip(samples.index.to_frame(index=False).itertuples(index=False), samples, strict=True):
            section, top, bottom = str(place.section), float(place.depth_top), float(place.depth_bottom)  # type: ignore[arg-type]  # a named tuple
            here = (core_of == core) & ((section_of == section) | (section == ""))
            inside = (depths >= top) & (depths < bottom) if bottom > top else depths == top
            if not (here & inside).any():
                missed.append(f"{top / 10:g} to {bottom / 10:g} cm ({', '.join(proxies)})")
        if missed:
            say = f"{len(missed)} of {len(samples)} samples of core {core} have no spectrum at their depth"
            findings.append(finding("unmatched", str(source), say, items=tuple(f"{core}, {one}" for one in missed)))
    return findings
