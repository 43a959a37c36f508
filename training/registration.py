"""Labels brought to the spectra that they belong to: how far the depths of a section's samples are off.

Sample and scan are measured with two rulers: cores shrink, tops crumble, sections are cut anew. A section's labels then
lie a centimetre or two beside their spectra, each section by its own. The spectra can tell: at the right shift the
values follow the emission lines best. A shift is only taken where it makes the labels much likelier than none does, and
only to learn from: what is asked for keeps its depths.

`corebank.contribution.label_shift` asks the same of a whole table before it goes into a bank, and wants more certainty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
import xraylib
from numpy.typing import NDArray

from corebank import split
from corebank.labels import Labels
from training.examples import Floats, collect, middles
from training.task import Task

ELEMENTS = ("Si", "P", "K", "Ca", "Ti", "Mn", "Fe", "Sr", "Zr")
"""Those that vary in sediments and stand out in most spectra, by their K alpha lines (xraylib)."""

WIDTH = 0.06
"""[keV] Half of a line's window: half the full width at half maximum of a silicon detector at Ca to Fe."""

REACH = 40
"""[mm] Largest shift that is tried, up and down: two samples of 1 cm each 2 cm."""

STEP = 2
"""[mm] Between shifts that are tried: a fine scan's step."""

WINDOW = 10.0
"""[mm] Spectra so far above and below a label's middle speak for it: enough to hold the counting noise down."""

EVIDENCE = 8.0
"""Gain in log-likelihood from which a shift is taken; the labels' proxies, which vary together, count as the square
root of their number. Values dealt out anew among 24 samples reached it in 1 of 240 draws (synthetic sections)."""

FEWEST_LABELS = 12
"""Labels of a proxy that it takes: more than the lines that explain them."""

RIDGE = 0.05
"""Penalty of the regression on lines, as a share of their variance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """What the spectra of a section say of the depths of its labels."""

    section: str
    millimetres: float
    """To be added to the labels' depths; 0 where none is sure."""
    evidence: float
    """Gain in log-likelihood of the best shift over none."""
    best: float
    """[mm] That shift, taken or not."""


def shifts(spectra: xr.Dataset, labels: Labels, sections: NDArray[np.str_], *, without: str = "") -> dict[str, Shift]:
    """The shift of each section that has labels.

    Parameters
    ----------
    spectra
        Those of the labelled sections at least; ``intensity`` [count/s] and ``depth`` [mm].
    labels
        Intervals with spectra; every proxy has a say.
    sections
        (spectrum,) the section of each spectrum, as `corebank.split.unit_names` has it.
    without
        A proxy that has none, so that labels can be judged by it at depths that it did not choose.
    """
    own = _own(labels, sections)
    depth, middle = spectra["depth"].values.astype(np.float64), middles(labels)
    columns = [number for number, name in enumerate(labels.proxies) if name != without]
    found = {}
    for name in sorted(set(own.tolist())):
        here = np.flatnonzero(sections == name)
        here = here[np.isfinite(depth[here])]
        here = here[np.argsort(depth[here], kind="stable")]
        lines = _lines(spectra.isel(spectrum=here))
        mine = np.flatnonzero(own == name)
        found[name] = _shift(name, lines, depth[here], middle[mine], labels.values[mine][:, columns])
    return found


def moved(labels: Labels, depth: Floats, sections: NDArray[np.str_], found: Mapping[str, Shift]) -> Labels:
    """The labels with the spectra that lie in their shifted intervals.

    A label that would be left without a spectrum keeps those that it has.
    """
    rows = []
    own = _own(labels, sections)
    ends = labels.intervals[["depth_top", "depth_bottom"]].to_numpy(np.float64)
    for row, name, (top, bottom) in zip(labels.rows, own.tolist(), ends, strict=True):
        shift = found[name].millimetres if name in found else 0.0
        low, high = top + shift, bottom + shift
        inside = (depth >= low) & ((depth < high) if high > low else (depth == low)) & (sections == name)
        rows.append(np.flatnonzero(inside) if shift and inside.any() else row)
    return replace(labels, rows=tuple(rows))


def register(task: Task, spectra: xr.Dataset, training: NDArray[np.intp]) -> tuple[Task, dict[str, Shift]]:
    """The task with the labels `training` brought to their spectra where the recipe asks for it, and their shifts."""
    if not task.recipe.registration:
        return task, {}
    sections = split.unit_names(spectra, "section")
    chosen = np.isin(np.arange(len(task.labels)), training)
    found = shifts(spectra, task.labels[chosen], sections)
    brought = moved(task.labels, spectra["depth"].values, sections, found)
    return replace(task, registered=collect(spectra, brought)), found


def told(found: Sequence[Shift]) -> dict[str, dict[str, float]]:
    """Shifts by section, as a report holds them."""
    return {
        one.section: {"shift": one.millimetres, "best": one.best, "evidence": round(one.evidence, 1)} for one in found
    }


def _own(labels: Labels, sections: NDArray[np.str_]) -> NDArray[np.str_]:
    """(n,) the section that most spectra of each label are from."""
    names = []
    for row in labels.rows:
        some, count = np.unique(sections[row], return_counts=True)
        names.append(str(some[count.argmax()]))
    return np.array(names)


def _lines(spectra: xr.Dataset) -> Floats:
    """(spectrum, line) log rate in the window of each element's line; lines that were not measured are left out."""
    energy, rates = spectra["energy"].values, spectra["intensity"].values
    columns = []
    for element in ELEMENTS:
        line = xraylib.LineEnergy(xraylib.SymbolToAtomicNumber(element), xraylib.KL3_LINE)
        inside = np.abs(energy - line) <= WIDTH
        if inside.any() and np.isfinite(rates[:, inside]).all():
            columns.append(np.log1p(np.maximum(rates[:, inside].sum(axis=1, dtype=np.float64), 0.0)))
    return np.stack(columns, axis=1) if columns else np.empty((len(rates), 0))


def _shift(name: str, lines: Floats, depth: Floats, middle: Floats, values: Floats) -> Shift:
    """The shift of one section, from its lines (spectrum, line) along depth, and its labels (n, k) at `middle`."""
    tried = np.arange(-REACH, REACH + STEP, STEP)
    sums = np.concatenate([np.zeros((1, lines.shape[1])), np.cumsum(lines, axis=0)])
    centres = middle + tried[:, None]
    first = np.searchsorted(depth, centres - WINDOW - 1e-6)
    last = np.searchsorted(depth, centres + WINDOW + 1e-6)
    seen = ((last - first) > 0).all(axis=0)
    gains = []
    for column in values.T:
        labelled = seen & np.isfinite(column)
        if labelled.sum() < FEWEST_LABELS or not lines.shape[1] or np.ptp(column[labelled]) == 0:
            continue
        number = (last - first)[:, labelled, None]
        features = (sums[last[:, labelled]] - sums[first[:, labelled]]) / number
        gains.append([_likelihood(one, column[labelled]) for one in features])
    if not gains:
        return Shift(section=name, millimetres=0.0, evidence=0.0, best=0.0)
    gain = np.sum(gains, axis=0) / np.sqrt(len(gains))
    best, none = int(gain.argmax()), int(np.flatnonzero(tried == 0)[0])
    evidence = float(gain[best] - gain[none])
    sure = evidence >= EVIDENCE and 0 < best < len(tried) - 1
    return Shift(
        section=name, millimetres=float(tried[best]) if sure else 0.0, evidence=evidence, best=float(tried[best])
    )


def _likelihood(features: Floats, values: Floats) -> float:
    """How much likelier labels (n,) are by lines (n, line) than by their mean, each told by the others; 0 at least."""
    spread = features.std(axis=0)
    even = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    count, lines = even.shape
    hat = even @ np.linalg.solve(even.T @ even + RIDGE * count * np.eye(lines), even.T) + 1 / count
    rest = values - values.mean()
    missed = (rest - hat @ rest) / (1 - np.diag(hat))
    left_over = float((missed**2).mean() / (rest**2).mean())
    return max(0.0, -count / 2 * math.log(left_over)) if left_over > 0 else math.inf
