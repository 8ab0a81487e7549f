"""`snap init --encrypt`: what opens a repository, what is refused, and with which words."""

from __future__ import annotations

import os
import pty
import select
import socket
import stat
import subprocess
import sys
import termios
from dataclasses import replace
from pathlib import Path

import pytest

from pgsnap.format.small import decode_config, encode_config
from pgsnap.repository.repository import Repository
from support.repositories.by_passphrase import DUMPS, SECRET_WORDS, Encrypted, secret_file
from support.running.commandline import SOURCE, CommandLine


@pytest.fixture
def made(snap: CommandLine) -> Encrypted:
    return Encrypted(snap)


def refused(snap: CommandLine, *words: str, code: int = 12) -> dict[str, str]:
    result = snap(*words, "--json")
    assert result.code == code, result.err
    assert result.out == ""
    found: dict[str, str] = result.error
    assert found["hint"]
    return found


# -- what works ----------------------------------------------------------------------------------


def test_all_commands_work_on_an_encrypted_repository(made: Encrypted) -> None:
    snap = made.snap
    first = made.commit("one", "--tag", "ark-number-1")
    second = made.commit("two")
    assert [one["id"] for one in snap.ok("log", "--json").json] == [second, first]
    assert snap.ok("cat", "ark-number-1").out == DUMPS["one"]
    assert snap.ok("cat", second).out == DUMPS["two"]
    assert snap.ok("diff", "ark-number-1", second, "--json").json["tables"]
    snap.ok("show", first)
    snap.ok("stats")
    snap.ok("verify", "--data")
    snap.ok("tag", "noahs-log", first)
    snap.ok("tag", "--force", "noahs-log", second)
    assert {one["name"] for one in snap.ok("tag", "--json").json} == {"ark-number-1", "noahs-log"}
    snap.ok("tag", "--delete", "noahs-log")
    snap.ok("forget", "--force", second)
    snap.ok("unforget", second)
    snap.ok("forget", "--force", second)
    snap.ok("gc", "--grace", "0s", "--keep-last", "1")
    snap.ok("reindex")
    snap.ok("repair")
    assert snap.ok("cat", first).out == DUMPS["one"]
    assert "commit" in {one["command"] for one in snap.ok("audit", "--json").json}


def test_no_name_and_no_value_shows_in_any_file(
    made: Encrypted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "mount-ararat")
    made.commit("one", "--tag", "ark-number-1")
    made.commit("two", "--tag", "noahs-log")
    for words in (
        ("verify", "--data"),
        ("gc",),
        ("stats",),
        ("forget", "--force", "noahs-log"),
        ("repair",),
    ):
        made.snap.ok(*words)
    shown = made.every_byte()
    rows = [line for line in DUMPS["two"].encode().split(b"\n") if b"\t" in line]
    for hidden in (*SECRET_WORDS, *rows, b"mount-ararat"):
        assert hidden not in shown, hidden
    assert not list(made.path.rglob("index.sqlite*"))


def test_the_index_is_in_the_cache_and_only_the_user_can_read_it(made: Encrypted) -> None:
    made.commit("one")
    files = list((made.snap.folder / "home" / ".cache" / "pgsnap").glob("*.sqlite*"))
    assert files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_what_init_says_is_what_there_is(made: Encrypted) -> None:
    config = decode_config((made.path / "config").read_bytes())
    assert config.encryption is not None
    assert made.made["encrypted"] is True
    assert made.made["key_fingerprint"] == config.encryption.fingerprint.hex()


# -- where the secret comes from -----------------------------------------------------------------


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


# -- each reason why it does not open ------------------------------------------------------------


def test_a_wrong_passphrase(made: Encrypted) -> None:
    made.commit("one")
    made.passphrase.write_text("open barley\n")
    assert refused(made.snap, "log")["message"] == "wrong passphrase"


def test_a_key_of_a_kind_that_no_slot_has(made: Encrypted) -> None:
    key = secret_file(made.snap.folder, "key", os.urandom(32))
    error = refused(made.snap, "log", "--key-file", str(key))
    assert error["message"] == "no key slot of the repository opens with a key file"


def test_no_key_at_all(made: Encrypted) -> None:
    made.snap.setenv("SNAP_PASSPHRASE_FILE", "")
    error = refused(made.snap, "log")
    assert error["message"] == "the repository is encrypted, and no key was given"


def test_key_slots_that_are_missing_or_damaged(made: Encrypted) -> None:
    (slot,) = (made.path / "keys").iterdir()
    before = slot.read_bytes()
    slot.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    message = refused(made.snap, "log")["message"]
    assert message == "all key slots of the repository are damaged"
    slot.unlink()
    assert refused(made.snap, "log")["message"] == "the key slots of the repository are missing"
    slot.write_bytes(before)
    made.snap.ok("log")


def plain_config(made: Encrypted) -> bytes:
    """Return the config of the repository as if it were not encrypted."""
    config = decode_config((made.path / "config").read_bytes())
    return encode_config(replace(config, encryption=None))


@pytest.mark.parametrize("words", [("log",), ("commit", "-m", "x", "--file", "-"), ("gc",)])
def test_a_config_that_says_it_is_not_encrypted(made: Encrypted, words: tuple[str, ...]) -> None:
    (made.path / "config").write_bytes(plain_config(made))
    for given in (str(made.passphrase), ""):
        made.snap.setenv("SNAP_PASSPHRASE_FILE", given)
        error = refused(made.snap, *words)
        assert "was encrypted, and its config says that it is not" in error["message"]


def test_the_same_on_a_machine_that_never_saw_it(made: Encrypted) -> None:
    (made.path / "config").write_bytes(plain_config(made))
    made.snap.setenv("XDG_STATE_HOME", str(made.snap.folder / "fresh"))
    error = refused(made.snap, "log")
    assert "is not encrypted, and SNAP_PASSPHRASE_FILE gives a secret for it" in error["message"]
    made.snap.setenv("SNAP_PASSPHRASE_FILE", "")
    config = made.snap.work / "snap.toml"
    config.write_text(f'key_fingerprint = "{made.made["key_fingerprint"]}"\n' + config.read_text())
    error = refused(made.snap, "log")
    assert "does not have the keys that snap.toml demands" in error["message"]


def test_a_config_of_other_keys(made: Encrypted) -> None:
    other = made.snap.folder / "other"
    made.snap.ok("init", "--encrypt", str(other))
    (made.path / "config").write_bytes((other / "config").read_bytes())
    error = refused(made.snap, "log")
    assert "was replaced: it names other keys" in error["message"]
    made.snap.setenv("XDG_STATE_HOME", str(made.snap.folder / "fresh"))
    assert refused(made.snap, "log")["message"] == "wrong passphrase"


def test_a_secret_for_a_repository_that_is_not_encrypted(snap: CommandLine) -> None:
    snap.ok("init")
    secret = secret_file(snap.folder, "secret", b"open sesame\n")
    snap.setenv("SNAP_PASSPHRASE_FILE", str(secret))
    error = refused(snap, "log")
    assert "is not encrypted, and SNAP_PASSPHRASE_FILE gives a secret for it" in error["message"]
    result = snap("init", str(snap.folder / "another"))
    assert result.code == 2
    assert "SNAP_PASSPHRASE_FILE gives a secret, and --encrypt is not given" in result.err
    assert not (snap.folder / "another").exists()


def test_a_plain_object_in_an_encrypted_repository(made: Encrypted) -> None:
    """Somebody commits to a plain repository, and puts what that wrote among the encrypted."""
    made.commit("one", "--tag", "ark-number-1")
    made.snap.setenv("SNAP_PASSPHRASE_FILE", "")
    plain = made.snap.folder / "plain"
    made.snap.ok("init", str(plain))
    file = str(made.snap.folder / "one.sql")
    made.snap.ok("commit", "-m", "x", "--file", file, "--database", "x", "--repo", str(plain))
    made.snap.setenv("SNAP_PASSPHRASE_FILE", str(made.passphrase))
    (manifest,) = (plain / "snapshots").iterdir()
    planted = made.path / "snapshots" / manifest.name
    planted.write_bytes(manifest.read_bytes())
    error = refused(made.snap, "log")
    assert error["message"] == (
        f'"snapshots/{manifest.name}" is not encrypted, and the repository is'
    )
    planted.unlink()
    made.snap.ok("log")


def test_another_repository_may_be_made_where_an_encrypted_one_was(made: Encrypted) -> None:
    made.path.rename(made.snap.folder / "moved")
    made.snap.setenv("SNAP_PASSPHRASE_FILE", "")
    made.snap.ok("init")
    made.snap.ok("log")


def test_a_repository_that_did_not_open_gets_no_readable_line_in_its_log(made: Encrypted) -> None:
    log = made.path / "audit.jsonl"
    before = log.read_bytes()
    made.snap.setenv("SNAP_PASSPHRASE_FILE", "")
    for words in (("gc",), ("reindex",), ("repair",)):
        assert made.snap(*words).code == 12
    (made.path / "config").unlink()
    for words in (("reindex",), ("repair",)):
        assert made.snap(*words).code in (10, 12)
    assert log.read_bytes() == before


# -- repair --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seen_before", [True, False])
def test_repair_makes_no_config_for_an_encrypted_repository(
    made: Encrypted, seen_before: bool
) -> None:
    made.commit("one")
    before = (made.path / "config").read_bytes()
    copy = made.snap.folder / "copy"
    subprocess.run(["cp", "-a", made.path, copy], check=True)
    (made.path / "config").unlink()
    if not seen_before:
        made.snap.setenv("XDG_STATE_HOME", str(made.snap.folder / "fresh"))
    error = refused(made.snap, "repair")
    message = "the repository is encrypted, and its config cannot be made again"
    assert error["message"] == message
    assert not (made.path / "config").exists()
    made.snap.ok("repair", "--from", str(copy))
    assert (made.path / "config").read_bytes() == before
    made.snap.ok("verify", "--data")


def test_a_folder_that_lost_all_but_one_pack_is_still_known_to_be_encrypted(
    made: Encrypted,
) -> None:
    made.commit("one")
    for name in ("config", "keys", "snapshots"):
        subprocess.run(["rm", "-r", made.path / name], check=True)
    made.snap.setenv("XDG_STATE_HOME", str(made.snap.folder / "fresh"))
    made.snap.setenv("SNAP_PASSPHRASE_FILE", "")
    assert "is encrypted" in refused(made.snap, "repair")["message"]


def test_the_library_refuses_an_encrypted_repository_without_keys(made: Encrypted) -> None:
    from pgsnap.errors import WrongKey

    with pytest.raises(WrongKey, match="no key was given"):
        Repository.open(Path(made.path))
