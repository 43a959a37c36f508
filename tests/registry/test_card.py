"""A card says what the bundle knows, admits what it does not, and a stranger's words stay words in both its forms."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import bundle, cli
from registry import card as cards
from registry import card_html, card_markdown, gate, power, publish
from registry.card_blocks import Card, Code, Command, Points, Section, Strong, Table, Words
from tests.registry.models import LINEAGE, TRACELESS, foundation, labelled, quantifier
from tests.test_page import WORDS, Skeleton

Write = Callable[[bundle.Bundle], Path]

RANDOM = np.random.default_rng(1)
CORES = {f"boscorf/cd166/C{number}": RANDOM.normal(0, 2, 12).tolist() for number in (1, 2)}
LABELLED = labelled(CORES) | {"rpiq": 3.4, "interval": {"r2": [0.8, 0.95], "rmse": None}}
RICH = quantifier(
    lineage=replace(
        LINEAGE,
        dois={"boscorf/cd166": "10.1594/PANGAEA.1"},
        synthetic=("virtual/vs1",),
        cores=(*LINEAGE.cores, "virtual/vs1/V1"),
        licences={**LINEAGE.licences, "virtual/vs1": "CC0-1.0"},
    ),
    metrics={
        "held_out": {"CaCO3": LABELLED},
        "outliers": {"boscorf/cd166/C1": {"spectra": 120, "flagged": 0.03}},
        "baselines": {"held_out": {"CaCO3": {"ridge": {"r2": 0.71, "rmse": 4.5, "n": 24}}}},
    },
)


def written(model: bundle.Bundle, **standing: Any) -> str:
    return card_markdown.markdown(made(model, **standing))


def made(model: bundle.Bundle, **standing: Any) -> Card:
    known = cards.Standing(uri="models:/q/1", baselines=cards.baselines(model, Path("nowhere")))
    return cards.card(model, replace(known, **standing))


def test_a_card_says_use_data_licences_measures_coverage_and_limits() -> None:
    text = written(RICH)
    for words in (
        "# q/1",
        "A quantifier of CaCO3, TOC for XRF core-scanner spectra, trained on 3 cores of 2 expeditions.",
        "128 bins of 160 eV from 0 keV",
        "corebank predict models:/q/1 FOLDER",
        "| boscorf/cd166 | 2: CD166-19, CD166-20 | measured | CC-BY-4.0 | 10.1594/PANGAEA.1 | `1CECHNKREP0F1RSTCMT0` |",
        "| virtual/vs1 | 1: V1 | **synthetic** | CC0-1.0 |",
        "Terms of the whole: CC-BY-4.0, CC0-1.0: name the sources.",
        "| CaCO3 | **this model** | 24 | 0.9 \\[0.8, 0.95\\] |",
        "| CaCO3 | ridge | 24 | 0.71 | 4.5 |",
        "± 10 wt%",
        "divided and multiplied by 1.65",
        "| boscorf/cd166/C1 | 120 | 3% |",
        "It was trained on synthetic spectra.",
        "Mo 30 kV",
        "in a single core they may hold much less",
        "boscorf/cd166: Bishop (2022). doi:10.1594/PANGAEA.1. Licence CC-BY-4.0. snapshot 1CECHNKREP0F1RSTCMT0.",
        "| optimiser.rate | `0.0001` |",
        "The gate was not asked.",
    ):
        assert words in text
    row = next(line for line in text.splitlines() if line.startswith("| CaCO3 \\[wt%\\] | boscorf/cd166/C1 | 12 |"))
    ((rmse, low, high),) = re.findall(r"\| ([\d.]+) \| ([\d.]+) to ([\d.]+) \|", row)
    assert float(low) < float(rmse) < float(high)


def test_a_card_admits_what_is_not_known() -> None:
    proxies = tuple(replace(proxy, half_width=float("nan")) for proxy in quantifier().proxies)
    text = written(quantifier(outlier=None, metrics={}, lineage=bundle.DataLineage(), proxies=proxies))
    for words in ("None is recorded", "Nothing held out was measured", "**unknown**", "cannot tell foreign spectra"):
        assert words in text
    unlicensed = bundle.DataLineage(cores=("a/b/C",), parent="models:/foundation/1")
    text = written(foundation(lineage=unlicensed))
    for words in ("**unknown**", "These data may not be used together", "What its parents have seen is included"):
        assert words in text
    assert "gives no concentrations" in text


def test_a_card_of_an_older_bundle_has_no_intervals_of_its_scores() -> None:
    text = written(quantifier())
    assert "| CaCO3 \\[wt%\\] | C2 | 20 | 0.9 | 4 |  | 4 | 0 |  |" in text
    assert "was not recorded" in text


def test_a_card_tells_what_the_gate_said_and_who_decided_otherwise() -> None:
    worse = quantifier(lineage=TRACELESS, metrics={"held_out": {"CaCO3": labelled({"a/b/C": [9.0] * 12})}})
    before = quantifier(lineage=TRACELESS, metrics={"held_out": {"CaCO3": labelled({"a/b/C": [1.0, -1.0] * 6})}})
    verdict = gate.judge(worse, before)
    told = {"alias": "champion", "against": "models:/q/0", "verdict": verdict}
    text = written(worse, outcome="overridden: its *labels* were wrong", **told)
    assert "It is champion. The gate refused it, compared with models:/q/0; somebody decided otherwise: its" in text
    assert "| RMSE of CaCO3 on a/b/C, 12 labels | **refused** |" in text
    assert made(worse, outcome="overridden: x", **told).refused
    assert not made(worse, outcome="passed", alias="champion").refused
    assert "Gate: passed." in written(worse, outcome="passed", alias="champion")
    assert "    line one\n    line two" in written(worse, report="line one\nline two")


def test_the_page_needs_nothing_from_elsewhere_and_guards_itself() -> None:
    page = card_html.html(made(RICH))
    assert page.isascii() or page == page.encode().decode()
    skeleton = Skeleton(page)
    assert all(link.startswith("#") for link in skeleton.links)
    assert {tag for tag, _ in skeleton.tags} & {"script", "img", "link", "iframe", "object", "form"} == set()
    assert not re.search(r"url\(|@import", page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in page
    anchors = re.findall(r'id="([^"]+)"', page)
    assert len(anchors) == len(set(anchors))
    assert {link[1:] for link in skeleton.links} <= set(anchors)
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) == 2
    for drawing in drawings:
        ElementTree.fromstring(drawing)


def hostile(words: list[str]) -> Card:
    """A card that says `words` wherever a stranger's words can stand."""
    uri, title, cell, item, typed, strong, code, caption = words
    blocks = (Words(cell), Words(strong, True), Points([item, Strong(strong)]), Command(typed))
    table = Table(caption, (title, cell), [(Code(code), Strong(strong)), (item, cell)], numbers=1)
    return Card(title=uri, summary=cell, standing=item, refused=True, sections=[Section("Data", (*blocks, table))])


@given(st.lists(WORDS.filter(bool), min_size=8, max_size=8))
@settings(deadline=None, max_examples=40)
def test_no_word_of_a_stranger_becomes_markup(words: list[str]) -> None:
    harmless, page = card_html.html(hostile([f"word{n}" for n in range(8)])), card_html.html(hostile(words))
    assert Skeleton(page).tags == Skeleton(harmless).tags
    shown = " ".join(Skeleton(page).text.split())
    for word in words:
        if word.isprintable() and word.isascii():
            assert " ".join(word.split()) in shown
    lines = [line for line in card_markdown.markdown(hostile(words)).splitlines() if not line.startswith("    ")]
    assert not any(re.search(r"(?<!\\)<", re.sub(r"`[^`]*`", "", line)) for line in lines)


@pytest.mark.parametrize("where", ["cores", "licences", "citations", "machines", "recipe", "held_out", "outliers"])
def test_what_a_bundle_says_is_escaped_wherever_it_stands(where: str) -> None:
    evil = "a/b/<script>alert(1)</script>"
    record = labelled({evil: [1.0] * 8})
    changes: dict[str, Any] = {
        "cores": {"lineage": replace(LINEAGE, cores=(evil,))},
        "licences": {"lineage": replace(LINEAGE, licences={"boscorf/cd166": evil})},
        "citations": {"lineage": replace(LINEAGE, citations={"boscorf/cd166": evil})},
        "machines": {"lineage": replace(LINEAGE, machines=(evil,))},
        "recipe": {"recipe": {evil: evil}},
        "held_out": {"metrics": {"held_out": {"CaCO3": record}}},
        "outliers": {"metrics": {"outliers": {evil: {"spectra": 1, "flagged": 0.0}}}},
    }
    page = card_html.html(made(quantifier(**changes[where])))
    assert "alert(1)" in page
    assert "<script" not in page


def test_baselines_come_from_the_bundle_or_from_the_run_beside_it(run: Write) -> None:
    folder = run(quantifier())
    report = {"held_out": {"CaCO3": {"network": {"r2": 0.9}, "ridge": {"r2": 0.5, "rmse": 5}}}}
    (folder / "metrics.json").write_text(json.dumps(report))
    for place in (folder, folder / "bundle"):
        assert cards.baselines(quantifier(), place)["held_out"] == {"CaCO3": {"ridge": {"r2": 0.5, "rmse": 5}}}
    assert cards.baselines(RICH, folder)["held_out"]["CaCO3"]["ridge"]["r2"] == 0.71
    assert cards.baselines(quantifier(), Path("nowhere")) == {}


def test_the_program_prints_markdown_and_writes_html(run: Write, tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.run(cards.app, [str(run(RICH)), "--html", str(tmp_path / "card.html")])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("# ")
    assert (tmp_path / "card.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("program", [publish, gate, cards, power])
def test_the_programs_explain_themselves(program: Any, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.run(program.app, ["--help"])
    assert stop.value.code == 0
    assert f"python -m {program.__name__}" in " ".join(capsys.readouterr().out.split())


def test_a_program_runs_from_a_checkout() -> None:
    command = [sys.executable, "-m", "registry.card", "--help"]
    assert "MODEL" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
