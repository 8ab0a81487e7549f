"""What was encrypted says that it is not, to a host that never saw it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgsnap.format.small import decode_config, encode_config
from support.repositories.by_passphrase import DUMPS, Encrypted, refused, secret_file
from support.repositories.on_store import Site
from support.running.commandline import CommandLine


@pytest.mark.parametrize("given", ["option", "environment"])
def test_a_plain_repository_is_not_cloned_with_the_secret_of_the_one_that_it_replaced(
    snap: CommandLine, given: str
) -> None:
    """Nothing is left of the encrypted one; who clones it has never seen it, but has its secret."""
    forged = Site(snap, encrypted=False)
    forged.use()
    forged.commit("one")
    (snap.work / "snap.toml").unlink()
    forged.be_another_host()
    secret = secret_file(snap.folder, "passphrase", b"open sesame\n")
    words = ["clone", forged.url, "copy"]
    if given == "option":
        error = refused(snap, *words, "--passphrase-command", f"cat {secret}")
    else:
        snap.setenv("SNAP_PASSPHRASE_FILE", str(secret))
        error = refused(snap, *words)
    assert " is not encrypted, and " in error["message"]
    assert not (snap.work / "copy").exists()
    # Here it is for the copy.
    snap.setenv("SNAP_PASSPHRASE_FILE", str(secret))
    snap.ok(*words, "--encrypt")
    snap.setenv("SNAP_PASSPHRASE_FILE", "")
    snap.ok("clone", forged.url, "plain")


@pytest.mark.parametrize("where", ["url", "folder"])
def test_a_plain_config_is_refused_where_only_key_slots_are_left(
    snap: CommandLine, where: str
) -> None:
    """Nothing that is stored shows any more that it was encrypted, but the slots."""
    if where == "url":
        folder = Site(snap, encrypted=True).folder
        url = folder.as_uri()
    else:
        folder = Encrypted(snap).path
        url = str(folder)
    config = folder / "config"
    config.write_bytes(encode_config(replace(decode_config(config.read_bytes()), encryption=None)))
    for variable in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):
        snap.setenv(variable, str(snap.folder / "another host"))
    snap.setenv("SNAP_PASSPHRASE_FILE", "")
    here = snap.folder / "here"
    here.mkdir()
    (here / "snap.toml").write_text(f'repository = "mine"\n[remotes.offsite]\nurl = "{url}"\n')
    (here / "one.sql").write_text(DUMPS["one"])
    snap.at(here, "init", "mine")
    assert snap.at(here, "commit", "-m", "x", "--database", "shop", "--file", "one.sql").code == 0
    before = [(one, one.read_bytes()) for one in sorted(folder.rglob("*")) if one.is_file()]
    commit = ("commit", "-m", "x", "--database", "shop", "--file", "one.sql", "--repo", url)
    for words in (("push", "offsite"), commit, ("log", "--repo", url), ("clone", url, "copy")):
        error = refused(snap, *words)
        assert error["message"] == (
            f'the repository in "{url}" has key slots, and its config says that it is not encrypted'
        )
    assert [(one, one.read_bytes()) for one in sorted(folder.rglob("*")) if one.is_file()] == before
