"""A check's report as one HTML page that a browser opens from a disk or an e-mail: nothing in it comes from elsewhere.

Names of files and cells are a stranger's words: everything is escaped by the template engine, control characters are
replaced, and the page's own security policy forbids scripts, requests and every style sheet but its own.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from corebank.contribution.findings import Finding
from corebank.contribution.report import ORDER, Profile, Report
from corebank.page import depths, drawing, spectra

SHOWN = 500
"""Items of one finding, or files set aside for one reason, that the page lists; ``--json`` lists them all."""

GRAVITY = {
    "refused": "Refused",
    "decision": "Needs a decision",
    "flagged": "Flagged, goes in",
    "info": "For information",
}
"""Severity -> heading."""

_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control characters, halves of characters, and marks that turn the direction of what follows them."""


class Group(NamedTuple):
    """The findings of one kind: why it matters is said once, and what to do too where it is the same for all."""

    kind: str
    why: str
    fix: str
    findings: list[Finding]


class Cell(NamedTuple):
    """One setting of one run; `odd` where most runs have another value."""

    value: str
    odd: bool


class Picture(NamedTuple):
    """One run with its drawing."""

    profile: Profile
    drawing: Markup
    legend: list[tuple[int, str, str]]
    """Colour, depth and file of each sample."""


def html(report: Report) -> str:
    """The report as one HTML document.

    It has no script, no link out and no style but its own, follows the reader's light or dark scheme, prints, and
    reads aloud: headings, tables with headers, and a text beside every drawing.
    """
    style = files("corebank.page").joinpath("report.css").read_text(encoding="utf-8")
    page = _template().render(
        report=report,
        verdict=_verdict(report),
        gravity=GRAVITY,
        groups={severity: _groups(report.findings, severity) for severity in ORDER},
        cores=_cores(report),
        pictures=[_picture(profile, f"run-{number}") for number, profile in enumerate(report.profiles, 1)],
        settings=_settings(report.profiles),
        aside=_aside(report),
        shown=SHOWN,
        style=Markup(style),  # noqa: S704 - our own file, not a stranger's words
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", page)


def _verdict(report: Report) -> tuple[str, str, str, str]:
    """Class, headline, what follows from it and, where there is one, the command to type next."""
    count = Counter(finding.severity for finding in report.findings)
    folder = shlex.quote(report.folder)
    if report.refused:
        return (
            "refused",
            "Cannot go in",
            f"{drawing.many(count['refused'], 'finding refuses', 'findings refuse')} this folder"
            + (f", and {count['decision']} more must be decided" if count["decision"] else "")
            + ". Nothing was changed. Mend what is listed first, then check again:",
            f"corebank check {folder}",
        )
    if report.needs_decision:
        return (
            "decision",
            "Needs a decision",
            drawing.many(count["decision"], "question has", "questions have")
            + " two possible answers, and only you know which is true. Write them into contribution.toml, then check "
            + "again:",
            f"corebank check {folder}",
        )
    flagged = drawing.many(count["flagged"], "finding marks", "findings mark") + " single spectra, cells or places; "
    return (
        "passes",
        "Can go in",
        (flagged if count["flagged"] else "") + "nothing stands in the way. The next command:",
        f"corebank add BANK {folder}",
    )


def _groups(findings: Iterable[Finding], severity: str) -> list[Group]:
    kinds: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.severity == severity:
            kinds.setdefault(finding.kind, []).append(finding)
    return [
        Group(kind, found[0].why, found[0].fix if len({one.fix for one in found}) == 1 else "", found)
        for kind, found in kinds.items()
    ]


def _cores(report: Report) -> list[tuple[depths.Coverage, Markup]]:
    names = dict.fromkeys([*(profile.core for profile in report.profiles), *report.labels])
    found = [
        depths.coverage(
            core, [profile for profile in report.profiles if profile.core == core], report.labels.get(core, ())
        )
        for core in names
    ]
    return [(core, depths.drawn(core, f"core-{number}")) for number, core in enumerate(found, 1)]


def _picture(profile: Profile, name: str) -> Picture:
    legend = [
        (number % spectra.COLOURS + 1, drawing.length(sample.depth), sample.source)
        for number, sample in enumerate(profile.samples)
    ]
    return Picture(profile, spectra.drawn(profile, name), legend)


def _settings(profiles: tuple[Profile, ...]) -> tuple[list[str], list[tuple[Profile, list[Cell]]]]:
    """Settings in columns, runs in rows; a value is odd where more than half of the runs share another one."""
    names = list(dict.fromkeys(name for profile in profiles for name in profile.settings))
    usual = {}
    for name in names:
        value, count = Counter(profile.settings.get(name, "") for profile in profiles).most_common(1)[0]
        usual[name] = value if count * 2 > len(profiles) else None
    rows = [
        (
            profile,
            [
                Cell(value := profile.settings.get(name, ""), usual[name] is not None and value != usual[name])
                for name in names
            ],
        )
        for profile in profiles
    ]
    return names, rows


def _aside(report: Report) -> list[tuple[str, list[str]]]:
    """Reason -> files set aside for it, the most frequent reason first."""
    reasons: dict[str, list[str]] = {}
    for name, why in report.set_aside.items():
        reasons.setdefault(why, []).append(name)
    return sorted(reasons.items(), key=lambda pair: -len(pair[1]))


@lru_cache(maxsize=1)
def _template() -> Template:
    folder = files("corebank.page")
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8")),
    )
    environment.filters.update(depth=drawing.length, many=drawing.many)
    return environment.get_template("report.html")
