"""A catalog of somebody else runs nothing, imports nothing, and points nowhere on the reader's own disk."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import intake
import pytest
import yaml

from corebank import catalog
from corebank.catalog import fetching, foreign
from corebank.catalog.members import DRIVERS, MemberCatalog
from corebank.errors import EntryError
from tests.catalog.conftest import catalog_text

WEB = "https://lab.example.org/bank"


def entry(**changed: object) -> dict[str, object]:
    """An entry as a bank writes it, but for what is changed."""
    arguments = {"bank": "{{ CATALOG_DIR }}", "expedition": "cruise1", "run": "{{ run }}", "at": "{{ at }}"}
    return {"driver": "corebank_spectra", "args": arguments, "metadata": {"site": "lab"}, **changed}


def read(sources: object, folder: str = WEB, **top: object) -> foreign.Contents:
    text = yaml.safe_dump({"metadata": {"version": 1, "site": "lab"}, "sources": sources, **top})
    return foreign.read(text.encode(), f"{folder}/catalog.yaml", folder, DRIVERS)


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """A module ``trap`` with a driver ``trap.Driver``; says whether anyone imported it."""
    (tmp_path / "trap.py").write_text(
        "import pathlib, intake.source.base\npathlib.Path('sprung').touch()\n"
        "class Driver(intake.source.base.DataSource):\n    def __init__(self, **words): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("trap", None)
    intake.source.classes.pop("trap.Driver", None)  # Intake keeps what it has imported
    return lambda: (tmp_path / "sprung").exists() or "trap" in sys.modules


@pytest.mark.parametrize(
    "evil",
    [
        {"driver": "trap.Driver", "args": {}},
        {"driver": "trap:Driver", "args": {}},
        {"driver": ["corebank_spectra", "trap.Driver"], "args": {}},
        {"driver": {"one": {"class": "trap.Driver"}}, "args": {}},
        {"driver": "catalog", "args": {}},
        {"driver": "textfiles", "args": {"urlpath": "/etc/passwd"}},
        {"cls": "trap.Driver", "args": [], "kwargs": {}},
        {**entry(), "cls": "trap.Driver"},
        {**entry(), "cache": [{"type": "file", "regex": "x"}]},
        {"driver": "os.system", "args": {"command": "touch sprung"}},
        {"args": {}},
        "trap.Driver",
    ],
)
def test_only_our_own_drivers_are_opened_and_the_rest_is_named(
    tmp_path: Path, trap: Callable[[], bool], evil: object
) -> None:
    """A federation, read by Intake itself, lists a member that would have Intake import and call what it likes."""
    (tmp_path / "lab").mkdir()
    good = yaml.safe_load(catalog_text("lab", "cruise1"))
    good["sources"]["evil"] = evil
    good["plugins"] = {"source": [{"module": "trap"}]}
    (tmp_path / "lab" / "catalog.yaml").write_text(yaml.safe_dump(good))
    catalog.write_federation(tmp_path / "federation.yaml", {"lab": tmp_path / "lab" / "catalog.yaml"})
    federation = intake.open_catalog(str(tmp_path / "federation.yaml"))
    member = federation["lab"]
    assert list(member) == ["cruise1", "cruise1-measurements"]
    assert set(member.refused) == {"evil", "(plugins)"}
    assert member.member.state == "refused"
    assert "evil" in member.problem
    assert set(federation.walk()) == {"lab", "lab.cruise1", "lab.cruise1-measurements"}
    assert member["cruise1"].expedition == "cruise1"
    with pytest.raises(EntryError, match="lab: refused: evil "):
        member["evil"]
    assert list(catalog.open_catalog(tmp_path / "lab" / "catalog.yaml")) == ["cruise1", "cruise1-measurements"]
    assert not trap()


def test_intake_itself_walks_into_the_trap(tmp_path: Path, trap: Callable[[], bool]) -> None:
    """Which is why a member's catalog is not opened by it; and the traps of these tests do spring."""
    (tmp_path / "evil.yaml").write_text("sources:\n  evil:\n    driver: trap.Driver\n")
    list(intake.open_catalog(str(tmp_path / "evil.yaml")))
    assert trap()


TEMPLATES = [
    "{{ shell('touch sprung') }}",
    "{{ env('HOME') }}",
    "{{ client_env('HOME') }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{% for x in range(9) %}{{ x }}{% endfor %}",
    "{{ cycler.__init__.__globals__.os.system('touch sprung') }}",
    "{{ 7 * 7 }}",
]


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_are_words_in_metadata_and_refused_in_arguments(
    tmp_path: Path, trap: Callable[[], bool], template: str
) -> None:
    words = {"site": "lab", "title": template, "cores": [{"name": template}]}
    found = read({"cruise1": entry(metadata=words, description=template)})
    source = found.entries["cruise1"]()
    assert (source.metadata["title"], source.metadata["cores"][0]["name"]) == (template, template)
    assert source.description == template
    for key in ("bank", "expedition", "run", "level", "at"):
        refused = read({"cruise1": entry(args={"bank": WEB, "expedition": "x", key: template})})
        assert list(refused.refused) == ["cruise1"], key
    for default in (template, "shell(touch sprung)", "env(HOME)"):
        parameters = {"at": {"description": "", "type": "str", "default": default}}
        assert list(read({"cruise1": entry(parameters=parameters)}).refused) == ["cruise1"]
    assert not trap()


def test_what_a_reader_says_is_a_value_and_never_a_template() -> None:
    source = read({"cruise1": entry()}).entries["cruise1"](at="{{ env('HOME') }}")
    assert source.at == "{{ env('HOME') }}"


@pytest.mark.parametrize(
    "bank",
    [
        "/home/me/bank",
        "bank",
        "../bank",
        "file:///home/me/bank",
        "file://lab.example.org/bank",
        "memory://bank",
        "local:///x",
        "ftp://lab.example.org/bank",
        "simplecache::https://lab.example.org/x",
        "https::file:///etc",
        "C:\\bank",
        "",
        "{{ CATALOG_DIR }}/../other",
        "{{ CATALOG_DIR }}/..",
        "{{CATALOG_DIR}}/a/../../other",
        "{{ CATALOG_DIR }}/%2e%2e/other",
        "{{ CATALOG_DIR }}/%252e%252e/other",
        "{{ CATALOG_DIR }}/..\\other",
        "{{ CATALOG_DIR }}.evil.org",
        "{{ CATALOG_DIR }}@evil.org/bank",
        "https://me:secret@lab.example.org/bank",
        "x{{ CATALOG_DIR }}",
        "https://lab.example.org/../../x",
        ["https://lab.example.org/bank"],
        "https://lab.example.org/\x1b[2J",
    ],
)
@pytest.mark.parametrize("folder", [WEB, "/data/federation/lab"])
def test_a_members_bank_lies_below_it_or_on_the_net(bank: object, folder: str) -> None:
    for wrong in (
        entry(args={"bank": bank, "expedition": "cruise1"}),
        {"driver": "corebank_measurements", "args": {"bank": bank, "expedition": "cruise1"}},
        {"driver": "corebank_member", "args": {"path": bank}},
    ):
        found = read({"x": wrong}, folder)
        assert (list(found.entries), list(found.refused)) == ([], ["x"])
    if bank:
        with_bank = read({}, folder, metadata={"site": "lab", "bank": bank})
        assert (with_bank.bank, list(with_bank.refused)) == ("", ["(bank)"])


@pytest.mark.parametrize("folder", [WEB, "/data/federation/lab"])
def test_where_a_members_bank_may_lie(folder: str) -> None:
    for written, place in {
        "{{ CATALOG_DIR }}": folder,
        "{{CATALOG_DIR}}/": folder,
        "{{ CATALOG_DIR }}/a..b/c": f"{folder}/a..b/c",
        f"{folder}/inside": f"{folder}/inside",
        "s3://bucket/bank": "s3://bucket/bank",
        "http://elsewhere.example.org/bank": "http://elsewhere.example.org/bank",
    }.items():
        found = read({"x": entry(args={"bank": written, "expedition": "cruise1"})}, folder)
        assert found.refused == {}
        assert found.entries["x"]().bank == place


def test_a_file_that_the_reader_chose_may_name_other_places_of_the_same_disk(tmp_path: Path, small_bank: Path) -> None:
    """But not when somebody else's catalog names it in turn."""
    mine = {
        "metadata": {"version": 1},
        "sources": {"cruise1": entry(args={"bank": str(small_bank), "expedition": "cruise1"})},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mine))
    assert catalog.open_catalog(tmp_path / "mine.yaml")["cruise1"].to_dask().sizes["spectrum"] == 10
    assert list(MemberCatalog(str(tmp_path / "mine.yaml")).refused) == ["cruise1"]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (entry(args={"bank": WEB, "expedition": "c", "storage_options": {"key": "x"}}), "'storage_options'"),
        (entry(args={"bank": WEB, "expedition": 5}), "expedition = 5"),
        (entry(args={"bank": WEB}), "has no expedition"),
        (entry(parameters={"engine": {"default": "x"}}), "'engine'"),
        (entry(metadata={"site": "other"}), "names another site, 'other'"),
        (entry(metadata=["x"]), "no names with values"),
        (entry(metadata={"runs": "s1"}), "says of its runs"),
        (entry(metadata={"runs": {"s1": "many"}}), "says of its runs"),
        (entry(metadata={"cores": ["C1"]}), "says of its cores"),
        ({"driver": "corebank_member", "args": {"path": WEB, "timeout": 1e9}}, "timeout 1000000000.0"),
        ({"driver": "corebank_member", "args": {"path": WEB, "own": True}}, "'own'"),
    ],
)
def test_arguments_that_are_none_of_ours_are_refused_with_a_reason(wrong: dict[str, object], why: str) -> None:
    found = read({"x": wrong, "cruise1": entry()})
    assert list(found.entries) == ["cruise1"]
    assert why in found.refused["x"]


def test_a_name_that_would_move_the_cursor_is_no_name() -> None:
    found = read({"\x1b[2Jgone": entry(), "x" * 201: entry()})
    assert found.entries == {}
    assert all(name.isprintable() and len(name) <= 200 for name in found.refused)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "has no sources"),
        (b"<html><body>Please log in</body></html>", "has no sources"),
        (b"sources: [1]", "has no sources"),
        (b"metadata: x\nsources: {}", "metadata are no names"),
        (b"metadata: {site: [1]}\nsources: {}", "metadata are no names"),
        (b"\xff\xfe\x00", "no text in UTF-8"),
        (b"sources: {a: *b}", "anchor"),
    ],
)
def test_a_file_that_is_no_catalog_is_refused_as_a_whole(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "catalog.yaml").write_bytes(content)
    member = MemberCatalog(str(tmp_path / "catalog.yaml"), "lab")
    assert (list(member), member.member.state) == ([], "refused")
    assert found in member.problem
    with pytest.raises(EntryError, match="lab: refused"):
        member["cruise1"]


def test_a_catalog_of_a_hundred_megabytes_is_not_taken_in(tmp_path: Path) -> None:
    with (tmp_path / "catalog.yaml").open("wb") as file:
        file.truncate(100 * 2**20)
    member = MemberCatalog(str(tmp_path / "catalog.yaml"), "lab")
    assert list(member) == []
    assert f"has more than {fetching.MAX_BYTES:,} bytes" in member.problem


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("ftp://lab.example.org/catalog.yaml", "ftp:// is no place"),
        ("simplecache::https://lab.example.org/catalog.yaml", "is no place for a catalog"),
        ("https://me:secret@lab.example.org/catalog.yaml", "carries credentials"),
    ],
)
def test_an_address_that_no_catalog_may_have_is_not_asked(address: str, found: str) -> None:
    member = MemberCatalog(address, "lab")
    assert member.member.state == "refused"
    assert found in member.problem
    assert "secret" not in member.problem
