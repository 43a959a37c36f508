"""The catalog: banks listed, opened lazily from anywhere, and selected from with their snapshots."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import dask.array
import intake
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from corebank import bank as banks
from corebank import catalog, contribution
from corebank.bank import listing
from corebank.errors import BankNotFoundError, CatalogError
from corebank.schema import PROVENANCE, SPECTRUM, EnergyGrid
from tests.conftest import GRID
from tests.scanner import write_expedition


def member(
    root: Path, site: str, *, seed: int, grid: EnergyGrid = GRID, expeditions: tuple[str, ...] = ("cruise1",)
) -> Path:
    bank = banks.create(root / site, site=site, grid=grid)
    for number, name in enumerate(expeditions):
        folder = write_expedition(
            root / "raw" / site / name, name=name, site=site, core=f"{site}-{number + 1}", seed=seed + number
        )
        bank.add(contribution.checked(folder))
    return bank.path / "catalog.yaml"


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sites: ``north`` with two expeditions, ``south`` with one; each core has two sections of five spectra."""
    root = tmp_path_factory.mktemp("federation of banks")
    members = {
        "north": member(root, "north", seed=1, expeditions=("cruise1", "cruise2")),
        "south": member(root, "south", seed=3),
    }
    catalog.write_federation(root / "federation.yaml", members, title="Two labs")
    return root / "federation.yaml"


def test_a_federation_lists_its_sites_and_each_site_its_entries(federation: Path) -> None:
    cat = intake.open_catalog(str(federation))
    assert list(cat) == ["north", "south"]
    assert list(cat["north"]) == ["cruise1", "cruise1-measurements", "cruise2", "cruise2-measurements"]
    assert cat.south["cruise1"].metadata["licence"] == "CC-BY-4.0"
    assert list(cat["south"].search("laboratory")) == ["cruise1-measurements"]


def test_an_expedition_opens_lazily_and_loads_in_full(federation: Path) -> None:
    source = intake.open_catalog(str(federation))["north"]["cruise1"]
    lazy = source.to_dask()
    assert lazy.sizes == {"spectrum": 10, "energy": 160}
    assert set(lazy.data_vars) == {"intensity", *SPECTRUM, *PROVENANCE}
    assert isinstance(lazy["intensity"].data, dask.array.Array), "nothing is computed"
    assert isinstance(lazy["depth"].data, dask.array.Array)
    assert lazy["intensity"].chunks == ((5, 5), (160,))
    loaded = source.read()
    assert isinstance(loaded["intensity"].data, np.ndarray)
    xr.testing.assert_identical(loaded, lazy.load())
    assert set(loaded["site"].values) == {"north"}


def test_an_entry_takes_a_run_a_level_and_a_snapshot(federation: Path) -> None:
    entry = intake.open_catalog(str(federation))["north"]["cruise1"]
    raw = entry(run="s2", level="counts").to_dask()
    assert raw["counts"].sizes == {"spectrum": 5, "channel": 64}
    assert set(raw["run"].values) == {"s2"}
    empty = banks.open_bank(federation.parent / "north").log()[-1].snapshot
    with pytest.raises(BankNotFoundError, match="there is no expedition 'cruise1'"):
        entry(at=empty).to_dask()


@pytest.mark.parametrize("wrong", [{"run": "s9"}, {"level": "raw"}, {"at": "release-9"}])
def test_a_wrong_parameter_raises(federation: Path, wrong: dict[str, str]) -> None:
    entry = intake.open_catalog(str(federation))["north"]["cruise1"]
    with pytest.raises(ValueError, match=next(iter(wrong.values()))):
        entry(**wrong).to_dask()


def test_a_release_reads_as_it_was(tmp_path: Path) -> None:
    listing = member(tmp_path, "lab", seed=0)
    banks.open_bank(tmp_path / "lab").tag("release-1")
    banks.open_bank(tmp_path / "lab").add(
        contribution.checked(
            write_expedition(tmp_path / "more", site="lab", core="lab-1", sections=["S3"], seed=9, laboratory=None)
        )
    )
    entry = intake.open_catalog(str(listing))["cruise1"]
    assert entry.to_dask().sizes["spectrum"] == 15
    assert entry(at="release-1").to_dask().sizes["spectrum"] == 10


def test_a_catalog_opens_from_any_working_directory(
    federation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(federation.parent)
    cat = intake.open_catalog("federation.yaml")
    source = cat["north"]["cruise1"]
    ours = catalog.open_catalog("federation.yaml")
    monkeypatch.chdir(tmp_path)
    assert source.to_dask().sizes["spectrum"] == 10
    assert ours["south"]["cruise1"].to_dask().sizes["spectrum"] == 10


def test_a_federation_moved_to_another_folder_still_opens(federation: Path, tmp_path: Path) -> None:
    shutil.copytree(federation.parent, tmp_path / "moved")
    moved = catalog.select(tmp_path / "moved" / "federation.yaml")
    assert set(json.loads(moved.attrs["bank_urls"]).values()) == {
        str(tmp_path / "moved" / site) for site in ("north", "south")
    }
    xr.testing.assert_equal(moved.load(), catalog.select(federation).load())


def test_lazy_spectra_and_sources_travel_to_a_worker(federation: Path) -> None:
    lazy = catalog.select(federation, sites=["south"])
    xr.testing.assert_equal(pickle.loads(pickle.dumps(lazy)).load(), lazy.load())
    source = intake.open_catalog(str(federation))["south"]["cruise1"]
    assert pickle.loads(pickle.dumps(source)).to_dask().sizes["spectrum"] == 10


def test_sources_tell_their_shape_without_being_read(federation: Path) -> None:
    cat = intake.open_catalog(str(federation))["north"]
    assert cat["cruise1"].discover()["shape"] == {"spectrum": 10, "energy": 160}
    assert cat["cruise1-measurements"].discover()["shape"] == (3, 11)


def test_a_selection_covers_every_member_and_says_what_was_read(federation: Path) -> None:
    whole = catalog.select(federation)
    assert whole.sizes == {"spectrum": 30, "energy": 160}
    assert isinstance(whole["intensity"].data, dask.array.Array)
    keys = zip(whole["site"].values, whole["expedition"].values, strict=True)
    assert {f"{site}/{expedition}" for site, expedition in keys} == {"north/cruise1", "north/cruise2", "south/cruise1"}
    assert EnergyGrid.from_json(whole.attrs["grid"]) == GRID
    assert json.loads(whole.attrs["snapshots"]) == {
        site: banks.open_bank(federation.parent / site).snapshot for site in ("north", "south")
    }
    assert json.loads(whole.attrs["bank_urls"]) == {site: str(federation.parent / site) for site in ("north", "south")}
    assert json.loads(whole.attrs["licences"]) == dict.fromkeys(
        ["north/cruise1", "north/cruise2", "south/cruise1"], "CC-BY-4.0"
    )
    assert json.loads(whole.attrs["citations"])["south/cruise1"] == "Steward (2020)"


def test_a_selection_keeps_and_leaves_out_by_name(federation: Path) -> None:
    def sections(**words: list[str]) -> set[str]:
        chosen = catalog.select(federation, **words)  # type: ignore[arg-type] - the tests' own words
        return {
            f"{core}/{section}" for core, section in zip(chosen["core"].values, chosen["section"].values, strict=True)
        }

    everything = {f"{core}/{section}" for core in ("north-1", "north-2", "south-1") for section in ("S1", "S2")}
    assert sections() == everything
    assert sections(sites=["south"]) == {"south-1/S1", "south-1/S2"}
    assert sections(expeditions=["cruise2"]) == {"north-2/S1", "north-2/S2"}
    assert sections(cores=["north-1", "south-1"]) == everything - {"north-2/S1", "north-2/S2"}
    assert sections(exclude_cores=["north-1"], exclude_sections=["south-1/S2"]) == {
        "north-2/S1",
        "north-2/S2",
        "south-1/S1",
    }
    only = catalog.select(federation, exclude_cores=["north-1", "north-2"])
    assert list(json.loads(only.attrs["snapshots"])) == ["south"], "a bank that nothing was taken from is not named"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ({"sites": ["west"]}, "has no sites west. It has north, south"),
        ({"expeditions": ["cruise9"]}, "has no expeditions cruise9. It has cruise1, cruise2"),
        ({"cores": ["x"]}, "has no cores x. It has north-1, north-2, south-1"),
        ({"exclude_cores": ["x"]}, "has no cores x"),
        ({"exclude_sections": ["S1"]}, "has no sections S1. It has north-1/S1, "),
        ({"exclude_cores": ["north-1", "north-2", "south-1"]}, "the selection holds no spectra. Leave fewer out"),
        ({"sites": ["south"], "expeditions": ["cruise2"]}, "the selection holds no spectra"),
    ],
)
def test_a_selection_of_what_is_not_there_names_what_is(
    federation: Path, words: dict[str, list[str]], found: str
) -> None:
    with pytest.raises(CatalogError, match=rf"federation\.yaml: {found}"):
        catalog.select(federation, **words)  # type: ignore[arg-type] - the tests' own words


def test_a_single_bank_is_a_catalog_too(small_bank: Path) -> None:
    assert catalog.select(small_bank / "catalog.yaml").sizes["spectrum"] == 10
    assert catalog.select(catalog.open_catalog(small_bank / "catalog.yaml")).sizes["spectrum"] == 10
    with pytest.raises(CatalogError, match=r"catalog\.yaml: has no sites west"):
        catalog.select(catalog.open_catalog(small_bank / "catalog.yaml"), sites=["west"])


def test_measurements_come_from_every_member(federation: Path) -> None:
    whole = catalog.measurements(federation)
    assert list(whole.columns[:3]) == ["site", "expedition", "core"]
    assert whole.groupby(["site", "expedition"]).size().to_dict() == {
        ("north", "cruise1"): 3,
        ("north", "cruise2"): 3,
        ("south", "cruise1"): 3,
    }
    toc = catalog.measurements(federation, sites=["south"], proxies=["TOC"])
    assert toc[["core", "value", "unit", "depth_top", "depth_bottom"]].values.tolist() == [
        ["south-1", 1.5, "wt%", 0.0, 2.0]
    ]
    pd.testing.assert_frame_equal(
        catalog.measurements(federation, expeditions=["cruise2"]),
        whole[whole["expedition"] == "cruise2"].reset_index(drop=True),
    )
    with pytest.raises(CatalogError, match=r"federation\.yaml: has no measurements of Opal\. It has CaCO3, TOC"):
        catalog.measurements(federation, proxies=["Opal"])


def test_measurements_of_a_site_that_is_not_there_are_refused_as_its_spectra_are(federation: Path) -> None:
    with pytest.raises(CatalogError, match=r"has no sites west\. It has north, south"):
        catalog.measurements(federation, sites=["west"])


def test_a_bank_that_is_gone_while_its_catalog_answers_is_named(federation: Path, tmp_path: Path) -> None:
    shutil.copytree(federation.parent, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "north" / "repository")
    with pytest.raises(BankNotFoundError, match="north: there is no bank"):
        catalog.select(tmp_path / "copy" / "federation.yaml")


def test_banks_on_different_grids_are_not_mixed(tmp_path: Path) -> None:
    members = {
        "coarse": member(tmp_path, "coarse", seed=0, grid=EnergyGrid(step=0.1, bins=80)),
        "fine": member(tmp_path, "fine", seed=1),
    }
    catalog.write_federation(tmp_path / "federation.yaml", members)
    with pytest.raises(CatalogError, match=r"its banks are on 2 different energy grids: .*Select banks that share one"):
        catalog.select(tmp_path / "federation.yaml")
    assert catalog.select(tmp_path / "federation.yaml", sites=["coarse"]).sizes == {"spectrum": 10, "energy": 80}


def test_a_file_that_is_no_catalog_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"nothing\.yaml: there is no such catalog file\. Give the path"):
        catalog.open_catalog(tmp_path / "nothing.yaml")
    (tmp_path / "broken.yaml").write_text("sources: [1, {")
    with pytest.raises(CatalogError, match=r"broken\.yaml: cannot be read as an Intake catalog"):
        catalog.open_catalog(tmp_path / "broken.yaml")


def test_a_federation_names_only_what_lies_below_it(tmp_path: Path) -> None:
    with pytest.raises(
        CatalogError, match=r"elsewhere/catalog\.yaml: lies outside the folder of .*Keep member catalogs below"
    ):
        catalog.write_federation(
            tmp_path / "catalogs" / "federation.yaml", {"a": tmp_path / "elsewhere" / "catalog.yaml"}
        )


@pytest.mark.parametrize(
    "title", ["Meß-Fahrt {{ 1 + 1 }}", "a: b # c", "100 %", "line\nbreak", "[x]", "{% raw %}", "{# x #}", "{{{", "}}"]
)
def test_any_title_survives_the_catalog(tmp_path: Path, title: str) -> None:
    folder = write_expedition(tmp_path / "c", sections=["S1"], laboratory=None)
    words = folder / "contribution.toml"
    words.write_text(
        words.read_text().replace('"Cruise cruise1"', json.dumps(title, ensure_ascii=False)), encoding="utf-8"
    )
    bank = banks.create(tmp_path / "bank", site="lab", grid=GRID)
    bank.add(contribution.checked(folder))
    source = intake.open_catalog(str(bank.path / "catalog.yaml"))["cruise1"]
    assert source.metadata["title"] == title
    assert source.to_dask().sizes["spectrum"] == 5


@pytest.mark.parametrize("title", ["{{ env('HOME') }}", "{{ shell('touch was-here') }}"])
def test_a_contributors_words_start_no_program_where_the_catalog_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, title: str
) -> None:
    monkeypatch.chdir(tmp_path)
    listing.write(
        tmp_path / "catalog.yaml",
        listing.text("lab", {"cruise1": {"title": title, "cores": [{"name": title}], "runs": {}}}),
    )
    source = intake.open_catalog("catalog.yaml")["cruise1"]
    assert (source.metadata["title"], source.metadata["cores"][0]["name"]) == (title, title)
    assert source.description == title
    assert not (tmp_path / "was-here").exists()
