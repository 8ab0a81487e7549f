"""What may happen to a table around a snapshot so that a naive comparison misses a change.

Each hazard has a table of its own name in the schema `hz`, made by `TABLE`. It is a generator: what
comes before its `yield` is done before the first snapshot, the rest between the first and the
second. Tables are vacuumed after an update of all their rows: else whoever reads them first changes
all their pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.sources.changes.ways import Method
from support.servers.databases import Database

ROWS = 2000
# About forty blocks, so that one change leaves most of them as they are.
TABLE = f"""
CREATE TABLE hz.{{name}} (id int PRIMARY KEY, v int, w text);
INSERT INTO hz.{{name}} SELECT i, 0, repeat('x', 100) FROM generate_series(1, {ROWS}) i;
"""


class Stage:
    """Where a hazard happens: `t` is its table."""

    def __init__(self, server: Server, database: Database, name: str) -> None:
        self._server = server
        self._database = database
        self.name = name
        self.t = f"hz.{name}"
        self.major = database.cluster.major

    def sql(self, text: str) -> None:
        self._database.psql(text.replace("hz.T", self.t))

    def session(self) -> Session:
        return self._server.connect()


@dataclass(frozen=True)
class Hazard:
    """*missed_by*: the naive rule by these methods is known to miss it. *is_open*: a transaction is
    open at the first snapshot. *since*: the first version that has it."""

    name: str
    happen: Callable[[Stage], Iterator[None]]
    missed_by: tuple[Method, ...]
    is_open: bool
    since: int
    makes_table: bool


HAZARDS: dict[str, Hazard] = {}


def _hazard(
    *,
    missed: bool = False,
    missed_by: tuple[Method, ...] = (),
    opened: bool = False,
    since: int = 14,
    makes_table: bool = True,
) -> Callable[[Callable[[Stage], Iterator[None]]], Callable[[Stage], Iterator[None]]]:
    def add(happen: Callable[[Stage], Iterator[None]]) -> Callable[[Stage], Iterator[None]]:
        name = happen.__name__
        by = tuple(Method) if missed else missed_by
        HAZARDS[name] = Hazard(name, happen, by, opened, since, makes_table)
        return happen

    return add


# -- transactions ----------------------------------------------------------------------------------


@_hazard(missed=True, opened=True)
def open_across_the_snapshot(stage: Stage) -> Iterator[None]:
    with stage.session() as other:
        other.execute(f"BEGIN; UPDATE {stage.t} SET v = 1 WHERE id = 700")
        yield
        other.execute("COMMIT")


@_hazard(missed=True, opened=True)
def open_across_the_snapshot_with_savepoints(stage: Stage) -> Iterator[None]:
    with stage.session() as other:
        other.execute(
            f"BEGIN; SAVEPOINT a; UPDATE {stage.t} SET v = 1 WHERE id = 5; RELEASE a;"
            f" SAVEPOINT b; UPDATE {stage.t} SET v = 1 WHERE id = 1500; ROLLBACK TO b"
        )
        yield
        other.execute("COMMIT")


@_hazard(missed=True, opened=True)
def deleted_across_the_snapshot(stage: Stage) -> Iterator[None]:
    with stage.session() as other:
        other.execute(f"BEGIN; DELETE FROM {stage.t} WHERE id BETWEEN 300 AND 310")
        yield
        other.execute("COMMIT")


@_hazard(missed=True, opened=True)
def inserted_across_the_snapshot(stage: Stage) -> Iterator[None]:
    stage.sql("DELETE FROM hz.T WHERE id BETWEEN 600 AND 900; VACUUM hz.T")
    with stage.session() as other:
        other.execute(f"BEGIN; INSERT INTO {stage.t} VALUES (9001, 1, 'new'), (9002, 1, 'new')")
        yield
        other.execute("COMMIT")


@_hazard(missed=True, opened=True)
def prepared_across_the_snapshot(stage: Stage) -> Iterator[None]:
    stage.sql("BEGIN; UPDATE hz.T SET v = 2 WHERE id = 900; PREPARE TRANSACTION 'hazard'")
    yield
    stage.sql("COMMIT PREPARED 'hazard'")


@_hazard(opened=True)
def rolled_back_across_the_snapshot(stage: Stage) -> Iterator[None]:
    with stage.session() as other:
        other.execute(f"BEGIN; UPDATE {stage.t} SET v = 1 WHERE id = 700")
        yield
        other.execute("ROLLBACK")


@_hazard(opened=True)
def locked_rows(stage: Stage) -> Iterator[None]:
    with stage.session() as one, stage.session() as two:
        one.execute(f"BEGIN; SELECT 1 FROM {stage.t} WHERE id < 50 FOR SHARE")
        two.execute(f"BEGIN; SELECT 1 FROM {stage.t} WHERE id < 50 FOR SHARE")
        yield
        one.execute("COMMIT")
        two.execute(f"UPDATE {stage.t} SET v = 3 WHERE id = 20; COMMIT")


@_hazard()
def asynchronous_commit(stage: Stage) -> Iterator[None]:
    stage.sql("SET synchronous_commit = off; UPDATE hz.T SET v = 4 WHERE id = 33")
    yield
    stage.sql("SET synchronous_commit = off; UPDATE hz.T SET v = 5 WHERE id = 34")


# -- pages -----------------------------------------------------------------------------------------


@_hazard()
def heap_only_update_and_pruning(stage: Stage) -> Iterator[None]:
    yield
    stage.sql("UPDATE hz.T SET v = v + 1 WHERE id % 100 = 7; SELECT count(*) FROM hz.T")


@_hazard()
def vacuum(stage: Stage) -> Iterator[None]:
    stage.sql("DELETE FROM hz.T WHERE id % 10 = 3")
    yield
    stage.sql("VACUUM hz.T")


@_hazard()
def vacuum_freeze(stage: Stage) -> Iterator[None]:
    yield
    stage.sql("UPDATE hz.T SET v = 1 WHERE id = 1; VACUUM FREEZE hz.T")


@_hazard()
def the_tail_is_cut_off(stage: Stage) -> Iterator[None]:
    yield
    stage.sql("DELETE FROM hz.T WHERE id > 1000; VACUUM hz.T")


@_hazard()
def the_tail_is_cut_off_and_grows_again(stage: Stage) -> Iterator[None]:
    yield
    stage.sql("DELETE FROM hz.T WHERE id > 1000; VACUUM hz.T")
    stage.sql("INSERT INTO hz.T SELECT i, 9, 'again' FROM generate_series(1001, 4000) i")


@_hazard()
def everything_is_deleted_and_cut_off(stage: Stage) -> Iterator[None]:
    yield
    stage.sql("DELETE FROM hz.T; VACUUM hz.T")


@_hazard()
def out_of_line_values(stage: Stage) -> Iterator[None]:
    stage.sql(
        "ALTER TABLE hz.T ALTER w SET STORAGE EXTERNAL;"
        " UPDATE hz.T SET w = repeat(md5(id::text), 200) WHERE id < 20"
    )
    yield
    stage.sql("UPDATE hz.T SET w = repeat(md5('b' || id), 200) WHERE id = 10")


@_hazard()
def appended(stage: Stage) -> Iterator[None]:
    yield
    stage.sql("INSERT INTO hz.T SELECT i, 9, 'more' FROM generate_series(5001, 6000) i")


@_hazard()
def copy_freeze_into_a_new_table(stage: Stage) -> Iterator[None]:
    yield
    stage.sql(
        "BEGIN; CREATE TABLE hz.frozen (a int); COPY hz.frozen FROM PROGRAM 'seq 1 500'"
        " WITH (FREEZE); COMMIT"
    )


# -- files -----------------------------------------------------------------------------------------


@_hazard()
def vacuum_full(stage: Stage) -> Iterator[None]:
    yield
    stage.sql("DELETE FROM hz.T WHERE id % 3 = 0; VACUUM FULL hz.T")


@_hazard()
def cluster(stage: Stage) -> Iterator[None]:
    yield
    stage.sql(f"UPDATE hz.T SET v = 1 WHERE id < 30; CLUSTER hz.T USING {stage.name}_pkey")


@_hazard()
def truncated(stage: Stage) -> Iterator[None]:
    yield
    stage.sql("TRUNCATE hz.T")


@_hazard()
def truncated_and_loaded(stage: Stage) -> Iterator[None]:
    yield
    stage.sql(
        "BEGIN; CREATE TEMP TABLE kept ON COMMIT DROP AS TABLE hz.T; TRUNCATE hz.T;"
        " INSERT INTO hz.T SELECT id, v + 1, w FROM kept; COMMIT"
    )


@_hazard()
def truncation_rolled_back(stage: Stage) -> Iterator[None]:
    yield
    stage.sql("BEGIN; TRUNCATE hz.T; ROLLBACK; UPDATE hz.T SET v = 1 WHERE id = 44")


@_hazard()
def rewritten_by_another_type(stage: Stage) -> Iterator[None]:
    yield
    stage.sql("ALTER TABLE hz.T ALTER v TYPE numeric USING v + 0.5")


@_hazard()
def unlogged_and_back(stage: Stage) -> Iterator[None]:
    yield
    stage.sql("ALTER TABLE hz.T SET UNLOGGED")
    stage.sql("UPDATE hz.T SET v = 1 WHERE id = 1; ALTER TABLE hz.T SET LOGGED")


# Pages that were written without WAL have no position, and are always read.
@_hazard(missed_by=(Method.SUMMARIES,))
def unlogged(stage: Stage) -> Iterator[None]:
    stage.sql("ALTER TABLE hz.T SET UNLOGGED")
    yield
    stage.sql("UPDATE hz.T SET v = 1 WHERE id = 1")


@_hazard()
def dropped_and_made_again(stage: Stage) -> Iterator[None]:
    yield
    stage.sql("DROP TABLE hz.T; CREATE TABLE hz.T (id int, v int, w text)")
    stage.sql("INSERT INTO hz.T VALUES (1, 1, 'other')")


@_hazard(since=19)
def repacked(stage: Stage) -> Iterator[None]:
    yield
    stage.sql("DELETE FROM hz.T WHERE id % 3 = 0; REPACK hz.T")


@_hazard(since=19)
def repacked_concurrently(stage: Stage) -> Iterator[None]:
    yield
    stage.sql("DELETE FROM hz.T WHERE id % 3 = 0")
    stage.sql("REPACK (CONCURRENTLY) hz.T")


# -- columns and types -----------------------------------------------------------------------------


@_hazard(missed=True)
def column_added(stage: Stage) -> Iterator[None]:
    yield
    stage.sql("ALTER TABLE hz.T ADD x int")


@_hazard(missed=True)
def column_added_with_a_default(stage: Stage) -> Iterator[None]:
    yield
    stage.sql("ALTER TABLE hz.T ADD x text DEFAULT 'seven'")


@_hazard(missed=True)
def column_dropped(stage: Stage) -> Iterator[None]:
    yield
    stage.sql("ALTER TABLE hz.T DROP v")


@_hazard(missed=True)
def column_dropped_and_added_under_its_name(stage: Stage) -> Iterator[None]:
    yield
    stage.sql("ALTER TABLE hz.T DROP v; ALTER TABLE hz.T ADD v int")


@_hazard(missed=True)
def time_becomes_time_with_zone(stage: Stage) -> Iterator[None]:
    stage.sql("ALTER TABLE hz.T ADD at timestamp DEFAULT '2026-01-01'; VACUUM FULL hz.T")
    yield
    stage.sql("SET TimeZone = 'UTC'; ALTER TABLE hz.T ALTER at TYPE timestamptz")


@_hazard()
def varchar_becomes_text(stage: Stage) -> Iterator[None]:
    stage.sql("ALTER TABLE hz.T ADD c varchar(5) DEFAULT 'abc'")
    yield
    stage.sql("ALTER TABLE hz.T ALTER c TYPE text")


@_hazard()
def column_and_table_renamed(stage: Stage) -> Iterator[None]:
    yield
    stage.sql("ALTER TABLE hz.T RENAME v TO vv; ALTER TABLE hz.T RENAME TO renamed")


@_hazard(missed=True)
def value_of_an_enum_renamed(stage: Stage) -> Iterator[None]:
    stage.sql("CREATE TYPE hz.mood AS ENUM ('sad', 'ok'); ALTER TABLE hz.T ADD m hz.mood[]")
    stage.sql("CREATE DOMAIN hz.moods AS hz.mood[]; ALTER TABLE hz.T ADD d hz.moods")
    stage.sql("UPDATE hz.T SET m = '{sad}', d = '{ok}'; VACUUM FREEZE hz.T")
    yield
    stage.sql("ALTER TYPE hz.mood RENAME VALUE 'ok' TO 'fine'")


@_hazard(missed=True)
def attribute_of_a_composite_added(stage: Stage) -> Iterator[None]:
    stage.sql("CREATE TYPE hz.pair AS (a int, b int); ALTER TABLE hz.T ADD p hz.pair")
    stage.sql("UPDATE hz.T SET p = '(1,2)'; VACUUM FREEZE hz.T")
    yield
    stage.sql("ALTER TYPE hz.pair ADD ATTRIBUTE c int")


@_hazard(missed=True)
def name_of_another_object_changes(stage: Stage) -> Iterator[None]:
    stage.sql("CREATE TABLE hz.pointed (a int); ALTER TABLE hz.T ADD r regclass")
    stage.sql("UPDATE hz.T SET r = 'hz.pointed'::regclass; VACUUM FREEZE hz.T")
    yield
    stage.sql("ALTER TABLE hz.pointed RENAME TO pointed_at")


@_hazard(missed=True)
def a_range_over_an_enum(stage: Stage) -> Iterator[None]:
    stage.sql("CREATE TYPE hz.size AS ENUM ('s', 'm', 'l')")
    stage.sql("CREATE TYPE hz.sizes AS RANGE (subtype = hz.size); ALTER TABLE hz.T ADD z hz.sizes")
    stage.sql("UPDATE hz.T SET z = '[s,l]'; VACUUM FREEZE hz.T")
    yield
    stage.sql("ALTER TYPE hz.size RENAME VALUE 's' TO 'small'")


# -- partitions ------------------------------------------------------------------------------------


@_hazard(makes_table=False)
def rows_move_between_partitions(stage: Stage) -> Iterator[None]:
    stage.sql(
        "CREATE TABLE hz.T (id int, v int) PARTITION BY RANGE (id);"
        " CREATE TABLE hz.low PARTITION OF hz.T FOR VALUES FROM (0) TO (1000);"
        " CREATE TABLE hz.high PARTITION OF hz.T FOR VALUES FROM (1000) TO (9000);"
        " INSERT INTO hz.T SELECT i, 0 FROM generate_series(1, 3000) i"
    )
    yield
    stage.sql(
        "UPDATE hz.T SET id = id + 2000 WHERE id < 10; ALTER TABLE hz.T DETACH PARTITION hz.low"
    )
