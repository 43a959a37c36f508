"""Defects of files and archives: damaged, unsafe, copied, missing, or not what contribution.toml promises."""

from __future__ import annotations

import io
import zipfile
from pathlib import PurePosixPath

import numpy as np

from corebank.virtual.defects.folder import LABORATORY, TOML, Folder, Part, beside
from corebank.virtual.defects.planted import Truth, defect, packed
from corebank.virtual.defects.point import Point
from corebank.virtual.defects.tables import DOCUMENT

BOMB, BLOCK = 400 * 2**20, 2**23
"""What a planted zip bomb unpacks to, and the pieces it is packed in [byte]; zeros pack about 1000:1, spectra 5:1."""
LEAST_CHANGE = 0.002
"""A changed count moves the total by at least this share: twice what real Itrax files leave open."""
_LOST = {"missing-positions": "the damaged file leaves a hole in the steps of the scan"}


def _of(part: Part, point: Point) -> tuple[str, ...]:
    return (part.run, part.folder, point.name)


@defect("unreadable", "A spectrum file cut short, anywhere from its first byte to its last but one", companions=_LOST)
def cut_short(folder: Folder, rng: np.random.Generator) -> Truth:
    part, (point,) = folder.take(rng, 1)
    most = len(point.content) if rng.random() < 0.7 else 600  # a header is short, and seldom met otherwise
    length = int(rng.integers(1, most))
    what = f"{length} of {len(point.content)} bytes are left"
    folder.write({point.name: point.content[:length]})
    return Truth(point.name, what, (point.name,), _of(part, point))


@defect("unreadable", "A spectrum file without a byte, as a copy that broke off leaves it", companions=_LOST)
def emptied(folder: Folder, rng: np.random.Generator) -> Truth:
    part, (point,) = folder.take(rng, 1)
    folder.write({point.name: b""})
    return Truth(point.name, "0 bytes are left", (point.name,), _of(part, point))


@defect("unreadable", "A channel that holds no count: negative, half a photon, no number", companions=_LOST)
def no_count(folder: Folder, rng: np.random.Generator) -> Truth:
    part, (point,) = folder.take(rng, 1)
    text = str(rng.choice(["-3", "12.5", "nan", "#"]))
    counts = point.counts
    channel = int(rng.choice(np.flatnonzero(counts > 9)))
    if point.is_itrax:
        old = f"\n{channel + 1}.000\t{counts[channel]}.000\r".encode("ascii")
        new = f"\n{channel + 1}.000\t{text}\r".encode("ascii")
    else:
        marked = counts.copy()
        marked[channel] = 9_999_999
        point.table(marked)
        old, new = b"9999999", text.rjust(7).encode("ascii")
    assert point.content.count(old) == 1
    folder.write({point.name: point.content.replace(old, new)})
    return Truth(point.name, f"channel {channel + 1} holds {text!r}", (point.name,), _of(part, point))


@defect(
    "counts-changed",
    "One channel's count changed after the file was written",
    companions=_LOST | {"outlier": "a count that grew much is a peak that its neighbours do not have"},
)
def count_changed(folder: Folder, rng: np.random.Generator) -> Truth:
    part, (point,) = folder.take(rng, 1)
    counts = point.counts
    least = int(LEAST_CHANGE * counts.sum()) + 1
    channel = int(rng.choice(np.flatnonzero(counts > 0)))
    before, change = int(counts[channel]), int(rng.integers(least, 20 * least))
    down = np.flatnonzero(counts > change)
    if down.size and rng.random() < 0.5:
        channel = int(rng.choice(down))
        before, change = int(counts[channel]), -change
    counts[channel] += change
    point.table(counts)
    folder.save([point])
    what = f"channel {channel + 1}: {before} became {counts[channel]}"
    return Truth(point.name, what, (point.name,), _of(part, point))


@defect(
    "unreadable", "An archive cut short", "section", companions={"no-spectra": "its spectra were in it"}, needs=packed
)
def archive_cut_short(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng, whole=True)
    name = f"{part.folder}/XRF data.zip"
    content = folder.read([name])[name]
    length = int(len(content) * rng.uniform(0.1, 0.99))
    folder.write({name: content[:length]})
    return Truth(name, f"{length} of {len(content)} bytes are left", (name,), (part.run, part.folder))


@defect("unreadable", "A byte of an archive that changed on its way", "section", companions=_LOST, needs=packed)
def archive_changed(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng, whole=True)  # a damaged archive is no place for another defect
    spectrum = str(rng.choice(folder.spectra(part)))
    name, _, member = spectrum.partition("!")
    content = bytearray(folder.read([name])[name])
    with zipfile.ZipFile(folder.root / name) as archive:
        info = archive.getinfo(member)
    begin = (
        info.header_offset + 30 + len(member.encode()) + len(info.extra)
    )  # the length of a local header, PKZIP 4.3.7
    at = begin + int(rng.integers(info.compress_size // 4, 3 * info.compress_size // 4))
    content[at] ^= 1 << int(rng.integers(8))
    folder.write({name: bytes(content)})
    return Truth(spectrum, f"byte {at} of {name} changed", (spectrum,), (part.run, part.folder, name))


def _bring(folder: Folder, rng: np.random.Generator, members: dict[str, int], what: str) -> Truth:
    """Put an archive beside the spectra of a section, its members so many bytes of zeros."""
    part = folder.pick(rng)
    name = f"{part.folder}/{rng.choice(['backup', 'XRF data old', 'raw'])}.zip"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, size in members.items():
            info = zipfile.ZipInfo(member, (2020, 9, 17, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(info, "w") as file:
                for _ in range(0, size, BLOCK):
                    file.write(bytes(min(size, BLOCK)))
    folder.write({name: out.getvalue()})
    return Truth(name, what, (), (part.run, part.folder, *(f"{name}!{member}" for member in members)))


@defect("unsafe", "An archive whose member has an absolute name")
def absolute_member(folder: Folder, rng: np.random.Generator) -> Truth:
    member = str(rng.choice(["/tmp/L000000.spe", "C:\\Data\\L000000.spe", "\\\\server\\L000000.spe"]))  # noqa: S108 - a name, not a place
    return _bring(folder, rng, {member: 100}, f"its member is {member}")


@defect("unsafe", "An archive whose member climbs out of the folder")
def climbing_member(folder: Folder, rng: np.random.Generator) -> Truth:
    member = str(rng.choice(["../L000000.spe", "XRF data/../../../L000000.spe", "XRF data\\..\\..\\L000000.spe"]))
    return _bring(folder, rng, {member: 100}, f"its member is {member}")


@defect("unsafe", "An archive that unpacks to a thousand times its size, in one member or in many")
def zip_bomb(folder: Folder, rng: np.random.Generator) -> Truth:
    count = int(rng.choice([1, 10]))
    members = {f"XRF data/L{number:06d}.spe": BOMB // count for number in range(count)}
    return _bring(folder, rng, members, f"it unpacks to {BOMB} bytes of zeros in {count} members")


@defect("unsafe", "A link that leads out of the folder")
def link_outside(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng)
    name = f"{part.folder}/{rng.choice(['archive', 'raw data', 'L999999.spe'])}"
    (folder.root / name).symlink_to("../..")
    return Truth(name, "leads to the folder above the contributed one", (name,), (part.run, part.folder))


@defect("unreadable", "A link to a file that is not there")
def broken_link(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng)
    name = f"{part.folder}/{rng.choice(['notes.txt', 'L999998.spe'])}"
    (folder.root / name).symlink_to("gone.txt")
    return Truth(name, "leads to gone.txt, which is not there", (name,), (part.run, part.folder))


@defect(
    "no-spectra",
    "A section whose folder has another name",
    "section",
    companions={"unlisted": "nobody lists the new name"},
)
def renamed_folder(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng, whole=True)
    new = str(rng.choice([part.folder.replace("_", " "), f"{part.folder} (copy)", part.folder.lower()]))
    (folder.root / part.folder).rename(folder.root / new)
    return Truth(part.folder, f"the folder is called {new!r}", (), (part.run, new))


@defect("no-spectra", "A section whose spectra were not copied", "section")
def no_spectra(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng, whole=True)
    names = folder.spectra(part)
    folder.remove(sorted({name.partition("!")[0] for name in names}))
    return Truth(part.folder, f"its {len(names)} spectra are gone", (), (part.run,))


@defect("unlisted", "A section that contribution.toml forgot", "section")
def unlisted(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng, whole=True)
    blocks = folder.words.split("\n\n")
    folder.words = "\n\n".join(block for block in blocks if f'folder = "{part.folder}"' not in block)
    return Truth(part.folder, "its [[core.section]] was taken out", (), (part.run,))


@defect("copies", "A spectrum file copied under another name")
def copied_file(folder: Folder, rng: np.random.Generator) -> Truth:
    part, (point,) = folder.take(rng, 1)
    stem = PurePosixPath(point.name).stem
    name = beside(point.name, str(rng.choice([f"{stem} (2).spe", f"Copy of {stem}.spe", f"{stem}_copy.txt"])))
    folder.write({name: point.content})
    return Truth(part.folder, f"{name} has the bytes of {point.name}", (name,), (part.run, name), (point.name,))


@defect("radiograph", "A radiograph run beside the scans", "section", scanners=("itrax",))
def radiograph(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng)
    name = f"{part.folder}_RAD"
    source = f"{part.folder}/{DOCUMENT}"
    record = folder.read([source])[source]
    volts, amperes = f"{folder.instrument.tube_voltage:.0f}", f"{folder.instrument.tube_current:.0f}"
    seconds = f"{folder.instrument.exposure:.0f}"
    for old, new in (
        ("XRF\tON", "XRF\tOFF"),
        (f"XRF exp. time\t{seconds}", "XRF exp. time\t0"),
        (f"XRF voltage and current\t{volts}\t  \t{amperes}", "XRF voltage and current\t0\t  \t0"),
        (part.folder, name),
    ):
        assert old.encode("ascii") in record
        record = record.replace(old.encode("ascii"), new.encode("ascii"))
    folder.write({f"{name}/{DOCUMENT}": record, f"{name}/radiograph.raw": rng.bytes(2000)})
    return Truth(name, "the X-ray camera was on, the detector off")


@defect("contradiction", "contribution.toml names another scanner than the files", "folder")
def wrong_scanner(folder: Folder, rng: np.random.Generator) -> Truth:
    other = "avaatech" if folder.kind == "itrax" else "itrax"
    folder.say("[scanner]", "kind", f'"{other}"')
    return _of_all(folder, f"[scanner] kind says {other}")


@defect("contradiction", "contribution.toml names another anode than the files", "folder", scanners=("itrax",))
def wrong_anode_in_words(folder: Folder, rng: np.random.Generator) -> Truth:
    other = str(rng.choice([anode for anode in ("Mo", "Cr", "Rh", "W") if anode != folder.instrument.anode]))
    folder.say("[scanner]", "anode", f'"{other}"')
    return _of_all(folder, f"[scanner] anode says {other}")


def _of_all(folder: Folder, what: str) -> Truth:
    """The truth of something that contribution.toml says of every section."""
    return Truth(TOML, what, (), tuple(name for part in folder.parts for name in (part.run, part.folder)))


@defect("stays-out", "A file that is neither of the scanner nor of the laboratory")
def strange_file(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng)
    name = f"{part.folder}/{rng.choice(['photo.jpg', 'notes.docx', 'thesis.pdf'])}"
    folder.write({name: rng.bytes(3000)})
    return Truth(name, "random bytes", (), (part.folder, part.run, "."))


@defect("", "What a Mac and Windows leave in folders and archives")
def junk(folder: Folder, rng: np.random.Generator) -> Truth:
    part, (point,) = folder.take(rng, 1)
    name = PurePosixPath(point.name.rpartition("!")[2]).name
    files = {
        ".DS_Store": b"\0\0\0\1Bud1",
        f"{part.folder}/._{LABORATORY}": b"\0\5\x16\7junk",
        f"{part.folder}/Thumbs.db": b"\xd0\xcf\x11\xe0",
        beside(point.name, f"._{name}"): b"\0\5\x16\7" + point.content[:200],
    }
    if "!" in point.name:
        files[f"{point.name.partition('!')[0]}!__MACOSX/XRF data/._{name}"] = b"\0\5\x16\7junk"
    folder.write(files)
    return Truth(part.folder, f"{', '.join(files)}")


@defect("", "An archive packed in another order, and spectra under the name .txt", "section", scanners=("itrax",))
def shuffled(folder: Folder, rng: np.random.Generator) -> Truth:
    part = folder.pick(rng, whole=True)
    points = folder.points(folder.spectra(part))
    names = [point.name for point in points]
    for point in points:
        point.name = point.name.removesuffix(".spe") + ".txt"
    folder.write({points[0].name: points[0].content})  # an archive keeps one member while the others change places
    folder.remove(names)
    folder.save([points[at] for at in rng.permutation(len(points))])
    return Truth(part.folder, f"{len(points)} spectra in another order, as .txt")
