"""A repository that somebody else wrote: its links lead nowhere, its files are not just trusted."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from pgsnap.repository.repository import Repository
from support.dumps.scripted import shop
from support.faults.hostile import run_measured
from support.repositories.made import UNPRIVILEGED, make, record
from support.running.commandline import CommandLine

TOP = (
    *("config", "packs", "snapshots", "tags", "notes", "tmp", "damaged", "leases", "cas.leases"),
    *("lock", "cas.lock", "index.sqlite", "index.sqlite-wal", "index.sqlite-shm", "audit.jsonl"),
    *("audit.jsonl.1", ".probe"),
)
FOLDERS = ("packs", "snapshots", "tags", "notes", "tmp", "damaged", "leases", "cas.leases")
COMMANDS = (
    ("log",),
    ("show", "latest"),
    ("diff", "latest", "latest"),
    ("verify",),
    ("stats",),
    ("audit",),
    ("tag", "second", "latest"),
    ("tag", "--delete", "first"),
    ("forget", "--force", "latest"),
    ("gc",),
    ("verify", "--data"),
    ("reindex",),
    ("repair",),
)


@pytest.fixture
def repo(snap: CommandLine) -> Path:
    path = make(snap.work / "repo")
    with Repository.open(path) as opened:
        record(opened, shop(3000), tags=("first",))
    snap.ok("--repo", "repo", "tag", "another", "latest")
    return path


@pytest.fixture
def outside(snap: CommandLine) -> Path:
    """A folder of the user, whose files have names that snap gives its own, too."""
    folder = snap.folder / "outside"
    folder.mkdir()
    for name in ("letter.txt", "0123456789abcdef", "alone-0123456789abcdef", "audit.jsonl"):
        (folder / name).write_text(f"the text of {name}\n")
        (folder / name).chmod(0o644)
    return folder


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return the modes and contents of all that is in *folder*."""
    return {
        str(path.relative_to(folder)): (
            stat.S_IMODE(path.lstat().st_mode),
            path.read_bytes() if path.is_file() else b"",
        )
        for path in [folder, *folder.rglob("*")]
    }


def replace_by_link(path: Path, target: Path) -> None:
    if path.is_dir():
        path.rename(path.with_name(f"{path.name}.was"))
    path.unlink(missing_ok=True)
    path.symlink_to(target)


@pytest.mark.parametrize("name", TOP)
def test_a_link_in_place_of_one_of_its_own_is_refused_by_every_command(
    snap: CommandLine, repo: Path, outside: Path, name: str
) -> None:
    target = outside if name in FOLDERS else outside / "letter.txt"
    replace_by_link(repo / name, target)
    before = state(outside)
    for command in COMMANDS:
        result = snap("--repo", "repo", "--json", *command)
        if command != ("audit",):
            assert result.code == 10, (command, result.err)
            assert result.error["kind"] == "untrusted-path"
            assert f'"{repo / name}" is a symbolic link' in result.error["message"]
            assert "trusted_links" in result.error["hint"]
        assert state(outside) == before, command
    assert (repo / name).is_symlink()


@pytest.mark.parametrize("kind", ["folder of packs", "pack", "manifest", "folder of tags", "tag"])
def test_a_link_further_down_is_refused_by_whatever_needs_it(
    snap: CommandLine, repo: Path, outside: Path, kind: str
) -> None:
    pattern, command = {
        "folder of packs": ("packs/??", "verify"),
        "pack": ("packs/??/*", "verify"),
        "manifest": ("snapshots/*", "log"),
        "folder of tags": ("tags/*", "log"),
        "tag": ("tags/*/first", "log"),
    }[kind]
    found = next(repo.glob(pattern))
    # It would be sound, were it followed.
    kept = outside / "kept"
    found.rename(kept)
    found.symlink_to(kept)
    before = state(outside)
    result = snap("--repo", "repo", "--json", command)
    assert result.code == 10
    assert str(found) in result.error["message"]
    for words in COMMANDS:
        snap("--repo", "repo", *words)
        assert state(outside) == before, words


@pytest.mark.parametrize("name", ["lock", "config", "index.sqlite", "audit.jsonl", "tmp"])
def test_a_pipe_is_refused_and_not_waited_for(snap: CommandLine, repo: Path, name: str) -> None:
    path = repo / name
    if path.is_dir():
        path.rename(repo / "was")
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    result = snap.process("--repo", "repo", "--json", "log")
    assert result.code == 10
    assert f'"{path}" is no ordinary file' in result.error["message"]


def test_only_files_of_killed_writers_are_deleted_from_tmp(snap: CommandLine, repo: Path) -> None:
    for name in ("0123456789abcdef", "notes.txt", "0123456789abcdef.bak"):
        (repo / "tmp" / name).write_text("x")
    (repo / "tmp" / "fedcba9876543210").mkdir()
    snap.ok("--repo", "repo", "log")
    left = sorted(path.name for path in (repo / "tmp").iterdir())
    assert left == ["0123456789abcdef.bak", "fedcba9876543210", "notes.txt"]


def test_links_that_are_trusted_are_followed(snap: CommandLine, repo: Path, outside: Path) -> None:
    (repo / "packs").rename(outside / "packs")
    (repo / "packs").symlink_to(outside / "packs")
    (snap.work / "snap.toml").write_text('repository = "repo"\ntrusted_links = ["repo/packs"]\n')
    snap.ok("verify", "--data")
    snap.ok("tag", "third", "latest")
    snap.ok("gc")
    (snap.work / "snap.toml").write_text('repository = "repo"\ntrusted_links = ["repo/tags"]\n')
    assert snap("verify").code == 10


def test_the_repository_itself_may_lie_behind_links(snap: CommandLine, repo: Path) -> None:
    (snap.work / "there").symlink_to(repo)
    (snap.work / "above").symlink_to(snap.work)
    for path in ("there", "above/repo"):
        snap.ok("--repo", path, "tag", "--force", "again", "latest")
        snap.ok("--repo", path, "verify", "--data")


needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="files of another user: run the tests as root"
)


@needs_root
@pytest.mark.parametrize("pattern", ["config", "snapshots/*", "snapshots", "index.sqlite", "tmp"])
def test_what_belongs_to_somebody_else_is_read_with_a_warning_and_never_written(
    snap: CommandLine, repo: Path, pattern: str
) -> None:
    found = next(repo.glob(pattern))
    os.chown(found, UNPRIVILEGED, UNPRIVILEGED)
    shown = snap.ok("--repo", "repo", "log")
    assert "a snapshot" in shown.out
    assert f'warning: "{found}" belongs to nobody' in shown.err
    assert shown.err.count("warning:") == 1
    before = state(repo)
    refused = snap("--repo", "repo", "--json", "tag", "later", "latest")
    assert refused.code == 10
    assert f'"{found}" belongs to nobody' in refused.error["message"]
    assert 'trusted_owners = ["nobody"]' in refused.error["hint"]
    after = state(repo)
    assert {name for name in before if before[name] != after[name]} <= {"audit.jsonl"}
    (snap.work / "snap.toml").write_text('repository = "repo"\ntrusted_owners = ["nobody"]\n')
    assert snap.ok("tag", "later", "latest").err == ""


@needs_root
def test_the_owner_of_the_folder_is_trusted(snap: CommandLine, repo: Path) -> None:
    for path in [repo, *repo.rglob("*")]:
        os.chown(path, UNPRIVILEGED, UNPRIVILEGED)
    assert snap.ok("--repo", "repo", "tag", "later", "latest").err == ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('trusted_owners = "root"', "must be a list of users"),
        ("trusted_owners = [1.5]", "must be a list of users"),
        ('trusted_owners = ["no such user"]', "names an unknown user"),
        ('trusted_links = "packs"', "must be a list of texts"),
        ('trusted_links = ["s3://a/b"]', "not a URL (s3://...)"),
    ],
)
def test_a_wrong_key_of_trust_is_told(snap: CommandLine, line: str, words: str) -> None:
    (snap.work / "snap.toml").write_text(line + "\n")
    result = snap("--json", "log")
    assert result.code == 2
    assert words in result.error["message"]


@pytest.mark.parametrize(
    "name", [".snap", ".snap/snap", ".snap/snap/commit.log", ".snap/snap/commit.run", "environment"]
)
def test_links_in_the_folder_of_scheduled_runs_are_refused(
    snap: CommandLine, repo: Path, outside: Path, name: str
) -> None:
    (snap.work / "snap.toml").write_text('repository = "repo"\n[schedule]\nverify = "@daily"\n')
    folder = snap.work / ".snap" / "snap"
    folder.mkdir(parents=True)
    for file in ("verify.log", "verify.run", "environment", "verify.json"):
        (folder / file).touch(mode=0o600)
    path = folder / name if "/" not in name and name != ".snap" else snap.work / name
    path = path.with_name(path.name.replace("commit", "verify"))
    target = outside if path.is_dir() else outside / "letter.txt"
    replace_by_link(path, target)
    before = state(outside)
    for words in (("schedule", "run", "verify", "--log"), ("check", "--no-connect")):
        snap(*words)
        assert state(outside) == before
    result = snap("--json", "schedule", "run", "verify", "--log")
    assert result.code == 10
    assert f'"{path}" is a symbolic link' in result.error["message"]


@pytest.mark.parametrize("name", ["pgsnap", "pgsnap/services"])
def test_links_in_the_state_folder_are_refused(
    snap: CommandLine, repo: Path, outside: Path, name: str
) -> None:
    link = snap.folder / "state" / name
    link.parent.mkdir(parents=True)
    (outside / "services").mkdir()
    link.symlink_to(outside)
    snap.setenv("XDG_STATE_HOME", str(snap.folder / "state"))
    before = state(outside)
    result = snap("--repo", "repo", "--json", "doctor", "--start-services")
    assert (result.code, result.error["kind"]) == (10, "untrusted-path")
    assert f'"{link}" is a symbolic link' in result.error["message"]
    assert state(outside) == before


# What a stranger's index may run: it is SQL, and is taken for no index.
STRANGE = {
    "a view for a table": "ALTER TABLE snapshots RENAME TO kept; CREATE VIEW snapshots AS"
    " WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT kept.* FROM kept, n",
    "a view under another type": "PRAGMA writable_schema = on; UPDATE sqlite_schema SET sql ="
    " 'CREATE VIEW packs AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
    " SELECT x AS pack_no, x AS id, x AS pack_bytes, x AS frames FROM n' WHERE name = 'packs'",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON snapshots BEGIN DELETE FROM snapshots; END",
}


@pytest.mark.parametrize("sql", STRANGE.values(), ids=STRANGE.keys())
def test_an_index_that_somebody_else_programmed_runs_nothing_and_is_built_anew(
    snap: CommandLine, repo: Path, sql: str
) -> None:
    with contextlib.closing(sqlite3.connect(repo / "index.sqlite")) as index:
        index.executescript(sql)
        index.commit()
    # Processes of their own: SQLite's loop cannot be interrupted.
    for command in (("log",), ("verify", "--data"), ("stats",), ("tag", "later", "latest")):
        result = snap.process("--repo", "repo", *command)
        assert result.code == 0, result.err
    assert (repo / "index.sqlite.damaged").exists()
    assert "later" in snap.ok("--repo", "repo", "tag").out


def test_a_value_of_hundreds_of_megabytes_in_an_index_is_not_read(
    snap: CommandLine, repo: Path
) -> None:
    with contextlib.closing(sqlite3.connect(repo / "index.sqlite")) as index:
        index.execute("UPDATE snapshots SET manifest = zeroblob(400000000)")
        index.commit()
    run = run_measured(repo, "log")
    assert run.code == 60
    assert "Run the command again" in run.err
    assert run.mib < 256
    assert snap("--repo", "repo", "log").code == 0


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE snapshots SET id = 'a text', time_us = 'another'",
        "UPDATE snapshots SET id = 5",
        "UPDATE snapshots SET time_us = 1e300",
        "UPDATE snapshots SET database = 'shop'",
        "UPDATE packs SET id = 'a text'",
        "UPDATE chunks SET id = 'a text'",
        "INSERT INTO lost_snapshots VALUES (5, 6)",
        "INSERT INTO forgotten VALUES ('a text', 'another')",
        "INSERT INTO notes VALUES (5, 6, 'forgotten', 1e300)",
        "INSERT INTO pack_reads VALUES ('a text', 1)",
        "INSERT INTO damaged VALUES (1, 2, 3)",
        "ALTER TABLE snapshots ADD COLUMN more TEXT AS (hex(manifest))",
        "ALTER TABLE packs RENAME COLUMN frames TO pictures",
        "DROP TABLE forgotten",
    ],
)
def test_an_index_with_values_of_other_types_is_built_anew(
    snap: CommandLine, repo: Path, sql: str
) -> None:
    with contextlib.closing(sqlite3.connect(repo / "index.sqlite")) as index:
        index.execute(sql)
        index.commit()
    for command in (("log",), ("gc",), ("verify",), ("show", "latest")):
        result = snap("--repo", "repo", *command)
        assert result.code == 0, result.err
    assert (repo / "index.sqlite.damaged").exists()


def test_a_blob_of_an_index_that_became_a_text_is_read_all_the_same(
    snap: CommandLine, repo: Path
) -> None:
    with contextlib.closing(sqlite3.connect(repo / "index.sqlite")) as index:
        index.execute("UPDATE snapshots SET manifest = CAST(manifest AS TEXT)")
        index.commit()
    for command in ("log", "gc", "stats"):
        snap.ok("--repo", "repo", command)
