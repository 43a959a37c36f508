"""Pictures hold what they should: every point, depth downwards, units on the axes."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("CaCO$_3$ [wt%]", "Depth [cm]", "CD166-19")
    assert ax.yaxis_inverted()
    assert len(ax.lines[1].get_xdata()) == 3  # the spectra with a warning
    assert ax.lines[2].get_ydata().tolist() == [10.5]  # the one value of this core and proxy, at its mid depth [cm]


@given(st.integers(1, 9), st.integers(1, 40))
@settings(deadline=None, max_examples=10)
def test_every_core_gets_a_panel_and_every_spectrum_a_point(cores: int, rows: int) -> None:
    figure = plot.depth_profile(pd.concat([predictions(f"C{i}", rows) for i in range(cores)]), None, "CaCO3")
    assert [ax.get_title() for ax in figure.axes] == [f"C{i}" for i in range(cores)]
    assert all(np.isfinite(ax.lines[0].get_xdata()).sum() == rows for ax in figure.axes)


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
