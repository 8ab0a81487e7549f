"""The server: a socket on loopback or in a folder, and a thread that answers at it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from pgsnap.errors import SnapError, UsageError
from pgsnap.values import dataclass
from pgsnap.web.safety import Bound

LOOPBACK = "127.0.0.1"
_BACKLOG = 32
# What is under way when the server ends gets so long; streams of jobs never end by themselves.
_END_SECONDS = 2
# Other users of the host can connect, though they get no answer: neither may their connections take
# the descriptors that a job needs, nor those that say nothing keep the user's page out.
_CONNECTIONS_MAX = 128
_REQUEST_SECONDS = 5


class CannotListen(SnapError):
    """The port or socket cannot be listened at."""

    kind = "cannot-listen"


@dataclass(frozen=True, slots=True)
class Listening:
    socket: socket.socket
    bound: Bound


@contextlib.contextmanager
def at_port(port: int) -> Iterator[Listening]:
    """Listen at *port* of loopback, 0: any that is free. Raises CannotListen."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((LOOPBACK, port))
            made.listen(_BACKLOG)
        except OSError as error:
            is_taken = error.errno == errno.EADDRINUSE
            raise CannotListen(
                f"cannot listen at port {port}",
                detail=f"{error.strerror}.",
                hint="Name another one, or none: a free one is found." if is_taken else "",
            ) from None
        yield Listening(made, Bound(LOOPBACK, made.getsockname()[1]))


@contextlib.contextmanager
def at_socket(path: Path) -> Iterator[Listening]:
    """Listen at a socket that only this user can connect to; it is removed at the end. Raises
    CannotListen, UsageError."""
    _remove_left(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as made:
        # Nobody may connect before the mode is set.
        before = os.umask(0o177)
        try:
            made.bind(str(path))
        except OSError as error:
            reason = error.strerror or str(error)
            raise CannotListen(f'cannot listen at "{path}"', detail=f"{reason}.") from None
        finally:
            os.umask(before)
        try:
            made.listen(_BACKLOG)
            yield Listening(made, Bound())
        finally:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


def _remove_left(path: Path) -> None:
    """Remove the socket of a server that was killed. Raises UsageError for anything else."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
        raise UsageError(f'"{path}" is there already, and no socket of yours')
    with socket.socket(socket.AF_UNIX) as tried:
        try:
            tried.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise UsageError(f'"{path}" is in use: another server answers there')


class _Connection(H11Protocol):
    """A connection, of which there may not be too many, and which is closed if no request comes,
    or no other one after it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._seen: object = None
        self._look = self.loop.call_later(_REQUEST_SECONDS, self._end_if_late)
        if len(self.connections) > _CONNECTIONS_MAX:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._look.cancel()
        super().connection_lost(exc)

    def _end_if_late(self) -> None:
        answered = self.cycle is None or self.cycle.response_complete
        if answered and self.cycle is self._seen:
            self.transport.abort()
            return
        self._seen = self.cycle
        self._look = self.loop.call_later(_REQUEST_SECONDS, self._end_if_late)


class Server:
    """A server in a thread of its own, until the block ends."""

    def __init__(self, app: ASGIApp, listening: Listening) -> None:
        # Nothing that a request says of itself is believed, and nothing is logged of it.
        config = uvicorn.Config(
            app,
            access_log=False,
            # So many are accepted before the first of them is looked at.
            backlog=_BACKLOG,
            date_header=False,
            h11_max_incomplete_event_size=64 * 1024,
            http=_Connection,
            lifespan="off",
            log_config=None,
            loop="asyncio",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_END_SECONDS,
            ws="none",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run,
            kwargs={"sockets": [listening.socket]},
            name="page",
            daemon=True,
        )

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        # That it cuts what is under way is no news.
        logging.getLogger("uvicorn.error").disabled = True
        self._server.should_exit = True
        self._thread.join(_END_SECONDS + 3)

    def is_serving(self) -> bool:
        return self._thread.is_alive()
