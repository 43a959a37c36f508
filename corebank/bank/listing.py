"""``catalog.yaml``: the Intake entries of a bank, written beside it after each commit.

Intake's first catalog format with an own driver is the one that lists, searches, checks parameters and opens from any
working directory in Intake 2 (docs/decisions/0003-intake.md). The file is plain text made from the bank, so it can be
made again at any time, and is replaced in one step.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FILE_NAME = "catalog.yaml"

_AT = {"description": "snapshot, release or branch of the bank", "type": "str", "default": "main"}


class _Plain(yaml.SafeDumper):
    """YAML without anchors: a value that stands twice is written twice, as a person would."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def text(site: str, expeditions: Mapping[str, Mapping[str, Any]], bank: str = "{{ CATALOG_DIR }}") -> str:
    """The YAML of a bank's catalog.

    Parameters
    ----------
    site
        Name of the lab.
    expeditions
        Name -> attributes, with ``runs`` (name -> number of spectra) and ``measurements`` (their number).
    bank
        The bank's address as seen from the catalog file.
    """
    sources: dict[str, Any] = {}
    for name, attributes in expeditions.items():
        about = {key: _literal(value) for key, value in attributes.items() if value not in ("", None)}
        sources[name] = {
            "driver": "corebank_spectra",
            "description": attributes.get("title", name),
            "args": {"bank": bank, "expedition": name, "run": "{{ run }}", "level": "{{ level }}", "at": "{{ at }}"},
            "parameters": {
                "run": {
                    "description": "one run, or empty for all of them",
                    "type": "str",
                    "default": "",
                    "allowed": ["", *attributes.get("runs", {})],
                },
                "level": {
                    "description": "intensity on the common grid, or counts by detector channel",
                    "type": "str",
                    "default": "intensity",
                    "allowed": ["intensity", "counts"],
                },
                "at": _AT,
            },
            "metadata": {**about, "site": site},
        }
        if attributes.get("measurements"):
            sources[f"{name}-measurements"] = {
                "driver": "corebank_measurements",
                "description": f"laboratory values of {attributes.get('title', name)}",
                "args": {"bank": bank, "expedition": name, "at": "{{ at }}"},
                "parameters": {"at": _AT},
                "metadata": {key: about[key] for key in ("licence", "doi", "citation", "measurements") if key in about}
                | {"site": site},
            }
    document = {"metadata": {"version": 1, "site": site}, "sources": sources}
    return (
        "# Written by corebank from the bank itself; changes made here are lost with the next contribution.\n"
        + yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)
    )


def _literal(value: Any) -> Any:
    """`value` such that Intake hands it on as it is.

    Intake expands metadata as Jinja templates when an entry is opened, with functions that read the environment and
    start programs; a contributor's words must not reach them.
    """
    if isinstance(value, str):
        return re.sub(r"\{(?=[{%#])", "{{ '{' }}", value)
    if isinstance(value, Mapping):
        return {key: _literal(inner) for key, inner in value.items()}
    return [_literal(inner) for inner in value] if isinstance(value, list) else value


def write(path: Path, content: str) -> None:
    """Replace `path` by `content` in one step, so that no reader meets half a file."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(content, encoding="utf-8")
    scratch.replace(path)
