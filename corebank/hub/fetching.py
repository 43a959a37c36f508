"""Bundles out of the registry, checked by their hashes before anybody uses them."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from corebank import bundle
from corebank.errors import BundleError, RegistryError
from corebank.hub import searching, store
from corebank.hub.tags import DIGEST, Version, bundle_folder, digest


def resolve(model: str | Path) -> Path:
    """The folder of the bundle that `model` names: itself, the one inside a run, or a version's, fetched if need be.

    A version of a remote registry is fetched once and kept under ``$XDG_CACHE_HOME/corebank/models`` (``~/.cache/...``
    where that is not set); a copy that was damaged there since is fetched anew.

    Raises `RegistryError` when there is no such model, `BundleError` when what the registry stores is not the bundle
    that was registered.
    """
    if not str(model).startswith("models:/"):
        return bundle_folder(Path(model))
    version = searching.find(str(model))
    if DIGEST not in version.tags:
        raise RegistryError(
            version.uri, "no bundle: something other than corebank registered it", "Load it with mlflow.pyfunc"
        )
    with store.connect() as client:
        download = store.mlflow().artifacts.download_artifacts
        inside = f"{version.uri}/artifacts/bundle"
        if not store.REMOTE.match(client.get_model_version_download_uri(version.name, str(version.number))):
            return _checked(Path(download(artifact_uri=inside)), version)
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        kept = cache / "corebank" / "models" / version.tags[DIGEST]
        if kept.exists():
            try:
                return _checked(kept, version)
            except BundleError:
                shutil.rmtree(kept)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:  # a killed fetch leaves nothing half there
            fetched = _checked(Path(download(artifact_uri=inside, dst_path=scratch)), version)
            try:
                fetched.rename(kept)
            except OSError:  # another process was faster
                _checked(kept, version)
        return kept


def pull(model: str | Path, folder: Path) -> Path:
    """Copy the bundle that `model` names into `folder`, check it and return the folder.

    Raises `RegistryError` when the folder already holds something, `BundleError` when what is stored is damaged.
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
        return searching.find(str(model)).uri
    return f"sha256:{digest(Path(model))}"


def _checked(folder: Path, version: Version) -> Path:
    """`folder` when it holds, byte for byte, the bundle that was registered as `version`; raises `BundleError`.

    A bundle vouches for itself with hashes inside it. The hash in the version's tags says that it is the right one.
    """
    advice = f"Ask who keeps {store.tracking_uri()} to restore {version.uri}, or register it again"
    try:
        document = bundle.read_document(folder)
    except BundleError as error:
        raise BundleError(version.uri, f"what is stored is damaged: {bundle.DOCUMENT} {error.found}", advice) from error
    if document["sha256"] != version.tags[DIGEST]:
        raise BundleError(version.uri, "another bundle is stored than the one that was registered", advice)
    weights = folder / bundle.WEIGHTS
    if not weights.is_file() or hashlib.sha256(weights.read_bytes()).hexdigest() != document["weights_sha256"]:
        raise BundleError(
            version.uri, f"what is stored is damaged: {bundle.WEIGHTS} is not what was registered", advice
        )
    return folder
