"""Spectra of a selection as shuffled batches for a model, streamed block by block.

A selection may be far larger than memory, and single rows of a bank are slow to read, so whole dask blocks are computed
in a random order and their rows pass through a shuffle buffer. The order depends on the seed, the epoch, the sizes of
the blocks and how often each spectrum is wanted only: it is worked out on row numbers before anything is read
(`corebank.feed.order`), which makes it exact to resume and to share among ranks. How it is done and what it costs:
docs/explanation/feed.md.
"""

from corebank.feed.batch import Batch, settings
from corebank.feed.order import BUFFER
from corebank.feed.slots import MEMORY
from corebank.feed.streaming import Feed

__all__ = ["BUFFER", "MEMORY", "Batch", "Feed", "settings"]
