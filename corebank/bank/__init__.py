"""A bank: a lab's spectra in one versioned Icechunk repository (Zarr format 3), with a ``catalog.yaml`` beside it.

Layout: ``/<expedition>`` carries who, where and the licence; ``/<expedition>/<run>`` one scan series, its counts
exactly as measured and its intensity on the bank's energy grid; ``/<expedition>/measurements`` the laboratory values;
``/contributions/<id>`` what each contributor said. A contribution is one commit: a reader sees all of it or nothing,
and a process killed at any moment leaves the last commit. This package is the only importer of zarr and icechunk.

What changes a bank opens its head, works on all that lies there (also on what is withdrawn), makes one commit or none,
and writes the catalog beside it anew; `Bank._at_head` is that frame, and a module each does the work.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from corebank import __version__
from corebank.bank import adding, amending, layout, listing, migrating, rebuilding, repository, withdrawing
from corebank.bank.records import (
    CONTRIBUTIONS,
    MEASUREMENTS,
    SCHEMA_VERSION,
    Added,
    Amended,
    Commit,
    Migrated,
    Rebuilt,
    Withdrawn,
)
from corebank.bank.view import View
from corebank.contribution import Contribution
from corebank.contribution.toml import is_slug, slugged
from corebank.errors import BankError
from corebank.schema import EnergyGrid


class _Done(Protocol):
    """What a change of a bank tells of itself."""

    @property
    def snapshot(self) -> str:
        """The bank's head after it."""


Told = TypeVar("Told", bound=_Done)


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
        """Every commit up to this snapshot, newest first; those that `compact` let go are left out."""
        return self._repository.log(self.snapshot)

    def releases(self) -> dict[str, str]:
        """Release -> snapshot."""
        return self._repository.releases()

    def tag(self, name: str) -> None:
        """Make this snapshot a release; a release is never moved, so `BankError` when the name is taken."""
        self._repository.tag(name, self.snapshot)

    def add(self, contribution: Contribution) -> Added:
        """Bring a checked contribution in, as one commit on ``main``.

        Runs that the bank holds already, spectrum by spectrum, are left as they are, and so are measurements; when
        nothing is new, no commit is made. What is withdrawn counts as held, and new spectra of a withdrawn core go in
        hidden; `Added.withdrawn` tells both. Raises `BankError` when the contribution belongs to another site, or a
        run of the same name holds other spectra; nothing is changed then.
        """
        self._refuse_foreign(contribution)

        def work(head: Bank) -> Added:
            runs, already = adding.new_runs(head, contribution)
            measurements = adding.new_measurements(head, contribution)
            snapshot = head.snapshot
            if runs or len(measurements):
                snapshot = adding.write(head._repository, head, contribution, runs, measurements)
            return Added(
                snapshot,
                adding.identifier(contribution),
                {name: run.sizes["spectrum"] for name, run in runs.items()},
                len(measurements),
                already,
                withdrawing.hidden(head, contribution),
            )

        return self._at_head(work)

    def amend(self, contribution: Contribution, because: str) -> Amended:
        """Replace what the bank says of spectra that it holds by what a checked contribution says of them now.

        Words about the expedition, its cores and its machine, places and depths, energy axes (and with them the
        intensities), flags, replicates and laboratory values change, and evaluations of the spectra come in beside
        those that are there; raw counts never change, and earlier snapshots stay as they were. What is withdrawn can
        be amended, too, and stays hidden. One commit on ``main``, or none when nothing differs. Raises `BankError`
        when the contribution holds spectra that the bank does not, or no reason is given; nothing is changed then.
        """
        self._refuse_foreign(contribution)

        def work(head: Bank) -> Amended:
            changes = amending.changes(head, contribution, because)
            snapshot = head.snapshot
            if not changes.nothing:
                snapshot = amending.write(head._repository, head, contribution, changes, because)
            return Amended(snapshot, changes.told())

        return self._at_head(work)

    def withdraw(
        self,
        expedition: str,
        *,
        core: str | None = None,
        run: str | None = None,
        contribution: str | None = None,
        because: str,
    ) -> Withdrawn:
        """Hide one core, run or contribution of an expedition from now on, as one commit on ``main``.

        Its spectra, and the laboratory values of a core or contribution, are no longer read, listed or fed; older
        snapshots, releases and `View.whole` show them. Raises `BankNotFoundError` when there is no such thing,
        `BankError` when it is withdrawn already, or without a reason.
        """
        kind, name = withdrawing.chosen(self.address, core, run, contribution)
        return self._at_head(lambda head: withdrawing.withdraw(head, expedition, kind, name, because))

    def restore(
        self,
        expedition: str,
        *,
        core: str | None = None,
        run: str | None = None,
        contribution: str | None = None,
        because: str,
    ) -> Withdrawn:
        """Show again what `withdraw` hid, as one commit on ``main``; `BankError` when that is not withdrawn."""
        kind, name = withdrawing.chosen(self.address, core, run, contribution)
        return self._at_head(lambda head: withdrawing.restore(head, expedition, kind, name, because))

    def rebuild(self, expedition: str | None = None) -> Rebuilt:
        """Make intensities anew that another version of the calibration made; see `corebank.bank.rebuilding`."""
        return self._at_head(lambda head: rebuilding.rebuild(head, expedition))

    def migrate(self) -> str | None:
        """Bring an older layout up to date, as one commit; the snapshot, or None when it is current."""

        def work(head: Bank) -> Migrated:
            snapshot = migrating.migrate(head)
            return Migrated(snapshot or head.snapshot, snapshot is not None)

        done = self._at_head(work, current=False)
        return done.snapshot if done.anew else None

    def write_catalog(self) -> None:
        """Write ``catalog.yaml`` and ``index.json`` beside the repository, as `corebank.bank.listing` makes them.

        They show the head of ``main`` without what is withdrawn. Where nothing keeps other writers out, one that has
        committed in between may write before or after us: who finds the head moved after writing writes again.
        """
        shown, head = "", self._repository.snapshot("main")
        while shown != head:
            listing.publish(View(self._repository, head), self._repository)
            shown, head = head, head if self._repository.folder is not None else self._repository.snapshot("main")

    def _at_head(self, work: Callable[[Bank], Told], *, current: bool = True) -> Told:
        """Do one unit of work on the whole head, become what it made, and list it; done again where writers met.

        Raises `BankError` for a bank of an older layout, unless `current` is false.
        """

        def once() -> Told:
            head = open_bank(self.address).whole()
            if current:
                migrating.require_current(head)
            done = work(head)
            self._become(done.snapshot)
            self.write_catalog()
            return done

        return self._repository.atomically(once)

    def _become(self, snapshot: str) -> None:
        self.snapshot = snapshot
        for cached in ("_store", "about", "_expeditions", "_told", "_seen"):
            self.__dict__.pop(cached, None)

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
