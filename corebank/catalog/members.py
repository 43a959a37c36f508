"""The members of a federation: each fetched when it is first looked into, and none able to break the others.

`MemberCatalog` is Intake's driver ``corebank_member``. It lists what the member's own ``catalog.yaml`` lists, opened by
`corebank.catalog.foreign` and not by Intake. A member that does not answer lists nothing and says since when and why;
`members` tells how all of them stand.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from corebank.catalog import fetching, foreign, remembering
from corebank.catalog.drivers import Catalog, DataSource, MeasurementsSource, SpectraSource
from corebank.catalog.entries import Entry
from corebank.errors import CatalogError, EntryError, OfflineError

AT_ONCE = 32
"""Members asked at once; nearly all of the time they are waited for."""


@dataclass(frozen=True, slots=True)
class Member:
    """How one member of a federation stands."""

    site: str
    url: str
    """Address of its catalog."""
    state: Literal["ok", "changed", "offline", "refused"]
    """``changed``: another catalog than the one that joined; it is read. ``refused``: all or some of it is not read."""
    since: str
    """Since when it is offline, ISO 8601 in UTC; empty unless it is."""
    entries: int
    """How many entries can be opened."""
    sha256: str
    """Hash of the catalog that joined, as the federation has it; empty when it was never noted."""
    found: str
    """Hash of the catalog as it is now; empty when it is offline."""
    steward: str
    licence: str
    problem: str
    """What is the matter, as a sentence; empty when nothing is."""
    bank: str = ""
    """Address of its bank, where its catalog says so."""
    answered: str = ""
    """When it last answered this machine, as far as that is remembered."""

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


class MemberCatalog(Catalog):  # type: ignore[misc]  # intake ships no types
    """Intake driver ``corebank_member``: the catalog of one member of a federation.

    Parameters
    ----------
    path
        Where its ``catalog.yaml`` lies: a local path, ``http(s)://`` or ``s3://``.
    site
        What the member is called; its catalog must say the same.
    sha256
        Hash of the bytes of the catalog that joined. Another one is reported, and read all the same.
    steward, licence
        Who answers for it, and under which terms it joined.
    timeout
        How long it may take to answer [s]; COREBANK_TIMEOUT or 5 s by default.

    Nothing is fetched before something is looked up, and again when what is known is older than ``ttl`` seconds (60).
    """

    name: str | None = "corebank_member"
    container = "catalog"
    version = "1"
    partition_access = False
    own = False
    """True of a file that the reader chose; see `corebank.catalog.foreign.read`."""

    def __init__(
        self,
        path: str,
        site: str = "",
        sha256: str = "",
        steward: str = "",
        licence: str = "",
        timeout: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        storage_options: Mapping[str, Any] | None = None,
        **words: Any,
    ) -> None:
        self.path = _absolute(path, metadata)
        self.site, self.sha256, self.steward, self.licence, self.timeout = site, sha256, steward, licence, timeout
        self._lock, self._looked = threading.RLock(), False
        self._contents, self._found = foreign.Contents(), ""
        self._offline, self._refusal, self._seen = "", "", remembering.Seen(self.path)
        self.metadata: dict[str, Any] = {}
        self._made = False
        super().__init__(metadata=dict(metadata or {}), storage_options=storage_options, **words)
        self._made = True
        self.name: str | None = site or None  # Intake puts the entry's name here

    @property
    def _entries(self) -> dict[str, Entry]:
        self.reload()
        return self._contents.entries

    @_entries.setter
    def _entries(self, entries: object) -> None:
        """Intake hands its empty container over when a catalog is made."""

    def reload(self) -> None:
        """Look again when it was never looked at, or too long ago."""
        with self._lock:
            if not self._looked or (self.ttl is not None and time.time() - self.updated > self.ttl):
                self._look()

    def force_reload(self) -> None:
        """Look again now. While Intake makes the catalog, nothing is looked up."""
        if self._made:
            self._look()

    def _look(self) -> None:
        """Fetch the catalog and read it; never raises for what is the member's fault."""
        with self._lock:
            self._offline = self._refusal = ""
            try:
                content = fetching.fetch(self.path, seconds=self.timeout, storage_options=self.storage_options)
                self._take(content)
            except OfflineError as error:
                self._contents, self._found, self._offline = foreign.Contents(), "", error.found
                self._seen = remembering.silent(self.path)
            except EntryError as error:
                self._contents, self._refusal = foreign.Contents(), f"{error.where}: {error.found}"
            self.updated, self._looked = time.time(), True

    def _take(self, content: bytes) -> None:
        found = hashlib.sha256(content).hexdigest()
        if found != self._found or not self._contents.entries:
            self._found = found
            contents = foreign.read(content, self.path, fetching.folder_of(self.path), DRIVERS, own=self.own)
            if self.site and contents.site and contents.site != self.site:
                raise EntryError(self.path, f"is the catalog of another site, {contents.site!r}", "Ask its owner")
            for entry in contents.entries.values():
                entry._catalog = self
            self._contents = contents
            self.metadata.update(contents.metadata)
        self._seen = remembering.answered(self.path, found, tuple(self._contents.entries))

    @property
    def offline(self) -> str:
        """Since when it does not answer, ISO 8601 in UTC; empty while it does."""
        self.reload()
        return self._seen.offline if self._offline else ""

    @property
    def refused(self) -> dict[str, str]:
        """Entry, or section of the file, that is not opened -> why."""
        self.reload()
        return dict(self._contents.refused)

    @property
    def problem(self) -> str:
        """What is the matter with it, as a sentence; empty when nothing is."""
        return self.member.problem

    @property
    def member(self) -> Member:
        """How it stands."""
        self.reload()
        entries = self._contents.entries
        licences = sorted({str(about) for entry in entries.values() if (about := entry.metadata.get("licence"))})
        stewards = sorted({str(about) for entry in entries.values() if (about := entry.metadata.get("steward"))})
        state, problem = self._state(licences)
        return Member(
            self.site or self._contents.site or str(self.name or ""),
            self.path,
            state,
            self._seen.offline if state == "offline" else "",
            len(entries),
            self.sha256,
            self._found,
            self.steward or ", ".join(stewards),
            self.licence or ", ".join(licences),
            problem,
            self._contents.bank,
            self._seen.answered,
        )

    def _state(self, licences: list[str]) -> tuple[Literal["ok", "changed", "offline", "refused"], str]:
        if self._offline:
            before = f"; it last answered at {self._seen.answered}" if self._seen.answered else ""
            return "offline", f"offline since {self._seen.offline}: {self._offline}{before}"
        if self._refusal:
            return "refused", f"refused: {self._refusal}"
        if refused := self._contents.refused:
            shown = "; ".join(f"{name} {why}" for name, why in list(refused.items())[:5])
            return "refused", f"{len(refused)} of its entries are refused: {shown}"
        if self.sha256 and self._found != self.sha256:
            agreed = {one.strip() for one in self.licence.split(",")}
            other = [one for one in licences if self.licence and one not in agreed]
            terms = f"; it joined under {self.licence}, and some of it is now under {', '.join(other)}" if other else ""
            hashes = f"sha256 {self.sha256[:12]} joined, {self._found[:12]} is there"
            return "changed", f"its catalog changed: {hashes}{terms}"
        return "ok", ""

    def __getitem__(self, key: Any) -> Any:
        """An entry; `OfflineError` when the member is away, `EntryError` when the entry is refused."""
        self.reload()
        if self._offline:
            raise OfflineError(self._called(), self.problem, "Try again later, or leave it out")
        if self._refusal or (isinstance(key, str) and key in self._contents.refused):
            why = self._refusal or f"{key} {self._contents.refused[key]}"
            raise EntryError(self._called(), f"refused: {why}", "Ask its owner to write it again with corebank")
        return super().__getitem__(key)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return super().__getattr__(name)
        except CatalogError as error:
            raise AttributeError(str(error)) from error

    def __repr__(self) -> str:
        if not self._looked:
            return f"<corebank member {self._called()}>"
        member = self.member
        return f"<corebank member {self._called()}: {member.problem or f'{member.entries} entries'}>"

    def walk(self, sofar: Any = None, prefix: list[str] | None = None, depth: int = 2) -> Any:
        """As Intake's; when a whole federation is walked, all its members are asked at once."""
        if prefix and isinstance(self.cat, Catalog) and not self._looked:
            together(entry() for entry in self.cat._entries.values() if entry.container == "catalog")
        return super().walk(sofar, prefix, depth)

    def _called(self) -> str:
        return str(self.site or self.name or self.path)


class OwnCatalog(MemberCatalog):
    """A catalog that the reader chose by its path: it may name other places on the same disk."""

    @property
    def own(self) -> bool:  # type: ignore[override]  # of a file from elsewhere it is not true
        """True when it lies on a local path."""
        return fetching.scheme(self.path) in ("", "file", "memory")


DRIVERS: dict[str, type[DataSource]] = {
    "corebank_spectra": SpectraSource,
    "corebank_measurements": MeasurementsSource,
    "corebank_member": MemberCatalog,
}
"""All that a member's catalog can open."""


def together(catalogs: Iterable[Catalog]) -> None:
    """Look into many members at once, so that ten that are away cost the time of one."""
    waiting = [one for one in catalogs if isinstance(one, MemberCatalog) and not one._looked]
    if len(waiting) > 1:
        with ThreadPoolExecutor(min(AT_ONCE, len(waiting))) as threads:
            list(threads.map(MemberCatalog.reload, waiting))


def _absolute(path: str, metadata: Mapping[str, Any] | None) -> str:
    """The address of a catalog; a relative path is meant from the file that names it."""
    if fetching.scheme(path):
        return path
    if not Path(path).is_absolute() and (folder := (metadata or {}).get("catalog_dir")):
        return f"{str(folder).rstrip('/')}/{path}"
    return os.path.normpath(Path(path).absolute())
