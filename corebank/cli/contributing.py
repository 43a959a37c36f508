"""Commands of who brings cores in: draft, check, add, amend; and cores to try them on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def draft(folder: Path, /, *, toml: Path | None = None) -> None:
    """Write a contribution.toml for a folder from its headers, files and names. Never overwrites.

    Parameters
    ----------
    folder
        Scanner files and laboratory tables.
    toml
        Where it goes, when the folder cannot be written to; contribution.toml in the folder otherwise.
    """
    from corebank.contribution import draft as drafting

    made = drafting.write(folder, toml)
    left = made.read_text(encoding="utf-8").count("# fill in")
    elsewhere = f" --toml {made}" if toml else ""
    print(f"{made}: written. {left} lines say # fill in; guesses say why. Then: corebank check {folder}{elsewhere}")


def check(
    folder: Path,
    /,
    *,
    toml: Path | None = None,
    json_file: Annotated[Path | None, Parameter("--json", allow_leading_hyphen=True)] = None,
    html: Path | None = None,
    scheduler: str = "",
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
    html
        Write the report here as one page with pictures, too.
    scheduler
        Dask scheduler (tcp://host:port) whose workers read the files; threads of this process do without.
    """
    from corebank import contribution, parallel

    with parallel.scheduler(scheduler):
        report, _ = contribution.check(folder, toml)
    if json_file is not None and str(json_file) != "-":
        json_file.write_text(report.to_json() + "\n", encoding="utf-8")
    if html is not None:
        from corebank import page

        html.write_text(page.html(report), encoding="utf-8")
    print(report.to_json() if str(json_file) == "-" else report)
    return 0 if report.passes else 1


def add(bank: str, folder: Path, /, *, toml: Path | None = None, scheduler: str = "") -> int:
    """Check a folder and bring it into a bank, as one commit. A second time it adds nothing.

    Parameters
    ----------
    bank
        The bank.
    folder
        Scanner files, laboratory tables and a contribution.toml.
    toml
        The contribution.toml, when it lies elsewhere.
    scheduler
        Dask scheduler (tcp://host:port) whose workers read the files; threads of this process do without.
    """
    from corebank import bank as banks
    from corebank import contribution, parallel

    opened = banks.open_bank(bank)
    with parallel.scheduler(scheduler):
        report, checked = contribution.check(folder, toml)
    if checked is None:
        print(report, file=sys.stderr)
        print(
            f"corebank: {folder}: nothing was added. Mend what is refused, decide what needs a decision, try again.",
            file=sys.stderr,
        )
        return 1
    added = opened.add(checked)
    print(report)
    if added.withdrawn:
        print(
            f"{sum(added.withdrawn.values())} of these spectra are withdrawn and stay hidden "
            f"({', '.join(added.withdrawn)}); bring them back with: corebank restore"
        )
    if added.nothing_new:
        print(f"nothing new: the bank held all of it, at snapshot {added.snapshot}")
    else:
        already = f" ({sum(added.already.values())} spectra were there before)" if added.already else ""
        print(
            f"added {sum(added.runs.values())} spectra in {len(added.runs)} runs "
            f"and {added.measurements} measurements{already}, snapshot {added.snapshot}"
        )
    return 0


def amend(bank: str, folder: Path, /, *, because: str, toml: Path | None = None, scheduler: str = "") -> None:
    """Replace what a bank says of spectra that it holds: words, depths, calibration, flags, laboratory values.

    Raw counts never change, and earlier snapshots keep what was said before.

    Parameters
    ----------
    bank
        The bank.
    folder
        The folder that was brought in, with its corrected contribution.toml.
    because
        Why; it stays in the log.
    toml
        The contribution.toml, when it lies elsewhere.
    scheduler
        Dask scheduler (tcp://host:port) whose workers read the files; threads of this process do without.
    """
    from corebank import bank as banks
    from corebank import contribution, parallel

    opened = banks.open_bank(bank)
    with parallel.scheduler(scheduler):
        checked = contribution.checked(folder, toml)
    amended = opened.amend(checked, because)
    if not amended.changed:
        print(f"nothing to amend: the bank says all of it already, at snapshot {amended.snapshot}")
        return
    for line in amended.changed:
        print(f"amended {line}")
    print(f"snapshot {amended.snapshot}")


def samples(name: str, folder: Path, /) -> None:
    """Fetch public sample cores by URL and hash, with a contribution.toml ready for corebank check.

    Parameters
    ----------
    name
        Which; a wrong name lists them.
    folder
        Where they go. What is there and whole is not fetched again.
    """
    from corebank import samples as public

    print(public.about(name))
    public.fetch(name, folder)
    print(f"{folder}: look at it with: corebank check {folder}")


def virtual(
    folder: Path,
    /,
    *,
    expedition: str = "vm1",
    seed: int | None = None,
    cores: int | None = None,
    sections: int | None = None,
    spectra: int | None = None,
    step: float | None = None,
    labels: int | None = None,
    site: str | None = None,
    defects: tuple[str, ...] = (),
) -> None:
    """Write the raw scanner files of a virtual expedition, with its laboratory values and contribution.toml.

    Parameters
    ----------
    folder
        New folder for the files.
    expedition
        Name of one of the expeditions that corebank knows; a wrong name lists them.
    seed
        Another seed gives other cores of the same kind.
    cores
        Number of cores; these six are the expedition's own unless given.
    sections
        Number of sections of each core.
    spectra
        Spectra of each section.
    step
        Distance between two spectra [mm].
    labels
        Laboratory samples of each core.
    site
        Lab that brings it; a bank takes what its own lab brings.
    defects
        Defects to plant, or all; truth/defects.json says where. A wrong name lists them.
    """
    import numpy as np

    from corebank import virtual as scanner

    made = scanner.named(
        expedition,
        seed,
        cores=cores,
        sections_per_core=sections,
        spectra_per_section=spectra,
        step=step,
        labels_per_core=labels,
        site=site,
    )
    if defects:
        from corebank.virtual import defects as planting

        planted = planting.write(folder, made, defects=defects, rng=np.random.default_rng((made.seed, 4)))
        print(f"{len(planted)} defects planted; {folder / planting.TRUTH} says where")
    else:
        scanner.write(folder, made)
    print(f"{folder}: {made.title}. These spectra are synthetic. Look at them with: corebank check {folder}")
