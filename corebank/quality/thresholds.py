"""Every threshold of the quality flags: the statistic it is laid on, its value, and where the value comes from.

"Real spectra" are the 3,418 raw Itrax spectra of CD166/19 (2020), Ardley Lake and Lago Pato (2008) on which the values
were set; "virtual" are those of `corebank.virtual`, which have no defect and must stay without a flag.
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
        "dead_time", 0.5, "up to here the scanners' own correction is trusted; real spectra have up to 0.2"
    ),
}
"""Flag -> what it rests on; the flag is set where the statistic lies beyond the value."""
