"""What predicted values rest on, element by element, as a table, as NetCDF or as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from corebank import bundle
from corebank.predict.refusing import PICTURES, refuse_ending

ENDINGS = (".csv", ".nc", *PICTURES)
"""Endings of what can be written."""


def write(model: bundle.Bundle, spectra: xr.Dataset, out: Path, proxies: Sequence[str]) -> tuple[Path, ...]:
    """Explain the values of `proxies`, see `corebank.explain.explain`, and return the files that were written.

    ``.csv`` and ``.nc`` hold all of the proxies; a picture is of one, so that each of several proxies gets a file of
    its own, ``out`` with ``-PROXY`` before its ending.
    """
    from corebank import explain

    refuse_ending(out, ENDINGS)
    explanation = explain.explain(model, spectra).sel(proxy=list(proxies))
    if out.suffix not in PICTURES:
        explain.write(explanation, out)
        return (out,)
    files = [out] if len(proxies) == 1 else [out.with_name(f"{out.stem}-{proxy}{out.suffix}") for proxy in proxies]
    for proxy, file in zip(proxies, files, strict=True):
        explain.draw(explanation, proxy).savefig(file, dpi=200)
    return tuple(files)
