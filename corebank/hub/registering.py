"""Bundles into the registry: a version is code, safetensors and JSON, and nothing in it is pickled."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from corebank import __version__, bundle
from corebank.hub import runs, searching, served, store
from corebank.hub.aliases import point
from corebank.hub.tags import DIGEST, Version, bundle_folder, of_bundle, of_lineage

if TYPE_CHECKING:
    from corebank.hub.store import MlflowClient

DESCRIPTION = 5000
"""Characters of a version's description that a PostgreSQL or MySQL server takes."""


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
    with store.connect() as client:
        tags = {**of_bundle(folder), **of_lineage(made.lineage)}
        version = searching.holding(client, name, tags[DIGEST])
        if version is None:
            owner, model = _log_model(client, folder, made)
            if not client.search_registered_models(f"name = '{name}'"):
                client.create_registered_model(name)
            new = client.create_model_version(name, f"models:/{model}", owner, tags, model_id=model)
            version = Version(name=name, number=int(new.version), aliases=(), tags=tags)
    if alias is not None:
        point(alias, version, why=why)
    return version.uri


def describe(version: Version, card: str, tags: Mapping[str, str], files: Mapping[str, str] | None = None) -> None:
    """Give `version` a card (Markdown), further tags, and files that people read.

    The card is the version's description in MLflow, up to `DESCRIPTION` characters of it, and whole as ``card.md``
    among the files of its run; `files` (name to text, ``card.html``) lie beside it.
    """
    with store.connect() as client:
        rest = "\n\n... (the whole card is card.md among the files of this version's run)"
        short = card if len(card) <= DESCRIPTION else card[: DESCRIPTION - len(rest)] + rest
        client.update_model_version(version.name, str(version.number), short)
        for tag, value in tags.items():
            client.set_model_version_tag(version.name, str(version.number), tag, value)
        owner = version.run or str(client.get_model_version(version.name, str(version.number)).run_id)
        for file, text in {"card.md": card, **(files or {})}.items():
            client.log_text(owner, text, f"{version.name}-{version.number}/{file}")


def _log_model(client: MlflowClient, folder: Path, made: bundle.Bundle) -> tuple[str, str]:
    """Store the bundle as a model of the run that made it, or of a new one; return the identifiers of run and model."""
    mlflow, shown = store.mlflow(), served.example(made)
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a signature without an input schema, which would refuse a Dataset
        files, code = Path(scratch) / "bundle", Path(scratch) / "corebank_model.py"
        files.mkdir()
        for name in (bundle.WEIGHTS, bundle.DOCUMENT):  # these two and nothing else that may lie beside them
            shutil.copy2(folder / name, files / name)
        code.write_text(served.CODE, encoding="utf-8")
        model = {
            "python_model": str(code),
            "artifacts": {"bundle": str(files)},
            "pip_requirements": [f"corebank[models]=={__version__}"],  # else MLflow runs the model to find out
        }
        values = None
        if shown is not None:  # what cannot predict through MLflow is not registered
            mlflow.pyfunc.save_model(path=f"{scratch}/tried", **model)
            values = mlflow.pyfunc.load_model(f"{scratch}/tried").predict(shown)
        owner = runs.run_of(client, folder, made)
        with mlflow.start_run(run_id=owner, nested=True):
            info = mlflow.pyfunc.log_model(
                name="model",
                tags=of_bundle(folder),
                signature=served.signature(values),
                input_example=shown,
                **model,
            )
    return owner, str(info.model_id)
