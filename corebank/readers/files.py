"""The files of a contributed folder, with archives opened: what is there, and its bytes when they are wanted.

A file inside ``XRF data.zip`` is named ``ARD1E/XRF data.zip!XRF data/L000000.spe``. What a Mac leaves in an archive
(``__MACOSX``, ``._name``, ``.DS_Store``) is junk and is not listed. An archive that would leave its folder, or that
unpacks to far more than it holds, is refused whole, and so is a link out of the folder; the other files are still read.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import re
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath

from corebank.errors import ReadError, UnsafeFileError

HEAD = 8192
"""Bytes from which a format is told."""

MAX_MEMBER_BYTES = 256 * 2**20
"""A larger archive member is refused; the largest scanner file met is 0.1 MB, the largest table 2 MB."""

MAX_RATIO = 200
"""An archive that unpacks to more than this many times its size is refused; spectra as text pack about 5:1."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a folder: its name relative to that folder (``/`` and ``!`` as separators) and its content."""

    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        """Hash of the bytes, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def stem(self) -> str:
        """File name without folders, archive and ending: ``L000000``."""
        return stem(self.name)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a folder that has not been read yet."""

    name: str
    """As `File.name`."""
    path: Path
    """The file on disk: the archive, where it is a member of one."""
    member: str = ""
    """Name inside the archive."""

    def load(self) -> File:
        """The file with its bytes; raises `ReadError` when they cannot be read."""
        return next(loaded([self]))


def stem(name: str) -> str:
    """File name without folders, archive and ending: ``L000000``."""
    last = split(name)[-1].rpartition("/")[2]
    return last.rpartition(".")[0] or last


def split(name: str) -> list[str]:
    """The name of an archive and that of its member, or the one name of a file outside archives."""
    return re.split(r"(?<=\.zip)!", name, flags=re.IGNORECASE)  # Avaatech names hold a ! of their own


def entries(folder: Path) -> tuple[list[Entry], list[ReadError]]:
    """Every file under `folder`, archives opened, in the order a person would count (L2 before L10).

    Returns the files, and an error for each link or archive that is unsafe, damaged or cannot be read; nothing of those
    is listed. Raises `ReadError` for a folder that is not there.
    """
    if not folder.is_dir():
        raise ReadError(folder, "there is no such folder", "Give the folder that holds the scanner's files")
    root, found, errors = folder.resolve(), list[Entry](), list[ReadError]()
    for path in sorted(_walk(folder), key=lambda path: natural(path.relative_to(folder).as_posix())):
        name = path.relative_to(folder).as_posix()
        try:
            if path.exists() and not path.resolve().is_relative_to(root):
                raise UnsafeFileError(
                    name, f"is a link to {path.resolve()}, outside the folder", "Copy the file itself into the folder"
                )
            if path.is_dir():
                continue  # a linked folder inside; its files are met where they are
            if not path.is_file():
                raise ReadError(
                    name, "is no file that can be read, but a broken link or a device", "Take it out of the folder"
                )
            found += _members(path, name) if path.suffix.lower() == ".zip" else [Entry(name, path)]
        except ReadError as error:
            errors.append(error)
    return found, errors


def heads(wanted: Iterable[Entry]) -> Iterator[tuple[Entry, bytes | ReadError]]:
    """Each entry with its first `HEAD` bytes, or with the error that reading them met."""
    yield from _read(wanted, HEAD)


def loaded(wanted: Iterable[Entry]) -> Iterator[File]:
    """The files of `wanted` with their bytes, each archive opened once; raises `ReadError` at a bad one."""
    for entry, content in _read(wanted, -1):
        if isinstance(content, ReadError):
            raise content
        yield File(entry.name, content)


def whole(wanted: Iterable[Entry]) -> Iterator[File | ReadError]:
    """As `loaded`, but an error takes the place of the file it was met at, and the others are still read."""
    for entry, content in _read(wanted, -1):
        yield content if isinstance(content, ReadError) else File(entry.name, content)


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key that orders digits by value: ``L2`` before ``L10``."""
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in re.split(r"(\d+)", name)]


def is_junk(name: str) -> bool:
    """True for what file managers leave behind and no scanner wrote."""
    parts = re.split(r"[/!]", name)
    return "__MACOSX" in parts or parts[-1].startswith("._") or parts[-1] in {".DS_Store", "Thumbs.db", "desktop.ini"}


def _walk(folder: Path) -> Iterator[Path]:
    for at, folders, names in os.walk(folder):  # does not follow linked folders
        for name in [*names, *(name for name in folders if Path(at, name).is_symlink())]:
            path = Path(at, name)
            if not is_junk(path.relative_to(folder).as_posix()):
                yield path


def _read(wanted: Iterable[Entry], size: int) -> Iterator[tuple[Entry, bytes | ReadError]]:
    for (path, packed), group in groupby(wanted, key=_file_on_disk):
        yield from (_of_archive(path, group, size) if packed else _of_disk(group, size))  # noqa: B031 - only one of them


def _file_on_disk(entry: Entry) -> tuple[Path, bool]:
    return entry.path, bool(entry.member)


def _of_disk(wanted: Iterator[Entry], size: int) -> Iterator[tuple[Entry, bytes | ReadError]]:
    for entry in wanted:
        try:
            with entry.path.open("rb") as file:
                yield entry, file.read(size)
        except OSError as error:
            yield entry, ReadError(entry.name, f"cannot be read ({error.strerror})", "Check your permissions")


def _of_archive(path: Path, wanted: Iterator[Entry], size: int) -> Iterator[tuple[Entry, bytes | ReadError]]:
    try:
        with _damage_told(path.name):
            archive = _archive(path)
    except ReadError as error:  # all entries share its fate
        yield from ((entry, error) for entry in wanted)
        return
    for entry in wanted:
        try:
            with _damage_told(entry.name), archive.open(entry.member) as member:
                content: bytes | ReadError = member.read(size)
        except ReadError as error:
            content = error
        yield entry, content


class _Latest(threading.local):
    """The archive that a thread opened last, and which version of which file that is.

    It reads block after block of one, and the table of contents of 30,000 spectra alone takes 0.2 s.
    """

    version: tuple[Path, int, int, int] | None = None
    archive: zipfile.ZipFile


_latest = _Latest()


def _archive(path: Path) -> zipfile.ZipFile:
    """The archive, open; it closes when its thread opens another and nobody reads from it any more."""
    found = path.stat()
    version = (path, found.st_size, found.st_mtime_ns, found.st_ino)
    if _latest.version != version:
        _latest.archive = zipfile.ZipFile(path)  # a damaged one leaves the other in place
        _latest.version = version
    return _latest.archive


@contextmanager
def _damage_told(name: str) -> Iterator[None]:
    """Turn everything that zipfile raises for a damaged archive into a `ReadError`."""
    try:
        yield
    except ReadError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        struct.error,
        KeyError,
        ValueError,
        EOFError,
        RuntimeError,
        OSError,
    ) as error:
        raise ReadError(
            name, f"is not a whole zip archive ({error})", "Copy it again; it was cut short or is encrypted"
        ) from error


def _members(path: Path, name: str) -> list[Entry]:
    with _damage_told(name):
        members = sorted(_archive(path).infolist(), key=lambda member: natural(member.filename))
        _refuse_unsafe(name, path.stat().st_size, members)
        return [
            Entry(f"{name}!{member.filename}", path, member.filename)
            for member in members
            if not member.is_dir() and not is_junk(member.filename)
        ]


def _refuse_unsafe(name: str, size: int, members: list[zipfile.ZipInfo]) -> None:
    unpacked = sum(member.file_size for member in members)
    if unpacked > MAX_RATIO * max(size, 1) + MAX_MEMBER_BYTES:
        raise UnsafeFileError(
            name, f"would unpack to {unpacked / 2**20:.0f} MB", "Unpack it by hand and look at what it holds"
        )
    for member in members:
        inside = PurePosixPath(member.filename.replace("\\", "/"))
        if inside.is_absolute() or ".." in inside.parts or re.match(r"^[A-Za-z]:", member.filename):
            raise UnsafeFileError(
                name,
                f"member {member.filename!r} points out of the archive",
                "Pack the archive again with relative names",
            )
        if member.file_size > MAX_MEMBER_BYTES:
            raise UnsafeFileError(
                name,
                f"member {member.filename!r} is {member.file_size / 2**20:.0f} MB",
                "Unpack it by hand; a spectrum is smaller",
            )
