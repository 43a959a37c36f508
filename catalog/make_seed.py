"""Make the example site and ``federation.yaml`` beside this file again: ``python catalog/make_seed.py``."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from corebank import bank, catalog, contribution, virtual
from corebank.bank import listing

HERE = Path(__file__).parent


def main() -> None:
    """Replace the example bank by a fresh one of the virtual expedition ``seed``."""
    expedition = virtual.named("seed")
    home = HERE / "sites" / expedition.site
    shutil.rmtree(home, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch) / "raw"
        virtual.write(raw, expedition)
        made = bank.create(home, site=expedition.site)
        made.add(contribution.checked(raw))
    (home / ".writing.lock").unlink(missing_ok=True)
    (home / listing.FILE_NAME).unlink()  # the federation names sites/<site>.yaml, and one listing is enough
    listing.write(home.with_suffix(".yaml"), made.catalog_text("{{ CATALOG_DIR }}/" + expedition.site))
    catalog.write_federation(
        HERE / "federation.yaml",
        {expedition.site: home.with_suffix(".yaml")},
        title="Sediment cores that corebank knows",
    )


if __name__ == "__main__":
    main()
