"""Commands of who takes data out of a bank, or wants to know that it is sound: verify, export."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from corebank.cli.finding import _catalog as catalog_file


def verify(
    bank: str, /, *, at: str = "main", as_json: Annotated[bool, Parameter("--json", negative="")] = False
) -> int:
    """Read every chunk of a bank and compare it with its hashes; name each place that fails. Changes nothing.

    Parameters
    ----------
    bank
        The bank.
    at
        Snapshot, release or branch to look at; what is withdrawn is read, too.
    as_json
        One JSON document instead of lines.
    """
    from corebank import bank as banks
    from corebank.bank import verifying

    verified = verifying.examine(banks.open_bank(bank, at))
    if as_json:
        print(json.dumps(verifying.as_json(verified), indent=2))
        return 1 if verified.faults else 0
    for fault in verified.faults:
        print(fault)
    for unchecked in verified.unchecked:
        print(f"not checked: {unchecked}", file=sys.stderr)
    read = f"{verified.spectra} spectra in {verified.chunks} chunks, snapshot {verified.snapshot}"
    print(f"{len(verified.faults)} faults in {read}" if verified.faults else f"sound: {read}")
    return 1 if verified.faults else 0


def export(
    source: str,
    out: Path,
    /,
    *,
    site: tuple[str, ...] = (),
    expedition: tuple[str, ...] = (),
    run: tuple[str, ...] = (),
    core: tuple[str, ...] = (),
    level: Literal["intensity", "counts"] = "intensity",
    at: str = "",
    text: str = "",
    proxy: tuple[str, ...] = (),
    element: str = "",
    scanner: str = "",
    anode: str = "",
    tube_voltage: tuple[float, float] | None = None,
    region: tuple[float, float, float, float] | None = None,
    depth: tuple[str, str] | None = None,
    licence: tuple[str, ...] = (),
    min_spectra: int = 0,
    min_labels: int = 0,
    include_embargoed: bool = False,
    any_licence: bool = False,
) -> None:
    """Write spectra and their laboratory values as plain Zarr, NetCDF or Parquet, with licences and citations.

    Parameters
    ----------
    source
        The folder of a bank, its catalog.yaml, or a federation.
    out
        New file or folder: .zarr, .nc or .parquet. With Parquet, laboratory values go into a second file beside it.
    site
        Site to take; may be given several times. All of them where it is not given, as for the next three.
    expedition
        Expedition to take.
    run
        Run to take.
    core
        Core to take.
    level
        intensity on the common energy grid, or counts by detector channel.
    at
        Snapshot or release.
    text
        Words that all stand in what is known of a run; this and what follows as for corebank search.
    proxy
        Laboratory value that a run must have; may be given several times.
    element
        Element of which a run measured a line.
    scanner
        Kind of scanner.
    anode
        Element symbol of the tube's anode.
    tube_voltage
        Lowest and highest tube voltage, in kV.
    region
        South, west, north and east of a box, in degrees.
    depth
        Top and bottom of a depth interval, with units: 0cm 2m. Whole runs are taken.
    licence
        SPDX identifier; may be given several times.
    min_spectra
        Fewest spectra of a run.
    min_labels
        Fewest laboratory values where a run was scanned.
    include_embargoed
        Also what is under embargo.
    any_licence
        Also what is under a licence that is unknown or forbids derived works.
    """
    from corebank import catalog as catalogs
    from corebank import units
    from corebank.bank import exporting
    from corebank.catalog.searching import Conditions

    asked = Conditions(
        text=text,
        proxy=proxy,
        element=element,
        scanner=scanner,
        anode=anode,
        tube_voltage=tube_voltage,
        region=region,
        depth=depth and (units.quantity(depth[0], "mm", "--depth"), units.quantity(depth[1], "mm", "--depth")),
        licence=licence,
        min_spectra=min_spectra,
        min_labels=min_labels,
    )
    exporting.refuse(out)
    opened = catalogs.open_catalog(catalog_file(source))
    spectra = catalogs.select(
        opened,
        sites=site or None,
        expeditions=expedition or None,
        runs=run or None,
        cores=core or None,
        level=level,
        at=at,
        include_embargoed=include_embargoed,
        any_licence=any_licence,
        **(asked if any(asked.values()) else {}),  # without conditions nothing is searched
    )
    labels = catalogs.measurements(
        opened,
        sites=site or None,
        expeditions=expedition or None,
        at=at,
        include_embargoed=include_embargoed,
        any_licence=any_licence,
    )
    labels = exporting.belonging(labels, spectra)
    exporting.export(spectra, out, labels)
    print(f"{out}: {spectra.sizes['spectrum']} spectra and {len(labels)} laboratory values. {spectra.attrs['terms']}")
