from __future__ import annotations

from pgsnap.targets.load.psql_messages import Help, failure_in, restore_failed

NOISE = """psql:<stdin>:3: NOTICE:  00000: extension exists, skipping
LOCATION:  CreateExtension, extension.c:1
psql:<stdin>:4: WARNING:  01000: careful
"""
ERROR = """psql:<stdin>:9: FEHLER:  42883: function plus(integer) does not exist
LINE 1: SELECT plus(a)
               ^
DETAIL:  More.
HINT:  No function matches
the name.
QUERY:  SELECT plus(a)
CONTEXT:  SQL function "f" during inlining
LOCATION:  ParseFuncOrColumn, parse_func.c:629
psql:<stdin>:10: FEHLER:  25P02: later
"""


def test_notices_and_warnings_are_no_failure_in_any_language() -> None:
    assert failure_in(NOISE) is None


def test_a_notice_with_an_errors_sqlstate_is_not_taken_for_the_error() -> None:
    notice = "psql:<stdin>:5: ЗАМЕЧАНИЕ:  42P07: уже существует\nLOCATION:  f, p.c:1\n"
    found = failure_in(notice + ERROR)
    assert found is not None
    assert (found.sqlstate, found.line) == ("42883", 9)
    found = failure_in(notice + "psql:<stdin>:7: error: backslash commands are restricted\n")
    assert found is not None
    assert found.line == 7


def test_a_lost_connection_is_told_in_the_servers_words() -> None:
    text = (
        "psql:<stdin>:5: 致命错误:  57P01: 由于管理员命令中断联接\n"
        "psql:<stdin>:5: server closed the connection unexpectedly\n"
        "psql:<stdin>:5: error: connection to server was lost\n"
    )
    found = failure_in(text)
    assert found is not None
    assert found.sqlstate == "57P01"


def test_the_error_is_taken_apart() -> None:
    found = failure_in(NOISE + ERROR)
    assert found is not None
    assert found.message == "function plus(integer) does not exist"
    assert (found.sqlstate, found.line) == ("42883", 9)
    assert "More." in found.detail
    assert 'SQL function "f" during inlining' in found.detail
    assert found.hint == "No function matches the name."


def test_a_refused_psql_command_and_a_refused_connection_are_failures() -> None:
    found = failure_in("psql:<stdin>:3: error: backslash commands are restricted; only x\n")
    assert found is not None
    assert found.line == 3
    assert "restricted" in found.message
    found = failure_in('psql: error: connection to server failed: FATAL:  role "x"\n\tmore\n')
    assert found is not None
    assert found.message.startswith("connection to server failed")


def test_the_error_has_its_place_and_what_is_known_of_it() -> None:
    text = "psql:<stdin>:9: ERROR:  42883: function f() does not exist\nHINT:  Cast.\n"
    known = Help("It is not there.", "Make it.")
    error = restore_failed(failure_in(text), text, 3, "line 5 of the dump", known, fallback="x")
    assert error.message == "the restore stopped: function f() does not exist"
    assert error.detail == "At line 5 of the dump. It is not there."
    assert error.hint == "Cast. Make it."


def test_a_silent_death_of_psql_is_told_with_its_status() -> None:
    error = restore_failed(None, "", -9, "line 7", Help(), fallback="psql failed")
    assert error.message == "psql failed"
    assert "-9" in error.detail
    assert "line 7" in error.detail
