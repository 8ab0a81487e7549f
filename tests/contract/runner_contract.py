"""What every Runner must do. Its users give a `runner` fixture."""

from __future__ import annotations

import threading
import time

import pytest

from pgsnap.errors import ToolMissing
from pgsnap.limits import STDERR_BYTES_MAX
from pgsnap.runners.base import Child, Runner


def everything(child: Child, size: int = 1 << 20) -> bytes:
    parts = []
    while data := child.read(size):
        parts.append(data)
    return b"".join(parts)


class RunnerContract:
    """The children are shells, which stand wherever PostgreSQL's tools do."""

    def test_output_and_exit_status_come_back(self, runner: Runner) -> None:
        child = runner.start(["sh", "-c", "printf out; exit 7"])
        assert everything(child) == b"out"
        assert child.wait() == 7
        assert child.poll() == 7
        assert child.read(10) == b""

    def test_output_fills_a_buffer_from_its_start(self, runner: Runner) -> None:
        child = runner.start(["/bin/sh", "-c", "printf abc; sleep 0.2; printf de"])
        buffer = bytearray(b"-" * 8)
        assert child.readinto(memoryview(buffer)) == 3
        assert child.readinto(memoryview(buffer)[3:]) == 2
        assert child.readinto(memoryview(buffer)[5:]) == 0
        assert bytes(buffer) == b"abcde---"
        assert child.wait() == 0

    def test_input_reaches_the_child_until_it_is_closed(self, runner: Runner) -> None:
        child = runner.start(["cat"], stdin=True)
        data = bytes(range(256)) * 1024
        child.write(data)
        child.write(memoryview(b"end"))
        child.close_input()
        child.close_input()
        assert everything(child) == data + b"end"
        assert child.wait() == 0

    def test_without_stdin_a_child_reads_nothing(self, runner: Runner) -> None:
        child = runner.start(["cat"])
        assert everything(child) == b""
        assert child.wait() == 0

    def test_without_stdout_output_goes_nowhere(self, runner: Runner) -> None:
        child = runner.start(["sh", "-c", "seq 1 100000"], stdout=False)
        assert child.read(10) == b""
        assert child.wait() == 0

    def test_the_environment_is_added_to(self, runner: Runner) -> None:
        child = runner.start(["sh", "-c", 'printf "%s" "$SNAP_TEST"; test -n "$PATH"'],
                             env={"SNAP_TEST": "a b\n'c"})  # fmt: skip
        assert everything(child) == b"a b\n'c"
        assert child.wait() == 0

    def test_arguments_arrive_as_they_are(self, runner: Runner) -> None:
        child = runner.start(["printf", "%s|", "a b", "$HOME", "'\"\\", "ä", ""])
        assert everything(child) == "a b|$HOME|'\"\\|ä||".encode()

    def test_a_talkative_stderr_never_blocks_and_keeps_both_ends(self, runner: Runner) -> None:
        child = runner.start(["sh", "-c", "seq 1 300000 >&2; echo the end >&2; echo done"])
        assert everything(child) == b"done\n"
        assert child.wait() == 0
        kept = child.stderr_text()
        assert kept.startswith("1\n2\n3\n")
        assert kept.endswith("300000\nthe end\n")
        assert STDERR_BYTES_MAX // 2 < len(kept.encode()) <= STDERR_BYTES_MAX
        assert "\n[...]\n" in kept

    def test_writing_to_a_dead_child_raises(self, runner: Runner) -> None:
        child = runner.start(["sh", "-c", "exit 0"], stdin=True)
        child.wait()
        with pytest.raises(BrokenPipeError):
            child.write(b"x" * (8 << 20))

    def test_a_write_that_nobody_reads_ends_with_the_child(self, runner: Runner) -> None:
        child = runner.start(["sleep", "60"], stdin=True)
        threading.Timer(0.2, child.kill).start()
        with pytest.raises(BrokenPipeError):
            child.write(b"x" * (8 << 20))

    def test_wait_with_a_timeout_raises_while_the_child_runs(self, runner: Runner) -> None:
        child = runner.start(["sleep", "60"])
        with pytest.raises(TimeoutError):
            child.wait(0.05)
        assert child.poll() is None
        child.kill()

    def test_stop_asks_first(self, runner: Runner) -> None:
        child = runner.start(
            ["sh", "-c", "trap 'echo asked; exit 3' TERM; echo up; while :; do sleep 0.05; done"]
        )
        assert child.read(100) == b"up\n"
        child.stop()
        assert child.wait() == 3
        assert b"asked" in everything(child)

    def test_kill_ends_a_child_that_does_not_listen_twice_and_after_its_end(
        self, runner: Runner
    ) -> None:
        child = runner.start(["sh", "-c", "trap '' TERM INT; echo up; sleep 60"])
        child.read(100)
        child.kill()
        child.kill()
        child.stop()
        assert child.wait() < 0 or child.wait() == 137

    def test_a_reader_sees_the_end_when_another_thread_kills(self, runner: Runner) -> None:
        child = runner.start(["sleep", "60"])
        threading.Timer(0.1, child.kill).start()
        start = time.monotonic()
        assert child.read(10) == b""
        assert time.monotonic() - start < 30

    def test_a_program_that_is_not_there_is_a_missing_tool(self, runner: Runner) -> None:
        with pytest.raises(ToolMissing):
            runner.start(["/nonexistent/pg_dump"])
        with pytest.raises(ToolMissing) as caught:
            runner.find("pg_nonesuch", 15)
        assert "apt install postgresql-client-15" in caught.value.hint
