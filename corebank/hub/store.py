"""The way to MLflow: which store is asked, how it is reached, and what happens when it does not answer.

This is the only module that imports mlflow, and it does so late: it takes 1.6 s.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corebank.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient as MlflowClient

PATIENCE = 10
"""Seconds in which a server has to answer the first question; it needs milliseconds for it."""

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # MLflow's 7 keep one waiting for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",  # seconds; an answer to a question about 2,000 versions takes one
}
"""What MLflow reads from the environment, where it says nothing else."""

REMOTE = re.compile(r"(?!file:)[a-z][a-z0-9+.-]+:")
"""URLs that are not a file on this machine; a single letter is a Windows drive."""

_STORAGE = ("botocore", "boto3", "s3transfer", "sqlalchemy", "requests", "urllib3")
"""Packages whose errors mean that the store, or the place of its files, did not do what it was asked."""

_answered: set[str] = set()
"""Servers that have answered this process."""


def tracking_uri() -> str:
    """``MLFLOW_TRACKING_URI``, or an sqlite file beside the runs: ``runs/mlflow.db`` below the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'runs' / 'mlflow.db'}"


def exists() -> bool:
    """Whether there is a registry to ask: a server, or an sqlite file that is there. Nothing is made, or asked."""
    path = sqlite_path(tracking_uri())
    return path is None or path.is_file()


def mlflow() -> Any:
    """The mlflow module, imported quietly: it warns about its own type hints, reports home, and prints where it is."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        import mlflow.pyfunc
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    return mlflow


@contextmanager
def connect() -> Iterator[MlflowClient]:
    """A client of the tracking server.

    Raises `RegistryError` when a server does not answer within `PATIENCE`, and in place of whatever MLflow, its
    database or the place of its files refuse.
    """
    uri = tracking_uri()
    _ask(uri)
    module = mlflow()
    try:
        if path := sqlite_path(uri):
            path.parent.mkdir(parents=True, exist_ok=True)
        module.set_tracking_uri(uri)
        yield module.MlflowClient()
    except module.exceptions.MlflowException as error:
        raise _refused(uri, error) from error
    except Exception as error:
        if not isinstance(error, OSError) and not type(error).__module__.startswith(_STORAGE):
            raise
        raise _refused(uri, error) from error


def missing(error: Exception) -> bool:
    """Whether MLflow says that a model, version or alias is not there; an alias that is none counts as invalid."""
    return getattr(error, "error_code", "") in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def sqlite_path(uri: str) -> Path | None:
    """The file of an sqlite store; None for any other."""
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]).absolute() if uri.startswith("sqlite:///") else None


def who() -> str:
    """Name of the user at work, who is recorded with what they do."""
    try:
        return getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def _ask(uri: str) -> None:
    """Raise `RegistryError` unless `uri` is no server, or one that answers; any answer will do, also "not found"."""
    if uri in _answered or not uri.startswith(("http://", "https://")):
        return
    import requests

    patience = min(PATIENCE, float(os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT") or PATIENCE))
    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=patience, allow_redirects=False)
    except requests.RequestException as error:
        silent = isinstance(error, requests.Timeout)
        raise RegistryError(
            _without_password(uri),
            f"the server of the registry {f'said nothing for {patience:g} s' if silent else 'cannot be reached'}",
            "Check MLFLOW_TRACKING_URI and that its server runs (python -m registry.serve starts one)",
        ) from error
    _answered.add(uri)


def _refused(uri: str, error: Exception) -> RegistryError:
    """What `error` says in its first line, without any password."""
    said = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    return RegistryError(
        _without_password(uri), _without_password(said), "Check MLFLOW_TRACKING_URI and that its server runs"
    )


def _without_password(text: str) -> str:
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)
