"""Tables are rewritten, renamed and reattached without a pause while commits are made."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

from pgsnap.errors import SourceError
from pgsnap.repository.repository import Repository
from pgsnap.runners.local import LocalRunner
from pgsnap.sessions.base import Session
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.server import Server
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from support.running.seeds import SEED
from support.servers.databases import Database

COMMITS = int(os.environ.get("SNAP_RACED_COMMITS", "8"))
TABLES = 6
ROWS = 400
# So that commits get through: as long as pg_dump needs from its snapshot to its locks, or longer.
PAUSE_SECONDS = 0.4

SETUP = "".join(
    f"CREATE TABLE t{n} (id int PRIMARY KEY, v int, w text);"
    f" INSERT INTO t{n} SELECT i, {n}, 'w' FROM generate_series(1, {ROWS}) i;"
    for n in range(TABLES)
) + (
    "CREATE TABLE p (id int, v int) PARTITION BY RANGE (id);"
    "CREATE TABLE p1 (id int, v int);"
    f" INSERT INTO p1 SELECT i, 0 FROM generate_series(1, {ROWS}) i;"
)

# Each is one transaction at most, and leaves every table with as many rows as it had.
CHANGES = (
    "ALTER TABLE public.t{n} ALTER v TYPE bigint",
    "ALTER TABLE public.t{n} ALTER v TYPE int",
    "ALTER TABLE public.t{n} SET UNLOGGED",
    "ALTER TABLE public.t{n} SET LOGGED",
    "BEGIN; CREATE TEMP TABLE saved ON COMMIT DROP AS TABLE public.t{n}; TRUNCATE public.t{n};"
    " INSERT INTO public.t{n} TABLE saved; COMMIT",
    "BEGIN; CREATE TABLE public.fresh (LIKE public.t{n} INCLUDING ALL);"
    " INSERT INTO public.fresh TABLE public.t{n}; DROP TABLE public.t{n};"
    " ALTER TABLE public.fresh RENAME TO t{n}; COMMIT",
    "BEGIN; ALTER TABLE public.t{n} RENAME TO away; ALTER TABLE public.t{m} RENAME TO t{n};"
    " ALTER TABLE public.away RENAME TO t{m}; COMMIT",
    "VACUUM FULL public.t{n}",
    "ALTER TABLE public.p ATTACH PARTITION public.p1 FOR VALUES FROM (1) TO (100000)",
    "ALTER TABLE public.p DETACH PARTITION public.p1",
)


def change(session: Session, chance: random.Random) -> None:
    n, m = chance.sample(range(TABLES), 2)
    try:
        session.execute(chance.choice(CHANGES).format(n=n, m=m))
    except SourceError:
        # What does not fit the moment: a partition that is attached already.
        return


def test_every_snapshot_has_all_rows_whatever_is_done_meanwhile(
    database: Database, tmp_path: Path
) -> None:
    database.psql(SETUP)
    Repository.create(tmp_path / "repo")
    repo = Repository.open(tmp_path / "repo")
    runner = LocalRunner(database.cluster.binaries.bindir)
    server = Server(Endpoint.parse(database.dsn, {}), runner)
    chance, over = random.Random(SEED), threading.Event()

    def rewrite() -> None:
        with server.connect() as session:
            while not over.is_set():
                change(session, chance)
                if chance.random() < 0.1:
                    over.wait(chance.random() * 2 * PAUSE_SECONDS)

    thread = threading.Thread(target=rewrite)
    thread.start()
    refused: list[str] = []
    try:
        for number in range(COMMITS):
            source = PostgresSource(server, with_globals=False)
            try:
                report = commit(repo, source, database="shop", message=str(number))
            except SourceError as error:
                refused.append(error.message)
                continue
            rows = {
                s.name.name: s.rows for s in repo.sections(report.snapshot) if s.rows is not None
            }
            assert rows == {**{f"t{n}": ROWS for n in range(TABLES)}, "p1": ROWS}, number
    finally:
        over.set()
        thread.join()
    assert len(refused) < COMMITS, refused
