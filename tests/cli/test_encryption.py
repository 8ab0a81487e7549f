"""`snap init --encrypt`: what opens a repository, what is refused, and with which words."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pgsnap.format.small import decode_config, encode_config
from pgsnap.repository.repository import Repository
from support.repositories.by_passphrase import DUMPS, SECRET_WORDS, Encrypted, refused, secret_file
from support.running.commandline import CommandLine


@pytest.fixture
def made(snap: CommandLine) -> Encrypted:
    return Encrypted(snap)


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


def test_a_folder_that_was_put_back_is_found_by_a_host_that_saw_more(made: Encrypted) -> None:
    """It has no log: what another host would see is a repository that is whole."""
    snap = made.snap
    made.commit("one")
    shutil.copytree(made.path, snap.work / "older")
    second = made.commit("two")
    shutil.rmtree(made.path)
    (snap.work / "older").rename(made.path)
    for command in ("check", "doctor"):
        found = snap(command)
        assert found.code not in (0, 2), command
        assert f"snapshot {second[:12]} was seen in {made.path} before" in found.out + found.err
    assert second in snap("verify", "--json").out
    assert snap("gc", "--keep-last", "1").code == 60
    snap.ok("repair", "--accept-loss", second, "--yes")
    snap.ok("gc", "--keep-last", "1")
    assert "was seen" not in snap("check").err + snap("doctor").out


def test_a_tag_that_was_put_back_is_found_in_a_repository_with_a_log_and_not_in_a_folder(
    made: Encrypted,
) -> None:
    """As docs/security.md says; and what it advises takes all snapshots and tags along."""
    snap = made.snap
    first = made.commit("one", "--tag", "release")
    shutil.copytree(made.path / "tags", snap.work / "older")
    second = made.commit("two")
    snap.ok("tag", "release", second, "--force")
    place = snap.work / "logged"
    snap.ok("init", place.as_uri(), "--encrypt")
    snap.ok("remote", "add", "logged", place.as_uri())
    snap.ok("push", "logged", "--all-tags")
    snap.ok("tag", "release", first, "--force", "--repo", place.as_uri())
    # In the folder.
    shutil.rmtree(made.path / "tags")
    (snap.work / "older").rename(made.path / "tags")
    snap.ok("verify", "--data")
    assert "put back" not in snap("doctor").out
    # In the other one, by a host that never saw it.
    snap.ok("verify", "--data", "--repo", place.as_uri())
    newest = max((place / "tags").rglob("0*"))
    newest.unlink()
    for variable in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):
        snap.setenv(variable, str(snap.folder / "another host"))
    found = snap("verify", "--repo", place.as_uri())
    assert found.code == 60
    assert "is gone" in found.out


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


def test_a_secret_of_the_environment_may_be_for_an_encrypted_remote(snap: CommandLine) -> None:
    secret = secret_file(snap.folder, "secret", b"open sesame\n")
    remote = (snap.folder / "remote").as_uri()
    snap.ok("init")
    (snap.folder / "one.sql").write_text(DUMPS["one"])
    committed = ("commit", "-m", "x", "--database", "x", "--file", str(snap.folder / "one.sql"))
    made = snap.ok(*committed, "--json").json["id"]
    snap.setenv("SNAP_PASSPHRASE_FILE", str(secret))
    snap.ok("init", remote, "--encrypt")
    assert "gives a secret for it" in refused(snap, "log")["message"]
    snap.ok("remote", "add", "offsite", remote)
    snap.ok("push")
    snap.ok("pull")
    assert snap.ok("log", "--json").json[0]["id"] == made
    # An option is for the repository alone, and so is what a remote with its own does not need.
    assert "--key-file gives a secret" in refused(snap, "log", "--key-file", str(secret))["message"]
    toml = snap.work / "snap.toml"
    before = toml.read_text()
    toml.write_text(f'{before}passphrase_file = "{secret}"\n')
    assert "gives a secret for it" in refused(snap, "log")["message"]
    # Others may write to a remote store: there it must be needed.
    toml.write_text(before)
    plain = (snap.folder / "plain").as_uri()
    Repository.create(plain)
    assert "gives a secret for it" in refused(snap, "log", "--repo", plain)["message"]


def test_a_remote_does_not_excuse_a_config_that_says_it_is_not_encrypted(made: Encrypted) -> None:
    made.snap.ok("remote", "add", "offsite", (made.snap.folder / "remote").as_uri())
    made.snap.ok("log")
    (made.path / "config").write_bytes(plain_config(made))
    error = refused(made.snap, "log")
    assert "was encrypted, and its config says that it is not" in error["message"]


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


def test_repair_takes_nothing_from_a_repository_that_is_not_encrypted(made: Encrypted) -> None:
    made.commit("one")
    plain = made.snap.folder / "plain"
    Repository.create(plain)
    # Without a secret that a setting names for both.
    folder = made.snap.folder / "credentials"
    folder.mkdir()
    secret_file(folder, "snap-passphrase", made.passphrase.read_bytes())
    made.snap.setenv("SNAP_PASSPHRASE_FILE", "")
    made.snap.setenv("CREDENTIALS_DIRECTORY", str(folder))
    made.snap.ok("repair")
    error = refused(made.snap, "repair", "--from", str(plain))
    assert error["message"] == f"{plain} is not encrypted, and the repository is"


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
