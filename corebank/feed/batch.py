"""What a model gets at a step: normalised spectra, and the machine behind each of them in numbers."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
import xraylib
from numpy.typing import NDArray

from corebank.errors import FeedError
from corebank.model import CODES, SETTINGS


class Batch(NamedTuple):
    """Normalised spectra with what a model wants to know about them: B spectra, E energy bins, S machine settings."""

    values_BE: torch.Tensor  # noqa: N815  (tensors carry their shape)
    """(B, E) float32, 0 where not measured."""

    measured_BE: torch.Tensor  # noqa: N815
    """(B, E) bool."""

    settings_BS: torch.Tensor  # noqa: N815
    """(B, S) float32, see `corebank.feed.settings`."""

    row_B: torch.Tensor  # noqa: N815
    """(B,) int64, positions along ``spectrum`` of the selection; always on the CPU."""

    mean_B1: torch.Tensor  # noqa: N815
    """(B, 1) float32, what the normalization took away from the transformed rate [count/s]."""

    scale_B1: torch.Tensor  # noqa: N815
    """(B, 1) float32, what it then divided by (`corebank.normalize.Statistics`)."""


def settings(spectra: xr.Dataset) -> NDArray[np.float32]:
    """Machine settings of each spectrum, (spectrum, 6) in the order of `corebank.model.SETTINGS`; NaN = unknown.

    Anodes become atomic numbers; names of filters and heads become a hash (CRC-32 of the text in lower case, modulo
    64), which is the same on every machine and needs no list to travel with the model. A variable that the dataset
    lacks is unknown. Raises `FeedError` for an anode that is no element.
    """
    columns = np.full((spectra.sizes["spectrum"], len(SETTINGS)), np.nan, dtype=np.float32)
    for column, name in enumerate(SETTINGS):
        if name not in spectra:
            continue
        if name in ("anode", "filter", "head"):
            texts, inverse = np.unique(spectra[name].values.astype(str), return_inverse=True)
            codes = [_atomic_number(text) if name == "anode" else _code(text) for text in texts.tolist()]
            columns[:, column] = np.array(codes, dtype=np.float32)[inverse]
        else:
            columns[:, column] = spectra[name].values
    return columns


def _atomic_number(symbol: str) -> float:
    if not symbol:
        return np.nan
    try:
        return float(xraylib.SymbolToAtomicNumber(symbol))
    except ValueError as error:
        raise FeedError("feed", f"anode {symbol!r} is no element", "Correct the anode in the contribution") from error


def _code(text: str) -> float:
    return float(zlib.crc32(text.lower().encode()) % CODES) if text else np.nan
