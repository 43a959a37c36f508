"""Licences and embargoes: what may be pooled, what cannot be joined, and when an embargo is over."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corebank import licences
from corebank.errors import LicenceError

USABLE = (
    *("CC0-1.0", "CC-BY-4.0", "CC-BY-3.0-IGO", "CC-BY-SA-4.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "ODbL-1.0"),
    *("ODC-By-1.0", "PDDL-1.0", "OGL-UK-3.0", "CDLA-Sharing-1.0", "MIT", "Apache-2.0", "etalab-2.0"),
)
NOT_USABLE = (
    *("", "unknown", "LicenseRef-lab", "CC-BY-ND-4.0", "CC-BY-NC-ND-4.0", "all rights reserved", "CC-BY", "cc-by-9.0"),
    *("proprietary", "CC-BY-4.0 AND LicenseRef-lab", "CC-BY-SA-4.0 AND ODbL-1.0", "GPL-3.0-only WITH something"),
)

OF_MANY = st.dictionaries(st.text("abc/", min_size=1, max_size=4), st.sampled_from(USABLE), min_size=1, max_size=5)


@pytest.mark.parametrize("licence", USABLE)
def test_licences_of_open_data_are_usable(licence: str) -> None:
    one = licences.verdict(licence)
    assert one.usable
    assert one.redistribution
    assert one.derivatives
    assert one.identifier == licence


@pytest.mark.parametrize("licence", NOT_USABLE)
def test_silence_and_riddles_are_no_permission(licence: str) -> None:
    one = licences.verdict(licence)
    assert not one.usable
    assert one.why_not
    with pytest.raises(LicenceError, match=r"north/cruise1: .*\. Leave it out, or ask its steward\."):
        licences.combined({"north/cruise1": licence})


@pytest.mark.parametrize("spelled", ["cc-by-4.0", "CC BY 4.0", "Cc-By-4.0"])
def test_case_and_blanks_do_not_matter(spelled: str) -> None:
    assert licences.verdict(spelled).identifier == "CC-BY-4.0"


def test_of_a_choice_the_one_that_asks_for_least_is_taken() -> None:
    assert licences.verdict("CC-BY-SA-4.0 OR CC-BY-4.0").identifier == "CC-BY-4.0"
    assert licences.verdict("LicenseRef-lab OR ODbL-1.0").identifier == "ODbL-1.0"
    assert not licences.verdict("LicenseRef-lab OR CC-BY-ND-4.0").usable


@given(OF_MANY)
def test_what_is_joined_keeps_every_obligation(under: dict[str, str]) -> None:
    parts = [licences.verdict(one) for one in under.values()]
    families = {one.share_alike for one in parts} - {""}
    shared_freely = any(one.share_alike and one.commercial for one in parts)
    if len(families) > 1 or (shared_freely and not all(one.commercial for one in parts)):
        with pytest.raises(LicenceError, match="cannot be joined"):
            licences.combined(under)
        return
    terms = licences.combined(under)
    assert terms.attribution == any(one.attribution for one in parts)
    assert terms.commercial == all(one.commercial for one in parts)
    assert {terms.share_alike} == (families or {""})
    assert set(terms.licences) == set(under.values())


@given(OF_MANY, st.randoms())
def test_the_order_in_which_licences_are_joined_does_not_matter(under: dict[str, str], random: object) -> None:
    shuffled = list(under.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined] - hypothesis' random

    def told(pairs: dict[str, str]) -> str:
        try:
            return str(licences.combined(pairs))
        except LicenceError:
            return "refused"

    assert told(under) == told(dict(shuffled))


def test_two_share_alike_families_cannot_be_joined_and_both_are_named() -> None:
    with pytest.raises(
        LicenceError,
        match=r"north/a and south/b: CC-BY-SA-4\.0 and ODbL-1\.0 cannot be joined: each asks that the whole be under",
    ):
        licences.combined({"north/a": "CC-BY-SA-4.0", "west/c": "CC-BY-4.0", "south/b": "ODbL-1.0"})


def test_share_alike_for_all_and_no_commercial_use_exclude_each_other() -> None:
    """As in Creative Commons' chart of what can be remixed: BY-SA with BY-NC cannot, BY-NC-SA with BY-NC can."""
    with pytest.raises(LicenceError, match=r"CC-BY-SA-4\.0 and CC-BY-NC-4\.0 cannot be joined"):
        licences.combined({"a/a": "CC-BY-NC-4.0", "b/b": "CC-BY-SA-4.0"})
    assert licences.combined({"a/a": "CC-BY-NC-4.0", "b/b": "CC-BY-NC-SA-4.0"}).share_alike == "CC-BY-NC-SA"


def test_creative_commons_chart_of_remixes_holds() -> None:
    """https://wiki.creativecommons.org/wiki/Wiki/cc_license_compatibility, row by row, ND aside."""
    kinds = ["CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0"]
    apart = {("CC-BY-SA-4.0", "CC-BY-NC-4.0"), ("CC-BY-SA-4.0", "CC-BY-NC-SA-4.0")}
    for one, other in itertools.combinations(kinds, 2):
        if (one, other) in apart:
            with pytest.raises(LicenceError):
                licences.combined({"a": one, "b": other})
        else:
            licences.combined({"a": one, "b": other})


def test_later_versions_of_a_share_alike_licence_join_the_earlier_but_for_the_first() -> None:
    assert licences.combined({"a": "CC-BY-SA-2.5", "b": "CC-BY-SA-4.0"}).share_alike == "CC-BY-SA"
    with pytest.raises(LicenceError):
        licences.combined({"a": "CC-BY-SA-1.0", "b": "CC-BY-SA-4.0"})


def test_terms_read_as_a_sentence() -> None:
    terms = licences.combined({"a": "CC-BY-NC-SA-4.0", "b": "CC0-1.0"})
    assert str(terms) == (
        "CC-BY-NC-SA-4.0, CC0-1.0: name the sources; no commercial use; share alike, under CC-BY-NC-SA"
    )
    assert str(licences.combined({"b": "CC0-1.0"})) == "CC0-1.0: no obligations"


@given(st.dates(date(2020, 1, 1), date(2040, 1, 1)), st.integers(-3, 3))
def test_an_embargo_is_over_on_its_day(until: date, days: int) -> None:
    assert licences.embargoed(until.isoformat(), until + timedelta(days)) == (days < 0)


def test_without_a_day_to_ask_for_it_is_today_in_utc() -> None:
    today = datetime.now(UTC).date()
    assert licences.embargoed((today + timedelta(2)).isoformat())
    assert not licences.embargoed((today - timedelta(1)).isoformat())
    assert not licences.embargoed("")
    assert licences.embargoed("next summer"), "what is no date keeps the data back"


def test_each_reason_has_a_flag_of_its_own() -> None:
    held = {"licence": "CC-BY-ND-4.0", "embargo_until": "2999-01-01"}
    assert licences.refusal(**held) == "under embargo until 2999-01-01"
    assert licences.refusal(**held, include_embargoed=True) == "CC-BY-ND-4.0 allows no derived works"
    assert licences.refusal(**held, any_licence=True) == "under embargo until 2999-01-01"
    assert licences.refusal(**held, include_embargoed=True, any_licence=True) == ""
    assert licences.refusal("CC-BY-4.0", "") == ""
