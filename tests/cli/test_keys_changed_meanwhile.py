"""Another command, or somebody without a key, changes the key slots: no key in use is lost."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pgsnap.cli.console.console import Console
from pgsnap.cli.console.terminal import Terminal
from pgsnap.repository.lock import Held
from pgsnap.repository.places.local import LocalPlace
from pgsnap.sealing.keys import new_master
from pgsnap.sealing.slots import encode_slot, new_slot
from pgsnap.sealing.wrapping_keys import KeyFile
from support.repositories.by_passphrase import DUMPS, Encrypted, refused, secret_file
from support.running.commandline import CommandLine


@pytest.fixture
def made(snap: CommandLine) -> Encrypted:
    return Encrypted(snap)


@pytest.fixture
def second(made: Encrypted) -> Path:
    """A key file that opens the repository too."""
    file = secret_file(made.snap.folder, "second", secrets.token_bytes(32))
    made.snap.ok("key", "add", "--new-key-file", str(file), "--name", "second")
    return file


def use(made: Encrypted, key_file: Path | None) -> None:
    """Use *key_file* from now on, or the passphrase."""
    made.snap.setenv("SNAP_KEY_FILE", str(key_file or ""))
    made.snap.setenv("SNAP_PASSPHRASE_FILE", "" if key_file else str(made.passphrase))


def slot_files(made: Encrypted) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (made.path / "keys").iterdir()}


def forged_slot(made: Encrypted, epochs: int) -> str:
    """Put a slot there as somebody does who has no key of the repository; return its id."""
    masters = [new_master() for _ in range(epochs)]
    slot = new_slot(masters, made.made["repository_id"], KeyFile(bytes(32)), name="alice")
    (made.path / "keys" / "00000000000000ff").write_bytes(encode_slot(slot))
    return "00000000000000ff"


def once_while_waiting_for_the_lock(
    monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]
) -> None:
    """Let another command run to its end while the next one waits for the lock."""
    lock = LocalPlace.lock

    def waited(
        self: LocalPlace, timeout_seconds: float, *, alone: bool, anonymous: bool = False
    ) -> AbstractContextManager[Held]:
        monkeypatch.setattr(LocalPlace, "lock", lock)
        meanwhile()
        return lock(self, timeout_seconds, alone=alone, anonymous=anonymous)

    monkeypatch.setattr(LocalPlace, "lock", waited)


def test_a_rotation_that_waited_for_another_one_loses_no_key(
    made: Encrypted, second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def others() -> None:
        use(made, None)
        made.snap.ok("key", "rotate", "--yes")
        written.append(made.commit("one"))

    once_while_waiting_for_the_lock(monkeypatch, others)
    use(made, second)
    error = refused(made.snap, "key", "rotate", "--yes")
    assert error["message"] == "the key that opened the repository does not open it any more"
    use(made, None)
    made.snap.setenv("XDG_CACHE_HOME", str(made.snap.folder / "empty"))
    assert made.snap.ok("cat", written[0]).out == DUMPS["one"]
    made.snap.ok("verify", "--data")


def test_a_rotation_that_waited_for_one_with_the_same_key_goes_on_from_it(
    made: Encrypted, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def others() -> None:
        made.snap.ok("key", "rotate")
        written.append(made.commit("one"))

    once_while_waiting_for_the_lock(monkeypatch, others)
    assert made.snap("key", "rotate").code == 0
    made.snap.setenv("XDG_CACHE_HOME", str(made.snap.folder / "empty"))
    assert made.snap.ok("cat", written[0]).out == DUMPS["one"]
    assert [one["epochs"] for one in made.snap.ok("key", "list", "--json").json] == [3]


def test_a_commit_that_waited_for_a_rotation_writes_with_the_new_key(
    made: Encrypted, second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = slot_files(made)
    once_while_waiting_for_the_lock(
        monkeypatch, lambda: made.snap.ok("key", "rotate", "--yes") and None
    )
    made.commit("one")
    # With the slots of before, nobody can read it.
    for name in slot_files(made):
        (made.path / "keys" / name).unlink()
    for name, data in before.items():
        (made.path / "keys" / name).write_bytes(data)
    use(made, second)
    made.snap.setenv("XDG_STATE_HOME", str(made.snap.folder / "fresh"))
    made.snap.setenv("XDG_CACHE_HOME", str(made.snap.folder / "empty"))
    assert refused(made.snap, "log")["message"] == "the repository's key number 2 is missing"


def test_a_reindex_that_waited_for_a_rotation_reads_what_was_written_since(
    made: Encrypted, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def others() -> None:
        made.snap.ok("key", "rotate")
        written.append(made.commit("one"))

    once_while_waiting_for_the_lock(monkeypatch, others)
    assert made.snap("reindex").code == 0
    assert made.snap.ok("cat", written[0]).out == DUMPS["one"]


def test_a_rotation_without_the_newest_keys_is_refused(made: Encrypted) -> None:
    forged = forged_slot(made, 2)
    before = slot_files(made)
    error = refused(made.snap, "key", "rotate", "--yes", code=10)
    assert error["message"] == (
        "the repository has newer keys than number 1, the newest that opens in this run"
    )
    assert forged in error["detail"]
    assert slot_files(made) == before
    made.snap.ok("key", "remove", forged, "--yes")
    made.snap.ok("key", "rotate")


@pytest.mark.parametrize("epochs", [1, 2])
def test_the_last_slot_that_opens_cannot_be_removed_though_somebody_put_another_there(
    made: Encrypted, epochs: int
) -> None:
    snapshot = made.commit("one")
    (real,) = slot_files(made)
    forged = forged_slot(made, epochs)
    error = refused(made.snap, "key", "remove", real, "--yes", code=10)
    assert error["message"] == (
        f"{real} is the key slot that opened the repository, and no other one did in this run"
    )
    # Nor with a secret that does not open the other one.
    wrong = secret_file(made.snap.folder, "wrong", b"1" * 32)
    made.snap.setenv("SNAP_KEY_FILE", str(wrong))
    assert refused(made.snap, "key", "remove", real, "--yes", code=10) == error
    made.snap.setenv("SNAP_KEY_FILE", "")
    listed = made.snap.ok("key", "list", "--json").json
    assert {one["id"]: one["is_verified"] for one in listed} == {real: True, forged: False}
    shown = made.snap.ok("key", "list")
    assert "unverified" in next(line for line in shown.out.splitlines() if "alice" in line)
    assert "anybody who can write to the store may have written" in shown.err
    made.snap.ok("key", "remove", forged, "--yes")
    assert made.snap.ok("cat", snapshot).out == DUMPS["one"]


def test_a_passphrase_is_replaced_by_opening_with_the_new_one(made: Encrypted) -> None:
    snapshot = made.commit("one")
    (old,) = slot_files(made)
    new = secret_file(made.snap.folder, "new", b"new passphrase\n")
    made.snap.ok("key", "add", "--new-passphrase-file", str(new))
    hint = refused(made.snap, "key", "remove", old, "--yes", code=10)["hint"]
    assert f"SNAP_PASSPHRASE_FILE=FILE snap key remove {old}" in hint
    made.snap.setenv("SNAP_PASSPHRASE_FILE", str(new))
    made.snap.ok("key", "remove", old, "--yes")
    assert made.snap.ok("cat", snapshot).out == DUMPS["one"]


def test_the_slot_that_opened_is_removed_if_another_secret_of_the_run_opens_one(
    made: Encrypted, second: Path
) -> None:
    made.snap.setenv("SNAP_KEY_FILE", str(second))
    listed = made.snap.ok("key", "list", "--json").json
    (opened,) = [one["id"] for one in listed if one["is_verified"]]
    made.snap.ok("key", "remove", opened, "--yes")
    use(made, None)
    made.snap.ok("log")


@pytest.fixture
def remote(made: Encrypted) -> Encrypted:
    """One in a store, where only commands that delete wait for each other."""
    url = (made.snap.folder / "store").as_uri()
    made.snap.setenv("SNAP_REPO", url)
    made.path = made.snap.folder / "store"
    made.made = made.snap.ok("init", "--encrypt", "--json").json
    return made


def test_a_key_that_is_added_during_a_rotation_gets_the_new_key(
    remote: Encrypted, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def typed(self: Terminal, question: str) -> bytes:
        if not asked:
            remote.snap.ok("key", "rotate", "--yes")
        asked.append(question)
        return b"late"

    monkeypatch.setattr(Terminal, "ask_secret", typed)
    assert remote.snap("key", "add", "--name", "late").code == 0
    listed = remote.snap.ok("key", "list", "--json").json
    assert [(one["name"], one["epochs"]) for one in listed] == [("", 2), ("late", 2)]


def test_a_key_that_was_added_while_a_rotation_asked_is_not_removed(
    remote: Encrypted, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = secret_file(remote.snap.folder, "third", secrets.token_bytes(32))
    remote.snap.ok("key", "add", "--new-key-file", str(file), "--name", "seen")

    def confirmed(self: Console, question: str, *, word: str | None = None) -> None:
        assert "seen" in question
        remote.snap.ok("key", "add", "--new-key-file", str(file), "--name", "unseen")

    monkeypatch.setattr(Console, "confirm", confirmed)
    result = remote.snap("key", "rotate")
    assert result.code == 10
    assert "another command changed the key slots of the repository meanwhile" in result.err
    listed = remote.snap.ok("key", "list", "--json").json
    assert [(one["name"], one["epochs"]) for one in listed] == [
        ("", 1),
        ("seen", 1),
        ("unseen", 1),
    ]
