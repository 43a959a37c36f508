"""``catalog.yaml``: the Intake entries of a bank, written beside it after each commit; and with it ``index.json``.

Intake's first catalog format with an own driver is the one that lists, searches, checks parameters and opens from any
working directory in Intake 2 (docs/decisions/0003-intake.md). Both files are made from the bank, so they can be made
again at any time, and each is replaced in one step. Of what no commit has touched since they were made, the former
text is kept: an addition costs what it adds, however much the bank holds.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from corebank.bank import index

if TYPE_CHECKING:
    from corebank.bank.repository import Repository
    from corebank.bank.view import View

FILE_NAME = "catalog.yaml"

HERE = "{{ CATALOG_DIR }}"
"""The folder that a catalog file lies in, as Intake writes it."""

_AT = {"description": "snapshot, release or branch of the bank", "type": "str", "default": "main"}

_OPENING = "# Written by corebank from the bank itself; changes made here are lost with the next contribution.\n"


class _Plain(yaml.SafeDumper):
    """YAML without anchors: a value that stands twice is written twice, as a person would."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def publish(view: View, repository: Repository, *, anew: bool = False) -> None:
    """Write ``catalog.yaml`` and ``index.json`` of what `view` shows beside its repository.

    Nothing is written where both files show this snapshot, or a later one that another writer published. With `anew`
    nothing is taken over from the files that are there.
    """
    before, blocks = _published(repository)
    touched: frozenset[str] | None = None
    if before is not None and not anew:
        touched = repository.touched(before["snapshot"], view.snapshot)
        if before["snapshot"] == view.snapshot or (
            touched is None and repository.touched(view.snapshot, before["snapshot"]) is not None
        ):
            return
    if touched is None:
        before, blocks = None, {}
    changed = {path.partition("/")[0] for path in touched or ()}
    parts = [
        blocks[name] if name in blocks and name not in changed else _block(view.site, name, view.attributes(name), HERE)
        for name in view.expeditions()
    ]
    content = _whole(view.site, parts, HERE, view.snapshot)
    found = {**index.made(view, before, touched), "catalog_sha256": _sha256(content)}
    # The index last: it names the catalog's hash, and by that a process killed in between is found out.
    repository.write_text(FILE_NAME, content)
    repository.write_text(index.FILE_NAME, index.text(found))


def text(site: str, expeditions: Mapping[str, Mapping[str, Any]], bank: str = HERE, snapshot: str = "") -> str:
    """The YAML of a bank's catalog.

    Parameters
    ----------
    site
        Name of the lab.
    expeditions
        Name -> attributes, with ``runs`` (name -> number of spectra) and ``measurements`` (their number).
    bank
        The bank's address as seen from the catalog file.
    snapshot
        The snapshot that the catalog shows.
    """
    return _whole(site, [_block(site, name, about, bank) for name, about in expeditions.items()], bank, snapshot)


def _published(repository: Repository) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """The index beside a repository and the catalog's block of each expedition; None unless they belong together."""
    before = index.parsed(repository.read_text(index.FILE_NAME))
    content = repository.read_text(FILE_NAME)
    if before is None or content is None or before.pop("catalog_sha256", "") != _sha256(content):
        return None, {}
    blocks: dict[str, str] = {}
    # At two spaces' indent stand the names of entries, and nothing else; what follows args is no contributor's text.
    for part in re.split(r"^(?=  [^ \n])", content, flags=re.MULTILINE):
        if owner := re.search(r"^    args:\n      bank: [^\n]*\n      expedition: ([^\n]*)$", part, re.MULTILINE):
            name = str(yaml.safe_load(owner[1]))
            blocks[name] = blocks.get(name, "") + part
    return before, blocks


def _whole(site: str, blocks: list[str], bank: str, snapshot: str) -> str:
    about = {"version": 1, "site": site, "bank": bank, **({"snapshot": snapshot} if snapshot else {})}
    return _OPENING + _yaml({"metadata": about}) + ("sources:\n" + "".join(blocks) if blocks else "sources: {}\n")


def _block(site: str, name: str, attributes: Mapping[str, Any], bank: str) -> str:
    """The lines of one expedition: its spectra, and its measurements where it has some."""
    about = {key: _literal(value) for key, value in attributes.items() if value not in ("", None)}
    entries: dict[str, Any] = {
        name: {
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
    }
    if attributes.get("measurements"):
        entries[f"{name}-measurements"] = {
            "driver": "corebank_measurements",
            "description": f"laboratory values of {attributes.get('title', name)}",
            "args": {"bank": bank, "expedition": name, "at": "{{ at }}"},
            "parameters": {"at": _AT},
            "metadata": {
                key: about[key]
                for key in ("licence", "doi", "citation", "embargo_until", "measurements")
                if key in about
            }
            | {"site": site},
        }
    return _yaml({"sources": entries}).partition("\n")[2]


def _yaml(document: Mapping[str, Any]) -> str:
    return str(yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120))


def _sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


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
