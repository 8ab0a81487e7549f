"""A loopback S3 server that keeps its objects in a folder: localbucket, in a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path

from pgsnap import extras, interrupts
from pgsnap.demo.stage import DemoFailed
from pgsnap.values import dataclass

BUCKET = "backups"
_STARTS_WITHIN_SECONDS = 60.0
_ANSWERS_WITHIN_SECONDS = 30.0

# It ends with the demo, however that ends: its standard input is closed then.
_SERVER = """
import os, sys, threading
import localbucket
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
localbucket.main()
"""


class ServerMissing(DemoFailed):
    """The package with the S3 server is not installed."""

    kind = "demo-server-missing"


@dataclass(frozen=True, slots=True)
class ObjectServer:
    """A server that runs, and credentials for it."""

    port: int
    secret: str = field(default_factory=secrets.token_urlsafe, repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """What leads to it, and to no other store."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "snap-demo",
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": "us-east-1",
        }


def require_server() -> None:
    """Raise ServerMissing unless `object_server` can start."""
    if importlib.util.find_spec("localbucket") is None:
        raise ServerMissing(
            "this part of the demo needs an S3 server, localbucket, which is not installed",
            detail="The Python of snap has no module localbucket.",
            hint=extras.hint("demo"),
        )


@contextlib.contextmanager
def object_server(folder: Path) -> Iterator[ObjectServer]:
    """Run the server, with an empty bucket, during the block; its log goes to *folder*."""
    server = ObjectServer(_free_port())
    log = folder / "object-server.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-c", _SERVER, "--port", str(server.port), str(folder / "store")],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            cwd=folder,
        ) as process,
    ):
        try:
            with interrupts.killed_too(process.kill):
                _wait_for(server.port, process, log)
                _make_bucket(server.port)
                yield server
        finally:
            process.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text("utf-8", "replace").strip()[-2000:]
            raise DemoFailed("the S3 server of the demo did not start", detail=tail)
        interrupts.sleep(0.05)


def _make_bucket(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWERS_WITHIN_SECONDS)
    with contextlib.closing(connection):
        connection.request("PUT", f"/{BUCKET}")
        status = connection.getresponse().status
    if status != http.client.OK:
        raise DemoFailed(f"the S3 server of the demo answered {status} to a new bucket")
