"""What all tests share: quiet numerics, the real data where they are, and one small bank to look into."""

from __future__ import annotations

import os
import tempfile

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # before numpy is imported: tests run beside other tests

from pathlib import Path  # noqa: E402 - after the lines above, which numpy reads when imported

import hypothesis  # noqa: E402
import pytest  # noqa: E402

from corebank import bank as banks  # noqa: E402
from corebank import contribution  # noqa: E402
from corebank.schema import EnergyGrid  # noqa: E402
from tests.scanner import write_expedition  # noqa: E402

os.environ.setdefault("COREBANK_CACHE", tempfile.mkdtemp(prefix="corebank-cache-"))  # not the user's own

hypothesis.settings.register_profile("corebank", deadline=None)  # how long an example takes is the machine's affair
hypothesis.settings.load_profile("corebank")

GRID = EnergyGrid(start=0.0, step=0.05, bins=160)
"""0 to 8 keV: wider than the tests' small detector on both sides."""


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real cores: COREBANK_DATA, or ../shared/data beside the checkout."""
    folder = Path(os.environ.get("COREBANK_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real cores are not at {folder}; set COREBANK_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def small_bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank with one expedition, ``cruise1``: runs ``s1`` and ``s2``, TOC and CaCO3. Only read it."""
    folder = tmp_path_factory.mktemp("small")
    bank = banks.create(folder / "bank", site="lab", grid=GRID)
    bank.add(contribution.checked(write_expedition(folder / "cruise1")))
    return bank.path
