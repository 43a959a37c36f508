"""What a continued run says it began with and ended with is what its parent and its child say when they are asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corebank import bundle
from corebank.bundle import Bundle
from corebank.model import SpectrumMAE
from tests.model.cores import cores, laboratory
from tests.model.runs import PRETRAINING, folder
from training import examined, probe
from training.pretrain import pretrain
from training.recipe import Probe
from training.reconstruction import errors


def test_before_is_the_error_of_the_parent_and_after_that_of_the_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit, by both measures: neither is of weights on the way from one to the other."""
    monkeypatch.setattr(examined.Judge, "draw", lambda *_: None)
    spectra, labels = cores(), laboratory(cores())
    recipe = replace(PRETRAINING, epochs=1, probe=Probe(proxies=("CaCO3",)))
    path = folder(tmp_path / "parent")
    parent, _ = pretrain(recipe, spectra, path, measurements=labels)
    bundle.save(parent, path / "bundle")
    child, report = pretrain(
        replace(recipe, parent=str(path)), spectra, folder(tmp_path / "child"), measurements=labels
    )

    held = spectra["core"].values == "D"
    learnt, judged = (spectra.isel(spectrum=np.flatnonzero(side)) for side in (~held, held))

    def asked(model: Bundle) -> dict[str, float]:
        network: Any = bundle.build(model)
        assert isinstance(network, SpectrumMAE)
        told = probe.score(network, model.normalization, learnt, judged, labels, ["CaCO3"])
        filled = errors(network, model.normalization, judged, recipe.mask_ratio)
        return {"reconstruction": filled["lab/cruise"]["loss"], **told["lab/cruise"]}

    rows = report["forgetting"]
    before, after = ({row["measure"]: row[when] for row in rows} for when in ("before", "after"))
    assert before == asked(bundle.load(path / "bundle"))
    assert after == asked(child)
    assert all(before[measure] != after[measure] for measure in before)
