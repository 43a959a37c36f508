"""Commands of who keeps a bank: make one, see what came in, release it."""

from __future__ import annotations

import json
from typing import Annotated

from cyclopts import Parameter


def init(bank: str, /, *, site: str, start: str = "0 eV", step: str = "20 eV", bins: int = 2048) -> None:
    """Make an empty bank.

    Parameters
    ----------
    bank
        Folder that will hold it; new or empty.
    site
        Name of the lab that owns the bank: small letters, digits, hyphens.
    start
        Energy at the centre of the first bin of the bank's energy grid.
    step
        Width of a bin.
    bins
        Number of bins.
    """
    from corebank import bank as banks
    from corebank import units
    from corebank.schema import EnergyGrid

    grid = EnergyGrid(
        start=units.quantity(start, "keV", "--start"), step=units.quantity(step, "keV", "--step"), bins=bins
    )
    made = banks.create(bank, site=site, grid=grid)
    print(f"{made.address}: an empty bank for {site}. Bring in a folder with: corebank add {bank} FOLDER")


def log(bank: str, /, *, at: str = "main", as_json: Annotated[bool, Parameter("--json", negative="")] = False) -> None:
    """List the commits of a bank, newest first, with its releases.

    Parameters
    ----------
    bank
        The bank.
    at
        Snapshot, release or branch to start from.
    as_json
        One JSON document instead of lines.
    """
    from corebank import bank as banks

    opened = banks.open_bank(bank, at)
    commits, releases = opened.log(), opened.releases()
    named = {one.snapshot: [name for name, at in releases.items() if at == one.snapshot] for one in commits}
    if as_json:
        print(
            json.dumps(
                [
                    {
                        "snapshot": commit.snapshot,
                        "written_at": commit.written_at.isoformat(),
                        "releases": named[commit.snapshot],
                        "message": commit.message,
                        **commit.about,
                    }
                    for commit in commits
                ],
                indent=2,
            )
        )
    else:
        for commit in commits:
            beside = f"  [{', '.join(named[commit.snapshot])}]" if named[commit.snapshot] else ""
            print(f"{commit.snapshot}  {commit.written_at:%Y-%m-%d %H:%M}  {commit.message}{beside}")


def tag(bank: str, name: str | None = None, /, *, at: str = "main") -> None:
    """Make a snapshot of a bank a release, which is never moved; without a name, list the releases.

    Parameters
    ----------
    bank
        The bank.
    name
        Name of the release, such as release-2026.1.
    at
        Snapshot, release or branch that becomes it.
    """
    from corebank import bank as banks

    opened = banks.open_bank(bank, at)
    if name is None:
        for release, snapshot in opened.releases().items():
            print(f"{snapshot}  {release}")
    else:
        opened.tag(name)
        print(f"release {name} is snapshot {opened.snapshot}")
