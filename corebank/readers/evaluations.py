"""Several evaluations of the same spectra, side by side: all kept, one chosen to calibrate, and said which.

An evaluation is somebody's fit of the spectra: an energy calibration and a validity for each, and peak areas. Real
folders hold the one made during the scan (``result.txt``), later ones (``Results.txt``, ``2013/Results.txt``) and some
that were broken off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from corebank.errors import ReadError

ABORTED = 0.5
"""An evaluation that calibrates a smaller share of the spectra was broken off: ARD1B's of 2013 has 16 of 326."""


NEARLY_ALL = 0.9
"""Share of the spectra from which on an evaluation counts as whole: re-evaluations leave out a few at the ends."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """One evaluation of a run's spectra."""

    name: str
    """File, relative to the folder of the scan: ``2013/Results.txt``."""
    sha256: str
    table: pd.DataFrame
    """One row per spectrum, indexed by file stem; every column of the file as float64."""
    calibrates: bool = False
    """True for the one whose gains the run has."""

    def calibrated(self, stems: Sequence[str]) -> np.ndarray:
        """Which of the spectra it gives a gain and an offset, (spectrum,) bool; none where the table has no gains."""
        if not {"gain", "offset"} <= set(self.table):
            return np.zeros(len(stems), dtype=bool)
        pairs = self.table.reindex(list(stems))[["gain", "offset"]].to_numpy(np.float64)
        return np.asarray(np.isfinite(pairs).all(axis=1) & (pairs[:, 0] > 0))  # rows not fitted yet stand at 0


def choose(evaluations: Sequence[Evaluation], stems: Sequence[str], wanted: str, where: str) -> Evaluation | None:
    """The evaluation that calibrates these spectra, or None when there is none that could.

    `wanted` names it; otherwise one that calibrates nearly all spectra wins, then one beside the spectra over one in a
    folder below, then ``Results`` over ``result`` (the re-evaluation over the first one, as the scanner's program names
    them), then the one that calibrates more, then the shorter name. Raises `ReadError` when there is none of the wanted
    name.
    """
    if wanted:
        named = [one for one in evaluations if one.name == wanted]
        if not named:
            known = ", ".join(one.name for one in evaluations) or "none"
            raise ReadError(where, f"there is no evaluation {wanted!r} beside the spectra", f"There are: {known}")
        return named[0]
    filled = [one for one in evaluations if one.calibrated(stems).any()]
    return max(filled, key=lambda one: _rank(one, stems)) if filled else None


def aborted(evaluation: Evaluation, stems: Sequence[str]) -> bool:
    """True when the evaluation was broken off: it has rows for some of these spectra and values for few."""
    share = evaluation.calibrated(stems).mean() if stems else 0.0
    return bool("gain" in evaluation.table and share < ABORTED)


def _rank(evaluation: Evaluation, stems: Sequence[str]) -> tuple[bool, int, bool, float, int]:
    path, share = PurePosixPath(evaluation.name), float(evaluation.calibrated(stems).mean())
    return share >= NEARLY_ALL, -len(path.parts), path.stem.startswith("Results"), share, -len(path.stem)
