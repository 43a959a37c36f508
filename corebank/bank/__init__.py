"""A bank: a lab's spectra in one versioned Icechunk repository (Zarr format 3), with a ``catalog.yaml`` beside it.

Layout: ``/<expedition>`` carries who, where and the licence; ``/<expedition>/<run>`` one scan series, its counts
exactly as measured and its intensity on the bank's energy grid; ``/<expedition>/measurements`` the laboratory values;
``/contributions/<id>`` what each contributor said. A contribution is one commit: a reader sees all of it or nothing,
and a process killed at any moment leaves the last commit. This package is the only importer of zarr and icechunk.
"""

from __future__ import annotations

from pathlib import Path

from corebank import __version__
from corebank.bank import adding, amending, layout, listing, repository
from corebank.bank.records import CONTRIBUTIONS, MEASUREMENTS, SCHEMA_VERSION, Added, Amended, Commit
from corebank.bank.view import View
from corebank.contribution import Contribution
from corebank.contribution.toml import is_slug, slugged
from corebank.errors import BankError
from corebank.schema import EnergyGrid


def create(path: str | Path, *, site: str, grid: EnergyGrid | None = None) -> Bank:
    """Make an empty bank for `site`; raises `BankError` if something is at `path` already or `site` is no slug."""
    address = repository.resolved(path)
    if not is_slug(site):
        raise BankError(
            address,
            f"{site!r} is no name for a site",
            f"Use small letters, digits and hyphens, such as {slugged(site) or 'my-lab'}",
        )
    about = {
        "site": site,
        "energy_grid": (grid or EnergyGrid()).to_json(),
        "schema_version": SCHEMA_VERSION,
        "written_by": f"corebank {__version__}",
    }
    repository.create(address, lambda store: layout.describe(store, "", about), f"a new bank for {site}")
    bank = open_bank(address)
    bank.write_catalog()
    return bank


def open_bank(path: str | Path, at: str = "main") -> Bank:
    """Open a bank at a branch, a release (tag) or a snapshot.

    Raises `BankNotFoundError` when either is not there, `BankError` when a newer corebank wrote the bank.
    """
    opened = repository.open_repository(repository.resolved(path))
    bank = Bank(opened, opened.snapshot(at))
    _ = bank.about  # refuses a newer layout
    return bank


class Bank(View):
    """A bank as it was at one snapshot, and what changes it; made by `create` and `open_bank`."""

    def log(self) -> list[Commit]:
        """Every commit up to this snapshot, newest first."""
        return self._repository.log(self.snapshot)

    def tag(self, name: str) -> None:
        """Make this snapshot a release; a release is never moved, so `BankError` when the name is taken."""
        self._repository.tag(name, self.snapshot)

    def add(self, contribution: Contribution) -> Added:
        """Bring a checked contribution in, as one commit on ``main``.

        Runs that the bank holds already, spectrum by spectrum, are left as they are, and so are measurements; when
        nothing is new, no commit is made. Raises `BankError` when the contribution belongs to another site, or a run
        of the same name holds other spectra; nothing is changed then.
        """
        self._refuse_foreign(contribution)
        with self._repository.writing():
            head = open_bank(self.address)
            runs, already = adding.new_runs(head, contribution)
            measurements = adding.new_measurements(head, contribution)
            snapshot = head.snapshot
            if runs or len(measurements):
                snapshot = adding.write(head._repository, head, contribution, runs, measurements)
            self._become(snapshot)
            self.write_catalog()
        return Added(
            snapshot,
            adding.identifier(contribution),
            {name: run.sizes["spectrum"] for name, run in runs.items()},
            len(measurements),
            already,
        )

    def _refuse_foreign(self, contribution: Contribution) -> None:
        """Raise `BankError` for another site's contribution, and for names that the bank uses itself."""
        metadata = contribution.metadata
        if metadata.expedition.site != self.site:
            raise BankError(
                self.address,
                f"belongs to {self.site}, the contribution to {metadata.expedition.site}",
                "Correct site in contribution.toml, or choose that site's bank",
            )
        for name, reserved in (
            (metadata.expedition.name, CONTRIBUTIONS),
            *((run, MEASUREMENTS) for run in contribution.runs),
        ):
            if name == reserved:
                raise BankError(
                    self.address,
                    f"nothing can be called {reserved}, which the bank uses itself",
                    "Choose another name in contribution.toml",
                )

    def amend(self, contribution: Contribution, because: str) -> Amended:
        """Replace what the bank says of spectra that it holds by what a checked contribution says of them now.

        Words about the expedition, its cores and its machine, places and depths, energy axes (and with them the
        intensities), flags, replicates and laboratory values change; raw counts never do, and earlier snapshots stay
        as they were. One commit on ``main``, or none when nothing differs. Raises `BankError` when the contribution
        holds spectra that the bank does not, or no reason is given; nothing is changed then.
        """
        self._refuse_foreign(contribution)
        with self._repository.writing():
            head = open_bank(self.address)
            changes = amending.changes(head, contribution, because)
            snapshot = head.snapshot
            if not changes.nothing:
                snapshot = amending.write(head._repository, head, contribution, changes, because)
            self._become(snapshot)
            self.write_catalog()
        return Amended(snapshot, changes.told())

    def write_catalog(self) -> None:
        """Write ``catalog.yaml`` beside the repository: one entry per expedition, and one for its measurements."""
        self._repository.write_text(listing.FILE_NAME, self.catalog_text())

    def _become(self, snapshot: str) -> None:
        self.snapshot = snapshot
        for cached in ("_store", "about", "_expeditions", "_attributes"):
            self.__dict__.pop(cached, None)
