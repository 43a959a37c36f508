"""A learnt mapping with its record: applied to spectra, kept as one JSON file that is refused when a byte changed."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping as Names
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from corebank import __version__, schema
from corebank.errors import TransferError
from corebank.schema import EnergyGrid
from corebank.transfer.judging import Differences, Verdict
from corebank.transfer.machine import Machine, machine_of
from corebank.transfer.mapping import Floats, Mapping
from corebank.transfer.pairing import Alignment

FORMAT = 1
"""Goes up when a reader of the older layout would misread the newer one."""

COLUMN = "transferred_from"
"""Column of mapped spectra: the machine that really measured them."""

UNITS = {"section": "sections", "stretch": "stretches of depth"}

BLOCK = 512
"""Spectra that are mapped at once where they are not in dask's blocks."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Transfer:
    """A mapping from one machine's spectra to another's, and all that is known of it."""

    first: Machine
    """The machine that spectra are mapped to."""

    second: Machine
    """The machine that it was learnt for; spectra of any other are refused."""

    grid: EnergyGrid
    mapping: Mapping
    alignments: Names[str, Alignment]
    """Section that was scanned twice to how the scans were laid on each other."""

    verdict: Verdict
    """How near mapped spectra come, on parts that a mapping of the same kind was not learnt from."""

    sources: Names[str, Names[str, str]]
    """``first`` and ``second`` to what is known of the spectra: bank, snapshot, SHA-256 over their sources' hashes."""

    code_version: str = __version__

    @property
    def name(self) -> str:
        """Twelve hexadecimal digits that change with anything in the mapping or its record."""
        return str(_document(self)["sha256"])[:12]

    def apply(self, spectra: xr.Dataset) -> xr.Dataset:
        """Spectra of the second machine as the first would have seen them.

        Returns
        -------
        Dataset
            As `spectra`, lazy where they were, with other ``intensity`` [count/s]: never below nothing, NaN in bins
            that the mapping does not reach. Scanner, head, anode, filter, tube voltage and current are the first
            machine's, since that is what the numbers now look like; the column ``transferred_from`` names the machine
            that measured them, and the attribute of that name holds the mapping, the machine and the held-out error as
            JSON. Energy calibration, live time, sources and everything else stay as measured.

        Raises `TransferError` for another energy axis, another unit, or spectra that are not all of the second machine.
        """
        refuse_axis(spectra, self.grid, "spectra")
        machine = machine_of(spectra, "spectra")
        if different := machine.differences(self.second):
            raise TransferError(
                "spectra",
                f"not of the machine this mapping was learnt for: {', '.join(different)}",
                f"Give spectra of {self.second}, or learn a mapping for {machine}",
            )
        rates, rows = spectra["intensity"].transpose("spectrum", "energy").data, spectra.sizes["spectrum"]
        if isinstance(rates, da.Array):
            mapped = rates.rechunk({1: -1}).map_blocks(self._rates, dtype=np.float32, meta=np.empty((0, 0), np.float32))
        else:
            blocks = [self._rates(rates[at : at + BLOCK]) for at in range(0, rows, BLOCK)]
            mapped = np.concatenate(blocks or [np.empty(rates.shape, np.float32)])
        said = {name: value if isinstance(value, str) else float(value) for name, value in asdict(self.first).items()}
        columns = {
            name: ("spectrum", np.full(rows, value, dtype=object if isinstance(value, str) else np.float64))
            for name, value in {**said, COLUMN: str(self.second)}.items()
        }
        record = {
            "mapping": self.name,
            "machine": _plain(asdict(self.second)),
            "held_out": self.verdict.all._asdict(),
        }
        settings = {name: value for name, value in said.items() if name in spectra.attrs}
        return spectra.assign(
            {"intensity": (schema.INTENSITY.dims, mapped, spectra["intensity"].attrs), **columns}
        ).assign_attrs({**settings, COLUMN: json.dumps(record)})

    def _rates(self, block: Floats) -> np.ndarray:
        """One block (n, E) [count/s], mapped."""
        return self.mapping(np.asarray(block, dtype=np.float64)).astype(np.float32)

    def report(self) -> str:
        """What a person wants to know, in lines."""
        found, form = self.verdict, self.mapping.form
        lines = [
            f"from  {self.second}",
            f"to    {self.first}",
            *(
                f"section {name}: {one.pairs} pairs, second scan shifted by {one.shift:+g} mm, "
                f"correlation {one.together:.2f} (by chance up to {one.by_chance:.2f})"
                for name, one in self.alignments.items()
            ),
            f"form: {form}" + (f", ridge {self.mapping.ridge:g}" if form == "piecewise" else ""),
            f"typical difference of a band of {found.bands}, on held-out {UNITS[found.unit]}:",
            table(found),
        ]
        return "\n".join(lines)


def table(verdict: Verdict) -> str:
    """The held-out differences in per cent, a line for each way."""
    rows = zip(("unmapped", "one factor", "mapped", "(counting noise)"), verdict.all[:4], strict=True)
    return "\n".join(f"  {name.ljust(17)} {100 * math.expm1(value):6.1f} %" for name, value in rows)


def refuse_axis(spectra: xr.Dataset, grid: EnergyGrid, where: str) -> None:
    """Raise `TransferError` unless `spectra` are rates [count/s] on `grid`."""
    if "intensity" not in spectra or spectra["intensity"].attrs.get("units") != schema.INTENSITY.units:
        raise TransferError(where, f"no intensity in {schema.INTENSITY.units}", "Open them at level intensity")
    energy, centres = spectra["energy"].values, grid.centres
    if energy.shape != centres.shape or not np.allclose(energy, centres, rtol=0, atol=grid.step / 100):
        raise TransferError(
            where,
            f"{len(energy)} energy bins from {energy[0]:g} to {energy[-1]:g} keV against {grid}",
            "Read the scanner's own files, or bring both to one grid with corebank.calibrate",
        )


def grid_of(spectra: xr.Dataset) -> EnergyGrid:
    """The energy grid that `spectra` are on."""
    energy = spectra["energy"].values
    step = float(energy[-1] - energy[0]) / max(len(energy) - 1, 1)
    return EnergyGrid(start=round(float(energy[0]), 9), step=round(step, 9), bins=len(energy))


def save(transfer: Transfer, path: Path) -> Path:
    """Write `transfer` as JSON and return the path; raises `TransferError` where a file is there already."""
    if path.exists():
        raise TransferError(path, "there already", "Remove it or name another")
    path.write_text(json.dumps(_document(transfer), ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def load(path: Path) -> Transfer:
    """The transfer that `save` wrote; raises `TransferError` for anything else, or when a byte was changed."""
    if not path.is_file():
        raise TransferError(path, "there is no such file", "Name a file that corebank transfer learn wrote")
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        newer, intact = document["format"] > FORMAT, document["sha256"] == _digest(document)
    except (ValueError, KeyError, TypeError):
        newer, intact = False, False
    if newer:
        raise TransferError(path, f"format {document['format']}, this corebank reads {FORMAT}", "Upgrade corebank")
    if not intact:
        raise TransferError(path, "no transfer, or changed since it was written", "Learn it again")
    grid = EnergyGrid(**document["grid"])
    stored = document["mapping"]
    mapped = np.zeros(grid.bins, dtype=bool)
    mapped[stored["bins"]] = True
    rows = np.array(stored["weights"], dtype=np.float64)
    weights = np.zeros((grid.bins, rows.shape[1]))
    weights[mapped] = rows
    verdict = document["verdict"]
    return Transfer(
        first=_machine(document["first"]),
        second=_machine(document["second"]),
        grid=grid,
        mapping=Mapping(form=stored["form"], ridge=_number(stored["ridge"]), mapped=mapped, weights=weights),
        alignments={name: Alignment(**one) for name, one in document["alignments"].items()},
        verdict=Verdict(
            all=Differences(*verdict["all"]),
            by_part={name: Differences(*one) for name, one in verdict["by_part"].items()},
            unit=verdict["unit"],
            bands=verdict["bands"],
        ),
        sources=document["sources"],
        code_version=document["code_version"],
    )


def _document(transfer: Transfer) -> dict[str, Any]:
    mapping = transfer.mapping
    document = {
        "format": FORMAT,
        "first": asdict(transfer.first),
        "second": asdict(transfer.second),
        "grid": asdict(transfer.grid),
        "mapping": {
            "form": mapping.form,
            "ridge": mapping.ridge,
            "bins": np.flatnonzero(mapping.mapped).tolist(),
            "weights": mapping.weights[mapping.mapped].tolist(),
        },
        "alignments": {name: asdict(one) for name, one in transfer.alignments.items()},
        "verdict": asdict(transfer.verdict),
        "sources": transfer.sources,
        "code_version": transfer.code_version,
    }
    plain: dict[str, Any] = _plain(document)
    return plain | {"sha256": _digest(plain)}


def _digest(document: dict[str, Any]) -> str:
    kept = {name: value for name, value in document.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """`value` as JSON holds it: None for what is not finite, lists for tuples."""
    if isinstance(value, Names):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _machine(fields: dict[str, Any]) -> Machine:
    known: dict[str, Any] = {name: math.nan if value is None else value for name, value in fields.items()}
    return Machine(**known)
