"""Every move of an alias stays on record, and one command tells who is in use, since when, and what each has seen."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corebank import bundle, hub
from corebank.cli.modelhub import models
from corebank.errors import RegistryError
from corebank.hub import events
from tests.registry.models import foundation, quantifier
from tests.registry.quick import enter

words = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=60)
moves = st.lists(
    st.builds(
        hub.Event,
        alias=st.sampled_from(["champion", "challenger"]),
        version=st.integers(1, 9),
        former=st.none() | st.integers(1, 9),
        who=words,
        when=st.just("2026-03-01T09:30:00Z"),
        why=words,
        report=words | st.integers(0, 2000).map('| "ä" \\ \n'.__mul__),
        rollback=st.booleans(),
    ),
    max_size=6,
)


@given(moves, st.randoms())
def test_any_number_of_moves_comes_back_from_the_tags_in_order_however_mlflow_sorts_them(
    made: list[hub.Event], random: Any
) -> None:
    start = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    tags = [
        tag
        for number, event in enumerate(made)
        for tag in events.to_tags(event, start + timedelta(microseconds=number)).items()
    ]
    random.shuffle(tags)
    now = {event.alias: event.version for event in made}
    assert events.recorded(dict(tags), now, []) == tuple(made)
    assert all(len(text) <= 5000 and len(name) <= 250 for name, text in tags)  # columns of MLflow's tables


@given(moves.filter(bool))
def test_a_record_that_was_cut_short_is_passed_over_and_the_move_is_told_as_not_recorded(made: list[hub.Event]) -> None:
    *_, last = made
    written = events.to_tags(last, datetime(2026, 3, 1, tzinfo=UTC))
    written.popitem()
    (told,) = events.recorded(written, {last.alias: last.version}, [])
    assert (told.version, told.why, told.when) == (last.version, events.ELSEWHERE, "")


@given(st.lists(st.integers(1, 5) | st.none(), max_size=12))
def test_rolling_back_undoes_moves_one_by_one(steps: list[int | None]) -> None:
    """A number moves the alias, None rolls it back; beside it runs the plainest stack there is."""
    told: list[hub.Event] = []
    stack: list[int] = []
    for step in steps:
        if step is not None and stack[-1:] != [step]:
            stack.append(step)
            told.append(hub.Event(alias="champion", version=step))
        elif step is None and len(stack) > 1:
            stack.pop()
            told.append(hub.Event(alias="champion", version=stack[-1], rollback=True))
        told.append(hub.Event(alias="challenger", version=9))  # another alias makes no difference
        assert events.holders(told, "champion")[-1:] == stack[-1:]
        assert events.holders(told, "champion")[-2:] == stack[-2:]


def test_who_moved_an_alias_when_why_and_on_which_report_is_kept_for_every_move(store: Path, tmp_path: Path) -> None:
    report = "| held out | champion | candidate |\n" + "| RMSE of CaCO3, core Ä | 3 | 2.9 |\n" * 300
    numbers = [enter(tmp_path, "kept", quantifier(seed=seed)) for seed in range(3)]
    for version in (*numbers, numbers[0]):
        hub.point("champion", version, why=f"to {version.number}, since: it is better", report=report)
    hub.point("champion", numbers[0], why="no move, no record")
    told = hub.history("kept")
    assert [(event.former, event.version) for event in told] == [(None, 1), (1, 2), (2, 3), (3, 1)]
    assert [event.why for event in told] == [f"to {number}, since: it is better" for number in (1, 2, 3, 1)]
    assert {event.report for event in told} == {report}
    assert {event.alias for event in told} == {"champion"}
    assert all(event.who == told[0].who != "" for event in told)
    assert told[-1].when.startswith(f"{datetime.now(UTC):%Y-%m-}")


def test_moves_from_before_events_were_kept_are_told_from_the_versions_own_tags(store: Path, tmp_path: Path) -> None:
    old = {"corebank.alias.champion": "2026-01-02T03:04:05Z by anna: gate passed: all of it"}
    first = enter(tmp_path, "older", **old)
    second = enter(tmp_path, "older", quantifier(seed=1))
    client = mlflow.MlflowClient()
    client.set_registered_model_alias("older", "champion", "1")
    (told,) = hub.history("older")
    assert (told.version, told.who, told.when, told.why) == (
        1,
        "anna",
        "2026-01-02T03:04:05Z",
        "gate passed: all of it",
    )
    hub.point("champion", second, why="better")
    assert [event.why for event in hub.history("older")] == ["gate passed: all of it", "better"]
    hub.point("champion", first, why="no")  # writes the same tag of the first version anew
    assert [event.why for event in hub.history("older")] == ["gate passed: all of it", "better", "no"]


def test_a_move_that_was_made_on_mlflows_own_page_is_told_as_such(store: Path, tmp_path: Path) -> None:
    first, _ = enter(tmp_path, "page"), enter(tmp_path, "page", quantifier(seed=1))
    hub.point("champion", first, why="the first")
    mlflow.MlflowClient().set_registered_model_alias("page", "champion", "2")
    told = hub.history("page")
    assert [(event.version, event.former, event.who) for event in told[1:]] == [(2, 1, "unknown")]
    assert "by other means" in told[-1].why


def test_the_history_outlives_a_version_that_is_deleted(store: Path, tmp_path: Path) -> None:
    for seed in range(2):
        hub.point("champion", enter(tmp_path, "deleted", quantifier(seed=seed)), why=f"seed {seed}")
    mlflow.MlflowClient().delete_model_version("deleted", "1")
    assert [(event.version, event.why) for event in hub.history("deleted")] == [(1, "seed 0"), (2, "seed 1")]


def test_the_history_of_a_model_that_is_not_there_is_refused(store: Path) -> None:
    with pytest.raises(RegistryError, match="no such model"):
        hub.history("nobody")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a registry: a foundation model, and two versions of a quantifier that was made from it."""
    folder = tmp_path_factory.mktemp("registry")
    lakes = bundle.DataLineage(
        snapshots={"lakes": "LAKESNAPSHOT"},
        cores=("lakes/a/A1", "lakes/a/A/2", "lakes/twin/T1"),
        licences={"lakes/a": "CC-BY-4.0", "lakes/twin": "CC0-1.0"},
        synthetic=("lakes/twin",),
    )
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        hub.point("champion", enter(folder, "foundation", foundation(lineage=lakes)), why="the first")
        for seed, core in ((1, "B1"), (2, "B2")):
            seen = bundle.DataLineage(
                snapshots={**lakes.snapshots, "nwp": f"NWPSNAPSHOT{seed}"},
                cores=(*lakes.cores, f"nwp/b/{core}"),
                licences={**lakes.licences, "nwp/b": "CC-BY-SA-4.0"},
                synthetic=lakes.synthetic,
                parent="models:/foundation/1",
            )
            version = enter(folder, "quantify", quantifier(seed=seed, lineage=seen), **{"corebank.gate": "passed"})
            hub.point("champion", version, why="gate passed", report="all cores are better")
    return folder / "mlflow.db"


@pytest.fixture
def registry(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that file, as the registry that is asked."""
    shutil.copy(made, tmp_path / "copy.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/copy.db")
    return tmp_path / "copy.db"


def test_models_tells_who_is_in_use_since_when_and_what_they_have_seen(registry: Path, capsys: Any) -> None:
    models()
    table, words = capsys.readouterr().out.split("\n\n")
    head, _, *rows = table.splitlines()
    assert " ".join(head.split()) == "model version alias registered parent gate expedition cores licence snapshot"
    assert [row.split()[:3] for row in rows if not row.startswith(" ")] == [
        ["foundation", "1", "champion"],
        ["quantify", "2", "champion"],
    ]
    assert [row.split()[-4:] for row in rows[-3:]] == [
        ["lakes/a", "2", "CC-BY-4.0", "LAKESNAPSHOT"],
        ["1", "CC0-1.0,", "synthetic", "LAKESNAPSHOT"],
        ["nwp/b", "1", "CC-BY-SA-4.0", "NWPSNAPSHOT2"],
    ]
    assert "foundation/1" in rows[2]
    assert words.splitlines()[1].startswith("champion of quantify: version 2 since 20")
    assert words.splitlines()[1].endswith("gate passed; before: version 1")


def test_models_of_one_name_tells_all_versions_and_with_history_all_moves(registry: Path, capsys: Any) -> None:
    hub.rollback("quantify", because="it flags every spectrum of a known core")
    models("quantify", history=True)
    table, _, moves = capsys.readouterr().out.split("\n\n")
    assert [row[:28].split() for row in table.splitlines()[2::3]] == [["quantify", "2"], ["1", "champion"]]
    assert [" ".join(row.split(" champion ")[1].split()) for row in moves.splitlines()[2:]] == [
        "1 gate passed",
        "1 2 gate passed",
        "2 1 rolled back: it flags every spectrum of a known core",
    ]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"core": "lakes/a/A/2"}, ["foundation/1", "quantify/1", "quantify/2"]),
        ({"core": "nwp/b/B1"}, ["quantify/1"]),
        ({"core": "nwp/b/B"}, []),
        ({"core": "nwp/c/B1"}, []),
        ({"snapshot": "NWPSNAPSHOT2"}, ["quantify/2"]),
        ({"snapshot": "NWPSNAP"}, ["quantify/1", "quantify/2"]),
        ({"snapshot": "LAKE", "core": "nwp/b/B2"}, ["quantify/2"]),
    ],
)
def test_which_models_saw_a_core_or_a_snapshot(registry: Path, capsys: Any, asked: Any, found: list[str]) -> None:
    models(**asked, as_json=True)
    told = json.loads(capsys.readouterr().out)
    uris = [version["uri"] for model in told["models"] for version in model["versions"]]
    assert uris == [f"models:/{one}" for one in found]
    models(**asked)
    said = capsys.readouterr().out
    assert ("no registered model has seen it" in said) == (not found)


def test_the_json_document_answers_what_the_tables_do_and_more(registry: Path, capsys: Any) -> None:
    models("quantify", as_json=True)
    told = json.loads(capsys.readouterr().out)
    (model,) = told["models"]
    first, second = model["versions"]
    assert told["registry"] == f"sqlite:///{registry}"
    assert model["aliases"]["champion"] == model["history"][-1] == second["gained"][0] == first["lost"][0]
    assert (second["lost"], second["parent"], second["gate"]) == ([], "models:/foundation/1", "passed")
    assert (second["kind"], second["proxies"], second["aliases"]) == ("quantifier", ["CaCO3", "TOC"], ["champion"])
    assert model["history"][-1]["report"] == "all cores are better"
    assert second["data"][1] == {
        "expedition": "lakes/twin",
        "cores": ["T1"],
        "licence": "CC0-1.0",
        "snapshot": "LAKESNAPSHOT",
        "synthetic": True,
    }


def test_models_asks_for_what_it_can_answer(registry: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"no such model; sqlite:.* holds foundation, quantify"):
        models("nobody")
    with pytest.raises(RegistryError, match="Write it as SITE/EXPEDITION/CORE"):
        models(core="lakes/a")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/nowhere.db")
    with pytest.raises(RegistryError, match="no registry of models is there"):
        models()
    assert not (tmp_path / "nowhere.db").exists()
