"""The benchmarks of bank and federation, run small: they work, and what they count does not grow with the bank."""

from __future__ import annotations

from tests.bench import bank, federation


def test_an_addition_writes_as_many_objects_into_a_bank_that_holds_more() -> None:
    """And as many bytes, but for the snapshot, which lists every group and array of the bank."""
    cost = bank.adding((0, 4), 1)
    assert cost[0].objects == cost[4].objects
    assert set(cost[0].objects) == {"chunks", "manifests", "snapshots", "transactions"}
    assert cost[0].objects["snapshots"] == cost[0].objects["transactions"] == 1
    for kind in ("chunks", "manifests", "transactions"):
        assert abs(cost[4].sizes[kind] - cost[0].sizes[kind]) < 0.02 * cost[0].sizes[kind], kind
    assert cost[4].sizes["snapshots"] > cost[0].sizes["snapshots"]


def test_reading_is_timed_beside_plain_zarr_that_holds_the_same() -> None:
    took = bank.reading(300, 1)
    assert all(value > 0 for value in took.values())
    assert {way for way in took if way.startswith("read counts")} == {
        f"read counts: {way}" for way in ("bank", "plain Zarr", "plain Zarr by dask", "plain Zarr, no checksums")
    }


def test_a_federation_is_opened_in_every_way_that_is_timed() -> None:
    told = federation.main({"small": (3, 2)}, 1)["small"]
    assert len(told) == 6
    assert all(one["best_ms"] <= one["median_ms"] for one in told.values())
