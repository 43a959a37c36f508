"""What training gives a bundle: widths for machines seen and not seen, and a detector of outliers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from corebank import split
from corebank.bundle import Proxy
from corebank.model import Quantifier
from corebank.normalize import Normalization
from corebank.uncertainty import PARTS, Outlier, Points, half_width
from tests.model.cores import CONFIG, cores
from training import trust
from training.quantifier import embeddings

PROXIES = (
    Proxy(name="CaCO3", unit="wt%", transform="identity", mean=20.0, std=10.0),
    Proxy(name="TOC", unit="wt%", transform="log", mean=0.0, std=0.5, floor=0.01),
)


def answers(machines: int, *, off: float, seed: int = 0) -> tuple[np.ndarray, list[np.ndarray], np.ndarray, np.ndarray]:
    """Laboratory values of 6 cores of each of some machines, what is said of 3 spectra each, cores and machines.

    What is said is off by `off` standard deviations of each machine's own, besides a scatter of 0.1.
    """
    random = np.random.default_rng(seed)
    machine, core = np.repeat(np.arange(machines), 36), np.repeat(np.arange(machines * 6), 6)
    z = random.normal(size=(len(machine), 2))
    own = off * random.choice([-1, 1], (machines, 2))[machine]
    said = z[:, None, :] + own[:, None, :] + 0.1 * random.normal(size=(len(machine), 3, 2))

    def values(units: np.ndarray) -> np.ndarray:
        return np.stack([proxy.inverse(units[..., i]) for i, proxy in enumerate(PROXIES)], axis=-1)

    names = np.array([f"Mo {10 * (number + 1)} kV" for number in machine])
    return values(z), list(values(said)), core.astype(str), names


def test_the_widths_are_those_of_single_spectra_in_network_units_core_by_core() -> None:
    measured, said, units, machines = answers(3, off=0.0)
    found = trust.half_widths(PROXIES, measured, said, units, machines)
    for column, (proxy, widened) in enumerate(zip(PROXIES, found, strict=True)):
        residuals = [proxy.forward(measured[i : i + 1, column]) - proxy.forward(said[i][:, column]) for i in range(108)]
        assert widened.half_width == half_width(np.concatenate(residuals), np.repeat(units, 3).tolist())
        assert math.isnan(widened.half_width_unseen)  # nobody said anything without its machine
        assert 0.14 < widened.half_width < 0.19  # 1.645 of a scatter of 0.1


def test_a_machine_not_seen_gets_the_width_that_machines_left_out_needed() -> None:
    measured, said, units, machines = answers(4, off=0.0)
    strange = answers(4, off=2.0)[1]
    for seen, unseen in zip(
        trust.half_widths(PROXIES, measured, said, units, machines),
        trust.half_widths(PROXIES, measured, said, units, machines, unseen=strange),
        strict=True,
    ):
        assert math.isnan(seen.half_width_unseen)
        assert unseen.half_width == seen.half_width
        assert 2 < unseen.half_width_unseen < 2.5


def test_it_is_never_narrower_than_that_of_machines_seen() -> None:
    measured, said, units, machines = answers(4, off=0.0)
    exact = [np.repeat(row[None], 3, axis=0) for row in measured]  # as if no machine were ever off
    for proxy in trust.half_widths(PROXIES, measured, said, units, machines, unseen=exact):
        assert proxy.half_width_unseen == proxy.half_width > 0


@pytest.mark.parametrize("machines", [1, 2])
def test_with_fewer_than_three_machines_nothing_is_said_of_others(machines: int) -> None:
    measured, said, units, names = answers(machines, off=0.0)
    for proxy in trust.half_widths(PROXIES, measured, said, units, names, unseen=said):
        assert math.isfinite(proxy.half_width)
        assert math.isnan(proxy.half_width_unseen)


def test_machines_that_nobody_knows_or_without_a_label_of_the_proxy_do_not_count() -> None:
    measured, said, units, names = answers(3, off=0.0)
    names[names == "Mo 30 kV"] = ""
    assert all(
        math.isnan(p.half_width_unseen) for p in trust.half_widths(PROXIES, measured, said, units, names, unseen=said)
    )
    measured, said, units, names = answers(3, off=0.0)
    measured[names == "Mo 30 kV", 1] = np.nan
    calcite, carbon = trust.half_widths(PROXIES, measured, said, units, names, unseen=said)
    assert math.isfinite(calcite.half_width_unseen)
    assert math.isnan(carbon.half_width_unseen)


def test_without_anything_said_there_is_no_width() -> None:
    measured, _, units, machines = answers(1, off=0.0)
    for proxy in trust.half_widths(PROXIES, measured, [], units, machines):
        assert math.isnan(proxy.half_width)
        assert math.isnan(proxy.half_width_unseen)


def test_the_detector_in_a_bundle_knows_its_cores_and_not_another_element() -> None:
    torch.manual_seed(0)
    network, normalization = Quantifier(CONFIG, 1).eval(), Normalization(kind="log")
    spectra = cores(n=20)
    arrays = trust.outlier(network, normalization, spectra, split.unit_names(spectra, "core"))
    assert sum(array.numel() for array in arrays.values()) < 10_000
    detector = Outlier.from_arrays(arrays)
    asked = cores(n=20, seed=1).load()

    def parts(rates: np.ndarray) -> dict[str, np.ndarray]:
        chosen = asked.assign(intensity=(("spectrum", "energy"), rates))
        return detector.parts(*Points(embeddings(network, normalization, chosen), *normalization(rates)))

    rates = asked["intensity"].values
    chromium = 40 * np.exp(-0.5 * ((asked["energy"].values - 5.4) / 0.2) ** 2)
    known, foreign = parts(rates), parts(rates + chromium.astype(np.float32))
    assert list(known) == list(PARTS)
    assert np.mean(np.max(list(known.values()), axis=0) > 1) <= 0.15
    assert (foreign["remainder"] > 1).all()
