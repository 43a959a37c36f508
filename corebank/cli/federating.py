"""Commands of who keeps a federation: take a lab in, note what its catalog is today, see that all of it opens."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from corebank.catalog.checking import Checked
    from corebank.catalog.members import Member


def join(
    site: str,
    url: str,
    /,
    *,
    federation: Path = Path("catalog/federation.yaml"),
    steward: str = "",
    licence: str = "",
    offline: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Take a lab's bank into a federation.

    Parameters
    ----------
    site
        Name of the lab, as in its bank.
    url
        Its catalog.yaml, or the bank beside which that lies: a path, http(s):// or s3://.
    federation
        The federation's file; made when there is none.
    steward
        Who answers for the data; by default whom its catalog names.
    licence
        SPDX identifiers, with commas; by default those that its catalog names.
    offline
        Take it in though it does not answer now.
    """
    from corebank.catalog import federation as federations

    member = federations.join(federation, site, url, steward=steward, licence=licence, offline=offline)
    if "://" not in member.url and not Path(member.url).is_relative_to(federation.parent.absolute()):
        print(f"corebank: {member.url} is a path; only who shares this disk can read it", file=sys.stderr)
    stands = _plain(member.problem) or f"{member.entries} entries under {_plain(member.licence) or 'no licence'}"
    print(f"{federation}: {site} is a member: {stands}")


def build(target: str, /) -> None:
    """Write the catalog of a bank again, or note what the catalogs of a federation's members are today.

    Parameters
    ----------
    target
        A bank, whose catalog.yaml and index.json are written again; or a federation's file, whose members' hashes are.
    """
    if not target.endswith((".yaml", ".yml")):
        from corebank import bank as banks

        bank = banks.open_bank(target)
        bank.write_catalog()
        print(f"{bank.address}: catalog.yaml shows {len(bank.expeditions())} expeditions at {bank.snapshot}")
        return
    from corebank.catalog import federation as federations

    for before, now in federations.refresh(Path(target)):
        if now.problem:
            print(f"{now.site}: {_plain(now.problem)}")
        elif before.sha256 != now.sha256:
            print(f"{now.site}: {now.entries} entries, sha256 {before.sha256[:12] or 'not noted'} -> {now.sha256[:12]}")
        else:
            print(f"{now.site}: {now.entries} entries, as it was")


def check(catalog: str, /, *, as_json: Annotated[bool, Parameter("--json", negative="")] = False) -> int:
    """Open every entry of every member of a catalog and read the first spectrum of each run; 1 if any fails.

    Parameters
    ----------
    catalog
        Path or address of a federation.yaml, or of a bank's catalog.yaml.
    as_json
        One JSON document instead of a table.
    """
    from tqdm import tqdm

    from corebank.catalog import members, open_catalog
    from corebank.catalog.checking import check as check_catalog

    opened = open_catalog(catalog)
    found = list(tqdm(check_catalog(opened), unit=" opened", delay=2, disable=None))
    failed = [one for one in found if one.failed]
    if as_json:
        stand: list[Member] = members(opened)
        document = {"members": [one.to_json() for one in stand], "opened": [asdict(one) for one in found]}
        print(json.dumps({**document, "failed": len(failed)}, indent=2))
    else:
        _table(found)
        print(f"{len(found)} opened, {len(failed)} failed")
    return 1 if failed else 0


def _table(found: list[Checked]) -> None:
    rows = [("site", "entry", "run", "level", "holds"), *((o.site, o.entry, o.run, o.level, o.holds) for o in found)]
    widths = [max(len(_plain(row[column])) for row in rows) for column in range(5)]
    for row, problem in zip(rows, ["problem", *(one.problem for one in found)], strict=True):
        cells = [_plain(cell).ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join([*cells, _plain(problem)]).rstrip())


def _plain(text: str) -> str:
    """`text` without what would move a terminal's cursor: names come from other people's catalogs."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
