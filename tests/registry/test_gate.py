"""The gate: each rule is broken by one pair of models that differ in nothing else, and laws that hold for any pair."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import bank as banks
from corebank import bundle, cli
from registry import comparing, gate, noise, standing
from registry.verdict import Row, Verdict
from tests.registry.models import TRACELESS, foundation, labelled, measured, quantifier

Write = Callable[[bundle.Bundle], Path]

CORES = ("lab/cruise/A", "lab/cruise/B", "lab/cruise/C")
RANDOM = np.random.default_rng(0)
ERRORS = {core: RANDOM.normal(0, 2, 20).tolist() for core in CORES}
ERROR_LISTS = st.lists(st.floats(-30, 30), min_size=noise.FEWEST, max_size=30)
MANY_CORES = st.dictionaries(st.sampled_from([*CORES, "lab/cruise/D"]), ERROR_LISTS, min_size=1)
BASE = quantifier(lineage=TRACELESS)


def quantifying(errors: dict[str, Any] = ERRORS, half_width: float = 10.0, **changes: Any) -> bundle.Bundle:
    """A quantifier that erred so on held-out cores."""
    metrics = {"held_out": {"CaCO3": labelled(errors, half_width)}, "outliers": {"boscorf/cd166/X": flagged(0.04)}}
    return replace(BASE, **{"metrics": metrics} | changes)


def flagged(share: float) -> dict[str, float]:
    return {"spectra": 200, "flagged": share}


def older(rmse: float, **more: float) -> bundle.Bundle:
    """A quantifier whose bundle keeps no labels."""
    return replace(BASE, metrics={"held_out": {"CaCO3": measured({"C3": rmse} | more)}})


def reconstructing(**losses: float) -> bundle.Bundle:
    measures = {name: {"loss": loss, "cores": ["boscorf/e/C3"]} for name, loss in losses.items()}
    return foundation(lineage=TRACELESS, metrics={"validation": measures})


def refusing(verdict: Verdict) -> set[str]:
    return {row.rule for row in verdict.rows if not row.passed}


def times(factor: float, core: str = CORES[1]) -> dict[str, Any]:
    return {name: [factor * error for error in errors] if name == core else errors for name, errors in ERRORS.items()}


WHOLE = quantifying()
CHANGED_PROXY = replace(WHOLE.proxies[0], unit="mg/g")
NO_INTERVAL = replace(WHOLE.proxies[0], half_width=math.nan)


@pytest.mark.parametrize(
    ("candidate", "rule", "why"),
    [
        (quantifying(times(3), 50), "rmse", "RMSE of CaCO3 on lab/cruise/B, 20 labels: "),
        (
            quantifying({core: [2 * one for one in errors] for core, errors in ERRORS.items()}, 20),
            "rmse",
            "RMSE of CaCO3 on 3 cores together, 60 labels: ",
        ),
        (
            quantifying({core: ERRORS[core] for core in CORES[:2]}),
            "rmse",
            "the candidate was not judged on lab/cruise/C; name a catalog that holds them with --catalog",
        ),
        (
            quantifying(
                {core: ERRORS[core] for core in CORES[:2]},
                lineage=replace(TRACELESS, cores=(CORES[2],), licences={"lab/cruise": "CC0-1.0"}),
            ),
            "rmse",
            "the candidate was trained on lab/cruise/C; train it again with that held out",
        ),
        (
            quantifying(ERRORS | {CORES[2]: ERRORS[CORES[2]][:17]}),
            "rmse",
            "RMSE of CaCO3 on lab/cruise/C: the candidate was judged on 17 of the champion's 20 labels there",
        ),
        (quantifying(proxies=WHOLE.proxies[1:]), "outputs", "CaCO3 [wt%]: not given by the candidate"),
        (
            quantifying(proxies=(CHANGED_PROXY, WHOLE.proxies[1])),
            "outputs",
            "the candidate gives mg/g, the champion wt%",
        ),
        (quantifying(proxies=(NO_INTERVAL, WHOLE.proxies[1])), "outputs", "gives no interval, the champion does"),
        (quantifying(outlier=None), "outputs", "the candidate cannot tell foreign spectra, the champion can"),
        (reconstructing(a=1), "kind", "a foundation model cannot replace a quantifier model"),
        (quantifying(half_width=1.0), "coverage", "coverage of CaCO3, 60 labels: 0."),
        (
            replace(WHOLE, metrics=WHOLE.metrics | {"outliers": {"boscorf/cd166/X": flagged(0.21)}}),
            "outliers",
            "spectra flagged on 1 held-out units of known expeditions: 0.21, at most 0.2 is allowed",
        ),
        (
            replace(WHOLE, lineage=replace(TRACELESS, licences={})),
            "licences",
            "licence of boscorf/cd166: has no licence",
        ),
        (
            replace(WHOLE, lineage=replace(TRACELESS, licences={"boscorf/cd166": "CC-BY-SA-4.0", "a/b": "ODbL-1.0"})),
            "licences",
            "cannot be joined",
        ),
        (
            replace(WHOLE, lineage=replace(TRACELESS, sections=(CORES[0],))),
            "unseen",
            "3 held-out cores or sections: it was trained on lab/cruise/A, which judges it",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 10 else "",
)
def test_each_rule_refuses_the_one_pair_that_breaks_it(candidate: bundle.Bundle, rule: str, why: str) -> None:
    assert gate.judge(WHOLE, WHOLE).passed
    verdict = gate.judge(candidate, WHOLE)
    assert why in verdict.reasons
    assert refusing(verdict) == {rule}


def test_all_reasons_are_told_at_once() -> None:
    worst = quantifying(times(9), half_width=0.1, outlier=None, lineage=replace(TRACELESS, licences={}))
    verdict = gate.judge(worst, WHOLE)
    assert refusing(verdict) == {"rmse", "outputs", "coverage", "licences"}
    for row in verdict.rows:
        assert (row.what in verdict.reasons) == (not row.passed)


@given(MANY_CORES)
@settings(deadline=None, max_examples=25)
def test_every_model_may_replace_itself(errors: dict[str, Any]) -> None:
    model = quantifying(errors)
    assert gate.compare(model, model).passed


@given(MANY_CORES, st.randoms(), st.floats(0.5, 2))
@settings(deadline=None, max_examples=25)
def test_the_order_of_the_cores_decides_nothing(errors: dict[str, Any], random: Any, factor: float) -> None:
    names = list(errors)
    random.shuffle(names)
    other = {name: [factor * error for error in errors[name]] for name in names}
    verdicts = [
        gate.compare(quantifying(after), quantifying(before))
        for before, after in ((errors, other), ({name: errors[name] for name in names}, dict(sorted(other.items()))))
    ]
    assert set(verdicts[0].rows) == set(verdicts[1].rows)


@given(st.integers(noise.FEWEST, 40), st.integers(1, 12), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_a_core_that_became_much_worse_always_refuses(labels: int, cores: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    before = {f"lab/cruise/{number}": random.normal(0, 1, labels).tolist() for number in range(cores)}
    worse = f"lab/cruise/{random.integers(cores)}"
    shift = 50 * max(np.abs(before[worse]))
    after = {name: (np.array(errors) + shift * (name == worse)).tolist() for name, errors in before.items()}
    verdict = gate.compare(quantifying(after), quantifying(before))
    assert [row for row in verdict.rows if f"on {worse}," in row.what and not row.passed]


@given(st.floats(0.01, 100), st.floats(0.01, 100))
@settings(deadline=None, max_examples=20)
def test_older_bundles_pass_up_to_ten_percent_and_foundation_models_up_to_two(before: float, after: float) -> None:
    verdict = gate.compare(older(after, new=9), older(before))
    assert verdict.passed == (after <= before * (1 + comparing.RMSE_SLACK))
    assert "an older bundle keeps no labels" in verdict.rows[-1].note
    losses = gate.compare(reconstructing(a=after, b=1, new=9), reconstructing(a=before, b=1))
    assert losses.passed == (after <= before * (1 + comparing.LOSS_SLACK))


@pytest.mark.parametrize(
    ("candidate", "champion", "why"),
    [
        (older(math.nan), older(1), "RMSE of CaCO3: not a number, at most 1.1 is allowed"),
        (older(1), older(1, C4=1), "RMSE of CaCO3: the candidate was not judged on C4"),
        (older(1), quantifier(metrics={}), "the champion's bundle records nothing to compare with"),
        (reconstructing(a=1), foundation(metrics={}), "the champion's bundle records nothing to compare with"),
        (reconstructing(a=1), reconstructing(a=math.nan), "the champion's bundle records nothing to compare with"),
        (reconstructing(a=1), reconstructing(a=0, b=math.nan), "records nothing to compare with"),
        (reconstructing(a=math.nan), reconstructing(a=1), "loss of a: not a number, at most 1.02 is allowed"),
        (reconstructing(a=1), reconstructing(a=1, b=1), "loss of b: not measured by the candidate"),
        (reconstructing(a=1.03), reconstructing(a=1), "loss of a: 1.03, at most 1.02 is allowed"),
        (replace(reconstructing(a=1), recipe={"mask_ratio": 0.75}), reconstructing(a=1), "share of hidden patches"),
        (
            replace(reconstructing(a=1), lineage=replace(TRACELESS, sections=("boscorf/e/C3",))),
            reconstructing(a=1),
            "loss of a: the candidate was trained on boscorf/e/C3",
        ),
        (
            foundation(metrics={"validation": {"a": {"loss": 1, "cores": ["C4"]}}}),
            reconstructing(a=1),
            "loss of a: measured on other cores",
        ),
    ],
)
def test_what_is_worse_missing_or_not_comparable_is_refused_with_the_reason(
    candidate: bundle.Bundle, champion: bundle.Bundle, why: str
) -> None:
    verdict = gate.compare(candidate, champion)
    assert why in verdict.reasons
    assert len([row for row in verdict.rows if not row.passed]) == 1


def test_where_the_champion_was_not_judged_it_refuses_nothing() -> None:
    assert gate.compare(reconstructing(a=1, b=9), reconstructing(a=1, b=0)).passed
    assert gate.compare(reconstructing(a=1, b=9), reconstructing(a=1, b=math.nan)).passed


def test_a_foundation_model_is_compared_core_by_core_where_both_recorded_it() -> None:
    def model(loss: float) -> bundle.Bundle:
        record = {"loss": 1.0, "cores": ["C3", "C4"], "by_core": {"C3": {"loss": loss}, "C4": {"loss": 1.0}}}
        return foundation(lineage=TRACELESS, metrics={"validation": {"a": record}})

    assert gate.compare(model(1.05), model(1)).passed
    assert gate.compare(model(1.06), model(1)).reasons == "loss of C3: 1.06, at most 1.05 is allowed"


def test_units_held_out_in_turn_judge_a_model_that_holds_out_nothing_else() -> None:
    crossed = [quantifier(metrics={"cross_validation": {"CaCO3": labelled(errors)}}) for errors in (times(3), ERRORS)]
    assert refusing(gate.compare(*crossed)) == {"rmse"}
    assert gate.compare(crossed[1], WHOLE).passed
    record = labelled({CORES[0]: [90.0] * 20})
    also = replace(WHOLE, metrics=WHOLE.metrics | {"cross_validation": {"CaCO3": record}})
    assert gate.compare(also, WHOLE).passed  # what was held out altogether counts before what was held out in turn


def test_a_label_that_the_laboratory_corrected_is_another_one() -> None:
    record = labelled(ERRORS)
    labels = record["by_core"][CORES[0]]["labels"]
    labels["measured"] = [value + 1 for value in labels["measured"]]
    verdict = gate.compare(quantifier(metrics={"held_out": {"CaCO3": record}}), WHOLE)
    assert "judged on 0 of the champion's 20 labels there" in verdict.reasons


def test_cores_of_few_labels_are_judged_together() -> None:
    few = {f"lab/cruise/{number}": [1.0, -2.0, 0.5] for number in range(4)}
    worse = {core: [40 * error for error in errors] for core, errors in few.items()}
    verdict = gate.compare(quantifying(worse), quantifying(few))
    assert f"RMSE of CaCO3 on {comparing.SMALL}, 12 labels" in verdict.reasons
    alone = gate.compare(quantifying({CORES[0]: [90.0]}), quantifying({CORES[0]: [1.0]}))
    assert alone.passed
    assert alone.rows[-1].note == "too few labels to tell"


def test_an_expedition_that_the_model_does_not_know_may_be_flagged() -> None:
    foreign = replace(WHOLE, metrics=WHOLE.metrics | {"outliers": {"lab/cruise/A": flagged(1.0)}})
    assert gate.judge(foreign, WHOLE).passed
    assert "not judged" in str(gate.judge(foreign, WHOLE))


def test_intervals_are_judged_on_each_core_and_may_be_too_wide() -> None:
    uneven = quantifying({core: [11.0 if core == CORES[0] else 1.0] * 20 for core in (*CORES, "lab/cruise/D")})
    bad = [row for row in standing.coverage(uneven) if not row.passed]
    assert [row.what for row in bad] == [f"coverage of CaCO3 on {CORES[0]}, 20 labels"]
    wide = quantifying({CORES[0]: [1.0] * standing.MANY})
    assert [row.outcome for row in standing.coverage(wide)] == ["noted"]


def test_a_snapshot_must_still_be_there_and_a_bank_that_is_away_is_told(small_bank: Path, tmp_path: Path) -> None:
    snapshot = banks.open_bank(small_bank).snapshot
    gone = banks.create(tmp_path / "bank", site="lab").path

    def row(url: Path | str, known: str = snapshot, site: str = "lab", catalog: str = "") -> Row:
        urls = {site: str(url)} if url else {}
        lineage = replace(TRACELESS, snapshots={site: known}, bank_urls=urls)
        (found,) = standing.snapshots(quantifier(lineage=lineage), catalog)
        return found

    assert row(small_bank).outcome == "passed"
    assert row(gone).reason == f"the bank at {gone} holds no such snapshot"
    assert row(small_bank, "0" * 20).reason.endswith("holds no such snapshot")
    assert "a name, not a snapshot" in row(small_bank, "main").reason
    assert row(small_bank, site="other").reason.endswith("belongs to lab")
    assert row(tmp_path / "nowhere").outcome == "noted"
    assert "no address of the bank" in row("").note
    assert row(tmp_path / "nowhere", catalog=str(small_bank / "catalog.yaml")).outcome == "passed"


def test_a_verdict_reads_as_a_table_and_as_json() -> None:
    rows = (
        Row(rule="rmse", what="RMSE | of `x`", champion=3, candidate=3.2, allowed=3.3),
        Row(rule="coverage", what="coverage", candidate=0.5, allowed=0.75, at_least=True),
        Row(rule="licences", what="licence of a/b", reason="has no licence"),
    )
    verdict = Verdict(rows=rows)
    assert str(verdict).splitlines()[2:] == [
        "| RMSE / of `x` | 3 | 3.2 | 3.3 | passed |",
        "| coverage |  | 0.5 | ≥ 0.75 | refused |",
        "| licence of a/b |  |  |  | refused: has no licence |",
    ]
    assert verdict.reasons == "coverage: 0.5, at least 0.75 is allowed; licence of a/b: has no licence"
    document = json.loads(json.dumps(verdict.to_json()))
    assert document["passed"] is False
    assert document["rows"][2]["champion"] is None


def test_the_program_exits_with_0_1_or_2(run: Write, capsys: Any) -> None:
    good, bad = str(run(WHOLE)), str(run(quantifying(times(9))))
    for arguments, code in (([good, good], 0), ([bad, good, "--json"], 1), ([good], 2)):
        with pytest.raises(SystemExit) as stop:
            cli.run(gate.app, arguments)
        assert stop.value.code == code
        out = capsys.readouterr()
        if "--json" in arguments:
            assert json.loads(out.out)["passed"] is False
            assert "RMSE of CaCO3 on lab/cruise/B" in out.err
