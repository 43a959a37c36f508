"""The picture shows every core, depth downwards, shares that fill the panel, and the numbers to doubt them by."""

from __future__ import annotations

import io

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from corebank.errors import PredictError
from corebank.explain import draw, summary
from corebank.explain.drawing import COLOURS


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def made_up(cores: int, rows: int, elements: int = 5) -> xr.Dataset:
    """An explanation of random shares."""
    random = np.random.default_rng(0)
    names = [*(f"E{number}" for number in range(elements)), "remainder"]
    n = cores * rows
    share = random.dirichlet(np.ones(len(names)), n).T[None]
    return xr.Dataset(
        {
            "value": (("proxy", "spectrum"), random.uniform(0, 80, (1, n))),
            "effect": (("proxy", "element", "spectrum"), 10 * share),
            "share": (("proxy", "element", "spectrum"), share),
            "interaction": (("proxy", "spectrum"), random.uniform(0, 1, (1, n))),
            "sensitivity": (("proxy", "element"), np.ones((1, len(names)))),
            "untrained": (("proxy", "element"), np.full((1, len(names)), 1 / len(names))),
            "control": (("proxy", "measure"), [[0.7, 0.1]]),
        },
        coords={
            "proxy": ["CaCO3"],
            "element": names,
            "unit": ("proxy", ["wt%"]),
            "lines": ("element", [""] * len(names)),
            "also": ("element", ["K Kb", *[""] * elements]),
            "core": ("spectrum", np.repeat([f"C{number}" for number in range(cores)], rows).astype(object)),
            "depth": ("spectrum", np.tile(10.0 * np.arange(rows), cores)),
        },
    )


def test_a_real_explanation_says_what_raises_and_what_lowers(explained: xr.Dataset) -> None:
    figure = draw(explained, "CaCO3")
    figure.savefig(io.BytesIO(), format="png", dpi=30)
    told, shown = summary(explained, "CaCO3"), words(figure)
    assert f"Ca: raises, {told.loc['Ca', 'share']:.0%} ({told.loc['Ca', 'untrained']:.0%})" in shown
    assert [ax.get_title(loc="left") for ax in figure.axes[1::2]] == ["VS1-7", "VS1-8"]
    assert figure.axes[0].get_xlabel() == "CaCO$_3$ [wt%]"
    assert (figure.axes[0].get_ylabel(), figure.axes[0].yaxis_inverted()) == ("Depth [cm]", True)
    title = figure.legends[0].get_title().get_text()
    share, sensitivity = explained["control"].values[0]
    assert f"shares {share:.2f}, sensitivities {sensitivity:.2f}" in title
    assert "Ca: K Kb" in title


@given(st.integers(1, 5), st.sampled_from([1, 2, 30, 500]), st.integers(1, 12))
@settings(deadline=None, max_examples=4)
def test_every_core_gets_a_pair_of_panels_that_the_shares_fill(cores: int, rows: int, elements: int) -> None:
    figure = draw(made_up(cores, rows, elements), "CaCO3")
    shown = words(figure)
    assert len(figure.axes) == 2 * cores
    assert len(shown) == min(elements, len(COLOURS)) + 2
    for ax in figure.axes[1::2]:
        ends = ax.collections[-1].get_datalim(ax.transData)  # the last layer of the stack ends at 100 %
        assert ends.x1 == pytest.approx(1)


def test_a_hole_in_the_record_stays_white() -> None:
    whole = made_up(1, 40)
    figure = draw(whole.isel(spectrum=[*range(10), *range(30, 40)]), "CaCO3")
    assert len(figure.axes[1].collections[0].get_paths()) == 2
    assert len(draw(whole, "CaCO3").axes[1].collections[0].get_paths()) == 1


def test_sections_without_composite_depth_are_drawn_for_themselves() -> None:
    one = made_up(1, 20).assign_coords(
        depth=("spectrum", np.full(20, np.nan)),
        section=("spectrum", np.repeat(["S1", "S2"], 10).astype(object)),
        section_position=("spectrum", np.tile(1000.0 * np.arange(10), 2)),
    )
    figure = draw(one, "CaCO3")
    assert [ax.get_title(loc="left") for ax in figure.axes[1::2]] == ["C0  S1", "C0  S2"]
    assert figure.axes[0].get_ylabel() == "Position in section [m]"


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(PredictError, match="no spectrum has a depth"):
        draw(made_up(1, 5).drop_vars("depth"), "CaCO3")
    with pytest.raises(PredictError, match="nothing of TOC"):
        draw(made_up(1, 5), "TOC")
    with pytest.raises(PredictError, match="61 cores are too many"):
        draw(made_up(61, 1), "CaCO3")
