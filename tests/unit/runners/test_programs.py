from __future__ import annotations

import subprocess

import pytest

from pgsnap.runners.programs import ended, lines_of, run


def test_a_program_runs_to_its_end() -> None:
    done = run(["sh", "-c", "sleep 0.2; cat; echo words >&2; exit 3"], input=b"given")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"given", b"words\n")


def test_a_program_that_reads_late_gets_all_of_its_input() -> None:
    """Also more than a pipe holds, and later than signals are looked for."""
    given = b"given" * 100_000
    assert run(["sh", "-c", "sleep 0.3; cat"], input=given, timeout=60).stdout == given


def test_a_program_may_leave_its_input_unread() -> None:
    assert run(["true"], input=b"given" * 100_000).returncode == 0


def test_a_program_without_input_reads_nothing() -> None:
    assert run(["cat"]).stdout == b""


def test_a_program_that_takes_too_long_is_killed() -> None:
    with pytest.raises(TimeoutError):
        run(["sleep", "60"], timeout=0.1)


def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(FileNotFoundError):
        run(["/nowhere/program"])


def test_a_child_is_waited_for_as_long_as_allowed() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        assert ended(child, 0.05) is None
        child.kill()
        assert ended(child) == -9
        assert ended(child) == -9


def test_lines_come_as_they_are_and_long_ones_in_parts() -> None:
    script = "printf 'one\\n\\n12345678\\nabcdefgh'; sleep 0.1; printf 'ij\\nlast'"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as child:
        found = list(lines_of(child, 5))
    assert found == [b"one", b"", b"12345", b"678", b"abcde", b"fghij", b"last"]
