"""An explanation tells of the model and of the elements: not of the patch grid, and not of the spectrum alone.

The published saliency maps failed the first: their peaks lay on the edges of patches. Here the same network is trained
four times on the same spectra, its patches cutting the energy axis at four different places.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from corebank import bundle
from corebank.bundle import Bundle
from corebank.explain import REMAINDER, summary
from corebank.explain.control import rank_correlation
from corebank.explain.lines import windows
from tests.explain.networks import GRID, MACHINE, PATCH

Models = dict[int, tuple[Bundle, xr.Dataset]]
Explanations = dict[int, xr.Dataset]


def saliency(model: Bundle, spectra: xr.Dataset) -> NDArray[np.float64]:
    """The published method: mean size of the gradient of the output by each bin of the input, (E,)."""
    values, measured = (torch.from_numpy(one) for one in model.normalization(spectra["intensity"].values))
    values.requires_grad_(True)
    bundle.build(model)(values, measured).sum().backward()
    assert values.grad is not None
    return values.grad.abs().mean(0).double().numpy()


def on_one_axis(maps: dict[int, NDArray[np.float64]]) -> dict[int, NDArray[np.float64]]:
    """Maps of shifted grids at the energies that all of the networks look at."""
    moved = {bins: np.concatenate((one[bins:], np.zeros(bins))) for bins, one in maps.items()}
    seen = np.min(list(moved.values()), axis=0) > 0
    return {bins: one[seen] for bins, one in moved.items()}


def alike(maps: dict[int, NDArray[np.float64]]) -> list[float]:
    """Correlation of each pair."""
    return [float(np.corrcoef(maps[one], maps[two])[0, 1]) for one, two in itertools.combinations(maps, 2)]


def test_the_networks_that_are_explained_have_learnt_iron(iron: Models, iron_explained: Explanations) -> None:
    for bins, (_, spectra) in iron.items():
        wrong = iron_explained[bins]["value"].values[0] - spectra["Fe"].values
        assert wrong.var() < 0.2 * spectra["Fe"].values.var()


def test_shifting_the_patch_grid_does_not_move_the_explanation(iron_explained: Explanations) -> None:
    """In mixtures of independent elements only iron tells iron, wherever the patches begin."""
    assert {str(summary(one, "Fe").index[0]) for one in iron_explained.values()} == {"Fe"}
    shares = {bins: one["share"].mean("spectrum").values[0] for bins, one in iron_explained.items()}
    assert min(alike(shares)) > 0.8
    assert min(one[list(iron_explained[bins]["element"].values).index("Fe")] for bins, one in shares.items()) > 0.3


def test_the_line_that_is_named_lies_on_no_patch_edge_by_construction() -> None:
    """Fe K alpha falls on four different places of a patch, so that "on an edge" cannot be what it is named for."""
    centre = round(6.404 / GRID.step)
    assert sorted((centre + bins) % PATCH for bins in (0, 4, 8, 12)) == [0, 4, 8, 12]


def test_the_published_method_fails_where_occlusion_passes(iron: Models, iron_explained: Explanations) -> None:
    """The same networks, the same spectra, the same question: the test above can tell a bad explanation."""
    maps = {bins: saliency(model, spectra) for bins, (model, spectra) in iron.items()}
    here = {bins: windows(MACHINE, model.grid) for bins, (model, _) in iron.items()}
    named = [
        max(here[bins].groups, key=lambda name, bins=bins: one[here[bins].owner == here[bins].groups.index(name)].sum())
        for bins, one in maps.items()
    ]
    assert named.count("Fe") < len(named)
    shares = {bins: one["share"].mean("spectrum").values[0] for bins, one in iron_explained.items()}
    assert np.mean(alike(on_one_axis(maps))) < 0.6 < 0.8 < np.mean(alike(shares))


def test_untrained_networks_explain_something_else(explained: xr.Dataset, iron_explained: Explanations) -> None:
    """Per change of the spectrum they are unrelated to a trained one; two trained ones agree."""
    for one in (explained, *iron_explained.values()):
        share, sensitivity = one["control"].values[0]
        assert abs(sensitivity) < 0.4
        assert sensitivity < share < 0.9  # tall lines move every network: that is why the shares' number is told
    trained = [one["sensitivity"].values[0] for one in iron_explained.values()]
    agreement = np.mean([rank_correlation(a, b) for a, b in itertools.combinations(trained, 2)])
    assert agreement > np.mean([one["control"].values[0, 1] for one in iron_explained.values()]) + 0.2


def test_a_quantifier_of_carbonate_names_calcium(explained: xr.Dataset) -> None:
    """The network learns what varies with carbonate, too, and titanium does: calcium must be first or second to it."""
    told = summary(explained, "CaCO3")
    assert "Ca" in told.index[:2]
    assert told.loc["Ca", "effect"] > 0
    assert told.loc["Ca", "share"] > 1.3 * told.loc["Ca", "untrained"]
    assert told.loc[REMAINDER, "share"] < 0.1
