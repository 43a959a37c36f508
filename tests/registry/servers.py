"""Registries that tests start and stop: a real MLflow server, on sqlite or PostgreSQL, with its files on S3."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]


@contextmanager
def registry(folder: Path, *arguments: str, environment: Mapping[str, str]) -> Iterator[str]:
    """``python -m registry.serve`` on a free port; its address. Ctrl-C ends it, and all that it started."""
    command = [sys.executable, "-m", "registry.serve", "--port", "0", *arguments]
    place = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=place, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    started: list[psutil.Process] = []
    try:
        line = process.stdout.readline()
        assert line.startswith("export MLFLOW_TRACKING_URI=http://127.0.0.1:"), (folder / "server.log").read_text()
        started = psutil.Process(process.pid).children(recursive=True)
        yield line.strip().removeprefix("export MLFLOW_TRACKING_URI=")
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
        process.stdout.close()
    assert code == 0
    assert started
    assert psutil.wait_procs(started, timeout=10)[1] == []


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """An empty PostgreSQL database on a free port of this machine; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL does not run as root
    data, logs = folder / "data", folder / "postgresql.log"
    folder.mkdir()
    for path in [folder, *folder.parents]:
        if user and path.owner() == "root" and path.is_relative_to(Path("/tmp")) and path != Path("/tmp"):
            path.chmod(0o755)
    if user:
        shutil.chown(folder, user)
    whose = {"user": user, "cwd": folder} if user else {"cwd": folder}
    make = ["initdb", "--pgdata", str(data), "--auth", "trust", "--username", "lab", "--no-sync"]
    subprocess.run(make, check=True, capture_output=True, **whose)  # type: ignore[call-overload]
    with logs.open("w") as log:
        process = subprocess.Popen(  # type: ignore[call-overload]
            ["postgres", "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-F"],
            stdout=log,
            stderr=log,
            **whose,
        )
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            if subprocess.run(["pg_isready", "-h", "127.0.0.1", "-p", str(port)], capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        yield f"postgresql://lab@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
