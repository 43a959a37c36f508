"""The lists of published files, and the real sample cores served from this machine."""

from __future__ import annotations

import filecmp
import json
import re
import tomllib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from threading import Thread
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd
import pytest

from corebank import contribution, samples
from corebank.readers import itrax
from corebank.readers.files import File
from corebank.samples import calibration

EVERY = pytest.mark.parametrize("name", samples.NAMES)


class Quiet(SimpleHTTPRequestHandler):
    """A plain file server that writes no log."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing: standard error belongs to the tests."""


@pytest.fixture(scope="module")
def mirror(data: Path) -> Iterator[str]:
    """Address of a plain file server over the folder of real cores."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(data))) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@EVERY
def test_every_listed_file_stays_inside_the_folder_and_has_a_hash_and_a_size(name: str) -> None:
    files = samples.about(name).files
    assert files
    for file, published in files.items():
        assert not PurePosixPath(file).is_absolute()
        assert not {"..", "", "."} & set(file.split("/"))
        assert "\\" not in file
        assert re.fullmatch("[0-9a-f]{64}", published.sha256)
        assert published.size > 0


@EVERY
def test_every_address_leads_back_to_the_path_in_the_repository(name: str) -> None:
    sample = samples.about(name)
    for file, published in sample.files.items():
        address = urlsplit(sample.url(file))
        owner = sample.repository.removeprefix("github.com/")
        assert unquote(address.path) == f"/{owner}/{sample.commit}/{published.path}"
        assert (address.scheme, address.netloc, address.query, address.fragment) == (
            "https",
            "raw.githubusercontent.com",
            "",
            "",
        )
        assert re.fullmatch(r"[A-Za-z0-9/._~%-]+", address.path)


@EVERY
def test_the_words_give_the_licence_of_the_list_and_what_is_shown_names_source_licence_and_citation(name: str) -> None:
    sample = samples.about(name)
    assert f'licence = "{sample.licence}"' in sample.toml
    for shown in (sample.repository, sample.commit, sample.licence, sample.citation, sample.doi):
        assert shown in str(sample)


def test_an_unknown_sample_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(samples.SampleError, match=r"cd165: is no sample core. Take one of ardley, cd166, "):
        samples.fetch("cd165", Path("nowhere"))
    assert not Path("nowhere").exists()


@EVERY
def test_the_lists_agree_with_those_of_the_folder_of_real_cores(name: str, data: Path) -> None:
    sources = json.loads((data / "SOURCES.json").read_text(encoding="utf-8"))
    sample = samples.about(name)
    theirs = sources[sample.mirror]
    assert (sample.repository, sample.commit, sample.licence) == tuple(
        theirs[key] for key in ("repository", "commit", "licence")
    )
    listed = {file: {"path": one.path, "sha256": one.sha256, "bytes": one.size} for file, one in sample.files.items()}
    assert listed.items() <= theirs["files"].items()
    if name != "cd166-calibration":
        assert listed == theirs["files"]


@pytest.mark.real
@EVERY
def test_a_fetched_core_is_the_folder_of_real_data_byte_for_byte(
    name: str, data: Path, mirror: str, tmp_path: Path
) -> None:
    folder = samples.fetch(name, tmp_path / name, base_url=mirror, progress=False)
    sample = samples.about(name)
    _, different, odd = filecmp.cmpfiles(data / sample.mirror, folder, list(sample.files), shallow=False)
    assert (different, odd) == ([], [])
    ours = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - set(sample.files)
    made = {"spectra-S1.csv", "spectra-S2.csv", "spectra-S3.csv", "icp.csv"} if "calibration" in name else set()
    assert ours == {"contribution.toml"} | made
    words = tomllib.loads((folder / "contribution.toml").read_text(encoding="utf-8"))
    assert [(folder / table["file"]).is_file() for table in words.get("measurements", [])] == [True] * (
        "icp.csv" in made
    )
    assert words["core"] == tomllib.loads(sample.toml)["core"]


@pytest.mark.real
def test_the_labelled_samples_pass_the_check_and_go_in_with_every_count_and_value(mirror: str, tmp_path: Path) -> None:
    folder = samples.fetch("cd166-calibration", tmp_path / "core", base_url=mirror, progress=False)
    report, checked = contribution.check(folder)
    assert [str(finding) for finding in report.findings if finding.severity in ("refused", "decision")] == []
    assert checked is not None
    assert {name: run.sizes["spectrum"] for name, run in checked.runs.items()} == {"s1": 14, "s2": 20, "s3": 26}
    assert len(checked.measurements) == 60 * len(calibration.ELEMENTS)
    for run in checked.runs.values():
        for source, counts in zip(run["source"].values, run["counts"].values, strict=True):
            path = folder / "calibration_samples" / "sumspectra" / str(source).split("/")[-1]
            (spectrum,) = itrax.parse(File(path.name, path.read_bytes()))
            np.testing.assert_array_equal(counts, spectrum.counts)


@pytest.mark.real
def test_the_tables_of_the_labelled_samples_hold_the_counts_of_the_files(data: Path) -> None:
    folder = data / "itrax-cd166"
    made = calibration.tables(folder, samples.about("cd166-calibration").toml)
    seen = set()
    for name in ("spectra-S1.csv", "spectra-S2.csv", "spectra-S3.csv"):
        lines = [line.split(",") for line in made[name].splitlines()]
        assert lines[0][:5] == ["filename", "core", "section", "composite_depth_mm", "section_depth_mm"]
        assert lines[0][5:] == [str(channel) for channel in range(2048)]
        for source, core, section, depth, position, *counts in lines[1:]:
            path = folder / "calibration_samples" / "sumspectra" / source
            (spectrum,) = itrax.parse(File(source, path.read_bytes()))
            np.testing.assert_array_equal(np.array(counts, dtype=np.int64), spectrum.counts)
            assert (core, f"spectra-{section}.csv") == ("CD166/19", name)
            assert source == f"sumspectra_cd166-{(float(depth) - 5) / 10:g}.spe"
            assert float(depth) - float(position) == {"S1": -31.5, "S2": 1257, "S3": 2745}[section]
            seen.add(source)
    assert len(seen) == 60


@pytest.mark.real
def test_the_digests_agree_with_the_handheld_measurements_of_the_same_samples(data: Path) -> None:
    """Another instrument in another laboratory: a wrong dilution or a swapped column would show at once."""
    folder = data / "itrax-cd166"
    made = calibration.tables(folder, samples.about("cd166-calibration").toml)[calibration.LABORATORY]
    rows = [line.split(",") for line in made.splitlines()]
    table = pd.DataFrame(rows[1:], columns=rows[0]).set_index("top_mm")
    hand = pd.read_csv(folder / "calibration_samples" / "hhxrf_tidy.csv")
    hand.index = hand["top"].astype(int).astype(str)
    assert set(table.index) == set(hand.index)
    for element, unit in (("Ca", 1e4), ("Fe", 1e4), ("Sr", 1.0)):
        ours, theirs = table[element].astype(float) * unit, hand[element].reindex(table.index)
        assert np.corrcoef(ours, theirs)[0, 1] > 0.95
        assert 0.8 < float((ours / theirs).median()) < 1.25
    assert table.loc["330", "Ca"] == f"{502.972 * 100 / 0.2051 / 1e4:.6g}"
