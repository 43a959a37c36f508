"""Search: each condition against the plain way of asking it, members that are away or old, and what may not be read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import catalog, cli
from corebank.bank import Bank, listing
from corebank.bank import index as files
from corebank.catalog import Index, searching
from corebank.catalog.searching import Hits
from corebank.errors import CatalogError
from tests.bench.search import write_member

RUNS = 120


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sites of invented runs: catalogs and indices alone, no bank and no spectrum anywhere."""
    root = tmp_path_factory.mktemp("federation")
    sites = {site: write_member(root / site, site, RUNS, seed) for seed, site in enumerate(("north", "south", "west"))}
    catalog.write_federation(root / "federation.yaml", sites)
    return root / "federation.yaml"


@pytest.fixture(scope="module")
def index(federation: Path) -> Index:
    return catalog.index(federation)


def plainly(index: Index) -> list[dict[str, Any]]:
    """Every run as a dict, to be asked one by one."""
    return [dict(zip(index.columns, values, strict=True)) for values in zip(*index.columns.values(), strict=True)]


def entries(hits: Hits) -> list[str]:
    return hits.table["entry"].tolist()


@settings(max_examples=60, deadline=None)
@given(
    proxy=st.sampled_from(["", "CaCO3", "toc", "Opal"]),
    element=st.sampled_from(["", "Fe", "Sr", "Ba", "Pb"]),
    scanner=st.sampled_from(["", "itrax", "Avaatech"]),
    anode=st.sampled_from(["", "Mo", "Rh"]),
    voltage=st.sampled_from([None, (10.0, 30.0), (31.0, 60.0)]),
    depth=st.sampled_from([None, (0.0, 400.0), (5000.0, 5000.0)]),
    licence=st.sampled_from(["", "CC0-1.0"]),
    min_spectra=st.sampled_from([0, 1500]),
    min_labels=st.sampled_from([0, 8, 15]),
    words=st.sampled_from(["", "cruise", "Biscay MARGIN", "nowhere", "north s3"]),
)
def test_a_search_finds_what_asking_run_by_run_finds(
    index: Index,
    proxy: str,
    element: str,
    scanner: str,
    anode: str,
    voltage: tuple[float, float] | None,
    depth: tuple[float, float] | None,
    licence: str,
    min_spectra: int,
    min_labels: int,
    words: str,
) -> None:
    def meets(run: dict[str, Any]) -> bool:
        counts = {name.lower(): count for name, count in run["proxies"].items()}
        labels = counts.get(proxy.lower(), 0) if proxy else sum(counts.values())
        said = "\n".join(
            [run[name] for name in ("title", "region", "expedition", "site", "run", "steward")] + run["cores"]
        )
        return (
            (not proxy or labels > 0)
            and labels >= min_labels
            and (not scanner or run["scanner"] == scanner.lower())
            and (not anode or run["anode"] == anode)
            and (not licence or run["licence"] == licence)
            and run["spectra"] >= min_spectra
            and (voltage is None or voltage[0] <= run["tube_voltage"] <= voltage[1])
            and (depth is None or (run["depth_top"] <= depth[1] and run["depth_bottom"] >= depth[0]))
            and (
                not element
                or any(
                    run["energy_min"] <= energy <= run["energy_max"] and run["tube_voltage"] > edge
                    for energy, edge in searching.lines(element)
                )
            )
            and all(word.lower() in said.lower() for word in words.split())
        )

    found = catalog.search(
        index,
        words,
        proxy=proxy,
        element=element,
        scanner=scanner,
        anode=anode,
        tube_voltage=voltage,
        depth=depth,
        licence=licence,
        min_spectra=min_spectra,
        min_labels=min_labels,
    )
    assert entries(found) == [run["entry"] for run in plainly(index) if meets(run)]
    assert found.searched == 3 * RUNS


@settings(deadline=None)
@given(south=st.integers(-90, 80), tall=st.integers(0, 60), west=st.integers(-180, 180), wide=st.integers(0, 359))
def test_a_region_holds_the_cores_inside_it_also_across_the_date_line(
    index: Index, south: int, tall: int, west: int, wide: int
) -> None:
    north, east = min(south + tall, 90), (west + wide + 180) % 360 - 180
    found = set(entries(catalog.search(index, region=(south, west, north, east))))
    for run in plainly(index):
        across = (run["west"] - west) % 360
        assert (run["entry"] in found) == (south <= run["south"] <= north and across <= wide)


def test_a_line_is_measured_where_the_tube_excites_it_and_the_detector_reaches() -> None:
    """Fe K alpha 6.40 keV with its edge at 7.11; Ba by K alpha at 32.06 keV or L alpha at 4.46; nothing by Pb K."""
    (iron,) = searching.lines("Fe")
    assert np.round(iron, 2).tolist() == [6.4, 7.11]
    assert [round(energy, 2) for energy, _ in searching.lines("Ba")] == [32.06, 4.46]
    assert [round(energy, 2) for energy, _ in searching.lines("Pb")] == [10.54]
    numbers = {
        "spectra": np.ones(4),
        "tube_voltage": np.array([7.0, 10.0, np.nan, 10.0]),
        "energy_min": np.array([1.0, 1.0, 1.0, np.nan]),
        "energy_max": np.array([7.0, 10.0, 8.0, np.nan]),
    }
    assert searching._covers(numbers, "Fe").tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ({"element": "Xx"}, "element: 'Xx' is no element"),
        ({"depth": (5.0, 1.0)}, "depth: 5 to 1 mm is no range"),
        ({"tube_voltage": (30.0, 10.0)}, "tube voltage: 30 to 10 kV is no range"),
        ({"region": (50.0, 0.0, 40.0, 10.0)}, "region: 50 0 40 10 is no box"),
    ],
)
def test_a_condition_that_nothing_can_meet_is_refused(index: Index, words: dict[str, Any], found: str) -> None:
    with pytest.raises(CatalogError, match=found):
        catalog.search(index, **words)


def test_searching_opens_no_bank(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none: what is found comes from index files alone, once, when the index is loaded."""
    monkeypatch.setattr("corebank.catalog.fetching.fetch", lambda *_, **__: pytest.fail("a search fetched something"))
    assert len(catalog.search(index, "cruise")) == 3 * RUNS


def test_a_member_that_is_away_is_named_and_the_others_are_searched(federation: Path, tmp_path: Path) -> None:
    shutil.copytree(federation.parent, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "south")
    found = catalog.search(tmp_path / "copy" / "federation.yaml", "cruise")
    assert len(found) == 2 * RUNS
    assert list(found.away) == ["south"]
    assert "there is no such file" in found.away["south"]
    assert found.to_json()["away"] == dict(found.away)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: json.dumps(json.loads(text) | {"corebank_index": 999}),
        lambda text: text.replace('"itrax"', "7"),
        lambda text: json.dumps(json.loads(text) | {"columns": {"run": []}}),
        lambda text: json.dumps(json.loads(text) | {"snapshot": ["x"]}),
    ],
    ids=["empty", "cut short", "a list", "another format", "wrong kind", "too few columns", "no snapshot"],
)
def test_an_index_that_is_not_ours_falls_back_to_the_catalog_and_says_so(
    small_bank: Path, tmp_path: Path, damage: Any
) -> None:
    shutil.copytree(small_bank, tmp_path / "bank")
    path = tmp_path / "bank" / files.FILE_NAME
    path.write_text(damage(path.read_text("utf-8")), "utf-8")
    found = catalog.search(tmp_path / "bank" / "catalog.yaml", "cruise1")
    assert entries(found) == ["lab/cruise1/s1", "lab/cruise1/s2"]
    assert found.table["spectra"].tolist() == [5, 5]
    assert list(found.partly) == ["lab"]
    if "snapshot" not in found.partly["lab"]:
        assert not len(catalog.search(tmp_path / "bank" / "catalog.yaml", scanner="itrax")), "not known is no match"


def test_a_catalog_without_index_is_searched_by_its_entries(small_bank: Path, tmp_path: Path) -> None:
    """As an older corebank wrote it: without the address of its bank at the top."""
    shutil.copytree(small_bank, tmp_path / "bank")
    bank = catalog.open_catalog(tmp_path / "bank" / "catalog.yaml")["cruise1"].metadata
    about = {name: bank[name] for name in ("title", "licence", "cores", "runs", "measurements")}
    text = listing.text("lab", {"cruise1": about}).replace("  bank: '{{ CATALOG_DIR }}'\n", "", 1)
    listing.write(tmp_path / "bank" / "catalog.yaml", text)
    found = catalog.search(tmp_path / "bank" / "catalog.yaml", licence="CC-BY-4.0", min_spectra=5)
    assert entries(found) == ["lab/cruise1/s1", "lab/cruise1/s2"]
    assert "older corebank" in found.partly["lab"]


def test_a_hit_opens_by_its_names(small_bank: Path) -> None:
    cat = catalog.open_catalog(small_bank / "catalog.yaml")
    hit = catalog.search(cat, proxy="TOC", element="Ca", scanner="itrax", region=(50, -30, 60, 0)).table.iloc[0]
    assert (hit["entry"], hit["labels"], hit["proxies"]) == ("lab/cruise1/s1", 1, {"CaCO3": 2, "TOC": 1})
    assert cat[hit["expedition"]](run=hit["run"]).to_dask().sizes["spectrum"] == hit["spectra"] == 5


def test_what_is_withdrawn_is_not_found(small_bank: Path, tmp_path: Path) -> None:
    shutil.copytree(small_bank, tmp_path / "bank")
    bank: Bank = __import__("corebank.bank").bank.open_bank(tmp_path / "bank")
    bank.withdraw("cruise1", run="s1", because="another core's")
    assert entries(catalog.search(tmp_path / "bank" / "catalog.yaml")) == ["lab/cruise1/s2"]


def test_the_command_prints_a_table_or_one_document(
    federation: Path, small_bank: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> tuple[str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.run(cli.app, ["search", *words])
        assert ended.value.code == 0
        printed = capsys.readouterr()
        return printed.out, printed.err

    table, told = run(
        str(small_bank), "--region", "-10", "-30.5", "60", "10", "--depth", "0 mm", "1 m", "--proxy", "TOC"
    )
    assert table.splitlines()[0].split()[:5] == ["entry", "scanner", "anode", "kV", "spectra"]
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["lab/cruise1/s1"]
    assert told == "corebank: 1 of 2 runs\n"
    document, told = run(str(federation), "--tube-voltage", "20", "40", "--json")
    found = json.loads(document)
    assert found["searched"] == 3 * RUNS
    assert {hit["tube_voltage"] for hit in found["hits"]} == {30.0}
    table, told = run(str(federation), "cruise", "--limit", "3")
    assert len(table.splitlines()) == 4
    assert told == f"corebank: {3 * RUNS} of {3 * RUNS} runs, 3 of them shown\n"
    assert run(str(federation), "nowhere") == ("", f"corebank: 0 of {3 * RUNS} runs\n")
