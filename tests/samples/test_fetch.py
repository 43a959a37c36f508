"""Fetching: what has a name in the folder is what was published, whatever the server and the connection do."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank import samples
from corebank.contribution import metadata
from tests.samples.server import FILES, Server, made_up, mirrored, serving


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "about", lambda name: made_up(FILES))
    monkeypatch.setattr(samples, "PAUSE", 0.0)
    monkeypatch.delenv(samples.MIRROR, raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(mirrored(FILES)) as running:
        yield running


def held(folder: Path) -> dict[str, bytes]:
    """Every file in `folder`, hidden ones too, but for the words."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name != "contribution.toml"}


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(FILES)), st.integers(0, 10), min_size=1), st.booleans())
def test_a_connection_that_breaks_leaves_whole_files_only_and_the_next_fetch_gets_the_rest(
    broken: dict[str, int], cut_short: bool
) -> None:
    with tempfile.TemporaryDirectory() as place, serving(mirrored(FILES)) as server:
        folder = Path(place) / "core"
        if cut_short:
            server.cut = {f"made-up/{name}": len(FILES[name]) * tenths // 11 for name, tenths in broken.items()}
        else:
            server.busy.update({f"made-up/{name}": samples.TRIES for name in broken})
        with pytest.raises(samples.SampleError, match=r"cannot be fetched, in 3 tries .*goes on from here"):
            samples.fetch("made-up", folder, base_url=server.url)
        arrived = held(folder)
        assert arrived.items() <= FILES.items()
        assert not arrived.keys() & broken.keys()
        assert not (folder / "contribution.toml").exists()

        server.cut.clear()
        server.busy.clear()
        server.asked.clear()
        samples.fetch("made-up", folder, base_url=server.url)
        assert held(folder) == FILES
        assert server.asked.keys() == {f"made-up/{name}" for name in FILES.keys() - arrived.keys()}


@settings(max_examples=10, deadline=None)
@given(st.sets(st.sampled_from(sorted(FILES)), min_size=1))
def test_a_file_that_is_another_than_the_published_one_is_refused_and_not_kept(changed: set[str]) -> None:
    with tempfile.TemporaryDirectory() as place, serving(mirrored(FILES)) as server:
        server.changed = {f"made-up/{name}" for name in changed}
        with pytest.raises(samples.SampleError, match="is not the published file") as refused:
            samples.fetch("made-up", Path(place), base_url=server.url)
        named = [name for name in changed if repr(Path(name).name) in refused.value.found]
        assert len(named) == 1
        assert hashlib.sha256(FILES[named[0]]).hexdigest() in refused.value.found
        assert held(Path(place)).items() <= {name: FILES[name] for name in FILES.keys() - changed}.items()
        assert server.asked[f"made-up/{named[0]}"] == 1


def test_what_is_there_and_right_is_not_fetched_again(tmp_path: Path, server: Server) -> None:
    assert samples.fetch("made-up", tmp_path / "core", base_url=server.url) == tmp_path / "core"
    assert set(server.asked.values()) == {1}
    server.asked.clear()
    samples.fetch("made-up", tmp_path / "core", base_url=server.url)
    assert not server.asked


def test_somebodys_own_file_under_a_published_name_is_never_overwritten(tmp_path: Path, server: Server) -> None:
    (tmp_path / "LICENCE.md").write_text("my notes", encoding="utf-8")
    with pytest.raises(samples.SampleError, match=r"something else than what was published under 'LICENCE.md'"):
        samples.fetch("made-up", tmp_path, base_url=server.url)
    assert held(tmp_path) == {"LICENCE.md": b"my notes"}
    assert not server.asked


def test_words_that_somebody_has_changed_stay(tmp_path: Path, server: Server) -> None:
    (tmp_path / "contribution.toml").write_text("# mine", encoding="utf-8")
    samples.fetch("made-up", tmp_path, base_url=server.url)
    assert (tmp_path / "contribution.toml").read_text(encoding="utf-8") == "# mine"


def test_a_server_that_is_busy_for_a_moment_is_asked_again(tmp_path: Path, server: Server) -> None:
    server.busy["made-up/LICENCE.md"] = samples.TRIES - 1
    samples.fetch("made-up", tmp_path, base_url=server.url)
    assert held(tmp_path) == FILES
    assert server.asked["made-up/LICENCE.md"] == samples.TRIES


def test_a_file_that_does_not_end_where_the_published_one_does_is_broken_off(tmp_path: Path, server: Server) -> None:
    server.endless = {"made-up/S1/XRF data.zip"}
    with pytest.raises(samples.SampleError, match=r"is not the published file 'XRF data\.zip'"):
        samples.fetch("made-up", tmp_path, base_url=server.url)
    assert held(tmp_path).keys() <= FILES.keys() - {"S1/XRF data.zip"}


def test_a_file_that_the_server_does_not_have_is_told_at_once(tmp_path: Path, server: Server) -> None:
    server.files = {name: content for name, content in server.files.items() if not name.endswith(".md")}
    with pytest.raises(samples.SampleError, match=r"made-up/LICENCE.md: the server answers 404"):
        samples.fetch("made-up", tmp_path, base_url=server.url)
    assert server.asked["made-up/LICENCE.md"] == 1


def test_without_a_connection_the_message_says_so_and_names_the_way_out(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(samples.SampleError, match=r"cannot be fetched, in 3 tries .*COREBANK_SAMPLES_URL names"):
        samples.fetch("made-up", tmp_path, base_url=f"http://127.0.0.1:{port}")
    assert held(tmp_path) == {}


def test_a_mirror_that_is_no_web_address_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(samples.SampleError, match="localhost:8000: is no web address"):
        samples.fetch("made-up", tmp_path / "core", base_url="localhost:8000")
    assert not (tmp_path / "core").exists()


def test_the_environment_names_a_mirror(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(samples.MIRROR, f"{server.url}/")
    samples.fetch("made-up", tmp_path)
    assert held(tmp_path) == FILES


def test_laboratory_values_that_nobody_published_are_commented_out_until_somebody_brings_them(
    tmp_path: Path, server: Server
) -> None:
    toml = samples.fetch("made-up", tmp_path, base_url=server.url) / "contribution.toml"
    assert metadata.read(toml).measurements == ()
    assert "# labels.csv is no published file" in toml.read_text(encoding="utf-8")
    (tmp_path / "labels.csv").write_text("mid,TOC\n1,2\n", encoding="utf-8")
    toml.unlink()
    samples.fetch("made-up", tmp_path, base_url=server.url)
    assert [table.file for table in metadata.read(toml).measurements] == ["labels.csv"]
    assert "nobody/nothing at commit 0000" in toml.read_text(encoding="utf-8").split("\n")[0]


KILLED = """
import sys
from pathlib import Path
from corebank import samples
from tests.samples.server import FILES, made_up
samples.about = lambda name: made_up(FILES)
samples.fetch("made-up", Path(sys.argv[1]), base_url=sys.argv[2])
"""


def test_a_fetch_that_is_killed_in_the_middle_of_a_file_is_finished_by_the_next(tmp_path: Path, server: Server) -> None:
    server.stalled = {"made-up/S1/XRF data.zip"}
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path), server.url])
    started = time.monotonic()
    # Names only: a file that is still arriving may change its name between being listed and being read.
    while sum((tmp_path / name).exists() for name in FILES) < len(FILES) - 1 and process.poll() is None:
        assert time.monotonic() - started < 30, "the fetch does not come to its stalled file"
        time.sleep(0.02)
    process.kill()
    process.wait()
    arrived = held(tmp_path)
    assert FILES.keys() - arrived.keys() == {"S1/XRF data.zip"}
    assert arrived.keys() - FILES.keys() != set()  # the half file, under a name of no published one

    server.stalled.clear()
    server.asked.clear()
    samples.fetch("made-up", tmp_path, base_url=server.url)
    assert held(tmp_path) == FILES
    assert set(server.asked) == {"made-up/S1/XRF data.zip"}


def test_no_thread_is_left_running_after_a_failure(tmp_path: Path, server: Server) -> None:
    server.changed = {"made-up/LICENCE.md"}
    before = set(threading.enumerate())
    with pytest.raises(samples.SampleError):
        samples.fetch("made-up", tmp_path, base_url=server.url)
    left = set(threading.enumerate()) - before
    assert [thread.name for thread in left if thread.name.startswith("ThreadPoolExecutor")] == []
