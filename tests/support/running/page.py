"""The page of `snap ui`: a server of its own process, asked as a browser would."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from support.running.commandline import CommandLine

_SECONDS_MAX = 120.0
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: Mapping[str, str]


class _ToSocket(http.client.HTTPConnection):
    """A connection to a server's socket, as a forwarded port of localhost makes it."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", 8042, timeout=_SECONDS_MAX)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_SECONDS_MAX)
        self.sock.connect(str(self._path))


@dataclass
class Page:
    """A running server, its address and token, and the session once there is one."""

    process: subprocess.Popen[str]
    url: str
    socket: Path | None = None
    session: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def token(self) -> str:
        return self.url.partition("#token=")[2]

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def ask(self, path: str, method: str = "GET", body: str = "", **headers: str) -> Answer:
        """Send a request; ``X_Snap_Session`` is the header X-Snap-Session."""
        made = (
            _ToSocket(self.socket)
            if self.socket is not None
            else http.client.HTTPConnection(self.host, timeout=_SECONDS_MAX)
        )
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            made.request(method, path, body or None, {**self.headers, **given})
            answer = made.getresponse()
            return Answer(answer.status, answer.read().decode(), dict(answer.getheaders()))
        finally:
            made.close()

    def begin(self) -> None:
        """Exchange the token for a session; requests have it from now on."""
        answer = self.ask("/session", "POST", X_Snap_Token=self.token)
        assert answer.status == 200, answer.text
        self.session = answer.text
        self.headers["X-Snap-Session"] = answer.text

    def send(self, path: str, **values: str) -> Answer:
        """Send a form."""
        made = urlencode(values)
        kind = {name.replace("-", "_"): value for name, value in _FORM.items()}
        return self.ask(path, "POST", made, **kind)

    def start(self, verb: str, **values: str) -> str:
        """Start a job; return its address."""
        answer = self.send(f"/actions/{verb}", **values)
        assert answer.status == 200, answer.text
        return str(json.loads(answer.headers["hx-location"])["path"])

    def state(self, job: str) -> str:
        """Return the words for a job's state."""
        found = re.search(r'role="status"><span[^>]*>([^<]+)', self.ask(job).text)
        assert found is not None
        return found[1]

    def until(self, job: str, *states: str) -> str:
        """Wait until a job is in one of *states*; return its page."""
        deadline = time.monotonic() + _SECONDS_MAX
        while (state := self.state(job)) not in states:
            assert time.monotonic() < deadline, state
            assert state in ("under way", "waits for you"), self.ask(job).text
            time.sleep(0.05)
        return self.ask(job).text

    def run(self, verb: str, **values: str) -> str:
        """Run a job to its end, whatever that is; return its page."""
        return self.until(self.start(verb, **values), "done", "failed")


@contextmanager
def served(snap: CommandLine, *options: str, **more: Any) -> Iterator[Page]:
    """Run `snap ui` until the block ends."""
    child = snap.popen("ui", "--json", *options, **{"stderr": subprocess.DEVNULL, **more})
    try:
        assert child.stdout is not None
        text = ""
        while not text.endswith("\n}\n"):
            line = child.stdout.readline()
            assert line, f"it ended: {text}"
            text += line
        found = json.loads(text)
        path = Path(found["socket"]) if found["socket"] else None
        yield Page(child, found["url"], path)
    finally:
        child.terminate()
        child.wait(timeout=_SECONDS_MAX)
        if child.stdout is not None:
            child.stdout.close()
