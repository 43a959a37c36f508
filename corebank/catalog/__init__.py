"""Intake entries of banks, catalogs of catalogs, and selections over all of them. The only importer of intake.

``intake.open_catalog("catalog/federation.yaml")`` lists the sites; ``cat["site"]["expedition"].to_dask()`` opens an
expedition lazily on the common energy grid; ``cat["site"]["expedition-measurements"].read()`` is its table of
laboratory values. `select` and `measurements` read over every member at once.
"""

from __future__ import annotations

from corebank.catalog.drivers import MeasurementsSource, SpectraSource
from corebank.catalog.federation import write_federation
from corebank.catalog.indexing import Index, index
from corebank.catalog.members import Member, MemberCatalog
from corebank.catalog.opening import AwayWarning, members, open_catalog, sources
from corebank.catalog.searching import Hits, search
from corebank.catalog.selection import measurements, select
from corebank.catalog.similar import nearest

__all__ = [
    "AwayWarning",
    "Hits",
    "Index",
    "MeasurementsSource",
    "Member",
    "MemberCatalog",
    "SpectraSource",
    "index",
    "measurements",
    "members",
    "nearest",
    "open_catalog",
    "search",
    "select",
    "sources",
    "write_federation",
]
