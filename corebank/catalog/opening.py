"""Open a catalog, and walk through everything below it however deep its catalogs are nested."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from corebank.catalog.drivers import Catalog, DataSource, SpectraSource
from corebank.catalog.fetching import folder_of, scheme
from corebank.catalog.members import Member, MemberCatalog, OwnCatalog, together
from corebank.errors import CatalogError

DEPTH = 4
"""How many catalogs deep a federation of federations may be; a member may list whom it likes, itself included."""


class AwayWarning(UserWarning):
    """Members of a federation could not be read, or not in full, and who asked took no list of them."""


def open_catalog(catalog: str | Path | Catalog) -> Catalog:
    """Open a catalog by path or address, or return an opened one.

    Unlike `intake.open_catalog`, which imports and calls what a file names, this opens corebank's own entries only,
    and is as safe on an address that somebody sent. Raises `CatalogError` when it is not there or not readable.
    """
    if isinstance(catalog, Catalog):
        return catalog
    where = str(catalog)
    if not scheme(where) and not Path(where).is_file():
        raise CatalogError(
            catalog, "there is no such catalog file", "Give the path of a federation.yaml or of a bank's catalog.yaml"
        )
    opened = OwnCatalog(where if scheme(where) else str(Path(where).absolute()))
    list(opened)
    if opened.offline:
        raise CatalogError(catalog, opened.problem, "Check its address, or try again later")
    if opened._refusal:
        raise CatalogError(
            catalog, f"cannot be read as an Intake catalog ({opened._refusal})", "Write it again with corebank"
        )
    return opened


def members(catalog: str | Path | Catalog) -> list[Member]:
    """How every member of a federation stands, those of nested federations included; asked all at once.

    Of a single bank's catalog, how that bank stands. Raises `CatalogError` when `catalog` itself cannot be read.
    """
    away: list[Member] = []
    here = [_stands(one) for one in catalogs(open_catalog(catalog), away)]
    return sorted([*here, *(one for one in away if one not in here)], key=lambda member: member.site)


def sources(
    catalog: str | Path | Catalog, away: list[Member] | None = None
) -> Iterator[tuple[str, str, SpectraSource]]:
    """Every spectra entry below a catalog as (site, expedition, source), however deep its catalogs are nested.

    Members that did not answer, or are refused in whole or part, are appended to `away`; `AwayWarning` names them where
    no list is given.
    """
    for source in leaves(open_catalog(catalog), away):
        if isinstance(source, SpectraSource):
            yield str(source.metadata.get("site", "")), source.expedition, source


def leaves(catalog: Catalog, away: list[Member] | None = None) -> Iterator[DataSource]:
    """Every entry below a catalog that is none itself; `away` as in `sources`."""
    missing: list[Member] = []
    for one in catalogs(catalog, missing):
        for name in list(one):
            if not isinstance(entry := one[name], Catalog):
                yield entry
    if away is not None:
        away += missing
    elif missing:
        said = "; ".join(f"{member.site}: {member.problem}" for member in missing)
        warnings.warn(f"{named(catalog)} could not be read in full: {said}", AwayWarning, stacklevel=3)


def catalogs(catalog: Catalog, away: list[Member], above: tuple[str, ...] = ()) -> Iterator[Catalog]:
    """`catalog` and every one below it that holds entries which are no catalogs; what cannot be read goes to `away`.

    The members of one federation are asked all at once.
    """
    if isinstance(catalog, MemberCatalog):
        member = catalog.member
        if member.state in ("offline", "refused"):
            away.append(member)
        if member.state == "offline":
            return
    inside: list[Catalog] = []
    holds, unread = False, False
    for name in list(catalog):
        try:
            entry = catalog[name]
        except Exception as error:  # an entry of another kind than ours, in a file that Intake itself reads
            away.append(_unread(name, named(catalog), f"cannot be opened ({error})"))
            unread = True
            continue
        if isinstance(entry, Catalog):
            inside.append(entry)
        else:
            holds = True
    if holds or not (inside or unread):
        yield catalog
    together(inside)
    for one in inside:
        where = named(one)
        if where in above or len(above) >= DEPTH:
            away.append(_unread(str(one.name), where, "refused: federations are nested in each other, or too deep"))
            continue
        try:
            list(one)
        except Exception as error:  # a member that Intake reads raises whatever its file system did
            away.append(_unread(str(one.name), where, f"cannot be opened ({error})"))
            continue
        yield from catalogs(one, away, (*above, named(catalog)))


def named(catalog: str | Path | Catalog) -> str:
    """What to call a catalog in an error: its address."""
    return str(getattr(catalog, "path", None) or catalog)


def _stands(catalog: Catalog) -> Member:
    if isinstance(catalog, MemberCatalog):
        return catalog.member
    about, where = catalog.metadata, named(catalog)
    site = str(about.get("site") or catalog.name)
    bank = str(about.get("bank", "")).replace("{{ CATALOG_DIR }}", folder_of(where))
    return Member(site, where, "ok", "", len(catalog), "", "", "", "", "", bank)


def _unread(site: str, where: str, problem: str) -> Member:
    state: Literal["refused", "offline"] = "refused" if problem.startswith("refused") else "offline"
    return Member(site, where, state, "", 0, "", "", "", "", problem)
