"""Tables are counted once more many at a time, and each by itself is still exact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from pgsnap.errors import RestoreFailed
from pgsnap.model import SectionKind, SectionName
from pgsnap.sessions.base import Row, Session
from pgsnap.targets.load.feeder import Expected
from pgsnap.targets.load.recount import check_rows
from support.restoring.clients import server_of
from support.servers.databases import Database, new_name

TABLES = 450


class Counting:
    """A session that notes what it is asked."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.asked: list[str] = []

    def query(self, sql: str) -> Sequence[Row]:
        self.asked.append(sql)
        return self._session.query(sql)

    def __getattr__(self, name: str) -> object:
        return getattr(self._session, name)


@pytest.fixture
def many(database: Database) -> Database:
    """Many small tables, one large, and a partitioned one with more parts than go in a batch."""
    database.psql(
        f"SELECT format('CREATE TABLE t%s AS SELECT generate_series(1, %s) AS a', g, g % 3)"
        f" FROM generate_series(0, {TABLES - 1}) g \\gexec\n"
        "CREATE TABLE large AS SELECT generate_series(1, 1500000) AS a;"
        "CREATE TABLE tree (a int) PARTITION BY LIST (a);"
        "SELECT format('CREATE TABLE leaf%s PARTITION OF tree FOR VALUES IN (%s)', g, g)"
        " FROM generate_series(1, 250) g \\gexec\n"
        "INSERT INTO tree SELECT generate_series(1, 250)"
    )
    return database


def expected(**others: int) -> Iterator[Expected]:
    rows = {f"t{number}": number % 3 for number in range(TABLES)}
    for name, count in {**rows, "large": 1_500_000, "tree": 250, **others}.items():
        yield Expected(SectionName(SectionKind.DATA, "public", name), count)


def test_many_tables_take_few_questions(many: Database) -> None:
    with server_of(many).connect(many.name) as session:
        counting = Counting(session)
        assert check_rows(counting, expected) == ()  # type: ignore[arg-type]
        assert len(counting.asked) < 20
        # A large one is counted by itself: so the server may use several processes for it.
        (alone,) = [sql for sql in counting.asked if '"large"' in sql]
        assert "UNION" not in alone


@pytest.mark.parametrize("wrong", ["t0", "t7", "t449", "large", "tree"])
def test_one_table_with_other_rows_is_found_among_all(many: Database, wrong: str) -> None:
    with server_of(many).connect(many.name) as session, pytest.raises(RestoreFailed) as caught:
        check_rows(session, lambda: expected(**{wrong: 77}))
    assert f"public.{wrong} has " in caught.value.message.replace("leaf1 ", "tree ")
    assert caught.value.message.count("instead of") == 1


def test_tables_that_we_may_not_read_are_named_and_the_others_counted(many: Database) -> None:
    role = new_name("reader")
    many.psql(
        f"CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};"
        f"REVOKE SELECT ON t3, t300, leaf9 FROM {role}; ALTER TABLE t8 ENABLE ROW LEVEL SECURITY"
    )
    try:
        with server_of(many, user=role).connect(many.name) as session:
            (told,) = check_rows(session, expected)
            assert told.endswith("public.t3, public.t8, public.t300, public.leaf1")
            with pytest.raises(RestoreFailed, match=r"public\.t301 has 1 row instead of 77"):
                check_rows(session, lambda: expected(t301=77))
    finally:
        many.psql(f"DROP OWNED BY {role}; DROP ROLE {role}")
