"""The application: what answers where reading is stopped."""

from __future__ import annotations

import errno
import http.client
import signal
from collections.abc import Callable, Iterator
from itertools import islice

from pgsnap import interrupts
from pgsnap.repository.audit_log import AuditEntries
from pgsnap.repository.repository import Repository
from pgsnap.web.app import App
from pgsnap.web.service import Service
from pgsnap.web.serving import Server, at_port
from pgsnap.web.sessions import SESSION_HEADER, Sessions


def answer_to(open_it: Callable[[], Repository]) -> Iterator[tuple[int, str]]:
    """Yield status and text of the first page, asked for again and again, of a server that opens
    the repository with *open_it*."""

    def audit() -> AuditEntries:
        raise AssertionError

    service = Service("here", open_it, list, list, audit)
    sessions = Sessions()
    with (
        at_port(0) as listening,
        Server(App(service, sessions, listening.bound).asgi(), listening) as server,
    ):
        value = sessions.exchange(sessions.token)
        assert value is not None
        while True:
            asked = http.client.HTTPConnection(listening.bound.host, timeout=60)
            asked.request("GET", "/", headers={SESSION_HEADER: value})
            answer = asked.getresponse()
            yield answer.status, answer.read().decode()
            asked.close()
            assert server.is_serving()


def test_a_page_that_is_read_while_a_job_is_stopped_says_so() -> None:
    def open_it() -> Repository:
        # As a store does in every thread once the main thread was stopped.
        raise interrupts.Stopped(signal.SIGINT)

    for status, text in islice(answer_to(open_it), 2):
        assert status == 503
        assert "A job is being stopped" in text


def test_a_page_for_which_there_is_no_room_says_so() -> None:
    def open_it() -> Repository:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/spilled")

    for status, text in islice(answer_to(open_it), 2):
        assert status == 500
        assert "no space left on device" in text
