"""Each way in which an encrypted repository can be damaged, or not opened, has words of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3

from pgsnap.model import ChunkKind, Cipher, Codec, Frame
from pgsnap.repository import layout
from pgsnap.repository.repository import Repository
from support.repositories.by_passphrase import DUMPS, secret_file
from support.repositories.encrypted import unlocker
from support.repositories.keys import FIRST, SECOND
from support.running.commandline import CommandLine


class Site:
    """A repository of two snapshots that a URL names, opened by a key file."""

    def __init__(self, snap: CommandLine) -> None:
        self.snap = snap
        self.folder = snap.folder / "store"
        self.other = secret_file(snap.folder, "other", SECOND)
        self.use(secret_file(snap.folder, "key", FIRST))
        self.url = self.folder.as_uri()
        (snap.work / "snap.toml").write_text(f'repository = "{self.url}"\ndatabase = "shop"\n')
        snap.ok("init", "--encrypt")
        self.commit("one")
        self.commit("two")

    def use(self, key: Path | None) -> None:
        self.snap.setenv("SNAP_KEY_FILE", str(key or ""))

    def commit(self, name: str) -> None:
        file = self.snap.folder / f"{name}.sql"
        file.write_text(DUMPS[name])
        self.snap.ok("commit", "-m", "x", "--file", str(file))

    def manifests(self, folder: Path | None = None) -> list[Path]:
        return sorted(((folder or self.folder) / "snapshots").iterdir())


def wrong_key(site: Site) -> None:
    site.use(site.other)


def no_key(site: Site) -> None:
    site.use(None)


def removed_key(site: Site) -> None:
    shutil.rmtree(site.folder / "keys")


def missing_key(site: Site) -> None:
    before = site.snap.folder / "keys"
    shutil.copytree(site.folder / "keys", before)
    site.snap.ok("key", "rotate", "--reencrypt", "--yes")
    shutil.rmtree(site.folder / "keys")
    before.rename(site.folder / "keys")
    for variable in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        site.snap.setenv(variable, str(site.snap.folder / "another host"))


def older_keys(site: Site) -> None:
    missing_key(site)
    for variable in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        site.snap.setenv(variable, "")


def changed_byte(site: Site) -> None:
    file = site.manifests()[0]
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def replaced_manifest(site: Site) -> None:
    one, two = site.manifests()
    one.write_bytes(two.read_bytes())


def manifest_of_other_keys(site: Site) -> None:
    theirs = site.snap.folder / "theirs"
    site.snap.ok("init", "--encrypt", theirs.as_uri())
    words = ("-m", "x", "--file", str(site.snap.folder / "one.sql"), "--repo", theirs.as_uri())
    site.snap.ok("commit", *words)
    site.manifests()[0].write_bytes(site.manifests(theirs)[0].read_bytes())


def swapped_frames(site: Site) -> None:
    texts = (b"one of two", b"two of two")
    with Repository.open(site.url, unlock=unlocker()) as repo:
        names = [repo.naming.name(text) for text in texts]
        with repo.chunk_store.writer() as writer:
            for name, text in zip(names, texts, strict=True):
                shape = (ChunkKind.DATA, Codec.RAW, Cipher.NONE, 0, None, len(text), len(text))
                writer.add(Frame(name, *shape), text)
        first, second = (repo.index.locations([name])[name][0] for name in names)
    file = site.folder / layout.pack_name(first.pack)
    data, size = file.read_bytes(), first.frame.frame_bytes
    swapped = data[: first.offset] + data[second.offset :][:size] + data[first.offset :][:size]
    swapped += data[second.offset + size :]
    file.unlink()
    new = site.folder / layout.pack_name(blake3(swapped).digest())
    new.parent.mkdir(exist_ok=True)
    new.write_bytes(swapped)


def rolled_back_store(site: Site) -> None:
    newest = site.snap.ok("log", "--json").json[0]["id"]
    (site.folder / "snapshots" / newest).unlink()


TABLE: list[tuple[Callable[[Site], None], int, str]] = [
    (wrong_key, 12, "wrong key file"),
    (no_key, 12, "the repository is encrypted, and no key was given"),
    (removed_key, 12, "the key slots of the repository are missing"),
    (missing_key, 12, "the repository's key number 2 is missing"),
    (older_keys, 12, "the newest key of the repository was number 2, and is number 1 now"),
    (changed_byte, 60, "Its checksum does not match."),
    (replaced_manifest, 60, "It was changed, or is another object under this name."),
    (manifest_of_other_keys, 60, "was encrypted with another key"),
    (swapped_frames, 60, "2 of them lie in the place of another"),
    (rolled_back_store, 60, "was seen in"),
]


@pytest.mark.parametrize("number", range(len(TABLE)), ids=[row[0].__name__ for row in TABLE])
def test_each_fault_has_a_message_of_its_own(snap: CommandLine, number: int) -> None:
    site = Site(snap)
    damage, code, words = TABLE[number]
    damage(site)
    result = snap("verify", "--data")
    shown = result.out + result.err
    assert result.code == code, shown
    assert [row[2] for row in TABLE if row[2] in shown] == [words], shown
