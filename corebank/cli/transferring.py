"""Commands of who has two machines: learn a mapping from one to the other, and apply it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from corebank.errors import TransferError

if TYPE_CHECKING:
    import xarray as xr

    from corebank.schema import EnergyGrid


def learn(
    first: str,
    second: str,
    /,
    *,
    out: Path,
    tolerance: float | None = None,
    shift: float | None = None,
    reach: float = 20.0,
) -> None:
    """Learn to turn spectra of the second machine into what the first would have measured, or refuse.

    Parameters
    ----------
    first
        A section scanned by the machine that a model knows: a folder of scanner files, BANK::expedition[/run], or a
        table of spectra.
    second
        The same section scanned by the other machine.
    out
        Where the mapping goes, as JSON.
    tolerance
        How far from a scanned position another may be paired, in mm; half a step of the finer scan unless given.
    shift
        What is added to positions of the second scan, in mm; looked for, section by section, unless given.
    reach
        Largest shift that is looked for, in mm.
    """
    from corebank import transfer

    if out.exists():
        raise TransferError(out, "there already", "Remove it or name another")
    one, other = _both(first, second)
    learnt = transfer.learn(one, other, tolerance=tolerance, shift=shift, reach=reach)
    print(f"{transfer.save(learnt, out)}: {learnt.name}\n{learnt.report()}")


def apply(mapping: Path, source: str, /, *, out: Path) -> None:
    """Turn spectra of the second machine into a table as the first would have measured them.

    Parameters
    ----------
    mapping
        What corebank transfer learn wrote.
    source
        Spectra of the second machine: a folder of scanner files, BANK::expedition[/run], or a table of spectra.
    out
        Where the table goes, .csv or .parquet; corebank predict reads both.
    """
    from corebank import transfer
    from corebank.predict import load, to_table

    if out.suffix not in (".csv", ".parquet"):
        raise TransferError(
            out, f"cannot write {out.suffix or 'a file without an ending'}", "End it in .csv or .parquet"
        )
    learnt = transfer.load(mapping)
    table = to_table(learnt.apply(load(source, learnt.grid)).compute())
    if out.suffix == ".csv":
        table.to_csv(out, index=False)
    else:
        table.to_parquet(out, index=False)
    print(f"{out}: {len(table)} spectra of {learnt.second} as of {learnt.first}")


def _both(first: str, second: str) -> tuple[xr.Dataset, xr.Dataset]:
    """Both scans; a folder is brought to the grid of the other where that has one, else to the default."""
    from corebank.predict import load
    from corebank.schema import EnergyGrid
    from corebank.transfer import grid_of

    grid: EnergyGrid = EnergyGrid()
    loaded: dict[str, xr.Dataset] = {}
    for source in sorted({first, second}, key=lambda one: Path(one).is_dir()):  # folders last: they take any grid
        loaded[source] = load(source, grid)
        grid = grid_of(loaded[source])
    return loaded[first], loaded[second]
