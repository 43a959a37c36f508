"""Labels that lie beside their spectra: the shift of a section is found where there is one, and only there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from corebank import labels as matching
from corebank import split
from training import registration

ENERGY = 0.02 * np.arange(1024)
LINES = {"Ca": 3.69, "Ti": 4.51, "Fe": 6.40, "Sr": 14.14}


def section(name: str, top: float, seed: int) -> tuple[xr.Dataset, pd.DataFrame]:
    """A section of 60 cm scanned every 2 mm, and 24 samples of 1 cm with three laboratory values (synthetic)."""
    random = np.random.default_rng(seed)
    depth = top + np.arange(0, 600, 2.0)
    amount = {line: _wandering(random, len(depth)) for line in LINES}
    rates = np.full((len(depth), len(ENERGY)), 2.0)
    for line, energy in LINES.items():
        peak = np.exp(-0.5 * ((ENERGY - energy) / 0.06) ** 2)
        rates += 300 * np.exp(0.5 * amount[line])[:, None] * peak
    rates = random.poisson(rates * 10) / 10
    spectra = xr.Dataset(
        {
            "intensity": (("spectrum", "energy"), rates.astype(np.float32), {"units": "count/s"}),
            "depth": ("spectrum", depth),
            "site": ("spectrum", np.full(len(depth), "lab", dtype=object)),
            "expedition": ("spectrum", np.full(len(depth), "cruise", dtype=object)),
            "core": ("spectrum", np.full(len(depth), "C1", dtype=object)),
            "section": ("spectrum", np.full(len(depth), name, dtype=object)),
        },
        coords={"energy": ENERGY},
    )
    tops = top + np.arange(50, 530, 20.0)
    rows = []
    for one in tops:
        inside = (depth >= one) & (depth < one + 10)
        for proxy, line in (("CaO", "Ca"), ("TiO2", "Ti"), ("Fe2O3", "Fe")):
            value = 5 + amount[line][inside].mean() + 0.05 * random.normal()
            rows.append(("lab", "cruise", "C1", name, one, one + 10, proxy, value, "wt%"))
    names = ["site", "expedition", "core", "section", "depth_top", "depth_bottom", "proxy", "value", "unit"]
    return spectra, pd.DataFrame(rows, columns=names)


def _wandering(random: np.random.Generator, count: int) -> np.ndarray:
    """Sediment that changes over a few centimetres."""
    smooth = np.convolve(random.normal(size=count + 20), np.ones(21) / 21, mode="valid")
    return (smooth - smooth.mean()) / smooth.std()


def core(*planted: float) -> tuple[xr.Dataset, matching.Labels, np.ndarray]:
    """Sections whose labels lie beside their spectra by `planted` mm each."""
    spectra, tables = [], []
    for number, shift in enumerate(planted):
        one, table = section(f"S{number}", 1_000.0 * number, seed=number)
        spectra.append(one)
        tables.append(table.assign(depth_top=table.depth_top - shift, depth_bottom=table.depth_bottom - shift))
    whole = xr.concat(spectra, dim="spectrum")
    found = matching.match(whole, pd.concat(tables), ["CaO", "TiO2", "Fe2O3"])
    return whole, found, split.unit_names(whole, "section")


def test_each_section_gets_its_own_shift() -> None:
    spectra, labels, names = core(14.0, 0.0, -22.0)
    found = registration.shifts(spectra, labels, names)
    shifts = [found[name].millimetres for name in sorted(found)]
    np.testing.assert_allclose(shifts, [14, 0, -22], atol=2)


def test_the_shifted_labels_hold_the_spectra_that_they_were_taken_from() -> None:
    spectra, labels, names = core(14.0)
    truth, _ = core(0.0)[1:]
    moved = registration.moved(labels, spectra["depth"].values, names, registration.shifts(spectra, labels, names))
    assert [set(row) for row in labels.rows] != [set(row) for row in truth.rows]
    agree = [len(set(a) & set(b)) / len(set(a) | set(b)) for a, b in zip(moved.rows, truth.rows, strict=True)]
    assert min(agree) > 0.6  # two millimetres of five spectra
    np.testing.assert_array_equal(moved.values, labels.values)


def test_labels_without_any_relation_stay_where_they_are() -> None:
    spectra, labels, names = core(14.0)
    random = np.random.default_rng(5)
    taken = 0
    for _ in range(20):
        shuffled = matching.Labels(
            intervals=labels.intervals,
            proxies=labels.proxies,
            units=labels.units,
            values=labels.values[random.permutation(len(labels))],
            rows=labels.rows,
        )
        taken += registration.shifts(spectra, shuffled, names)["lab/cruise/C1/S0"].millimetres != 0
    assert taken <= 1


def test_a_proxy_that_has_no_say_changes_nothing() -> None:
    spectra, labels, names = core(14.0)
    nonsense = labels.values.copy()
    nonsense[:, labels.proxies.index("TiO2")] = np.random.default_rng(1).normal(size=len(labels))
    other = matching.Labels(
        intervals=labels.intervals, proxies=labels.proxies, units=labels.units, values=nonsense, rows=labels.rows
    )
    one, two = (registration.shifts(spectra, some, names, without="TiO2") for some in (labels, other))
    assert one == two


def test_a_few_labels_are_not_asked() -> None:
    spectra, labels, names = core(14.0)
    few = labels[np.arange(len(labels)) < 8]
    assert registration.shifts(spectra, few, names)["lab/cruise/C1/S0"].evidence == 0


@pytest.mark.parametrize("shift", [0.0, 14.0])
def test_the_report_tells_every_section(shift: float) -> None:
    spectra, labels, names = core(shift)
    told = registration.told(list(registration.shifts(spectra, labels, names).values()))
    assert told["lab/cruise/C1/S0"]["shift"] == pytest.approx(shift, abs=2)
