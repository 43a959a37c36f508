"""What is noise: laws of the comparison, how often it is wrong, and models judged where their bundles say nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import bundle, cli
from registry import gate, judged, measuring, noise, power
from tests.registry.models import CONFIG, TRACELESS, foundation, network_of, quantifier

SQUARES = st.lists(st.floats(1e-3, 1e3), min_size=noise.FEWEST, max_size=40).map(np.array)


@given(SQUARES, st.floats(0.01, 100))
@settings(deadline=None, max_examples=40)
def test_a_model_that_is_so_many_times_as_wrong_everywhere_is_so_without_doubt(before: Any, factor: float) -> None:
    found = noise.increase(before, factor**2 * before)
    assert found.ratio == pytest.approx(factor, rel=1e-6)
    assert found.bound(0.001) == pytest.approx(1, abs=0.05)  # a little is added to errors of next to nothing


@given(SQUARES, st.floats(1e-3, 1e3), st.randoms())
@settings(deadline=None, max_examples=40)
def test_units_do_not_matter_and_each_model_is_as_sure_of_the_other(before: Any, unit: float, random: Any) -> None:
    after = np.array(random.sample(before.tolist(), len(before)))
    one, scaled, turned = (
        noise.increase(*pair) for pair in ((before, after), (unit * before, unit * after), (after, before))
    )
    assert scaled == pytest.approx(one, rel=1e-6, abs=1e-9)
    assert (turned.ratio, turned.error) == pytest.approx((1 / one.ratio, one.error), rel=1e-6, abs=1e-9)


@given(st.integers(noise.FEWEST, 200))
@settings(deadline=None, max_examples=30)
def test_every_label_is_drawn_as_often_in_blocks_of_neighbours(labels: int) -> None:
    rows = noise._draws(labels)
    assert rows.shape == (noise.DRAWS, labels)
    often = np.bincount(rows.ravel(), minlength=labels) / noise.DRAWS
    assert often == pytest.approx(np.ones(labels), abs=0.25)
    length = noise.block_length(labels)
    steps = np.diff(rows[:, : length * (labels // length)].reshape(noise.DRAWS, -1, length), axis=2) % labels
    assert (steps == 1).all()


@given(st.dictionaries(st.sampled_from("ABCDEFGH"), SQUARES, min_size=2), st.randoms())
@settings(deadline=None, max_examples=25)
def test_cores_together_do_not_depend_on_their_order_and_weigh_by_their_labels(cores: Any, random: Any) -> None:
    names = random.sample(list(cores), len(cores))
    after = {name: cores[name][::-1] * 2 for name in names}
    found = noise.pooled(cores, after)
    assert found == noise.pooled({name: cores[name] for name in names}, dict(sorted(after.items())))
    joined = [np.concatenate([some[name] for name in names]).mean() for some in (cores, after)]
    assert found.ratio == pytest.approx((joined[1] / joined[0]) ** 0.5, rel=1e-6)


def test_a_model_without_any_error_is_as_good_as_itself() -> None:
    perfect = np.zeros(10)
    assert noise.increase(perfect, perfect).ratio == 1
    assert noise.increase(perfect, np.ones(10)).ratio > 1000


def test_an_interval_of_an_rmse_holds_it_and_few_labels_have_none() -> None:
    squares = np.random.default_rng(0).normal(0, 3, 20) ** 2
    low, high = noise.rmse_interval(squares)
    assert low < np.sqrt(squares.mean()) < high
    assert np.isnan(noise.rmse_interval(squares[: noise.FEWEST - 1])).all()


def test_many_comparisons_share_one_chance_to_be_wrong() -> None:
    assert noise.single_level(0.1, 1) == pytest.approx(0.1)
    assert 1 - (1 - noise.single_level(0.1, 40)) ** 40 == pytest.approx(0.1)


@pytest.mark.slow
def test_the_gate_seldom_refuses_an_equally_good_model_and_catches_one_that_is_twice_as_wrong() -> None:
    """The figures of `registry.gate`, within what 100 candidates can tell."""
    world = power.World(models=0.9)
    assert power.refused(world, 1.0, 100) <= 0.25
    assert power.refused(world, 2.0, 50) >= 0.85
    assert power.uncovered(power.World(), 100) == (0, 0)


def test_the_simulation_prints_its_table(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        cli.run(power.app, ["--candidates", "2", "--cores", "2", "--labels", "6", "--alike", "0.5"])
    assert capsys.readouterr().out.splitlines()[0].split() == ["alike", "cores", "labels", "equal", *power_columns()]


def power_columns() -> list[str]:
    return [f"x{worse:g}" for worse in power.WORSE[1:]]


@pytest.fixture
def reader() -> bundle.Bundle:
    """A quantifier that reads the spectra of the small bank and was judged on nothing."""
    config = replace(CONFIG, bins=160, energy_step=0.05)
    made = quantifier(config=config, weights=network_of(config).state_dict(), outlier=None, metrics={})
    return replace(made, lineage=TRACELESS)


def judged_on(model: bundle.Bundle, *units: str) -> bundle.Bundle:
    record = {unit: {"n": 1, "rmse": 5.0} for unit in units}
    return replace(model, metrics={"held_out": {"CaCO3": {"cores": list(units), "by_core": record}}})


def test_a_catalog_tells_what_the_bundles_do_not(reader: bundle.Bundle, small_bank: Path) -> None:
    catalog, core = str(small_bank / "catalog.yaml"), "lab/cruise1/C/1"
    champion = judged_on(reader, core)
    assert "was not judged on lab/cruise1/C/1" in gate.compare(reader, champion).reasons
    ours, theirs = measuring.completed(reader, champion, catalog)
    labels = judged.units(ours, "CaCO3")[core].labels
    assert labels is not None
    assert labels.measured.tolist() == [30.0, -4.6]
    assert judged.units(theirs, "CaCO3")[core].rmse == judged.units(ours, "CaCO3")[core].rmse != 5.0
    assert gate.judge(reader, champion, catalog).passed
    section = measuring.completed(reader, judged_on(reader, f"{core}/S1"), catalog)[0]
    assert judged.units(section, "CaCO3")[f"{core}/S1"].labels is not None


def test_nobody_is_judged_on_what_it_has_seen_or_the_catalog_does_not_hold(
    reader: bundle.Bundle, small_bank: Path
) -> None:
    catalog, core = str(small_bank / "catalog.yaml"), "lab/cruise1/C/1"
    champion = judged_on(reader, core, "lab/cruise1/elsewhere")
    learnt = replace(reader, lineage=replace(TRACELESS, cores=(core,), licences={"lab/cruise1": "CC0-1.0"}))
    assert judged.units(measuring.completed(learnt, champion, catalog)[0], "CaCO3") == {}
    reasons = gate.judge(learnt, champion, catalog).reasons
    assert f"the candidate was trained on {core}" in reasons
    assert "was not judged on lab/cruise1/elsewhere" in reasons
    assert measuring.completed(foundation(), foundation(), catalog)[0].metrics == foundation().metrics
