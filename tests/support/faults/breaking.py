"""A TCP proxy that breaks one connection at a chosen byte, and lets those after it through.

What the client sent before the break may be lost, have been done without an answer, or arrive when
the client has long been back on another connection.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import threading
from collections.abc import Iterator


class Break(enum.Enum):
    """How a connection ends."""

    REQUEST_LOST = enum.auto()
    ANSWER_LOST = enum.auto()
    REQUEST_LATE = enum.auto()


class BreakingProxy:
    """Passes bytes on until it is armed and that many of them have passed."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._lock = threading.Lock()
        self._armed: Break | None = None
        self._left = 0
        self._held: list[tuple[socket.socket, bytes]] = []
        self._sockets: list[socket.socket] = []
        self.has_broken = threading.Event()
        self.passed = {False: 0, True: 0}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, how: Break, after: int) -> None:
        """Break the next connection that passes *after* more bytes in that direction."""
        with self._lock:
            self._armed, self._left = how, after
            self.has_broken.clear()

    def disarm(self) -> None:
        with self._lock:
            self._armed = None

    def release(self) -> None:
        """Deliver what was held back to the server, and wait until it did that."""
        with self._lock:
            held, self._held = self._held, []
        for server, data in held:
            with contextlib.suppress(OSError):
                server.sendall(data)
                server.shutdown(socket.SHUT_WR)
                # Its end of the connection, after all that it had received.
                server.settimeout(10)
                while server.recv(65536):
                    pass
            server.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self._sockets += [client, server]
            for is_answer in (False, True):
                pair = (client, server, is_answer)
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket, is_answer: bool) -> None:
        source, target = (server, client) if is_answer else (client, server)
        late = False
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                how, allowed = self._counted(len(data), is_answer)
                target.sendall(data[:allowed])
                if how is Break.REQUEST_LATE:
                    late = True
                    with self._lock:
                        self._held.append((server, data[allowed:]))
                if how is not None:
                    self.has_broken.set()
                    break
        ends = (client,) if late else (client, server)
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _counted(self, size: int, is_answer: bool) -> tuple[Break | None, int]:
        """Return how the connection breaks now, and how many of *size* bytes pass before."""
        with self._lock:
            self.passed[is_answer] += size
            how = self._armed
            if how is None or (how is Break.ANSWER_LOST) != is_answer:
                return None, size
            if self._left >= size:
                self._left -= size
                return None, size
            self._armed = None
            return how, self._left


@contextlib.contextmanager
def breaking(port: int) -> Iterator[BreakingProxy]:
    made = BreakingProxy(port)
    try:
        yield made
    finally:
        made.close()
