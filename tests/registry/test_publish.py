"""A model takes the champion's place only when it is as good where both were measured, and its card says what it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import bundle, cli, hub
from corebank.errors import BundleError, RegistryError
from registry import gate, publish
from registry.card import card
from tests.registry.models import LINEAGE, foundation, measured, quantifier

Write = Callable[[bundle.Bundle], Path]


def quantifying(rmse: float, **more: float) -> bundle.Bundle:
    return quantifier(metrics={"held_out": {"CaCO3": measured({"C3": rmse} | more)}})


def reconstructing(**losses: float) -> bundle.Bundle:
    measures = {name: {"loss": loss, "cores": ["boscorf/e/C3"]} for name, loss in losses.items()}
    return foundation(metrics={"validation": measures})


@given(st.floats(0.01, 100), st.floats(0.01, 100))
@settings(deadline=None, max_examples=20)
def test_a_quantifier_passes_up_to_ten_percent_and_a_foundation_model_up_to_two(before: float, after: float) -> None:
    assert gate.compare(quantifying(after), quantifying(before)).passed == (after <= before * (1 + gate.RMSE_SLACK))
    verdict = gate.compare(reconstructing(a=after, b=1, new=9), reconstructing(a=before, b=1))
    assert verdict.passed == (after <= before * (1 + gate.LOSS_SLACK))


@given(st.floats(0.01, 100))
@settings(deadline=None, max_examples=5)
def test_every_model_may_replace_itself(value: float) -> None:
    assert gate.compare(quantifying(value), quantifying(value)).passed
    assert gate.compare(reconstructing(a=value), reconstructing(a=value)).passed


@pytest.mark.parametrize(
    ("candidate", "champion", "why"),
    [
        (quantifying(float("nan")), quantifying(1), "RMSE of CaCO3: nan, at most 1.1 is allowed"),
        (quantifying(1), quantifying(1, C4=1), "RMSE of CaCO3: the candidate was not measured on C4"),
        (quantifier(metrics={}), quantifying(1), "RMSE of CaCO3: not given by the candidate"),
        (quantifying(1), quantifier(metrics={}), "records nothing held out"),
        (reconstructing(a=1), quantifying(1), "a foundation model cannot replace a quantifier model"),
        (reconstructing(a=1), reconstructing(a=1, b=1), "loss of b: not measured by the candidate"),
        (reconstructing(a=1.03), reconstructing(a=1), "loss of a: 1.03, at most 1.02 is allowed"),
        (
            replace(reconstructing(a=1), recipe={"mask_ratio": 0.75}),
            reconstructing(a=1),
            "another normalization or share",
        ),
        (
            replace(reconstructing(a=1), lineage=replace(LINEAGE, sections=("boscorf/e/C3",))),
            reconstructing(a=1),
            "loss of a: the candidate was trained on boscorf/e/C3",
        ),
        (
            foundation(metrics={"validation": {"a": {"loss": 1, "cores": ["C4"]}}}),
            reconstructing(a=1),
            "on other cores",
        ),
    ],
)
def test_what_is_worse_missing_or_not_comparable_is_refused_with_the_reason(
    candidate: bundle.Bundle,
    champion: bundle.Bundle,
    why: str,
) -> None:
    verdict = gate.compare(candidate, champion)
    assert not verdict.passed
    assert why in verdict.reasons


def test_a_candidate_that_was_measured_on_more_cores_is_compared_on_the_champion_s() -> None:
    verdict = gate.compare(quantifying(1, new=9), quantifying(1))
    assert (verdict.passed, verdict.rows[0].candidate) == (True, 1)


def test_a_verdict_reads_as_a_table() -> None:
    assert str(gate.compare(quantifying(3.2), quantifying(3.0))).splitlines() == [
        "| held out | champion | candidate | allowed | |",
        "|---|---|---|---|---|",
        "| RMSE of CaCO3 | 3 | 3.2 | 3.3 | passed |",
    ]


def test_publishing_registers_describes_and_then_moves_the_alias(
    store: Path,
    run: Write,
    tmp_path: Path,
    capsys: Any,
) -> None:
    folder = run(quantifier())
    for _ in range(2):  # the second time changes nothing
        publish.publish(folder, cards=tmp_path / "cards")
    assert capsys.readouterr().out.splitlines() == ["models:/quantify-caco3-toc/1"] * 2
    (version,) = hub.versions("quantify-caco3-toc")
    assert version.aliases == ("champion",)
    assert version.tags["corebank.gate"] == "none: the first to hold the alias"
    text = (tmp_path / "cards" / "quantify-caco3-toc-1.md").read_text()
    assert mlflow.MlflowClient().get_model_version("quantify-caco3-toc", "1").description == text
    publish.publish(run(foundation()), cards=tmp_path / "cards")
    assert hub.find("models:/foundation@champion").number == 1


def test_a_worse_model_is_refused_unless_somebody_says_why(store: Path, run: Write, tmp_path: Path) -> None:
    publish.publish(run(quantifying(3)), name="m", cards=tmp_path)
    worse = run(quantifying(4))
    with pytest.raises(RegistryError, match=r"may not replace models:/m/1 as champion: RMSE of CaCO3: 4, at most 3\.3"):
        publish.publish(worse, name="m", cards=tmp_path)
    assert [version.aliases for version in hub.versions("m")] == [("champion",)]
    publish.publish(worse, name="m", override="the old cores were mislabelled", cards=tmp_path)
    champion = hub.find("models:/m@champion")
    assert champion.number == 2
    assert champion.tags["corebank.gate"] == "overridden: the old cores were mislabelled"
    assert champion.tags["corebank.alias.champion"].endswith("gate overridden: the old cores were mislabelled")
    assert "| RMSE of CaCO3 | 3 | 4 | 3.3 | refused |" in (tmp_path / "m-2.md").read_text()


def test_another_alias_or_none_needs_no_gate(store: Path, run: Write, tmp_path: Path) -> None:
    publish.publish(run(quantifying(3)), name="n", cards=tmp_path)
    publish.publish(run(quantifying(9)), name="n", alias="challenger", cards=tmp_path)
    publish.publish(run(quantifying(8)), name="n", alias="", cards=tmp_path)
    assert [version.aliases for version in hub.versions("n")] == [("champion",), ("challenger",), ()]


def test_a_damaged_run_is_not_published(store: Path, run: Write, tmp_path: Path) -> None:
    folder = run(quantifier())
    (folder / "bundle" / "bundle.json").write_text("{}")
    with pytest.raises(BundleError):
        publish.publish(folder, name="damaged", cards=tmp_path)
    assert hub.versions("damaged") == []


def test_a_card_says_use_data_licences_measures_intervals_and_limits() -> None:
    text = card(quantifier(), "models:/quantify-caco3-toc/1")
    for words in (
        "# quantify-caco3-toc/1",
        "Estimates CaCO3 [wt%], TOC [wt%]",
        "128 bins of 160 eV from 0 keV",
        "| boscorf/cd166 | 2: CD166-19, CD166-20 | CC-BY-4.0 | `1CECHNKREP0F1RSTCMT0` | Bishop (2022) |",
        "| proxy | held out | labels | R2 | RMSE | MAE | bias |",
        "| CaCO3 | C2 | 20 | 0.9 | 4 | 4 | 0 |",
        "± 10 wt%",
        "divided and multiplied by 1.65",
        "Mo 30 kV",
        "fewer than nine",
        "| optimiser.rate | `0.0001` |",
    ):
        assert words in text


def test_a_card_admits_what_is_not_known() -> None:
    proxies = tuple(replace(proxy, half_width=float("nan")) for proxy in quantifier().proxies)
    text = card(quantifier(outlier=None, metrics={}, lineage=bundle.DataLineage(), proxies=proxies), "models:/q/1")
    for words in ("None is recorded", "Nothing held out was measured", "**unknown**", "cannot tell foreign spectra"):
        assert words in text
    unlicensed = bundle.DataLineage(cores=("a/b/C",), parent="models:/foundation/1")
    text = card(foundation(lineage=unlicensed), "models:/f/2")
    assert "**unknown**" in text
    assert "includes what its parent, models:/foundation/1, has seen" in text
    assert "gives no concentrations" in text


def test_exit_codes_are_0_done_1_refused_2_wrong_usage(store: Path, run: Write, capsys: Any) -> None:
    good, bad = str(run(quantifying(3))), str(run(quantifying(4)))
    for program, arguments, code in (
        (gate.app, [good, good], 0),
        (gate.app, [bad, good], 1),
        (gate.app, [good], 2),
        (publish.app, ["no-run"], 1),
    ):
        with pytest.raises(SystemExit) as stop:
            cli.run(program, arguments)
        assert stop.value.code == code
    assert "RMSE of CaCO3: 4, at most 3.3 is allowed" in capsys.readouterr().err


@pytest.mark.parametrize("program", ["publish", "gate", "card"])
def test_the_programs_run_and_explain_themselves(program: str) -> None:
    command = [sys.executable, "-m", f"registry.{program}", "--help"]
    assert f"python -m registry.{program}" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
