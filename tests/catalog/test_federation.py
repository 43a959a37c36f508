"""A federation's file: labs join it, it notes what their catalogs are, and all that it lists is opened and told of."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import intake
import pytest
import yaml

from corebank import bank as banks
from corebank import catalog, cli
from corebank.catalog import checking
from corebank.catalog import federation as federations
from corebank.errors import CatalogError, EntryError, OfflineError
from tests.bank.stores import web
from tests.catalog.conftest import write_member


@pytest.fixture
def corebank(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command, of the words after "corebank": exit code, what it printed, what it said."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.run(cli.app, [str(word) for word in words])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def args(path: Path, site: str) -> dict[str, str]:
    return dict(yaml.safe_load(path.read_text())["sources"][site]["args"])


def test_a_lab_joins_with_its_hash_its_steward_and_its_licence(
    corebank: Callable[..., tuple[int, str, str]], tmp_path: Path, small_bank: Path
) -> None:
    federation = tmp_path / "federation.yaml"
    with web(small_bank.parent) as address:
        assert corebank("catalog", "join", "lab", f"{address}/bank", "--federation", federation) == (
            0, f"{federation}: lab is a member: 2 entries under CC-BY-4.0\n", "",
        )  # fmt: skip
        assert args(federation, "lab") == {
            "path": f"{address}/bank/catalog.yaml",
            "site": "lab",
            "sha256": hashlib.sha256((small_bank / "catalog.yaml").read_bytes()).hexdigest(),
            "steward": "A. Steward",
            "licence": "CC-BY-4.0",
        }
        assert intake.open_catalog(str(federation))["lab"]["cruise1"].to_dask().sizes["spectrum"] == 10


def test_a_member_below_the_federation_moves_with_it_and_one_elsewhere_is_noted_as_a_path(
    corebank: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    write_member(tmp_path / "f" / "sites", "near")
    write_member(tmp_path, "far")
    federation = tmp_path / "f" / "federation.yaml"
    assert corebank("catalog", "join", "near", tmp_path / "f/sites/near", "--federation", federation)[0] == 0
    code, _, said = corebank("catalog", "join", "far", tmp_path / "far/catalog.yaml", "--federation", federation)
    assert code == 0
    assert said == f"corebank: {tmp_path}/far/catalog.yaml is a path; only who shares this disk can read it\n"
    assert args(federation, "near")["path"] == "{{ CATALOG_DIR }}/sites/near/catalog.yaml"
    assert args(federation, "far")["path"] == f"{tmp_path}/far/catalog.yaml"
    shutil.move(tmp_path / "f", tmp_path / "moved")
    assert [one.state for one in catalog.members(tmp_path / "moved" / "federation.yaml")] == ["ok", "ok"]


def test_joining_leaves_the_other_members_and_the_words_at_the_top_alone(tmp_path: Path) -> None:
    path = tmp_path / "federation.yaml"
    path.write_text(
        "# Ours.\n# Ask Ann.\nmetadata:\n  title: 'Zwölf {{ x }} # Labore'\nsources:\n  a: {driver: csv, args: {}}\n"
    )
    before = yaml.safe_load(path.read_text())
    federations.join(path, "lab", str(write_member(tmp_path, "lab")))
    after = yaml.safe_load(path.read_text())
    assert path.read_text().startswith("# Ours.\n# Ask Ann.\nmetadata:")
    del after["sources"]["lab"]
    assert after == before


def test_who_cannot_join_is_told_why_and_the_file_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "federation.yaml"
    lab, other = write_member(tmp_path, "lab"), write_member(tmp_path, "other")
    federations.join(path, "lab", str(lab))
    before = path.read_bytes()
    evil = write_member(tmp_path, "evil")
    evil.write_text(evil.read_text().replace("driver: corebank_spectra", "driver: os.system"))
    for words, kind, found in (
        (("lab", str(other)), CatalogError, r"federation\.yaml, lab: is a member already, at \{\{ CATALOG_DIR"),
        (("south", str(other)), EntryError, "is the catalog of another site, 'other'"),
        (("Other Lab", str(other)), CatalogError, "is no name for a site"),
        (("evil", str(evil)), EntryError, "cruise1 has the driver 'os.system'"),
        (("gone", str(tmp_path / "gone" / "catalog.yaml")), OfflineError, "there is no such file.*--offline"),
        (("ftp", "ftp://x.example.org/catalog.yaml"), EntryError, "no place for a catalog"),
        (("me", "https://me:secret@x.example.org/catalog.yaml"), EntryError, "carries credentials"),
    ):
        with pytest.raises(kind, match=found):
            federations.join(path, *words)
    with pytest.raises(EntryError, match=r"is under CC-BY-4\.0, not CC0-1\.0"):
        federations.join(path, "other", str(other), licence="CC0-1.0")
    assert path.read_bytes() == before


def test_who_is_away_can_join_and_its_hash_is_noted_when_it_answers(
    corebank: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    path = tmp_path / "federation.yaml"
    words = ("--federation", path, "--offline", "--steward", "B. Steward", "--licence", "CC-BY-4.0")
    code, out, _ = corebank("catalog", "join", "late", tmp_path / "late" / "catalog.yaml", *words)
    assert (code, ": late is a member: offline since " in out) == (0, True)
    assert "sha256" not in args(path, "late")
    code, out, _ = corebank("catalog", "build", path)
    assert (code, out.startswith("late: offline since ")) == (0, True)
    digest = hashlib.sha256(write_member(tmp_path, "late").read_bytes()).hexdigest()
    assert corebank("catalog", "build", path)[1] == f"late: 2 entries, sha256 not noted -> {digest[:12]}\n"
    assert args(path, "late") == {
        "path": "{{ CATALOG_DIR }}/late/catalog.yaml", "site": "late", "sha256": digest,
        "steward": "B. Steward", "licence": "CC-BY-4.0",
    }  # fmt: skip
    assert corebank("catalog", "build", path)[1] == "late: 2 entries, as it was\n"


def test_a_changed_member_is_accepted_by_building_the_federation_again(tmp_path: Path) -> None:
    path, lab = tmp_path / "federation.yaml", write_member(tmp_path, "lab")
    federations.join(path, "lab", str(lab), steward="Somebody else")
    write_member(tmp_path, "lab", "cruise1", "cruise2")
    assert [one.state for one in catalog.members(path)] == ["changed"]
    ((before, now),) = federations.refresh(path)
    assert (before.state, now.state, now.sha256) == ("changed", "ok", hashlib.sha256(lab.read_bytes()).hexdigest())
    assert [one.state for one in catalog.members(path)] == ["ok"]
    assert args(path, "lab")["steward"] == "Somebody else"


def test_build_writes_the_catalog_of_a_bank_again(
    corebank: Callable[..., tuple[int, str, str]], small_bank: Path, tmp_path: Path
) -> None:
    shutil.copytree(small_bank, tmp_path / "bank")
    (tmp_path / "bank" / "catalog.yaml").unlink()
    code, out, _ = corebank("catalog", "build", tmp_path / "bank")
    snapshot = banks.open_bank(tmp_path / "bank").snapshot
    assert (code, out) == (0, f"{tmp_path}/bank: catalog.yaml shows 1 expeditions at {snapshot}\n")
    assert (tmp_path / "bank" / "catalog.yaml").read_bytes() == (small_bank / "catalog.yaml").read_bytes()


@pytest.fixture
def half_broken(small_bank: Path, tmp_path: Path) -> Path:
    """A federation of a sound bank, one whose arrays are gone, one whose repository is gone, and one that is away."""
    for site in ("sound", "hollow", "gone"):
        shutil.copytree(small_bank, tmp_path / site)
    shutil.rmtree(tmp_path / "hollow" / "repository" / "manifests")
    shutil.rmtree(tmp_path / "gone" / "repository")
    path = tmp_path / "federation.yaml"
    lines = [
        f"  {site}: {{driver: corebank_member, args: {{path: '{{{{ CATALOG_DIR }}}}/{site}/catalog.yaml'}}}}"
        for site in ("sound", "hollow", "gone", "away")
    ]
    path.write_text("\n".join(["sources:", *lines]) + "\n")
    return path


def test_check_opens_everything_and_names_what_fails(half_broken: Path) -> None:
    found = list(checking.check(half_broken))
    every = [("cruise1", run, level) for run in ("s1", "s2") for level in ("intensity", "counts")]
    values = ("cruise1-measurements", "", "")
    assert [(one.entry, one.run, one.level, one.failed) for one in found] == [
        ("", "", "", True),  # away
        *[("", "", "", False)] * 3,
        *[(*one, False) for one in (*every, values)],  # sound
        *[(*one, True) for one in (*every, values)],  # hollow
        *[(*one, True) for one in (("cruise1", "", ""), values)],  # gone
    ]
    assert [one.holds for one in found if not one.failed and one.entry] == [*["5 spectra"] * 4, "3 values"]
    assert all(one.problem for one in found if one.failed)


def test_the_command_check_prints_a_table_or_one_document_and_fails_where_anything_does(
    corebank: Callable[..., tuple[int, str, str]], half_broken: Path, small_bank: Path
) -> None:
    code, out, _ = corebank("catalog", "check", half_broken)
    assert code == 1
    assert out.splitlines()[0].split() == ["site", "entry", "run", "level", "holds", "problem"]
    assert "there is no bank" in out
    code, out, _ = corebank("catalog", "check", half_broken, "--json")
    document = json.loads(out)
    assert (code, document["failed"]) == (1, sum(not one["holds"] for one in document["opened"]))
    assert {one["site"]: one["state"] for one in document["members"]} == {"lab": "ok", "away": "offline"}
    code, out, _ = corebank("catalog", "check", small_bank / "catalog.yaml")
    assert (code, out.splitlines()[-1]) == (0, "6 opened, 0 failed")


def test_names_from_elsewhere_do_not_move_the_cursor(
    corebank: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    lab = write_member(tmp_path, "lab")
    lab.write_text(lab.read_text().replace("driver: corebank_spectra", 'driver: "\\e[2J"'))
    code, out, _ = corebank("catalog", "check", lab)
    assert (code, "\x1b" in out) == (1, False)
