"""Commands of who uses a model: quantify a core, copy a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def predict(
    model: str,
    source: str,
    /,
    *,
    out: Path,
    plot: Path | None = None,
    explain: Path | None = None,
    proxy: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    toml: Path | None = None,
    scheduler: str = "",
) -> None:
    """Quantify a core with a registered model.

    Parameters
    ----------
    model
        models:/name@alias, models:/name/3, or the folder of a bundle or of a run.
    source
        A folder of scanner files, BANK::expedition[/run], CATALOG.yaml[::site[/expedition[/run]]], or a table of
        spectra (.csv or .parquet).
    out
        Where the values of all proxies go: .csv, .parquet, .nc or .zarr.
    plot
        Where a depth profile goes, as PNG, PDF or SVG.
    explain
        Where it goes what the values rest on, element by element: .csv, .nc or a picture, .png.
    proxy
        Which proxies to draw and to explain, one --proxy each; all of the model's otherwise.
    toml
        The contribution.toml of a folder of scanner files, when it lies elsewhere; the folder must pass corebank check.
    scheduler
        Dask scheduler (tcp://host:port) whose workers read the spectra; threads of this process do without. The network
        runs in this process.
    """
    from corebank import parallel
    from corebank import predict as predicting

    with parallel.scheduler(scheduler):
        done = predicting.run(model, source, out, toml=toml, plot=plot, explain=explain, proxies=proxy)
    doubted = f", {done.warned} of them with a warning" if done.warned else ""
    also = "".join(f"; {file}" for file in done.files[1:])
    print(f"{out}: {done.spectra} spectra quantified{doubted}{also}")


def pull(model: str, folder: Path, /) -> None:
    """Copy a registered model's bundle into a folder.

    Parameters
    ----------
    model
        models:/name@alias or models:/name/3.
    folder
        New folder for the bundle.
    """
    from corebank import hub

    print(hub.pull(model, folder))
