"""Imports of files in which something stands around the dump, or within it: messages, compression,
an archive's format."""

from __future__ import annotations

import gzip
import shutil
import subprocess

import pytest
import zstandard

from support.dumps.texts import plain_dump as dump
from support.running.commandline import CommandLine
from support.servers.databases import Database


def log(snap: CommandLine) -> list[dict[str, object]]:
    found: list[dict[str, object]] = snap.ok("log", "--database", "shop", "--json").json
    return found


ABOVE = b"pg_dump: warning: there are circular foreign-key constraints on this table:\n"
WRAPPED = {
    "messages above": (ABOVE + b"pg_dump: detail: t\n\n" + dump(1, 2, 3), "2 lines above"),
    "comments above": (b"-- nightly, by pg_dump: all of it\n" + dump(1, 2, 3), "1 line above"),
    "padded gzip": (gzip.compress(dump(1, 2, 3)) + bytes(2_000_000), ""),
    "gzip in gzip": (gzip.compress(gzip.compress(dump(1, 2, 3))), ""),
    "gzip in zstd": (zstandard.ZstdCompressor().compress(gzip.compress(dump(1, 2, 3))), ""),
}


@pytest.mark.parametrize("kind", list(WRAPPED))
def test_a_dump_is_read_out_of_what_is_around_it(snap: CommandLine, kind: str) -> None:
    snap.ok("init")
    data, notice = WRAPPED[kind]
    (snap.work / "shop_20260101.sql.gz").write_bytes(data)
    told = snap.ok("import", "shop_20260101.sql.gz", "--database", "shop")
    assert notice in told.err
    assert snap.ok("cat", "latest").out.encode() == dump(1, 2, 3)
    assert log(snap)[0]["rows"] == 3


@pytest.mark.parametrize("text", [b"Welcome to db1\n", ABOVE + b"bash: x: not found\n"])
def test_text_above_a_dump_is_refused(snap: CommandLine, text: bytes) -> None:
    snap.ok("init")
    (snap.work / "shop_20260101.sql").write_bytes(text + dump(1))
    refused = snap("import", "shop_20260101.sql", "--database", "shop")
    assert refused.code == 30
    count = text.count(b"\n") + 1
    assert f"tail -n +{count} FILE" in refused.err
    assert log(snap) == []


def test_text_in_the_first_line_of_a_dump_is_refused(snap: CommandLine) -> None:
    snap.ok("init")
    (snap.work / "shop_20260101.sql").write_bytes(b"[sudo] password for root: " + dump(1))
    refused = snap("import", "shop_20260101.sql", "--database", "shop")
    assert refused.code == 30
    assert "[sudo] password for root: --" in refused.err
    assert log(snap) == []


@pytest.mark.parametrize("message", [b"pg_dump: warning: odd\n", b"pg_dump: error: query failed\n"])
def test_a_message_between_the_statements_of_a_dump_is_refused(
    snap: CommandLine, message: bytes
) -> None:
    snap.ok("init")
    text = dump(1)
    place = text.index(b"COPY ")
    (snap.work / "shop_20260101.sql").write_bytes(text[:place] + message + text[place:])
    refused = snap("import", "shop_20260101.sql", "--database", "shop")
    assert refused.code == 30
    assert "2>&1" in refused.err
    assert log(snap) == []


def test_a_row_that_looks_like_a_message_is_a_row(snap: CommandLine) -> None:
    snap.ok("init")
    text = dump(1).replace(b"FROM stdin;\n", b"FROM stdin;\npg_dump: warning: odd\n", 1)
    assert text != dump(1)
    (snap.work / "shop_20260101.sql").write_bytes(text)
    snap.ok("import", "shop_20260101.sql", "--database", "shop")
    assert snap.ok("cat", "latest").out.encode() == text


def test_a_dump_with_messages_in_it_is_refused(snap: CommandLine, database: Database) -> None:
    database.psql("CREATE TABLE t AS SELECT repeat('x', 90) FROM generate_series(1, 500)")
    snap.ok("init")
    with (snap.work / "shop_20260101.sql").open("wb") as file:
        program = database.cluster.binaries.program("pg_dump")
        subprocess.run([program, "--verbose", database.dsn], stdout=file, stderr=file, check=True)
    refused = snap("import", "shop_20260101.sql", "--database", "shop")
    assert refused.code == 30
    assert "2>&1" in refused.err
    assert log(snap) == []


@pytest.mark.parametrize("form", ["custom", "tar"])
def test_an_archive_is_read_by_pg_restore(snap: CommandLine, database: Database, form: str) -> None:
    database.psql("CREATE TABLE t AS SELECT generate_series(1, 5) AS a")
    snap.ok("init")
    (snap.work / "snap.toml").write_text(f'bindir = "{database.cluster.binaries.bindir}"\n')
    archive = snap.work / "shop_20260101.sql"
    archive.write_bytes(database.dump(f"--format={form}"))
    snap.ok("import", archive.name, "--database", "shop")
    assert log(snap)[0]["rows"] == 5
    snap.ok("commit", "-m", "again", "--file", archive.name, "--database", "shop")
    assert log(snap)[0]["rows"] == 5
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 4])
    (snap.work / "old").mkdir()
    shutil.move(archive, snap.work / "old" / "shop_20260102.sql")
    refused = snap("import", "old", "--database", "shop")
    assert refused.code == 30, refused.err
    assert len(log(snap)) == 2
