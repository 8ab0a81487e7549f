"""`snap key`: slots are added, removed, and made new by a rotation."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pyrage
import pytest

from support.documents import documentation
from support.repositories.by_passphrase import DUMPS, Encrypted, refused, secret_file
from support.running.commandline import CommandLine

IDENTITY = pyrage.x25519.Identity.generate()
RECIPIENT = str(IDENTITY.to_public())


@pytest.fixture
def made(snap: CommandLine) -> Encrypted:
    return Encrypted(snap)


@pytest.fixture
def key_file(snap: CommandLine) -> Path:
    return secret_file(snap.folder, "key", os.urandom(32))


@pytest.fixture
def identity(snap: CommandLine) -> Path:
    return secret_file(snap.folder, "identity", f"{IDENTITY}\n".encode())


def slots(snap: CommandLine) -> dict[str, str]:
    """Return the ids of the slots by their kinds."""
    return {one["kind"]: one["id"] for one in snap.ok("key", "list", "--json").json}


def use_only(snap: CommandLine, variable: str, file: Path) -> None:
    for name in ("SNAP_PASSPHRASE_FILE", "SNAP_KEY_FILE", "SNAP_IDENTITY_FILE"):
        snap.setenv(name, str(file) if name == variable else "")


def test_each_key_that_was_added_opens_everything(
    made: Encrypted, key_file: Path, identity: Path
) -> None:
    snap = made.snap
    first = made.commit("one")
    second = secret_file(snap.folder, "second", b"another passphrase\n")
    snap.ok("key", "add", "--new-passphrase-file", str(second))
    snap.ok("key", "add", "--new-key-file", str(key_file), "--name", "cron")
    snap.ok("key", "add", "--recipient", RECIPIENT)
    for variable, file in (
        ("SNAP_PASSPHRASE_FILE", made.passphrase),
        ("SNAP_PASSPHRASE_FILE", second),
        ("SNAP_KEY_FILE", key_file),
        ("SNAP_IDENTITY_FILE", identity),
    ):
        use_only(snap, variable, file)
        assert snap.ok("cat", first).out == DUMPS["one"]
    found = snap.ok("key", "list", "--json").json
    assert [one["kind"] for one in found] == ["passphrase", "passphrase", "key-file", "recipient"]
    assert [one["name"] for one in found] == ["", "", "cron", ""]
    assert [one["recipient"] for one in found] == [None, None, None, RECIPIENT]
    assert {one["fingerprint"] for one in found} == {made.made["key_fingerprint"]}


def test_the_list_needs_no_key(made: Encrypted) -> None:
    made.snap.setenv("SNAP_PASSPHRASE_FILE", "")
    shown = made.snap.ok("key", "list").out
    assert re.fullmatch(
        r"[0-9a-f]{16}  passphrase  just now *unverified\nfingerprint [0-9a-f]{64}\n", shown
    ), shown


def test_a_key_that_was_removed_opens_nothing(made: Encrypted, key_file: Path) -> None:
    snap = made.snap
    snap.ok("key", "add", "--new-key-file", str(key_file))
    slot = slots(snap)["key-file"]
    asked = snap("key", "remove", slot[:6])
    assert (asked.code, slots(snap)["key-file"]) == (5, slot)
    removed = snap.ok("key", "remove", slot[:6], "--yes")
    assert removed.out == f"removed key file, key slot {slot}\n"
    assert "who has copied the repository's keys with it still has them" in removed.err
    use_only(snap, "SNAP_KEY_FILE", key_file)
    assert refused(snap, "log")["message"] == "no key slot of the repository opens with a key file"


def test_the_last_key_cannot_be_removed(made: Encrypted) -> None:
    slot = slots(made.snap)["passphrase"]
    error = refused(made.snap, "key", "remove", slot, "--yes", code=10)
    assert error["message"] == f"{slot} is the last key slot of the repository"
    made.snap.ok("log")


@pytest.mark.parametrize("prefix", ["", "zz", "0" * 17])
def test_a_slot_that_there_is_not_is_refused(made: Encrypted, prefix: str) -> None:
    error = refused(made.snap, "key", "remove", prefix, "--yes", code=2)
    assert error["message"] == f'"{prefix}" is no key slot'


def test_a_rotation_opens_old_and_new_and_shuts_the_others_out(
    made: Encrypted, key_file: Path
) -> None:
    snap = made.snap
    before = made.commit("one", "--tag", "before")
    snap.ok("key", "add", "--new-key-file", str(key_file))
    old_slots = {file.name: file.read_bytes() for file in (made.path / "keys").iterdir()}
    assert snap("key", "rotate").code == 5
    done = snap.ok("key", "rotate", "--yes", "--json").json
    assert done["epoch"] == 2
    assert [one["kind"] for one in done["key_slots"]] == ["passphrase"]
    assert done["removed"] == [name for name in old_slots if name in done["removed"]]
    assert len(done["removed"]) == 1
    after = made.commit("two", "--tag", "after")
    assert snap.ok("cat", before).out == DUMPS["one"]
    assert snap.ok("cat", after).out == DUMPS["two"]
    snap.ok("verify", "--data")
    assert len(snap.ok("audit", "--json").json) >= 4
    # A slot that somebody kept from before opens nothing that was written since.
    for file in (made.path / "keys").iterdir():
        file.unlink()
    for name, data in old_slots.items():
        (made.path / "keys" / name).write_bytes(data)
    use_only(snap, "SNAP_KEY_FILE", key_file)
    error = refused(snap, "log")
    assert error["message"] == "the newest key of the repository was number 2, and is number 1 now"
    snap.setenv("XDG_STATE_HOME", str(snap.folder / "fresh"))
    snap.setenv("XDG_CACHE_HOME", str(snap.folder / "empty"))
    assert refused(snap, "log")["message"] == "the repository's key number 2 is missing"


def test_unchanged_data_is_still_recognised_after_a_rotation(made: Encrypted) -> None:
    snap = made.snap
    made.commit("one")
    snap.ok("key", "rotate")
    packs = {file.name for file in (made.path / "packs").rglob("*")}
    made.commit("one")
    assert {file.name for file in (made.path / "packs").rglob("*")} == packs


def test_a_rotation_keeps_public_keys_that_are_named_again(made: Encrypted, identity: Path) -> None:
    snap = made.snap
    snap.ok("key", "add", "--recipient", RECIPIENT, "--name", "laptop")
    snap.ok("key", "rotate", "--recipient", RECIPIENT)
    found = snap.ok("key", "list", "--json").json
    assert {(one["kind"], one["name"], one["epochs"]) for one in found} == {
        ("passphrase", "", 2),
        ("recipient", "laptop", 2),
    }
    use_only(snap, "SNAP_IDENTITY_FILE", identity)
    snap.ok("key", "rotate", "--yes")
    assert [one["kind"] for one in snap.ok("key", "list", "--json").json] == ["recipient"]
    snap.ok("log")


@pytest.mark.parametrize("together", [True, False])
def test_what_is_stored_is_encrypted_again(made: Encrypted, together: bool) -> None:
    snap = made.snap
    before = made.commit("one", "--tag", "before")
    sealed = {file.name: file.read_bytes() for file in (made.path / "snapshots").iterdir()}
    packs = {file.name for file in (made.path / "packs").rglob("*") if file.is_file()}
    if together:
        done = snap.ok("key", "rotate", "--reencrypt", "--yes", "--json").json["reencrypted"]
    else:
        assert snap.ok("key", "rotate", "--yes", "--json").json["reencrypted"] is None
        done = snap.ok("key", "reencrypt", "--json").json
    assert (done["objects"], done["packs"], done["complete"]) == (2, 1, True)
    again = {file.name: file.read_bytes() for file in (made.path / "snapshots").iterdir()}
    assert again.keys() == sealed.keys()
    assert set(again.values()).isdisjoint(sealed.values())
    assert packs.isdisjoint(file.name for file in (made.path / "packs").rglob("*"))
    assert snap.ok("cat", before).out == DUMPS["one"]
    snap.ok("verify", "--data")
    shown = snap.ok("key", "reencrypt").out
    assert shown == "encrypted again with the newest key: 0 manifests, tags and notes, 0 packs\n"


def test_what_is_damaged_is_not_encrypted_again(made: Encrypted) -> None:
    made.commit("one", "--tag", "before")
    (tag,) = (file for file in (made.path / "tags").rglob("*") if file.is_file())
    tag.write_bytes(tag.read_bytes()[:-30] + bytes(30))
    made.snap.ok("key", "rotate")
    result = made.snap("key", "reencrypt", "--json")
    assert result.code == 60
    assert result.json["damaged"] == [tag.relative_to(made.path).as_posix()]
    assert result.error["message"] == "1 object could not be encrypted again"


def test_a_second_rotation_keeps_all_keys(made: Encrypted) -> None:
    snap = made.snap
    ids = []
    for name in ("one", "two", "one"):
        ids.append(made.commit(name))
        snap.ok("key", "rotate")
    snap.setenv("XDG_CACHE_HOME", str(snap.folder / "empty"))
    assert [snap.ok("cat", one).out for one in ids] == [DUMPS[n] for n in ("one", "two", "one")]
    snap.ok("verify", "--data")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("steal",), 'there is no "snap key steal"'),
        (("remove",), "takes the id of one key slot"),
        (("list", "3f9a"), "takes the id of one key slot"),
        (("list", "--recipient", RECIPIENT), "snap key list takes no new key"),
        (("rotate", "--name", "x"), "snap key rotate takes no new key"),
        (("add", "--reencrypt"), "snap key add takes no --reencrypt"),
        (("reencrypt", "--recipient", RECIPIENT), "snap key reencrypt takes no new key"),
        (("rotate", "--new-key-file", "x"), "keeps the key that opens the repository now"),
        (("add", "--new-key-file", "x", "--recipient", "y"), "takes one new key at a time"),
        (("add", "--recipient", "nobody"), "is no recipient of age"),
        (("add", "--new-key-file", "nowhere"), "cannot read"),
    ],
)
def test_what_makes_no_sense_is_refused(
    made: Encrypted, words: tuple[str, ...], message: str
) -> None:
    result = made.snap("key", *words)
    assert result.code == 2
    assert message in result.err
    assert len(slots(made.snap)) == 1


def test_a_repository_that_is_not_encrypted_has_no_keys(snap: CommandLine) -> None:
    snap.ok("init")
    for words in (("list",), ("add", "--recipient", RECIPIENT), ("rotate",), ("reencrypt",)):
        error = refused(snap, "key", *words)
        assert error["message"] == "the repository is not encrypted, so it has no keys"


def test_verify_names_a_key_slot_that_is_damaged(made: Encrypted, key_file: Path) -> None:
    made.commit("one")
    made.snap.ok("key", "add", "--new-key-file", str(key_file))
    assert made.snap.ok("verify", "--json").json["notices"] == []
    slot = made.path / "keys" / slots(made.snap)["key-file"]
    slot.write_bytes(slot.read_bytes()[:-1])
    (notice,) = made.snap.ok("verify", "--json").json["notices"]
    assert notice.startswith(f"the key slot keys/{slot.name} is damaged")
    assert f"keys/{slot.name} is damaged" in made.snap.ok("key", "list").err


def test_a_hundred_keys_are_enough(made: Encrypted) -> None:
    for number in range(99):
        (made.path / "keys" / f"{number:016x}").write_bytes(b"")
    error = refused(made.snap, "key", "add", "--recipient", RECIPIENT, code=10)
    assert error["message"] == "the repository has 100 key slots, and cannot have more"


def test_what_it_prints_is_what_the_page_says(made: Encrypted) -> None:
    snap = made.snap
    made_slot = snap.ok("key", "add", "--recipient", RECIPIENT, "--json").json
    listed = snap.ok("key", "list", "--json").json
    done = snap.ok("key", "rotate", "--recipient", RECIPIENT, "--json").json
    done["key_slots"] = None
    again = snap.ok("key", "reencrypt", "--json").json
    printed = [documentation.field_names(value) for value in (listed, made_slot, done, again)]
    assert printed == documentation.fields(documentation.section("snap key"))
