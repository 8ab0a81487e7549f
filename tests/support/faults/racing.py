"""DDL that commits between the snapshot of a pg_dump and its lock on a table."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from contract.source_contract import put_together, read_opened
from pgsnap.errors import SnapError
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.sources.postgres import PostgresSource
from support.servers.databases import is_volatile

GATE = "CREATE TABLE a_gate (id int);"
"""A table that pg_dump locks before all that are made after it."""

TABLES = (
    GATE
    + """
CREATE TABLE l (id int PRIMARY KEY, v int, w text);
INSERT INTO l SELECT i, i, 'w' || i FROM generate_series(1, 1000) i;
CREATE TABLE other (id int PRIMARY KEY, v int, w text);
INSERT INTO other SELECT i, -i, 'o' || i FROM generate_series(1, 50) i;
CREATE MATERIALIZED VIEW m AS SELECT id, w FROM l;
CREATE TABLE p (id int, v int) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (500);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (500) TO (1001);
INSERT INTO p SELECT i, i FROM generate_series(1, 1000) i;
CREATE TABLE p3 (id int, v int); INSERT INTO p3 SELECT i, i FROM generate_series(1001, 1100) i;
CREATE SCHEMA one; CREATE TABLE one.t (id int); INSERT INTO one.t SELECT generate_series(1, 10);
CREATE SCHEMA two; CREATE TABLE two.t (id int, x int); INSERT INTO two.t SELECT i, 5
    FROM generate_series(1, 20) i;
"""
)

CHANGES = {
    "a column's type is altered": "ALTER TABLE public.l ALTER v TYPE bigint",
    "a table is emptied and filled again": "BEGIN; TRUNCATE public.l;"
    " INSERT INTO public.l SELECT i, 2 * i, 'new' FROM generate_series(1, 700) i; COMMIT",
    "a table becomes unlogged": "ALTER TABLE public.l SET UNLOGGED",
    "a table is dropped and made again": "BEGIN; DROP TABLE public.l CASCADE;"
    " CREATE TABLE public.l AS SELECT i AS id FROM generate_series(1, 300) i; COMMIT",
    "a table is dropped": "DROP TABLE public.other",
    "a table takes the name of another": "BEGIN; ALTER TABLE public.l RENAME TO l_old;"
    " ALTER TABLE public.other RENAME TO l; COMMIT",
    "schemas change places": "BEGIN; ALTER SCHEMA one RENAME TO three;"
    " ALTER SCHEMA two RENAME TO one; ALTER SCHEMA three RENAME TO two; COMMIT",
    "a column is dropped and added again": "ALTER TABLE public.other DROP v, ADD v int DEFAULT 7",
    "columns change places": "BEGIN; ALTER TABLE public.other RENAME v TO x;"
    " ALTER TABLE public.other RENAME w TO v; ALTER TABLE public.other RENAME x TO w; COMMIT",
    "a partition is attached": "ALTER TABLE public.p ATTACH PARTITION public.p3"
    " FOR VALUES FROM (1001) TO (1101)",
    "a partition is detached": "ALTER TABLE public.p DETACH PARTITION public.p2",
    "a partition is emptied and detached": "BEGIN; ALTER TABLE public.p DETACH PARTITION public.p2;"
    " TRUNCATE public.p2; INSERT INTO public.p2 VALUES (1, 1); COMMIT",
    "a partition moves to a new parent": "BEGIN; ALTER TABLE public.p DETACH PARTITION public.p1;"
    " DROP TABLE public.p; CREATE TABLE public.p (id int, v int) PARTITION BY RANGE (id);"
    " ALTER TABLE public.p ATTACH PARTITION public.p1 FOR VALUES FROM (1) TO (500); COMMIT",
    "a table is clustered": "CLUSTER public.l USING l_pkey",
    "a table is vacuumed whole": "VACUUM FULL public.l",
    "a materialized view is refreshed": "REFRESH MATERIALIZED VIEW public.m",
    "a materialized view is emptied": "REFRESH MATERIALIZED VIEW public.m WITH NO DATA",
}
"""What is done meanwhile, in one round."""

_WAITS = """
SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE NOT l.granted AND l.relation = 'public.a_gate'::regclass
  AND a.application_name LIKE 'snap%'
"""
_SECONDS = 60.0


def dumped(source: PostgresSource) -> bytes:
    source.open()
    return dumped_again(source)


def dumped_again(source: PostgresSource) -> bytes:
    text = put_together(*read_opened(source))
    return b"".join(line for line in text.splitlines(keepends=True) if not is_volatile(line))


@contextmanager
def ddl_in_the_gap(
    server: Server, *rounds: str, dumped_from: Server | None = None
) -> Iterator[list[str]]:
    """Let each pg_dump wait at the gate, behind its snapshot and before its other locks, and run
    the next of *rounds* meanwhile. What was run is in the list that is yielded. *dumped_from*: the
    server that is dumped, where that is a standby of *server*."""
    done: list[str] = []
    over, failures = threading.Event(), list[SnapError]()
    with (
        server.connect(application_name="gate") as gate,
        server.connect() as other,
        (dumped_from or server).connect() as watch,
    ):
        gate.execute("BEGIN; LOCK TABLE public.a_gate IN ACCESS EXCLUSIVE MODE")

        def work() -> None:
            try:
                _take_turns(gate, other, watch, rounds, done, over)
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
    gate: Session,
    other: Session,
    watch: Session,
    rounds: tuple[str, ...],
    done: list[str],
    over: threading.Event,
) -> None:
    for statements in rounds:
        if done:
            # Granted when the pg_dump before has ended.
            gate.execute("BEGIN; LOCK TABLE public.a_gate IN ACCESS EXCLUSIVE MODE")
        deadline = time.monotonic() + _SECONDS
        while watch.query(_WAITS)[0][0] == "0":
            if over.is_set() or time.monotonic() > deadline:
                return
            time.sleep(0.005)
        for statement in statements.split(";;"):
            other.execute(statement)
        done.append(statements)
        gate.execute("COMMIT")
