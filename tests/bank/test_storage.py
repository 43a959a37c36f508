"""Where a bank can lie: the same bank on a local path, on S3, in memory, and behind a web server to be read."""

from __future__ import annotations

import json
import os
import pickle
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fsspec.registry import _registry

from corebank import bank as banks
from corebank.bank import addresses, beside, repository
from corebank.contribution import Contribution
from corebank.errors import BankError, BankNotFoundError
from tests.bank import stores
from tests.bank.conftest import made
from tests.conftest import GRID
from tests.scanner import contents


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with stores.s3() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(store: str, monkeypatch: pytest.MonkeyPatch) -> str:
    stores.s3_environment(monkeypatch, store)
    return stores.new_bucket(store)


@pytest.fixture(params=["local", "s3", "memory"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place of each kind at which nothing is yet."""
    if request.param == "s3":
        return f"s3://{request.getfixturevalue('bucket')}/x-ray/bank"
    return str(tmp_path / "bank") if request.param == "local" else f"memory://{uuid.uuid4().hex}/bank"


@pytest.fixture(scope="module")
def cruise(tmp_path_factory: pytest.TempPathFactory) -> Contribution:
    return made(tmp_path_factory.mktemp("cruise") / "cruise1", sections=("S1",))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, cruise: Contribution) -> Path:
    """A folder that a web server shows, with a bank below it; only read it."""
    folder = tmp_path_factory.mktemp("www")
    bank = banks.create(folder / "x ray" / "my_bank", site="lab", grid=GRID)
    bank.add(cruise)
    bank.tag("2026.1")
    wide = tmp_path_factory.mktemp("wide") / "cruise2"
    bank.add(made(wide, name="cruise2", sections=("L",), count=600, channels=256, laboratory=None))
    return folder


def held(bank: banks.Bank, contribution: Contribution) -> bool:
    """True when a bank holds exactly the counts of a contribution's runs."""
    expedition = contribution.metadata.expedition.name
    return set(bank.runs(expedition)) == set(contribution.runs) and all(
        np.array_equal(bank.run(expedition, name, "counts")["counts"].values, run["counts"].values)
        for name, run in contribution.runs.items()
    )


def test_a_bank_comes_back_as_it_was_given_wherever_it_lies(address: str, cruise: Contribution) -> None:
    empty = banks.create(address, site="lab", grid=GRID)
    snapshot = banks.open_bank(address).add(cruise).snapshot
    banks.open_bank(address).tag("2026.1")
    again = banks.open_bank(address, at="2026.1")
    assert (again.snapshot, again.site, again.grid) == (snapshot, "lab", GRID)
    assert held(again, cruise)
    assert banks.open_bank(address, at=empty.snapshot).expeditions() == []
    assert [commit.snapshot for commit in again.log()] == [snapshot, empty.snapshot]
    told = repository.open_repository(address)
    assert "cruise1" in (told.read_text("catalog.yaml") or "")
    assert told.read_text("releases.json") == json.dumps({"2026.1": snapshot}, indent=1) + "\n"
    assert told.read_text("nothing.json") is None


def test_lazy_spectra_can_be_sent_to_another_process_from_s3_and_the_web(
    bucket: str, shown: Path, cruise: Contribution
) -> None:
    remote = banks.create(f"s3://{bucket}/bank", site="lab", grid=GRID)
    remote.add(cruise)
    with stores.web(shown) as server:
        for bank in (remote, banks.open_bank(f"{server}/x ray/my_bank", at="2026.1")):
            sent = pickle.loads(pickle.dumps(bank.run("cruise1", "s1", "counts")))
            assert np.array_equal(sent["counts"].values, cruise.runs["s1"]["counts"].values)


def test_no_bank_is_made_where_something_is(address: str, cruise: Contribution) -> None:
    banks.create(address, site="lab", grid=GRID).add(cruise)
    before = banks.open_bank(address).snapshot
    with pytest.raises(BankError, match="is there already"):
        banks.create(address, site="lab", grid=GRID)
    assert banks.open_bank(address).snapshot == before


@pytest.mark.parametrize("kind", ["s3", "memory"])
def test_no_bank_is_made_beside_a_file_of_somebody(kind: str, bucket: str) -> None:
    address = f"s3://{bucket}/data" if kind == "s3" else f"memory://{uuid.uuid4().hex}"
    beside.write_text(address, "thesis.txt", "years of work")
    with pytest.raises(BankError, match="is there already"):
        banks.create(address, site="lab")
    assert beside.names(address) == {"thesis.txt"}


@pytest.mark.parametrize("kind", ["s3", "memory"])
def test_a_bank_whose_making_was_cut_short_is_no_bank_and_can_be_made(kind: str, bucket: str) -> None:
    address = f"s3://{bucket}/bank" if kind == "s3" else f"memory://{uuid.uuid4().hex}"

    def killed(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repository.create(address, killed, "a new bank")
    with pytest.raises(BankNotFoundError, match="there is no bank"):
        banks.open_bank(address)
    assert banks.create(address, site="lab", grid=GRID).expeditions() == []


def test_where_no_bank_is_the_error_says_so(address: str) -> None:
    with pytest.raises(BankNotFoundError, match="there is no bank"):
        banks.open_bank(address)
    banks.create(address, site="lab", grid=GRID)
    with pytest.raises(BankNotFoundError, match="no snapshot, release or branch 'v1'"):
        banks.open_bank(address, at="v1")


def test_a_release_is_never_moved_and_its_name_is_one_word(address: str, cruise: Contribution) -> None:
    bank = banks.create(address, site="lab", grid=GRID)
    bank.tag("v1")
    bank.add(cruise)
    for taken, said in (("v1", "there is, or was, a release"), ("main", "is a branch"), ("a/b", "cannot name")):
        with pytest.raises(BankError, match=said):
            bank.tag(taken)
    assert banks.open_bank(address, at="v1").expeditions() == []


# Behind a web server.


def test_a_bank_behind_a_web_server_reads_as_it_does_where_it_lies(shown: Path, cruise: Contribution) -> None:
    local = banks.open_bank(shown / "x ray" / "my_bank")
    with stores.web(shown) as server:
        bank = banks.open_bank(f"{server}/x ray/my_bank/")
        assert (bank.snapshot, bank.expeditions()) == (local.snapshot, ["cruise1", "cruise2"])
        assert [(one.snapshot, one.message) for one in bank.log()] == [(o.snapshot, o.message) for o in local.log()]
        assert bank.releases() == local.releases() != {}
        assert bank.spectra("cruise1").load().identical(local.spectra("cruise1").load().assign_attrs(bank=bank.address))
        assert bank.measurements("cruise1").equals(local.measurements("cruise1"))
        assert held(banks.open_bank(f"{server}/x ray/my_bank", at="2026.1"), cruise)
        assert banks.open_bank(f"{server}/x ray/my_bank", at="2026.1").expeditions() == ["cruise1"]
        with pytest.raises(BankNotFoundError, match=r"'2026\.2'\. Known are main, 2026\.1"):
            banks.open_bank(f"{server}/x ray/my_bank", at="2026.2")


def test_of_a_bank_behind_a_web_server_only_what_is_needed_is_fetched(shown: Path) -> None:
    asked: list[tuple[str, str | None]] = []
    with stores.web(shown, asked) as server:
        counts = banks.open_bank(f"{server}/x ray/my_bank").run("cruise2", "l", "counts")["counts"]
        opening = len(asked)
        counts[300:310].load()  # ten neighbours within the second chunk of the shard
    read = [(path, part) for path, part in asked[opening:] if "/chunks/" in path]
    shard = next(
        file
        for file in (shown / "x ray/my_bank/repository/chunks").iterdir()
        if file.name in {p[-20:] for p, _ in read}
    )
    fetched = sum(1 + int(last) - int(first) for first, last in (str(p)[6:].split("-") for _, p in read))
    assert len({path for path, _ in read}) == 1
    assert 0 < fetched < shard.stat().st_size / 2  # its index and one of three chunks, not the 600 spectra
    assert opening < 30


def test_a_bank_behind_a_web_server_cannot_be_written(shown: Path, cruise: Contribution) -> None:
    before = contents(shown)
    with stores.web(shown) as server:
        bank = banks.open_bank(f"{server}/x ray/my_bank")
        for write in (lambda: bank.add(cruise), lambda: bank.tag("v9")):
            with pytest.raises(BankError, match="behind a web server can only be read"):
                write()
        with pytest.raises(BankError, match="cannot be made behind a web server"):
            banks.create(f"{server}/new", site="lab")
    assert contents(shown) == before


def test_a_web_server_without_range_requests_is_recognised_and_named(shown: Path) -> None:
    with stores.web(shown, ranges=False) as server, pytest.raises(BankError, match="does not support Range") as refused:
        banks.open_bank(f"{server}/x ray/my_bank")
    assert "http.server" in str(refused.value)
    assert f"{server}/x%20ray/my_bank" in str(refused.value)


def test_a_web_server_with_no_bank_there_is_told_from_one_that_is_away(shown: Path) -> None:
    with stores.web(shown) as server, pytest.raises(BankNotFoundError, match="there is no bank"):
        banks.open_bank(f"{server}/x ray")
    with pytest.raises(OSError, match="cannot be reached") as away:
        banks.open_bank(f"{server}/x ray/my_bank")
    assert not isinstance(away.value, BankNotFoundError)


# Who may: the environment says it, and nothing that is written.


def test_credentials_stand_in_no_file_and_in_no_dataset(store: str, bucket: str, cruise: Contribution) -> None:
    bank = banks.create(f"s3://{bucket}/bank", site="lab", grid=GRID)
    bank.add(cruise)
    bank.tag("v1")
    spectra = bank.spectra("cruise1")
    sent = pickle.dumps(spectra)  # to a worker on the same cluster, whose own environment says who it is
    written = [*stores.objects(store, bucket).values(), sent, str(spectra.attrs).encode(), bank.catalog_text().encode()]
    assert len(written) > 10
    assert [text for text in written if stores.SECRET.encode() in text or stores.KEY.encode() in text] == []


@pytest.mark.parametrize(
    "address", ["s3://key:secret@bucket/bank", "https://me:word@lab.org/bank", "https://lab.org/b?sig=1"]
)
def test_an_address_with_a_secret_in_it_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(BankError, match="carries a password or a query") as refused:
        banks.open_bank(address)
    assert not any(word in str(refused.value) for word in ("secret", "word@", "sig=1"))


@pytest.mark.parametrize("address", ["gopher://lab.org/bank", "s3://bucket", "s3:///bank", "memory://"])
def test_an_address_that_no_bank_can_have_is_refused(address: str) -> None:
    with pytest.raises(BankError, match=r"no place"):
        banks.open_bank(address)


def test_with_nobody_named_by_the_environment_requests_are_anonymous(
    store: str, bucket: str, cruise: Contribution, monkeypatch: pytest.MonkeyPatch
) -> None:
    banks.create(f"s3://{bucket}/bank", site="lab", grid=GRID).add(cruise)
    assert not addresses.S3.from_environment().anonymous
    for name in [name for name in os.environ if name.startswith("AWS_") and name != "AWS_ENDPOINT_URL"]:
        monkeypatch.delenv(name)
    assert addresses.S3.from_environment() == addresses.S3(os.environ["AWS_ENDPOINT_URL"], "us-east-1", True)
    with pytest.raises(BankError, match="this account may not do that there"):
        banks.open_bank(f"s3://{bucket}/bank")
    for key in stores.objects(store, bucket):
        stores.client(store).put_object_acl(Bucket=bucket, Key=key, ACL="public-read")
    stores.client(store).put_bucket_acl(Bucket=bucket, ACL="public-read")
    assert held(banks.open_bank(f"s3://{bucket}/bank"), cruise)


def test_without_s3fs_the_error_says_what_to_install(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(_registry, "s3", raising=False)
    beside._s3_files.cache_clear()
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(BankError, match=r'pip install "corebank\[s3\]"'):
        banks.create(f"s3://{bucket}/bank", site="lab")
