"""Versions in a registry without the second that MLflow takes to log a model: for tests that need many, or history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow

from corebank import bundle, hub
from corebank.hub.tags import of_bundle, of_lineage
from tests.registry.models import quantifier


def enter(folder: Path, name: str, made: bundle.Bundle | None = None, **more: str) -> hub.Version:
    """Make a version of `name` whose files lie in `folder`, as MLflow has them, and return it."""
    made = made or quantifier()
    client: Any = mlflow.MlflowClient(hub.tracking_uri())
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    number = len(client.search_model_versions(f"name = '{name}'")) + 1
    home = folder / f"{name}-{number}"
    held = bundle.save(made, home / "artifacts" / "bundle")
    tags = {**of_bundle(held), **of_lineage(made.lineage), **more}
    client.create_model_version(name, home.as_uri(), tags=tags)
    return hub.find(f"models:/{name}/{number}")
