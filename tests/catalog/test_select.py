"""Selections: licences and embargoes where data leave, filters, what is read and what is not, and citing it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from corebank import __version__, catalog, cli, contribution, licences
from corebank import bank as banks
from corebank.catalog import citing
from corebank.errors import BankNotFoundError, CatalogError, LicenceError
from tests.bank.counting import counted
from tests.conftest import GRID
from tests.scanner import write_expedition

UNDER = {
    "open": "CC-BY-4.0",
    "free": "CC0-1.0",
    "silent": "unknown",
    "fixed": "CC-BY-ND-4.0",
    "later": "CC-BY-4.0",
}
"""Expedition of the site ``north`` -> its licence; ``later`` is under embargo."""

REASONS = {
    "north/fixed": "CC-BY-ND-4.0 allows no derived works",
    "north/later": "under embargo until 2999-01-01",
    "north/silent": "licence 'unknown' is not known to allow derived works",
}


def add(bank: banks.Bank, folder: Path, licence: str = "CC-BY-4.0", embargo: str = "", **words: Any) -> None:
    write_expedition(folder, site=bank.site, sections=["S1"], **words)
    toml = folder / "contribution.toml"
    said = f'licence = "{licence}"\ndoi = "10.1594/PANGAEA.{len(str(folder))}"'
    said += f'\nembargo_until = "{embargo}"' if embargo else ""
    toml.write_text(toml.read_text("utf-8").replace('licence = "CC-BY-4.0"', said), "utf-8")
    bank.add(contribution.checked(folder))


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sites ``north``, five expeditions under five kinds of terms, and ``south``, one under CC BY-SA."""
    root = tmp_path_factory.mktemp("terms")
    north = banks.create(root / "north", site="north", grid=GRID)
    for seed, (name, licence) in enumerate(UNDER.items()):
        embargo = "2999-01-01" if name == "later" else ""
        add(north, root / "raw" / name, licence, embargo, name=name, core=f"{name}-core", seed=seed)
    south = banks.create(root / "south", site="south", grid=GRID)
    add(south, root / "raw" / "south", "CC-BY-SA-4.0", name="shared", core="south-core", seed=9)
    catalog.write_federation(root / "federation.yaml", {"north": root / "north" / "catalog.yaml",
                                                        "south": root / "south" / "catalog.yaml"})  # fmt: skip
    return root / "federation.yaml"


def taken(selected: xr.Dataset) -> set[str]:
    return set(json.loads(selected.attrs["licences"]))


def test_what_may_not_be_pooled_or_is_under_embargo_is_left_out_and_told(
    federation: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    selected = catalog.select(federation)
    assert taken(selected) == {"north/open", "north/free", "south/shared"}
    assert json.loads(selected.attrs["dropped"]) == REASONS
    told = capsys.readouterr().err
    assert told.count("left out") == 1
    assert all(f"{entry} ({reason})" in told for entry, reason in REASONS.items())
    assert selected.attrs["terms"] == (
        "CC-BY-4.0, CC-BY-SA-4.0, CC0-1.0: name the sources; share alike, under CC-BY-SA"
    )


def test_each_flag_takes_in_what_it_names(federation: Path) -> None:
    assert taken(catalog.select(federation, include_embargoed=True)) == {
        *("north/open", "north/free", "north/later", "south/shared")
    }
    assert taken(catalog.select(federation, any_licence=True)) == {
        *("north/open", "north/free", "north/silent", "north/fixed", "south/shared")
    }
    everything = catalog.select(federation, any_licence=True, include_embargoed=True)
    assert len(taken(everything)) == 6
    assert json.loads(everything.attrs["dropped"]) == {}
    assert everything.attrs["terms"] == "", "under which terms the whole is cannot be said"


def test_their_laboratory_values_are_left_out_too(federation: Path) -> None:
    table = catalog.measurements(federation)
    assert set(table["site"] + "/" + table["expedition"]) == {"north/open", "north/free", "south/shared"}
    assert table.attrs["dropped"] == REASONS
    assert set(catalog.measurements(federation, any_licence=True)["expedition"]) >= {"silent", "fixed"}


def test_a_selection_of_nothing_but_what_is_left_out_says_why(federation: Path) -> None:
    with pytest.raises(CatalogError, match=r"no spectra; left out were north/later \(under embargo until 2999-01-01\)"):
        catalog.select(federation, expeditions=["later"])
    with pytest.raises(CatalogError, match="has no cores typo"):
        catalog.select(federation, cores=["typo"])
    chosen = catalog.select(federation, exclude_cores=["later-core", "open-core"])
    assert taken(chosen) == {"north/free", "south/shared"}, "a core of what is left out is no unknown name"


def test_an_embargo_that_was_lifted_is_lifted_for_older_snapshots(federation: Path, tmp_path: Path) -> None:
    shutil.copytree(federation.parent / "north", tmp_path / "north")
    bank = banks.open_bank(tmp_path / "north")
    before = bank.snapshot
    raw = shutil.copytree(federation.parent / "raw" / "later", tmp_path / "later")
    toml = raw / "contribution.toml"
    toml.write_text(toml.read_text("utf-8").replace("2999-01-01", "2020-01-01"), "utf-8")
    bank.amend(contribution.checked(raw), because="published")
    for at in ("", before):
        assert "north/later" in taken(catalog.select(tmp_path / "north" / "catalog.yaml", at=at))


def test_licences_that_exclude_each_other_are_not_joined(federation: Path, tmp_path: Path) -> None:
    shutil.copytree(federation.parent, tmp_path / "copy")
    add(banks.open_bank(tmp_path / "copy" / "south"), tmp_path / "raw", "ODbL-1.0", name="other", core="o", seed=8)
    path = tmp_path / "copy" / "federation.yaml"
    with pytest.raises(LicenceError, match=r"CC-BY-SA-4\.0 and ODbL-1\.0 cannot be joined|ODbL-1\.0 and CC-BY-SA-4\.0"):
        catalog.select(path)
    assert "south/other" in taken(catalog.select(path, expeditions=["other", "open"]))
    assert {"south/other", "south/shared"} <= taken(catalog.select(path, any_licence=True))


def test_conditions_keep_whole_runs(federation: Path) -> None:
    assert taken(catalog.select(federation, text="cruise open")) == {"north/open"}
    assert taken(catalog.select(federation, scanner="itrax", proxy="TOC", element="Ca", licence="CC0-1.0")) == {
        "north/free"
    }
    hits = catalog.search(federation, sites=["south"])
    assert taken(catalog.select(federation, among=hits)) == {"south/shared"}
    with pytest.raises(CatalogError, match="holds no spectra"):
        catalog.select(federation, scanner="avaatech")
    with pytest.raises(TypeError):
        catalog.select(federation, scaner="itrax")  # type: ignore[call-arg] - that is the test


def test_runs_are_chosen_by_name(small_bank: Path) -> None:
    path = small_bank / "catalog.yaml"
    one = catalog.select(path, runs=["s2"])
    assert set(one["run"].values) == {"s2"}
    xr.testing.assert_equal(one.load(), catalog.select(path, exclude_sections=["C/1/S1"]).load())
    with pytest.raises(CatalogError, match=r"has no runs s9\. It has s1, s2"):
        catalog.select(path, runs=["s9"])


def test_counts_are_selected_as_they_were_measured(small_bank: Path) -> None:
    counts = catalog.select(small_bank / "catalog.yaml", level="counts")
    assert counts["counts"].sizes == {"spectrum": 10, "channel": 64}
    assert counts["counts"].dtype == np.uint32


def test_selecting_reads_no_spectrum_and_no_column_that_does_not_decide(federation: Path) -> None:
    def columns(**words: Any) -> set[str]:
        with counted() as asked:
            catalog.select(federation, expeditions=["open", "free"], **words)
        read = {key.split("/")[2] for key in asked if "/c/" in key}
        return read - {"energy", "scanned_at"}  # the axis, and what xarray looks at to decode a time

    assert columns() == set()
    assert columns(scanner="itrax", proxy="CaCO3", runs=["s1"]) == set()
    assert columns(cores=["open-core"]) == {"core"}
    assert columns(exclude_cores=["open-core"]) == {"core"}
    assert columns(exclude_sections=["open-core/S1"]) == {"core", "section"}
    with counted() as asked:
        catalog.select(federation)["intensity"].load()
    assert any("/intensity/c/" in key for key in asked), "the count would have seen it"


def test_a_bank_is_opened_once_however_many_of_its_expeditions_are_taken(
    federation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    original = banks.open_bank
    monkeypatch.setattr(banks, "open_bank", lambda *place: (opened.append(place[0]), original(*place))[1])
    catalog.select(federation, any_licence=True)
    assert sorted(opened) == sorted(str(federation.parent / site) for site in ("north", "south"))


def test_a_member_that_is_away_is_named(federation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(federation.parent, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "south")
    path = tmp_path / "copy" / "federation.yaml"
    selected = catalog.select(path)
    assert taken(selected) == {"north/open", "north/free"}
    assert "there is no such file" in json.loads(selected.attrs["offline"])["south"]
    assert "south is not in it" in capsys.readouterr().err
    assert "south" in catalog.measurements(path).attrs["offline"]
    with pytest.raises(CatalogError, match="has no sites south; south: offline since"):
        catalog.select(path, sites=["south"])


def test_the_same_data_are_selected_again_by_their_snapshots(federation: Path, tmp_path: Path) -> None:
    shutil.copytree(federation.parent, tmp_path / "copy")
    path = tmp_path / "copy" / "federation.yaml"
    before = catalog.select(path)
    north = banks.open_bank(tmp_path / "copy" / "north")
    north.tag("release-1")
    add(north, tmp_path / "raw", name="new", core="new-core", seed=20)
    assert "north/new" in taken(catalog.select(path))
    again = catalog.select(path, at=json.loads(before.attrs["snapshots"]))
    xr.testing.assert_identical(again.load(), before.load())
    assert len(catalog.measurements(path, at=json.loads(before.attrs["snapshots"]))) == len(
        catalog.measurements(federation)
    )
    assert taken(catalog.select(path, sites=["north"], at="release-1")) == {"north/open", "north/free"}
    with pytest.raises(BankNotFoundError, match="release-9"):
        catalog.select(path, at="release-9")


def test_a_selection_is_cited_with_doi_licence_and_snapshot(federation: Path, tmp_path: Path) -> None:
    shutil.copytree(federation.parent, tmp_path / "copy")
    banks.open_bank(tmp_path / "copy" / "north").tag("release-1")
    selected = catalog.select(tmp_path / "copy" / "federation.yaml")
    found = {one.entry: one for one in citing.citations(selected)}
    assert set(found) == taken(selected)
    one = found["north/open"]
    assert (one.citation, one.licence, one.title, one.steward) == (
        *("Steward (2020)", "CC-BY-4.0", "Cruise open", "A. Steward"),
    )
    assert one.doi.startswith("10.1594/PANGAEA.")
    assert (one.release, one.snapshot) == ("release-1", banks.open_bank(tmp_path / "copy" / "north").snapshot)
    assert found["south/shared"].release == ""
    assert str(one) == (
        f"north/open: Steward (2020). doi:{one.doi}. Licence CC-BY-4.0. "
        f"release release-1, snapshot {one.snapshot} of {tmp_path / 'copy' / 'north'}."
    )


def test_a_model_is_cited_by_its_lineage_also_where_its_banks_are_gone() -> None:
    lineage = {
        "snapshots": {"north": "SNAP"},
        "bank_urls": {"north": "/nowhere/north"},
        "licences": {"north/open": "CC-BY-4.0"},
        "citations": {"north/open": "Steward & Sons (2020), 100 %"},
    }
    (one,) = citing.citations(lineage)
    assert (one.snapshot, one.title, one.release) == ("SNAP", "", "")
    assert one.bibtex().splitlines() == [
        "@misc{north-open,",
        "  title = {north/open},",
        "  year = {2020},",
        "  howpublished = {/nowhere/north},",
        "  version = {snapshot SNAP},",
        r"  note = {Cite as: Steward \& Sons (2020), 100 \%. CC-BY-4.0},",
        "}",
    ]


def test_the_command_cites_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from corebank import bundle  # here, since the others of this file need no torch
    from tests.registry.models import quantifier

    lineage = bundle.DataLineage(
        snapshots={"north": "SNAP"},
        bank_urls={"north": str(tmp_path / "gone")},
        licences={"north/open": "CC-BY-4.0"},
        citations={"north/open": "Steward (2020)"},
    )
    bundle.save(quantifier(lineage=lineage), tmp_path / "run" / "bundle")
    with pytest.raises(SystemExit) as ended:
        cli.run(cli.app, ["cite", str(tmp_path / "run")])
    assert ended.value.code == 0
    assert capsys.readouterr().out.splitlines() == [
        f"north/open: Steward (2020). Licence CC-BY-4.0. snapshot SNAP of {tmp_path / 'gone'}.",
        f"corebank: version {__version__}.",
    ]


def test_the_command_cites_a_selection(federation: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.run(cli.app, ["cite", *words])
        assert ended.value.code == 0
        return capsys.readouterr().out

    document = json.loads(run(str(federation), "--expedition", "open", "--json"))
    assert [one["entry"] for one in document["data"]] == ["north/open"]
    assert document["software"]["name"] == "corebank"
    assert document["terms"] == "CC-BY-4.0: name the sources"
    assert run(str(federation), "--site", "north", "--bibtex").count("@misc{north-") == 2
    lines = run(str(federation.parent / "north"), "--expedition", "later", "--include-embargoed").splitlines()
    assert lines[0].startswith("north/later: Steward (2020). doi:10.1594/PANGAEA.")
    assert lines[1].startswith("corebank: version")


def test_every_public_sample_is_under_a_licence_that_lets_it_be_used() -> None:
    words = Path(catalog.__file__).parents[1] / "sample_cores"
    said = {path.stem: contribution.metadata.read(path).expedition.licence for path in words.glob("*.toml")}
    assert said
    assert {name: licence for name, licence in said.items() if not licences.verdict(licence).usable} == {}
