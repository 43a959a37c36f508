"""Models in MLflow: log a run, register its bundle, move an alias, find a version and fetch it.

What a version was made from can be asked of MLflow alone: its tags hold the snapshot of each bank it has seen
(``corebank.snapshot.<site>``), the cores by expedition (``corebank.cores.<site>/<expedition>``), its parent and its
recipe, and every run lists its banks as inputs. A version is code, safetensors and JSON; nothing in it is pickled.

This is the only module that imports mlflow, and it does so late: it takes 1.6 s.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from corebank import __version__, bundle
from corebank.errors import RegistryError
from corebank.hub.tags import CORES, DIGEST, Version, bundle_folder, digest, flat, key, of_bundle, of_lineage

if TYPE_CHECKING:
    from mlflow import MlflowClient

CODE = "from corebank import hub, predict\n\nhub.serve(predict.quantify)\n"
"""All the code that a version carries; MLflow runs it to load the model."""

RECORDS = (".toml", ".json", ".md", ".csv", ".png")
"""Kinds of files that a run's record in MLflow is made of."""

MODEL = re.compile(r"models:/(?P<name>[^@/]+)(@(?P<alias>[^@/]+)|/(?P<number>\d+))")

REMOTE = re.compile(r"(?!file:)[a-z][a-z0-9+.-]+:")
"""URLs that are not a file on this machine; a single letter is a Windows drive."""


def tracking_uri() -> str:
    """``MLFLOW_TRACKING_URI``, or an sqlite file beside the runs: ``runs/mlflow.db`` below the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'runs' / 'mlflow.db'}"


def log_run(
    run_dir: Path,
    *,
    experiment: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, Sequence[float] | float],
    datasets: bundle.DataLineage,
) -> str:
    """Record a finished run and return MLflow's identifier of it.

    Parameters
    ----------
    run_dir
        Its name becomes the run's name; its recipe, tables and figures are kept, its bundle and checkpoints are not:
        `register` stores the bundle, and finds this run by it.
    experiment
        MLflow experiment; made if needed.
    params
        Settings; nested tables are joined with dots.
    metrics
        A number, or one number for each epoch.
    datasets
        The banks it has read: one input per site, whose digest is the bank's snapshot.
    """
    with _store() as client:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

        run = _new_run(client, experiment, run_dir.name, of_bundle(run_dir))
        now = int(datetime.now(UTC).timestamp() * 1000)
        points = [
            Metric(key(name), float(number), now, step)
            for name, value in metrics.items()
            for step, number in enumerate([value] if isinstance(value, int | float) else value)
        ]
        for first in range(0, len(points), 1000):  # MLflow takes no more at once
            client.log_batch(run, metrics=points[first : first + 1000])
        client.log_batch(run, params=[Param(key(name), str(value)) for name, value in flat(params)])
        banks = [  # as MLflow's MetaDataset writes them; its digest functions would look at five spectra only
            Dataset(site, snapshot, "http", json.dumps({"url": datasets.bank_urls.get(site, "")}))
            for site, snapshot in datasets.snapshots.items()
        ]
        client.log_inputs(run, [DatasetInput(bank, [InputTag("mlflow.data.context", "training")]) for bank in banks])
        for path in sorted(run_dir.rglob("*")):
            inside = path.relative_to(run_dir)
            if path.suffix in RECORDS and inside.parts[0] not in ("bundle", "checkpoint"):
                client.log_artifact(run, str(path), "" if inside.parent == Path() else inside.parent.as_posix())
        client.set_terminated(run)
    return run


def register(run: Path, name: str, alias: str | None = None, *, why: str = "registered") -> str:
    """Store a bundle as a version of the model `name` and return its ``models:/name/number``.

    Parameters
    ----------
    run
        Folder of a run or of a bundle. A bundle that `name` already holds is not stored a second time.
    name
        Model to add a version to; made if needed.
    alias
        Moved to the version, see `point`.
    why
        Recorded with the alias.

    Raises `BundleError` when the bundle is damaged, `RegistryError` when the registry cannot be reached.
    """
    folder = bundle_folder(run)
    made = bundle.load(folder)
    with _store() as client:
        tags = {**of_bundle(folder), **of_lineage(made.lineage)}
        version = next((old for old in versions(name) if old.tags.get(DIGEST) == tags[DIGEST]), None)
        if version is None:
            if not client.search_registered_models(f"name = '{name}'"):
                client.create_registered_model(name)
            logged, model = _log_model(client, folder, tags)
            new = client.create_model_version(name, f"models:/{model}", logged, tags, model_id=model)
            version = Version(name=name, number=int(new.version), aliases=(), tags=tags)
    if alias is not None:
        point(alias, version, why=why)
    return version.uri


def point(alias: str, version: Version, *, why: str) -> None:
    """Move `alias` to `version`; who did so, when and why becomes a tag of this version and of the one that had it."""
    with _store() as client:
        former = next((old for old in versions(version.name) if alias in old.aliases), None)
        if former is not None and former.number == version.number:
            return
        note = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} by {_who()}: {why}"
        if former is not None:
            lost = f"to version {version.number}, {note}"
            client.set_model_version_tag(version.name, str(former.number), f"corebank.alias.{alias}.lost", lost)
        client.set_model_version_tag(version.name, str(version.number), f"corebank.alias.{alias}", note)
        client.set_registered_model_alias(version.name, alias, str(version.number))


def describe(version: Version, card: str, tags: Mapping[str, str]) -> None:
    """Give `version` a card (Markdown, its description in MLflow) and further tags."""
    with _store() as client:
        client.update_model_version(version.name, str(version.number), card)
        for key, value in tags.items():
            client.set_model_version_tag(version.name, str(version.number), key, value)


def versions(name: str | None = None) -> list[Version]:
    """All versions of a model, or of all models, oldest first; none when there is no such model."""
    with _store() as client:
        wanted = f"name = '{name}'" if name else None
        models = _mlflow().search_registered_models(filter_string=wanted)  # the client would stop after a hundred
        aliases = {model.name: model.aliases for model in models}
        found = client.search_model_versions(wanted)
        return sorted(
            (
                Version(
                    name=one.name,
                    number=int(one.version),
                    tags=one.tags,
                    aliases=tuple(
                        alias for alias, number in aliases[one.name].items() if str(number) == str(one.version)
                    ),
                )
                for one in found
            ),
            key=lambda version: (version.name, version.number),
        )


def find(model: str) -> Version:
    """The version that ``models:/name@alias`` or ``models:/name/number`` names; `RegistryError` lists what there is."""
    wanted = MODEL.fullmatch(model)
    if wanted is None:
        raise RegistryError(
            model,
            "neither the folder of a bundle nor models:/name@alias nor models:/name/number",
            "Give one of the three",
        )
    name, alias, number = wanted["name"], wanted["alias"], wanted["number"]
    held = versions(name)
    if not held:
        names = ", ".join(sorted({version.name for version in versions()})) or "nothing yet"
        raise RegistryError(
            model,
            f"no model {name}; {tracking_uri()} holds {names}",
            "Choose one of these, or set MLFLOW_TRACKING_URI to the registry that has it",
        )
    for version in held:
        if alias in version.aliases or str(version.number) == number:
            return version
    there = ", ".join(f"{version.number}" + "".join(f" @{one}" for one in version.aliases) for version in held)
    missing = f"alias {alias}" if alias else f"version {number}"
    raise RegistryError(model, f"no {missing}; {name} has versions {there}", "Choose one of these")


def resolve(model: str | Path) -> Path:
    """The folder of the bundle that `model` names: itself, the one inside a run, or a version's, fetched if need be.

    A version of a remote registry is fetched once and kept under ``$XDG_CACHE_HOME/corebank/models`` (``~/.cache/...``
    where that is not set). Raises `RegistryError` when there is no such model.
    """
    if not str(model).startswith("models:/"):
        return bundle_folder(Path(model))
    version = find(str(model))
    with _store() as client:
        from mlflow.artifacts import download_artifacts

        inside = f"{version.uri}/artifacts/bundle"
        if not re.match(REMOTE, client.get_model_version_download_uri(version.name, str(version.number))):
            return Path(download_artifacts(artifact_uri=inside))
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        kept = cache / "corebank" / "models" / version.tags[DIGEST]
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:  # a killed fetch leaves nothing half there
                Path(download_artifacts(artifact_uri=inside, dst_path=scratch)).rename(kept)
        return kept


def pull(model: str | Path, folder: Path) -> Path:
    """Copy the bundle that `model` names into `folder`, check it and return the folder.

    Raises `RegistryError` when the folder already holds something, `BundleError` when the copy is damaged.
    """
    source = resolve(model)
    if folder.exists() and any(folder.iterdir()):
        raise RegistryError(folder, "holds files already", "Name a new folder")
    shutil.copytree(source, folder, dirs_exist_ok=True)
    bundle.load(folder)
    return folder


def pin(model: str | Path) -> str:
    """A name for `model` that stays true when aliases move: ``models:/name/number``, or the digest of a bundle."""
    if str(model).startswith("models:/"):
        return find(str(model)).uri
    return f"sha256:{digest(Path(model))}"


def trained_on(site: str, expedition: str, core: str = "") -> list[Version]:
    """Registered versions that have seen an expedition, or one core of it, themselves or through a parent."""
    tag = key(f"{CORES}{site}/{expedition}")
    return [one for one in versions() if tag in one.tags and (not core or core in json.loads(one.tags[tag]))]


def serve(quantify: Callable[[bundle.Bundle, Any], pd.DataFrame]) -> None:
    """Make `quantify` what MLflow calls for this model; run by `CODE` when MLflow loads a version."""
    mlflow = _mlflow()

    class Quantify(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]  # its base is only known at run time
        def load_context(self, context: Any) -> None:
            self.bundle = bundle.load(Path(context.artifacts["bundle"]))

        # Without an input schema MLflow hands over whatever it is given, also a Dataset; the hint spares a warning.
        def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
            return quantify(self.bundle, model_input)

    mlflow.models.set_model(Quantify())


def _mlflow() -> Any:
    """The mlflow module, imported quietly: it warns about its own type hints, reports home, and prints where it is."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # 7 keep one waiting minutes for a dead server
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        import mlflow.pyfunc
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    return mlflow


@contextmanager
def _store() -> Iterator[MlflowClient]:
    """A client of the tracking server; what MLflow refuses comes out as `RegistryError`."""
    mlflow, uri = _mlflow(), tracking_uri()
    if path := _sqlite_path(uri):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        mlflow.set_tracking_uri(uri)
        yield mlflow.MlflowClient()
    except mlflow.exceptions.MlflowException as error:
        raise RegistryError(
            uri, str(error).splitlines()[0].rstrip("."), "Check MLFLOW_TRACKING_URI and that its server runs"
        ) from error


def _sqlite_path(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]).absolute() if uri.startswith("sqlite:///") else None


def _new_run(client: MlflowClient, experiment: str, name: str, tags: Mapping[str, str]) -> str:
    """Start a run and return its identifier; artifacts of an sqlite store go beside its file."""
    found = client.get_experiment_by_name(experiment)
    if found is None:
        path = _sqlite_path(tracking_uri())
        place = (path.parent / "artifacts").as_uri() if path else None
        made = client.create_experiment(experiment, artifact_location=place)
    run = client.create_run(found.experiment_id if found else made, run_name=name, tags={**tags, "mlflow.user": _who()})
    return str(run.info.run_id)


def _log_model(client: MlflowClient, folder: Path, tags: Mapping[str, str]) -> tuple[str, str]:
    """Store the bundle as a model of the run that made it, or of a new one; return the identifiers of run and model."""
    mlflow = _mlflow()
    experiments = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.`{DIGEST}` = '{tags[DIGEST]}'", max_results=1)
    run = runs[0].info.run_id if runs else _new_run(client, "registered", folder.name, {DIGEST: tags[DIGEST]})
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about an input example, which a Dataset cannot be
        files, code = Path(scratch) / "bundle", Path(scratch) / "corebank_model.py"
        files.mkdir()
        for name in (bundle.WEIGHTS, bundle.DOCUMENT):  # these two and nothing else that may lie beside them
            shutil.copy2(folder / name, files / name)
        code.write_text(CODE, encoding="utf-8")
        with mlflow.start_run(run_id=run, nested=True):
            info = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(code),
                artifacts={"bundle": str(files)},
                tags=dict(tags),
                pip_requirements=[f"corebank[models]=={__version__}"],  # else MLflow runs the model to find out
            )
    return str(run), str(info.model_id)


def _who() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"
