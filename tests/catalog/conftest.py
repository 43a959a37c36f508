"""What the catalog's tests share: a cache of their own, and members that are files of words only."""

from __future__ import annotations

from pathlib import Path

import pytest

from corebank.bank import listing


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is written into the user's own cache, and no test sees another's."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("COREBANK_CACHE", str(folder))
    return folder


def catalog_text(site: str, *expeditions: str, licence: str = "CC-BY-4.0") -> str:
    """The catalog of a bank that nobody made: what can be listed without reading a spectrum."""
    about = {"licence": licence, "steward": f"Steward of {site}", "runs": {"s1": 5}, "measurements": 3}
    return listing.text(site, {name: {"title": f"Cruise {name}", **about} for name in expeditions})


def write_member(folder: Path, site: str, *expeditions: str, licence: str = "CC-BY-4.0") -> Path:
    """Such a catalog as a file, ``<folder>/<site>/catalog.yaml``."""
    path = folder / site / listing.FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(catalog_text(site, *(expeditions or ("cruise1",)), licence=licence), encoding="utf-8")
    return path
