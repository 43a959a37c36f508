"""A shared registry works by its address alone, and one that is dead or damaged costs nobody a model."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import requests

from corebank import bundle, hub, predict
from corebank.cli.modelhub import models
from corebank.errors import BundleError, RegistryError
from registry import serve
from tests.bank import stores
from tests.registry import servers
from tests.registry.models import LINEAGE, foundation, quantifier, spectra

Write = Callable[[bundle.Bundle], Path]


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with stores.s3() as endpoint:
        yield endpoint


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(
    request: pytest.FixtureRequest, s3: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Address of a registry, and the bucket where it keeps its files; the credentials are the server's alone."""
    from contextlib import ExitStack

    folder, bucket = tmp_path_factory.mktemp("server"), stores.new_bucket(s3)
    credentials = {
        "AWS_ENDPOINT_URL": s3,
        "AWS_ACCESS_KEY_ID": stores.KEY,
        "AWS_SECRET_ACCESS_KEY": stores.SECRET,
        "AWS_REGION": "eu-north-1",
    }
    with ExitStack() as stack:
        backend = f"sqlite:///{folder}/registry.db"
        if request.param == "postgresql":
            if shutil.which("postgres") is None or not any(map(find_spec, serve.DRIVERS["postgresql"])):
                pytest.skip("PostgreSQL's programs (initdb, postgres) or its Python module psycopg are not installed")
            backend = stack.enter_context(servers.postgresql(folder / "postgresql"))
        arguments = ("--backend", backend, "--artifacts", f"s3://{bucket}/models")
        yield stack.enter_context(servers.registry(folder, *arguments, environment=credentials)), bucket


@pytest.fixture
def asked(server: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Every request that this process sends to the server, while a test uses it by its address alone."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server[0])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    sent, send = [], requests.Session.send

    def count(session: requests.Session, request: Any, **options: Any) -> requests.Response:
        sent.append(f"{request.method} {request.path_url.partition('?')[0]}")
        return send(session, request, **options)

    monkeypatch.setattr(requests.Session, "send", count)
    return sent


@pytest.mark.slow
def test_a_registry_on_a_server_does_everything_by_its_address_alone(
    server: tuple[str, str], s3: str, asked: list[str], run: Write, tmp_path: Path, capsys: Any
) -> None:
    made = [quantifier(seed=seed) for seed in (41, 42)]
    folders = [run(one) for one in made]
    epochs, losses = {"epochs": 3}, {"loss": [0.5, 0.4]}
    logged = hub.log_run(folders[0], experiment="finetune", params=epochs, metrics=losses, datasets=LINEAGE)
    report = "| core | champion | candidate |\n" * 500  # a column of PostgreSQL's takes 5,000 characters
    for folder in folders:
        version = hub.find(hub.register(folder, "shared"))
        hub.describe(version, "# A card\n" * 1000, {"corebank.gate": "passed"}, {"card.html": "<h1>A card</h1>"})
        hub.point("champion", version, why="gate passed", report=report)
    client = mlflow.MlflowClient()
    assert client.get_run(logged).data.params == {"epochs": "3"}
    assert client.get_model_version("shared", "1").run_id == logged
    assert [version.uri for version in hub.trained_on("boscorf", "cd166", "CD166-19")] == [
        "models:/shared/1",
        "models:/shared/2",
    ]
    assert [(event.version, event.report == report) for event in hub.history("shared")] == [(1, True), (2, True)]
    served, ds = mlflow.pyfunc.load_model("models:/shared@champion"), spectra(9)
    pd.testing.assert_frame_equal(served.predict(ds), predict.quantify(made[1], ds), rtol=1e-6)
    assert hub.rollback("shared", because="it drifts").number == 1
    pulled = hub.pull("models:/shared@champion", tmp_path / "pulled")
    assert (pulled / "model.safetensors").read_bytes() == (folders[0] / "bundle" / "model.safetensors").read_bytes()
    models("shared", as_json=True)
    (told,) = json.loads(capsys.readouterr().out)["models"]
    assert told["aliases"]["champion"]["why"] == "it drifts"
    keys = stores.objects(s3, server[1])
    assert sum(key.endswith("model.safetensors") for key in keys) == 2
    assert sum(key.endswith(("card.md", "card.html")) for key in keys) == 4
    assert client.get_model_version("shared", "2").description.endswith("among the files of this version's run)")
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.slow
def test_the_whole_registry_is_told_by_two_requests(asked: list[str], run: Write) -> None:
    hub.point("champion", hub.find(hub.register(run(foundation(seed=43)), "counted")), why="the first")
    for question, requests_sent in (
        (lambda: hub.models(), 2),
        (lambda: hub.versions("counted"), 2),
        (lambda: hub.history("counted"), 2),
        (lambda: hub.find("models:/counted@champion"), 1),
        (lambda: hub.trained_on("boscorf", "cd166"), 2),
        (lambda: hub.trained_on("boscorf", "nobody"), 1),
    ):
        asked.clear()
        question()
        assert len(asked) == requests_sent, asked


@pytest.mark.slow
def test_a_byte_that_changed_where_the_files_lie_is_refused_and_a_damaged_copy_fetched_anew(
    server: tuple[str, str], s3: str, asked: list[str], run: Write, tmp_path: Path
) -> None:
    uri = hub.register(run(quantifier(seed=44)), "guarded")
    copy = hub.resolve(uri)
    weights = copy / "model.safetensors"
    right = weights.read_bytes()
    weights.write_bytes(right[:-1] + b"!")
    assert hub.resolve(uri) == copy
    assert weights.read_bytes() == right
    asked.clear()
    hub.resolve(uri)
    assert not [one for one in asked if "artifacts" in one and "version" not in one]  # a good copy is not fetched again
    shutil.rmtree(tmp_path / "cache")
    model = mlflow.MlflowClient().get_model_version("guarded", "1").source.rpartition("/")[2]
    held = {key: raw for key, raw in stores.objects(s3, server[1]).items() if f"{model}/artifacts/artifacts" in key}
    assert sorted(key.rpartition("/")[2] for key in held) == ["bundle.json", "model.safetensors"]

    def put(key: str, raw: bytes) -> None:
        stores.client(s3).put_object(Bucket=server[1], Key=key, Body=raw)

    for key, raw in held.items():
        put(key, raw[:-3] + b"!" + raw[-2:])
        for fetch in (lambda: hub.resolve(uri), lambda: hub.pull(uri, tmp_path / "new")):
            with pytest.raises(BundleError, match=f"{uri}: what is stored is damaged: {key.rpartition('/')[2]}"):
                fetch()
        put(key, raw)
    other = run(quantifier(seed=45)) / "bundle"
    for key in held:
        put(key, (other / key.rpartition("/")[2]).read_bytes())
    with pytest.raises(BundleError, match="another bundle is stored than the one that was registered"):
        hub.resolve(uri)
    for key, raw in held.items():
        put(key, raw)
    assert not (tmp_path / "new").exists()
    assert hub.resolve(uri).is_dir()


class Silent(BaseHTTPRequestHandler):
    """A server that is up, and fails at everything that it is asked for."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 500)
        self.end_headers()

    do_POST = do_GET  # noqa: N815 - http.server calls it so


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Seconds and not minutes until MLflow gives up."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return monkeypatch


@pytest.mark.parametrize(
    ("death", "said"), [("away", "cannot be reached"), ("hung", "said nothing for 1 s"), ("failing", "")]
)
def test_a_dead_server_costs_no_run(
    impatient: pytest.MonkeyPatch, run: Write, tmp_path: Path, store: Path, death: str, said: str
) -> None:
    made = quantifier(seed=46)
    folder = run(made)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with socket.socket() as listening, stores.serving(Silent) as failing:
        listening.bind(("127.0.0.1", 0))
        if death == "hung":
            listening.listen()
        address = failing if death == "failing" else f"http://127.0.0.1:{listening.getsockname()[1]}"
        impatient.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(RegistryError) as told:
            hub.log_run(folder, experiment="finetune", params={}, metrics={}, datasets=LINEAGE)
    for words in (address, said, f"its folder {folder} is complete", f"python -m registry.publish {folder}"):
        assert words in str(told.value)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    impatient.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/mlflow.db")  # the server is up again
    version = hub.find(hub.register(folder, f"later-{death}"))
    late = mlflow.MlflowClient().get_run(version.run)
    assert late.info.run_name == folder.name
    assert late.data.params == {"epochs": "3", "optimiser.rate": "0.0001"}
    assert late.data.metrics["held_out.CaCO3.by_core.C1.rmse"] == 3
    assert [bank.dataset.digest for bank in late.inputs.dataset_inputs] == ["1CECHNKREP0F1RSTCMT0"]
    assert [file.path for file in mlflow.MlflowClient().list_artifacts(version.run)] == ["recipe.toml"]


def test_a_record_that_stopped_half_way_is_marked_and_not_taken_for_the_run(
    store: Path, run: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run(quantifier(seed=47))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(mlflow.MlflowClient, "log_artifact", full)
        with pytest.raises(RegistryError, match="No space left on device; the run is not recorded there"):
            hub.log_run(folder, experiment="half", params={}, metrics={}, datasets=LINEAGE)
    client = mlflow.MlflowClient()
    (half,) = client.search_runs([client.get_experiment_by_name("half").experiment_id])
    assert half.info.status == "FAILED"
    assert hub.find(hub.register(folder, "halved")).run != half.info.run_id


def test_a_run_is_not_written_into_a_folder_of_another_machines_name(store: Path, run: Write) -> None:
    client = mlflow.MlflowClient()
    client.create_experiment("theirs", artifact_location="file:///no/such/folder/of/ours")
    from corebank.hub import runs

    with pytest.MonkeyPatch.context() as away:
        away.setattr(runs.store, "tracking_uri", lambda: "http://models.example")
        with pytest.raises(RegistryError, match="a folder of another machine"):
            runs.new_run(client, "theirs", "run", {})


def test_no_password_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://anna:secret@127.0.0.1:9")
    with pytest.raises(RegistryError) as told:
        hub.versions()
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"host": "0.0.0.0"}, "other machines could reach it"),
        ({"host": "models.example"}, "not an IP address"),
        ({"backend": "postgresql://lab:secret@db.example/models"}, "--backend holds a password"),
        ({"backend": "mysql://db.example/models"}, "pymysql is needed to speak to it"),
        ({"port": -1}, "cannot be listened on"),
    ],
)
def test_a_server_that_should_not_start_does_not(
    options: Any, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        if options.get("port") == -1:
            options = {"port": taken.getsockname()[1]}
        with pytest.raises(RegistryError, match=why) as told:
            serve.serve(**options)
    assert "secret" not in str(told.value)
