"""The ``corebank`` command: one subcommand per public function, and nothing of its own.

Exit codes: 0 done, 1 refused with reasons, 2 wrong usage. Results go to stdout, everything else to stderr. Heavy
imports wait until a command needs them, so that ``corebank --help`` stays quick.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import cyclopts
from cyclopts import App, Parameter

from corebank import __version__
from corebank.errors import CorebankError

app = App(
    name="corebank",
    help="A federated data catalog and model registry for XRF spectra of sediment cores.",
    version=__version__,
    result_action="return_value",
)


@app.command
def init(bank: Path, /, *, site: str, start: str = "0 eV", step: str = "20 eV", bins: int = 2048) -> None:
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
    print(f"{made.path}: an empty bank for {site}. Bring in a folder with: corebank add {bank} FOLDER")


@app.command
def check(
    folder: Path,
    /,
    *,
    toml: Path | None = None,
    json_file: Annotated[Path | None, Parameter("--json", allow_leading_hyphen=True)] = None,
) -> int:
    """Say what would go into a bank from a folder, and what stands in the way. Changes nothing.

    Parameters
    ----------
    folder
        Scanner files, laboratory tables and a contribution.toml.
    toml
        The contribution.toml, when it lies elsewhere.
    json_file
        Write the report here as JSON, too; - writes it to stdout instead of the text.
    """
    from corebank import contribution

    report, _ = contribution.check(folder, toml)
    if json_file is not None and str(json_file) != "-":
        json_file.write_text(report.to_json() + "\n", encoding="utf-8")
    print(report.to_json() if str(json_file) == "-" else report)
    return 1 if report.refused else 0


@app.command
def add(bank: Path, folder: Path, /, *, toml: Path | None = None) -> None:
    """Check a folder and bring it into a bank, as one commit. A second time it adds nothing.

    Parameters
    ----------
    bank
        The bank.
    folder
        Scanner files, laboratory tables and a contribution.toml.
    toml
        The contribution.toml, when it lies elsewhere.
    """
    from corebank import bank as banks
    from corebank import contribution

    opened = banks.open_bank(bank)
    checked = contribution.checked(folder, toml)
    added = opened.add(checked)
    print(checked.report)
    if added.nothing_new:
        print(f"nothing new: the bank held all of it, at snapshot {added.snapshot}")
    else:
        already = f" ({sum(added.already.values())} spectra were there before)" if added.already else ""
        print(
            f"added {sum(added.runs.values())} spectra in {len(added.runs)} runs "
            f"and {added.measurements} measurements{already}, snapshot {added.snapshot}"
        )


@app.command
def log(bank: Path, /, *, at: str = "main", as_json: Annotated[bool, Parameter("--json", negative="")] = False) -> None:
    """List the commits of a bank, newest first.

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

    commits = banks.open_bank(bank, at).log()
    if as_json:
        print(
            json.dumps(
                [
                    {
                        "snapshot": commit.snapshot,
                        "written_at": commit.written_at.isoformat(),
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
            print(f"{commit.snapshot}  {commit.written_at:%Y-%m-%d %H:%M}  {commit.message}")


@app.command
def tag(bank: Path, name: str, /, *, at: str = "main") -> None:
    """Make a snapshot of a bank a release, which is never moved.

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
    opened.tag(name)
    print(f"release {name} is snapshot {opened.snapshot}")


@app.command
def virtual(folder: Path, /, *, expedition: str = "vm1", seed: int | None = None) -> None:
    """Write the raw scanner files of a virtual expedition, with its laboratory values and contribution.toml.

    Parameters
    ----------
    folder
        New folder for the files.
    expedition
        Name of one of the expeditions that corebank knows; a wrong name lists them.
    seed
        Another seed gives other cores of the same kind.
    """
    from corebank import virtual as scanner

    made = scanner.named(expedition, seed)
    scanner.write(folder, made)
    print(f"{folder}: {made.title}. These spectra are synthetic. Look at them with: corebank check {folder}")


@app.command
def predict(model: str, source: str, /, *, out: Path, plot: Path | None = None, proxy: str | None = None) -> None:
    """Quantify a core with a registered model.

    Parameters
    ----------
    model
        models:/name@alias, models:/name/3, or a bundle folder.
    source
        A folder of scanner files, BANK::expedition[/run], or a table of spectra.
    out
        Where the values go: .csv, .parquet, .nc or .zarr.
    plot
        Where a depth profile goes, as PNG, PDF or SVG.
    proxy
        Which proxy to draw, where the model gives several.
    """
    from corebank import predict as predicting

    table = predicting.run(model, source, out, plot=plot, proxy=proxy)
    warned = int((table["warning"] != "").sum())
    print(
        f"{out}: {len(table)} spectra quantified{f', {warned} of them with a warning' if warned else ''}"
        + (f"; {plot}" if plot else "")
    )


@app.command
def pull(model: str, folder: Path, /) -> None:
    """Copy a registered model's bundle into a folder.

    Parameters
    ----------
    model
        models:/name@alias or models:/name/3.
    folder
        New folder for the bundle.
    """
    from corebank import hub

    print(hub.pull(model, folder))


COMMANDS = {
    "init": init,
    "check": check,
    "add": add,
    "log": log,
    "tag": tag,
    "virtual": virtual,
    "predict": predict,
    "pull": pull,
}
"""The subcommands, for the reference page."""


def run(program: App, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command-line program the way every corebank program behaves; never returns.

    Our own errors are sentences and exit 1, and so are files that cannot be read or written; wrong usage exits 2;
    anything else is a bug and keeps its traceback.
    """
    try:
        code = program(arguments, exit_on_error=False, print_error=True)
    except CorebankError as error:
        print(f"corebank: {error}", file=sys.stderr)
        sys.exit(1)
    except cyclopts.CycloptsError:
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        print(f"corebank: {error.filename}: {error.strerror}. Check the path and your permissions.", file=sys.stderr)
        sys.exit(1)
    except ImportError as error:
        if error.name not in ("torch", "mlflow", "safetensors", "sklearn"):
            raise
        print(
            f"corebank: this needs {error.name}, which is not installed. "
            'Install it with: pip install "corebank[models]".',
            file=sys.stderr,
        )
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def main() -> NoReturn:
    """Entry point of the ``corebank`` command."""
    run(app)
