"""Public sample cores: fetched from where they were published, each file checked against its hash.

No data of others is in corebank, only which files there are: ``corebank/sample_cores/NAME.json`` lists them by
repository, commit, path and SHA-256, and ``NAME.toml`` holds what a contributor would say of them. A file gets its name
in the folder when all of it is there and right, and ``contribution.toml`` is written last: a fetch that was broken off,
at whatever moment, is finished by the same command, and what has arrived is not fetched again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from tqdm import tqdm

from corebank.errors import SampleError
from corebank.samples import calibration

if TYPE_CHECKING:
    import pooch
    import requests

NAMES = ("ardley", "cd166", "cd166-calibration", "lagopato")
"""The sample cores that `fetch` knows."""

MIRROR = "COREBANK_SAMPLES_URL"
"""Environment variable with the address of a mirror: a web server on folders as `fetch` writes them, under the names of
`Sample.mirror`."""

TRIES = 3
"""A connection that breaks is opened again this many times in all."""

PAUSE = 1.0
"""Time [s] before the second try; each further one waits as much longer."""

TIMEOUT = 30.0
"""Time [s] without a byte after which a connection counts as broken."""

CONNECTIONS = 4
"""Files fetched at the same time: half a thousand small ones are slow one by one, and the servers are others'."""

_PARTIAL = ".corebank-download"
_SHOWN_AFTER = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One file as it was published."""

    path: str
    """In the repository."""
    sha256: str
    size: int
    """[byte]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A public sample core: where it is, and on which terms."""

    name: str
    title: str
    repository: str
    """Such as ``github.com/owner/name``."""
    commit: str
    licence: str
    """SPDX identifier."""
    citation: str
    doi: str
    mirror: str
    """Name of its folder on a mirror."""
    files: Mapping[str, Published]
    """By name in the sample's folder."""
    toml: str
    """Its ``contribution.toml``."""

    def url(self, name: str, mirror: str = "") -> str:
        """Address of the file `name`, percent-encoded: at the publisher's, or at the address of a mirror."""
        if mirror:
            return f"{mirror.rstrip('/')}/{quote(self.mirror)}/{quote(name)}"
        owner = self.repository.removeprefix("github.com/")
        return f"https://raw.githubusercontent.com/{owner}/{self.commit}/{quote(self.files[name].path)}"

    def __str__(self) -> str:
        size = sum(file.size for file in self.files.values()) / 1e6
        return (
            f"{self.title}\n"
            f"{len(self.files)} files, {size:.1f} MB, from {self.repository} at {self.commit}\n"
            f"Licence: {self.licence}\n"
            f"Cite: {self.citation}; doi:{self.doi}"
        )


def about(name: str) -> Sample:
    """What is known of the sample core `name`, one of `NAMES`; its text names source, licence and citation.

    Raises `SampleError` for an unknown name.
    """
    if name not in NAMES:
        raise SampleError(name, "is no sample core", f"Take one of {', '.join(NAMES)}")
    folder = resources.files("corebank") / "sample_cores"
    listed = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    toml = (folder / f"{name}.toml").read_text(encoding="utf-8")
    said = tomllib.loads(toml)["expedition"]
    return Sample(
        name=name,
        title=said["title"],
        repository=listed["repository"],
        commit=listed["commit"],
        licence=listed["licence"],
        citation=said["citation"],
        doi=said["doi"],
        mirror=listed["mirror"],
        files={
            file: Published(path=one.get("path", listed["prefix"] + file), sha256=one["sha256"], size=one["bytes"])
            for file, one in listed["files"].items()
        },
        toml=toml,
    )


def fetch(name: str, folder: Path, *, base_url: str | None = None, progress: bool = True) -> Path:
    """Fetch a sample core into `folder`, with a ``contribution.toml`` beside its files.

    Parameters
    ----------
    name
        One of `NAMES`.
    folder
        Made where it is not there. What it holds already is fetched no second time, and nothing in it is overwritten:
        a ``contribution.toml`` that somebody has changed stays as it is.
    base_url
        Address of a mirror; otherwise the environment variable `MIRROR`, otherwise the publisher's repository.
    progress
        Show a bar, where a terminal shows standard error and it takes more than two seconds.

    Returns
    -------
    Path
        `folder`: ready for ``corebank check`` and ``corebank add``.

    Raises
    ------
    SampleError
        For an unknown name; for a file that is in the folder and not what was published; for a server that cannot be
        reached or does not have a file; for a file whose SHA-256 is another than that published (it is not kept).
    """
    sample = about(name)
    mirror = os.environ.get(MIRROR, "") if base_url is None else base_url
    if mirror and not mirror.startswith(("https://", "http://")):
        raise SampleError(mirror, "is no web address", "Begin it with https:// or http://")
    missing = _missing(sample, folder)
    under_way = folder / _PARTIAL
    shutil.rmtree(under_way, ignore_errors=True)  # what a fetch that was killed has left
    try:
        under_way.mkdir(parents=True)
        _download(sample, missing, folder, mirror, progress)
        made = calibration.tables(folder, sample.toml) if name == "cd166-calibration" else {}
        for file, text in made.items():
            _write(folder, file, text)
        _write(folder, "contribution.toml", words(sample, folder))
    finally:
        shutil.rmtree(under_way, ignore_errors=True)
    return folder


def words(sample: Sample, folder: Path) -> str:
    """The sample's ``contribution.toml``, saying where the files are from.

    A table of laboratory values that is not in `folder` has its ``[[measurements]]`` commented out, with the reason.
    """
    source = f"# The files: {sample.repository} at commit {sample.commit}, unchanged.\n"
    head, *blocks = sample.toml.split("[[measurements]]")
    parts = [source, head]
    for block in blocks:
        text = f"[[measurements]]{block}"
        file = tomllib.loads(text)["measurements"][0]["file"]
        if (folder / file).is_file():
            parts.append(text)
            continue
        parts.append(
            f"# {file} is no published file: somebody made it from the authors' tables, so it cannot be fetched and\n"
            "# checked. Who has one like it puts it here and takes the # off the lines below.\n"
        )
        parts += [f"# {line}\n" for line in text.rstrip().split("\n")]
    return "".join(parts)


def _write(folder: Path, name: str, text: str) -> None:
    """Write a file of our own, whole or not at all, and never over another."""
    if not (folder / name).exists():
        whole = folder / _PARTIAL / name
        whole.write_text(text, encoding="utf-8")
        whole.replace(folder / name)


def _missing(sample: Sample, folder: Path) -> list[str]:
    """The files that are not in `folder`; raises `SampleError` when it holds something else under their names."""
    strange, missing = [], []
    for name, file in sample.files.items():
        path = folder / name
        if not path.is_file():
            missing.append(name)
        elif path.stat().st_size != file.size or hashlib.sha256(path.read_bytes()).hexdigest() != file.sha256:
            strange.append(name)
    if strange:
        more = f" and {len(strange) - 4} more" if len(strange) > 4 else ""
        raise SampleError(
            folder,
            f"holds something else than what was published under {', '.join(map(repr, strange[:4]))}{more}",
            "Take these files out, or name another folder; nothing was changed",
        )
    return missing


def _download(sample: Sample, names: list[str], folder: Path, mirror: str, progress: bool) -> None:
    """Fetch `names` into `folder`, several at a time; the first failure ends it."""
    import pooch  # 0.3 s to import, with requests
    import requests

    # Under numbers: two threads that make the same folder at once trip over each other in pooch.
    store = pooch.create(
        path=folder / _PARTIAL,
        base_url="",
        registry={str(number): sample.files[name].sha256 for number, name in enumerate(names)},
        urls={str(number): sample.url(name, mirror) for number, name in enumerate(names)},
    )
    bar = tqdm(
        total=sum(sample.files[name].size for name in names),
        desc=sample.name,
        unit="B",
        unit_scale=True,
        delay=_SHOWN_AFTER,
        disable=None if progress else True,
    )
    with _quiet(pooch), bar, requests.Session() as session, ThreadPoolExecutor(CONNECTIONS) as threads:
        waiting = [
            threads.submit(_one, store, str(number), folder / name, partial(_get, session, sample.files[name].size))
            for number, name in enumerate(names)
        ]
        try:
            for done in as_completed(waiting):
                bar.update(done.result())
        except BaseException:  # Ctrl-C too: what has not begun is not begun
            threads.shutdown(wait=True, cancel_futures=True)
            raise


def _get(session: requests.Session, size: int, url: str, to: str, _: object = None) -> None:
    """Write what `url` sends to the file `to`; raises `ValueError` once it is more than `size` [byte].

    A downloader for pooch. Its own leaves the connection open when it breaks, and opens a new one for each file.
    """
    with session.get(url, stream=True, timeout=TIMEOUT) as answer, Path(to).open("wb") as file:
        answer.raise_for_status()
        for chunk in answer.iter_content(2**16):
            file.write(chunk)
            if file.tell() > size:
                raise ValueError(f"more than {size} bytes")


def _one(store: pooch.Pooch, number: str, to: Path, downloader: Callable[..., None]) -> int:
    """Fetch the file that is `number` in the store, check it, give it its name; returns its size [byte]."""
    from requests import RequestException

    for attempt in range(1, TRIES + 1):
        try:
            arrived = Path(store.fetch(number, downloader=downloader))
            to.parent.mkdir(parents=True, exist_ok=True)
            return arrived.replace(to).stat().st_size
        except RequestException as error:
            answer = error.response.status_code if error.response is not None else None
            if answer is not None and answer < 500 and answer != 429:  # 429: too many at once
                raise SampleError(
                    store.get_url(number),
                    f"the server answers {answer}",
                    f"Check the address; {MIRROR} names a mirror",
                ) from error
            if attempt == TRIES:
                raise SampleError(
                    store.get_url(number),
                    f"cannot be fetched, in {TRIES} tries ({_first_line(error)})",
                    f"Check the connection and type the same again, which goes on from here; {MIRROR} names a mirror",
                ) from error
            time.sleep(PAUSE * attempt)
        except ValueError as error:  # too long, or pooch found another hash; it has removed the file
            raise SampleError(
                store.get_url(number),
                f"is not the published file {to.name!r}, whose SHA-256 is {store.registry[number]}; it was not kept",
                "Try again later or from elsewhere: something between the publisher and here changes files",
            ) from error
    raise AssertionError("the last try returns or raises")


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0][:200] or type(error).__name__


@contextmanager
def _quiet(module: object) -> Iterator[None]:
    """No line per file from pooch meanwhile."""
    logger = module.get_logger()  # type: ignore[attr-defined]  # the module pooch
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)
