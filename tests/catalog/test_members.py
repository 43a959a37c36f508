"""Members of a federation: fetched when they are looked into, and none that is away breaks the others."""

from __future__ import annotations

import hashlib
import json
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import intake
import numpy as np
import pytest

from corebank import catalog
from corebank.bank import listing
from corebank.catalog import remembering
from corebank.catalog.members import Member, MemberCatalog
from corebank.errors import CatalogError, EntryError, OfflineError
from tests.bank.stores import client, new_bucket, s3, s3_environment, serving, web
from tests.catalog.conftest import catalog_text, write_member


@contextmanager
def answering(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[tuple[str, list[str]]]:
    """A web server that does what `answer` does, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            asked.append(self.path)
            answer(self)

    with serving(Handler) as address:
        yield address, asked


def send(handler: BaseHTTPRequestHandler, text: str, **headers: str) -> None:
    content = text.encode()
    handler.send_response(200)
    for name, value in {"Content-Length": str(len(content)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def write_federation(path: Path, **members: str) -> Path:
    """A federation of addresses, as `corebank catalog join` writes it."""
    lines = [
        f"  {site}:\n    driver: corebank_member\n    args: {{path: '{at}', site: {site}}}"
        for site, at in members.items()
    ]
    path.write_text("\n".join(["metadata: {version: 1}", "sources:", *lines]) + "\n", encoding="utf-8")
    return path


def test_nothing_is_fetched_before_it_is_looked_into(tmp_path: Path) -> None:
    with answering(lambda handler: send(handler, catalog_text("north", "cruise1"))) as (address, asked):
        federation = write_federation(
            tmp_path / "f.yaml", north=f"{address}/catalog.yaml", south=f"{address}/south.yaml"
        )
        cat = intake.open_catalog(str(federation))
        assert (list(cat), asked) == (["north", "south"], [])
        assert (repr(cat["north"]), asked) == ("<corebank member north>", [])
        assert list(cat["north"]) == ["cruise1", "cruise1-measurements"]
        assert (cat.north["cruise1"].metadata["title"], cat["north.cruise1"].expedition) == (
            "Cruise cruise1",
            "cruise1",
        )
        assert asked == ["/catalog.yaml"], "once, however often it is looked into"
        assert repr(cat["north"]) == "<corebank member north: 2 entries>"


def test_a_member_behind_a_web_server_is_read_like_one_on_the_disk(small_bank: Path, tmp_path: Path) -> None:
    with web(small_bank.parent) as address:
        federation = write_federation(tmp_path / "f.yaml", lab=f"{address}/bank/catalog.yaml")
        source = intake.open_catalog(str(federation))["lab"]["cruise1"]
        assert source.bank == f"{address}/bank"
        lazy, here = source.to_dask(), catalog.select(small_bank / "catalog.yaml")
        np.testing.assert_array_equal(lazy["intensity"].values, here["intensity"].values)
        assert (
            len(
                intake.open_catalog(f"{address}/bank/catalog.yaml", driver="corebank_member")[
                    "cruise1-measurements"
                ].read()
            )
            == 3
        )
        assert list(catalog.open_catalog(f"{address}/bank/catalog.yaml")) == ["cruise1", "cruise1-measurements"]


def test_a_member_on_s3_is_fetched_with_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    with s3() as endpoint:
        s3_environment(monkeypatch, endpoint)
        bucket = new_bucket(endpoint)
        client(endpoint).put_object(
            Bucket=bucket, Key="bank/catalog.yaml", Body=catalog_text("lab", "cruise1").encode()
        )
        member = MemberCatalog(f"s3://{bucket}/bank/catalog.yaml", "lab")
        assert list(member) == ["cruise1", "cruise1-measurements"]
        assert member["cruise1"].bank == f"s3://{bucket}/bank"
        gone = MemberCatalog(f"s3://{bucket}/gone/catalog.yaml", "lab")
        assert (list(gone), gone.member.state) == ([], "offline")


def test_a_member_that_is_away_is_listed_as_offline_since_when_and_comes_back(tmp_path: Path) -> None:
    north, south = write_member(tmp_path, "north"), write_member(tmp_path, "south")
    catalog.write_federation(tmp_path / "federation.yaml", {"north": north, "south": south})
    kept = south.read_bytes()
    south.unlink()
    before = datetime.now(UTC) - timedelta(seconds=1)
    cat = intake.open_catalog(str(tmp_path / "federation.yaml"))
    assert list(cat) == ["north", "south"]
    assert (list(cat["south"]), list(cat["north"])) == ([], ["cruise1", "cruise1-measurements"])
    since = cat["south"].offline
    assert before <= datetime.fromisoformat(since) <= datetime.now(UTC)
    assert cat["south"].problem == f"offline since {since}: cannot be read (there is no such file)"
    with pytest.raises(OfflineError, match=r"south: offline since .*there is no such file\)\. Try again later"):
        cat["south"]["cruise1"]
    with pytest.raises(AttributeError, match="south: offline since"):
        _ = cat.south.cruise1
    assert set(cat.walk()) == {"north", "north.cruise1", "north.cruise1-measurements", "south"}
    assert list(cat.search("laboratory")) == ["north.cruise1-measurements"]
    assert repr(cat["south"]).startswith("<corebank member south: offline since ")
    south.write_bytes(kept)
    cat["south"].force_reload()
    assert (cat["south"].offline, list(cat["south"])) == ("", ["cruise1", "cruise1-measurements"])
    assert [one.state for one in catalog.members(tmp_path / "federation.yaml")] == ["ok", "ok"]


def test_since_when_a_member_is_away_is_remembered_from_one_session_to_the_next(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    up = True
    with answering(lambda one: send(one, catalog_text("lab", "c")) if up else one.send_error(503)) as (address, _):
        first = MemberCatalog(f"{address}/catalog.yaml").member
        assert (first.state, first.since) == ("ok", "")
        assert remembering.recall(first.url).entries == ("c", "c-measurements")
        up = False
        (record,) = cache.rglob("*.json")
        away = MemberCatalog(f"{address}/catalog.yaml").member
        assert (away.state, away.answered) == ("offline", first.answered)
        assert away.problem == (
            f"offline since {away.since}: cannot be read (the server says 503 Service Unavailable); "
            f"it last answered at {first.answered}"
        )
        said = json.loads(record.read_text())
        record.write_text(json.dumps({**said, "offline": "2020-01-01T00:00:00+00:00"}))
        assert MemberCatalog(f"{address}/catalog.yaml").offline == "2020-01-01T00:00:00+00:00"
        record.write_text("{ half a reco")
        assert MemberCatalog(f"{address}/catalog.yaml").offline > "2020-01-02"
        monkeypatch.setenv("COREBANK_CACHE", "/proc/nobody/can/write/here")
        assert MemberCatalog(f"{address}/catalog.yaml").member.state == "offline"


def test_a_member_on_the_disk_is_remembered_only_while_it_is_away(tmp_path: Path, cache: Path) -> None:
    path = write_member(tmp_path, "lab")
    assert MemberCatalog(str(path)).member.state == "ok"
    assert list(cache.rglob("*.json")) == []
    path.rename(tmp_path / "elsewhere")
    assert MemberCatalog(str(path)).offline
    assert len(list(cache.rglob("*.json"))) == 1
    (tmp_path / "elsewhere").rename(path)
    assert not MemberCatalog(str(path)).offline
    assert list(cache.rglob("*.json")) == []


def hang(handler: BaseHTTPRequestHandler) -> None:
    """Take the call and say nothing until the caller hangs up."""
    handler.connection.settimeout(20)
    handler.rfile.read(1)


def trickle(handler: BaseHTTPRequestHandler) -> None:
    """Send a byte now and then, each soon enough for a time-out between two bytes."""
    handler.send_response(200)
    handler.end_headers()
    pause = threading.Event()
    for _ in range(400):
        handler.wfile.write(b"#")
        pause.wait(0.05)


@pytest.mark.parametrize("answer", [hang, trickle])
def test_a_server_that_hangs_is_not_waited_for(
    answer: Callable[[BaseHTTPRequestHandler], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def until_they_hang_up(handler: BaseHTTPRequestHandler) -> None:
        try:
            answer(handler)
        except OSError:
            handler.close_connection = True

    monkeypatch.setenv("COREBANK_TIMEOUT", "0.3")
    with answering(until_they_hang_up) as (address, asked):
        for member in (MemberCatalog(f"{address}/a"), MemberCatalog(f"{address}/b", timeout=0.2)):
            assert list(member) == []
            assert f"did not answer within {member.timeout or 0.3:g} s" in member.problem
        assert asked == ["/a", "/b"], "each was asked once"


def test_an_unreadable_time_out_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for wrong in ("soon", "0", "-1", "nan"):
        monkeypatch.setenv("COREBANK_TIMEOUT", wrong)
        with pytest.raises(CatalogError, match=rf"COREBANK_TIMEOUT: is '{wrong}'\. Give it in seconds"):
            list(MemberCatalog(str(write_member(tmp_path, "lab"))))


@pytest.mark.parametrize("how", ["walk", "members", "sources"])
def test_all_members_are_asked_at_once(tmp_path: Path, how: str) -> None:
    """None is answered before all of them were asked; one after the other, each would run out of time."""
    sites = [f"site-{number}" for number in range(8)]
    meet = threading.Barrier(len(sites))

    def when_all_are_here(handler: BaseHTTPRequestHandler) -> None:
        meet.wait(timeout=20)
        send(handler, catalog_text(handler.path.strip("/").partition(".")[0], "cruise1"))

    with answering(when_all_are_here) as (address, asked):
        federation = write_federation(tmp_path / "f.yaml", **{site: f"{address}/{site}.yaml" for site in sites})
        if how == "walk":
            cat = intake.open_catalog(str(federation))
            assert sum(name.endswith(".cruise1") for name in cat.walk()) == 8
        elif how == "members":
            assert [(one.site, one.state) for one in catalog.members(federation)] == [(site, "ok") for site in sites]
        else:
            assert [site for site, _, _ in catalog.sources(federation, [])] == sites
        assert len(asked) == 8


def test_who_did_not_answer_is_told(tmp_path: Path) -> None:
    north, south = write_member(tmp_path, "north"), write_member(tmp_path, "south")
    catalog.write_federation(tmp_path / "federation.yaml", {"north": north, "south": south})
    (tmp_path / "bad").mkdir()
    south.unlink()
    away: list[Member] = []
    assert [site for site, _, _ in catalog.sources(tmp_path / "federation.yaml", away)] == ["north"]
    assert [(one.site, one.state) for one in away] == [("south", "offline")]
    with pytest.warns(catalog.AwayWarning, match=r"federation\.yaml could not be read in full: south: offline since"):
        list(catalog.sources(tmp_path / "federation.yaml"))


def test_a_changed_catalog_is_told_of_with_both_hashes_and_read(tmp_path: Path) -> None:
    path = write_member(tmp_path, "lab")
    joined = hashlib.sha256(path.read_bytes()).hexdigest()
    catalog.write_federation(tmp_path / "federation.yaml", {"lab": path})
    (member,) = catalog.members(tmp_path / "federation.yaml")
    assert (member.state, member.sha256, member.found, member.problem) == ("ok", joined, joined, "")
    assert (member.steward, member.licence, member.entries) == ("Steward of lab", "CC-BY-4.0", 2)
    write_member(tmp_path, "lab", "cruise1", "cruise2")
    (member,) = catalog.members(tmp_path / "federation.yaml")
    now = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (member.state, member.sha256, member.found, member.entries) == ("changed", joined, now, 4)
    assert member.problem == f"its catalog changed: sha256 {joined[:12]} joined, {now[:12]} is there"
    write_member(tmp_path, "lab", licence="CC-BY-NC-4.0")
    (member,) = catalog.members(tmp_path / "federation.yaml")
    assert member.problem.endswith("; it joined under CC-BY-4.0, and some of it is now under CC-BY-NC-4.0")
    assert list(catalog.open_catalog(tmp_path / "federation.yaml")["lab"]) == ["cruise1", "cruise1-measurements"]


def test_a_catalog_that_names_another_site_is_not_passed_off_as_this_one(tmp_path: Path) -> None:
    member = MemberCatalog(str(write_member(tmp_path, "north")), "south")
    assert (list(member), member.member.state) == ([], "refused")
    assert "is the catalog of another site, 'north'" in member.problem


def test_what_an_entry_does_not_take_raises_before_anything_is_read(tmp_path: Path) -> None:
    entry = MemberCatalog(str(write_member(tmp_path, "lab")), "lab")["cruise1"]
    assert (entry(run="s1", level="counts").run, entry(at="release-1").at) == ("s1", "release-1")
    for wrong, found in (
        ({"run": "s9"}, "there is no run 's9'. Its runs are s1"),
        ({"level": "raw"}, "level is 'raw'. Ask for intensity or counts"),
        ({"runn": "s1"}, "takes no runn. It takes run, level, at"),
        ({"bank": "/etc"}, "takes no bank"),
        ({"at": 5}, "at is 5. Give a name"),
    ):
        with pytest.raises(EntryError) as refused:
            entry(**wrong)
        assert found in str(refused.value)
        assert isinstance(refused.value, ValueError)
    assert entry(run="s9", at="release-1").run == "s9", "an older snapshot may have had it; the bank will say"


def test_members_and_their_sources_travel_to_a_worker(tmp_path: Path) -> None:
    member = MemberCatalog(str(write_member(tmp_path, "lab")), "lab")
    assert list(member)
    assert list(pickle.loads(pickle.dumps(member))) == list(member)
    assert pickle.loads(pickle.dumps(member["cruise1"])).bank == member["cruise1"].bank


def test_federations_nest_and_one_that_lists_itself_ends(tmp_path: Path) -> None:
    write_member(tmp_path, "lab")
    write_federation(
        tmp_path / "inner.yaml", lab="{{ CATALOG_DIR }}/lab/catalog.yaml", outer="{{ CATALOG_DIR }}/outer.yaml"
    )
    outer = write_federation(tmp_path / "outer.yaml", inner="{{ CATALOG_DIR }}/inner.yaml")
    away: list[Member] = []
    assert [site for site, _, _ in catalog.sources(outer, away)] == ["lab"]
    assert [(one.site, one.problem) for one in away] == [
        ("outer", "refused: federations are nested in each other, or too deep")
    ]
    assert [(one.site, one.state) for one in catalog.members(outer)] == [("lab", "ok"), ("outer", "refused")]
    assert intake.open_catalog(str(outer))["inner"]["lab"]["cruise1"].expedition == "cruise1"


def test_a_federation_of_the_older_kind_still_opens_and_is_as_safe(tmp_path: Path) -> None:
    write_member(tmp_path, "lab")
    old = tmp_path / "federation.yaml"
    old.write_text(
        "sources:\n  lab:\n    driver: yaml_file_cat\n    args: {path: '{{ CATALOG_DIR }}/lab/catalog.yaml'}\n"
    )
    assert isinstance(catalog.open_catalog(old)["lab"], MemberCatalog)
    for opened in (old, intake.open_catalog(str(old))):
        assert [(site, name) for site, name, _ in catalog.sources(opened)] == [("lab", "cruise1")]
        assert [(one.site, one.state) for one in catalog.members(opened)] == [("lab", "ok")]
    (tmp_path / "lab" / "catalog.yaml").unlink()
    for opened in (old, intake.open_catalog(str(old))):
        assert [one.state for one in catalog.members(opened)] == ["offline"]


def test_the_bank_that_a_catalog_names_is_found_from_where_the_catalog_lies(small_bank: Path) -> None:
    assert listing.HERE in (small_bank / "catalog.yaml").read_text()
    (member,) = catalog.members(small_bank / "catalog.yaml")
    assert (member.site, member.bank, member.url) == ("lab", str(small_bank), str(small_bank / "catalog.yaml"))
    (member,) = catalog.members(intake.open_catalog(str(small_bank / "catalog.yaml")))
    assert (member.site, member.bank) == ("lab", str(small_bank))
