"""The application: what answers where reading is stopped."""

from __future__ import annotations

import http.client
import signal

from pgsnap import interrupts
from pgsnap.repository.audit_log import AuditEntries
from pgsnap.repository.repository import Repository
from pgsnap.web.app import App
from pgsnap.web.service import Service
from pgsnap.web.serving import Server, at_port
from pgsnap.web.sessions import SESSION_HEADER, Sessions


def test_a_page_that_is_read_while_a_job_is_stopped_says_so() -> None:
    def open_it() -> Repository:
        # As a store does in every thread once the main thread was stopped.
        raise interrupts.Stopped(signal.SIGINT)

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
        for _ in range(2):
            asked = http.client.HTTPConnection(listening.bound.host, timeout=60)
            asked.request("GET", "/", headers={SESSION_HEADER: value})
            answer = asked.getresponse()
            assert answer.status == 503
            assert "A job is being stopped" in answer.read().decode()
            asked.close()
        assert server.is_serving()
