"""A mapping brings two heads together on sediment that is new to it, says how far, and is refused where it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from corebank import calibrate, contribution, transfer
from corebank.errors import TransferError
from corebank.schema import EnergyGrid
from corebank.transfer import Transfer
from corebank.transfer.judging import Judge
from corebank.transfer.mapping import Fitter, Form, Mapping
from corebank.transfer.pairing import pair
from tests.transfer.twins import FIRST, SECOND, scan, scans, with_settings

TWICE = ("S1", "S2", "S3")
"""Sections that both heads scanned; every other section is new to the mapping."""


@pytest.fixture(scope="module")
def learnt() -> Transfer:
    return transfer.learn(scans(FIRST, TWICE), scans(SECOND, TWICE))


def difference(first: xr.Dataset, second: xr.Dataset) -> float:
    """Root mean square difference of the logarithms of band rates, as a user would work it out, over 2 to 18 keV."""
    sides = [
        one["intensity"].sel(energy=slice(2.0, 18.0)).coarsen(energy=5, boundary="trim").sum().values
        for one in (first, second)
    ]
    return float(np.sqrt(np.square(np.log(sides[0]) - np.log(sides[1])).mean()))


def test_a_mapping_brings_new_sections_nearer_by_as_much_as_it_says(learnt: Transfer) -> None:
    told = learnt.verdict.all
    assert learnt.verdict.unit == "section"
    assert set(learnt.verdict.by_part) == {f"C1/{one}" for one in TWICE}
    assert told.mapped < 0.5 * told.factor < 0.5 * told.unmapped
    for section in ("S7", "S8"):
        first, second = scan(FIRST, section), scan(SECOND, section)
        assert difference(first, second) > 3 * difference(first, learnt.apply(second))
        assert difference(first, learnt.apply(second)) < 1.3 * told.mapped


def test_a_model_of_one_machine_can_be_asked_about_the_other(learnt: Transfer) -> None:
    """Ridge regression on log rates, trained on four sections of the first head, asked about two of the second."""
    trained = scans(FIRST, ("S4", "S5", "S6", "S9"))
    asked = scans(SECOND, ("S7", "S8"))
    bins = np.flatnonzero(learnt.mapping.mapped)

    def features(spectra: xr.Dataset) -> np.ndarray:
        return np.log1p(spectra["intensity"].values[:, bins])

    for proxy in ("CaCO3", "TOC"):
        axes = PCA(20, random_state=0).fit(features(trained))
        model = Ridge(1.0).fit(axes.transform(features(trained)), np.log(trained[proxy].values))

        def error(spectra: xr.Dataset, axes: PCA = axes, model: Ridge = model, proxy: str = proxy) -> float:
            said = model.predict(axes.transform(features(spectra)))
            return float(np.sqrt(np.square(said - np.log(spectra[proxy].values)).mean()))

        of_its_own = error(scans(FIRST, ("S7", "S8")))
        assert error(asked) > 1.5 * of_its_own
        assert error(learnt.apply(asked)) < 0.6 * error(asked)
        assert error(learnt.apply(asked)) < 1.2 * of_its_own


@pytest.mark.parametrize("sections", [TWICE, ("S1",)])
def test_no_part_is_judged_by_a_mapping_that_saw_it(sections: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to tell the error, nor to choose form and ridge for it."""
    judge = Judge(pair(scans(FIRST, sections), scans(SECOND, sections)), 0.02)
    learnt_from: dict[int, set[int]] = {}
    judged: list[set[int]] = []
    kept = []
    fit, off = Fitter.fit, Judge.off

    def watched(self: Fitter, form: Form, ridge: float, groups: list[int]) -> Mapping:
        mapping = fit(self, form, ridge, groups)
        kept.append(mapping)  # alive, so that no other gets its number
        learnt_from[id(mapping)] = set(groups)
        return mapping

    def asked(self: Judge, rows: np.ndarray, mapping: Mapping | None) -> np.ndarray:
        there = set(self.groups[rows].tolist())
        if mapping is not None:
            assert not there & learnt_from[id(mapping)]
            judged.append(there)
        return off(self, rows, mapping)

    monkeypatch.setattr(Fitter, "fit", watched)
    monkeypatch.setattr(Judge, "off", asked)
    verdict = judge.verdict()
    assert [one for one in judged if len(one) == 1][-1:] == [{len(judge.names) - 1}]
    assert set().union(*judged) == set(range(len(verdict.by_part)))


def test_a_single_section_is_judged_by_stretches_of_depth() -> None:
    told = transfer.learn(scan(FIRST, "S1"), scan(SECOND, "S1")).verdict
    assert told.unit == "stretch"
    assert len(told.by_part) == 8
    assert all(name.startswith("C1/S1, ") for name in told.by_part)


def test_mapped_spectra_say_who_measured_them(learnt: Transfer) -> None:
    second = scan(SECOND, "S7")
    mapped = learnt.apply(second)
    assert set(mapped["head"].values) == {"A"}
    assert set(mapped["transferred_from"].values) == {"itrax, head B, Mo 30 kV 30 mA"}
    said = json.loads(mapped.attrs["transferred_from"])
    assert said["mapping"] == learnt.name
    assert said["machine"]["head"] == "B"
    assert said["held_out"] == learnt.verdict.all._asdict()
    xr.testing.assert_identical(mapped["live_time"], second["live_time"])
    assert mapped["intensity"].dtype == np.float32
    assert mapped["intensity"].attrs["units"] == "count/s"
    assert float(mapped["intensity"].min()) >= 0
    with pytest.raises(TransferError, match="head 'A' against 'B'"):
        learnt.apply(mapped)  # once is enough


def test_a_lazy_run_stays_lazy_and_gets_the_same_rates(learnt: Transfer) -> None:
    second = scan(SECOND, "S7")
    lazy = learnt.apply(second.assign(intensity=second["intensity"].chunk({"spectrum": 7})))
    assert isinstance(lazy["intensity"].data, da.Array)
    xr.testing.assert_identical(lazy.compute(), learnt.apply(second))


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"head": "C"}, "head 'C' against 'B'"),
        ({"head": ""}, "head unknown against 'B'"),
        ({"anode": "Cr"}, "anode 'Cr' against 'Mo'"),
        ({"tube_voltage": 40.0}, "tube_voltage 40 against 30"),
        ({"tube_current": 50.0}, "tube_current 50 against 30"),
        ({"filter": "Al"}, "filter 'Al' against unknown"),
    ],
)
def test_spectra_of_another_machine_are_refused(learnt: Transfer, settings: dict[str, str | float], found: str) -> None:
    with pytest.raises(TransferError, match=found):
        learnt.apply(with_settings(scan(SECOND, "S7"), **settings))


def test_a_current_that_was_read_off_is_the_same_setting(learnt: Transfer) -> None:
    learnt.apply(with_settings(scan(SECOND, "S7"), tube_current=29.9))


def test_one_byte_changed_and_it_is_refused(learnt: Transfer, tmp_path: Path) -> None:
    path = transfer.save(learnt, tmp_path / "b-to-a.json")
    again = transfer.load(path)
    assert (again.name, again.report()) == (learnt.name, learnt.report())
    xr.testing.assert_identical(again.apply(scan(SECOND, "S7")), learnt.apply(scan(SECOND, "S7")))
    assert again.sources["first"]["spectra"] == "180"
    with pytest.raises(TransferError, match="there already"):
        transfer.save(learnt, path)
    raw = path.read_text()
    for wrong, match in (
        (raw.replace('"ridge": ', '"ridge": 1', 1), "changed since it was written"),
        (raw[:-40], "no transfer"),
        (raw.replace('"format": 1', '"format": 2'), "format 2, this corebank reads 1"),
        ("[]", "no transfer"),
    ):
        path.write_text(wrong)
        with pytest.raises(TransferError, match=match):
            transfer.load(path)
    with pytest.raises(TransferError, match="there is no such file"):
        transfer.load(tmp_path / "none.json")


def test_two_scans_by_machines_that_do_not_differ_are_refused() -> None:
    """A mapping averages counting noise away and would look useful; the difference itself is no more than noise."""
    again = with_settings(scans(FIRST, TWICE, repeat=1), head="C")
    with pytest.raises(TransferError, match="the scans differ from place to place or by counting noise"):
        transfer.learn(scans(FIRST, TWICE), again)


@pytest.mark.real
def test_replicate_runs_of_one_real_scanner_are_refused(data: Path) -> None:
    """CD166/19, three sections, each scanned twice by one Itrax within a day (Bishop 2022, CC BY 4.0)."""
    words = Path(contribution.__file__).parents[1] / "sample_cores" / "cd166.toml"
    runs = contribution.checked(data / "itrax-cd166", words).runs
    sides = []
    for repeat in ("rep1", "rep2"):
        parts = [
            contribution.with_provenance(calibrate.intensity(run, EnergyGrid(), name), "samples", "cd166", name).load()
            for name, run in runs.items()
            if name.endswith(repeat)
        ]
        sides.append(
            xr.concat(parts, "spectrum", combine_attrs="override", join="exact", coords="minimal", compat="override")
        )
    with pytest.raises(TransferError, match="both scans say that they are of one machine, itrax, head boscorf-2020"):
        transfer.learn(*sides)
    with pytest.raises(TransferError, match="the scans differ from place to place or by counting noise"):
        transfer.learn(sides[0], with_settings(sides[1], head="another"))


def test_what_cannot_be_learnt_from_is_refused_with_the_reason() -> None:
    first, second = scan(FIRST, "S1"), scan(SECOND, "S1")
    mixed = with_settings(first, tube_current=np.where(np.arange(60) < 30, 30.0, 50.0))  # type: ignore[arg-type]
    with pytest.raises(TransferError, match=r"first scan: tube_current differs among its spectra: 30, 50"):
        transfer.learn(mixed, second)
    with pytest.raises(TransferError, match=r"second scan: 512 energy bins"):
        transfer.learn(first, second.isel(energy=slice(0, 512)))
    with pytest.raises(TransferError, match=r"no intensity in count/s"):
        transfer.learn(first, second.assign(intensity=second["intensity"].assign_attrs(units="count")))
    few = [one.isel(spectrum=slice(0, 30)) for one in (scan(FIRST, "S3"), scan(SECOND, "S3"))]
    with pytest.raises(TransferError, match=r"30 pairs of spectra, 40 are needed"):
        transfer.learn(*few)
