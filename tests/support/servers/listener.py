"""An HTTP server on loopback that keeps what it is sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


@dataclass(frozen=True)
class Request:
    path: str
    body: bytes
    method: str = "POST"


class Listener:
    """Answers with *codes*, one after another, then with 200. A context manager.

    A code that redirects sends to *location*. *before* runs before each answer, whose head then
    comes in bytes, *pause* seconds apart.
    """

    def __init__(
        self,
        codes: Sequence[int] = (),
        *,
        location: str = "",
        before: Callable[[], object] = lambda: None,
        pause: float = 0.0,
    ) -> None:
        self.requests: list[Request] = []
        waiting = list(codes)
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                requests.append(Request(self.path, body, self.command))
                before()
                for byte in b"HTTP/1.0 200 OK\r\n\r\n" if pause else b"":
                    try:
                        self.wfile.write(bytes([byte]))
                    except OSError:
                        return
                    time.sleep(pause)
                if pause:
                    return
                code = waiting.pop(0) if waiting else 200
                self.send_response(code)
                if code // 100 == 3:
                    self.send_header("Location", location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # Its default, half a second, is what each test would wait for its end.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
