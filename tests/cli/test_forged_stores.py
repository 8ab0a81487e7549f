"""Somebody who can write to a repository's store, and has none of its keys, forges what is there:
by the commands, on encrypted and plain repositories that a URL names."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyrage
import pytest

from pgsnap.format.small import decode_config, encode_config, encode_note, note_id
from pgsnap.model import ChunkerParams, Note
from pgsnap.sealing.keys import new_master
from pgsnap.sealing.slots import encode_slot, new_slot
from pgsnap.sealing.wrapping_keys import Recipient
from support.repositories.by_passphrase import DUMPS, Encrypted, refused, secret_file
from support.repositories.on_store import Site
from support.running.commandline import CommandLine


@pytest.fixture(params=["plain", "encrypted"])
def site(request: pytest.FixtureRequest, snap: CommandLine) -> Site:
    made = Site(snap, encrypted=request.param == "encrypted")
    made.use()
    return made


@pytest.fixture
def sealed(snap: CommandLine) -> Site:
    made = Site(snap, encrypted=True)
    made.use()
    return made


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


# -- notes that take a snapshot away -------------------------------------------------------------


def test_notes_that_forget_are_sealed_too(sealed: Site) -> None:
    first = sealed.commit("one")
    sealed.commit("two")
    sealed.snap.ok("forget", "--force", first)
    (note,) = sealed.files("gc/notes")
    assert note.read_bytes()[5:6] == b"S"
    for file in sealed.files("."):
        assert b"flooded-db" not in file.read_bytes(), file
    sealed.snap.ok("unforget", first)
    assert sealed.snap.ok("cat", first).out == DUMPS["one"]


def test_a_forged_note_that_forgets_is_refused(sealed: Site) -> None:
    first = sealed.commit("one")
    data = encode_note(
        Note("forgotten", "flooded-db", datetime.now(UTC), bytes.fromhex(first), {"by": "mallory"})
    )
    file = sealed.folder / "gc" / "notes" / "forgotten" / note_id(data).hex()
    file.parent.mkdir(parents=True)
    file.write_bytes(data)
    sealed.be_another_host()
    error = refused(sealed.snap, "log")
    assert error["message"].endswith("is not encrypted, and the repository is")
    file.unlink()
    assert [one["id"] for one in sealed.snap.ok("log", "--json").json] == [first]


# -- tags whose newest object does not open ------------------------------------------------------


@pytest.mark.parametrize("way", ["set", "delete", "repair"])
def test_a_tag_whose_newest_object_is_garbage_can_be_mended(site: Site, way: str) -> None:
    snap = site.snap
    first = site.commit("one", "--tag", "moving")
    second = site.commit("two", "--tag", "moving", "--force")
    newest = site.files("tags")[-1]
    assert newest.name == "00000002"
    flip(newest)
    # Who read the tag before keeps it until the store is listed again.
    assert [one["snapshot"] for one in snap.ok("tag", "--json").json] == [second]
    site.be_another_host()
    assert snap("tag", "--json").code == 60
    if way == "set":
        snap.ok("tag", "--force", "moving", second, "--database", "flooded-db")
        expected = [second]
    elif way == "delete":
        snap.ok("tag", "--delete", "moving", "--database", "flooded-db")
        expected = []
    else:
        found = snap("repair", "--json")
        assert found.code == 60
        assert [one["kind"] for one in found.json["lost"]] == ["tag"]
        expected = []
    # It is never again what it was before.
    assert [one["snapshot"] for one in snap.ok("tag", "--json").json] == expected
    snap.ok("tag", "--force", "moving", first, "--database", "flooded-db")
    assert [one["snapshot"] for one in snap.ok("tag", "--json").json] == [first]
    snap.ok("verify", "--data")


# -- the config ----------------------------------------------------------------------------------


def test_a_config_that_says_it_is_not_encrypted_on_a_host_that_never_saw_it(sealed: Site) -> None:
    sealed.commit("one", "--tag", "first")
    config = sealed.folder / "config"
    whole = config.read_bytes()
    config.write_bytes(encode_config(replace(decode_config(whole), encryption=None)))
    for slot in sealed.files("keys"):
        slot.unlink()
    sealed.be_another_host()
    sealed.snap.setenv("SNAP_PASSPHRASE_FILE", "")
    before = [(one, one.read_bytes()) for one in sealed.files(".")]
    for words in (("log",), ("tag",), ("commit", "-m", "x", "--file", "nowhere.sql"), ("verify",)):
        error = refused(sealed.snap, *words)
        assert "is encrypted, and the repository's config says that the" in error["message"]
    assert [(one, one.read_bytes()) for one in sealed.files(".")] == before


@pytest.mark.parametrize(
    "change",
    [
        {"tag_generations": False},
        {"chunker": ChunkerParams(100, 200, 400)},
        {"zstd_level": 22},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_config_that_says_anything_else_is_refused_by_who_saw_it(
    sealed: Site, change: dict[str, Any]
) -> None:
    first = sealed.commit("one", "--tag", "first")
    config = sealed.folder / "config"
    whole = config.read_bytes()
    config.write_bytes(encode_config(replace(decode_config(whole), **change)))
    for words in (("log",), ("check",), ("gc", "--keep-last", "1")):
        if words != ("check",):
            assert refused(sealed.snap, *words)["message"].endswith("was changed")
        else:
            assert "was changed" in str(sealed.snap("check", "--json").json)
    config.write_bytes(whole)
    assert sealed.snap.ok("log", "--json").json[0]["id"] == first
    # That writers take turns is found out by a repair, and never again otherwise.
    config.write_bytes(encode_config(replace(decode_config(whole), one_writer=True)))
    sealed.snap.ok("log")
    config.write_bytes(whole)
    assert refused(sealed.snap, "log")["message"].endswith("was changed")


# -- packs ---------------------------------------------------------------------------------------


def test_garbage_under_the_name_of_a_pack_is_not_taken_for_it(snap: CommandLine) -> None:
    remote = Site(snap, encrypted=False)
    (snap.work / "snap.toml").write_text(f'[remotes.offsite]\nurl = "{remote.url}"\n')
    snap.ok("init")
    first = remote.commit("one")
    packs = snap.work / "database" / "backups" / "packs"
    (pack,) = (one for one in packs.rglob("*") if one.is_file())
    forged = remote.folder / "packs" / pack.relative_to(packs)
    forged.parent.mkdir(parents=True)
    whole = pack.read_bytes()
    for garbage in (b"garbage", whole[:-9] + b"garbage\n\n"):
        forged.write_bytes(garbage)
        error = refused(snap, "push", code=60)
        assert error["message"].endswith("with other contents than its name says")
        assert pack.name in error["message"]
        assert snap.ok("log", "--repo", remote.url, "--json").json == []
    # One that an earlier push left is taken for what it is.
    forged.write_bytes(whole)
    snap.ok("push")
    assert [one["id"] for one in snap.ok("log", "--repo", remote.url, "--json").json] == [first]
    assert snap.ok("cat", first, "--repo", remote.url).out == DUMPS["one"]


# -- key slots -----------------------------------------------------------------------------------


@pytest.fixture
def by_identity(sealed: Site) -> Site:
    """One that is used with a public key, and its private one."""
    identity = pyrage.x25519.Identity.generate()
    public = str(identity.to_public())
    sealed.snap.ok("key", "add", "--recipient", public)
    file = secret_file(sealed.snap.folder, "identity", f"{identity}\n".encode())
    sealed.snap.setenv("SNAP_PASSPHRASE_FILE", "")
    sealed.snap.setenv("SNAP_IDENTITY_FILE", str(file))
    sealed.made["public"] = public
    return sealed


def forge_slot(site: Site, *masters: bytes) -> str:
    slot = new_slot(masters, site.made["repository_id"], Recipient(site.made["public"]))
    (site.folder / "keys" / "00000000000000ff").write_bytes(encode_slot(slot))
    return "00000000000000ff"


def test_a_forged_slot_for_a_public_key_is_passed_over_and_named(by_identity: Site) -> None:
    first = by_identity.commit("one")
    slot = forge_slot(by_identity, new_master(), new_master())
    shown = by_identity.snap.ok("cat", first)
    assert shown.out == DUMPS["one"]
    assert f"warning: key slot {slot} was not used, though it opened" in shown.err
    assert f"snap key remove {slot} --repo {by_identity.url}" in shown.err
    by_identity.be_another_host()
    assert by_identity.snap.ok("cat", first).out == DUMPS["one"]
    by_identity.snap.ok("key", "remove", slot, "--yes")
    assert "was not used" not in by_identity.snap.ok("log").err
    by_identity.snap.ok("key", "rotate", "--yes")


def test_who_had_the_first_key_cannot_forge_the_second_for_who_saw_it(by_identity: Site) -> None:
    """Somebody was shut out by a rotation, and still knows the first master key."""
    from pgsnap.repository.sealed.slots import read_slots
    from pgsnap.sealing.slots import open_slot
    from pgsnap.sealing.wrapping_keys import Identity
    from pgsnap.stores.local import LocalStore

    identity = Identity((by_identity.snap.folder / "identity").read_bytes())
    slots = read_slots(LocalStore(by_identity.folder)).sound
    opened = (open_slot(one.slot, by_identity.made["repository_id"], identity) for one in slots)
    (master,) = next(one for one in opened if one is not None)
    by_identity.snap.ok("key", "rotate", "--yes")
    first = by_identity.commit("one")
    slot = forge_slot(by_identity, master, new_master(), new_master())
    shown = by_identity.snap.ok("cat", first)
    assert shown.out == DUMPS["one"]
    assert f"key slot {slot} was not used, though it opened: the repository's key number 2" in (
        shown.err
    )


# -- a remote that became another one ------------------------------------------------------------


def test_a_remote_that_was_replaced_by_an_empty_one_is_not_filled(snap: CommandLine) -> None:
    remote = Site(snap, encrypted=False)
    (snap.work / "snap.toml").write_text(f'[remotes.offsite]\nurl = "{remote.url}"\n')
    snap.ok("init")
    remote.commit("one")
    snap.ok("push")
    before = snap.folder / "before"
    remote.folder.rename(before)
    snap.setenv("XDG_STATE_HOME", str(snap.folder / "mallory"))
    snap.ok("init", remote.url)
    snap.setenv("XDG_STATE_HOME", "")
    made = remote.files(".")
    for words in (("push",), ("pull",), ("log", "--repo", remote.url)):
        error = refused(snap, *words)
        assert error["message"].endswith("is another one than before")
    assert remote.files(".") == made
    assert "is another one than before" in str(snap("check", "--json").json)
    Path(error["hint"].partition(" rm ")[2]).unlink()
    snap.ok("push")
    # What was made by a command of this user is no surprise.
    shutil.rmtree(remote.folder)
    snap.ok("init", remote.url)
    snap.ok("push")


# -- tags that are damaged -----------------------------------------------------------------------


def test_a_damaged_tag_is_seen_by_check_and_doctor_and_a_repair_says_what_helps(
    snap: CommandLine,
) -> None:
    made = Encrypted(snap)
    first = made.commit("one", "--tag", "v1")
    assert "is damaged" not in str(snap("check", "--no-connect", "--json").json)
    (tag,) = (file for file in (made.path / "tags").rglob("*") if file.is_file())
    flip(tag)
    shown = snap("check", "--no-connect")
    assert shown.code == 4
    assert 'tag "v1" of flooded-db is damaged, so log and gc stop: snap repair' in shown.out
    assert 'tag "v1" of flooded-db is damaged' in snap("doctor").out
    mended = snap("repair", "--json")
    assert mended.code == 60
    command = "snap tag v1 REV --database flooded-db"
    assert mended.error["hint"] == (
        f"Set them again, as with: {command}. Mend it from a copy: snap repair --from PATH"
    )
    assert "snap commit" not in mended.error["detail"]
    snap.ok(*command.replace("REV", first).split()[1:])
    assert "is damaged" not in str(snap("check", "--no-connect", "--json").json)


# -- what is said of a place ---------------------------------------------------------------------


def test_a_wrong_passphrase_of_a_remote_names_the_remotes_slots(snap: CommandLine) -> None:
    remote = Site(snap, encrypted=True)
    wrong = secret_file(snap.folder, "wrong", b"open barley\n")
    (snap.work / "snap.toml").write_text(
        f'[remotes.offsite]\nurl = "{remote.url}"\npassphrase_file = "{wrong}"\n'
    )
    snap.setenv("SNAP_PASSPHRASE_FILE", "")
    snap.ok("init")
    error = refused(snap, "push")
    assert error["message"] == "wrong passphrase"
    assert error["hint"].endswith(f"snap key list --repo {remote.url}")


def test_init_beside_a_snap_toml_names_no_second_key_of_the_same_name(snap: CommandLine) -> None:
    (snap.work / "snap.toml").write_text('repository = "backups"\n')
    url = (snap.folder / "store").as_uri()
    shown = snap.ok("init", url).err
    assert f"snap remote add NAME {url}" in shown
    assert f'change "repository" to "{url}"' in shown
    assert "set repository" not in shown


@pytest.mark.parametrize("named", ["s3:/bucket/shop", "S3:bucket/shop", "file:/srv", "sftp:/host"])
def test_what_is_nearly_a_url_is_not_taken_for_a_path(snap: CommandLine, named: str) -> None:
    for words in (("init", named), ("log", "--repo", named), ("remote", "add", "offsite", named)):
        error = refused(snap, *words, code=2)
        assert "begins as a URL, but not with" in error["message"]
    assert not list(snap.work.iterdir())
    snap.ok("init", f"./{named}")
    assert (snap.work / named / "config").exists()
