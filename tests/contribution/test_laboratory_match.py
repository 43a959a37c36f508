"""Samples meet spectra: those that meet none are named, and a shift is suggested where there is one, nowhere else."""

from __future__ import annotations

from functools import lru_cache

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import labels
from corebank.contribution import label_shift, laboratory
from corebank.contribution.laboratory_match import match
from corebank.virtual.expedition import EXPEDITIONS, LABEL_LENGTH, core_names, scan
from corebank.virtual.expedition import laboratory as virtual_laboratory
from corebank.virtual.instrument import INSTRUMENTS
from corebank.virtual.sediment import PROXIES


def run(core: str, section: str, depth: np.ndarray, counts: np.ndarray, gain: float = 0.02) -> xr.Dataset:
    columns = {
        "core": np.full(len(depth), core, dtype=object),
        "section": np.full(len(depth), section, dtype=object),
        "depth": depth,
        "energy_gain": np.full(len(depth), gain),
        "energy_offset": np.zeros(len(depth)),
        "replicate_of": np.full(len(depth), "", dtype=object),
    }
    return xr.Dataset(
        {"counts": (("spectrum", "channel"), counts)} | {name: ("spectrum", value) for name, value in columns.items()}
    )


def samples(core: str, tops: list[float], thickness: float = 10.0, section: str = "") -> pd.DataFrame:
    return laboratory.empty()[[]].assign(
        core=pd.Series([core] * len(tops)),
        section=section,
        depth_top=pd.Series(tops, dtype=float),
        depth_bottom=pd.Series(tops, dtype=float) + thickness,
        proxy="TOC",
        value=pd.Series(np.arange(len(tops), dtype=float)),
        unit="wt%",
        source="lab.csv",
    )


@lru_cache(maxsize=8)
def expedition_runs(name: str) -> dict[str, xr.Dataset]:
    expedition = EXPEDITIONS[name]
    gain = INSTRUMENTS[expedition.instrument].gain
    found = {}
    for core in range(expedition.cores):
        for part in range(expedition.sections_per_core):
            section = scan(expedition, core, part)
            spectra = section.spectra
            depth = section.top + spectra["position"].values
            found[f"{core}-{part}"] = run(section.core, section.name, depth, spectra["counts"].values, gain)
    return found


def expedition_values(name: str, moved: float = 0.0) -> pd.DataFrame:
    """What the laboratory found, with every depth written down too shallow by `moved` mm."""
    expedition, tables = EXPEDITIONS[name], []
    for number, core in enumerate(core_names(expedition)):
        found = virtual_laboratory(expedition, number)
        for proxy in PROXIES:
            one = samples(core, list(found["top"].values - moved), LABEL_LENGTH)
            tables.append(one.assign(proxy=proxy, value=found[proxy].values))
    return pd.concat(tables, ignore_index=True)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(-5, 60), min_size=1, max_size=8, unique=True),
    st.sampled_from([0.0, 0.5, 3.0, 10.0]),
    st.sampled_from(["", "S1", "S2"]),
)
def test_a_sample_is_unmatched_where_training_would_find_no_spectrum(
    tops: list[int], thickness: float, section: str
) -> None:
    depth = np.array([0.0, 5.0, 10.0, 30.0, 35.0])
    one = run("A", "S1", depth, np.ones((5, 64), np.uint32))
    table = samples("A", [float(top) for top in tops], thickness, section)
    found = [finding for finding in match(table, {"s1": one}) if finding.kind == "unmatched"]
    everywhere = {"site": "lab", "expedition": "c"}
    trained = labels.match(
        one.assign({key: ("spectrum", [value] * 5) for key, value in everywhere.items()}),
        table.assign(**everywhere),
        "TOC",
    )
    missed = trained.intervals[~trained.matched]
    expected = [f"A, {row.depth_top / 10:g} to {row.depth_bottom / 10:g} cm (TOC)" for row in missed.itertuples()]
    assert [item for finding in found for item in finding.items] == expected


def test_samples_without_a_spectrum_are_counted_by_core_and_stay() -> None:
    one = run("A", "S1", np.array([3.0, 8.0]), np.ones((2, 64), np.uint32))
    table = pd.concat([samples("A", [0.0, 100.0]), samples("B", [0.0])], ignore_index=True)
    found = match(table, {"s1": one})
    assert [(finding.kind, finding.severity, finding.where, finding.found, finding.items) for finding in found] == [
        (
            "unmatched",
            "info",
            "lab.csv",
            "1 of 2 samples of core A have no spectrum at their depth",
            ("A, 10 to 11 cm (TOC)",),
        ),
        (
            "unmatched",
            "info",
            "lab.csv",
            "1 of 1 samples of core B have no spectrum at their depth",
            ("B, 0 to 1 cm (TOC)",),
        ),
    ]
    assert [finding.kind for finding in match(table, {})] == ["unmatched", "unmatched"]
    assert match(laboratory.empty(), {"s1": one}) == []


@pytest.mark.parametrize("name", ["vm1", "vs1", "vl1", "vc1", "seed"])
def test_labels_where_they_belong_get_no_suggestion(name: str) -> None:
    assert label_shift.findings(expedition_values(name), expedition_runs(name)) == []


@pytest.mark.parametrize(
    ("name", "moved"), [("vm1", 5), ("vs1", 5), ("vc1", 5), ("vc1", -5), ("vm1", -10), ("vs1", 15)]
)
def test_labels_beside_their_spectra_are_found_with_the_shift_that_mends_them(name: str, moved: int) -> None:
    values = expedition_values(name, moved)
    before = values.copy()
    (one,) = label_shift.findings(values, expedition_runs(name))
    pd.testing.assert_frame_equal(values, before)  # suggested, never applied
    assert (one.kind, one.severity, one.where) == ("label-shift", "flagged", "lab.csv")
    suggested = int(one.fix.split('shift = "')[1].split(" mm")[0])
    assert abs(suggested - moved) <= 2
    assert f"moved by {suggested:+d} mm" in one.found


def test_the_suggested_shift_leaves_nothing_to_suggest() -> None:
    values = expedition_values("vc1", 5)
    mended = values.assign(depth_top=values["depth_top"] + 5, depth_bottom=values["depth_bottom"] + 5)
    assert label_shift.findings(mended, expedition_runs("vc1")) == []


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 2**32 - 1))
def test_values_that_have_nothing_to_do_with_the_spectra_suggest_nothing(seed: int) -> None:
    values = expedition_values("vc1")
    shuffled = values.assign(value=np.random.default_rng(seed).permutation(values["value"].to_numpy()))
    assert label_shift.findings(shuffled, expedition_runs("vc1")) == []


def test_too_few_or_equal_values_suggest_nothing() -> None:
    values, runs = expedition_values("vc1", 5), expedition_runs("vc1")
    few = values[values["core"] == "VC1-1"].groupby("proxy").head(label_shift.FEWEST_LABELS - 1)
    assert label_shift.findings(few, runs) == []
    assert label_shift.findings(values.assign(value=1.0), runs) == []


def test_spectra_read_block_by_block_say_the_same() -> None:
    values, runs = expedition_values("vc1", 5), expedition_runs("vc1")
    lazy = {
        name: one.assign(counts=(one["counts"].dims, da.from_array(one["counts"].values, chunks=(50, -1))))
        for name, one in runs.items()
    }
    assert label_shift.findings(values, lazy) == label_shift.findings(values, runs)


def test_spectra_without_counts_and_replicates_are_left_aside() -> None:
    values, runs = expedition_values("vc1", 5), expedition_runs("vc1")
    expected = label_shift.findings(values, runs)
    dark = {
        f"{name}-dark": one.assign(counts=one["counts"] * np.uint32(0), depth=one["depth"] + 1.0)
        for name, one in runs.items()
    }
    again = {
        f"{name}-again": one.assign(
            counts=one["counts"][::-1].copy(), replicate_of=("spectrum", np.full(one.sizes["spectrum"], "x", object))
        )
        for name, one in runs.items()
    }
    assert expected
    assert label_shift.findings(values, {**runs, **dark, **again}) == expected
