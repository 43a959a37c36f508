"""Publishing: what the gate passes, or somebody answers for, is registered with its card; only then the alias moves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest

from corebank import bundle, cli, hub
from corebank.errors import BundleError, RegistryError
from registry import card, publish
from tests.registry.models import TRACELESS, foundation, labelled, quantifier

Write = Callable[[bundle.Bundle], Path]


def quantifying(error: float, core: str = "lab/cruise/C", **changes: Any) -> bundle.Bundle:
    """A quantifier with errors of one size, up and down, on one held-out core."""
    metrics = {"held_out": {"CaCO3": labelled({core: [error, -error] * 10})}}
    return quantifier(**{"lineage": TRACELESS, "metrics": metrics} | changes)


def test_publishing_registers_describes_and_then_moves_the_alias(
    store: Path, run: Write, tmp_path: Path, capsys: Any
) -> None:
    folder = run(quantifier(lineage=TRACELESS))
    for _ in range(2):  # the second time changes nothing
        publish.publish(folder, cards=tmp_path / "cards")
    assert capsys.readouterr().out.splitlines() == ["models:/quantify-caco3-toc/1"] * 2
    (version,) = hub.versions("quantify-caco3-toc")
    assert version.aliases == ("champion",)
    assert version.tags["corebank.gate"] == "passed: by itself, the first to hold the alias"
    text = (tmp_path / "cards" / "quantify-caco3-toc-1.md").read_text()
    said = mlflow.MlflowClient().get_model_version("quantify-caco3-toc", "1").description
    assert text.startswith(said[:1000])
    assert (tmp_path / "cards" / "quantify-caco3-toc-1.html").read_text().startswith("<!DOCTYPE html>")
    publish.publish(run(foundation(lineage=TRACELESS)), cards=tmp_path / "cards")
    assert hub.find("models:/foundation@champion").number == 1


def test_a_worse_model_is_refused_unless_somebody_says_why(
    store: Path, run: Write, tmp_path: Path, capsys: Any
) -> None:
    publish.publish(run(quantifying(3)), name="m", cards=tmp_path)
    worse = run(quantifying(9))
    for override in ("", "  "):
        with pytest.raises(RegistryError, match="may not replace models:/m/1 as champion: RMSE of CaCO3 on lab/cruise"):
            publish.publish(worse, name="m", cards=tmp_path, override=override)
    assert [version.aliases for version in hub.versions("m")] == [("champion",)]
    publish.publish(worse, name="m", override="the old cores were mislabelled", cards=tmp_path)
    champion = hub.find("models:/m@champion")
    assert champion.number == 2
    assert champion.tags["corebank.gate"] == "overridden: the old cores were mislabelled"
    event = hub.history("m")[-1]
    assert event.why == "gate overridden: the old cores were mislabelled"
    assert "| RMSE of CaCO3 on lab/cruise/C, 20 labels | 3 | 9 | 3.15 | refused |" in event.report
    text = (tmp_path / "m-2.md").read_text()
    assert "somebody decided otherwise: the old cores were mislabelled" in text
    assert "| RMSE of CaCO3 on lab/cruise/C, 20 labels | **refused** |" in text
    capsys.readouterr()
    card.show("models:/m@champion")
    shown = capsys.readouterr().out
    assert "It is champion. The gate refused it" in shown
    assert "| RMSE of CaCO3 on lab/cruise/C, 20 labels | 3 | 9 | 3.15 | refused |" in shown


def test_a_reason_that_was_not_needed_is_not_recorded(store: Path, run: Write, tmp_path: Path) -> None:
    publish.publish(run(quantifying(3)), name="o", cards=tmp_path)
    publish.publish(run(quantifying(2)), name="o", cards=tmp_path, override="to be sure")
    assert hub.find("models:/o@champion").tags["corebank.gate"] == "passed"


def test_the_first_to_hold_an_alias_is_judged_by_itself(store: Path, run: Write, tmp_path: Path) -> None:
    unlicensed = run(quantifying(3, lineage=replace(TRACELESS, licences={})))
    with pytest.raises(RegistryError, match="may not become champion: licence of boscorf/cd166: has no licence"):
        publish.publish(unlicensed, name="p", cards=tmp_path)
    assert hub.versions("p") == []
    publish.publish(unlicensed, name="p", override="ours, the licence is on its way", cards=tmp_path)
    assert hub.find("models:/p@champion").number == 1


def test_a_champion_judged_elsewhere_is_not_replaced_and_the_sentence_says_what_to_do(
    store: Path, run: Write, tmp_path: Path
) -> None:
    publish.publish(run(quantifying(3)), name="q", cards=tmp_path)
    with pytest.raises(RegistryError, match=r"not judged on lab/cruise/C; name a catalog .* with --catalog"):
        publish.publish(run(quantifying(1, core="lab/cruise/D")), name="q", cards=tmp_path)


def test_another_alias_is_gated_against_its_own_holder_and_no_alias_needs_no_gate(
    store: Path, run: Write, tmp_path: Path
) -> None:
    publish.publish(run(quantifying(3)), name="n", cards=tmp_path)
    publish.publish(run(quantifying(9)), name="n", alias="challenger", cards=tmp_path)
    publish.publish(run(quantifying(30, lineage=replace(TRACELESS, licences={}))), name="n", alias="", cards=tmp_path)
    assert [version.aliases for version in hub.versions("n")] == [("champion",), ("challenger",), ()]


def test_publishing_that_was_cut_short_is_finished_the_second_time(
    store: Path, run: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run(quantifying(3))
    with monkeypatch.context() as patched:
        patched.setattr(hub, "point", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("killed")))
        with pytest.raises(RuntimeError):
            publish.publish(folder, name="r", cards=tmp_path)
    assert [version.aliases for version in hub.versions("r")] == [()]
    publish.publish(folder, name="r", cards=tmp_path)
    assert [version.aliases for version in hub.versions("r")] == [("champion",)]


def test_the_card_shows_the_baselines_of_the_run(store: Path, run: Write, tmp_path: Path) -> None:
    folder = run(quantifying(3))
    report = {"held_out": {"CaCO3": {"network": {"r2": 0.9}, "ridge": {"r2": 0.55, "rmse": 5, "n": 20}}}}
    (folder / "metrics.json").write_text(json.dumps(report))
    publish.publish(folder, name="s", cards=tmp_path)
    assert "| CaCO3 | ridge | 20 | 0.55 | 5 |" in (tmp_path / "s-1.md").read_text()


def test_a_damaged_run_is_not_published(store: Path, run: Write, tmp_path: Path) -> None:
    folder = run(quantifying(3))
    (folder / "bundle" / "bundle.json").write_text("{}")
    with pytest.raises(BundleError):
        publish.publish(folder, name="damaged", cards=tmp_path)
    assert hub.versions("damaged") == []


def test_the_program_exits_with_1_when_it_refuses(store: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.run(publish.app, ["no-run"])
    assert stop.value.code == 1
    assert "no-run" in capsys.readouterr().err
