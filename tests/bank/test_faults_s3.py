"""What can go wrong with a bank on S3: each fault is told as a sentence, and the bank stands at its last commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import numpy as np
import pytest

from corebank import bank as banks
from corebank.bank import faults
from corebank.contribution import Contribution
from corebank.errors import BankError, BankNotFoundError
from tests.bank import stores
from tests.bank.standing import stands, two_cruises, whole
from tests.conftest import GRID


@pytest.fixture(scope="module")
def cruises(tmp_path_factory: pytest.TempPathFactory) -> tuple[Contribution, Contribution]:
    return two_cruises(tmp_path_factory.mktemp("cruises"))


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with stores.s3() as endpoint:
        yield endpoint


@pytest.fixture
def disturber(store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[stores.Disturber]:
    """An S3 store that refuses what ``answer`` says, once that is set; the environment names it."""
    between = stores.Disturber(urlsplit(store).netloc)
    with between.standing() as endpoint:
        stores.s3_environment(monkeypatch, endpoint)
        yield between


def after(count: int, status: int, code: str) -> Callable[[str, str, int], tuple[int, str] | None]:
    """Refuse every request after so many."""
    return lambda method, path, before: (status, code) if before >= count else None


def test_a_store_that_breaks_off_at_any_request_leaves_the_last_commit(
    store: str, disturber: stores.Disturber, cruises: tuple[Contribution, Contribution]
) -> None:
    address = f"s3://{stores.new_bucket(store)}/bank"
    bank = banks.create(address, site="lab", grid=GRID)
    before = bank.add(cruises[0]).snapshot
    told: list[str] = []
    for served in range(1, 400, 9):
        disturber.asked.clear()
        disturber.answer = after(served, 403, "AccessDenied")
        try:
            bank.add(cruises[1])
        except faults.StorageError as error:
            told.append(str(error))
        disturber.answer = lambda *_: None
        bank = stands(address, before, cruises)
        if bank.snapshot != before:
            break
    assert len(told) >= 5
    assert all(said.startswith(f"{address}: this account may not do that there") for said in told)
    assert bank.add(cruises[1]).nothing_new
    assert len(bank.log()) == 3


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (500, "InternalError", "the store answers with errors of its own"),
        (403, "RequestTimeTooSkewed", "the clock of this machine disagrees"),
        (400, "ExpiredToken", "does not accept the credentials"),
    ],
)
def test_a_store_that_fails_while_it_is_written_is_told_and_can_be_written_again(
    status: int,
    code: str,
    said: str,
    store: str,
    disturber: stores.Disturber,
    cruises: tuple[Contribution, Contribution],
) -> None:
    address = f"s3://{stores.new_bucket(store)}/bank"
    bank = banks.create(address, site="lab", grid=GRID)
    before = bank.add(cruises[0]).snapshot
    failing: list[str] = []

    def from_the_commit_on(method: str, path: str, _: int) -> tuple[int, str] | None:
        if failing or (method == "PUT" and "/transactions/" in path):
            failing.append(path)
            return status, code
        return None

    disturber.answer = from_the_commit_on
    with pytest.raises(faults.StorageError, match=said):
        bank.add(cruises[1])
    disturber.answer = lambda *_: None
    assert stands(address, before, cruises).snapshot == before
    bank.add(cruises[1])
    assert stands(address, "", cruises).expeditions() == ["cruise1", "cruise2"]


def test_a_store_that_is_busy_for_a_moment_is_asked_again(
    store: str, disturber: stores.Disturber, cruises: tuple[Contribution, Contribution]
) -> None:
    bank = banks.create(f"s3://{stores.new_bucket(store)}/bank", site="lab", grid=GRID)
    refused: set[str] = set()

    def busy_once(method: str, path: str, _: int) -> tuple[int, str] | None:
        if "/manifests/" not in path or refused:
            return None
        refused.add(path)
        return 503, "SlowDown"

    disturber.answer = busy_once
    bank.add(cruises[0])
    assert refused
    assert whole(banks.open_bank(bank.address), cruises[0])


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "AccessDenied", "this account may not do that there"),
        (403, "InvalidAccessKeyId", "does not accept the credentials"),
        (403, "SignatureDoesNotMatch", "does not accept the credentials"),
        (403, "RequestTimeTooSkewed", "the clock of this machine disagrees"),
        (404, "NoSuchBucket", "there is no such bucket"),
        (400, "AuthorizationHeaderMalformed", "lies in another region"),
    ],
)
def test_a_store_that_refuses_is_told_from_a_bank_that_is_not_there(
    status: int, code: str, said: str, disturber: stores.Disturber
) -> None:
    disturber.answer = after(0, status, code)
    for ask in (banks.open_bank, lambda address: banks.create(address, site="lab")):
        with pytest.raises(faults.StorageError, match=said) as refused:
            ask("s3://lab/bank")
        assert "s3://lab/bank" in str(refused.value)
        assert not isinstance(refused.value, BankNotFoundError)


def test_a_store_that_is_away_is_told_from_a_bank_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    stores.s3_environment(monkeypatch, "http://127.0.0.1:9")  # the port for what is thrown away: nobody listens
    for ask in (banks.open_bank, lambda address: banks.create(address, site="lab")):
        with pytest.raises(faults.StorageError, match="cannot be reached"):
            ask("s3://lab/bank")


def test_an_array_whose_store_fails_later_says_so_when_it_is_read(
    store: str, disturber: stores.Disturber, cruises: tuple[Contribution, Contribution]
) -> None:
    bank = banks.create(f"s3://{stores.new_bucket(store)}/bank", site="lab", grid=GRID)
    bank.add(cruises[1])
    counts = banks.open_bank(bank.address).run("cruise2", "s1", "counts")["counts"]
    disturber.answer = after(0, 403, "AccessDenied")
    with pytest.raises(BankError, match="this account may not do that there"):
        counts.load()
    disturber.answer = lambda *_: None
    assert np.array_equal(counts.values, cruises[1].runs["s1"]["counts"].values)


def test_a_store_that_fails_once_without_a_reason_is_told_as_that(
    store: str, disturber: stores.Disturber, cruises: tuple[Contribution, Contribution]
) -> None:
    address = f"s3://{stores.new_bucket(store)}/bank"
    before = banks.create(address, site="lab", grid=GRID).add(cruises[0]).snapshot
    disturber.answer = lambda method, path, _: (403, "Odd") if method == "PUT" and "/transactions/" in path else None
    with pytest.raises(faults.UnexplainedError, match="refused, and gave no reason"):
        banks.open_bank(address).add(cruises[1])
    assert stands(address, before, cruises).snapshot == before
