"""Defects that real folders have, planted into virtual ones, with the truth beside them.

Each of `DEFECTS` changes a folder that `corebank.virtual.write` wrote, at a random place, and tells which finding of
`corebank.contribution.findings` it must cause, where, and for which files or cells. Physical defects are made with
photons: a gap is more air in the simulator, another tube is another simulation, a gain jump moves each count.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from corebank.errors import RecipeError
from corebank.virtual import contribute
from corebank.virtual.defects import files, laboratory, machine, places, spectra
from corebank.virtual.defects.folder import Folder
from corebank.virtual.defects.planted import Defect, Planted, deep
from corebank.virtual.expedition import Expedition

__all__ = ["ALL", "DEFECTS", "TRUTH", "Defect", "Planted", "plant_all", "plant_named", "write"]

DEFECTS: dict[str, Defect] = {
    one.name: one
    for module in (files, places, machine, spectra, laboratory)
    for one in vars(module).values()
    if isinstance(one, Defect)
}
"""Name -> defect."""
ALL = "all"
"""In place of names: every defect that fits the folder, finds room in it and does not hide the others."""
TRUTH = "truth/defects.json"
"""Where the truth is written, below the folder."""


def plant_named(
    folder: Path, names: Sequence[str], seed: int = 0, expedition: Expedition | None = None
) -> list[Planted]:
    """Plant defects by name into a folder that `corebank.virtual.write` wrote, and write the truth beside them.

    Parameters
    ----------
    folder
        The folder; it is changed.
    names
        Names of `DEFECTS`, each planted once, or ``all``.
    seed
        Decides places and extents: the same folder, names and seed give the same bytes.
    expedition
        What was written; needed only where its name is none of `corebank.virtual.EXPEDITIONS`.

    Raises
    ------
    RecipeError
        For a name that is unknown, does not fit this folder's scanner, or finds no room. ``all`` leaves those out that
        do not fit or find no room, and says so in the truth.
    """
    if unknown := [name for name in names if name not in DEFECTS and name != ALL]:
        raise RecipeError("defects", f"{', '.join(unknown)} is unknown", f"Use all, or of {', '.join(DEFECTS)}")
    rng = np.random.default_rng((seed, 3))
    if ALL in names:
        return plant_all(folder, rng, expedition)
    opened = Folder(folder, expedition)
    planted = [DEFECTS[name].plant(opened, rng) for name in names]
    _write_truth(opened, planted, {})
    return planted


def plant_all(folder: Path, rng: np.random.Generator, expedition: Expedition | None = None) -> list[Planted]:
    """Plant every defect that finds room into one folder, none over another; the truth names those left out.

    Defects of single files and spectra come first, then those of sections. Those of the whole folder stay out: what
    refuses a folder's words or its table hides what is in it.
    """
    opened = Folder(folder, expedition)
    planted, left_out = [], dict[str, str]()
    order = sorted(DEFECTS.values(), key=lambda one: (one.extent != "spectra", one.needs is not deep))
    for one in order:  # pairs of sections before single ones, which break pairs up
        if not one.fits(opened) or one.extent == "folder":
            hides = one.extent == "folder"
            left_out[one.name] = "would hide the others" if hides else "does not fit this scanner's folders"
            continue
        try:
            planted.append(one.plant(opened, rng))
        except RecipeError as error:
            left_out[one.name] = error.found
    _write_truth(opened, planted, left_out)
    return planted


def write(
    folder: Path,
    expedition: Expedition,
    *,
    defects: Sequence[str],
    rng: np.random.Generator,
    zipped: bool = True,
    truth: bool = False,
) -> list[Planted]:
    """Write a virtual expedition with defects in it; see `corebank.virtual.write` and `plant_named`.

    For ``all`` the expedition gets as many cores as the defects need, each of those of sections a section of its own.
    """
    if ALL in defects:
        sections = sum(2 if one.needs is deep else 1 for one in DEFECTS.values() if one.extent == "section") + 4
        expedition = replace(expedition, cores=max(expedition.cores, -(-sections // expedition.sections_per_core)))
    contribute.write(folder, expedition, zipped=zipped, truth=truth)
    return plant_named(folder, defects, int(rng.integers(2**31)), expedition)


def _write_truth(folder: Folder, planted: Iterable[Planted], left_out: dict[str, str]) -> None:
    text = json.dumps({"planted": [asdict(one) for one in planted], "left_out": left_out}, indent=2)
    folder.write({TRUTH: f"{text}\n".encode()})
