"""Runs in MLflow: what a training run did, with which settings, and on which snapshots of which banks."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from corebank import bundle
from corebank.errors import RegistryError
from corebank.hub import store
from corebank.hub.tags import DIGEST, flat, key, of_bundle

if TYPE_CHECKING:
    from corebank.hub.store import MlflowClient

RECORDS = (".toml", ".json", ".md", ".csv", ".png")
"""Kinds of files that a run's record in MLflow is made of."""

METRICS_AT_ONCE, PARAMS_AT_ONCE = 1000, 100
"""MLflow takes no more in one request."""

T = TypeVar("T")


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

    Raises `RegistryError` when the registry does not answer or does not take it. The run's folder is complete all the
    same, and the error says how it is published later; a record that stops half-way is marked as failed.
    """
    try:
        with store.connect() as client:
            run = new_run(client, experiment, run_dir.name, of_bundle(run_dir))
            try:
                _fill(client, run, run_dir, params, metrics, datasets)
            except BaseException:
                _give_up(client, run)
                raise
            return run
    except RegistryError as error:
        raise RegistryError(
            error.where,
            f"{error.found}; the run is not recorded there, its folder {run_dir} is complete",
            f"{error.fix}, then publish it: python -m registry.publish {run_dir}",
        ) from error


def new_run(client: MlflowClient, experiment: str, name: str, tags: Mapping[str, str]) -> str:
    """Start a run and return its identifier; artifacts of an sqlite store go beside its file.

    Raises `RegistryError` when the experiment keeps its files on the disk of another machine: MLflow would write them
    to a folder of that name on this one.
    """
    uri = store.tracking_uri()
    found = client.get_experiment_by_name(experiment)
    if found is None:
        path = store.sqlite_path(uri)
        identifier = client.create_experiment(
            experiment, artifact_location=(path.parent / "artifacts").as_uri() if path else None
        )
    else:
        identifier, place = found.experiment_id, str(found.artifact_location)
        if (
            uri.startswith("http")
            and not store.REMOTE.match(place)
            and not Path(place.removeprefix("file://")).exists()
        ):
            raise RegistryError(
                uri,
                f"the experiment {experiment} keeps its files in {place}, a folder of another machine",
                "Let python -m registry.serve keep a store of its own, which no program opens as a file",
            )
    made = client.create_run(identifier, run_name=name, tags={**tags, "mlflow.user": store.who()})
    return str(made.info.run_id)


def run_of(client: MlflowClient, folder: Path, made: bundle.Bundle) -> str:
    """The finished run in MLflow that made the bundle in `folder`, or a new one that says what the bundle knows of it.

    The second is how a run comes into the registry that could not be reached when the run ended.
    """
    digest = of_bundle(folder)[DIGEST]
    experiments = [one.experiment_id for one in client.search_experiments()]
    wanted = f"tags.`{DIGEST}` = '{digest}' and attributes.status = 'FINISHED'"
    if runs := client.search_runs(experiments, wanted, max_results=1):
        return str(runs[0].info.run_id)
    home = folder.parent if folder.name == "bundle" and (folder.parent / "recipe.toml").is_file() else folder
    metrics = {
        name: float(value)
        for name, value in flat(made.metrics)
        if isinstance(value, int | float) and math.isfinite(value)
    }
    return log_run(home, experiment="registered", params=made.recipe, metrics=metrics, datasets=made.lineage)


def _fill(
    client: MlflowClient,
    run: str,
    run_dir: Path,
    params: Mapping[str, Any],
    metrics: Mapping[str, Sequence[float] | float],
    datasets: bundle.DataLineage,
) -> None:
    """Write everything that `log_run` records, and end the run."""
    entities, now = store.mlflow().entities, int(datetime.now(UTC).timestamp() * 1000)
    points = [
        entities.Metric(key(name), float(number), now, step)
        for name, value in metrics.items()
        for step, number in enumerate([value] if isinstance(value, int | float) else value)
    ]
    for some in _parts(points, METRICS_AT_ONCE):
        client.log_batch(run, metrics=some)
    for few in _parts([entities.Param(key(name), str(value)) for name, value in flat(params)], PARAMS_AT_ONCE):
        client.log_batch(run, params=few)
    banks = [  # as MLflow's MetaDataset writes them; its digest functions would look at five spectra only
        entities.Dataset(site, snapshot, "http", json.dumps({"url": datasets.bank_urls.get(site, "")}))
        for site, snapshot in datasets.snapshots.items()
    ]
    training = entities.InputTag("mlflow.data.context", "training")
    client.log_inputs(run, [entities.DatasetInput(bank, [training]) for bank in banks])
    for path in sorted(run_dir.rglob("*")):
        inside = path.relative_to(run_dir)
        kept = path.suffix in RECORDS and path.name != bundle.DOCUMENT
        if kept and inside.parts[0] not in ("bundle", "checkpoint"):
            client.log_artifact(run, str(path), "" if inside.parent == Path() else inside.parent.as_posix())
    client.set_terminated(run)


def _give_up(client: MlflowClient, run: str) -> None:
    """Mark a run that could not be recorded whole as failed, so that nobody takes it for one; if that is possible."""
    from contextlib import suppress

    with suppress(Exception):  # the error that brought us here is the one to tell
        client.set_terminated(run, status="FAILED")


def _parts(whole: list[T], size: int) -> Iterator[list[T]]:
    """`whole` in lists of at most `size`."""
    for first in range(0, len(whole), size):
        yield whole[first : first + size]
