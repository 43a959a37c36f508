"""Plain YAML reads as PyYAML reads it, and nothing in it can do more than stand there."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from corebank.catalog import plain
from corebank.errors import EntryError

WORDS = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12)
SINGLES = (
    WORDS
    | st.integers()
    | st.booleans()
    | st.none()
    | st.floats(allow_nan=False)
    | st.sampled_from(["yes", "0x1f", "1e3"])
)
VALUES = st.recursive(
    SINGLES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(WORDS.filter(lambda key: key != "<<"), inner, max_size=4)
    ),
    max_leaves=20,
)


class WithoutAnchors(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


@given(VALUES)
def test_what_was_written_is_read_back(value: object) -> None:
    for flow in (False, True):
        text = yaml.dump(value, Dumper=WithoutAnchors, allow_unicode=True, default_flow_style=flow)
        assert plain.load(text, "here") == value


def test_numbers_and_truths_are_those_of_yaml_and_dates_stay_text() -> None:
    text = "a: 1\nb: 1.5\nc: true\nd: ~\ne: 2027-01-01\nf: '1'\ng: .inf\nh: {2020: 5}\ni: [x, 0o7, 017]\n"
    assert plain.load(text, "here") == {
        "a": 1, "b": 1.5, "c": True, "d": None, "e": "2027-01-01", "f": "1", "g": math.inf,
        "h": {"2020": 5}, "i": ["x", "0o7", 15],
    }  # fmt: skip
    assert plain.load("", "here") is None


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (LAUGHS, "line 1: uses an anchor"),
        ("a: *gone", "uses an anchor"),
        ("x: &x {a: 1}\ny: {<<: *x}", "uses an anchor"),
        ("y: {<<: {a: 1}}", "has a key that is no word"),
        ("!!python/object/apply:os.system ['touch was-here']", "names a type, 'tag:yaml.org,2002:python/object/apply"),
        ("a: !!python/name:os.system ''", "names a type"),
        ("a: !run rm", "names a type, '!run'"),
        ("a: !!python/object/new:type {}", "names a type"),
        ("a: 1\na: 2", "line 2: has the key 'a' twice"),
        ("[a, b]: 1", "has a key that is no word"),
        ("a: [", "is not YAML"),
        ("a: b: c", "is not YAML"),
        ("--- 1\n--- 2", "holds more than one document"),
        ("a: " + "9" * 5000, "is not YAML"),
        ("a: '\x07'", "is not YAML"),
    ],
)
def test_what_is_not_plain_is_refused_with_its_place(text: str, found: str) -> None:
    with pytest.raises(EntryError, match=r"^here") as refused:
        plain.load(text, "here")
    assert found in str(refused.value)


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_brackets_without_end_are_refused_before_the_stack_is_full(opening: str) -> None:
    """PyYAML's reader in C ends the whole process at these."""
    with pytest.raises(EntryError, match=f"is nested deeper than {plain.DEPTH} levels|has a key that is no word"):
        plain.load(opening * 200_000, "here")
