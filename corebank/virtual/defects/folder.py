"""The folder of a virtual expedition, opened for changes: its sections, its files inside and outside archives.

Names are those of a report: ``VM1-1_S1/XRF data.zip!XRF data/L000001.spe``. An archive is written anew when a member
changes; the other members keep their bytes, dates and order.
"""

from __future__ import annotations

import io
import re
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from corebank.errors import RecipeError
from corebank.virtual.defects.point import Point
from corebank.virtual.expedition import EXPEDITIONS, Expedition
from corebank.virtual.instrument import INSTRUMENTS, Instrument

TOML, LABORATORY = "contribution.toml", "laboratory.csv"


@dataclass(frozen=True, slots=True)
class Part:
    """One section as contribution.toml lists it."""

    core: str
    core_number: int
    """Counted from 0, as `corebank.virtual.expedition.scan` does."""
    folder: str
    name: str
    run: str
    top: float
    """[mm]"""


class Folder:
    """What a defect is planted into. Spectra and sections that a defect has taken are not given to another one."""

    def __init__(self, root: Path, expedition: Expedition | None = None) -> None:
        self.root = root
        said = tomllib.loads(self.words)
        self.kind: str = said["scanner"]["kind"]
        self.parts = [
            Part(
                core["name"],
                number,
                section["folder"],
                section["name"],
                section["run"],
                float(section["top"].removesuffix(" mm")),
            )
            for number, core in enumerate(said["core"])
            for section in core["section"]
        ]
        self._expedition = expedition or _expedition(said["expedition"])
        self._taken: set[str] = set()

    @property
    def expedition(self) -> Expedition:
        """What the folder is the record of; raises `RecipeError` where neither name nor argument tell."""
        if self._expedition is None:
            raise RecipeError(self.root, "is no folder of a known virtual expedition", "Give the Expedition itself")
        return self._expedition

    @property
    def instrument(self) -> Instrument:
        """The scanner that wrote the folder."""
        return INSTRUMENTS[self.expedition.instrument]

    @property
    def words(self) -> str:
        """The text of contribution.toml."""
        return (self.root / TOML).read_text(encoding="utf-8")

    @words.setter
    def words(self, text: str) -> None:
        (self.root / TOML).write_text(text, encoding="utf-8", newline="\n")

    def say(self, table: str, key: str, value: str, *, part: Part | None = None) -> None:
        """Set `key` of the table ``[table]``, or of the ``[[core.section]]`` of `part`; "" takes it out."""
        blocks = self.words.split("\n\n")
        at = next(
            number
            for number, block in enumerate(blocks)
            if block.startswith(table) and (part is None or f'\nfolder = "{part.folder}"' in block)
        )
        lines = [line for line in blocks[at].rstrip("\n").split("\n") if not line.startswith(f"{key} = ")]
        blocks[at] = "\n".join([*lines, f"{key} = {value}"] if value else lines) + "\n" * blocks[at].endswith("\n")
        self.words = "\n\n".join(blocks)

    def pick(self, rng: np.random.Generator, *, whole: bool = False, later: bool = False) -> Part:
        """A section at random that no defect has taken whole; `whole` takes it, `later` takes it with the one above.

        Raises `RecipeError` when there is none left.
        """
        free = [part for part in self.parts if part.run not in self._taken and not (whole and self._used(part))]
        if later:
            free = [part for part in free if part.top > 0 and self.above(part) in free]
        if not whole:
            free = [part for part in free if self._used(part)] or free
        if not free:
            raise RecipeError(self.root, "has no section left for this defect", "Plant fewer, or in more sections")
        part = free[int(rng.integers(len(free)))]
        if whole:
            self._taken.update([part.run, *([self.above(part).run] if later else [])])
        return part

    def claim(self, rng: np.random.Generator, names: Sequence[str], count: int) -> list[str]:
        """`count` of `names` that no defect has taken, at random and in order; raises `RecipeError` without room."""
        free = [name for name in names if name not in self._taken]
        if len(free) < count:
            raise RecipeError(self.root, "has no room left for this defect", "Plant fewer, or in a larger expedition")
        chosen = [free[at] for at in sorted(rng.choice(len(free), count, replace=False).tolist())]
        self._taken.update(chosen)
        return chosen

    @property
    def untouched(self) -> bool:
        """True while no defect has taken anything."""
        return not self._taken

    def above(self, part: Part) -> Part:
        """The section above `part` in its core."""
        return self.parts[self.parts.index(part) - 1]

    def take(
        self, rng: np.random.Generator, count: int, *, together: bool = False, inner: bool = False
    ) -> tuple[Part, list[Point]]:
        """`count` scan points of a random section, in order: neighbours when `together`, no end point when `inner`.

        Neighbours of points that a defect has taken are left alone. Raises `RecipeError` when no section has room.
        """
        free = [part for part in self.parts if part.run not in self._taken]
        order = rng.permutation(len(free)).tolist()
        for at in sorted(order, key=lambda at: not self._used(free[at])):  # leave untouched sections to others
            names = self.spectra(free[at])
            edge = 2 if inner else 0
            rows = [
                row
                for row in range(edge, len(names) - edge)
                if not any(name in self._taken for name in names[max(row - 1, 0) : row + 2])
            ]
            if together:
                starts = [row for row in rows if set(range(row, row + count)) <= set(rows)]
                chosen = list(range(starts[k := int(rng.integers(len(starts)))], starts[k] + count)) if starts else []
            else:
                chosen = sorted(rng.choice(rows, count, replace=False).tolist()) if len(rows) >= count else []
            if chosen:
                self._taken.update(names[row] for row in chosen)
                return free[at], self.points([names[row] for row in chosen])
        raise RecipeError(self.root, "has no room left for this defect", "Plant fewer, or in more sections")

    def _used(self, part: Part) -> bool:
        return any(name.startswith(f"{part.folder}/") for name in self._taken)

    def names(self, under: str = "") -> list[str]:
        """Every file below `under`, members of archives included, sorted."""
        found = []
        for path in sorted((self.root / under).rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if path.suffix == ".zip" and zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    found += [f"{name}!{member}" for member in archive.namelist()]
            elif path.is_file():
                found.append(name)
        return sorted(found)

    def spectra(self, part: Part) -> list[str]:
        """Names of the spectra of a section in order of their position, without the sum spectrum."""
        inside = r"XRF data(\.zip!XRF data)?/" if self.kind == "itrax" else ""
        own = re.compile(re.escape(f"{part.folder}/") + inside + r"(?!\._)[^/!]+\.spe")
        return [name for name in self.names(part.folder) if own.fullmatch(name)]

    def points(self, names: Sequence[str]) -> list[Point]:
        """The scan points of these files."""
        read = self.read(names)
        return [Point(name, read[name]) for name in names]

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """Bytes of files, each archive opened once."""
        found: dict[str, bytes] = {}
        for outer, members in _by_archive(names).items():
            if not members:
                found[outer] = (self.root / outer).read_bytes()
                continue
            with zipfile.ZipFile(self.root / outer) as archive:
                found |= {f"{outer}!{member}": archive.read(member) for member in members}
        return found

    def save(self, points: Sequence[Point], *, instead: Sequence[str] = ()) -> None:
        """Write scan points, and take away the files they were before, where a point has a new name."""
        self.write({point.name: point.content for point in points})
        if gone := [name for name in instead if name not in {point.name for point in points}]:
            self.remove(gone)

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files, over others or new ones, which no other defect touches; members go into an archive there is."""
        self._taken.update(files.keys() - set(self.names()))
        for outer, members in _by_archive(list(files)).items():
            if members:
                self._pack(outer, {member: files[f"{outer}!{member}"] for member in members}, set())
            else:
                path = self.root / outer
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(files[outer])

    def remove(self, names: Sequence[str]) -> None:
        """Take files out of the folder, or out of their archive."""
        for outer, members in _by_archive(names).items():
            if members:
                self._pack(outer, {}, set(members))
            else:
                (self.root / outer).unlink()

    def _pack(self, name: str, new: Mapping[str, bytes], gone: set[str]) -> None:
        out = io.BytesIO()
        with zipfile.ZipFile(self.root / name) as old, zipfile.ZipFile(out, "w") as archive:
            for info in old.infolist():
                if info.filename not in gone:
                    content = new.get(info.filename)
                    archive.writestr(info, old.read(info) if content is None else content, compresslevel=6)
            for member in [name for name in new if name not in old.namelist()]:
                info = zipfile.ZipInfo(member, old.infolist()[-1].date_time)
                info.compress_type, info.create_system = zipfile.ZIP_DEFLATED, 0
                archive.writestr(info, new[member], compresslevel=6)
        (self.root / name).write_bytes(out.getvalue())


def beside(name: str, file: str) -> str:
    """The name of another file in the folder, or in the archive's folder, of `name`."""
    outer, _, inner = name.rpartition("!")
    path = PurePosixPath(inner).with_name(file)
    return f"{outer}!{path}" if outer else str(path)


def _by_archive(names: Sequence[str]) -> dict[str, list[str]]:
    """File on disk -> the members wanted of it, none for a plain file."""
    found: dict[str, list[str]] = {}
    for name in names:
        outer, mark, member = name.partition(".zip!")
        if mark:
            found.setdefault(f"{outer}.zip", []).append(member)
        else:
            found.setdefault(name, [])
    return found


def _expedition(said: Mapping[str, object]) -> Expedition | None:
    """The expedition that wrote a folder, by the name and the seed in its words."""
    known = EXPEDITIONS.get(str(said["name"]))
    seed = re.search(r"seed (\d+)$", str(said.get("citation", "")))
    return replace(known, seed=int(seed[1])) if known and seed else None
