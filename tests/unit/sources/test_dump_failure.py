"""pg_dump's last words, turned into hints."""

from __future__ import annotations

import pytest

from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sources.dump_failure import dump_failed, lock_timed_out, refused_connection

ENDPOINT = Endpoint.parse("postgresql://alice@db/shop", {})


@pytest.mark.parametrize(
    ("stderr", "hint"),
    [
        ('query would be affected by row-level security policy for table "t"', "ROLE alice BYPASS"),
        ("permission denied for table t", "GRANT pg_read_all_data TO alice"),
        ("ERROR:  permission denied for large object 42", "LARGE OBJECT 42 TO alice"),
        ("ERROR:  permission denied for database shop", "CONNECT ON DATABASE shop TO alice"),
        ("aborting because of server version mismatch", "own major version"),
        ("ERROR:  invalid page in block 3 of relation base/1/2", "damaged"),
        ("ERROR:  missing chunk number 0 for toast value 7", "damaged"),
        ("ERROR:  invalid memory alloc request size 1073741825", "512 MB"),
        ("HINT:  You might need to increase max_locks_per_transaction.", "restart the server"),
        ("server closed the connection unexpectedly", "log"),
        ("canceling statement due to conflict with recovery", "max_standby_streaming_delay"),
    ],
)
def test_each_known_failure_has_a_hint(stderr: str, hint: str) -> None:
    error = dump_failed("pg_dump", 1, f"pg_dump: error: {stderr}\n", ENDPOINT, 180000)
    assert error.message == "pg_dump ended with status 1"
    assert stderr in error.detail
    assert hint in error.hint


def test_from_19_on_the_role_that_reads_everything_reads_large_objects_too() -> None:
    text = "pg_dump: error: query failed: ERROR:  permission denied for large object 42"
    assert "ON LARGE OBJECT 42" in dump_failed("pg_dump", 1, text, ENDPOINT, 180006).hint
    newer = dump_failed("pg_dump", 1, text, ENDPOINT, 190000).hint
    assert newer == "Run `GRANT pg_read_all_data TO alice` as a superuser."


def test_the_first_lines_of_a_long_text_are_shown_and_no_line_is_endless() -> None:
    tables = ", ".join(f"public.t{i}" for i in range(5000))
    text = (
        "pg_dump: error: query failed: ERROR:  permission denied for table t4711\n"
        f"pg_dump: detail: Query was: LOCK TABLE {tables} IN ACCESS SHARE MODE\n"
    ) + "pg_dump: warning: another line\n" * 50
    error = dump_failed("pg_dump", 1, text, ENDPOINT, 180000)
    assert error.detail.startswith("pg_dump: error: query failed: ERROR:  permission denied for t")
    assert "Query was: LOCK TABLE public.t0, public.t1" in error.detail
    assert len(error.detail) < 2000
    assert "GRANT pg_read_all_data" in error.hint


def test_a_signal_is_named() -> None:
    assert (
        dump_failed("pg_dump", -9, "", ENDPOINT, 180000).message == "pg_dump was killed by signal 9"
    )


def test_a_lock_timeout_is_told_from_other_timeouts() -> None:
    timeout = "ERROR:  canceling statement due to statement timeout\n"
    lock = f"{timeout}pg_dump: detail: Query was: LOCK TABLE public.t IN ACCESS SHARE MODE"
    assert lock_timed_out(lock)
    assert not lock_timed_out(timeout)
    assert "--lock-wait-timeout" in dump_failed("pg_dump", 1, lock, ENDPOINT, 180000).hint


def test_a_refused_connection_is_told_from_a_failed_dump() -> None:
    text = 'pg_dump: error: connection to server at "db", port 5432 failed: Connection refused'
    error = refused_connection(text, ENDPOINT)
    assert error is not None
    assert "pg_isready" in error.hint
    assert refused_connection("pg_dump: error: query failed", ENDPOINT) is None
