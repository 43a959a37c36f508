"""Continuing: what is known, what may judge, and what has departed is told by lineage and by the banks."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from corebank import bank as banks
from corebank import catalog, contribution, split
from corebank.bundle import Bundle, DataLineage
from corebank.errors import TrainingError
from corebank.normalize import Normalization
from tests.conftest import GRID
from tests.model.cores import CONFIG, cores
from tests.scanner import write_expedition
from training import data
from training.continual import departed, expeditions, known, trained_as
from training.recipe import Pretraining, Split

STAGES = 9
"""Snapshots of `history`, oldest first."""


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A bank and its snapshots: a cruise, more of its first section and a new one, another cruise, then amendments.

    Section S3 of the first cruise becomes S3b with the fourth snapshot, core D of the other D-1 with the last.
    """
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
    other = brought(
        write_expedition(folder / "other", name="cruise2", core="D", sections=("S1",), seed=2, laboratory=None)
    )
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
    other.write_text(other.read_text().replace('name = "D"', 'name = "D-1"'))
    bank.amend(contribution.checked(other.parent), "the label was misread, too")
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
    called = dict(zip(hashes(model), split.unit_names(model, "section").tolist(), strict=True))
    assert trained_as(after, lineage(model)).tolist() == [called.get(one, "") for one in hashes(after)]


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
        (),  # D is D-1 now
    ]


def test_what_a_recipe_leaves_out_has_not_departed(history: tuple[Path, list[str]]) -> None:
    bank, snapshots = history
    everything, now = selected(bank, snapshots[2]), selected(bank, snapshots[4])
    little = trained(now, ["lab/cruise2/D/S1"])
    assert departed(little, lineage(everything)) == ("lab/cruise1/C/1/S1",)
    assert departed(trained(everything, ["lab/cruise2/D/S1"]), lineage(everything)) == ()


def test_a_selected_bank_that_is_nowhere_has_departed_and_one_that_is_away_or_not_selected_has_not() -> None:
    spectra = cores()
    model = DataLineage(
        sections=("far/trip/Z/1", "lab/cruise/A/1"),
        snapshots={"lab": "SNAP", "far": "X"},
        bank_urls={"far": "/no/bank"},
    )
    selected = spectra.assign_attrs(bank_urls='{"lab": "banks/lab", "far": "/no/bank"}')
    assert departed(selected, model) == ("far/trip/Z/1",)
    assert departed(selected.assign_attrs(offline='{"far": "no answer"}'), model) == ()
    assert departed(selected.assign_attrs(dropped='{"lab/cruise": "embargo"}'), model) == (
        "far/trip/Z/1",
        "lab/cruise/A/1",
    )
    assert departed(spectra, model) == ()
    assert departed(spectra.assign_attrs(dropped='{"far/another": "embargo"}'), model) == ()
    assert departed(spectra.assign_attrs(dropped='{"far/trip": "embargo"}'), model) == ("far/trip/Z/1",)
    assert expeditions(model) == ("far/trip", "lab/cruise")


def test_a_lab_without_spectra_in_the_selection_is_judged_by_its_bank_where_the_lineage_has_it(
    history: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """The recipe may have left it out, and its bank may have moved; or it has withdrawn all that it had."""
    bank, snapshots = history
    shutil.copytree(bank, tmp_path / "bank")
    other = cores().assign_attrs(bank_urls='{"another": "banks/another"}', snapshots='{"another": "SNAP"}')
    model = replace(lineage(selected(bank, snapshots[2])), bank_urls={"lab": str(tmp_path / "bank")})
    assert departed(other, model) == ()
    for expedition, core in (("cruise1", "C/1"), ("cruise2", "D-1")):
        banks.open_bank(str(tmp_path / "bank")).withdraw(expedition, core=core, because="all of it")
    assert departed(other, model) == model.sections
    shutil.move(tmp_path / "bank", tmp_path / "moved")
    assert departed(other, model) == ()


def parent(lineage: DataLineage) -> Bundle:
    """A model of that lineage."""
    return Bundle(
        kind="foundation", name="f", config=CONFIG, normalization=Normalization(), weights={}, lineage=lineage
    )


@given(st.integers(0, STAGES - 1), st.integers(0, STAGES - 1), st.sampled_from(["core", "section"]), st.data())
@settings(max_examples=30)
def test_nothing_that_judges_a_child_was_trained_on_by_its_parent(
    history: tuple[Path, list[str]], then: int, now: int, unit: split.Unit, drawn: st.DataObject
) -> None:
    """Whatever it was called then; and what is refused was trained on, or is called as something that was."""
    bank, snapshots = history
    before, after = selected(bank, snapshots[then]), selected(bank, snapshots[now])
    every = sorted(set(split.unit_names(before, "section").tolist()))
    model = trained(before, drawn.draw(st.lists(st.sampled_from(every), min_size=1, unique=True)))
    units = split.unit_names(after, unit)
    name = drawn.draw(st.sampled_from(sorted(set(units.tolist()))))
    assume((units != name).any())  # something has to be left to train on
    recipe = Pretraining(name="child", split=Split(unit=unit, held_out=(name,)))
    seen, named = np.isin(hashes(after), hashes(model)), np.isin(units, split.unit_names(model, unit))
    if (seen | named)[units == name].any():
        with pytest.raises(TrainingError, match=f"{name}.* was already trained on by f"):
            data.sides(after, recipe, parent(lineage(model)))
    else:
        np.testing.assert_array_equal(data.sides(after, recipe, parent(lineage(model))).known, seen)
    assert not data.sides(after, recipe, None).known.any()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            {"split": Split(held_out=("D-1",))},
            r"split: lab/cruise2/D-1 \(then lab/cruise2/D/S1\) was already trained on",
        ),
        (
            {"split": Split(unit="section", held_out=("S3b",))},
            r"split: lab/cruise1/C/1/S3b \(then lab/cruise1/C/1/S3\) was already trained on by f. Hold out what",
        ),
        ({"split": Split(held_out=("C/1",))}, "split: lab/cruise1/C/1 was already trained on by f"),
    ],
    ids=["a core", "a section", "by its own name"],
)
def test_a_refused_unit_is_named_as_it_is_now_and_as_it_was(
    history: tuple[Path, list[str]], change: dict[str, Any], found: str
) -> None:
    bank, snapshots = history
    model, now = lineage(selected(bank, snapshots[2])), selected(bank, snapshots[-1])
    with pytest.raises(TrainingError, match=found):
        data.sides(now, Pretraining(name="child", **change), parent(model))


def test_a_section_is_refused_where_the_lineage_has_only_its_core() -> None:
    model = parent(DataLineage(cores=("lab/cruise/A",)))
    rule = Split(unit="section", held_out=("A/1",))
    with pytest.raises(TrainingError, match="split: lab/cruise/A/1 was already trained on by f"):
        data.sides(cores(), Pretraining(name="child", split=rule), model)
    with pytest.raises(TrainingError, match="lab/cruise/A/1 was already trained on by f"):
        data.refuse_seen(np.array(["lab/cruise/A/1"]), rule, model)
    data.refuse_seen(np.array(["lab/cruise/AB/1"]), rule, model)
