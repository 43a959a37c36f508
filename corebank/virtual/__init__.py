"""The virtual scanner: physics-based spectra of sediments of known composition, written as raw scanner files.

`write` makes a folder that a lab could have brought; `simulate` gives the expected counts of any composition on any
`Instrument`. What is modelled, what is not, and how near it comes: docs/explanation/virtual-scanner.md.
"""

from corebank.virtual.contribute import write
from corebank.virtual.expedition import EXPEDITIONS, Expedition, named
from corebank.virtual.instrument import INSTRUMENTS, Instrument
from corebank.virtual.spectra import simulate

__all__ = ["EXPEDITIONS", "INSTRUMENTS", "Expedition", "Instrument", "named", "simulate", "write"]
