"""Everything a check can say of a folder: one table of kinds, each with its gravity, why it matters and what to do.

``refused``: the folder cannot go in, or wrong numbers would. ``decision``: it can go in once contribution.toml says
which of two readings is true. ``flagged``: it goes in, and the spectra or cells concerned are marked or listed.
``info``: what a contributor may want to know of a folder in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Severity = Literal["refused", "decision", "flagged", "info"]


class Kind(NamedTuple):
    """One kind of finding: how grave, why it matters, and what to do about it."""

    severity: Severity
    why: str
    fix: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the contributor should know."""

    severity: Severity
    kind: str
    """A key of `KINDS`."""
    where: str
    """File, cell, section or run, named from the contributed folder."""
    found: str
    """What was found there, in words and values."""
    why: str
    fix: str
    items: tuple[str, ...] = ()
    """Every file, spectrum or cell concerned."""

    def __str__(self) -> str:
        return f"{self.severity}: {self.where}: {self.found} [{self.kind}]. {self.why}. {self.fix}."


def finding(kind: str, where: str, found: str, *, fix: str = "", items: tuple[str, ...] = ()) -> Finding:
    """A finding of a known kind; `fix` replaces the kind's own where something more exact can be typed."""
    known = KINDS[kind]
    return Finding(known.severity, kind, where, found, known.why, fix or known.fix, items)


KINDS: dict[str, Kind] = {
    # Files and archives
    "unreadable": Kind(
        "refused",
        "A damaged file would give wrong counts, or a hole that nobody sees",
        "Copy the file from the scanner again, or take it out of the folder",
    ),
    "counts-changed": Kind(
        "refused",
        "The file carries its own total, and its channels no longer add up to it",
        "Copy the file from the scanner again",
    ),
    "unsafe": Kind(
        "refused",
        "An archive or a link that leads out of the folder can overwrite or show other files",
        "Unpack it by hand, look at it, and put the files themselves into the folder",
    ),
    "contradiction": Kind(
        "refused",
        "The files and contribution.toml cannot both be right about the machine",
        "Correct contribution.toml, or take the folder out",
    ),
    "no-spectra": Kind(
        "refused",
        "contribution.toml promises a scan that is not there",
        "Correct the folder's name in contribution.toml, or copy the missing files",
    ),
    "unlisted": Kind(
        "flagged",
        "Spectra that contribution.toml does not list stay out of the bank",
        "Add a [[core.section]] for the folder; corebank draft writes one",
    ),
    "copies": Kind(
        "info", "Files of the same bytes are one spectrum; one of them is read", "Nothing; the others are set aside"
    ),
    "radiograph": Kind(
        "info", "A radiograph run has the X-ray camera on and the detector off: it holds no spectra", "Nothing"
    ),
    "evaluations": Kind(
        "info",
        "Each evaluation has its own energy calibration and peak areas; all are kept, one calibrates",
        'To choose another, write evaluation = "NAME" in the [[core.section]]',
    ),
    "aborted-evaluation": Kind(
        "info", "An evaluation without rows for most spectra was broken off", "Nothing; it is kept and not used"
    ),
    "separate-settings": Kind(
        "info",
        "Spectra of another tube setting, filter or detector are another measurement",
        "Nothing; each setting became a run of its own",
    ),
    "rates": Kind("info", "The header's unit of count rates is wrong; corebank takes none from it", "Nothing"),
    "stays-out": Kind("info", "Files and rows set aside stay where they are and are listed in the report", "Nothing"),
    # Time, place, depth
    "date": Kind(
        "decision",
        "Day and month cannot be told apart, and the order of scans and the age of the tube hang on them",
        'Write dates = "day-first", "month-first" or "unknown" under [scanner]',
    ),
    "core-name": Kind(
        "decision",
        "A core under a wrong name joins the wrong laboratory values",
        'Correct the name, or write names = "contribution.toml" in the [[core.section]] if the files are wrong',
    ),
    "no-position": Kind(
        "refused",
        "A spectrum without a place cannot be matched with anything",
        'Write step = "5 mm" in the [[core.section]] if the files lie in order of their names',
    ),
    "depth-order": Kind(
        "refused",
        "Composite depth must grow down the core",
        "Correct top (and its unit) in the [[core.section]]; list sections from the top down",
    ),
    "depth-gap": Kind(
        "info", "Core material between two sections was not scanned, or a top is wrong", "Look at the tops"
    ),
    "depth-overlap": Kind(
        "flagged",
        "The same depth was scanned twice; one spectrum counts and the other is its replicate",
        'Nothing; or write supersedes = ["RUN"] in the [[core.section]] that is to count',
    ),
    "replicates": Kind(
        "info",
        "The same place was scanned again; one spectrum counts and the other is its replicate",
        'Nothing; or write supersedes = ["RUN"] in the [[core.section]] that is to count',
    ),
    "outside-section": Kind(
        "flagged",
        "A spectrum beyond the section's end shows the liner or nothing",
        "Correct length in the [[core.section]], or leave the flag",
    ),
    "missing-positions": Kind(
        "flagged",
        "The steps of the scan leave places out: files may be missing",
        "Copy them from the scanner, or leave it",
    ),
    "repeated-position": Kind(
        "flagged", "Two spectra of one scan claim the same place", "Look at the scan's record; the first one counts"
    ),
    # Machine settings and calibration
    "live-time": Kind(
        "refused",
        "Without a live time above nothing there is no rate",
        'Correct the file, or write live_time = "10 s" under [scanner] where no file tells',
    ),
    "implausible": Kind(
        "flagged",
        "A machine setting outside what scanners do, or one that contradicts another",
        "Look at the file's header",
    ),
    "setting-change": Kind(
        "flagged",
        "The machine was changed within one scan; its spectra are not comparable as they are",
        "Split the section into two folders if the change was meant",
    ),
    "calibration-missing": Kind(
        "refused",
        "No file gives an energy axis, and the lines in the spectra do not either",
        'Put the result table or the .dfl beside them, or write calibration = { gain = "20 eV", offset = "0 eV" } '
        "under [scanner]",
    ),
    "calibration-impossible": Kind(
        "refused",
        "An energy axis that no detector has is a placeholder or a typing error",
        "Correct the calibration where it was given, or remove it there: corebank then finds it from the lines",
    ),
    "calibration-from-lines": Kind(
        "info",
        "No file gave the energy axis; it was fitted to the lines in the spectra",
        "Look at the lines in the report",
    ),
    "calibration-contradicted": Kind(
        "decision",
        "The lines of the spectra stand at other energies than the given calibration says: it may be fake",
        'Write calibration_from = "lines" or calibration_from = "file" under [scanner]',
    ),
    "calibration-unchecked": Kind(
        "info", "The spectra show too few sure lines to check the energy axis against", "Nothing"
    ),
    "calibration-filled": Kind(
        "info", "Spectra that the result table leaves out got the run's median calibration", "Nothing"
    ),
    # Quality of single spectra; each is a bit of corebank.schema.Flag
    "empty": Kind("flagged", "No counts at all: the detector or the tube was off", "Nothing; the spectra are flagged"),
    "low-counts": Kind("flagged", "Too few counts for a usable spectrum", "Nothing; the spectra are flagged"),
    "high-dead-time": Kind("flagged", "The detector was blind most of the time", "Nothing; the spectra are flagged"),
    "saturated": Kind("flagged", "Channels stopped counting at the counter's end", "Nothing; the spectra are flagged"),
    "not-in-position": Kind(
        "flagged", "The scanner says that the detector did not reach its place", "Nothing; the spectra are flagged"
    ),
    "air-gap": Kind(
        "flagged",
        "More argon of the air than in the rest of the run: the detector was far off",
        "Nothing; they are flagged",
    ),
    "gain-jump": Kind(
        "flagged", "The lines lie wider or closer than in the rest of the run", "Rescan, or leave the flag"
    ),
    "line-shift": Kind("flagged", "The lines lie shifted against the rest of the run", "Rescan, or leave the flag"),
    "duplicate": Kind(
        "flagged", "The same counts stand under another position: a copy, or a detector that stood still", "Nothing"
    ),
    "near-duplicate": Kind(
        "flagged", "More alike than counting noise allows: a copy that was changed", "Nothing; the spectra are flagged"
    ),
    "outlier": Kind(
        "flagged", "Unlike its neighbours above and below", "Look at the core there; the spectra are flagged"
    ),
    "wrong-anode": Kind(
        "flagged",
        "The tube's own scattered lines are those of another anode than declared",
        "Correct the anode, or move these spectra into a folder of their own",
    ),
    # Laboratory values
    "table": Kind(
        "refused", "A table that cannot be read as declared would bring in wrong values", "Correct [[measurements]]"
    ),
    "unknown-name": Kind(
        "refused",
        "A value of a core or section that is not in the contribution joins nothing",
        "Correct the name in the table, or list the core or section",
    ),
    "no-depth": Kind("refused", "A sample without a depth cannot be matched", "Give its depth, or take the line out"),
    "out-of-range": Kind(
        "refused", "A value that nature does not allow is a slip of unit or of typing", "Correct the cell, or the unit"
    ),
    "no-number": Kind(
        "info", "Cells without a number (below detection, not determined, empty) bring in no value", "Nothing"
    ),
    "broken-cell": Kind(
        "flagged", "A spreadsheet error stands where a value was meant", "Repair the spreadsheet and save it again"
    ),
    "negative": Kind(
        "flagged", "A negative share is noise around nothing or a wrong blank", "Look at it; the value is kept as it is"
    ),
    "repeated-depth": Kind(
        "flagged",
        "One depth has several values of the same proxy and method",
        "Nothing; all are kept, labels average them",
    ),
    "unmatched": Kind(
        "info", "No spectrum lies inside the sample's depth interval", "Nothing; the value is kept and trains nothing"
    ),
    "label-shift": Kind(
        "flagged",
        "Laboratory values follow the spectra better when their depths are shifted",
        'If that is so, write shift = "5 mm" in [[measurements]]; nothing is shifted unasked',
    ),
    "converted": Kind("info", "Values were converted as contribution.toml asks", "Nothing"),
}
"""Kind -> what it means. A clean folder gets nothing above ``info``."""
