"""Commands of who looks for data, and of who used some: search, cite."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

SHOWN = {
    "entry": "entry",
    "distance": "distance",
    "scanner": "scanner",
    "anode": "anode",
    "tube_voltage": "kV",
    "spectra": "spectra",
    "labels": "labels",
    "depth_top": "top mm",
    "depth_bottom": "bottom mm",
    "licence": "licence",
    "title": "title",
}
"""Columns of the table that is printed, and their headings."""


def search(
    catalog: str,
    text: str = "",
    /,
    *,
    proxy: tuple[str, ...] = (),
    element: str = "",
    scanner: str = "",
    anode: str = "",
    tube_voltage: tuple[float, float] | None = None,
    region: tuple[float, float, float, float] | None = None,
    depth: tuple[str, str] | None = None,
    licence: tuple[str, ...] = (),
    site: tuple[str, ...] = (),
    expedition: tuple[str, ...] = (),
    min_spectra: int = 0,
    min_labels: int = 0,
    like: Path | None = None,
    limit: int = 40,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
) -> None:
    """Find runs in a catalog, by what is known of them or by a spectrum like theirs.

    Parameters
    ----------
    catalog
        A federation, a bank's catalog.yaml, or the folder of a bank.
    text
        Words that all stand in title, region, steward, DOI, citation or the names of a run.
    proxy
        Laboratory value that the run must have, such as CaCO3; may be given several times.
    element
        Element of which the run measured a line, such as Sr.
    scanner
        Kind of scanner: itrax, avaatech ...
    anode
        Element symbol of the tube's anode.
    tube_voltage
        Lowest and highest tube voltage, in kV.
    region
        South, west, north and east of a box, in degrees.
    depth
        Top and bottom of a depth interval, with units: 0cm 2m.
    licence
        SPDX identifier; may be given several times.
    site
        Site to look in; may be given several times.
    expedition
        Expedition to look in; may be given several times.
    min_spectra
        Fewest spectra of a run.
    min_labels
        Fewest laboratory values where the run was scanned.
    like
        A spectrum file, or a folder of them: the nearest runs are listed first.
    limit
        Rows of the table.
    as_json
        One JSON document instead of a table.
    """
    from corebank import catalog as catalogs
    from corebank import units

    found = catalogs.index(_catalog(catalog))
    hits = catalogs.search(
        found,
        text,
        sites=site or None,
        expeditions=expedition or None,
        proxy=proxy,
        element=element,
        scanner=scanner,
        anode=anode,
        tube_voltage=tube_voltage,
        region=region,
        depth=None
        if depth is None
        else (units.quantity(depth[0], "mm", "--depth"), units.quantity(depth[1], "mm", "--depth")),
        licence=licence,
        min_spectra=min_spectra,
        min_labels=min_labels,
    )
    if like is not None:
        hits = catalogs.nearest(found, like, among=hits, count=limit)
    if as_json:
        print(json.dumps(hits.to_json(), indent=2, ensure_ascii=False))
    elif len(hits):
        shown = hits.table.head(limit)
        shown = shown[[name for name in SHOWN if name in shown]].rename(columns=SHOWN)
        print(shown.to_string(index=False, justify="left", na_rep="?", float_format="{:.4g}".format, max_colwidth=48))
    more = f", {limit} of them shown" if not as_json and len(hits) > limit else ""
    print(f"corebank: {len(hits)} of {hits.searched} runs{more}", file=sys.stderr)
    for member, why in hits.away.items():
        print(f"corebank: {member} did not answer: {why}", file=sys.stderr)
    for member, why in hits.partly.items():
        print(f"corebank: {member} could not be searched in full: {why}", file=sys.stderr)


def cite(
    source: str,
    /,
    *,
    site: tuple[str, ...] = (),
    expedition: tuple[str, ...] = (),
    run: tuple[str, ...] = (),
    core: tuple[str, ...] = (),
    at: str = "",
    include_embargoed: bool = False,
    any_licence: bool = False,
    bibtex: bool = False,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
) -> None:
    """Print how to cite a selection of a catalog, or what a model was trained on.

    Parameters
    ----------
    source
        A federation, a bank's catalog.yaml or the folder of a bank; or a model: models:/name@alias, models:/name/3, or
        the folder of a bundle or of a run.
    site
        Site to take; may be given several times. All of them where it is not given, as for the next three.
    expedition
        Expedition to take.
    run
        Run to take.
    core
        Core to take.
    at
        Snapshot or release.
    include_embargoed
        Also what is under embargo.
    any_licence
        Also what is under a licence that is unknown or forbids derived works.
    bibtex
        As a BibTeX file.
    as_json
        One JSON document.
    """
    from corebank import catalog as catalogs
    from corebank.catalog import citing

    terms = ""
    if _is_model(source):
        from corebank import bundle, hub

        found = citing.citations(bundle.read_document(hub.resolve(source))["lineage"])
    else:
        selected = catalogs.select(
            _catalog(source),
            sites=site or None,
            expeditions=expedition or None,
            runs=run or None,
            cores=core or None,
            at=at,
            include_embargoed=include_embargoed,
            any_licence=any_licence,
        )
        found, terms = citing.citations(selected), str(selected.attrs["terms"])
    if as_json:
        print(json.dumps(citing.document(found) | {"terms": terms}, indent=2, ensure_ascii=False))
    elif bibtex:
        print(citing.bibtex(found), end="")
    else:
        print("\n".join([*map(str, found), citing.software(), *([f"Terms of the whole: {terms}."] if terms else [])]))


def _catalog(given: str) -> str:
    """The catalog file of a bank's folder; anything else as it is."""
    file = Path(given) / "catalog.yaml"
    return str(file) if "://" not in given and file.is_file() else given


def _is_model(source: str) -> bool:
    """Whether a name is a model's: its way of writing, or a folder that is no bank's."""
    return source.startswith("models:/") or (Path(source).is_dir() and _catalog(source) == source)
