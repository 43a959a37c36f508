"""Places for banks that tests start and stop: an S3 store, web servers, and a disturber that stands before a store."""

from __future__ import annotations

import functools
import http.client
import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from RangeHTTPServer import RangeRequestHandler

KEY, SECRET = "a-test-key", "a-test-secret-nobody-may-ever-find"
"""What the tests' environment says; no written file may hold either."""


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """A web server on a free port of this machine, until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def web(folder: Path, asked: list[tuple[str, str | None]] | None = None, *, ranges: bool = True) -> Iterator[str]:
    """`folder` behind a static file server with or without Range requests; what is asked for goes to `asked`."""
    kind: type[SimpleHTTPRequestHandler] = RangeRequestHandler if ranges else SimpleHTTPRequestHandler

    class Handler(kind):  # type: ignore[misc, valid-type] - chosen above
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            if asked is not None:
                asked.append((self.path, self.headers.get("Range")))
            super().do_GET()

    with serving(functools.partial(Handler, directory=str(folder))) as address:
        yield address


@dataclass
class Disturber:
    """Passes requests on to a store, and answers some of them itself."""

    upstream: str
    """Host and port of the store."""
    answer: Callable[[str, str, int], tuple[int, str] | None] = lambda *_: None
    """(method, path, how many came before) -> the status and the S3 code to refuse with, or None to pass it on."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of every request."""

    @contextmanager
    def standing(self) -> Iterator[str]:
        """The disturber's address, until the block ends."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                refused = outer.answer(self.command, self.path, len(outer.asked))
                outer.asked.append((self.command, self.path))
                if refused is not None:
                    status, code = refused
                    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
                    self._send(status, [("Content-Type", "application/xml")], text)
                    return
                link = http.client.HTTPConnection(outer.upstream, timeout=30)
                link.request(self.command, self.path, body or None, dict(self.headers.items()))
                answer = link.getresponse()
                keep = [pair for pair in answer.getheaders() if pair[0].lower() not in ("content-length", "connection")]
                self._send(answer.status, keep, answer.read(), answer.getheader("Content-Length"))
                link.close()

            def _send(
                self, status: int, headers: list[tuple[str, str]], body: bytes, length: str | None = None
            ) -> None:
                self.send_response_only(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", length or str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

        for method in ("GET", "PUT", "HEAD", "POST", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.handle_any)
        with serving(Handler) as address:
            yield address


@contextmanager
def s3() -> Iterator[str]:
    """An S3 store in this process, on a free port of this machine; its address."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # one line a request otherwise
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def s3_environment(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Let the environment name a store and who is asking, as a lab's would."""
    for name, value in (
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_REGION", "eu-north-1"),
    ):
        monkeypatch.setenv(name, value)


def client(endpoint: str) -> Any:
    """What a lab's own tools would speak to a store with."""
    import boto3

    return boto3.client(
        "s3", endpoint_url=endpoint, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1"
    )


def new_bucket(endpoint: str) -> str:
    """Make a bucket of a new name; returns it."""
    name = f"lab-{uuid.uuid4().hex[:12]}"
    client(endpoint).create_bucket(Bucket=name)
    return name


def objects(endpoint: str, bucket: str) -> dict[str, bytes]:
    """Everything in a bucket, by its key."""
    store = client(endpoint)
    pages = store.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {
        one["Key"]: store.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
        for page in pages
        for one in page.get("Contents", ())
    }
