"""How far a predicted value may be off, and how far a spectrum is from everything a model has seen.

Two things travel in a quantifier's bundle, both calibrated on cores that the model was not trained on: the half width
of its intervals (`half_width`) and an `Outlier` detector. Neighbouring spectra of a core are not independent, so the
unit that is exchangeable, and that is counted, is the core. Measured: docs/explanation/trust.md.
"""

from corebank.uncertainty.intervals import COVERAGE, half_width
from corebank.uncertainty.outliers import (
    KNOWN_FLAGGED,
    PARTS,
    Outlier,
    Points,
    cross_fit_outlier,
    fit_outlier,
)

__all__ = [
    "COVERAGE",
    "KNOWN_FLAGGED",
    "PARTS",
    "Outlier",
    "Points",
    "cross_fit_outlier",
    "fit_outlier",
    "half_width",
]
