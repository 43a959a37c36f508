"""The files of a contributed folder, with archives opened: what is there, and its bytes.

A file inside ``XRF data.zip`` is named ``ARD1E/XRF data.zip!XRF data/L000000.spe``. What a Mac leaves in an archive
(``__MACOSX``, ``._name``, ``.DS_Store``) is junk and is not listed. An archive that would leave its folder, or that
unpacks to far more than it holds, is refused whole.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from corebank.errors import ReadError

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
        return PurePosixPath(split(self.name)[-1]).stem


def split(name: str) -> list[str]:
    """The name of an archive and that of its member, or the one name of a file outside archives."""
    return re.split(r"(?<=\.zip)!", name, flags=re.IGNORECASE)  # Avaatech names hold a ! of their own


def files(folder: Path) -> Iterator[File]:
    """Every file under `folder`, archives opened, in the order a person would count (L2 before L10).

    Raises `ReadError` for a folder that is not there, a link that leads out of it, or an archive that is unsafe or
    damaged.
    """
    if not folder.is_dir():
        raise ReadError(folder, "there is no such folder", "Give the folder that holds the scanner's files")
    root = folder.resolve()
    for path in sorted(_walk(folder), key=lambda path: natural(path.relative_to(folder).as_posix())):
        name = path.relative_to(folder).as_posix()
        if path.exists() and not path.resolve().is_relative_to(root):
            raise ReadError(
                path, f"is a link to {path.resolve()}, outside the folder", "Copy the file itself into the folder"
            )
        if path.is_dir():
            continue  # a linked folder inside; its files are met where they are
        if not path.is_file():
            raise ReadError(
                path, "is no file that can be read, but a broken link or a device", "Take it out of the folder"
            )
        if path.suffix.lower() == ".zip":
            yield from _members(path, name)
        else:
            yield File(name, path.read_bytes())


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


def _members(path: Path, name: str) -> Iterator[File]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(archive.infolist(), key=lambda member: natural(member.filename))
            _refuse_unsafe(path, members)
            for member in members:
                if not member.is_dir() and not is_junk(member.filename):
                    yield File(f"{name}!{member.filename}", archive.read(member))
    except ReadError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        struct.error,
        ValueError,
        EOFError,
        RuntimeError,
        OSError,
    ) as error:
        raise ReadError(
            path, f"is not a whole zip archive ({error})", "Copy it again; it was cut short or is encrypted"
        ) from error


def _refuse_unsafe(path: Path, members: list[zipfile.ZipInfo]) -> None:
    unpacked = sum(member.file_size for member in members)
    if unpacked > MAX_RATIO * max(path.stat().st_size, 1) + MAX_MEMBER_BYTES:
        raise ReadError(
            path, f"would unpack to {unpacked / 2**20:.0f} MB", "Unpack it by hand and look at what it holds"
        )
    for member in members:
        inside = PurePosixPath(member.filename.replace("\\", "/"))
        if inside.is_absolute() or ".." in inside.parts or re.match(r"^[A-Za-z]:", member.filename):
            raise ReadError(
                path,
                f"member {member.filename!r} points out of the archive",
                "Pack the archive again with relative names",
            )
        if member.file_size > MAX_MEMBER_BYTES:
            raise ReadError(
                path,
                f"member {member.filename!r} is {member.file_size / 2**20:.0f} MB",
                "Unpack it by hand; a spectrum is smaller",
            )
