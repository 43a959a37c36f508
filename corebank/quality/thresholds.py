"""Every threshold of the quality flags: the statistic it is laid on, its value, and where the value comes from.

"Real spectra" are the 3,418 raw Itrax spectra of CD166/19 (2020), Ardley Lake and Lago Pato (2008) on which the values
were set; "virtual" are those of `corebank.virtual`, which have no defect and must stay without a flag, and those in
which one was planted.
"""

from __future__ import annotations

from typing import NamedTuple

from corebank.schema import Flag


class Threshold(NamedTuple):
    """One threshold: the column of `corebank.quality.assess`'s table, the value beyond which it flags, the reason."""

    statistic: str
    value: float
    source: str


THRESHOLDS: dict[Flag, Threshold] = {
    Flag.EMPTY: Threshold("total", 0, "no counts are no spectrum"),
    Flag.LOW_COUNTS: Threshold(
        "total", 1_000, "real spectra hold 10,771 to 815,917 counts; below 1,000 no line but the strongest is sure"
    ),
    Flag.HIGH_DEAD_TIME: Threshold(
        "dead_time",
        0.8,
        "public Avaatech archives have 10 s of live time in 14 to 46 s, up to 0.78; real Itrax spectra 0.2; and "
        "where less than half of the run's usual share of the clock time is live",
    ),
    Flag.SATURATED: Threshold(
        "at_peak", 2, "channels as full as the fullest, above 4,095 counts; real and virtual spectra have 1 or 2"
    ),
    Flag.AIR_GAP: Threshold(
        "argon",
        8,
        "counts/s of argon above the run's median, in robust standard deviations; real spectra reach 3.4, "
        "virtual ones 4.4, with 10 mm more air 16 to 119",
    ),
    Flag.GAIN_JUMP: Threshold(
        "stretch", 0.006, "share by which the gain differs, where that fits 16 % better; real spectra reach 0.004"
    ),
    Flag.LINE_SHIFT: Threshold(
        "shift_eV", 40, "distance from the run's lines, where that fits 16 % better; a fifth of a detector's resolution"
    ),
    Flag.DUPLICATE: Threshold("copy_of", -1, "row of the first spectrum with the same counts in every channel"),
    Flag.NEAR_DUPLICATE: Threshold(
        "twin_distance",
        10,
        "least sum over 48 bands of squared differences of 2 sqrt(counts): about 96 by counting noise alone, "
        "46 or more between real or virtual spectra, below 1 for a copy of which one count in a thousand was taken",
    ),
    Flag.OUTLIER: Threshold(
        "unlike",
        0.6,
        "root mean square of the logarithms of band shares against the nearer of the two sides; 0.03 at the median of "
        "real spectra, 0.35 at most in virtual ones, 1.6 to 3.6 for a nodule or a wire",
    ),
    Flag.WRONG_ANODE: Threshold(
        "other_tube",
        1,
        "counts in the K line of another anode, by the least that a tube of it gives (`statistics.TUBE_SHARES`), where "
        "the declared one's line is below its own least; 0 in real and virtual spectra, 2 to 12 under another tube",
    ),
}
"""Flag -> what it rests on; the flag is set where the statistic lies beyond the value."""

ENOUGH = 5_000
"""Counts below which lines are not compared: their noise moves and mimics them."""

FITS_BETTER = 0.16
"""Share by which a run's lines must fit better at another gain or shift: 0.15 at most in real spectra that are neither
outliers nor faint, 0.24 to 60 where the gain or the zero was moved."""

FITS_FAR_BETTER = 0.6
"""The same for an outlier, whose lines are those of other matter: 0.44 at most for a nodule or a wire."""

SUSPECT = 0.25
"""How unlike its neighbours a spectrum must be for other axes to be tried on it; few real ones are."""

REALIGNED = (0.35, 0.5)
"""How unlike its neighbours a spectrum may still be on another axis, and as a share of what it was, for the axis to be
what moved: 0.01 to 0.3 and below 0.5 where it did; 1.1 and more for nodules, wires, shells and foil, 0.56 and more, or
the same on any axis, for the outliers among the real spectra."""

COUNTER = 4_095
"""Lowest end of a counter [count]: 12 bits; equal counts in the fullest channels below it are chance."""
