"""Continuing: what is known is told by lineage, and an epoch mixes old and new as the recipe says."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from corebank import bank as banks
from corebank import catalog, contribution, split
from corebank.bundle import DataLineage
from tests.conftest import GRID
from tests.model.cores import cores
from tests.scanner import write_expedition
from training import data
from training.continual import MOST, departed, expeditions, known, mixture

STAGES = 8
"""Snapshots of `history`, oldest first."""


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A bank and its snapshots: a cruise, more of its first section and a new one, another cruise, then amendments."""
    folder = tmp_path_factory.mktemp("history")
    bank = banks.create(folder / "bank", site="lab", grid=GRID)
    snapshots = []

    def brought(folder: Path) -> Path:
        toml = folder / "contribution.toml"
        toml.write_text(toml.read_text().replace('run = "', f'run = "{folder.name}-'))
        bank.add(contribution.checked(folder))
        snapshots.append(bank.snapshot)
        return toml

    brought(write_expedition(folder / "first", laboratory=None))
    toml = brought(write_expedition(folder / "more", sections=("S1", "S3"), seed=1, laboratory=None))
    brought(write_expedition(folder / "other", name="cruise2", core="D", sections=("S1",), seed=2, laboratory=None))
    toml.write_text(toml.read_text().replace('name = "S3"', 'name = "S3b"'))
    bank.amend(contribution.checked(toml.parent), "the label was misread")
    snapshots.append(bank.snapshot)
    bank.withdraw("cruise1", run="first-s1", because="wet core")
    snapshots.append(bank.snapshot)
    bank.withdraw("cruise2", core="D", because="asked by its owner")
    snapshots.append(bank.snapshot)
    bank.restore("cruise1", run="first-s1", because="it was dry")
    snapshots.append(bank.snapshot)
    bank.restore("cruise2", core="D", because="its owner agrees")
    snapshots.append(bank.snapshot)
    assert len(snapshots) == STAGES
    return folder / "bank", snapshots


@cache
def selected(bank: Path, snapshot: str) -> xr.Dataset:
    """What a run would train on at a snapshot."""
    return catalog.select(bank / "catalog.yaml", at=snapshot).load()


def trained(spectra: xr.Dataset, sections: Sequence[str] | None = None) -> xr.Dataset:
    """The spectra of these sections, or of all."""
    names = split.unit_names(spectra, "section")
    return spectra.isel(spectrum=np.flatnonzero(np.isin(names, names if sections is None else list(sections))))


def lineage(spectra: xr.Dataset) -> DataLineage:
    """What a model trained on `spectra` says of itself."""
    return data.lineage(spectra, None, "")


def hashes(spectra: xr.Dataset) -> list[str]:
    return [str(one) for one in spectra["source_sha256"].values]


@given(st.integers(0, STAGES - 1), st.integers(0, STAGES - 1), st.data())
@settings(max_examples=30)
def test_exactly_what_a_model_was_trained_on_is_known(
    history: tuple[Path, list[str]], then: int, now: int, drawn: st.DataObject
) -> None:
    """Whatever was held out then, and whatever came, went, came back or was renamed between."""
    bank, snapshots = history
    before, after = selected(bank, snapshots[then]), selected(bank, snapshots[now])
    every = sorted(set(split.unit_names(before, "section").tolist()))
    model = trained(before, drawn.draw(st.lists(st.sampled_from(every), min_size=1, unique=True)))
    found = known(after, lineage(model))
    np.testing.assert_array_equal(found, np.isin(hashes(after), hashes(model)))


def test_a_section_that_grew_is_partly_new(history: tuple[Path, list[str]]) -> None:
    bank, snapshots = history
    model, now = selected(bank, snapshots[0]), selected(bank, snapshots[2])
    new = now.isel(spectrum=np.flatnonzero(~known(now, lineage(model))))
    assert sorted(set(new["run"].values)) == ["more-s1", "more-s3", "other-s1"]
    assert {"lab/cruise1/C/1/S1", "lab/cruise1/C/1/S3"} < set(split.unit_names(new, "section").tolist())


def test_what_a_parent_saw_before_it_was_withdrawn_is_known_when_it_is_back(history: tuple[Path, list[str]]) -> None:
    """The child was trained while the run was hidden: its lineage names the later snapshot and the earlier sections."""
    bank, snapshots = history
    parent = lineage(trained(selected(bank, snapshots[0]), ["lab/cruise1/C/1/S2"]))
    hidden = trained(selected(bank, snapshots[5]), ["lab/cruise1/C/1/S3b"])
    child = replace(lineage(hidden), sections=tuple(sorted({*parent.sections, *lineage(hidden).sections})))
    back = selected(bank, snapshots[6])
    assert set(back["run"].values[known(back, child)]) == {"first-s2", "more-s3"}


def test_a_snapshot_that_is_gone_leaves_the_names_of_sections(
    history: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    bank, snapshots = history
    model = replace(lineage(selected(bank, snapshots[0])), snapshots={"lab": "expired"})
    now = selected(bank, snapshots[2])
    names = split.unit_names(now, "section")
    np.testing.assert_array_equal(known(now, model), np.isin(names, ["lab/cruise1/C/1/S1", "lab/cruise1/C/1/S2"]))
    assert "does not show its snapshot expired any more" in capsys.readouterr().err


def test_a_moved_bank_is_found_where_the_catalog_has_it(history: tuple[Path, list[str]], tmp_path: Path) -> None:
    bank, snapshots = history
    shutil.copytree(bank, tmp_path / "moved")
    model = replace(lineage(selected(bank, snapshots[0])), bank_urls={"lab": "/nowhere"})
    now = catalog.select(tmp_path / "moved" / "catalog.yaml", at=snapshots[2])
    assert known(now, model).sum() == 10


def test_without_sections_cores_decide_and_without_any_lineage_all_is_new() -> None:
    spectra = cores()
    by_core = known(spectra, DataLineage(cores=("lab/cruise/A", "lab/cruise/C")))
    np.testing.assert_array_equal(by_core, np.isin(spectra["core"].values.astype(str), ["A", "C"]))
    assert not known(spectra, DataLineage()).any()


def test_what_is_withdrawn_has_departed_and_what_is_renamed_has_not(history: tuple[Path, list[str]]) -> None:
    bank, snapshots = history
    model = lineage(selected(bank, snapshots[2]))
    gone = [departed(selected(bank, snapshot), model) for snapshot in snapshots[2:]]
    assert gone == [
        (),
        (),  # S3 is S3b now
        ("lab/cruise1/C/1/S1",),  # one of its two runs
        ("lab/cruise1/C/1/S1", "lab/cruise2/D/S1"),
        ("lab/cruise2/D/S1",),
        (),
    ]


def test_what_a_recipe_leaves_out_has_not_departed(history: tuple[Path, list[str]]) -> None:
    bank, snapshots = history
    everything, now = selected(bank, snapshots[2]), selected(bank, snapshots[4])
    little = trained(now, ["lab/cruise2/D/S1"])
    assert departed(little, lineage(everything)) == ("lab/cruise1/C/1/S1",)
    assert departed(trained(everything, ["lab/cruise2/D/S1"]), lineage(everything)) == ()


def test_a_bank_that_is_nowhere_has_departed_and_one_that_is_away_has_not() -> None:
    spectra = cores()
    model = DataLineage(
        sections=("far/trip/Z/1", "lab/cruise/A/1"),
        snapshots={"lab": "SNAP", "far": "X"},
        bank_urls={"far": "/no/bank"},
    )
    assert departed(spectra, model) == ("far/trip/Z/1",)
    assert departed(spectra.assign_attrs(offline='{"far": "no answer"}'), model) == ()
    assert departed(spectra.assign_attrs(dropped='{"lab/cruise": "embargo"}'), model) == (
        "far/trip/Z/1",
        "lab/cruise/A/1",
    )
    assert expeditions(model) == ("far/trip", "lab/cruise")


class Collection:
    """Strata of some sizes, and which of their spectra are known."""

    def __init__(self, sizes: Sequence[int], known: Sequence[int]) -> None:
        self.stratum = np.repeat(np.arange(len(sizes)), sizes)
        self.known = np.concatenate([np.arange(size) < old for size, old in zip(sizes, known, strict=True)])

    @property
    def spectra(self) -> xr.Dataset:
        """Two strata per expedition, of different machines."""
        columns = {
            "site": np.full(len(self.stratum), "lab", dtype=object),
            "expedition": np.array([f"e{one // 2}" for one in self.stratum], dtype=object),
            "anode": np.where(self.stratum % 2 == 1, "Rh", "Mo").astype(object),
            "tube_voltage": np.full(len(self.stratum), 30.0),
        }
        return xr.Dataset({name: ("spectrum", values) for name, values in columns.items()})

    def times(self, replay: float, balance: float) -> NDArray[np.float64]:
        return mixture(self.spectra, self.known, replay=replay, balance=balance)


@st.composite
def collections(draw: st.DrawFn) -> Collection:
    sizes = draw(st.lists(st.integers(1, 60), min_size=1, max_size=6))
    return Collection(sizes, [draw(st.integers(0, size)) for size in sizes])


@given(collections(), st.floats(0, 0.95), st.floats(0, 1))
def test_an_epoch_holds_as_many_new_spectra_as_there_are_and_the_share_of_old_ones(
    one: Collection, replay: float, balance: float
) -> None:
    times, known = one.times(replay, balance), one.known
    assert (times >= 0).all()
    assert (times <= MOST + 1e-9).all()
    if known.all() or not known.any():
        assert times.sum() == pytest.approx(len(known))
        return
    new = int((~known).sum())
    assert times[~known].sum() == pytest.approx(new)
    wanted = min(new * replay / (1 - replay), MOST * known.sum())
    assert times[known].sum() == pytest.approx(wanted)


@given(collections(), st.floats(0, 0.95), st.floats(0, 1))
def test_a_stratum_is_seen_evenly_and_a_small_one_no_less_often(one: Collection, replay: float, balance: float) -> None:
    times = one.times(replay, balance)
    for part in (one.known, ~one.known):
        found = {}
        for stratum in set(one.stratum[part].tolist()):
            of_it = times[part & (one.stratum == stratum)]
            assert (of_it == of_it[0]).all()
            found[len(of_it)] = of_it[0]
        by_size = [found[size] for size in sorted(found)]
        assert all(small >= large - 1e-9 for small, large in pairwise(by_size))


@given(collections(), st.floats(0, 0.95))
def test_without_balance_each_new_spectrum_comes_exactly_once_and_all_old_ones_alike(
    one: Collection, replay: float
) -> None:
    times = one.times(replay, 0.0)
    assert (times[~one.known] == 1).all()
    assert len(set(times[one.known].tolist())) <= 1
    if one.known.all():
        assert (times == 1).all()


def test_full_balance_gives_each_machine_of_each_expedition_the_same_number() -> None:
    one = Collection([30, 10, 20], [30, 10, 0])
    times = one.times(0.5, 1.0)
    assert [times[one.stratum == stratum].sum() for stratum in range(3)] == pytest.approx([10, 10, 20])


def test_a_stratum_too_small_for_its_part_leaves_the_rest_to_the_others() -> None:
    one = Collection([2, 98], [0, 0])
    times = one.times(0.5, 1.0)
    assert times[:2].tolist() == [MOST, MOST]
    assert times.sum() == pytest.approx(100)


def test_no_replay_shows_nothing_old() -> None:
    one = Collection([30, 10], [30, 0])
    assert one.times(0.0, 0.5)[one.known].sum() == 0
