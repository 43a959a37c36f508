"""From two folders of raw files to a table that `corebank predict` reads, as a user types it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from corebank import predict, transfer, virtual
from corebank.cli import app
from corebank.cli import run as run_program
from corebank.schema import EnergyGrid


def call(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        run_program(app, [str(word) for word in words])
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One core of two sections, scanned by two heads (the virtual scanner; the sediment depends on the seed alone)."""
    root = tmp_path_factory.mktemp("twice")
    expedition = replace(virtual.named("seed"), cores=1, sections_per_core=2)
    for name, instrument in (("a", "itrax-mo-2020"), ("b", "itrax-mo-2020-b")):
        virtual.write(root / name, replace(expedition, instrument=instrument))
    return root / "a", root / "b"


def test_from_two_folders_to_a_table_of_the_first_machine(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = folders
    mapping, table = tmp_path / "b-to-a.json", tmp_path / "as-of-a.csv"
    assert call("transfer", "learn", first, second, "--out", mapping) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{mapping}: {transfer.load(mapping).name}\n")
    assert "from  itrax, head B, Mo 30 kV 30 mA, none\nto    itrax, head A, Mo 30 kV 30 mA, none\n" in said
    assert "on held-out stretches of depth:\n  unmapped" in said

    assert call("transfer", "apply", mapping, second / "SEED-1_S2", "--out", table) == 0
    assert capsys.readouterr().out == (
        f"{table}: 30 spectra of itrax, head B, Mo 30 kV 30 mA, none as of itrax, head A, Mo 30 kV 30 mA, none\n"
    )
    mapped = predict.load(str(table), EnergyGrid())
    measured = {folder: predict.load(str(folder / "SEED-1_S2"), EnergyGrid()) for folder in folders}
    assert set(mapped["head"].values) == {"A"}
    total = {folder: float(run["intensity"].sum(dim="energy").mean()) for folder, run in measured.items()}
    assert float(mapped["intensity"].sum(dim="energy").mean()) == pytest.approx(total[first], rel=0.03)
    assert total[second] < 0.9 * total[first]
    assert np.isnan(mapped["intensity"].values).any()  # beyond what both detectors saw


def test_refusals_are_sentences_and_leave_nothing(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = folders
    out = tmp_path / "out.json"
    assert call("transfer", "learn", first, first, "--out", out) == 1
    assert "both scans say that they are of one machine, itrax, head A" in capsys.readouterr().err
    assert not out.exists()
    out.write_text("{}")
    assert call("transfer", "learn", first, second, "--out", out) == 1
    assert "there already" in capsys.readouterr().err
    assert call("transfer", "apply", out, second, "--out", tmp_path / "table.csv") == 1
    assert "no transfer, or changed since it was written" in capsys.readouterr().err
    assert call("transfer", "apply", out, second, "--out", tmp_path / "table.txt") == 1
    assert "cannot write .txt" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["out.json"]
    assert call("transfer", "learn", first) == 2
