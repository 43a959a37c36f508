"""The forgetting matrix says what changed for whom, and only where the same spectra were judged."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandera.errors import SchemaError

from corebank.errors import TrainingError
from training.examined import said
from training.forgetting import EARLIER, NEW, RECONSTRUCTION, draw, forgotten, matrix, schema

ERRORS = st.floats(1e-4, 10)
NAMES = st.sampled_from([f"lab/cruise{number}" for number in range(5)])


def judged(loss: float, cores: tuple[str, ...] = ("A/1",), **probe: float) -> dict[str, Any]:
    return {"loss": loss, "spectra": 12, "cores": list(cores), "probe": probe}


BEFORE = {"lab/old": judged(0.02, CaCO3=0.5), "lab/kept": judged(0.04), "lab/new": judged(0.9)}
AFTER = {"lab/old": judged(0.03, CaCO3=0.4), "lab/kept": judged(0.0404), "lab/new": judged(0.09)}


@given(st.dictionaries(NAMES, st.tuples(ERRORS, ERRORS), min_size=1), st.sets(NAMES))
def test_after_is_before_times_one_plus_the_change(errors: dict[str, tuple[float, float]], earlier: set[str]) -> None:
    before = {name: judged(one) for name, (one, _) in errors.items()}
    after = {name: judged(one) for name, (_, one) in errors.items()}
    found = matrix(before, after, earlier=earlier)
    assert set(found["expedition"]) == set(errors)
    for row in found.to_dict("records"):
        assert (row["before"], row["after"]) == errors[row["expedition"]]
        assert row["after"] == pytest.approx(row["before"] * (1 + row["change"]))
        assert row["known"] == (EARLIER if row["expedition"] in earlier else NEW)
    assert list(found["known"]) == sorted(found["known"])  # "before" stands before "new"


def test_one_row_for_each_expedition_and_measure() -> None:
    found = matrix(BEFORE, AFTER, earlier=("lab/old", "lab/kept"))
    assert [tuple(row) for row in found[["expedition", "known", "measure"]].to_numpy()] == [
        ("lab/kept", EARLIER, RECONSTRUCTION),
        ("lab/old", EARLIER, RECONSTRUCTION),
        ("lab/old", EARLIER, "CaCO3"),
        ("lab/new", NEW, RECONSTRUCTION),
    ]
    assert found["change"].tolist() == pytest.approx([0.01, 0.5, -0.2, -0.9])


def test_only_earlier_expeditions_beyond_the_tolerance_are_forgotten() -> None:
    worse = {name: one | {"loss": 2 * one["loss"]} for name, one in BEFORE.items()}
    found = forgotten(matrix(BEFORE, AFTER, earlier=("lab/old", "lab/kept")))
    assert [tuple(row) for row in found[["expedition", "measure"]].to_numpy()] == [("lab/old", RECONSTRUCTION)]
    found = forgotten(matrix(BEFORE, worse, earlier=("lab/old",)))
    assert found["expedition"].tolist() == ["lab/old"]


def test_a_run_says_what_it_has_forgotten_and_nothing_of_the_rest() -> None:
    table = matrix(BEFORE, AFTER, earlier=("lab/old", "lab/kept"))
    report = {"validation": {}, "machines": {}, "forgetting": table.to_dict("records")}
    assert list(said(report)) == ["lab/old: forgotten, the error of reconstruction grew by 50.0%"]
    assert list(said(report | {"forgetting": []})) == []


def test_what_the_parent_was_not_judged_on_has_no_change() -> None:
    found = matrix({"lab/old": BEFORE["lab/old"]}, AFTER)
    assert found["known"].tolist() == [EARLIER, EARLIER, NEW, NEW]
    assert found["change"].isna().tolist() == [False, False, True, True]
    assert math.isnan(found["before"].iloc[-1])


def test_other_cores_before_than_after_are_refused() -> None:
    with pytest.raises(TrainingError, match="forgetting of lab/old"):
        matrix(BEFORE, AFTER | {"lab/old": judged(0.03, ("A/1", "B/1"))})
    with pytest.raises(TrainingError, match="lab/old: not judged after"):
        matrix(BEFORE, {name: one for name, one in AFTER.items() if name != "lab/old"})


def test_nothing_held_out_gives_an_empty_matrix_with_all_columns() -> None:
    found = matrix({}, {})
    assert (len(found), set(found.columns)) == (0, set(schema().columns))


@pytest.mark.parametrize(
    "change",
    [{"known": "perhaps"}, {"after": -1.0}, {"change": -1.5}, {"expedition": "cruise"}, {"spectra": 0}],
    ids=lambda change: next(iter(change)),
)
def test_the_schema_refuses_what_cannot_be(change: dict[str, Any]) -> None:
    with pytest.raises(SchemaError):
        schema().validate(matrix(BEFORE, AFTER).assign(**change))


def test_the_figure_has_a_panel_for_each_measure_and_a_line_for_each_change() -> None:
    found = matrix(BEFORE, AFTER, earlier=("lab/old", "lab/kept"))
    figure = draw(found)
    assert [ax.get_xlabel() for ax in figure.axes] == [
        "Mean squared error of hidden patches",
        "Probe error of CaCO3 / its spread",
    ]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["lab/kept", "lab/old", "lab/new (new)"]
    assert [sorted(text.get_text() for text in ax.texts) for ax in figure.axes] == [["+1.0%", "+50%", "-90%"], ["-20%"]]
    assert len(draw(found[found["measure"] == RECONSTRUCTION]).axes) == 1
