"""Scanner dates: three spellings read right, and the ambiguous one left unknown."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank.readers import dates

FIRST, LAST = datetime(1990, 1, 1), datetime(2068, 1, 1)  # noqa: DTZ001 - scanners write local time, no zone
MOMENTS = st.datetimes(FIRST, LAST).map(lambda moment: moment.replace(second=0, microsecond=0))


@settings(deadline=None)
@given(
    MOMENTS,
    st.sampled_from(["%d-%b-%y", "%d-%b-%Y", "%Y-%m-%d", "%m-%d-%Y"]),
    st.sampled_from(["%I:%M %p", "%H:%M", "%H:%M:%S"]),
)
def test_a_date_that_can_be_read_in_one_way_is_read_that_way(moment: datetime, day: str, clock: str) -> None:
    assert dates.parse([moment.strftime(day)], [moment.strftime(clock)])[0] == np.datetime64(moment, "s")


@settings(deadline=None)
@given(st.lists(MOMENTS, min_size=1, max_size=5), st.sampled_from(["%m/%d/%Y", "%d/%m/%Y"]))
def test_a_slashed_date_is_right_or_unknown_and_never_wrong(moments: list[datetime], spelling: str) -> None:
    found = dates.parse([moment.strftime(spelling) for moment in moments], ["01:34"] * len(moments))
    for moment, time in zip(moments, found, strict=True):
        assert np.isnat(time) or time == np.datetime64(moment.replace(hour=1, minute=34), "s")


@settings(deadline=None)
@given(st.text(max_size=12), st.text(max_size=12))
def test_odd_text_is_unknown(day: str, clock: str) -> None:
    assert dates.parse([day], [clock]).dtype == np.dtype("datetime64[s]")


def test_one_day_above_twelve_tells_the_spelling_of_the_whole_run() -> None:
    assert [str(time) for time in dates.parse(["05/06/2008", "21/02/2008"], ["01:34", "11:02 PM"])] == [
        "2008-06-05T01:34:00",
        "2008-02-21T23:02:00",
    ]
    assert [str(time) for time in dates.parse(["5/6/2008", "8/20/2008"], ["01:34", "12:00 AM"])] == [
        "2008-05-06T01:34:00",
        "2008-08-20T00:00:00",
    ]


@pytest.mark.parametrize(
    "days", [["05/06/2008"], ["05/06/2008", "06/07/2008"], ["²/³/2008"], ["05/06/2008", "05/05/2008"]]
)
def test_a_run_that_does_not_tell_leaves_its_dates_unknown(days: list[str]) -> None:
    found = dates.parse(days, ["01:34"] * len(days))
    assert np.isnat(found[0])
