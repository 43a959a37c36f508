"""Commands of who uses a model: quantify a core, copy a model."""

from __future__ import annotations

from pathlib import Path


def predict(model: str, source: str, /, *, out: Path, plot: Path | None = None, proxy: str | None = None) -> None:
    """Quantify a core with a registered model.

    Parameters
    ----------
    model
        models:/name@alias, models:/name/3, or a bundle folder.
    source
        A folder of scanner files, BANK::expedition[/run], or a table of spectra.
    out
        Where the values go: .csv, .parquet, .nc or .zarr.
    plot
        Where a depth profile goes, as PNG, PDF or SVG.
    proxy
        Which proxy to draw, where the model gives several.
    """
    from corebank import predict as predicting

    table = predicting.run(model, source, out, plot=plot, proxy=proxy)
    warned = int((table["warning"] != "").sum())
    print(
        f"{out}: {len(table)} spectra quantified{f', {warned} of them with a warning' if warned else ''}"
        + (f"; {plot}" if plot else "")
    )


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
