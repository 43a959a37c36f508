"""The base package on Python 3.12 with the newest zarr and icechunk, beside the running one with the pinned set.

Looked for in COREBANK_PYTHON312, then on PATH, then in pyenv's folder. The environment is made anew each time, or kept
in COREBANK_NEWEST, a folder of your choice. Banks are written by either and read, and added to, by the other.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from corebank import bank as banks
from corebank import contribution
from corebank.bank import verifying
from tests.old import facts
from tests.scanner import write_expedition

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

READ_BACK = """
import json, sys
from pathlib import Path
from corebank.bank import verifying
from corebank import bank as banks
from tests.old import facts
folder = Path(sys.argv[1])
then = json.loads((folder / "expected.json").read_text())
assert facts.of_bank(folder / "bank", list(then["at"])) == {"log": then["log"], "at": then["at"]}
assert verifying.verify(banks.open_bank(folder / "bank")) == ()
"""

ADD = """
import sys
from corebank import bank as banks, contribution
made = banks.open_bank(sys.argv[1]).add(contribution.checked(__import__("pathlib").Path(sys.argv[2])))
assert made.runs == {"s1": 5, "s2": 5}
"""

TELL = """
import importlib.metadata, importlib.util, json, sys
names = ("zarr", "icechunk", "numpy", "pint", "pandas", "xarray")
heavy = [name for name in ("torch", "mlflow", "pyarrow") if importlib.util.find_spec(name)]
print(json.dumps([list(sys.version_info[:2]), {name: importlib.metadata.version(name) for name in names}, heavy]))
"""


def python312() -> str | None:
    """A Python 3.12, or None."""
    places = [os.environ.get("COREBANK_PYTHON312", ""), shutil.which("python3.12") or ""]
    places += sorted(map(str, Path.home().glob(".pyenv/versions/3.12.*/bin/python")), reverse=True)
    for place in filter(None, places):
        done = subprocess.run([place, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True)
        if done.stdout.strip() == "(3, 12)":
            return place
    return None


class Newest:
    """The other interpreter, which imports corebank from this checkout."""

    def __init__(self, python: Path) -> None:
        self.python = python

    def run(self, *words: str | Path) -> str:
        """Run it in the checkout; what it printed, or a failure with all that it said."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST"))}
        done = subprocess.run([self.python, *words], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Newest:
    base = python312()
    if base is None:
        pytest.skip("no Python 3.12 in COREBANK_PYTHON312, on PATH or in pyenv's folder")
    folder = Path(os.environ.get("COREBANK_NEWEST") or tmp_path_factory.mktemp("newest") / "env")
    made = Newest(folder / "bin" / "python")
    if not made.python.exists():
        subprocess.run([base, "-m", "venv", folder], check=True, capture_output=True)
        tools = ("pytest", "pytest-benchmark", "hypothesis", "rangehttpserver")
        made.run("-m", "pip", "install", "--quiet", "--upgrade", "--editable", str(ROOT), *tools)
    return made


def test_it_is_another_set_without_what_only_models_need(newest: Newest) -> None:
    python, versions, heavy = json.loads(newest.run("-c", TELL))
    assert python == [3, 12]
    assert int(versions["icechunk"].split(".")[0]) >= 2, versions
    assert heavy == []


def test_a_bank_that_the_newest_wrote_opens_here_and_takes_more(newest: Newest, tmp_path: Path) -> None:
    newest.run("tests/old/freeze.py", tmp_path / "theirs")
    then = json.loads((tmp_path / "theirs" / "expected.json").read_text(encoding="utf-8"))
    now: dict[str, Any] = facts.of_bank(tmp_path / "theirs" / "bank", list(then["at"]))
    assert now == {"log": then["log"], "at": then["at"]}
    bank = banks.open_bank(tmp_path / "theirs" / "bank")
    assert verifying.verify(bank) == ()
    bank.add(contribution.checked(write_expedition(tmp_path / "more", name="cruise9", seed=9)))
    told = newest.run("-c", f"from corebank import bank; print(bank.open_bank({str(bank.path)!r}).expeditions())")
    assert told.strip() == "['cruise1', 'cruise2', 'cruise9']"


def test_a_bank_written_here_opens_with_the_newest_and_takes_more(newest: Newest, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "tests/old/freeze.py", tmp_path / "ours"], cwd=ROOT, check=True, capture_output=True
    )
    newest.run("-c", READ_BACK, tmp_path / "ours")
    more = write_expedition(tmp_path / "more", name="cruise9", seed=9)
    newest.run("-c", ADD, tmp_path / "ours" / "bank", more)
    bank = banks.open_bank(tmp_path / "ours" / "bank")
    assert bank.expeditions() == ["cruise1", "cruise2", "cruise9"]
    assert verifying.verify(bank) == ()


def test_the_tests_of_bank_and_catalog_pass_with_the_newest(newest: Newest) -> None:
    """Warnings are errors there too: a use that is to be taken away is known before it is."""
    files = ("tests/bank/test_bank.py", "tests/bank/test_versions.py", "tests/catalog/test_catalog.py")
    newest.run("-m", "pytest", "-q", "-x", *files)
