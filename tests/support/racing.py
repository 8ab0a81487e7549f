"""DDL that commits between the snapshot of a pg_dump and its lock on a table."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pgsnap.errors import SnapError
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server

GATE = "CREATE TABLE a_gate (id int);"
"""A table that pg_dump locks before all that are made after it."""

_WAITS = """
SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE NOT l.granted AND l.relation = 'public.a_gate'::regclass
  AND a.application_name LIKE 'snap pg_dump%'
"""
_SECONDS = 60.0


@contextmanager
def ddl_in_the_gap(server: Server, *rounds: str) -> Iterator[list[str]]:
    """Let each pg_dump wait at the gate, behind its snapshot and before its other locks, and run
    the next of *rounds* meanwhile. What was run is in the list that is yielded."""
    done: list[str] = []
    over, failures = threading.Event(), list[SnapError]()
    with server.connect(application_name="gate") as gate, server.connect() as other:
        gate.execute("BEGIN; LOCK TABLE public.a_gate IN ACCESS EXCLUSIVE MODE")

        def work() -> None:
            try:
                _take_turns(gate, other, rounds, done, over)
            except SnapError as error:
                failures.append(error)
                gate.close()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield done
        finally:
            over.set()
            thread.join()
    assert not failures, failures


def _take_turns(
    gate: Session, other: Session, rounds: tuple[str, ...], done: list[str], over: threading.Event
) -> None:
    for statements in rounds:
        if done:
            # Granted when the pg_dump before has ended.
            gate.execute("BEGIN; LOCK TABLE public.a_gate IN ACCESS EXCLUSIVE MODE")
        deadline = time.monotonic() + _SECONDS
        while other.query(_WAITS)[0][0] == "0":
            if over.is_set() or time.monotonic() > deadline:
                return
            time.sleep(0.005)
        for statement in statements.split(";;"):
            other.execute(statement)
        done.append(statements)
        gate.execute("COMMIT")
