"""What a defect is, and what is known of one that was planted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from corebank.errors import RecipeError
from corebank.virtual.defects.folder import Folder
from corebank.virtual.expedition import Expedition

Extent = Literal["spectra", "section", "folder"]


class Truth(NamedTuple):
    """Where a defect was put, as the function that put it tells."""

    where: str
    """Run, folder, file or cell, named from the contributed folder."""
    what: str
    """What was done, in words and values."""
    items: tuple[str, ...] = ()
    """Every file or cell that must be named; empty where the defect is of a whole section or folder."""
    also: tuple[str, ...] = ()
    """Other names of the same place: the section's folder for its run, the table for its cell."""
    partners: tuple[str, ...] = ()
    """What may be named beside `items`: the spectrum that a copy was made of."""


@dataclass(frozen=True, slots=True)
class Planted:
    """The truth of one planted defect."""

    defect: str
    kind: str
    """The finding it must cause, a key of `corebank.contribution.findings.KINDS`; "" where it must cause none."""
    where: str
    what: str
    items: tuple[str, ...]
    also: tuple[str, ...]
    partners: tuple[str, ...]
    companions: Mapping[str, str]
    """Other kinds that the same defect may cause, each with the reason."""


@dataclass(frozen=True, slots=True)
class Defect:
    """One way in which folders go wrong."""

    name: str
    kind: str
    about: str
    make: Callable[[Folder, np.random.Generator], Truth]
    extent: Extent = "spectra"
    """What it changes: some spectra, files or cells; a whole section; or what is said of the whole folder."""
    scanners: tuple[str, ...] = ("itrax", "avaatech")
    companions: Mapping[str, str] = field(default_factory=dict)
    needs: Callable[[Folder], bool] = lambda folder: True
    """Whether a folder has what the defect is made of: archives, or two sections in a core."""

    def fits(self, folder: Folder) -> bool:
        """True when the defect can be planted into `folder`."""
        return folder.kind in self.scanners and self.needs(folder)

    def plant(self, folder: Path | Folder, rng: np.random.Generator, expedition: Expedition | None = None) -> Planted:
        """Change `folder` at a random place and tell the truth of it.

        Parameters
        ----------
        folder
            A folder that `corebank.virtual.write` wrote, or that folder opened, when several defects share it.
        rng
            Decides the place and the extent; the same state gives the same bytes.
        expedition
            What was written; needed only where its name is none of `corebank.virtual.EXPEDITIONS`.

        Raises
        ------
        RecipeError
            Where the defect does not fit this folder, or no room is left for it.
        """
        at = folder if isinstance(folder, Folder) else Folder(folder, expedition)
        if not self.fits(at):
            raise RecipeError(f"defect {self.name}", f"cannot be planted into {at.root}", "Choose another scanner's")
        truth = self.make(at, rng)
        return Planted(
            self.name, self.kind, truth.where, truth.what, truth.items, truth.also, truth.partners, self.companions
        )


def defect(
    kind: str,
    about: str,
    extent: Extent = "spectra",
    *,
    scanners: tuple[str, ...] = ("itrax", "avaatech"),
    companions: Mapping[str, str] | None = None,
    needs: Callable[[Folder], bool] = lambda folder: True,
) -> Callable[[Callable[[Folder, np.random.Generator], Truth]], Defect]:
    """Make a `Defect`, named after the function, of the function that plants it."""

    def made(make: Callable[[Folder, np.random.Generator], Truth]) -> Defect:
        name = make.__name__.strip("_").replace("_", "-")
        return Defect(name, kind, about, make, extent, scanners, companions or {}, needs)

    return made


def packed(folder: Folder) -> bool:
    """True for a folder whose spectra lie in archives."""
    return any("!" in name for name in folder.spectra(folder.parts[0]))


def deep(folder: Folder) -> bool:
    """True for a folder with two sections in one core."""
    return any(part.top > 0 for part in folder.parts)
