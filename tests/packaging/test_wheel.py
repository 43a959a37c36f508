"""The wheel: what a lab gets that only pip-installs, in an environment with nothing else in it."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

OPEN_A_BANK = """
import sys, intake
cat = intake.open_catalog(sys.argv[1])
spectra = cat["virtual"]["seed"].to_dask()
assert spectra["intensity"].chunks is not None, "not lazy"
assert float(spectra["intensity"].isel(spectrum=0).sum()) > 0
assert len(cat["virtual"]["seed-measurements"].read()) > 0
assert not {"torch", "mlflow", "safetensors"} & set(sys.modules)
for name in ("torch", "mlflow", "training", "registry"):
    try:
        __import__(name)
    except ImportError:
        continue
    raise SystemExit(f"{name} is installed")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    return next(folder.glob("corebank-*.whl"))


def test_the_wheel_holds_corebank_and_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"corebank"}


def test_the_wheel_carries_the_words_about_public_cores(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for core in ("cd166", "cd166-calibration", "ardley", "lagopato"):
        assert {f"corebank/sample_cores/{core}.toml", f"corebank/sample_cores/{core}.json"} <= names
    assert {"corebank/py.typed", "corebank/page/report.html", "corebank/page/report.css"} <= names


@pytest.mark.slow
def test_a_clean_environment_with_the_wheel_alone_opens_a_bank_through_intake(wheel: Path, tmp_path: Path) -> None:
    """No extras, another working directory: the README's first Python lines work without torch or mlflow."""
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--constraint", str(ROOT / "constraints.txt"), str(wheel)],
        check=True,
        capture_output=True,
    )
    done = subprocess.run(
        [python, "-I", "-c", OPEN_A_BANK, str(ROOT / "catalog" / "federation.yaml")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
