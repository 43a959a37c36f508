"""Start a registry that several people share: an MLflow server, on this machine alone unless you say otherwise.

    python -m registry.serve [--port 5000] [--backend URL] [--artifacts URL]

Everybody sets MLFLOW_TRACKING_URI to the address that it prints. Ctrl-C stops it. Without options it keeps an sqlite
file and a folder of files in runs/server: a store of its own, since the file that programs write when no server runs,
runs/mlflow.db, holds the paths of one machine.
"""

from __future__ import annotations

import ipaddress
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

import cyclopts

from corebank import cli
from corebank.errors import RegistryError

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # with it: 15 processes and 2 GB, for services that models lack
}
"""What the server reads from the environment, where it says nothing else."""

PATIENCE = 180
"""Seconds that the server may take to come up; alone on a machine it takes five, and making a database thirty."""

GRACE = 15
"""Seconds that it has to end by itself."""

DRIVERS = {"postgresql": ("psycopg", "psycopg2"), "mysql": ("pymysql",)}
"""Kind of database -> modules that speak to it, the better one first; the name is SQLAlchemy's for it, too."""

app = cyclopts.App(name="python -m registry.serve", help=__doc__, result_action="return_value")


@app.default
def serve(
    *,
    port: int = 5000,
    host: str = "127.0.0.1",
    backend: str = "",
    artifacts: str = "",
    workers: int = 1,
    expose: str = "",
    allow: tuple[str, ...] = (),
) -> None:
    """Run the server until Ctrl-C, and print the line that makes other programs use it.

    Parameters
    ----------
    port
        Port to listen on; 0 takes a free one.
    host
        Address to listen on. Another than this machine's own needs --expose.
    backend
        Database of runs and versions, sqlite:///... or postgresql://...; unless given, MLFLOW_BACKEND_STORE_URI, or
        runs/server/registry.db. A password in it is refused: it belongs in PGPASSWORD, or into that variable.
    artifacts
        Where files of runs and models lie, a folder or s3://...; unless given, MLFLOW_ARTIFACTS_DESTINATION, or
        runs/server/artifacts. The server alone speaks to it, with the credentials of its own environment.
    workers
        Processes that answer.
    expose
        Why others may reach it. MLflow asks nobody who they are: whoever reaches the server may read, write and delete.
    allow
        Name or address by which others reach it; may be given several times.
    """
    own = Path.cwd() / "runs" / "server"
    _refuse_outsiders(host, expose)
    _refuse_password(backend)
    database = backend or os.environ.get("MLFLOW_BACKEND_STORE_URI") or f"sqlite:///{own / 'registry.db'}"
    place = artifacts or os.environ.get("MLFLOW_ARTIFACTS_DESTINATION") or str(own / "artifacts")
    database = _ready(database)
    if place.startswith("s3://") and find_spec("boto3") is None:
        raise RegistryError(place, "boto3 is needed to speak to it", "Install it: pip install boto3")
    chosen = _free(host, port)
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(chosen)]
    command += ["--workers", str(workers)]
    command += ["--uvicorn-opts", "--log-level warning"]
    if allow:
        known = ("localhost:*", "127.0.0.1:*", *allow, *(f"{name}:*" for name in allow))
        command += ["--allowed-hosts", ",".join(known)]
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    for name, value in SETTINGS.items():
        environment.setdefault(name, value)
    # Through the environment: a command line is read by everyone on the machine.
    environment |= {"MLFLOW_BACKEND_STORE_URI": database, "MLFLOW_ARTIFACTS_DESTINATION": place}
    _run(command, environment, host, chosen, f"{_without_password(database)} with files in {place}", expose)


def _run(command: list[str], environment: Mapping[str, str], host: str, port: int, what: str, expose: str) -> None:
    """Run the server until it is told to stop; raises `RegistryError` when it ends by itself."""
    for stop in (signal.SIGINT, signal.SIGTERM):  # a shell that starts it in the background has Ctrl-C ignored
        signal.signal(stop, _interrupt)
    # Its own words go to stderr: stdout is for the one line that a shell can evaluate.
    process = subprocess.Popen(command, env=environment, stdout=sys.stderr, start_new_session=True)  # noqa: S603 - no shell
    everywhere = host != "localhost" and ipaddress.ip_address(host).is_unspecified
    shown = socket.gethostname() if everywhere else f"[{host}]" if ":" in host else host
    here = ("[::1]" if ":" in host else "127.0.0.1") if everywhere else shown
    address = f"http://{shown}:{port}"
    try:
        _wait(process, f"http://{here}:{port}")
        print(f"export MLFLOW_TRACKING_URI={address}", flush=True)
        print(f"corebank: serving {what}; Ctrl-C stops it", file=sys.stderr)
        if expose:
            print(f"corebank: others reach it, since {expose}; it asks nobody who they are", file=sys.stderr)
        process.wait()
    except KeyboardInterrupt:
        print("corebank: the server stops", file=sys.stderr)
        return
    finally:
        _stop(process)
    raise RegistryError(address, f"the server ended with code {process.returncode}", "See what it said above")


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    """Return when the server answers; raises `RegistryError` when it ends before, or takes longer than `PATIENCE`."""
    import requests

    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        with suppress(requests.RequestException):
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        time.sleep(0.2)
    found = "did not come up" if process.poll() is None else f"ended with code {process.returncode} before it came up"
    raise RegistryError(address, f"the server {found}", "See what it said above")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and every process that it started."""
    for late in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, late) if hasattr(os, "killpg") else process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does, also when a service manager says so."""
    raise KeyboardInterrupt


def _refuse_outsiders(host: str, expose: str) -> None:
    """Raise `RegistryError` when others could reach `host` and nobody said why they may."""
    try:
        alone = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError as error:
        raise RegistryError(f"--host {host}", "not an IP address", "Give the address to listen on") from error
    if not alone and not expose:
        raise RegistryError(
            f"--host {host}",
            "other machines could reach it, and MLflow asks nobody who they are",
            'Leave it away, or put a proxy that does before it; else say why they may: --expose "REASON"',
        )


def _refuse_password(backend: str) -> None:
    """Raise `RegistryError` when a command line, which everyone on the machine can read, holds a password."""
    if re.search(r"://[^/@]*:[^/@]+@", backend):
        raise RegistryError(
            _without_password(backend),
            "--backend holds a password, which everyone on this machine can read",
            "Put it into PGPASSWORD, or the whole address into MLFLOW_BACKEND_STORE_URI",
        )


def _ready(database: str) -> str:
    """`database`, with the folder of an sqlite file made, or with the module named that speaks to another kind.

    Named, since SQLAlchemy's own choice is another one from version to version. Raises `RegistryError` when there is
    no such module.
    """
    if database.startswith("sqlite:///"):
        Path(database.removeprefix("sqlite:///")).absolute().parent.mkdir(parents=True, exist_ok=True)
        return database
    kind, _, rest = database.partition("://")
    if kind not in DRIVERS:
        return database
    if driver := next((module for module in DRIVERS[kind] if find_spec(module)), None):
        return f"{kind}+{driver}://{rest}"
    found = f"{' or '.join(DRIVERS[kind])} is needed to speak to it"
    raise RegistryError(_without_password(database), found, f"Install it: pip install {DRIVERS[kind][0]}")


def _free(host: str, port: int) -> int:
    """`port`, or a free one for 0; raises `RegistryError` when something listens there already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does after a restart
        try:
            probe.bind((host, port))
        except OSError as error:
            raise RegistryError(
                f"{host}:{port}", f"cannot be listened on: {error.strerror or error}", "Choose another with --port"
            ) from error
        return int(probe.getsockname()[1])


def _without_password(address: str) -> str:
    return re.sub(r"(?<=://)[^/@]*@", "", address)


if __name__ == "__main__":
    cli.run(app)
