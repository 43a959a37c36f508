"""What a bank holds, as facts that two versions of corebank can be compared by: words as they are, arrays as digests.

Only the surface that every version has is used, so the code that freezes a bank and the code that opens it years later
both run this file.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from corebank import bank as banks


def of_bank(path: Path, ats: list[str]) -> dict[str, Any]:
    """The log of the bank at `path`, and all that it holds at each of the snapshots or releases `ats`."""
    log = [
        {"snapshot": one.snapshot, "message": one.message, "about": _plain(one.about)}
        for one in banks.open_bank(path).log()
    ]
    return {"log": log, "at": {at: of_snapshot(banks.open_bank(path, at)) for at in ats}}


def of_snapshot(bank: Any) -> dict[str, Any]:
    """Everything that can be read of a bank at one snapshot."""
    return {
        "site": bank.site,
        "grid": _plain(json.loads(bank.grid.to_json())),
        "expeditions": {name: _of_expedition(bank, name) for name in bank.expeditions()},
    }


def _of_expedition(bank: Any, name: str) -> dict[str, Any]:
    about = _plain(bank.attributes(name))
    return {
        "attributes": about,
        "measurements": _of_table(bank.measurements(name)) if about["measurements"] else None,
        "runs": {
            run: {
                **of_run(bank.run(name, run, "intensity"), bank.run(name, run, "counts")),
                "evaluations": {
                    file: {"table": _of_table(table), "calibrates": bool(table.attrs["calibrates"])}
                    for file, table in bank.evaluations(name, run).items()
                },
            }
            for run in bank.runs(name)
        },
    }


def of_run(*levels: xr.Dataset) -> dict[str, Any]:
    """Attributes of a run, and of each of its arrays, whichever level holds it: dtype, unit, meaning and digest."""
    arrays = {}
    for name, array in ((str(name), array) for level in levels for name, array in level.variables.items()):
        kind = {"O": "str", "U": "str", "T": "str", "M": "time"}.get(array.dtype.kind, array.dtype.str)
        size = " ".join(f"{dim}:{length}" for dim, length in zip(array.dims, array.shape, strict=True))
        unit, meaning = (str(array.attrs.get(key, "")) for key in ("units", "long_name"))
        arrays[name] = [size, kind, unit, meaning, digest(array.values)]
    return {"attributes": _plain(levels[0].attrs), "arrays": arrays}


def digest(values: np.ndarray) -> str:
    """The first 20 digits of the SHA-256 of an array: its bytes, little-endian and in C order, or its texts.

    Each text ends in a zero byte; NaN is one value, whatever its bits are; times count as whole seconds.
    """
    if values.dtype.kind in "OUT":
        content = b"".join(str(value).encode() + b"\0" for value in values.ravel())
    else:
        if values.dtype.kind == "M":
            values = values.astype("datetime64[s]").astype(np.int64)
        if values.dtype.kind == "f":
            values = np.where(np.isnan(values), np.asarray(np.nan, values.dtype), values)
        content = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    return hashlib.sha256(content).hexdigest()[:20]


def _of_table(table: Any) -> dict[str, str]:
    """Column -> digest; every cell counts."""
    return {str(name): digest(np.asarray(table[name].to_numpy())) for name in table}


def _plain(value: Any) -> Any:
    """`value` as JSON gives it back; NaN, which equals nothing, as a word."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return "NaN" if isinstance(value, float) and np.isnan(value) else value
