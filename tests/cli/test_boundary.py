from __future__ import annotations

import errno
import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from pgsnap import errors
from pgsnap.cli import app
from pgsnap.errors import EXIT_CODES, SnapError
from support.running.commandline import SOURCE, CommandLine


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let whatever command runs next raise *error*."""

    def raise_it(*arguments: Any) -> int:
        if "--json" in arguments[1]:
            arguments[2].console.json = True
        if "--verbose" in arguments[1]:
            arguments[2].console.verbose = True
        raise error

    monkeypatch.setattr(app, "execute", raise_it)


def all_errors() -> list[type[SnapError]]:
    found = [SnapError]
    for error in found:
        found += error.__subclasses__()
    return [error for error in found if error.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", all_errors())
def test_every_error_ends_with_its_documented_exit_code(
    snap: CommandLine, monkeypatch: pytest.MonkeyPatch, kind: type[SnapError]
) -> None:
    # Else a refused connection has a hint of the command line's own: that nothing names one.
    snap.setenv("DATABASE_URL", "postgresql://host/shop")
    failing(monkeypatch, kind("it broke", detail="So.", hint="Run `snap log`."))
    result = snap("log")
    assert result.code == kind.exit_code
    assert result.code in dict(EXIT_CODES)
    assert result.err == "snap: error: it broke\nDETAIL:  So.\nHINT:  Run `snap log`.\n"
    assert result.out == ""


def test_with_json_an_error_is_one_object_on_stderr(
    snap: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, errors.TargetExists("database exists", hint="Drop it."))
    result = snap("log", "--json")
    assert result.code == 40
    assert result.error == {
        "kind": "target-exists",
        "message": "database exists",
        "detail": "",
        "hint": "Drop it.",
        "exit_code": 40,
    }
    assert result.out == ""


@pytest.mark.parametrize("option", ["--json", "--quiet"])
def test_passwords_never_appear_in_an_error(
    snap: CommandLine, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    secret = "postgresql://u:s3cr3t@db/x"
    failing(monkeypatch, SnapError(secret, detail=f"At {secret}.", hint=f"Run `snap {secret}`."))
    result = snap("log", option)
    assert "s3cr3t" not in result.err
    assert "***" in result.err


def test_escape_sequences_of_others_never_reach_the_terminal(
    snap: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, SnapError('no table "\x1b[2Jx"', detail="One.\nTwo."))
    result = snap("log")
    assert "\x1b" not in result.err
    assert "One.\nTwo." in result.err


def test_a_bug_is_told_as_one_and_its_traceback_is_kept_in_a_private_file(
    snap: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, KeyError("password=s3cr3t"))
    result = snap("log")
    assert result.code == 70
    assert "a bug in snap: KeyError" in result.err
    assert "Traceback" not in result.err
    [kept] = Path(os.environ["HOME"], ".local", "state", "pgsnap").iterdir()
    assert str(kept) in result.err
    assert kept.stat().st_mode & 0o777 == 0o600
    text = kept.read_text()
    assert "Traceback" in text
    assert "s3cr3t" not in text + result.err


def test_a_password_among_the_arguments_is_not_kept_with_a_bug(
    snap: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, ZeroDivisionError("x"))
    assert snap("log", "--dsn=postgresql://bob:s3cr3t@db/shop").code == 70
    [kept] = Path(os.environ["HOME"], ".local", "state", "pgsnap").iterdir()
    assert "\nlog\n" in kept.read_text()
    assert "s3cr3t" not in kept.read_text()


def test_a_bug_shows_its_traceback_with_verbose(
    snap: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, ZeroDivisionError("x"))
    assert "Traceback" in snap("log", "--verbose").err
    error = snap("log", "--verbose", "--json").error
    assert "Traceback" in error["traceback"]
    assert error["exit_code"] == 70


def test_a_bug_without_a_place_for_its_traceback_is_still_told(
    snap: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(os.environ["HOME"], ".local").write_text("in the way")
    failing(monkeypatch, ZeroDivisionError("x"))
    result = snap("log")
    assert result.code == 70
    assert "--verbose" in result.err


@pytest.mark.parametrize(
    ("number", "code"),
    [
        *((errno.ENOSPC, 50), (errno.EDQUOT, 50), (errno.EACCES, 1), (errno.EROFS, 1)),
        *((errno.ENAMETOOLONG, 1), (errno.ENOTDIR, 1)),
    ],
)
def test_a_refusal_of_the_operating_system_is_no_bug(
    snap: CommandLine, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    failing(monkeypatch, OSError(number, os.strerror(number), "/there"))
    result = snap("log")
    assert result.code == code
    assert "/there" in result.err


def test_ctrl_c_ends_with_130(snap: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    result = snap("log")
    assert (result.code, result.err) == (130, "snap: error: interrupted\n")


def test_ctrl_c_while_modules_are_read_is_told_as_json_where_that_was_asked_for(
    snap: CommandLine,
) -> None:
    code = (
        "import sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'pgsnap.cli.app': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from pgsnap.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    for arguments, json_wanted in ((["log", "--json"], True), (["log", "--", "--json"], False)):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (130, "")
        if json_wanted:
            assert json.loads(done.stderr)["error"]["kind"] == "interrupted"
        else:
            assert done.stderr == "snap: error: interrupted\n"


def test_ctrl_c_in_the_import_of_a_library_is_told_and_logged(snap: CommandLine) -> None:
    """What was cut in the middle, asyncio here, cannot be imported again by the same process."""
    snap.ok("init")
    code = (
        "import sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'asyncio.unix_events':\n"
        "            sys.meta_path.remove(self)\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from pgsnap.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "commit", "-m", "x", "--dsn", "postgresql://nowhere/shop"],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "snap: error: interrupted\n")
    assert snap.ok("audit", "--json").json[-1]["exit_code"] == 130


def test_a_working_folder_that_is_gone_is_no_bug(snap: CommandLine) -> None:
    gone = snap.work / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    result = snap("log")
    assert result.code == 2
    assert "the working folder is not there any more" in result.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_a_running_commit_with_130(
    snap: CommandLine, number: signal.Signals
) -> None:
    snap.ok("init")
    child = snap.popen(
        "commit", "-m", "x", "--file", "-", "--database", "shop", stdin=subprocess.PIPE
    )
    assert child.stdin is not None
    child.stdin.write("--\n-- PostgreSQL database dump\n--\n")
    child.stdin.flush()
    wait_until_read(child.stdin.fileno())
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "Traceback" not in err
    assert out == ""
    assert snap.ok("log", "--json").json == []


def wait_until_read(descriptor: int) -> None:
    """Return when whoever reads this pipe has taken everything out of it."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        waiting = fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4)
        if int.from_bytes(waiting, sys.byteorder) == 0:
            return
        time.sleep(0.02)
    raise AssertionError("nobody read the pipe")


def test_signal_handlers_are_put_back(snap: CommandLine) -> None:
    before = signal.getsignal(signal.SIGTERM)
    snap.ok("help")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_closed_pipe_is_nothing_to_talk_about(snap: CommandLine) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    child = snap.popen("help", "exit-codes", stdout=writer)
    os.close(writer)
    _, err = child.communicate(timeout=30)
    assert err == ""
    assert child.returncode == 1


def test_output_that_does_not_fit_is_an_error(snap: CommandLine) -> None:
    with Path("/dev/full").open("w") as full:
        result = snap.process("help", "exit-codes", stdout=full)
    assert result.code == 1
    assert "cannot write to standard output" in result.err
    assert "Traceback" not in result.err


def test_closed_standard_streams_are_survived(snap: CommandLine) -> None:
    snap.ok("init")
    script = "import os,sys; [os.close(n) for n in (0,1,2)]; os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", script, sys.executable, "-m", "pgsnap.cli", "log"],
        env={**os.environ, "PYTHONPATH": str(SOURCE)}, cwd=snap.work, check=False,
    )  # fmt: skip
    assert done.returncode == 0


def test_colours_appear_only_on_a_terminal_and_never_with_no_color(snap: CommandLine) -> None:
    assert "\x1b[31m" not in snap.process("log").err
    assert "\x1b[31m" in on_terminal(snap, {})
    assert "\x1b[31m" not in on_terminal(snap, {"NO_COLOR": "1"})
    assert "\x1b[31m" not in on_terminal(snap, {"TERM": "dumb"})


def on_terminal(snap: CommandLine, environ: dict[str, str]) -> str:
    """Return what `snap log` writes where all three streams are a terminal."""
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "pgsnap.cli", "log"],
        env={**os.environ, "TERM": "xterm", "PYTHONPATH": str(SOURCE), **environ},
        cwd=snap.work, stdin=slave, stdout=slave, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    shown = b""
    while True:
        try:
            data = os.read(master, 4096)
        except OSError:
            break
        if not data:
            break
        shown += data
    child.wait(timeout=30)
    os.close(master)
    return shown.decode()


def test_help_exit_codes_prints_the_table_of_errors_py(snap: CommandLine) -> None:
    shown = snap.ok("help", "exit-codes", "--json").json
    assert [(row["exit_code"], row["meaning"]) for row in shown] == list(EXIT_CODES)
    text = snap.ok("help", "exit-codes").out
    assert all(meaning in text for _, meaning in EXIT_CODES)


def test_json_text_is_ascii_whatever_the_locale(
    snap: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, SnapError("café\udce9"))
    result = snap("log", "--json")
    assert result.err.isascii()
    assert json.loads(result.err)["error"]["message"] == "café\udce9"
