"""A database in which several sessions never stop: transactions of every kind, VACUUM, and tables
that are rewritten."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pgsnap.errors import SourceError
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server

SETUP = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE t1 (id int PRIMARY KEY, v int, pad text);
CREATE TABLE t2 (id int PRIMARY KEY, a text, b numeric, e text);
ALTER TABLE t2 ALTER e SET STORAGE EXTERNAL;
CREATE TABLE t3 (id int, v int, pad text, m mood);
INSERT INTO t1 SELECT i, 0, repeat('x', 60) FROM generate_series(1, 20000) i;
INSERT INTO t2 SELECT i, E'a\\nb\\t' || md5(i::text), i * 1.5,
    CASE WHEN i % 50 = 0 THEN repeat(md5(i::text), 150) ELSE E'q\\\\.\\n' END
    FROM generate_series(1, 8000) i;
INSERT INTO t3 SELECT i, 0, 'z', 'ok' FROM generate_series(1, 5000) i;
VACUUM t1, t2, t3;
"""
TABLES = ("t1", "t2", "t3")
_CHANGES = {
    "t1": "v = v + 1",
    "t2": "b = b + 1,"
    " e = CASE WHEN random() < 0.1 THEN repeat(md5(random()::text), 150) ELSE e END",
    "t3": "v = v + 1, pad = pad || 'y'",
}
_INSERTS = {
    "t1": "SELECT i, 7, 'new' FROM generate_series({a}, {b}) i ON CONFLICT DO NOTHING",
    "t2": "SELECT i, 'n', i, 'e' FROM generate_series({a}, {b}) i ON CONFLICT DO NOTHING",
    "t3": "SELECT i, 9, 'w', 'ok' FROM generate_series({a}, {b}) i",
}
# Each with its share of all that is done.
_RARE = (
    (0.015, "VACUUM {table}"),
    (0.005, "VACUUM FREEZE {table}"),
    (0.005, "CHECKPOINT"),
    (0.002, "VACUUM FULL {table}"),
    (
        0.003,
        "BEGIN; CREATE TEMP TABLE kept ON COMMIT DROP AS TABLE public.t3; TRUNCATE public.t3;"
        " INSERT INTO public.t3 SELECT * FROM kept LIMIT 5000; COMMIT",
    ),
    (0.002, "ALTER TABLE public.t3 ADD COLUMN IF NOT EXISTS w int DEFAULT 3"),
    (0.002, "ALTER TABLE public.t3 DROP COLUMN IF EXISTS w"),
    (0.002, "ALTER TYPE public.mood RENAME VALUE 'ok' TO 'fine'"),
    (0.002, "ALTER TYPE public.mood RENAME VALUE 'fine' TO 'ok'"),
)
_REPACK = (
    (0.003, "REPACK {table}"),
    (0.002, "REPACK (CONCURRENTLY) public.t1"),
)
_REPACK_SINCE = 190000
_PREPARED_SHARE = 0.07
# Somebody who waits for a lock makes all others wait.
_START = "SET lock_timeout = '1s'"


class _Worker:
    def __init__(self, server: Server, seed: str, over: threading.Event) -> None:
        self._server = server
        self._seed = seed
        self._chance = random.Random(seed)
        self._over = over
        self.done = 0

    def run(self) -> None:
        with self._server.connect() as session:
            session.execute(_START)
            while not self._over.is_set():
                try:
                    self._work(session)
                    self.done += 1
                except SourceError:
                    # A deadlock, a lock timeout, a value that an enum does not have just now.
                    continue
                self._over.wait(self._chance.choice((0, 0, 0.005, 0.03)))

    def _work(self, session: Session) -> None:
        chance = self._chance
        session.execute(f"SET synchronous_commit = {chance.choice(('on', 'off'))}")
        dice = chance.random()
        rare = [*_RARE, *(_REPACK if session.server_version_num >= _REPACK_SINCE else ())]
        for share, sql in rare:
            dice -= share
            if dice < 0:
                session.execute(sql.format(table=f"public.{chance.choice(TABLES)}"))
                return
        if dice < _PREPARED_SHARE:
            self._prepared(session)
        else:
            self._transaction(session)

    def _prepared(self, session: Session) -> None:
        name = f"{self._seed} {self.done}"
        session.execute("BEGIN")
        for _ in range(self._chance.randint(1, 3)):
            session.execute(self._statement())
        session.execute(f"PREPARE TRANSACTION '{name}'")
        self._over.wait(self._chance.choice((0, 0.05, 0.4)))
        end = "COMMIT" if self._chance.random() < 0.7 else "ROLLBACK"
        session.execute(f"{end} PREPARED '{name}'")

    def _transaction(self, session: Session) -> None:
        chance = self._chance
        session.execute("BEGIN")
        for _ in range(chance.randint(1, 6)):
            if chance.random() < 0.4:
                session.execute("SAVEPOINT a")
                session.execute(self._statement())
                session.execute(chance.choice(("ROLLBACK TO a", "RELEASE a", "RELEASE a")))
            else:
                session.execute(self._statement())
            if chance.random() < 0.2:
                self._over.wait(chance.choice((0.01, 0.2, 0.6)))
        session.execute("COMMIT" if chance.random() < 0.85 else "ROLLBACK")

    def _statement(self) -> str:
        chance = self._chance
        name = chance.choice(("t1", "t1", "t2", "t3"))
        table = f"public.{name}"
        first = chance.randint(1, 20_000 if name == "t1" else 8_000)
        last = first + chance.choice((1, 1, 3, 40))
        where = f"WHERE id BETWEEN {first} AND {last}"
        dice = chance.random()
        if dice < 0.55:
            return f"UPDATE {table} SET {_CHANGES[name]} {where}"
        if dice < 0.7:
            return f"DELETE FROM {table} {where}"
        if dice < 0.75:
            return f"SELECT 1 FROM {table} {where} FOR SHARE"
        if dice < 0.8:
            return f"SELECT count(*) FROM {table}"
        columns = "(id, v, pad, m)" if name == "t3" else ""
        return f"INSERT INTO {table} {columns} {_INSERTS[name].format(a=first, b=last)}"


@contextmanager
def restless(server: Server, seed: str, sessions: int = 4) -> Iterator[list[_Worker]]:
    """Let *sessions* work until the block ends; each counts what it has *done*."""
    over = threading.Event()
    workers = [_Worker(server, f"{seed} {number}", over) for number in range(sessions)]
    threads = [threading.Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        yield workers
    finally:
        over.set()
        for thread in threads:
            thread.join()
