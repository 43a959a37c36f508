"""The published way to feed a model, to time ours against: one CSV file a spectrum, read anew each time it is wanted.

MAX (Lee et al. 2024, arXiv 2410.12330, github.com/dispink/xpt) keeps a spectrum as 2,048 lines of text, reads it with
``numpy.loadtxt`` in ``__getitem__`` of a map-style dataset, in float64, and lets torch's DataLoader shuffle and batch
them. Targets, which lie in files of their own there, are left out: pretraining needs none.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset


class Spectra(Dataset[torch.Tensor]):
    """Standardised spectra of a folder of CSV files, in the order of their names."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*.csv"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> torch.Tensor:
        """(2048,) float64."""
        counts = np.loadtxt(self.paths[row])
        return torch.from_numpy((counts - counts.mean()) / max(counts.std(), 1e-6))


def loader(folder: Path, *, batch_size: int, workers: int) -> DataLoader[torch.Tensor]:
    """Batches (batch_size, 2048) in a random order, another each epoch.

    With `workers` these are processes that read ahead. They are started once and kept, which is kinder than the
    published program, whose every epoch starts them; and not forked, since a bank's threads run in this process.
    """
    return DataLoader(
        Spectra(folder),
        batch_size=batch_size,
        shuffle=True,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        persistent_workers=workers > 0,
        generator=torch.Generator().manual_seed(0),
    )
