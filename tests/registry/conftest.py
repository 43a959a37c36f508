"""An MLflow store of their own for the registry's tests, and a way to write runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from corebank import bundle


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the one MLflow store of these tests; making one takes seconds."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def store(store_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store, as the default one while a test runs; each test uses model names of its own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store_folder}/mlflow.db")
    return store_folder


@pytest.fixture
def run(tmp_path: Path) -> Callable[[bundle.Bundle], Path]:
    """Write a bundle as a finished run and return the run's folder."""

    def write(made: bundle.Bundle) -> Path:
        folder = tmp_path / f"{made.name}-{len(list(tmp_path.iterdir()))}"
        bundle.save(made, folder / "bundle")
        (folder / "recipe.toml").write_text("epochs = 3\n")
        return folder

    return write
