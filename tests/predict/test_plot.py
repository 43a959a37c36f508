"""Pictures hold what they should: every point, depth downwards, units on the axes."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from corebank import plot
from corebank.errors import PredictError


def predictions(core: str = "CD166-19", rows: int = 30, warned: int = 0) -> pd.DataFrame:
    depth = 5.0 * np.arange(rows)
    value = 40 + 20 * np.sin(depth / 50)
    return pd.DataFrame(
        {
            "core": core,
            "section": "S1",
            "section_position": depth,
            "depth": depth + 100,
            "CaCO3": value,
            "CaCO3_lower": value - 5,
            "CaCO3_upper": value + 5,
            "CaCO3_unit": "wt%",
            "outlier_score": 0.5,
            "warning": ["Unlike the spectra the model has seen"] * warned + [""] * (rows - warned),
        }
    )


MEASURED = pd.DataFrame(
    {
        "core": ["CD166-19", "CD166-19", "CD166-20"],
        "section": "S2",
        "depth_top": [100, 130, 100],
        "depth_bottom": [110, 140, 110],
        "proxy": ["CaCO3", "TOC", "CaCO3"],
        "value": [42, 0.5, 43],
        "unit": "wt%",
        "uncertainty": [1.0, np.nan, np.nan],
    }
)


def drawn(figure: Figure) -> list[str]:
    figure.savefig(io.BytesIO(), format="png")
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_laboratory_values_of_another_section_or_another_depth_stay_out() -> None:
    """Sections may overlap in composite depth, and a section's profile must not stretch to the whole core's labels."""
    for elsewhere in (MEASURED, MEASURED.assign(section="", depth_top=5000, depth_bottom=5010)):
        assert "laboratory" not in drawn(plot.depth_profile(predictions(), elsewhere, "CaCO3"))


def test_a_profile_shows_prediction_interval_warnings_and_laboratory_downwards() -> None:
    figure = plot.depth_profile(predictions(warned=3), MEASURED.assign(section=""), "CaCO3")
    (ax,) = figure.axes
    assert drawn(figure) == ["90 % interval", "predicted", "predicted, with a warning", "laboratory"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("CaCO$_3$ [wt%]", "Depth [cm]", "CD166-19  S1")
    assert ax.yaxis_inverted()
    assert len(ax.lines[1].get_xdata()) == 3  # the spectra with a warning
    assert ax.lines[2].get_ydata().tolist() == [10.5]  # the one value of this core and proxy, at its mid depth [cm]


@given(st.integers(1, 9), st.integers(1, 40))
@settings(deadline=None, max_examples=10)
def test_every_core_gets_a_panel_and_every_spectrum_a_point(cores: int, rows: int) -> None:
    figure = plot.depth_profile(pd.concat([predictions(f"C{i}", rows) for i in range(cores)]), None, "CaCO3")
    assert [ax.get_title() for ax in figure.axes] == [f"C{i}  S1" for i in range(cores)]
    assert all(np.isfinite(ax.lines[0].get_xdata()).sum() == rows for ax in figure.axes)
    assert len({ax.get_xlim() for ax in figure.axes}) == 1  # cores are there to be compared


def test_without_composite_depth_there_is_a_panel_a_section_and_values_by_section_only() -> None:
    table = pd.concat([predictions(), predictions().assign(section="S2")]).assign(depth=np.nan)
    figure = plot.depth_profile(table, pd.concat([MEASURED, MEASURED.assign(section="")]), "CaCO3")
    assert [ax.get_title() for ax in figure.axes] == ["CD166-19  S1", "CD166-19  S2"]
    assert [len(ax.lines) for ax in figure.axes] == [1, 2]
    assert figure.axes[0].get_ylabel() == "Position in section [cm]"


def test_no_line_is_drawn_across_a_hole_and_unknown_intervals_are_not_drawn() -> None:
    table = predictions().drop(range(10, 20)).assign(CaCO3_lower=np.nan, CaCO3_upper=np.nan)
    figure = plot.depth_profile(table, None, "CaCO3")
    assert drawn(figure) == ["predicted"]
    assert np.isnan(figure.axes[0].lines[0].get_xdata()).sum() == 1


def lines(ax: Axes, label: str) -> list[np.ndarray]:
    """The points (n, 2) of every line of that name."""
    return [line.get_xydata() for line in ax.lines if line.get_label() == label]


def two_sections(gap: float) -> pd.DataFrame:
    """Two sections of one core; the second begins `gap` mm below the end of the first, or above it."""
    first, second = predictions(), predictions().assign(section="S2")
    return pd.concat([first, second.assign(depth=second["depth"] + 145 + gap)], ignore_index=True)


@given(st.floats(-140, 5000))
@settings(deadline=None, max_examples=10)
def test_each_section_has_a_line_of_its_own_and_its_beginning_is_marked(gap: float) -> None:
    (ax,) = plot.depth_profile(two_sections(gap), None, "CaCO3").axes
    pieces = lines(ax, "predicted")
    assert [len(piece) for piece in pieces] == [30, 30]
    assert all((np.diff(piece[:, 1]) > 0).all() for piece in pieces)  # sections that overlap make no zigzag
    borders = [line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == "--"]
    scale = 10 if ax.get_ylabel() == "Depth [cm]" else 1000
    np.testing.assert_allclose(borders, [(245 + gap) / scale])
    assert {text.get_text() for text in ax.texts} == {"S1", "S2"}


def test_two_scans_of_one_section_are_two_lines() -> None:
    table = pd.concat([predictions().assign(run="rep1"), predictions().assign(run="rep2")])
    (ax,) = plot.depth_profile(table, None, "CaCO3").axes
    assert [len(piece) for piece in lines(ax, "predicted")] == [30, 30]
    assert not ax.texts


def two_proxies(cores: int) -> pd.DataFrame:
    """CaCO3 and TOC of some cores; TOC has a warning of its own on the first spectrum."""
    parts = [predictions(f"C{number}") for number in range(cores)]
    table = pd.concat(parts, ignore_index=True)
    toc = {f"TOC{end}": table[f"CaCO3{end}"] / 100 for end in ("", "_lower", "_upper")}
    own = np.where(table.index == 0, "Value of TOC is beyond the training labels", "")
    return table.assign(**toc, TOC_unit="wt%", CaCO3_warning="", TOC_warning=own, warning=own)


@pytest.mark.parametrize("cores", [1, 3, 5])
def test_the_proxies_of_a_core_stand_side_by_side_and_cores_where_there_is_room(cores: int) -> None:
    figure = plot.depth_profile(two_proxies(cores), None, ["CaCO3", "TOC"])
    places = [(ax.get_subplotspec().rowspan.start, ax.get_subplotspec().colspan.start) for ax in figure.axes]
    assert places == [divmod(number, 8) for number in range(2 * cores)]
    assert [ax.get_xlabel() for ax in figure.axes] == ["CaCO$_3$ [wt%]", "TOC [wt%]"] * cores
    assert [ax.get_title() for ax in figure.axes] == [title for i in range(cores) for title in (f"C{i}  S1", "")]
    assert [ax.get_ylabel() for ax in figure.axes] == ["Depth [cm]", ""] * cores
    assert len({ax.get_ylim() for ax in figure.axes}) == 1


def test_more_proxies_than_fit_side_by_side_go_on_below_within_their_core() -> None:
    table = pd.concat([predictions("C0"), predictions("C1")], ignore_index=True)
    names = [f"P{number}" for number in range(9)]
    ends = ("", "_lower", "_upper", "_unit")
    table = table.assign(**{f"{name}{end}": table[f"CaCO3{end}"] for name in names for end in ends})
    figure = plot.depth_profile(table, None, names)
    places = [(ax.get_subplotspec().rowspan.start, ax.get_subplotspec().colspan.start) for ax in figure.axes]
    assert places == [(row + core, column) for core in (0, 2) for row, column in [*((0, i) for i in range(8)), (1, 0)]]
    assert [ax.get_ylabel() != "" for ax in figure.axes] == [place[1] == 0 for place in places]


def test_a_warning_about_one_proxy_is_marked_on_this_one() -> None:
    caco3, toc = plot.depth_profile(two_proxies(1), None, ["CaCO3", "TOC"]).axes
    assert lines(caco3, "predicted, with a warning") == []
    assert len(lines(toc, "predicted, with a warning")[0]) == 1


def test_what_nobody_could_look_at_is_not_drawn() -> None:
    table = pd.concat([predictions(f"C{number}", 2) for number in range(121)])
    with pytest.raises(PredictError, match="1 proxies of 121 cores are too many panels"):
        plot.depth_profile(table, None, "CaCO3")


def test_wild_intervals_do_not_flatten_the_profile_but_no_value_is_cut() -> None:
    table = predictions(rows=100)
    table.loc[50, "CaCO3_upper"] = 1e6
    table.loc[70, "CaCO3"] = 500
    low, high = plot.depth_profile(table, None, "CaCO3").axes[0].get_xlim()
    assert low < table["CaCO3_lower"].min()
    assert 500 < high < 600


def test_long_cores_are_drawn_in_metres_and_unknown_proxies_are_refused() -> None:
    table = predictions()
    long = table.assign(depth=table["depth"] * 100)
    assert plot.depth_profile(long, None, "CaCO3").axes[0].get_ylabel() == "Depth [m]"
    with pytest.raises(PredictError, match="no TOC; proxies are CaCO3"):
        plot.depth_profile(table, None, "TOC")


@pytest.mark.parametrize(("lowest", "scale"), [(1, "log"), (0, "log"), (-1, "symlog")])
def test_a_reconstruction_shows_the_prediction_in_hidden_bins_only(lowest: int, scale: str) -> None:
    energy = 0.02 * np.arange(1000)
    measured = np.where(energy > 0.5, 50.0, np.nan)
    measured[100] = lowest
    hidden = (energy > 6) & (energy < 7)
    figure = plot.reconstruction(energy, measured, measured + 1, hidden, "CD166-19 S1, 331 mm")
    (ax,) = figure.axes
    assert drawn(figure) == ["hidden from the model", "predicted", "measured"]
    assert np.isfinite(ax.lines[0].get_ydata()).tolist() == hidden.tolist()
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("Energy [keV]", "Intensity [count/s]", scale)
    assert {"Ca", "Fe"} <= {text.get_text() for text in ax.texts}
    assert plot.LINES["Fe"] == 6.4


def test_a_spectrum_in_which_nothing_was_measured_gives_an_empty_picture() -> None:
    nothing = np.full(100, np.nan)
    figure = plot.reconstruction(np.arange(100) * 0.02, nothing, nothing, np.zeros(100, bool), "empty")
    assert figure.axes[0].texts[:] == []
