"""Virtual expeditions on disk: the bytes of the scanners, the same every time, readable by a lab's tools."""

from __future__ import annotations

import re
import tomllib
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import cli
from corebank.errors import ContributionError, RecipeError
from corebank.virtual import EXPEDITIONS, INSTRUMENTS, Expedition, write
from corebank.virtual.expedition import named, scan
from corebank.virtual.sediment import SETTINGS, sediment

HEADER = [
    "Date",
    "Time",
    "Version no",
    "Project name",
    "Sample name",
    "Section name",
    "Position",
    "E0",
    "E1",
    "sample surface",
    "Tube anode",
    "Tube voltage",
    "Tube current",
    "gain",
    "std. database",
    "resultfile",
    "matrix element",
    "sample thickness",
    "air passage",
    "comments",
    "peaking_time",
    "trigger_threshold",
    "mca_bin_width",
    "number_mca_channels",
    "gap_time",
    "trigger_peaking_time",
    "GAINDAC",
    "HIGHGAIN",
    "TAURC",
    "RCTAU",
    "RCTAUFRAC",
    "livetime",
    "runtime",
    "input_count_rate",
    "output_count_rate",
    "triggers",
    "events_in_run",
]


def small(name: str, **changes: object) -> Expedition:
    """A preset with few spectra."""
    few = {"cores": 2, "sections_per_core": 2, "spectra_per_section": 4, "labels_per_core": 3}
    return replace(EXPEDITIONS[name], **few | changes)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("name", sorted(EXPEDITIONS))
def test_the_same_expedition_is_the_same_to_the_byte(tmp_path: Path, name: str) -> None:
    write(tmp_path / "once", small(name))
    write(tmp_path / "again", small(name))
    assert contents(tmp_path / "once") == contents(tmp_path / "again")
    write(tmp_path / "other", small(name, seed=99))
    assert contents(tmp_path / "once") != contents(tmp_path / "other")


@pytest.mark.parametrize("name", sorted(EXPEDITIONS))
def test_the_contribution_names_what_is_there(tmp_path: Path, name: str) -> None:
    expedition = small(name)
    write(tmp_path / name, expedition)
    said = tomllib.loads((tmp_path / name / "contribution.toml").read_text(encoding="utf-8"))
    assert said["expedition"]["synthetic"] is True
    assert len(said["core"]) == expedition.cores
    for core in said["core"]:
        for section in core["section"]:
            assert (tmp_path / name / section["folder"]).is_dir()
            assert re.fullmatch(r"[a-z0-9-]+", section["run"])
    assert ("calibration" in said["scanner"]) == (said["scanner"]["kind"] == "avaatech")
    (measured,) = said["measurements"]
    table = pd.read_csv(tmp_path / name / measured["file"])
    wanted = [measured["core"], measured["top"], measured["bottom"], *measured["columns"].values()]
    assert list(table.columns) == [column.split(" [")[0] for column in wanted]
    assert set(table[measured["core"]]) == {core["name"] for core in said["core"]}
    assert table.drop(columns="core").ge(0).all(axis=None)
    assert len(table) == expedition.cores * expedition.labels_per_core


@pytest.mark.parametrize("name", ["vm1", "vl1"])
def test_itrax_spectra_have_the_scanner_s_layout(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, small(name))
    section = next(p for p in sorted((tmp_path / name).iterdir()) if p.is_dir())
    with zipfile.ZipFile(section / "XRF data.zip") as archive:
        assert archive.namelist() == [f"XRF data/L{i:06d}.spe" for i in range(4)]
        raw = archive.read("XRF data/L000001.spe")
    for content in (raw, (section / "sumspectra.spe").read_bytes()):
        head, body = content.split(b"channel\tcontent\t\t\r")
        items = head.decode("ascii").split("\r")[:-1]
        assert b"\n" not in head
        assert [item.split("\t")[0].rstrip(":") for item in items] == HEADER
        assert all(item.count("\t") == 3 for item in items)
        channels = INSTRUMENTS[EXPEDITIONS[name].instrument].channels
        lines = body.split(b"\r\n")
        assert lines[-1] == b""
        assert [line.split(b"\t")[0] for line in lines[:-1]] == [b"%d.000" % i for i in range(1, channels + 1)]
        assert all(re.fullmatch(rb"\d+\.000", line.split(b"\t")[1]) for line in lines[:-1])
    head, body = raw.split(b"channel\tcontent\t\t\r")
    fields = dict(item.split("\t")[:2] for item in head.decode("ascii").split("\r")[:-1])
    assert int(fields["events_in_run"]) == sum(int(float(line.split(b"\t")[1])) for line in body.splitlines())
    assert (fields["E0"], fields["E1"]) == ("0.000000", "1.000000")  # the placeholder that real files hold
    assert float(fields["livetime"]) < float(fields["runtime"])


def test_an_itrax_folder_can_hold_plain_files(tmp_path: Path) -> None:
    write(tmp_path / "zipped", small("vm1"))
    write(tmp_path / "plain", small("vm1"), zipped=False)
    with zipfile.ZipFile(tmp_path / "zipped" / "VM1-1_S1" / "XRF data.zip") as archive:
        for name in archive.namelist():
            assert archive.read(name) == (tmp_path / "plain" / "VM1-1_S1" / name).read_bytes()


def test_the_result_table_calibrates_each_spectrum(tmp_path: Path) -> None:
    write(tmp_path / "vm1", small("vm1"))
    lines = (tmp_path / "vm1" / "VM1-1_S1" / "Results.txt").read_bytes().decode("ascii").split("\n")
    assert lines[0].endswith("     06-Oct-20  re-evaluated data")
    assert lines[1] == "peakarea"
    assert all(line.endswith("\t") for line in lines[2:])
    table = pd.DataFrame([line.split("\t") for line in lines[3:]], columns=lines[2].split("\t"))
    assert table["filename"].str.endswith(".spe").all()
    assert set(table["E-gain"]) == {"0.010267"}
    assert table["Fe"].astype(int).min() > 1000
    assert {"Mo inc", "Mo coh", "Dt", "validity", "cps", "MSE"} <= set(table.columns)
    document = (tmp_path / "vm1" / "VM1-1_S1" / "document.txt").read_bytes()
    assert b"XRF voltage and current\t30\t  \t30\n" in document
    assert b"Step size\t5000\tmicrons" in document
    settings_file = (tmp_path / "vm1" / "VM1-1_S1" / "Results_ settings.dfl").read_bytes()
    assert b"keV/channel 2 = 0.01026700\nenergy offset 2 = -0.00993100" in settings_file


def test_avaatech_spectra_have_key_and_value_lines(tmp_path: Path) -> None:
    expedition = small("vs1")
    write(tmp_path / "vs1", expedition)
    paths = sorted((tmp_path / "vs1" / "VS1-1_S1").iterdir())
    assert paths[0].name == "VS1-1_0000    5.0mm  10s  10kV 150uA No-Filter   0.0mm Run1 Rep0 Sett Low.spe"
    text = paths[0].read_bytes().decode("ascii")
    lines = text.split("\r\n")
    assert lines[lines.index("$ACC_VOLT:") + 1] == "10"
    assert lines[lines.index("$TUBE_CUR:") + 1] == "0.150"
    live, real = (float(t) for t in lines[lines.index("$MEAS_TIM:") + 1].split())
    assert live == 10 < real
    assert "CAL" not in text  # real files carry no energy calibration
    start = lines.index("$DATA:")
    assert lines[start + 1] == "0 2047"
    counts = np.array(" ".join(lines[start + 2 :]).split(), dtype=np.uint32)
    np.testing.assert_array_equal(counts, scan(expedition, 0, 0).spectra["counts"][0])


def test_the_truth_comes_only_when_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "without", small("seed"))
    write(tmp_path / "with", small("seed"), truth=True)
    truth = pd.read_csv(tmp_path / "with" / "truth" / "truth.csv")
    assert not (tmp_path / "without" / "truth").exists()
    assert len(truth) == 2 * 2 * 4
    labels = pd.read_csv(tmp_path / "with" / "laboratory.csv")
    first = truth[(truth.core == "SEED-1") & (truth.section == "S1") & (truth.position_mm == 5)]
    assert labels["CaCO3_pct"][0] == pytest.approx(first["CaCO3_pct"].item(), rel=0.15)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ContributionError, match="not empty"):
        write(tmp_path, small("seed"))


@given(st.sampled_from(sorted(SETTINGS)), st.integers(0, 1000), st.lists(st.floats(0, 5000), min_size=2, max_size=20))
@settings(deadline=None, max_examples=50)
def test_a_depth_has_one_composition_however_it_is_sampled(setting: str, seed: int, depths: list[float]) -> None:
    together = sediment(setting, np.array(depths), core_seed=(seed,))
    alone = sediment(setting, np.array(depths[:1]), core_seed=(seed,))
    shares = together["mass_fraction"].to_numpy()
    np.testing.assert_allclose(shares[:1], alone["mass_fraction"], rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (shares >= 0).all()
    assert (together["CaCO3"] + together["TOC"]).max() < 100


def test_elements_keep_the_company_they_keep_in_nature() -> None:
    cores = [sediment("hemipelagic", np.arange(0, 2000, 10.0), core_seed=(7, k)) for k in range(5)]
    shares = np.concatenate([core["mass_fraction"] for core in cores])
    element = dict(zip(cores[0]["element"].values, shares.T, strict=True))
    carbonate, carbon = (np.concatenate([core[name] for core in cores]) for name in ("CaCO3", "TOC"))
    for one in ("Si", "K", "Ti", "Fe", "Rb"):
        assert np.corrcoef(element["Al"], element[one])[0, 1] > 0.5
        assert np.corrcoef(carbonate, element[one])[0, 1] < -0.5
    assert np.corrcoef(carbonate, element["Sr"])[0, 1] > 0.9
    assert np.corrcoef(carbon, element["Br"])[0, 1] > 0.7
    beyond_sea_salt = element["S"] - element["Cl"] * 0.0259 / 0.550
    assert np.corrcoef(carbon, beyond_sea_salt)[0, 1] > 0.7


@given(st.sampled_from(sorted(EXPEDITIONS)), st.integers(1, 3), st.integers(1, 3))
@settings(deadline=None, max_examples=8)
def test_more_cores_leave_the_first_ones_as_they_are(name: str, few: int, more: int) -> None:
    sizes = {"sections_per_core": 1, "spectra_per_section": 3}
    one, other = (named(name, 7, cores=cores, **sizes) for cores in (few, few + more))
    assert (one.cores, other.cores, one.seed, other.title) == (few, few + more, 7, EXPEDITIONS[name].title)
    np.testing.assert_array_equal(scan(one, few - 1, 0).spectra["counts"], scan(other, few - 1, 0).spectra["counts"])
    assert named(name, None, cores=None) == EXPEDITIONS[name]


def test_the_command_writes_as_many_as_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "--expedition",
        "seed",
        "--seed",
        "8",
        "--cores",
        "3",
        "--sections",
        "2",
        "--spectra",
        "4",
        "--step",
        "20",
        "--labels",
        "5",
        "--site",
        "lab",
    ]
    with pytest.raises(SystemExit) as ended:
        cli.run(cli.app, ["virtual", str(tmp_path / "raw"), *words])
    assert not ended.value.code, capsys.readouterr().err
    said = tomllib.loads((tmp_path / "raw" / "contribution.toml").read_text(encoding="utf-8"))
    assert said["expedition"]["site"] == "lab"
    assert [len(core["section"]) for core in said["core"]] == [2, 2, 2]
    assert said["core"][0]["section"][1]["top"] == "80 mm"
    labels = pd.read_csv(tmp_path / "raw" / "laboratory.csv")
    assert labels.groupby("core").size().tolist() == [5, 5, 5]
    with zipfile.ZipFile(tmp_path / "raw" / "SEED-3_S2" / "XRF data.zip") as archive:
        assert len(archive.namelist()) == 4
    capsys.readouterr()
    for word in ("--cores", "--labels", "--step"):
        with pytest.raises(SystemExit) as ended:
            cli.run(cli.app, ["virtual", str(tmp_path / "none"), word, "0"])
        assert ended.value.code == 1
        assert "not positive" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_unknown_settings_and_scanners_are_refused() -> None:
    with pytest.raises(RecipeError, match="no sediment setting"):
        sediment("moon", np.array([0.0]), core_seed=(1,))
    with pytest.raises(RecipeError, match=r"Expedition\.setting"):
        small("seed", setting="moon")
    with pytest.raises(RecipeError, match=r"Expedition\.instrument"):
        small("seed", instrument="spoon")
    with pytest.raises(RecipeError, match="not positive"):
        small("seed", cores=0)
