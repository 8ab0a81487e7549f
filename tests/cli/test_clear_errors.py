"""What goes wrong most often: its exit code, and a hint that names what to do next."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.format.envelope import CHECKSUM_BYTES, checksum
from pgsnap.repository.repository import Repository
from support.dumps.scripted import Dump, dump, rows, shop, table
from support.repositories.made import UNPRIVILEGED, in_child, make_read_only, make_writable
from support.running.commandline import CommandLine
from support.servers.databases import Database


def text_of(scripted: Dump) -> bytes:
    return b"".join(part.text for part in scripted.parts)


@pytest.fixture
def filled(snap: CommandLine) -> CommandLine:
    """A repository with a snapshot, tagged first."""
    snap.ok("init")
    (snap.work / "dump.sql").write_bytes(text_of(shop(50)))
    snap.ok(
        *("commit", "-m", "first", "--tag", "first"),
        *("--file", "dump.sql", "--database", "shop"),
    )
    return snap


def repository(snap: CommandLine) -> Path:
    return snap.work / "database" / "backups"


def refused(snap: CommandLine, code: int, kind: str, *arguments: str) -> str:
    """Run, expect this error, and return its hint, which there must be."""
    result = snap(*arguments, "--json")
    assert (result.code, result.error["kind"]) == (code, kind), result.err
    assert result.error["hint"], result.err
    assert result.error["message"][0].islower() or result.error["message"][0] == '"'
    return str(result.error["hint"])


def test_no_repository_names_init(snap: CommandLine) -> None:
    assert "snap init " in refused(snap, 10, "repository-not-found", "log")


def test_a_wait_for_another_process_is_told(filled: CommandLine) -> None:
    with Repository.open(repository(filled), alone=True):
        result = filled("log", "--lock-timeout", "1200ms")
        assert result.code == 11
        assert f"waiting for the repository. Process {os.getpid()} on " in result.err
        assert "waiting" not in filled("log", "--lock-timeout", "0s").err


def test_a_folder_that_is_no_repository_names_init_and_repo(snap: CommandLine) -> None:
    hint = refused(snap, 10, "not-a-repository", "log", "--repo", str(snap.folder))
    assert "snap init PATH" in hint
    assert "--repo PATH" in hint


def test_a_repository_of_a_newer_format_is_refused_and_left_alone(filled: CommandLine) -> None:
    config = repository(filled) / "config"
    body = bytearray(config.read_bytes()[:-CHECKSUM_BYTES])
    body[6] += 1
    config.write_bytes(bytes(body) + checksum(bytes(body)))
    before = {path: path.read_bytes() for path in repository(filled).rglob("*") if path.is_file()}
    for command in (("log",), ("show", "first"), ("commit", "-m", "x", "--file", "dump.sql")):
        assert "snap --version" in refused(
            filled, 13, "format-too-new", *command, "--database", "shop"
        )
    after = {path: path.read_bytes() for path in repository(filled).rglob("*") if path.is_file()}
    assert after == before


def test_an_unknown_revision_names_log(filled: CommandLine) -> None:
    assert "snap log" in refused(filled, 20, "unknown-revision", "show", "nothing")


def test_an_ambiguous_revision_says_how_to_choose(filled: CommandLine) -> None:
    filled.ok("commit", "-m", "2", "--file", "dump.sql", "--database", "other")
    assert "--database" in refused(filled, 20, "ambiguous-revision", "show", "latest")


@pytest.mark.parametrize(
    ("dsn", "hint"),
    [
        ("postgresql://u@127.0.0.1:1/shop", "pg_isready"),
        ("postgresql://u@/shop?host=/nowhere", "host="),
        ("postgresql://u@nowhere.invalid/shop", "PGHOST"),
    ],
)
def test_a_wrong_dsn_says_what_to_check(filled: CommandLine, dsn: str, hint: str) -> None:
    assert hint in refused(filled, 30, "connection", "commit", "-m", "x", "--dsn", dsn)


def test_who_names_no_database_is_told_how(filled: CommandLine) -> None:
    # Where surely nothing listens.
    filled.setenv("PGPORT", "1")
    assert "DATABASE_URL" in refused(filled, 30, "connection", "commit", "-m", "x")
    steps = {step["name"]: step for step in filled("doctor", "--json").json["steps"]}
    assert "DATABASE_URL" in steps["server"]["next"]
    filled.setenv("PGHOST", "/nowhere")
    assert "host=" in refused(filled, 30, "connection", "commit", "-m", "x")


def test_a_missing_argument_is_told_with_an_example(snap: CommandLine) -> None:
    assert "snap commit -m " in refused(snap, 2, "usage", "commit")
    assert "snap restore pre-migration" in refused(snap, 2, "usage", "restore")
    assert "snap schedule install --commit" in refused(snap, 2, "usage", "schedule")


def test_a_bindir_without_programs_is_not_passed_over(filled: CommandLine) -> None:
    (filled.work / "snap.toml").write_text('bindir = "nothing"\ndsn = "dbname=shop port=1"\n')
    hint = refused(filled, 2, "usage", "commit", "-m", "x")
    assert "bindir" in hint
    filled.setenv("SNAP_PG_BINDIR", str(filled.work))
    assert "SNAP_PG_BINDIR" in refused(filled, 2, "usage", "commit", "-m", "x")


def test_a_wrong_password_and_an_unknown_database_name_psql(
    filled: CommandLine, database: Database
) -> None:
    wrong = database.cluster.dsn(database.name, user="postgres", password="s3cr3t", tcp=True)
    assert "PGPASSWORD" in refused(filled, 30, "connection", "commit", "-m", "x", "--dsn", wrong)
    assert "s3cr3t" not in filled("commit", "-m", "x", "--dsn", wrong).err
    unknown = database.cluster.dsn("no_such_database")
    assert "psql -l" in refused(filled, 30, "connection", "commit", "-m", "x", "--dsn", unknown)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PGDMP" + bytes(100), "unusable-input"),
        (b"", "dump-incomplete"),
        (text_of(shop(50))[:-40], "dump-incomplete"),
    ],
    ids=["custom archive", "empty", "cut"],
)
def test_a_file_that_is_no_whole_dump_is_no_snapshot(
    filled: CommandLine, content: bytes, kind: str
) -> None:
    (filled.work / "bad").write_bytes(content)
    arguments = ("commit", "-m", "x", "--file", "bad", "--database", "shop", "--json")
    result = filled(*arguments)
    assert (result.code, result.error["kind"]) == (30, kind)
    if kind == "unusable-input":
        assert "pg_restore -f - " in result.error["hint"]
    assert len(filled.ok("log", "--json").json) == 1


def test_an_existing_target_names_another_way(filled: CommandLine, database: Database) -> None:
    arguments = ("restore", "first", "--to", database.name, "--dsn", database.dsn, "--yes")
    assert refused(filled, 40, "target-exists", *arguments)


@contextlib.contextmanager
def read_only(snap: CommandLine) -> Iterator[None]:
    make_read_only(snap.folder)
    try:
        yield
    finally:
        make_writable(snap.folder)


def test_a_read_only_repository_is_read_and_takes_no_commit(filled: CommandLine) -> None:
    whole = filled.ok("cat", "first").out

    def reads() -> None:
        from pgsnap.cli import main

        os.chdir(filled.work)
        for command in (["log"], ["show", "first"], ["cat", "first"]):
            assert main(command) == 0

    def commits() -> None:
        from pgsnap.cli import main

        os.chdir(filled.work)
        arguments = ["commit", "-m", "x", "--file", "dump.sql", "--database", "shop"]
        os._exit(main(arguments))

    with read_only(filled):
        assert in_child(reads, user=UNPRIVILEGED) == 0
        assert in_child(commits, user=UNPRIVILEGED) == 50
    assert len(filled.ok("log", "--json").json) == 1
    assert filled.ok("cat", "first").out == whole


def big_dump(path: Path) -> None:
    path.write_bytes(text_of(dump(table("public", "t", rows(3000, seed=5)))))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["full", "failing sync"])
def test_a_disk_that_fails_at_any_write_ends_a_commit_with_50(
    filled: CommandLine, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    big_dump(filled.work / "big.sql")
    arguments = ("commit", "-m", "big", "--file", "big.sql", "--database", "shop")
    call = "writev" if code == errno.ENOSPC else "fsync"
    whole = getattr(os, call)
    failed_at = 0
    for fail_at in range(100):
        made = iter(range(1_000_000))

        def failing(*words: object, fail_at: int = fail_at, made: Iterator[int] = made) -> object:
            if next(made) == fail_at:
                raise OSError(code, os.strerror(code))
            return whole(*words)

        before = len(filled.ok("log", "--json").json)
        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing)
            result = filled(*arguments, "--json")
        if result.code == 0:
            break
        failed_at += 1
        assert result.code == 50, result.err
        after = filled.ok("log", "--json").json
        # Where the folder's sync failed after the rename, the manifest may be there all the same.
        assert len(after) == before or code == errno.EIO
        assert filled.ok("cat", "first").code == 0
        assert not list((repository(filled) / "tmp").iterdir())
    assert failed_at >= 2
    filled.ok(*arguments)
