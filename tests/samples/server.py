"""A web server on this machine that can break off, lie, stall or be busy, and that counts what it is asked for."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from corebank.samples import Published, Sample

FILES = {
    "S1/XRF data.zip": b"spectra" * 5_000,
    "S1/Results_ settings (2020) #1.dfl": b"keV/channel 2 = 0.01\n" * 50,
    "S1/M=9 100%_Results.txt": b"a\tb\r\n" * 3_000,
    "LICENCE.md": b"as you like",
}
"""A small core, with names that an address must not hold as they are."""

TOML = """\
[expedition]
name = "made-up"
title = "A made-up core"
site = "samples"
steward = "Nobody"
licence = "CC0-1.0"
doi = "10.0000/none"
citation = "Nobody (2024): Nothing"

[scanner]
kind = "itrax"

[[core]]
name = "C1"

[[core.section]]
folder = "S1"
name = "S1"
top = "0 mm"

[[measurements]]
file = "labels.csv"
depth = "mid [cm]"
columns = { TOC = "TOC [wt%]" }
"""


@dataclass
class Server:
    """What the server holds, what is wrong with it, and what it was asked for."""

    files: Mapping[str, bytes]
    """By path below the address, decoded."""
    cut: dict[str, int] = field(default_factory=dict)
    """Files whose sending ends after so many bytes, although the header promised all."""
    changed: set[str] = field(default_factory=set)
    """Files of which another last byte is sent."""
    endless: set[str] = field(default_factory=set)
    """Files of which fifty times as much is sent."""
    busy: Counter[str] = field(default_factory=Counter)
    """How many times each file is answered by 503 before it is sent."""
    stalled: set[str] = field(default_factory=set)
    """Files of which the first half is sent and then nothing until `release` is set."""
    release: threading.Event = field(default_factory=threading.Event)
    asked: Counter[str] = field(default_factory=Counter)
    url: str = ""


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Run `server` on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = unquote(urlsplit(self.path).path).lstrip("/")
            server.asked[name] += 1
            if server.busy[name]:
                server.busy[name] -= 1
                self.send_error(503)
                return
            if name not in server.files:
                self.send_error(404)
                return
            content = server.files[name]
            if name in server.endless:
                content *= 50
            if name in server.changed:
                content = content[:-1] + bytes([content[-1] ^ 1])
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if name in server.stalled:
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                server.release.wait(20)
                return
            self.wfile.write(content[: server.cut.get(name, len(content))])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Nothing: standard error belongs to the tests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        server.url = f"http://127.0.0.1:{running.server_address[1]}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.release.set()
            running.shutdown()
            thread.join()


def made_up(files: Mapping[str, bytes]) -> Sample:
    """A sample core of these files; on a mirror they lie in the folder ``made-up``."""
    return Sample(
        name="made-up",
        title="A made-up core",
        repository="github.com/nobody/nothing",
        commit="0" * 40,
        licence="CC0-1.0",
        citation="Nobody (2024): Nothing",
        doi="10.0000/none",
        mirror="made-up",
        files={
            name: Published(path=f"data/{name}", sha256=hashlib.sha256(content).hexdigest(), size=len(content))
            for name, content in files.items()
        },
        toml=TOML,
    )


def mirrored(files: Mapping[str, bytes]) -> Server:
    """A server that holds these files as a mirror does."""
    return Server({f"made-up/{name}": content for name, content in files.items()})
