"""Where the secret of an encrypted repository comes from, and which are refused."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios

import pytest

from support.repositories.by_passphrase import Encrypted, refused, secret_file
from support.running.commandline import SOURCE, CommandLine


@pytest.fixture
def made(snap: CommandLine) -> Encrypted:
    return Encrypted(snap)


def test_a_command_may_print_the_passphrase(made: Encrypted) -> None:
    made.snap.setenv("SNAP_PASSPHRASE_FILE", "")
    made.snap.ok("log", "--passphrase-command", "printf 'open sesame\\nand more\\n'")


def test_snap_toml_may_name_it(made: Encrypted) -> None:
    made.snap.setenv("SNAP_PASSPHRASE_FILE", "")
    config = made.snap.work / "snap.toml"
    config.write_text(f'passphrase_file = "{made.passphrase}"\n' + config.read_text())
    made.snap.ok("log")


def test_systemd_may_pass_it(made: Encrypted) -> None:
    made.snap.setenv("SNAP_PASSPHRASE_FILE", "")
    folder = made.snap.folder / "credentials"
    folder.mkdir()
    secret_file(folder, "snap-passphrase", b"open sesame", 0o400)
    made.snap.setenv("CREDENTIALS_DIRECTORY", str(folder))
    made.snap.ok("log")


def test_a_key_file_is_enough(snap: CommandLine) -> None:
    key = secret_file(snap.folder, "key", os.urandom(32))
    snap.ok("init", "--encrypt", "--key-file", str(key))
    snap.ok("log", "--key-file", str(key))
    (slot,) = snap.ok("key", "list", "--json").json
    assert slot["kind"] == "key-file"


def test_an_option_comes_before_the_environment(made: Encrypted) -> None:
    key = secret_file(made.snap.folder, "key", os.urandom(32))
    made.snap.ok("key", "add", "--new-key-file", str(key))
    wrong = secret_file(made.snap.folder, "wrong", b"wrong\n")
    made.snap.setenv("SNAP_PASSPHRASE_FILE", str(wrong))
    assert refused(made.snap, "log")["message"] == "wrong passphrase"
    made.snap.ok("log", "--key-file", str(key))


class Typed:
    """Runs snap on a terminal of its own."""

    def __init__(self, snap: CommandLine) -> None:
        self._snap = snap

    def __call__(self, *words: str, answers: list[str]) -> tuple[int, str]:
        """Return the exit code and all that was to be seen on the terminal."""
        ours, theirs = pty.openpty()
        child = subprocess.Popen(
            [sys.executable, "-c", _ON_TERMINAL, os.ttyname(theirs), *words],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            cwd=self._snap.work,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        seen = b""
        for answer in answers:
            asked = b""
            while not asked.endswith(b": "):
                assert select.select([ours], [], [], 60.0)[0], seen + asked
                asked += os.read(ours, 4096)
            assert not termios.tcgetattr(theirs)[3] & termios.ECHO
            os.write(ours, answer.encode() + b"\n")
            seen += asked
        assert child.stderr is not None
        errors = child.stderr.read()
        code = child.wait(timeout=60)
        os.write(theirs, b"\nend")
        while not seen.endswith(b"end"):
            seen += os.read(ours, 4096)
        os.close(ours)
        os.close(theirs)
        return code, (seen + errors).decode()


_ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(os.open(sys.argv[1], os.O_RDWR), termios.TIOCSCTTY, 0)
from pgsnap.cli import main
sys.exit(main(sys.argv[2:]))
"""


def test_a_passphrase_is_asked_for_on_the_terminal_and_not_shown(snap: CommandLine) -> None:
    typed = Typed(snap)
    code, seen = typed("init", "--encrypt", answers=["open sesame", "open sesame"])
    assert code == 0, seen
    assert "New passphrase of the repository: " in seen
    code, seen = typed("log", answers=["wrong", "open sesame"])
    assert code == 0, seen
    assert "Wrong. Passphrase of the repository: " in seen
    code, seen = typed("log", answers=["wrong"] * 3)
    assert code == 12
    assert "wrong passphrase" in seen
    assert "sesame" not in seen


def test_two_passphrases_that_differ_make_no_repository(snap: CommandLine) -> None:
    code, seen = Typed(snap)("init", "--encrypt", answers=["open sesame", "open sesam"])
    assert code == 2
    assert "the two passphrases differ" in seen
    assert list(snap.work.iterdir()) == []


def test_nobody_is_asked_without_a_terminal(snap: CommandLine) -> None:
    result = snap.process("init", "--encrypt", start_new_session=True)
    assert result.code == 5
    assert "nobody can be asked for a passphrase" in result.err
    assert list(snap.work.iterdir()) == []


# -- secrets that are none -----------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o602])
def test_a_secret_that_others_can_read_or_change_is_refused(made: Encrypted, mode: int) -> None:
    made.passphrase.chmod(mode)
    error = refused(made.snap, "log", code=10)
    assert error["message"].startswith(f'others may read or change "{made.passphrase}"')
    assert error["hint"] == f"Close it: chmod 600 {made.passphrase}"
    made.passphrase.chmod(0o640)
    made.snap.ok("log")


def test_a_key_file_that_others_can_read_is_refused(snap: CommandLine) -> None:
    key = secret_file(snap.folder, "key", os.urandom(32), 0o644)
    result = snap("init", "--encrypt", "--key-file", str(key))
    assert result.code == 10
    assert "others may read or change" in result.err
    assert list(snap.work.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "gives no passphrase"),
        (b"\nsecond line\n", "gives no passphrase"),
        (b"x" * 70_000, "is too large"),
    ],
)
def test_a_passphrase_file_without_one_is_refused(
    snap: CommandLine, content: bytes, words: str
) -> None:
    snap.setenv("SNAP_PASSPHRASE_FILE", str(secret_file(snap.folder, "secret", content)))
    result = snap("init", "--encrypt")
    assert result.code == 2
    assert words in result.err


def test_files_that_are_none_are_refused(snap: CommandLine) -> None:
    snap.setenv("SNAP_KEY_FILE", str(snap.folder / "nowhere"))
    assert "cannot read" in snap("init", "--encrypt").err
    snap.setenv("SNAP_KEY_FILE", str(snap.folder))
    assert snap("init", "--encrypt").code == 2
    snap.setenv("SNAP_KEY_FILE", str(secret_file(snap.folder, "short", b"short")))
    assert "the key file is too short" in snap("init", "--encrypt").err


def test_a_command_that_fails_or_prints_nothing_is_refused(made: Encrypted) -> None:
    made.snap.setenv("SNAP_PASSPHRASE_FILE", "")
    failed = made.snap("log", "--passphrase-command", "echo hunter2; exit 3")
    assert failed.code == 2
    assert "the command of --passphrase-command failed with status 3" in failed.err
    assert "hunter2" not in failed.err
    assert "gives no passphrase" in made.snap("log", "--passphrase-command", "true").err
    # Else it would be read until no memory is left.
    endless = made.snap("log", "--passphrase-command", "yes 'open sesame'")
    assert endless.code == 2
    assert "prints more than a passphrase" in endless.err


def test_a_passphrase_is_in_no_file_that_snap_writes(made: Encrypted) -> None:
    made.commit("one")
    wrong = secret_file(made.snap.folder, "wrong", b"hunter2\n")
    made.snap("log", "--passphrase-command", f"cat {wrong}", "-v")
    files = [
        path
        for path in made.snap.folder.rglob("*")
        if path.is_file() and path not in (made.passphrase, wrong)
    ]
    assert files
    for path in files:
        content = path.read_bytes()
        assert b"hunter2" not in content, path
        assert b"open sesame" not in content, path
