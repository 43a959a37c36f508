"""The real cores: all that their files hold is in the bank, bit for bit, and the iron line is where it should be."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from corebank import bank as banks
from corebank import contribution, readers
from corebank.bank import Bank
from corebank.contribution import Report
from corebank.errors import ReadError

pytestmark = pytest.mark.real

SAMPLES = Path(__file__).parents[2] / "corebank" / "sample_cores"
SPECTRA = {"cd166": 798, "ardley": 2124, "lagopato": 496}
FE_KA = 6.40
"""Fe K-alpha [keV], mean of its two lines (X-ray Data Booklet, table 1-2: 6.404 and 6.391)."""


@pytest.fixture(scope="module")
def cores(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bank, dict[str, Report]]:
    """One bank with the three sample cores, and the report of each."""
    bank = banks.create(tmp_path_factory.mktemp("real") / "bank", site="samples")
    reports = {}
    for name in SPECTRA:
        checked = contribution.checked(data / f"itrax-{name}", SAMPLES / f"{name}.toml")
        bank.add(checked)
        reports[name] = checked.report
    return bank, reports


def counts_of(content: bytes) -> np.ndarray:
    """The counts of an Itrax file, read a second way: every other word after the table's title."""
    return np.array([float(word) for word in content.split(b"channel\tcontent\t\t\r")[1].split()[1::2]])


def content_of(folder: Path) -> Callable[[str], bytes]:
    """A function from the bank's ``source`` to the bytes of that file, every archive below `folder` opened once."""
    open_archive = lru_cache(maxsize=None)(zipfile.ZipFile)

    def content(source: str) -> bytes:
        outer, _, member = source.partition("!")
        return open_archive(folder / outer).read(member) if member else (folder / outer).read_bytes()

    return content


def test_all_spectra_are_there_and_none_is_in_the_way(cores: tuple[Bank, dict[str, Report]], data: Path) -> None:
    bank, reports = cores
    assert {name: sum(report.runs.values()) for name, report in reports.items()} == SPECTRA
    assert {name: bank.spectra(name).sizes["spectrum"] for name in SPECTRA} == SPECTRA
    assert not [finding for report in reports.values() for finding in report.findings if finding.severity == "refused"]
    # Counted once more without corebank: files named as the scanner names its scan points, in archives and beside them.
    points = [
        member
        for path in data.glob("itrax-*/**/*.zip")
        for member in zipfile.ZipFile(path).namelist()
        if member.split("/")[-1].startswith("L0")
    ]
    beside = list((data / "itrax-lagopato").glob("**/L0*.txt"))
    assert len(points) + len(beside) == sum(SPECTRA.values()) == 3418


def test_the_counts_of_every_spectrum_are_those_of_its_file(cores: tuple[Bank, dict[str, Report]], data: Path) -> None:
    bank, _ = cores
    for name in SPECTRA:
        content = content_of(data / f"itrax-{name}")
        for run in bank.runs(name):
            found = bank.run(name, run, "counts").load()
            for counts, source in zip(found["counts"].values, found["source"].values, strict=True):
                assert np.array_equal(counts, counts_of(content(str(source)))), source


def test_the_second_scans_of_cd166_are_linked_to_the_first(cores: tuple[Bank, dict[str, Report]]) -> None:
    spectra = cores[0].spectra("cd166").load()
    copies = spectra.isel(spectrum=np.flatnonzero(spectra["replicate_of"].values != ""))
    assert copies.sizes["spectrum"] == 399
    assert set(copies["run"].values) == {"s1-rep2", "s2-rep2", "s3-rep2"}
    firsts = spectra.isel(spectrum=np.flatnonzero(spectra["replicate_of"].values == ""))
    assert set(copies["replicate_of"].values) == set(firsts["source_sha256"].values)


@pytest.mark.parametrize("name", SPECTRA)
def test_the_iron_line_is_within_a_bin_of_its_energy(cores: tuple[Bank, dict[str, Report]], name: str) -> None:
    """One test for the axis of three set-ups: 2,048 channels of 2020, 1,024 of 2008."""
    spectra = cores[0].spectra(name)
    mean = spectra["intensity"].mean("spectrum").values
    near = np.flatnonzero(np.abs(spectra["energy"].values - FE_KA) < 0.3)
    peak = spectra["energy"].values[near[np.nanargmax(mean[near])]]
    assert abs(peak - FE_KA) <= 0.02 + 1e-9


def test_each_machine_measured_its_own_range(cores: tuple[Bank, dict[str, Report]]) -> None:
    for name, (low, high) in {"cd166": (0.32, 21.0), "ardley": (0.56, 18.7)}.items():
        spectra = cores[0].spectra(name)
        known = spectra["energy"].values[np.isfinite(spectra["intensity"].isel(spectrum=0).values)]
        assert (known[0], known[-1]) == (pytest.approx(low, abs=0.05), pytest.approx(high, abs=0.1))


def test_ardleys_laboratory_values_are_there(cores: tuple[Bank, dict[str, Report]]) -> None:
    values = cores[0].measurements("ardley")
    iron = values[(values["proxy"] == "Fe2O3") & (values["section"] == "ARD1E")]
    assert len(iron) == 29
    assert set(iron["unit"]) == {"wt%"}
    assert (iron["depth_bottom"] - iron["depth_top"]).round(6).unique().tolist() == [10.0]


def test_the_archives_odd_companions_do_what_they_should(cores: tuple[Bank, dict[str, Report]]) -> None:
    bank, reports = cores
    told = {(finding.where, finding.found) for finding in reports["ardley"].findings}
    assert ("ARD_13_8_Mo/ARD1C", "9 of 493 spectra are not in Results.txt") in told
    assert ("ARD_13_8_Mo/ARD1B/2013/Results.txt", "has values for 16 of 326 spectra") in told
    assert [one.kind for one in reports["cd166"].findings].count("radiograph") == 3
    assert ("ard1a", "41 of 393 spectra: not in position") in told
    assert set(bank.run("cd166", "s2-rep1")["energy_source"].values) == {"CD166_19_S2/CD166_19_S2_REP1/Results.txt"}
    assert str(bank.run("ardley", "ard1a")["scanned_at"].values[0]).startswith("2008-08-")


def test_calibration_sums_read_to_the_count_or_are_refused_for_a_header_that_is_not_theirs(data: Path) -> None:
    """Whole counts, bare line feeds; the header above them is that of some single spectrum."""
    said = Counter[str]()
    for path in (data / "itrax-cd166" / "calibration_samples" / "sumspectra").iterdir():
        try:
            assert np.array_equal(readers.read(path)["counts"].values[0], counts_of(path.read_bytes())), path
            said["read"] += 1
        except ReadError as error:
            assert "the file's own total is" in str(error)  # noqa: PT017 - some of the headers happen to fit
            said["refused"] += 1
    assert said.total() == 60
    assert said["read"]
