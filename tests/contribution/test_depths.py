"""The depth model: what lies where in a core, what was scanned twice, and which of two spectra counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import contribution, schema
from corebank.contribution import depths
from corebank.contribution.metadata import Section
from tests.scanner import itrax_spe, spectra, write_expedition

PART = Section(core="C", folder="f", name="S1", top=0.0, run="r")


def run(name: str, position: np.ndarray, *, top: float = 0.0, section: str = "S1", head: str = "a") -> xr.Dataset:
    """Only what the depth model looks at."""
    place, size = np.sort(position), position.size
    columns: dict[str, object] = {
        "core": ["C"] * size,
        "section": [section] * size,
        "section_position": place,
        "depth": top + place,
        "source": [f"{name}/{row}" for row in range(size)],
        "source_sha256": [f"{name}-{row}" for row in range(size)],
        "replicate_of": [""] * size,
        "flags": [0] * size,
    }
    about = {"scanner": "itrax", "head": head, "anode": "Mo", "filter": "", "tube_voltage": 30.0, "channels": 64}
    return xr.Dataset(schema.spectrum_columns(columns), attrs=about)


POSITIONS = st.lists(st.integers(0, 400), min_size=1, max_size=40, unique=True).map(lambda some: np.array(some, float))


@settings(deadline=None)
@given(st.lists(st.tuples(POSITIONS, st.integers(0, 300), st.sampled_from(["S1", "S2"])), min_size=1, max_size=4))
def test_every_replicate_points_at_a_spectrum_that_counts_and_nothing_is_lost(
    drawn: list[tuple[np.ndarray, int, str]],
) -> None:
    runs = {
        f"r{number}": run(f"r{number}", place, top=top, section=section)
        for number, (place, top, section) in enumerate(drawn)
    }
    linked, _ = depths.linked(runs, {})
    assert list(linked) == list(runs)
    counting = {sha for one in linked.values() for sha in one["source_sha256"].values[one["replicate_of"].values == ""]}
    for name, one in linked.items():
        assert list(one["source_sha256"].values) == list(runs[name]["source_sha256"].values)
        assert {sha for sha in one["replicate_of"].values if sha} <= counting
    assert not (linked["r0"]["replicate_of"].values != "").any(), "the run that is listed first counts"


@settings(deadline=None)
@given(POSITIONS, st.integers(0, 50))
def test_superseding_turns_the_order_round_and_back(place: np.ndarray, shift: int) -> None:
    runs = {"old": run("old", place), "new": run("new", place + shift)}
    forward, _ = depths.linked(runs, {})
    turned, _ = depths.linked(runs, {"new": Section(**{**_fields(), "supersedes": ("old",)})})
    assert (forward["old"]["replicate_of"].values == "").all()
    assert (turned["new"]["replicate_of"].values == "").all()
    loses = (forward["new"]["replicate_of"].values != "").sum()
    assert (loses > 0) == ((turned["old"]["replicate_of"].values != "").sum() > 0)


def _fields() -> dict[str, object]:
    return {name: getattr(PART, name) for name in PART.__dataclass_fields__}


def test_another_head_measures_anew_and_repeats_nothing() -> None:
    place = np.arange(5.0)
    linked, found = depths.linked({"a": run("a", place), "b": run("b", place, head="b")}, {})
    assert not (linked["b"]["replicate_of"].values != "").any()
    assert found == []


def test_sections_that_overlap_share_their_edge_and_the_upper_one_counts() -> None:
    runs = {"s1": run("s1", np.arange(10.0)), "s2": run("s2", np.arange(10.0), top=7.3, section="S2")}
    linked, found = depths.linked(runs, {})
    assert list(linked["s2"]["replicate_of"].values) == ["s1-7", "s1-8", "s1-9", *[""] * 7]
    assert [(one.kind, one.severity, one.where) for one in found] == [("depth-overlap", "flagged", "s2")]


def test_a_section_inside_another_is_refused_with_both_intervals() -> None:
    runs = {"s1": run("s1", np.arange(100.0)), "s2": run("s2", np.arange(20.0), top=30, section="S2")}
    (found,) = depths.checked(runs)
    assert (found.kind, found.severity, found.where) == ("depth-order", "refused", "C, S2")
    assert found.found == "section S2 (30 to 49 mm) lies wholly inside section S1 (0 to 99 mm)"


def test_a_gap_between_sections_is_told_with_its_length_and_place() -> None:
    runs = {"s1": run("s1", np.arange(100.0)), "s2": run("s2", np.arange(20.0), top=150, section="S2")}
    (found,) = depths.checked(runs)
    assert (found.kind, found.found) == ("depth-gap", "51 mm without spectra between S1 and S2, from 99 mm")


@settings(deadline=None)
@given(st.integers(6, 60), st.data())
def test_places_that_a_scan_left_out_are_counted(count: int, data: st.DataObject) -> None:
    gone = data.draw(st.sets(st.integers(2, count - 3), min_size=1, max_size=max(1, count // 8)))
    place = np.array([one for one in range(count) if one not in gone], dtype=float)
    (found,) = depths.checked({"s1": run("s1", place)})
    assert found.kind == "missing-positions"
    assert found.found.startswith(f"{len(gone)} positions are missing in steps of 1 mm")


def test_two_spectra_at_one_place_of_a_scan_are_told_and_the_first_counts(tmp_path: Path) -> None:
    folder = write_expedition(tmp_path / "c", sections=["S1"], laboratory=None)
    extra = spectra(1, seed=77)[0]
    (folder / "S1" / "XRF data" / "L000009.spe").write_bytes(itrax_spe(extra, position=2.0))
    report, found = contribution.check(folder)
    assert found is not None
    (told,) = [one for one in report.findings if one.kind == "repeated-position"]
    assert told.items == ("S1/XRF data/L000009.spe",)
    first = found.runs["s1"]
    assert (first["replicate_of"].values != "").sum() == 1
    assert first["replicate_of"].values[3] == first["source_sha256"].values[2]


@pytest.mark.parametrize(("length", "outside"), [("3 mm", 1), ("10 mm", 0)])
def test_spectra_beyond_the_end_of_their_section_are_flagged(tmp_path: Path, length: str, outside: int) -> None:
    folder = write_expedition(tmp_path / "c", sections=["S1"], laboratory=None)
    path = folder / "contribution.toml"
    path.write_text(path.read_text().replace('top = "0 cm"', f'top = "0 cm"\nlength = "{length}"'))
    flags = contribution.checked(folder).runs["s1"]["flags"].values
    assert ((flags & schema.Flag.OUTSIDE_SECTION) > 0).sum() == outside
