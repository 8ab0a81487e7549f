"""What every Session must do, on a real server. Its users give a `session` fixture, and `again`,
which opens another session to the same database."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from pgsnap import interrupts
from pgsnap.errors import ConnectionFailed, QueryFailed
from pgsnap.interrupts import Stopped
from pgsnap.sessions.base import Session, ident, literal

AWKWARD = [
    "",
    " ",
    "\n",
    "a\nb\r\nc",
    "tab\there",
    "quote ' \" ` double '' done",
    "back\\slash \\. \\N \\n",
    "separators \x1c\x1d\x1e\x1f|,;",
    ":name :'x' :\"y\" :{?z} %s %% $1 $$ $a$",
    "grüße 😀 \u2028",
    "\x01\x7f",
    "-- no comment /* none",
    "x" * 100_000,
]


def once_it_sleeps(
    session: Session, again: Callable[[], Session], act: Callable[[], None]
) -> threading.Thread:
    """Start a thread that calls *act* when the server runs a statement of *session* that sleeps."""
    (pid,) = session.query("SELECT pg_backend_pid()")[0]
    sleeps = f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'PgSleep'"

    def watch() -> None:
        deadline = time.monotonic() + 60
        with again() as other:
            while not other.query(sleeps):
                assert time.monotonic() < deadline
                time.sleep(0.01)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


class SessionContract:
    def test_values_of_every_kind_come_back_as_they_are(self, session: Session) -> None:
        sql = ", ".join(literal(value) for value in AWKWARD)
        assert session.query(f"SELECT {sql}") == [tuple(AWKWARD)]
        sql = " UNION ALL ".join(
            f"SELECT {number}, {literal(value)}" for number, value in enumerate(AWKWARD)
        )
        assert session.query(sql) == [(str(n), value) for n, value in enumerate(AWKWARD)]

    def test_null_is_none_and_nothing_else_is(self, session: Session) -> None:
        assert session.query("SELECT NULL, 'NULL', '', 'None'") == [(None, "NULL", "", "None")]
        assert session.query("SELECT NULL") == [(None,)]
        assert session.query("SELECT ''") == [("",)]

    def test_no_rows_are_an_empty_list(self, session: Session) -> None:
        assert list(session.query("SELECT 1 WHERE false")) == []
        assert list(session.query("SET work_mem = '1MB'")) == []
        assert list(session.query("")) == []

    def test_the_last_statement_gives_the_rows(self, session: Session) -> None:
        assert session.query("SELECT 1; SELECT 2, 3") == [("2", "3")]
        assert list(session.query("SELECT 1; SET work_mem = '1MB'")) == []

    def test_rows_that_a_change_returns_come_back(self, session: Session) -> None:
        session.execute("CREATE TEMP TABLE t (a int); INSERT INTO pg_temp.t VALUES (1), (2)")
        assert session.query("UPDATE pg_temp.t SET a = a + 1 RETURNING a") == [("2",), ("3",)]

    def test_what_the_server_says_besides_is_told_while_a_statement_runs(
        self, session: Session
    ) -> None:
        sql = "DO $$ BEGIN RAISE NOTICE 'half of it'; PERFORM pg_catalog.pg_sleep(100); END $$"

        def run() -> None:
            with pytest.raises(QueryFailed):
                session.execute(sql)

        running = threading.Thread(target=run)
        running.start()
        deadline = time.monotonic() + 60
        while "half of it" not in session.notices():
            assert time.monotonic() < deadline, "the notice comes too late"
            time.sleep(0.01)
        assert running.is_alive()
        session.cancel()
        running.join()

    def test_several_statements_are_one_transaction(self, session: Session) -> None:
        session.execute("CREATE TEMP TABLE t (a int)")
        with pytest.raises(QueryFailed):
            session.execute("INSERT INTO pg_temp.t VALUES (1); SELECT 1/0")
        assert session.query("SELECT count(*) FROM pg_temp.t") == [("0",)]

    def test_a_transaction_stays_open_across_calls(
        self, session: Session, again: Callable[[], Session]
    ) -> None:
        session.execute("CREATE TABLE public.held (a int)")
        session.execute("BEGIN; INSERT INTO public.held VALUES (1)")
        assert session.query("SELECT count(*) FROM public.held") == [("1",)]
        with again() as other:
            assert other.query("SELECT count(*) FROM public.held") == [("0",)]
            session.execute("COMMIT")
            assert other.query("SELECT count(*) FROM public.held") == [("1",)]

    def test_an_error_has_all_its_parts(self, session: Session) -> None:
        with pytest.raises(QueryFailed) as caught:
            session.execute(
                "DO $$ BEGIN RAISE EXCEPTION E'first\\nsecond' USING"
                " DETAIL = 'the detail', HINT = 'the hint', ERRCODE = 'P0999'; END $$"
            )
        error = caught.value
        assert (error.message, error.sqlstate) == ("first\nsecond", "P0999")
        assert (error.detail, error.hint) == ("The detail.", "The hint.")

    def test_a_syntax_error_is_named(self, session: Session) -> None:
        with pytest.raises(QueryFailed, match="syntax error") as caught:
            session.execute("SELECT 'a' FROM WHERE")
        assert caught.value.sqlstate == "42601"
        with pytest.raises(QueryFailed) as caught:
            session.execute("SELECT 'unterminated")
        assert caught.value.sqlstate == "42601"

    def test_after_an_error_the_session_is_usable_and_rolled_back(self, session: Session) -> None:
        session.execute("CREATE TEMP TABLE t (a int)")
        session.execute("BEGIN; INSERT INTO pg_temp.t VALUES (1)")
        with pytest.raises(QueryFailed) as caught:
            session.query("SELECT 1/0")
        assert caught.value.sqlstate == "22012"
        assert session.query("SELECT count(*) FROM pg_temp.t") == [("0",)]

    def test_sql_is_taken_literally(self, session: Session) -> None:
        assert session.query("SELECT 'a' || $x$;\\q :PORT$x$ -- \\q\n, ';' /* ; \\! */") == [
            ("a;\\q :PORT", ";")
        ]
        with pytest.raises(QueryFailed):
            session.query("\\echo oops")
        assert session.query("SELECT (array[1,2,3])[1:2]") == [("{1,2}",)]

    def test_names_of_every_kind_can_be_used(self, session: Session) -> None:
        name = "a \"b\" 'c' \\d; é\n"
        session.execute(f"CREATE TABLE public.{ident(name)} ({ident(name)} int)")
        found = session.query("SELECT relname FROM pg_class WHERE relname LIKE 'a \"b\"%'")
        assert found == [(name,)]

    def test_large_sql_and_large_answers_pass(self, session: Session) -> None:
        text = "y" * 5_000_000
        assert session.query(f"SELECT length('{text}')") == [("5000000",)]
        rows = session.query("SELECT i, repeat('z', 1000) FROM generate_series(1, 5000) i")
        assert rows[4999] == ("5000", "z" * 1000)
        assert len(rows) == 5000

    def test_rows_are_put_into_a_table_as_they_are(self, session: Session) -> None:
        session.execute("CREATE TEMP TABLE t (a int, b text)")
        copy = "COPY pg_temp.t (b, a) FROM stdin (ENCODING 'LATIN1')"
        session.copy_rows(copy, [])
        rows = b"".join(b"\\\\! :PORT ; \xe9\\n\t%d\n" % n for n in range(300_000))
        session.copy_rows(copy, [rows[:17], rows[17:4_000_000], rows[4_000_000:]])
        assert session.query("SELECT count(*), min(b), max(b), sum(a) FROM pg_temp.t") == [
            ("300000", "\\! :PORT ; é\n", "\\! :PORT ; é\n", str(sum(range(300_000))))
        ]

    def test_rows_that_are_refused_are_never_taken_for_commands(
        self, session: Session, again: Callable[[], Session]
    ) -> None:
        harm = b"CREATE TABLE public.harm ();\n\\q\n"
        session.execute("CREATE TEMP TABLE t (a int); SELECT pg_backend_pid()")
        with pytest.raises(QueryFailed, match="invalid input syntax") as caught:
            session.copy_rows("COPY pg_temp.t FROM stdin", [harm * 50_000])
        assert caught.value.sqlstate == "22P02"
        with again() as other:
            with pytest.raises(QueryFailed, match="does not exist"):
                other.copy_rows("COPY pg_temp.missing FROM stdin", [harm])
            with pytest.raises((QueryFailed, ConnectionFailed)):
                other.copy_rows("SELECT 1", [harm])
        with again() as other, suppress(QueryFailed):
            other.execute("CREATE TEMP TABLE t (a int)")
            other.copy_rows("COPY pg_temp.t FROM stdin", [b"1\n\\", b".\n" + harm])
        with again() as other:

            def damaged() -> Iterator[bytes]:
                yield b"1\n"
                raise ValueError("damaged")

            other.execute("CREATE TABLE public.kept (a int)")
            with pytest.raises(ValueError, match="damaged"):
                other.copy_rows("COPY public.kept FROM stdin", damaged())
        with again() as other:
            assert other.query(
                "SELECT pg_catalog.to_regclass('public.harm'), (SELECT count(*) FROM public.kept)"
            ) == [(None, "0")]

    def test_notices_do_not_disturb(self, session: Session) -> None:
        session.execute(
            "DO $$ BEGIN FOR i IN 1..20000 LOOP RAISE NOTICE 'notice % %', i,"
            " repeat('n', 100); END LOOP; END $$"
        )
        assert session.query("SELECT 1") == [("1",)]
        with pytest.raises(QueryFailed, match="division by zero"):
            session.query("SELECT 1/0")

    def test_settings_are_pinned_and_the_search_path_is_empty(self, session: Session) -> None:
        assert session.query(
            "SELECT current_setting('TimeZone'), current_setting('bytea_output'),"
            " current_setting('statement_timeout'), current_setting('search_path'),"
            " timestamptz '2026-01-01 00:00:00+02'::text"
        ) == [("UTC", "hex", "0", '""', "2025-12-31 22:00:00+00")]

    def test_the_servers_version_is_told(self, session: Session) -> None:
        (asked,) = session.query("SELECT current_setting('server_version_num')")
        assert str(session.server_version_num) == asked[0]

    def test_cancel_from_another_thread_stops_a_statement(
        self, session: Session, again: Callable[[], Session]
    ) -> None:
        timer = once_it_sleeps(session, again, session.cancel)
        start = time.monotonic()
        with pytest.raises(QueryFailed) as caught:
            session.query("SELECT pg_sleep(60)")
        timer.join()
        assert caught.value.sqlstate == "57014"
        assert time.monotonic() - start < 30
        assert session.query("SELECT 1") == [("1",)]

    def test_ctrl_c_gets_through_and_the_session_can_go_on(
        self, session: Session, again: Callable[[], Session]
    ) -> None:
        session.execute("BEGIN")
        main = threading.main_thread().ident
        assert main is not None
        start = time.monotonic()
        with interrupts.handled():
            timer = once_it_sleeps(session, again, lambda: signal.pthread_kill(main, signal.SIGINT))
            with pytest.raises(Stopped):
                session.query("SELECT pg_sleep(60)")
            timer.join()
            assert time.monotonic() - start < 30
            assert session.query("SELECT 1") == [("1",)]

    def test_an_ended_backend_is_a_lost_connection(
        self, session: Session, again: Callable[[], Session]
    ) -> None:
        (pid,) = session.query("SELECT pg_backend_pid()")[0]
        with again() as other:
            other.query(f"SELECT pg_terminate_backend({pid}, 5000)")
        with pytest.raises(ConnectionFailed):
            session.query("SELECT 1")
        with pytest.raises(ConnectionFailed):
            session.query("SELECT 1")

    def test_a_closed_session_says_so_and_closes_twice(self, session: Session) -> None:
        session.close()
        session.close()
        session.cancel()
        with pytest.raises(ConnectionFailed):
            session.query("SELECT 1")

    def test_close_ends_the_backend(self, session: Session, again: Callable[[], Session]) -> None:
        (pid,) = session.query("SELECT pg_backend_pid()")[0]
        session.close()
        with again() as other:
            deadline = time.monotonic() + 60
            count = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"
            while other.query(count) != [("0",)] and time.monotonic() < deadline:
                time.sleep(0.02)
            assert other.query(count) == [("0",)]
