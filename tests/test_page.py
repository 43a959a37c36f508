"""The report as a page: a stranger's words stay words, nothing comes from elsewhere, every drawing is well formed."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from corebank import page
from corebank.contribution.findings import KINDS, finding
from corebank.contribution.report import ORDER, Profile, Report, Sample
from corebank.page import depths, drawing

SVG = "{http://www.w3.org/2000/svg}"
TAGS = set(
    re.split(
        r"\s+",
        """html head meta title style body a header p h1 h2 h3 h4 div code dl dt dd nav ul li main section span strong
        table thead tbody tr th td details summary figure figcaption article footer svg desc line rect text path""",
    )
)
WORDS = st.text(st.characters(exclude_categories=()), max_size=12) | st.sampled_from(
    ['"><script>alert(1)</script>', "</style><script>", "' onload='x", "{{ 7 * 7 }}", "&lt;b&gt;", "<!--", "]]>"]
)
DEPTHS = st.lists(st.floats(-1e4, 1e5) | st.just(math.nan), max_size=8).map(tuple)


def profile(run: str = "s1", core: str = "C/1", section: str = "S1", start: float = 0.0, **more: object) -> Profile:
    """A run of ten spectra 1 mm apart from `start`."""
    whole = Profile(
        run=run,
        folder="S1",
        core=core,
        section=section,
        spectra=10,
        replicates=0,
        settings={"tube voltage": "30 kV"},
        depths=tuple(start + row for row in range(10)),
        replicate_depths=(),
        calibration="0.02 keV/channel from 0 keV",
        lines=(("Fe Ka", 6.404, -3.0),),
        flags={"LOW_COUNTS": 2},
        samples=(Sample("S1/L0.spe", start, (0.0, 3.0, 6.4, 10.0), (0.0, 40.0, 9000.0, 3.0)),),
    )
    return replace(whole, **more)  # type: ignore[arg-type]  # any field of a profile


def report(*kinds: str, profiles: Sequence[Profile] = (), **more: object) -> Report:
    """A report with one finding of each kind."""
    whole = Report(
        folder="/data/my cruise",
        expedition="cruise1",
        title="Cruise 1",
        findings=tuple(finding(kind, f"where-{kind}", f"found {kind}", items=(f"item-{kind}",)) for kind in kinds),
        files_used=12,
        set_aside={"notes.txt": "not a spectrum"},
        runs={one.run: one.spectra for one in profiles},
        measurements=3,
        profiles=tuple(profiles),
    )
    return replace(whole, **more)  # type: ignore[arg-type]  # any field of a report


class Skeleton(HTMLParser):
    """Tags with the names of their attributes, in order, and all the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href", "action")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def spoken(words: Sequence[str]) -> Report:
    """A report that says `words` in every place where a stranger's words can stand; all of its numbers are fixed."""
    place, said, item, file, why, core, section, name = words
    one = profile(
        core=core,
        section=section,
        settings={name: said},
        calibration=said,
        lines=((name, 6.4, 1.0),),
        flags={name: 1},
        samples=(Sample(file, 1.0, (0.0, 5.0), (0.0, 50.0)),),
        folder=place,
    )
    return report(
        "unreadable",
        profiles=[one],
        folder=place,
        title=name,
        expedition=section,
        findings=(finding("unreadable", place, said, fix=f"{why}!", items=(item, item, item, item)),),
        set_aside={file: f"{why}?"},
        labels={core: ((1.0, 2.0),)},
    )


@settings(deadline=None, max_examples=40)
@given(st.lists(WORDS, min_size=8, max_size=8))
def test_no_word_of_a_stranger_becomes_markup(words: list[str]) -> None:
    assume(all(words))  # an empty title shows another name instead
    harmless, hostile = page.html(spoken([f"word{n}" for n in range(8)])), page.html(spoken(words))
    assert Skeleton(hostile).tags == Skeleton(harmless).tags
    assert hostile == hostile.encode("utf-8").decode("utf-8")
    shown = " ".join(Skeleton(hostile).text.split())
    for word in words:
        if word.isprintable() and word.isascii():
            assert " ".join(word.split()) in shown


@settings(deadline=None, max_examples=25)
@given(DEPTHS, DEPTHS, st.lists(st.tuples(st.floats(-100, 1e5), st.floats(-100, 1e5)), max_size=5))
def test_every_drawing_is_well_formed_and_stays_inside_its_frame(
    counted: tuple[float, ...], repeated: tuple[float, ...], labels: list[tuple[float, float]]
) -> None:
    made = page.html(
        report(
            profiles=[profile(depths=counted, replicate_depths=repeated), profile("s2", section="S2", start=40.0)],
            labels={"C/1": tuple(labels), "C/2": ((5.0, 6.0),)},
        )
    )
    names = re.findall(r'id="([^"]+)"', made)
    assert len(names) == len(set(names))
    for text in re.findall(r"<svg.*?</svg>", made, re.DOTALL):
        drawn = ElementTree.fromstring(text)
        _, _, width, height = (float(part) for part in drawn.attrib["viewBox"].split())
        assert drawn.get("aria-hidden") == "true" or set(drawn.attrib["aria-labelledby"].split()) <= set(names)
        for mark in drawn.iter():
            for key, limit in (("x", width), ("x1", width), ("x2", width), ("y", height), ("y1", height)):
                assert 0 <= float(mark.get(key, 0)) <= limit
            if mark.tag == f"{SVG}rect":
                assert float(mark.attrib["x"]) + float(mark.attrib["width"]) <= width


@given(st.floats(-1e5, 1e5), st.floats(1e-3, 1e5), st.integers(2, 12))
def test_ticks_are_round_lie_inside_and_are_about_as_many_as_wanted(low: float, width: float, about: int) -> None:
    values = drawing.ticks(low, low + width, about)
    assert 1 <= len(values) <= about + 2
    step = width if len(values) == 1 else values[1] - values[0]
    assert all(low - 1e-6 * step <= value <= low + width + 1e-6 * step for value in values)
    mantissa = step / 10 ** math.floor(math.log10(step * 1.0001))
    assert len(values) == 1 or min(abs(mantissa - round_) for round_ in (1, 2, 5, 10)) < 0.01


@given(st.lists(st.floats(0, 800), max_size=80), st.floats(1, 20))
def test_labels_never_stand_on_each_other_and_keep_their_order(places: list[float], apart: float) -> None:
    out = drawing.spread(sorted(places), apart, 0.0, 800.0)
    room = min(apart, 800 / max(len(places), 1))
    assert all(after - before >= room - 1e-6 for before, after in pairwise(out))
    assert all(0 <= place <= 800 for place in out)


def test_crowded_labels_stand_around_their_middle() -> None:
    assert drawing.spread([100.0, 101.0, 102.0, 300.0], 10, 0, 800) == pytest.approx([91, 101, 111, 300])


def test_labels_with_room_stay_where_they_belong() -> None:
    assert drawing.spread([50.0, 100.0, 300.0], 13, 0, 800) == [50.0, 100.0, 300.0]


@settings(deadline=None, max_examples=20)
@given(st.lists(st.sampled_from(sorted(KINDS)), max_size=12, unique=True))
def test_every_finding_is_told_whole_and_the_gravest_come_first(kinds: list[str]) -> None:
    shown = Skeleton(page.html(report(*kinds))).text
    for kind in kinds:
        known = KINDS[kind]
        for text in (f"where-{kind}", f"found {kind}", f"item-{kind}", known.why):
            assert text in shown
        assert known.fix == "Nothing" or known.fix in shown
    places = [
        shown.index(f"where-{kind}") for kind in sorted(kinds, key=lambda kind: ORDER.index(KINDS[kind].severity))
    ]
    by_gravity: dict[str, list[int]] = {}
    for kind, place in zip(sorted(kinds, key=lambda kind: ORDER.index(KINDS[kind].severity)), places, strict=True):
        by_gravity.setdefault(KINDS[kind].severity, []).append(place)
    spans = list(by_gravity.values())
    assert all(max(above) < min(below) for above, below in pairwise(spans))


@pytest.mark.parametrize(
    ("kinds", "headline", "command"),
    [
        (("unreadable", "date"), "Cannot go in", "corebank check '/data/my cruise'"),
        (("date", "outlier"), "Needs a decision", "corebank check '/data/my cruise'"),
        (("outlier", "copies"), "Can go in", "corebank add BANK '/data/my cruise'"),
        ((), "Can go in", "corebank add BANK '/data/my cruise'"),
    ],
)
def test_the_verdict_stands_first_and_names_the_next_command(
    kinds: tuple[str, ...], headline: str, command: str
) -> None:
    made = report(*kinds)
    shown = Skeleton(page.html(made)).text
    assert headline in shown[: shown.index("spectra in")]
    assert command in shown
    assert (headline == "Can go in") == made.passes


def test_nothing_comes_from_elsewhere_and_no_script_could_run() -> None:
    made = page.html(report("date", profiles=[profile()], labels={"C/1": ((1.0, 2.0),)}))
    skeleton = Skeleton(made)
    assert {tag for tag, _ in skeleton.tags} <= TAGS
    assert not [name for _, names in skeleton.tags for name in names if name.startswith("on") or name == "style"]
    assert all(link.startswith("#") for link in skeleton.links)
    assert re.findall(r"url\(|@import|https?://", made.replace("http://www.w3.org/2000/svg", "")) == []
    (style,) = re.findall(r"<style>(.*?)</style>", made, re.DOTALL)
    assert f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in made
    assert "default-src 'none'" in made


def test_every_link_of_the_page_leads_to_a_place_in_it() -> None:
    made = page.html(report("date", profiles=[profile()], labels={"C/1": ((1.0, 2.0),)}))
    assert {link[1:] for link in Skeleton(made).links} <= set(re.findall(r'id="([^"]+)"', made))
    assert re.findall(r"<h(\d)", made)[0] == "1"
    assert made.count("<h1") == 1


def test_a_core_shows_its_gap_its_overlap_and_the_labels_that_no_spectrum_meets() -> None:
    upper, lower = profile(start=0.0), profile("s2", section="S2", start=7.0)
    far = profile("s3", section="S3", start=40.0)
    found = depths.coverage("C/1", [far, lower, upper], [(2.0, 4.0), (25.0, 27.0), (25.0, 27.0), (48.0, 60.0)])
    assert [lane.run for lane in found.lanes] == ["s1", "s2", "s3"]
    assert found.gaps == ((16.5, 39.5),)
    assert found.overlaps == ((6.5, 9.5),)
    assert found.labels == ((2.0, 4.0), (25.0, 27.0), (48.0, 60.0))
    assert found.alone == ((25.0, 27.0),)
    assert found.sentence == (
        "3 runs from 0 mm to 4.9 cm; 1 gap (2.3 cm); 1 overlap of sections (3 mm); "
        "3 labelled depths, 1 without a spectrum."
    )


def test_two_settings_of_one_section_do_not_overlap_and_replicates_are_drawn_apart() -> None:
    light, heavy = profile("s1-10kv"), profile("s1-30kv")
    again = profile("rescan", depths=(), replicate_depths=tuple(float(row) for row in range(10)))
    found = depths.coverage("C/1", [light, heavy, again], [])
    assert (found.overlaps, found.gaps) == ((), ())
    text = str(depths.drawn(found, "core-1"))
    assert (text.count('class="scanned"'), text.count('class="repeated"')) == (2, 1)


def test_a_hole_inside_a_run_is_a_gap() -> None:
    found = depths.coverage("C/1", [profile(depths=(0.0, 1.0, 2.0, 9.0, 10.0))], [])
    assert found.gaps == ((2.5, 8.5),)
    assert found.lanes[0].counted == ((-0.5, 2.5), (8.5, 10.5))


def test_a_core_without_depths_says_so() -> None:
    found = depths.coverage("C/1", [profile(depths=(math.nan,))], [])
    assert found.sentence == "No depth is known."
    assert depths.drawn(found, "core-1") == ""


def test_a_spectrum_without_counts_is_not_drawn_and_that_is_said() -> None:
    silent = Sample("S1/L0.spe", 0.0, (0.0, 1.0), (0.0, 0.0))
    assert "No spectrum to show." in page.html(report(profiles=[profile(samples=(silent,))]))


def test_the_peak_stands_at_its_line() -> None:
    made = page.html(report(profiles=[profile()]))
    path = re.findall(r'<path d="(M[^"]+)" class="spectrum colour-1"/>', made.split("Sample spectra of s1</title>")[1])[
        0
    ]
    points = [tuple(float(part) for part in point.split()) for point in path[1:].split("L")]
    peak = min(points, key=lambda point: point[1])
    emission = {float(x) for x in re.findall(r'<line x1="([\d.]+)" y1="[\d.]+" x2="\1" [^>]*class="emission"', made)}
    assert list(emission) == [pytest.approx(peak[0], abs=0.5)]
    assert "Fe Ka, 6.404 keV, peak -3 eV from there" in made


def test_a_setting_that_differs_from_most_runs_is_marked() -> None:
    runs = [profile(f"s{row}", settings={"tube voltage": "30 kV" if row else "10 kV"}) for row in range(4)]
    made = page.html(report(profiles=runs))
    assert made.count("≠ 10 kV") == 1
    assert "≠ 30 kV" not in made


def test_long_lists_are_cut_and_say_how_much_is_missing() -> None:
    many = tuple(f"L{row:06d}.spe" for row in range(page.SHOWN + 7))
    made = page.html(report(findings=(finding("outlier", "s1", "many", items=many),)))
    assert many[page.SHOWN - 1] in made
    assert many[page.SHOWN] not in made
    assert "and 7 more; corebank check --json lists them all" in made
