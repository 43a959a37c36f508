"""What MLflow holds: versions without pickles, their lineage, aliases with a history, and the same numbers back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from corebank import bundle, hub, predict
from corebank.errors import BundleError, RegistryError
from corebank.hub.tags import digest
from tests.registry.models import LINEAGE, foundation, quantifier, spectra
from tests.registry.quick import enter

Write = Callable[[bundle.Bundle], Path]


def test_the_default_store_lies_beside_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert hub.tracking_uri() == f"sqlite:///{tmp_path}/runs/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://models.example")
    assert hub.tracking_uri() == "http://models.example"


def test_a_run_records_settings_metrics_files_and_the_snapshot_of_each_bank(store: Path, run: Write) -> None:
    folder = run(quantifier())
    (folder / "figures").mkdir()
    (folder / "figures" / "loss.png").write_bytes(b"\x89PNG")
    (folder / "notes.pkl").write_bytes(b"\x80\x04.")
    logged = hub.log_run(
        folder,
        experiment="finetune",
        params={"epochs": 3, "optimiser": {"rate": 1e-4}},
        metrics={"loss": [0.5, 0.4], "rmse of CaCO3 [wt%]": 3.5},
        datasets=LINEAGE,
    )
    client = mlflow.MlflowClient()
    record = client.get_run(logged)
    assert record.info.run_name == folder.name
    assert record.data.params == {"epochs": "3", "optimiser.rate": "0.0001"}
    assert record.data.metrics == {"loss": 0.4, "rmse of CaCO3 _wt__": 3.5}
    assert [(point.step, point.value) for point in client.get_metric_history(logged, "loss")] == [(0, 0.5), (1, 0.4)]
    (bank,) = record.inputs.dataset_inputs
    assert (bank.dataset.name, bank.dataset.digest) == ("boscorf", "1CECHNKREP0F1RSTCMT0")
    assert mlflow.data.get_source(bank.dataset).url == "s3://boscorf/bank"
    assert [file.path for file in client.list_artifacts(logged)] == ["figures", "recipe.toml"]
    assert record.info.artifact_uri.startswith((store / "artifacts").as_uri())


def test_a_registered_model_predicts_through_mlflow_what_it_predicts_here(store: Path, run: Write) -> None:
    model = quantifier()
    uri = hub.register(run(model), "served", "champion")
    served, ds = mlflow.pyfunc.load_model("models:/served@champion"), spectra(20)
    expected = predict.quantify(model, ds)
    assert uri == "models:/served/1"
    for given in (ds, ds.chunk(spectrum=7), predict.to_table(ds)):
        pd.testing.assert_frame_equal(served.predict(given), expected, rtol=1e-6)


def test_nothing_pickled_is_stored(store: Path, run: Write) -> None:
    folder = run(quantifier(seed=1))
    (folder / "bundle" / "weights.pt").write_bytes(b"\x80\x04.")
    hub.register(folder, "clean")
    files = [path for path in (store / "artifacts").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".py", ".yaml", ".txt", ".toml", ".png", ""}
    for path in files:
        start = path.read_bytes()[:2]
        assert not start.startswith((b"\x80", b"PK", b"\x93N")), path  # pickle, torch.save or npz, npy


def test_the_same_bundle_is_registered_once_and_belongs_to_the_run_that_made_it(store: Path, run: Write) -> None:
    folder = run(quantifier(seed=2))
    logged = hub.log_run(folder, experiment="finetune", params={}, metrics={}, datasets=LINEAGE)
    assert hub.register(folder, "once") == hub.register(folder / "bundle", "once") == "models:/once/1"
    assert mlflow.MlflowClient().get_model_version("once", "1").run_id == logged
    assert mlflow.MlflowClient().get_run(logged).info.status == "FINISHED"


def test_mlflows_own_page_shows_beside_a_version_how_an_alias_came_and_went(store: Path, run: Write) -> None:
    hub.register(run(quantifier(seed=3)), "history", "champion", why="the first")
    hub.register(run(quantifier(seed=4)), "history", "champion", why="better on TOC")
    hub.point("champion", hub.find("models:/history/2"), why="again, which changes nothing")
    first, second = hub.versions("history")
    assert (first.aliases, second.aliases) == ((), ("champion",))
    assert first.tags["corebank.alias.champion"].endswith(": the first")
    assert "to version 2" in first.tags["corebank.alias.champion.lost"]
    assert second.tags["corebank.alias.champion"].endswith(": better on TOC")
    assert hub.find("models:/history@champion") == second


def test_which_data_a_model_has_seen_can_be_asked_of_mlflow(store: Path, run: Write) -> None:
    lakes = bundle.DataLineage(cores=("lakes/a/A1", "lakes/a/A2"), snapshots={"lakes": "S1"})
    parent = hub.register(run(foundation(lineage=lakes)), "parent")
    more = bundle.DataLineage(
        cores=("lakes/a/A1", "lakes/a/A2", "nwp/b/B1"),
        snapshots={"lakes": "S1", "nwp": "S2"},
        parent=hub.pin(parent),
    )
    child = hub.register(run(quantifier(lineage=more)), "child")
    tags = hub.find(child).tags
    assert (tags["corebank.snapshot.nwp"], tags["corebank.parent"]) == ("S2", parent)
    assert json.loads(tags["corebank.cores.lakes/a"]) == ["A1", "A2"]
    assert tags["corebank.recipe"] == hashlib.sha256(b'{"epochs": 3, "optimiser": {"rate": 0.0001}}').hexdigest()[:8]
    assert [version.uri for version in hub.trained_on("lakes", "a", "A2")] == [child, parent]
    assert [version.uri for version in hub.trained_on("nwp", "b")] == [child]
    assert hub.trained_on("lakes", "a", "A3") == hub.trained_on("lakes", "c") == []


def test_a_versions_licences_and_synthetic_expeditions_are_told_without_opening_it(store: Path, run: Write) -> None:
    mixed = bundle.DataLineage(
        snapshots={"lakes": "S1"},
        cores=("lakes/a/A1", "lakes/twin/T1", "lakes/twin/T/2"),
        licences={"lakes/a": "CC-BY-4.0", "lakes/twin": "CC0-1.0"},
        synthetic=("lakes/twin",),
    )
    version = hub.find(hub.register(run(foundation(seed=3, lineage=mixed)), "mixed"))
    assert version.licences == mixed.licences
    assert version.synthetic == mixed.synthetic
    assert version.snapshots == {"lakes": "S1"}
    assert version.cores == {"lakes/a": ("A1",), "lakes/twin": ("T1", "T/2")}
    assert version.registered.endswith("Z")
    assert mlflow.MlflowClient().get_run(version.run).info.status == "FINISHED"


def test_no_question_costs_a_statement_for_each_version_or_model(store: Path, tmp_path: Path) -> None:
    """What thousands of versions would cost is counted, not timed: a question about four times as many is as dear."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    statements: list[str] = []

    def count(*told: Any) -> None:
        statements.append(told[2])

    def cost() -> list[int]:
        counts = []
        for ask in (
            hub.models,
            hub.versions,
            lambda: hub.versions("counted-0"),
            lambda: hub.history("counted-0"),
            lambda: hub.find("models:/counted-0@champion"),
            lambda: hub.trained_on("boscorf", "cd166", "CD166-19"),
        ):
            statements.clear()
            assert ask()
            counts.append(len(statements))
        return counts

    def fill(models: int, numbers: int) -> None:
        for name in (f"counted-{model}" for model in range(models)):
            for seed in range(numbers):
                hub.point("champion", enter(tmp_path, name, quantifier(seed=seed)), why="newer")

    event.listen(Engine, "before_cursor_execute", count)
    try:
        fill(1, 2)
        few = cost()
        fill(4, 2)
        many = cost()
    finally:
        event.remove(Engine, "before_cursor_execute", count)
    assert len(hub.versions("counted-0")) == 4
    assert len({version.name for version in hub.versions()}) >= 4
    assert few == many


def test_a_model_is_resolved_from_folder_run_version_and_alias_to_the_same_bundle(store: Path, run: Write) -> None:
    model = quantifier(seed=7)
    folder = run(model)
    uri = hub.register(folder, "found", "staging")
    for name in (folder, str(folder / "bundle"), uri, "models:/found@staging"):
        again = bundle.load(hub.resolve(name))
        assert again.proxies == model.proxies
        np.testing.assert_array_equal(again.weights["head.weight"], model.weights["head.weight"])
    assert hub.pin("models:/found@staging") == uri
    assert hub.pin(folder) == f"sha256:{digest(folder)}"


def test_a_pulled_bundle_is_complete_and_overwrites_nothing(store: Path, run: Write, tmp_path: Path) -> None:
    hub.register(run(quantifier(seed=8)), "pulled", "champion")
    folder = hub.pull("models:/pulled@champion", tmp_path / "new")
    assert sorted(path.name for path in folder.iterdir()) == ["bundle.json", "model.safetensors"]
    with pytest.raises(RegistryError, match="holds files already"):
        hub.pull("models:/pulled@champion", folder)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("models:/nothing@champion", "no model nothing; sqlite:.* holds .*listed"),
        ("models:/listed@challenger", "no alias challenger; listed has versions 1 @champion"),
        ("models:/listed/7", "no version 7; listed has versions 1 @champion"),
        ("models:/listed", "neither the folder of a bundle nor models:/"),
        ("no-such-folder", "no bundle.json here or in bundle/"),
    ],
)
def test_a_model_that_is_not_there_is_refused_with_what_there_is(store: Path, run: Write, model: str, why: str) -> None:
    hub.register(run(quantifier(seed=9)), "listed", "champion")
    with pytest.raises(RegistryError, match=why):
        hub.resolve(model)


def test_a_damaged_bundle_is_not_registered(store: Path, run: Write) -> None:
    folder = run(quantifier())
    weights = folder / "bundle" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(BundleError):
        hub.register(folder, "damaged")
    assert hub.versions("damaged") == []


def test_a_name_that_mlflow_refuses_is_refused_in_our_words(store: Path, run: Write) -> None:
    folder = run(quantifier(seed=10))
    with pytest.raises(RegistryError, match="Check MLFLOW_TRACKING_URI"):
        hub.register(folder, "a/b")
