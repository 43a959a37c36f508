"""Small models with random weights, and spectra to feed them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import xarray as xr

from corebank import bundle, schema, uncertainty
from corebank.model import ModelConfig, Quantifier, SpectrumMAE
from corebank.normalize import Normalization

CONFIG = ModelConfig(
    width=16,
    depth=1,
    heads=2,
    decoder_width=8,
    decoder_depth=1,
    decoder_heads=2,
    bins=128,
    energy_step=0.16,
    settings=False,
)
LINEAGE = bundle.DataLineage(
    snapshots={"boscorf": "1CECHNKREP0F1RSTCMT0"},
    bank_urls={"boscorf": "s3://boscorf/bank"},
    cores=("boscorf/cd166/CD166-19", "boscorf/cd166/CD166-20"),
    licences={"boscorf/cd166": "CC-BY-4.0"},
    citations={"boscorf/cd166": "Bishop (2022)"},
    machines=("Mo 30 kV",),
)

TRACELESS = replace(LINEAGE, snapshots={}, bank_urls={})
"""The same without a bank to look for, which takes its time where none is."""


def spectra(rows: int = 12, seed: int = 0) -> xr.Dataset:
    """A made-up section on the small models' grid: two lines, one of them varies; the first and last bins are blind."""
    random = np.random.default_rng(seed)
    lines = [np.exp(-0.5 * ((CONFIG.grid.centres - line) / 0.3) ** 2) for line in (3.7, 6.4)]
    rate = 20 + np.outer(random.uniform(200, 2000, rows), lines[0]) + 1000 * lines[1]
    intensity = random.poisson(rate).astype(np.float32)
    intensity[:, :3] = intensity[:, 120:] = np.nan
    position = 5.0 * np.arange(rows)
    return xr.Dataset(
        {
            "intensity": (("spectrum", "energy"), intensity, {"units": "count/s"}),
            **schema.spectrum_columns(
                {
                    "core": ["CD166-19"] * rows,
                    "section": ["S1"] * rows,
                    "section_position": position,
                    "depth": position + 100,
                    "tube_voltage": np.full(rows, 30.0),
                    "flags": np.zeros(rows, np.uint32),
                }
            ),
            "anode": ("spectrum", np.full(rows, "Mo", dtype=object)),
        },
        coords={"energy": ("energy", CONFIG.grid.centres, {"units": "keV"})},
    )


def network_of(config: ModelConfig, seed: int = 0) -> Quantifier:
    """A network for two proxies; its head, which starts with zeros, is given random weights as well."""
    torch.manual_seed(seed)
    network = Quantifier(config, 2).eval()
    torch.nn.init.normal_(network.head.weight, std=0.1)
    return network


def quantifier(seed: int = 0, **changes: Any) -> bundle.Bundle:
    """A quantifier of CaCO3 and TOC with random weights, calibrated on made-up spectra."""
    network = network_of(CONFIG, seed)
    normalization = Normalization()
    values, known = normalization(spectra(200, seed=99)["intensity"].values)
    with torch.inference_mode():
        embedding = network.embed(torch.from_numpy(values), torch.from_numpy(known)).numpy()
    detector = uncertainty.fit_outlier(embedding[:100], embedding[100:], np.repeat(np.arange(20), 5))
    fields: dict[str, Any] = {
        "kind": "quantifier",
        "name": "finetune-0a1b2c3d",
        "config": CONFIG,
        "normalization": normalization,
        "weights": network.state_dict(),
        "proxies": (
            bundle.Proxy(
                name="CaCO3", unit="wt%", transform="identity", mean=40, std=20, half_width=0.5, low=0, high=90
            ),
            bundle.Proxy(
                name="TOC", unit="wt%", transform="log", mean=-1, std=0.5, floor=0.01, half_width=1, low=0, high=9
            ),
        ),
        "outlier": {name: torch.from_numpy(array) for name, array in detector.arrays().items()},
        "lineage": LINEAGE,
        "recipe": {"epochs": 3, "optimiser": {"rate": 1e-4}},
        "metrics": {"held_out": {"CaCO3": measured({"C1": 3, "C2": 4}), "TOC": measured({"C1": 0.2})}},
    }
    return bundle.Bundle(**fields | changes)


def measured(rmse_by_core: Mapping[str, float]) -> dict[str, Any]:
    """What a quantifier's bundle records about one proxy, 20 labels a core (`training.scores.by_unit`)."""
    one = {core: {"n": 20, "rmse": rmse, "r2": 0.9, "mae": rmse, "bias": 0.0} for core, rmse in rmse_by_core.items()}
    rmse = float(np.sqrt(np.mean([value**2 for value in rmse_by_core.values()])))
    everything = {"n": 20 * len(one), "rmse": rmse, "r2": 0.9, "mae": rmse, "bias": 0.0}
    return everything | {"cores": sorted(one), "by_core": one}


def labelled(errors_by_core: Mapping[str, Sequence[float]], half_width: float = 10.0) -> dict[str, Any]:
    """What a quantifier's bundle records about one proxy when it keeps its labels: errors [unit] by core.

    Measured values go from 40 on, 2 cm apart; every interval is as wide as `half_width` says.
    """
    parts = {}
    for core, given in errors_by_core.items():
        errors = np.asarray(given, dtype=np.float64)
        measured_values = 40 + 10 * np.sin(np.arange(len(errors)))
        predicted = measured_values + errors
        parts[core] = {
            "n": len(errors),
            "rmse": float(np.sqrt((errors**2).mean())),
            "r2": 0.9,
            "mae": float(np.abs(errors).mean()),
            "bias": float(errors.mean()),
            "coverage": float((np.abs(errors) <= half_width).mean()),
            "labels": {
                "depth": (20.0 * np.arange(len(errors))).tolist(),
                "measured": measured_values.tolist(),
                "predicted": predicted.tolist(),
                "lower": (predicted - half_width).tolist(),
                "upper": (predicted + half_width).tolist(),
            },
        }
    count = sum(one["n"] for one in parts.values())
    rmse = float(np.sqrt(sum(one["n"] * one["rmse"] ** 2 for one in parts.values()) / count))
    return {"n": count, "rmse": rmse, "r2": 0.9, "mae": rmse, "bias": 0.0, "cores": sorted(parts), "by_core": parts}


def foundation(seed: int = 0, **changes: Any) -> bundle.Bundle:
    """A foundation model with random weights."""
    torch.manual_seed(seed)
    fields: dict[str, Any] = {
        "kind": "foundation",
        "name": "pretrain-0a1b2c3d",
        "config": CONFIG,
        "normalization": Normalization(),
        "weights": SpectrumMAE(CONFIG).state_dict(),
        "lineage": LINEAGE,
        "recipe": {"mask_ratio": 0.5},
        "metrics": {"validation": {"boscorf/cd166": {"loss": 0.1, "cores": ["CD166-21"]}}},
    }
    return bundle.Bundle(**fields | changes)
