"""Read the catalog of somebody else: what of it corebank opens, and what it refuses, by name and with the reason.

A member's ``catalog.yaml`` may come from anywhere. Nothing in it is run or imported: an entry has one of corebank's own
drivers and the arguments that these take, ``{{ CATALOG_DIR }}`` stands for the folder that the catalog was read from,
and every other template is text. A bank lies below that folder, or at an http or s3 address: never elsewhere on the
disk of the person who reads. docs/decisions/0014-members.md says why.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from corebank.catalog import plain
from corebank.catalog.drivers import DataSource
from corebank.catalog.entries import PARAMETERS, Entry
from corebank.catalog.fetching import scheme
from corebank.errors import EntryError

_ARGS = {
    "corebank_spectra": {"bank", "expedition", "run", "level", "at"},
    "corebank_measurements": {"bank", "expedition", "at"},
    "corebank_member": {"path", "site", "sha256", "steward", "licence", "timeout"},
}
_NEEDED = {
    "corebank_spectra": ("bank", "expedition"),
    "corebank_measurements": ("bank", "expedition"),
    "corebank_member": ("path",),
}
_DEFAULTS = {"run": "", "level": "intensity", "at": "main"}

_ENTRY = {"driver", "description", "direct_access", "args", "parameters", "metadata"}
_TOP = {"metadata", "sources", "name", "description"}

_HERE = re.compile(r"^\{\{ *CATALOG_DIR *\}\}")
_OWN = re.compile(r"^\{\{ *(run|level|at) *\}\}$")
_ESCAPED = "{{ '{' }}"  # how a bank writes a brace that Intake would take for a template


@dataclass(frozen=True, slots=True)
class Contents:
    """What a catalog holds."""

    site: str = ""
    """The lab it says it is of; empty for a catalog of catalogs."""
    bank: str = ""
    """Address of its bank, where it says so."""
    metadata: dict[str, Any] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    """Entry (or section of the file) that is not opened -> why."""


def read(
    content: bytes, where: str, folder: str, drivers: Mapping[str, type[DataSource]], *, own: bool = False
) -> Contents:
    """Read a catalog.

    Parameters
    ----------
    content
        The file.
    where
        What to call it in an error.
    folder
        The folder it lies in, as an absolute path or a URL.
    drivers
        Name -> class, of `PARAMETERS`' names.
    own
        True for a local file that the reader chose, which may name other places on the same disk.

    Raises `EntryError` when it is no catalog at all; a single entry that is not opened is in ``refused``.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EntryError(where, "is no text in UTF-8", "Give the address of a catalog.yaml") from error
    document = plain.load(text, where)
    if not isinstance(document, dict) or not isinstance(document.get("sources"), dict):
        raise EntryError(where, "is no catalog: it has no sources", "Give the address of a catalog.yaml")
    about = document.get("metadata") or {}
    if not isinstance(about, dict) or not isinstance(about.get("site", ""), str):
        raise EntryError(where, "its metadata are no names with values", "Have its owner write it again with corebank")
    refused = {f"({key})": "is no part of a catalog of corebank's" for key in sorted(set(document) - _TOP)}
    site, place = about.get("site", ""), _Place(folder, own)
    entries: dict[str, Entry] = {}
    for name, entry in document["sources"].items():
        shown = name if name.isprintable() and len(name) <= 200 else ascii(name)[:200]
        try:
            entries[name] = _entry(name, entry, where, place, site, drivers)
        except _RefusedError as error:
            refused[shown] = str(error)
    metadata = {key: _literal(value) for key, value in about.items() if key != "bank"}
    bank = about.get("bank", "")
    try:
        metadata |= {"bank": place.address(bank)} if bank else {}
    except _RefusedError as error:
        refused["(bank)"] = str(error)
    return Contents(site, metadata.get("bank", ""), metadata, entries, refused)


class _RefusedError(Exception):
    """Why an entry is not opened, as the end of a sentence that begins with its name."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a catalog was read, and with that what it may point to."""

    folder: str
    own: bool

    def address(self, written: object) -> str:
        """The place that a catalog names, or `_RefusedError`."""
        if not isinstance(written, str) or not written:
            raise _RefusedError(f"points to {written!r}, which is no address")
        if below := _HERE.match(written):
            rest = written[below.end() :]
            if rest and not rest.startswith("/"):
                raise _RefusedError(f"points to {written!r}, which is no folder")
            found = self.folder + rest.rstrip("/")
        else:
            rest, found = written, written.rstrip("/")
        if "{{" in found or "{%" in found or not found.isprintable():
            raise _RefusedError(f"points to {written!r}, and nothing is expanded in an address but CATALOG_DIR")
        if ".." in _segments(rest) and not self.own:
            raise _RefusedError(f"points to {written!r}, which leads out of its folder")
        kind = scheme(found)
        if kind in ("http", "https", "s3"):
            if "@" in urlsplit(found).netloc:
                raise _RefusedError("points to an address with credentials in it")
            return found
        if below or (kind == scheme(self.folder) and f"{found}/".startswith(f"{self.folder}/")):
            return found
        if self.own and kind in ("", "memory"):
            return found if kind else posixpath.join(self.folder, found)
        raise _RefusedError(
            f"points to {written!r}; a member's bank lies below its catalog, or at an http or s3 address"
        )


def _segments(path: str) -> list[str]:
    for _ in range(4):  # a server may undo as many layers of quoting
        path = unquote(path)
    return re.split(r"[/\\]", path)


def _entry(
    name: str, entry: object, where: str, place: _Place, site: str, drivers: Mapping[str, type[DataSource]]
) -> Entry:
    """One entry, checked; `_RefusedError` when it is not to be opened."""
    if not name or len(name) > 200 or not name.isprintable():
        raise _RefusedError("is no name for an entry")
    if not isinstance(entry, dict):
        raise _RefusedError("is no entry")
    if unknown := sorted(set(entry) - _ENTRY):
        raise _RefusedError(f"has {', '.join(map(repr, unknown))}, which no entry of corebank's has")
    driver = entry.get("driver")
    if driver == "yaml_file_cat":  # how federations named their members before they had a driver of their own
        driver = "corebank_member"
    if not isinstance(driver, str) or driver not in PARAMETERS:
        raise _RefusedError(f"has the driver {driver!r}, which is not corebank's")
    args, parameters, about = (entry.get(key) or {} for key in ("args", "parameters", "metadata"))
    if not all(isinstance(part, dict) for part in (args, parameters, about)):
        raise _RefusedError("has arguments, parameters or metadata that are no names with values")
    if unknown := sorted(set(args) - _ARGS[driver]) + sorted(set(parameters) - set(PARAMETERS[driver])):
        raise _RefusedError(f"has the argument {', '.join(map(repr, unknown))}, which {driver} does not take")
    if site and str(about.get("site", site)) != site:
        raise _RefusedError(f"names another site, {about['site']!r}")
    if missing := [key for key in _NEEDED[driver] if key not in args]:
        raise _RefusedError(f"has no {' and no '.join(missing)}")
    if wrong := _misshapen(about):
        raise _RefusedError(f"says of its {wrong} what no bank says")
    metadata = {str(key): _literal(value) for key, value in about.items()}
    if driver != "corebank_member":
        metadata |= {"site": site or str(about.get("site", "")), "catalog_dir": place.folder}
    description = entry.get("description", "")
    return Entry(
        name,
        drivers[driver],
        _arguments(driver, args, parameters, place),
        description=_literal(description) if isinstance(description, str) else "",
        metadata=metadata,
        runs=_runs(parameters) if driver == "corebank_spectra" else None,
        where=where,
    )


def _arguments(driver: str, args: dict[str, Any], parameters: dict[str, Any], place: _Place) -> dict[str, Any]:
    """What the driver is given: addresses filled in, our own parameters at their defaults, the rest as written."""
    found: dict[str, Any] = {}
    for key, value in args.items():
        if key in ("bank", "path"):
            found[key] = place.address(value)
        elif key == "timeout":
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 60:
                raise _RefusedError(f"has the timeout {value!r}, which is not between 0 and 60 s")
            found[key] = value
        elif not isinstance(value, str):
            raise _RefusedError(f"has {key} = {value!r}, which is no text")
        elif (said := _OWN.match(value)) and said[1] == key:
            parameter = parameters.get(key) or {}
            default = parameter.get("default", _DEFAULTS[key]) if isinstance(parameter, dict) else None
            # Intake runs a default such as shell(...).
            if not isinstance(default, str) or "(" in default or "{" in default:
                raise _RefusedError(f"has the default {default!r} for {key}, which is no name")
            found[key] = default
        elif "{{" in value or "{%" in value:
            raise _RefusedError(f"has {key} = {value!r}; nothing is expanded there but {key} itself")
        else:
            found[key] = value
    return found


def _runs(parameters: dict[str, Any]) -> list[str] | None:
    allowed = parameters.get("run")
    allowed = allowed.get("allowed") if isinstance(allowed, dict) else None
    if not isinstance(allowed, list) or not all(isinstance(run, str) for run in allowed):
        return None
    return [run for run in allowed if run]


def _misshapen(about: dict[str, Any]) -> str:
    """Which of the lists that others read from metadata is of another shape than a bank writes; empty when none is."""
    runs, cores = about.get("runs", {}), about.get("cores", [])
    if not isinstance(runs, dict) or not all(type(count) is int and count >= 0 for count in runs.values()):
        return "runs"
    if not isinstance(cores, list) or not all(isinstance(core, dict) and "name" in core for core in cores):
        return "cores"
    return ""


def _literal(value: Any) -> Any:
    """`value` with the braces that a bank escapes from Intake as they were; nothing is expanded."""
    if isinstance(value, str):
        return value.replace(_ESCAPED, "{")
    if isinstance(value, dict):
        return {key: _literal(inner) for key, inner in value.items()}
    return [_literal(inner) for inner in value] if isinstance(value, list) else value
