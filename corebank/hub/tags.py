"""What the tags of a registered version say about its bundle; nothing here knows MLflow but for what its keys allow."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corebank import bundle
from corebank.errors import RegistryError

SNAPSHOT, CORES, PARENT, DIGEST = "corebank.snapshot.", "corebank.cores.", "corebank.parent", "corebank.bundle"
RECIPE, KIND, PROXIES, GATE = "corebank.recipe", "corebank.kind", "corebank.proxies", "corebank.gate"
LICENCES, SYNTHETIC, MADE_BY = "corebank.licences", "corebank.synthetic", "corebank.version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One registered version of a model."""

    name: str
    number: int
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    """What `register` and `point` wrote: snapshots, cores, parent, recipe, and who moved which alias when and why."""

    registered: str = ""
    """When, in UTC: ``2026-03-01T09:30:00Z``."""

    run: str = ""
    """MLflow's identifier of the run that it belongs to."""

    @property
    def uri(self) -> str:
        """``models:/name/number``."""
        return f"models:/{self.name}/{self.number}"

    @property
    def snapshots(self) -> dict[str, str]:
        """Site to the snapshot of its bank that it has seen, itself or through a parent, as for all that follows."""
        return {tag.removeprefix(SNAPSHOT): one for tag, one in self.tags.items() if tag.startswith(SNAPSHOT)}

    @property
    def cores(self) -> dict[str, tuple[str, ...]]:
        """``site/expedition`` to the names of the cores seen."""
        return {
            tag.removeprefix(CORES): tuple(json.loads(names))
            for tag, names in sorted(self.tags.items())
            if tag.startswith(CORES)
        }

    @property
    def licences(self) -> dict[str, str]:
        """``site/expedition`` to licence; empty for versions that were registered before it was recorded."""
        return dict(json.loads(self.tags.get(LICENCES, "{}")))

    @property
    def synthetic(self) -> tuple[str, ...]:
        """Expeditions seen whose spectra no scanner measured, as ``site/expedition``."""
        return tuple(json.loads(self.tags.get(SYNTHETIC, "[]")))

    @property
    def parent(self) -> str:
        """The model it was continued or fine-tuned from; empty when there is none."""
        return self.tags.get(PARENT, "")

    def has_seen(self, site: str, expedition: str, core: str = "") -> bool:
        """Whether it has seen an expedition, or one core of it, itself or through a parent."""
        names = self.tags.get(key(f"{CORES}{site}/{expedition}"))
        return names is not None and (not core or core in json.loads(names))


def bundle_folder(path: Path) -> Path:
    """`path` when it holds a bundle, or the bundle inside the run that it is."""
    for folder in (path, path / "bundle"):
        if (folder / bundle.DOCUMENT).is_file():
            return folder
    raise RegistryError(
        path,
        f"no {bundle.DOCUMENT} here or in bundle/",
        "Name the folder of a bundle or of a finished run, or models:/name@alias",
    )


def digest(folder: Path) -> str:
    """SHA-256 that identifies the bundle in `folder`, which may be a run; raises `BundleError` when it is damaged."""
    return str(bundle.read_document(bundle_folder(folder))["sha256"])


def of_bundle(run: Path) -> dict[str, str]:
    """What identifies the bundle of a run, and tells what it is."""
    document = bundle.read_document(bundle_folder(run))
    recipe = json.dumps(document["recipe"], sort_keys=True)
    return {
        DIGEST: document["sha256"],
        RECIPE: hashlib.sha256(recipe.encode()).hexdigest()[:8],  # as in the name of the run's folder
        KIND: document["kind"],
        PROXIES: ", ".join(proxy["name"] for proxy in document["proxies"]),
        MADE_BY: document["code_version"],
    }


def of_lineage(lineage: bundle.DataLineage) -> dict[str, str]:
    """Which data a model has seen, as tags: one per bank, one per expedition with its cores, licences, the parent."""
    cores: dict[str, list[str]] = {}
    for core in lineage.cores:
        site, expedition, name = core.split("/", 2)  # a core may be called CD166/19
        cores.setdefault(key(f"{CORES}{site}/{expedition}"), []).append(name)
    return {
        **{key(SNAPSHOT + site): snapshot for site, snapshot in lineage.snapshots.items()},
        **{tag: json.dumps(names, ensure_ascii=False) for tag, names in cores.items()},
        LICENCES: json.dumps(dict(lineage.licences), ensure_ascii=False, sort_keys=True),
        SYNTHETIC: json.dumps(sorted(lineage.synthetic), ensure_ascii=False),
        **({PARENT: lineage.parent} if lineage.parent else {}),
    }


def flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of nested tables, names joined with dots: ``{"a": {"b": 1}}`` gives ``("a.b", 1)``."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def key(text: str) -> str:
    """A name as MLflow's keys allow it."""
    return re.sub(r"[^\w.\- /]", "_", text)
