"""One process for each exit code that can be reached now."""

from __future__ import annotations

import fcntl
import gzip
from pathlib import Path

import pytest

from support.running.commandline import CommandLine
from support.servers.databases import Database

DUMP = b"""--
-- PostgreSQL database dump
--

-- Dumped from database version 15.0
-- Dumped by pg_dump version 15.0

SET client_encoding = 'UTF8';

--
-- Name: t; Type: TABLE; Schema: public; Owner: shop
--

CREATE TABLE public.t (a integer);

--
-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: shop
--

COPY public.t (a) FROM stdin;
1
2
\\.

--
-- PostgreSQL database dump complete
--

"""


@pytest.fixture
def filled(snap: CommandLine) -> CommandLine:
    """A repository with one snapshot of a file."""
    snap.ok("init")
    (snap.work / "dump.sql").write_bytes(DUMP)
    snap.ok("commit", "-m", "first", "--file", "dump.sql", "--database", "shop")
    return snap


def test_0_done(filled: CommandLine) -> None:
    result = filled.process("log", "--oneline")
    assert result.code == 0
    assert "first" in result.out
    assert result.err == ""


def test_1_failed(filled: CommandLine) -> None:
    with Path("/dev/full").open("w") as full:
        assert filled.process("cat", "latest", stdout=full).code == 1


def test_2_usage(snap: CommandLine) -> None:
    result = snap.process("commit")
    assert result.code == 2
    assert "needs a message" in result.err


def test_5_declined(filled: CommandLine, database: Database) -> None:
    result = filled.process(
        "restore", "latest", "--to", "new_one", "--create-roles", "--dsn", database.dsn
    )
    assert result.code == 5
    assert "--yes" in result.err
    assert "the new database new_one" in result.err


def test_10_no_repository(snap: CommandLine) -> None:
    result = snap.process("log")
    assert result.code == 10
    assert f"snap init {snap.work / 'database' / 'backups'}" in result.err


def test_10_not_a_repository(snap: CommandLine) -> None:
    result = snap.process("log", "--repo", str(snap.folder), "--json")
    assert (result.code, result.error["kind"]) == (10, "not-a-repository")


def test_11_locked(filled: CommandLine) -> None:
    with (filled.work / "database" / "backups" / "lock").open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = filled.process("log", "--lock-timeout", "100ms")
    assert result.code == 11


def test_20_unknown_revision(filled: CommandLine) -> None:
    result = filled.process("show", "nothing-of-this-name", "--json")
    assert (result.code, result.error["kind"]) == (20, "unknown-revision")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "dump-incomplete"),
        (DUMP[:-60], "dump-incomplete"),
        (gzip.compress(DUMP)[:-20], "dump-incomplete"),
        (b"PGDMP" + bytes(100), "unusable-input"),
    ],
)
def test_30_a_file_that_is_no_whole_dump(snap: CommandLine, content: bytes, kind: str) -> None:
    snap.ok("init")
    (snap.work / "dump").write_bytes(content)
    result = snap.process("commit", "-m", "x", "--file", "dump", "--database", "shop", "--json")
    assert (result.code, result.error["kind"]) == (30, kind)
    assert snap.ok("log", "--json").json == []


def test_30_no_server(snap: CommandLine) -> None:
    snap.ok("init")
    dsn = "postgresql://u:s3cr3t@127.0.0.1:1/shop"
    result = snap.process("commit", "-m", "x", "--dsn", dsn)
    assert result.code == 30
    assert "s3cr3t" not in result.err


def test_40_target_exists(filled: CommandLine, database: Database) -> None:
    result = filled.process(
        "restore", "latest", "--to", database.name, "--dsn", database.dsn, "--yes", "--json"
    )
    assert (result.code, result.error["kind"]) == (40, "target-exists")


def test_60_damage(filled: CommandLine) -> None:
    packs = filled.work / "database" / "backups" / "packs"
    for pack in packs.rglob("*"):
        if pack.is_file():
            pack.unlink()
    result = filled.process("cat", "latest")
    assert result.code == 60
    assert result.out == ""
