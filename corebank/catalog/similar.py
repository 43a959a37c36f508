"""Find the runs whose mean spectrum is most like a given one.

The distance is Hellinger's between shares of counts in bands of energy; formula, bands and sources are in
`corebank.bank.descriptor`. It is cheap (53 numbers a run, kept in the index) and honest about its limits: it sees
sediment and machine together, so it finds first what the same kind of tube saw in the same kind of sediment.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from corebank import calibrate, contribution, readers
from corebank.bank import descriptor
from corebank.calibrate import lines
from corebank.catalog.drivers import Catalog
from corebank.catalog.indexing import Index, index
from corebank.catalog.searching import Hits
from corebank.errors import CatalogError, ReadError
from corebank.readers import Scan
from corebank.schema import EnergyGrid


def nearest(
    catalog: Index | str | Path | Catalog,
    spectrum: str | Path | xr.Dataset | np.ndarray,
    *,
    grid: EnergyGrid | None = None,
    among: Hits | None = None,
    count: int = 10,
) -> Hits:
    """The runs most like a spectrum, the nearest first.

    Parameters
    ----------
    catalog
        What `corebank.catalog.index` returned, or a catalog, which is then indexed first.
    spectrum
        A spectrum file or a folder of them, read as `spectrum_of` does; a Dataset with ``intensity`` (spectrum,
        energy), of which the mean is taken; or an array (bin,) on `grid`, NaN where not measured.
    grid
        Energy grid of an array; the default grid of a bank where None.
    among
        Runs to look in, as `corebank.catalog.search` found them in the same index; None looks in all.
    count
        How many runs to return, at most.

    Returns
    -------
    Hits
        With a column ``distance``, 0 (alike) to 1. Runs that share too little of the energy axis with the spectrum are
        left out.

    Raises `CatalogError` for a spectrum without counts, and what the readers raise for a file that is none.
    """
    found = catalog if isinstance(catalog, Index) else index(catalog)
    if isinstance(spectrum, np.ndarray):
        axis = grid or EnergyGrid()
        if spectrum.shape != (axis.bins,):
            raise CatalogError(
                "spectrum", f"has the shape {spectrum.shape}", f"Give ({axis.bins},) values, or its grid"
            )
        asked = descriptor.described(spectrum, axis.edges)
    else:
        run = spectrum if isinstance(spectrum, xr.Dataset) else spectrum_of(Path(spectrum))
        asked = descriptor.described(*_mean(run))
    if np.isnan(asked).all():
        raise CatalogError("spectrum", "has no counts between 1 and 40 keV", "Give a spectrum of a sample")
    rows = np.arange(len(found)) if among is None else among.rows
    distance = descriptor.distances(asked, found.descriptors[rows])
    near = np.argsort(distance, kind="stable")[:count]  # NaN comes last
    near = near[np.isfinite(distance[near])]
    return Hits(found, rows[near], found.labels[rows[near]], distance[near], searched=len(rows))


def spectrum_of(path: Path) -> xr.Dataset:
    """Read one spectrum file, or every one below a folder, onto the default energy grid.

    The energy axis of a single file comes from the files beside it (an Itrax header holds none); where those do not
    say, it is found from the lines in the spectrum. Returns ``intensity`` (spectrum, energy) [count/s], NaN where not
    measured.

    Raises `ReadError` when there is no spectrum, `CalibrationError` when no energy axis can be found.
    """
    if path.is_dir():
        return contribution.spectra(path, EnergyGrid())
    run = readers.read(path)  # refuses what is no whole spectrum
    for beside in _beside(path):
        run = beside if np.isfinite(beside["energy_gain"].values).all() else run
    if not np.isfinite(run["energy_gain"].values).all():
        voltage = float(np.nanmean(run["tube_voltage"].values)) if run["tube_voltage"].notnull().any() else np.nan
        fit = lines.find(run["counts"].values.sum(axis=0), str(run.attrs["anode"]), voltage)
        many = np.ones(run.sizes["spectrum"])
        run = run.assign(energy_gain=("spectrum", fit.gain * many), energy_offset=("spectrum", fit.offset * many))
    return calibrate.intensity(run, EnergyGrid(), str(path))


def _beside(path: Path) -> Iterator[xr.Dataset]:
    """The same spectrum as the files around it calibrate it, where they do."""
    home = path.absolute().parent
    for folder in (home, home.parent):
        try:
            scans = readers.survey(folder).scans
        except ReadError:
            continue
        for scan in scans:
            own = [entry for entry in scan.spectra if entry.path == path.absolute() and not entry.member]
            if own and scan.companions:
                reading = readers.read_scan(Scan(scan.folder, scan.kind, own, scan.companions))
                yield from (run.load() for run in reading.runs[:1])
                return


def _mean(run: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Mean intensity (bin,) of a run, NaN where one of its spectra was not measured, and its bin edges [keV]."""
    energy = np.asarray(run["energy"].values, dtype=np.float64)
    half = np.diff(energy) / 2
    edges = np.concatenate([[energy[0] - half[0]], energy[:-1] + half, [energy[-1] + half[-1]]])
    return np.asarray(run["intensity"].mean("spectrum", skipna=False).values, dtype=np.float64), edges
