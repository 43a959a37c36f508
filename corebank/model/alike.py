"""Spectra of a batch that are worked on together: those with about the same number of measured patches.

A sequence is as long as a spectrum has measured patches. In one tensor the short ones would be padded to the longest:
every matrix would work on padding, and the attention would need a mask. So a batch of several machines is cut.
"""

from __future__ import annotations

import torch
from torch import Tensor

WORTH_A_CUT = 256
"""[padded patch] An estimate of what a further pass through the kernels costs at the preset ``tiny``; what cutting
gives is told by ``python -m tests.bench.model``."""


def cut(count_B: Tensor) -> list[Tensor]:
    """Rows (int64, on the CPU) of each part of a batch, given each spectrum's number of measured patches.

    The longest come first; a part is closed before its padding reaches `WORTH_A_CUT` patches. Every row is in one part,
    those of a part ascend, and an empty batch is one empty part.
    """
    order = count_B.cpu().argsort(stable=True, descending=True)
    cuts, longest, padding = [0], None, 0
    for place, count in enumerate(count_B.cpu()[order].tolist()):
        longest = count if longest is None else longest
        padding += longest - count
        if padding >= WORTH_A_CUT:
            cuts.append(place)
            longest, padding = count, 0
    sizes = [stop - start for start, stop in zip(cuts, [*cuts[1:], len(order)], strict=True)]
    return [part.sort().values for part in torch.split(order, sizes)]
