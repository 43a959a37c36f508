"""What a bundle was not made for: another kind of model, schema, unit, energy axis, or rates that no detector counts.

What can be told from the names and axes is refused before anything is read (`refuse`); rates are looked at block by
block as they are read (`refuse_rates`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from corebank import bundle, schema
from corebank.errors import PredictError
from corebank.schema import EnergyGrid

PICTURES = (".png", ".pdf", ".svg")
"""Endings of pictures."""

BELOW_NOTHING = -1e-6
"""[count/s] Rates down to here are rounding: rebinned counts are differences of running sums of up to 1e6 counts, which
float64 holds to 1e-10."""

WHOLE = 1e-6
"""Rates this close to whole numbers, all of them, are counts; dividing by a live time leaves none of a spectrum so."""

FEW = 8
"""Spectra of each block that are looked at for that."""


def refuse(model: bundle.Bundle, spectra: xr.Dataset) -> None:
    """Raise `PredictError` unless `model` can quantify `spectra`, as far as names, units and axes tell; reads no rate.

    The energy axis must be the model's own within a hundredth of a bin: bins that are missing, doubled, in another
    order or in another unit are as much another axis as other bins are.
    """
    if model.kind != "quantifier":
        raise PredictError(
            model.name,
            "a foundation model, which gives no values",
            "Fine-tune it with python -m training.finetune, or choose a quantifier",
        )
    if "intensity" not in spectra:
        raise PredictError(
            model.name,
            f"the spectra hold {', '.join(map(str, spectra)) or 'nothing'}, no intensity",
            "Open them at level intensity",
        )
    intensity = spectra["intensity"]
    if set(intensity.dims) != set(schema.INTENSITY.dims):
        raise PredictError(
            model.name,
            f"the intensity is over {', '.join(map(str, intensity.dims))}",
            "Give it over spectrum and energy",
        )
    if intensity.dtype.kind not in "fiu":
        raise PredictError(model.name, f"the intensity holds {intensity.dtype}, no numbers", "Give it as float32")
    if not spectra.sizes["spectrum"]:
        raise PredictError(model.name, "there are no spectra", "Check the folder or the selection")
    unit, wanted = intensity.attrs.get("units"), schema.INTENSITY.units
    if unit != wanted:
        raise PredictError(
            model.name,
            f"the intensity is in {unit or 'no unit'}, the model reads {wanted}",
            "Divide counts by the live time and set the attribute units",
        )
    _refuse_axis(model, spectra)


def refuse_proxies(model: bundle.Bundle, proxies: Sequence[str]) -> tuple[str, ...]:
    """The proxies that are asked for, all of the model's if none is; raises `PredictError` for one it does not give."""
    known = tuple(proxy.name for proxy in model.proxies)
    if missing := [name for name in proxies if name not in known]:
        raise PredictError(model.name, f"gives no {', '.join(missing)}", f"Choose among {', '.join(known)}")
    return tuple(proxies) or known


def refuse_ending(out: Path, endings: Sequence[str]) -> None:
    """Raise `PredictError` for a file of another ending, or in a folder that is not there: best said early."""
    if out.suffix not in endings:
        raise PredictError(
            out,
            f"cannot write {out.suffix or 'a file without an ending'}",
            f"End its name in {', '.join(endings[:-1])} or {endings[-1]}",
        )
    if not out.absolute().parent.is_dir():
        raise PredictError(out, "its folder is not there", "Make the folder first")


def _refuse_axis(model: bundle.Bundle, spectra: xr.Dataset) -> None:
    if "energy" not in spectra.coords:
        raise PredictError(
            model.name, "the spectra have no coordinate energy", f"Give the bin centres: {axis(model.grid.centres)}"
        )
    energy, unit = spectra["energy"].values, spectra["energy"].attrs.get("units", "keV")
    if unit != "keV":
        raise PredictError(model.name, f"the energies are in {unit}, the model reads keV", "Convert them")
    if _same(energy, model.grid):
        return
    if _same(energy / 1000, model.grid):
        raise PredictError(
            model.name,
            f"the energies reach {energy.max():g} keV; in eV they are the model's own",
            "Divide them by 1000: energies are in keV",
        )
    raise PredictError(
        model.name,
        f"the spectra are on {axis(energy)}, the model reads {axis(model.grid.centres)}",
        "Read the scanner's own files, or bring them to the model's grid with corebank.calibrate",
    )


def _same(energy: NDArray[Any], grid: EnergyGrid) -> bool:
    """Whether bins centred at `energy` [keV] are those of `grid`, within a hundredth of a bin."""
    return energy.shape == (grid.bins,) and np.allclose(energy, grid.centres, rtol=0, atol=grid.step / 100)


def axis(energy: NDArray[Any]) -> str:
    """An energy axis [keV] in words."""
    if len(energy) < 2:
        return f"{len(energy)} bins"
    steps = np.diff(energy)
    even = np.allclose(steps, steps.mean(), rtol=0, atol=0.01 * abs(steps.mean()))
    width = f"{1000 * steps.mean():.6g} eV" if even else f"{1000 * steps.min():.6g} to {1000 * steps.max():.6g} eV"
    return f"{len(energy)} bins of {width} from {energy[0]:.6g} keV"


def refuse_rates(model: bundle.Bundle, rates: NDArray[Any], columns: xr.Dataset, first: int) -> None:
    """Raise `PredictError` for rates that are no count rates: infinite, negative, or counts in disguise.

    Parameters
    ----------
    model
        For the message.
    rates
        (spectrum, energy) [count/s], NaN where not measured.
    columns
        Of the same spectra; ``live_time`` [s] where it is known.
    first
        Number of the first of these spectra in the whole.

    NaN is fine: it says that nothing was measured. Where a live time is given, a rate is a count over it
    and hardly ever whole, so spectra of whole numbers only were never divided.
    """
    for wrong, why, fix in (
        (np.isinf(rates), "infinite", "Leave bins that were not measured empty (NaN)"),
        (
            rates < BELOW_NOTHING,
            "negative",
            "Give rates as they were measured, with the background; leave bins that were not measured empty (NaN)",
        ),
    ):
        if wrong.any():
            row, column = (int(place[0]) for place in np.nonzero(wrong))
            value = float(rates[row, column])
            where = f"spectrum {first + row}, bin {column}"
            raise PredictError(model.name, f"{where}: a rate of {value:g} count/s, which is {why}", fix)
    if "live_time" not in columns:
        return
    live = columns["live_time"].values.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        whole_times = np.abs(1 / live - np.round(1 / live)) < WHOLE  # at 0.5 s counts become other whole numbers
    looked_at = np.flatnonzero((live > 0) & ~whole_times)[:FEW]
    some = np.nan_to_num(rates[looked_at])
    if some.any() and np.abs(some - np.round(some)).max() < WHOLE:
        raise PredictError(
            model.name,
            f"from spectrum {first + looked_at[0]} on all rates are whole numbers, as counts are, "
            f"at a live time of {live[looked_at[0]]:g} s",
            "Divide the counts by the live time",
        )
