from __future__ import annotations

import gzip
import os
import re
import struct
from datetime import datetime
from pathlib import Path

import pytest
import zstandard

from support.running.commandline import CommandLine

DUMP = """--
-- PostgreSQL database dump
--

\\restrict abcdefghijklmnopqrstuvwxyz

-- Dumped from database version 15.18
-- Dumped by pg_dump version 15.18

SET client_encoding = 'UTF8';

--
-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: shop
--

COPY public.t (a) FROM stdin;
{rows}\\.

--
-- PostgreSQL database dump complete
--

\\unrestrict abcdefghijklmnopqrstuvwxyz

"""
KEY = re.compile(rb"^\\(un)?restrict (\w{63})$", re.M)


@pytest.fixture
def shop(snap: CommandLine) -> CommandLine:
    """A snapshot of shop that does not fit into one chunk."""
    rows = "".join(f"{number}\t{number * 7919 % 104729}\n" for number in range(60_000))
    (snap.work / "dump.sql").write_text(DUMP.format(rows=rows))
    snap.ok("init")
    snap.ok("commit", "-m", "first", "--file", "dump.sql", "--database", "shop")
    (snap.work / "out").mkdir()
    return snap


def plain(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data


def without_keys(text: bytes) -> bytes:
    return KEY.sub(rb"\\\1restrict", text)


def damage(snap: CommandLine) -> None:
    """Flip a byte in the middle of every pack."""
    for pack in (snap.work / "database" / "backups" / "packs").rglob("*"):
        if pack.is_file():
            data = bytearray(pack.read_bytes())
            data[len(data) // 2] ^= 1
            pack.chmod(0o600)
            pack.write_bytes(data)


@pytest.mark.parametrize("ending", [".sql", ".sql.gz", ".sql.zst"])
def test_the_file_holds_what_cat_writes_and_only_its_owner_may_read_it(
    shop: CommandLine, ending: str
) -> None:
    old = os.umask(0o277)
    try:
        done = shop.ok("export", "latest", f"shop{ending}", "--json").json
    finally:
        os.umask(old)
    path = shop.work / f"shop{ending}"
    shop.ok("log")
    shown = shop.ok("cat", "latest").out.encode()
    text = plain(path)
    assert without_keys(text) == without_keys(shown)
    keys = [key for _, key in KEY.findall(text)]
    assert len(keys) == 2
    assert keys[0] == keys[1] != KEY.findall(shown)[0][1]
    assert path.stat().st_mode & 0o777 == 0o600
    assert (done["bytes"], done["file_bytes"]) == (len(text), path.stat().st_size)


def test_a_file_in_a_folder_is_called_after_the_snapshots_time(shop: CommandLine) -> None:
    shown = shop.ok("show", "latest", "--json").json
    first, made = shown["id"], datetime.fromisoformat(shown["time"])
    for zone in ("UTC", "Asia/Kathmandu"):
        done = shop.ok(
            "export", "latest", "out", "--database", "shop", "--timezone", zone, "--json"
        ).json
        assert re.fullmatch(r"out/backup_\d{8}_\d{6}\.sql\.gz", done["file"])
        # Read back as one of that zone it is the snapshot's second.
        again = shop.ok("import", done["file"], "--database", zone, "--timezone", zone, "--json")
        found = datetime.fromisoformat(again.json["files"][0]["time"])
        assert found == made.replace(microsecond=0)
    here = made.astimezone().strftime("out/backup_%Y%m%d_%H%M%S.sql.gz")
    assert shop.ok("export", first, "out/", "--json", "--force").json["file"] == here
    found_times = {path.stat().st_mtime for path in (shop.work / "out").iterdir()}
    assert found_times == {round(made.timestamp() * 1000) / 1000}


def test_the_gzip_header_bears_the_snapshots_time_and_no_name(shop: CommandLine) -> None:
    made = datetime.fromisoformat(shop.ok("show", "latest", "--json").json["time"])
    shop.ok("export", "latest", "shop.sql.gz")
    head = (shop.work / "shop.sql.gz").read_bytes()[:10]
    assert struct.unpack("<4sIBB", head) == (b"\x1f\x8b\x08\x00", int(made.timestamp()), 0, 255)


def test_a_file_is_replaced_only_by_force(shop: CommandLine) -> None:
    path = shop.work / "shop.sql"
    path.write_text("mine")
    refused = shop("export", "latest", "shop.sql")
    assert refused.code == 2
    assert "--force" in refused.err
    assert path.read_text() == "mine"
    shop.ok("export", "latest", "shop.sql", "--force")
    assert path.stat().st_size > 100_000


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("-", "snap cat latest"),
        ("shop.dump", ".sql.zst"),
        ("nowhere/shop.sql", "mkdir -p nowhere"),
        ("nowhere/", "mkdir -p nowhere/"),
        ("pipe.sql", "no ordinary file"),
        ("link.sql", "no ordinary file"),
        ("", "empty"),
    ],
)
def test_what_is_no_name_for_a_dump_is_refused_with_advice(
    shop: CommandLine, target: str, words: str
) -> None:
    os.mkfifo(shop.work / "pipe.sql")
    (shop.work / "link.sql").symlink_to("elsewhere.sql")
    refused = shop("export", "latest", target, "--force")
    assert refused.code == 2
    assert words in refused.err
    assert not (shop.work / "elsewhere.sql").exists()


@pytest.mark.parametrize("ending", [".sql", ".sql.gz", ".sql.zst"])
def test_damage_in_mid_stream_leaves_no_file_and_the_old_one_as_it_was(
    shop: CommandLine, ending: str
) -> None:
    kept = shop.work / "out" / f"old{ending}"
    kept.write_text("old")
    damage(shop)
    assert shop("export", "latest", f"out/new{ending}").code == 60
    assert shop("export", "latest", f"out/old{ending}", "--force").code == 60
    assert [path.name for path in (shop.work / "out").iterdir()] == [kept.name]
    assert kept.read_text() == "old"


def test_a_full_disk_leaves_no_file(shop: CommandLine) -> None:
    # The limit on a file's size stands for the disk's: a write beyond it fails in the same way.
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
        full = shop("export", "latest", "out/shop.sql", "--json")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert full.code == 50
    assert full.error["kind"] == "store-full"
    assert list((shop.work / "out").iterdir()) == []


def test_a_folder_that_may_not_be_written_is_told(shop: CommandLine) -> None:
    target = Path("/proc/shop.sql")
    assert shop("export", "latest", str(target)).code == 50


def test_an_unknown_time_zone_is_told(shop: CommandLine) -> None:
    refused = shop("export", "latest", "out", "--timezone", "Mars/Base")
    assert refused.code == 2
    assert "Europe/Oslo" in refused.err
