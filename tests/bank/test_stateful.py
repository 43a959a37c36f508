"""A bank against a plain model of it: whatever is done in whatever order, every snapshot shows what it showed.

`tests.bank.plain` is the model; Hypothesis draws what is done next. After each step the head is compared with
the model, and a snapshot of the past with the model of that day; at the end all of them.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from corebank import bank as banks
from corebank import calibrate
from corebank.bank import compacting
from corebank.errors import BankError, BankNotFoundError
from tests.bank.plain import Expedition, Model, claims, contributions, expected, labels_of, own_labels, run_of, shown
from tests.conftest import GRID

GIVEN = st.sampled_from(["one", "one and more", "other core", "other cruise"])
CORRECTED = st.sampled_from(["one", "one, corrected", "one and more", "other cruise", "other cruise, corrected"])


class Life(RuleBasedStateMachine):
    """What may be done to a bank, in any order."""

    @initialize(which=st.lists(GIVEN, max_size=3, unique=True))
    def make(self, which: list[str]) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.version = calibrate.CALIBRATION_VERSION
        self.bank = banks.create(self.folder / "bank", site="lab", grid=GRID)
        self.model: Model = {}
        self.past: dict[str, Model] = {self.bank.snapshot: {}}
        self.releases: dict[str, str] = {}
        self.lost: set[str] = set()
        for one in which:
            self.add(one)

    def remember(self, snapshot: str, changed: bool) -> None:
        """A change makes a commit, and nothing else does."""
        assert (snapshot not in self.past) == changed
        assert self.bank.snapshot == snapshot
        self.past[snapshot] = copy.deepcopy(self.model)

    @rule(which=GIVEN)
    def add(self, which: str) -> None:
        given = contributions()[which]
        name, added = given.metadata.expedition.name, self.bank.add(given)
        one = self.model.setdefault(name, Expedition(given.metadata.expedition.licence))
        new = [run for run in given.runs if run not in one.runs]
        held = {row[:-1] for row in one.labels}
        labels = [row for row in labels_of(given) if row[:-1] not in held]
        one.runs |= {run: run_of(given, run) for run in new}
        one.labels += labels
        if new or labels:
            one.licence = given.metadata.expedition.licence
            one.claims[added.contribution] = claims(given)
        assert (list(added.runs), added.measurements) == (new, len(labels))
        assert added.already == {run: 2 for run in given.runs if run not in new}
        assert added.withdrawn == {run: 2 for run in given.runs if not one.seen(run)}
        self.remember(added.snapshot, bool(new or labels))

    @rule(which=CORRECTED)
    def amend(self, which: str) -> None:
        given = contributions()[which]
        one = self.model.get(given.metadata.expedition.name)
        if one is None or given.runs.keys() - one.runs.keys():
            with pytest.raises(BankError):
                self.bank.amend(given, "not there")
            return
        before = copy.deepcopy(one)
        one.licence = given.metadata.expedition.licence
        for run in given.runs:
            now, was = run_of(given, run), one.runs[run]
            now.contribution, now.evaluations = was.contribution, was.evaluations | {now.evaluation}
            now.version = now.version if now.gain != was.gain else was.version
            one.runs[run] = now
        if given.metadata.measurements:
            places = claims(given)
            labels = [row for row in one.labels if (row[-1], row[0]) not in places] + labels_of(given)
            if {row[:-1] for row in labels} != {row[:-1] for row in one.labels}:
                gone, new = set(one.labels) - set(labels), set(labels) - set(one.labels)
                for rows in one.withdrawn.values():
                    if rows & gone:
                        rows -= gone
                        rows |= new
                one.labels = labels
        amended = self.bank.amend(given, "corrected")
        assert (amended.changed != ()) == (one != before), amended.changed
        self.remember(amended.snapshot, one != before)

    @rule(data=st.data(), expedition=st.sampled_from(["cruise1", "cruise2"]), back=st.booleans())
    def withdraw_or_restore(self, data: st.DataObject, expedition: str, back: bool) -> None:
        one = self.model.get(expedition, Expedition(""))
        known = [
            *(("run", name) for name in one.runs),
            *(("core", core) for core in sorted({run.core for run in one.runs.values()})),
            *(("contribution", name) for name in one.claims),
        ]
        kind, name = data.draw(st.sampled_from([*known, ("core", "X/9"), *one.withdrawn]))
        do = self.bank.restore if back else self.bank.withdraw
        if (kind, name) not in known or ((kind, name) in one.withdrawn) != back:
            with pytest.raises(BankError):
                do(expedition, **{kind: name}, because="to see")  # type: ignore[arg-type]
            return
        before = {run for run in one.runs if one.seen(run)}, len(one.seen_labels())
        if back:
            del one.withdrawn[kind, name]
        else:
            one.withdrawn[kind, name] = own_labels(one, name) if kind == "contribution" else set()
        done = do(expedition, **{kind: name}, because="to see")  # type: ignore[arg-type]
        after = {run for run in one.runs if one.seen(run)}, len(one.seen_labels())
        assert (done.spectra, done.labels) == (2 * len(before[0] ^ after[0]), abs(before[1] - after[1]))
        self.remember(done.snapshot, True)

    @rule(expedition=st.sampled_from([None, "cruise1", "cruise2"]), improved=st.booleans())
    def rebuild(self, expedition: str | None, improved: bool) -> None:
        calibrate.CALIBRATION_VERSION += improved
        if expedition is not None and expedition not in self.model:
            with pytest.raises(BankNotFoundError):
                self.bank.rebuild(expedition)
            return
        old = {
            f"{name}/{run}": said
            for name, one in self.model.items()
            for run, said in one.runs.items()
            if expedition in (None, name) and said.version != calibrate.CALIBRATION_VERSION
        }
        for said in old.values():
            said.version = calibrate.CALIBRATION_VERSION
        done = self.bank.rebuild(expedition)
        assert done.runs == dict.fromkeys(old, 2)
        self.remember(done.snapshot, bool(old))

    @rule(data=st.data(), name=st.sampled_from(["release-1", "release-2", "release-3"]))
    def tag(self, data: st.DataObject, name: str) -> None:
        snapshot = data.draw(st.sampled_from(self.kept()))
        released = banks.open_bank(self.bank.path, snapshot)
        if name in self.releases:
            with pytest.raises(BankError, match="there is, or was, a release"):
                released.tag(name)
        else:
            released.tag(name)
            self.releases[name] = snapshot

    @precondition(lambda self: len(self.past) > 2)
    @rule(data=st.data(), expire=st.booleans())
    def compact(self, data: st.DataObject, expire: bool) -> None:
        model = data.draw(st.sampled_from(self.kept()))
        done = compacting.compact(
            self.bank,
            keep_days=0 if expire else None,
            keep={model: "a model", "0000000000000000000G": "another"},
            grace=timedelta(0),
        )
        if expire:
            stay = {self.bank.snapshot, model, *self.releases.values()}
            going = set(self.kept()) - stay
            assert set(done.expired) == going
            self.lost |= going
            if model not in {self.bank.snapshot, *self.releases.values()}:
                self.releases[f"kept-{model}"] = model

    @rule(data=st.data(), at=st.sampled_from(["", "main"]))
    def reopen_and_look_back(self, data: st.DataObject, at: str) -> None:
        self.bank = banks.open_bank(self.bank.path, at or self.bank.snapshot)
        self.as_it_was(data.draw(st.sampled_from(list(self.past))))

    def kept(self) -> list[str]:
        return [snapshot for snapshot in self.past if snapshot not in self.lost]

    def as_it_was(self, snapshot: str) -> None:
        if snapshot in self.lost:
            with pytest.raises(BankNotFoundError):
                banks.open_bank(self.bank.path, snapshot)
            return
        then = banks.open_bank(self.bank.path, snapshot)
        assert shown(then) == expected(self.past[snapshot])
        assert shown(then, whole=True) == expected(self.past[snapshot], whole=True)

    @invariant()
    def the_head_is_the_model(self) -> None:
        assert shown(self.bank) == expected(self.model)
        assert self.bank.releases() == self.releases
        listed = yaml.safe_load((self.bank.path / "catalog.yaml").read_text())["sources"]
        seen = {name: runs for name, (_, runs, _) in expected(self.model).items()}
        assert {name: list(runs) for name, runs in seen.items()} == {
            name: entry["parameters"]["run"]["allowed"][1:]
            for name, entry in listed.items()
            if entry["driver"] == "corebank_spectra"
        }

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        try:
            for snapshot in self.past:
                self.as_it_was(snapshot)
            for name, snapshot in self.releases.items():
                assert banks.open_bank(self.bank.path, name).snapshot == snapshot
        finally:
            calibrate.CALIBRATION_VERSION = self.version
            shutil.rmtree(self.folder)


@pytest.mark.slow
def test_a_bank_is_what_its_model_says_whatever_is_done_to_it() -> None:
    contributions()
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=8,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
